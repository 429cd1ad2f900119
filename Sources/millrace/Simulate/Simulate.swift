/// `millrace simulate`: does this link keep up? A scenario under virtual time, a verdict.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceCore
import MillraceLink
import MillraceNode
import MillraceSim
import MillraceWorkload

struct SimulateCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "simulate",
        abstract: "Run the protocol over simulated links under virtual time, and say whether they keep up.",
        discussion: """
            Give --link for one replica behind that line. Equal seeds give equal trace hashes. Exit code 3: a replica falls \
            behind, or an expectation of the scenario does not hold.
            """)

    @Argument(help: "Scenario file (TOML; Simulations/README.md).") var scenario: String?
    @Option(
        help: "A replica's line: a profile (millrace profiles), settings (rate=10,rtt=100,loss=2%), or both.")
    var link: String?
    @Option(help: "Workload: swap, erc20, mixed or idle, with parameters if wanted (swap?zipf=0.9).")
    var workload: String?
    @Option(help: "Transactions per second.") var tps: Int?
    @Option(help: "Seconds of stream (30, or what the scenario says).") var seconds: Int?
    @Option(help: "With --link: replicas, each behind a line of its own.") var replicas = 1
    @Flag(help: "Serve windows of coarser cadences, and let replicas take them (default: c0 only).")
    var windows = false
    @Option(
        help: "With --windows: the one cadence that replicas follow, c1 to c3 (default: the finest they can)."
    )
    var cadence: String?
    @Option(help: "Parity shreds per slice that the sequencer makes (4, or what the scenario says).")
    var parity: Int?
    @Option(help: "full: real payloads, coded and applied; network: real protocol, payloads by reference.")
    var fidelity: String?
    @Flag(help: "Draw scenarios from seeds (or take the file given) and check what must always hold.")
    var swarm = false
    @Option(help: "Seeds of the swarm, from --seed on.") var seeds = 100
    @Option(help: "Folder for the scenario files of failures that the swarm found and made small.")
    var failures: String?
    @Flag(help: .hidden) var swarmWorker = false
    @Option(help: "So many times as many relays, replicas and attackers as the scenario says.") var scale = 1
    @Option(help: "Equal seeds give equal runs.") var seed: UInt64 = 1
    @Option(help: "Write the run as one self-contained HTML page.") var report: String?
    @Option(help: "Write the datagrams that pass one node's links as a pcapng file.") var pcapng: String?
    @Option(help: "The node of --pcapng (default: the first replica).") var pcapngNode: String?
    @Option(
        help:
            """
            What work costs every node: receiveNs=4000,sendNs=2500,applyNs=2200,encodeNs=2300,upkeepNs=600, unlimited, or \
            this-machine (measured first; its runs equal no other machine's).
            """
    )
    var processor: String?
    @Flag(help: "Measure what that work costs here, and print it for --processor and for scenarios.")
    var calibrate = false
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let seconds, !(1...ScenarioLimits.secondsMax).contains(seconds) {
            throw ValidationError("--seconds must be 1 to \(ScenarioLimits.secondsMax).")
        }
        if !(1...10_000).contains(replicas) { throw ValidationError("--replicas must be 1 to 10000.") }
        if let parity, !(0...16).contains(parity) { throw ValidationError("--parity must be 0 to 16.") }
        if !(1...1_000).contains(scale) { throw ValidationError("--scale must be 1 to 1000.") }
        if !(1...100_000_000).contains(seeds) { throw ValidationError("--seeds must be 1 to 100000000.") }
    }

    func run() throws {
        if calibrate { return try printCosts() }
        if swarm || swarmWorker {
            guard link == nil else {
                throw Failure(.usage, "--swarm draws its own scenarios, or checks the file given: no --link")
            }
            if let scenario { return try checkOnce(try readScenario(scenario)) }
            return try swarmWorker
                ? SwarmWorker(first: seed, count: seeds).run()
                : SwarmRun(first: seed, count: seeds, failures: failures, output: output).run()
        }
        var planned = try plan()
        if let processor {
            let model =
                processor == "this-machine"
                ? try Calibration.measure(planned.workload) : try ProcessorModel(text: processor)
            for i in planned.groups.indices { planned.groups[i].processor = model }
        }
        if pcapngNode != nil, pcapng == nil { throw Failure(.usage, "--pcapng-node needs --pcapng FILE") }
        let captured = try pcapng.map { try CaptureFile(path: $0, node: pcapngNode) }
        var result = try simulate(planned, seed: seed) { try captured?.begin($0) }
        try captured?.end()
        measureSpeed(&result)
        if let report {
            let command = Page.shell(["millrace"] + CommandLine.arguments.dropFirst())
            try writePage(SimulationPage(result, command: command).html, to: report)
        }
        output.result(result.json, result.text)
        let isExpected = planned.expect.verdict == .fallsBehind
        if result.verdict == .fallsBehind && !isExpected || !result.failures.isEmpty {
            throw Failure(.verification, result.failures.first ?? "the verdict is \(result.verdict.sentence)")
        }
    }
}

extension SimulateCommand {
    private func printCosts() throws {
        guard scenario == nil, link == nil, !swarm else {
            throw Failure(.usage, "--calibrate measures this machine: no scenario, --link or --swarm")
        }
        let spec: WorkloadSpec
        do throws(WorkloadError) { spec = try WorkloadSpec(workload ?? "swap") } catch {
            throw Failure(.usage, error.description)
        }
        let model = try Calibration.measure(spec)
        output.result(
            .object([
                ("receiveNs", .integer(model.receiveNanoseconds)),
                ("sendNs", .integer(model.sendNanoseconds)),
                ("applyNs", .integer(model.applyNanoseconds)),
                ("encodeNs", .integer(model.encodeNanoseconds)),
                ("upkeepNs", .integer(model.upkeepNanoseconds)),
                ("processor", .string(model.text)),
            ]),
            [
                "a datagram received \(model.receiveNanoseconds) ns, sent \(model.sendNanoseconds) ns; "
                    + "a transaction of \(spec.text) encoded \(model.encodeNanoseconds) ns, applied "
                    + "\(model.applyNanoseconds) ns, and its share of the commitment at either \(model.upkeepNanoseconds) ns",
                "  --processor \(model.text)",
                "  processor = { \(model.text.replacing("=", with: " = ").replacing(",", with: ", ")) }",
            ].joined(separator: "\n"))
    }

    /// What the run's speed is told beside: the event queue alone, with as many events waiting, and the memory it took.
    private func measureSpeed(_ result: inout SimulationResult) {
        result.peakMemoryMiB = StatusLines.peakKibibytes.map { $0 / 1_024 }
        let begin = Date()
        let sum = QueueExercise.run(like: result)
        let seconds = Date().timeIntervalSince(begin)
        // The sum is asked for so that the work cannot be left out; it is never 0.
        if sum > 0, seconds > 0 { result.queueEventsPerSecond = Double(QueueExercise.events) / seconds }
    }

    /// One scenario under the swarm's checks.
    private func checkOnce(_ scenario: Scenario) throws {
        let failure: String?
        do throws(WorkloadError) {
            failure = try Swarm.check(scenario, seed: seed, loads: SwarmLoads())
        } catch { throw Failure(.failed, error.description) }
        output.result(
            .object([
                ("scenario", .string(scenario.name)), ("seed", .unsigned(seed)),
                ("clean", .integer(failure == nil ? 1 : 0)), ("what", failure.map { .string($0) } ?? .null),
            ]), "\(scenario.name), seed \(seed): " + (failure ?? "everything held"))
        if let failure { throw Failure(.verification, failure) }
    }

    /// The scenario of the file or of the link, with what flags change.
    private func plan() throws -> Scenario {
        guard (scenario == nil) != (link == nil) else {
            throw Failure(.usage, "give a scenario file or --link, and not both")
        }
        var planned: Scenario
        if let scenario {
            planned = try readScenario(scenario)
        } else {
            planned = Scenario.link(
                try accessLink(), workload: WorkloadSpec(.swap), seconds: 30, fidelity: .full,
                replicas: replicas)
        }
        if let fidelity {
            guard let known = Fidelity(rawValue: fidelity) else {
                throw Failure(.usage, "unknown fidelity \"\(fidelity)\", expected full or network")
            }
            planned.fidelity = known
        }
        do throws(WorkloadError) {
            if let workload { planned.workload = try WorkloadSpec(workload) }
            if let tps { try planned.workload.set("tps", to: String(tps)) }
        } catch { throw Failure(.usage, error.description) }
        if let seconds { planned.seconds = seconds }
        if let parity { planned.parityCount = parity }
        if scale > 1 {
            planned = planned.scaled(by: scale)
            guard planned.nodeCount <= ScenarioLimits.nodesMax else {
                throw Failure(.usage, "\(planned.nodeCount) nodes, at most \(ScenarioLimits.nodesMax)")
            }
        }
        if windows { planned.hasWindows = true }
        if let cadence {
            guard let known = Cadence(name: cadence), known != .c0, planned.hasWindows else {
                throw Failure(.usage, "--cadence \(cadence): expected c1, c2 or c3, with --windows")
            }
            for i in planned.groups.indices where planned.groups[i].role == .replica {
                planned.groups[i].cadence = known
            }
        }
        return planned
    }

    private func accessLink() throws -> AccessLink {
        let text = link ?? ""
        do throws(LinkTextError) {
            return AccessLink(
                text: text, down: try LinkText.parse(text, direction: .down, files: LinkFiles.read),
                up: try LinkText.parse(text, direction: .up, files: LinkFiles.read))
        } catch { throw Failure(.usage, error.description) }
    }
}

/// Reads a scenario; paths in it are relative to the current folder.
func readScenario(_ path: String) throws -> Scenario {
    guard let data = FileManager.default.contents(atPath: path) else {
        throw Failure(.usage, "\(path): cannot read this scenario file")
    }
    guard data.count <= ScenarioLimits.fileBytesMax, let text = String(data: data, encoding: .utf8) else {
        throw Failure(
            .usage, "\(path): a scenario is UTF-8 text of at most \(ScenarioLimits.fileBytesMax >> 20) MiB")
    }
    do throws(ScenarioError) {
        return try Scenario(toml: text, file: path, files: LinkFiles.read)
    } catch { throw Failure(.usage, error.description) }
}

/// Runs a scenario with progress on a terminal.
func simulate(
    _ scenario: Scenario, seed: UInt64, sizes: PayloadSizes? = nil,
    prepare: (Simulation) throws -> Void = { _ in }
) throws -> SimulationResult {
    do {
        var sizes = sizes
        if sizes == nil, scenario.fidelity == .network {
            sizes = try measureSizes(scenario.workload, windows: scenario.hasWindows)
        }
        var baseline: Double?
        if scenario.expect.needsBaseline {
            let calm = try Simulation(scenario.withoutAttacks, seed: seed, sizes: sizes)
            try calm.run()
            baseline = calm.lagMsP99
        }
        var progress = Progress("simulated ms", of: UInt64(scenario.seconds) * 1_000)
        let simulation = try Simulation(scenario, seed: seed, sizes: sizes)
        try prepare(simulation)
        let (begin, processorBegin) = (Date(), StatusLines.processorSeconds)
        try simulation.run { passed in
            progress.update(UInt64(max(passed.milliseconds, 0)))
            return false
        }
        progress.end()
        if let fault = simulation.ledgerFault { throw WorkloadError("the books do not balance: \(fault)") }
        return simulation.result(
            wallSeconds: Date().timeIntervalSince(begin),
            processorSeconds: StatusLines.processorSeconds - processorBegin, baselineLagMsP99: baseline)
    } catch let error as WorkloadError { throw Failure(.failed, error.description) }
}

/// Encodes a few seconds of the stream for the sizes of its payloads.
func measureSizes(
    _ workload: WorkloadSpec, windows: Bool = false
) throws(WorkloadError) -> PayloadSizes {
    let seconds = windows ? PayloadSizes.sampleSecondsOfWindows : PayloadSizes.sampleSeconds
    var progress = Progress("seconds of stream encoded for their sizes", of: UInt64(seconds))
    defer { progress.end() }
    return try PayloadSizes(measuring: workload, seconds: seconds, windows: windows) {
        progress.update(UInt64($0))
    }
}

extension SimulationResult {
    /// What came of attacks.
    private var attackLines: [String] {
        guard let attacks else { return [] }
        func ms(_ value: Double?) -> String {
            value.map { JSON.number($0, decimals: 1).text() + " ms" } ?? "unknown"
        }
        var lines = attacks.attacks.map { attack in
            let share = JSON.number(attack.seatsAtStrike * 100, decimals: 0).text()
            return
                "  \(attack.kind.rawValue) by \(attack.nodes) nodes: \(share) % of honest nodes' parents when it began, "
                + "\(attack.banned) banned, \(attack.datagrams) datagrams of its own"
                + (attack.amplification > 0
                    ? ", answered by \(JSON.number(attack.amplification, decimals: 2).text()) bytes for each"
                    : "")
        }
        if let proven = attacks.equivocationProvenMs {
            lines.append("  every honest node stopped with a proof \(ms(proven)) after the histories parted")
        } else {
            lines.append(
                "  p99 of the lag \(ms(attacks.baselineLagMsP99)) without the attack, \(ms(attacks.afterLagMsP99)) once over it; "
                    + "over it after \(ms(attacks.recoveryMs)); \(attacks.honestBanned) honest nodes banned, "
                    + "\(attacks.honestUnconverged) without all of the stream")
        }
        return lines
    }

    /// For people.
    var text: String {
        func ms(_ value: Double) -> String { JSON.number(value, decimals: 1).text() }
        func mbit(_ value: Double) -> String { JSON.number(value, decimals: 2).text() }
        var lines = ["\(scenario): \(verdict.sentence)"]
        for node in nodes where node.role == .replica && (nodes.count <= 12 || node.verdict != .keepsUp) {
            lines.append(
                "  \(node.name): \(node.verdict.sentence); lag p50 \(ms(node.lagMsP50)) p99 \(ms(node.lagMsP99)) "
                    + "p99.9 \(ms(node.lagMsP999)) max \(ms(node.lagMsMax)) ms; "
                    + "\(node.stalls) stalls, slope \(ms(node.slopeMsPerSec)) ms/s"
                    + (node.shortage.map { "; \($0.sentence)" } ?? ""))
        }
        lines.append(
            "  stream \(mbit(payloadMbitPerSec)) Mbit/s of payload, \(mbit(streamMbitPerSec)) on the wire at the least; "
                + "\(nodeCount) nodes, \(ms(seconds)) s in \(ms(wallSeconds)) s"
                + (processorSeconds.map { ", \(ms($0)) of a processor's " } ?? " ")
                + "(\(ms(nodeSecondsPerSecond)) node-seconds per second at \(mbit(mbitPerSecPerNode)) Mbit/s each), "
                + "seed \(seed), trace \(traceHash.text)"
        )
        if let queue = queueEventsPerSecond {
            func millions(_ rate: Double) -> String { JSON.number(rate / 1e6, decimals: 2).text() }
            lines.append(
                "  \(millions(eventsPerSecond)) million events a second; the queue alone does \(millions(queue)) million"
                    + (peakMemoryMiB.map { "; \(JSON.number($0, decimals: 0).text()) MiB at most" } ?? ""))
        }
        lines += attackLines
        lines += failures.map { "  expected otherwise: \($0)" }
        return lines.joined(separator: "\n")
    }
}

/// `millrace simulate`: does this link keep up? A scenario under virtual time, a verdict.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceCore
import MillraceLink
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

    @Option(
        help: "A replica's line: a profile (millrace profiles), settings (rate=10,rtt=100,loss=2%), or both.")
    var link: String?
    @Option(help: "Workload: swap, erc20, mixed or idle, with parameters if wanted (swap?zipf=0.9).")
    var workload = "swap"
    @Option(help: "Transactions per second.") var tps: Int?
    @Option(help: "Seconds of stream.") var seconds = 30
    @Option(help: "Replicas, each behind a line of its own.") var replicas = 1
    @Option(help: "Parity shreds per slice.") var parity = 4
    @Option(help: "full: real payloads, coded and applied; network: real protocol, payloads by reference.")
    var fidelity = "full"
    @Option(help: "Equal seeds give equal runs.") var seed: UInt64 = 1
    @Option(help: "Write the run as one self-contained HTML page.") var report: String?
    @Option(help: "Write the datagrams that pass one node's links as a pcapng file.") var pcapng: String?
    @Option(help: "The node of --pcapng (default: the first replica).") var pcapngNode: String?
    @Option(help: .hidden) var encodeNs: Int64?
    @Option(help: .hidden) var applyNs: Int64?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(1...3_600).contains(seconds) { throw ValidationError("--seconds must be 1 to 3600.") }
        if !(1...10_000).contains(replicas) { throw ValidationError("--replicas must be 1 to 10000.") }
        if !(0...16).contains(parity) { throw ValidationError("--parity must be 0 to 16.") }
    }

    func run() throws {
        guard let link else { throw Failure(.usage, "give a scenario file or --link") }
        guard let fidelity = Fidelity(rawValue: fidelity) else {
            throw Failure(.usage, "unknown fidelity `\(fidelity)`, expected full or network")
        }
        var spec: WorkloadSpec
        do throws(WorkloadError) {
            spec = try WorkloadSpec(workload)
            if let tps { try spec.set("tps", to: String(tps)) }
        } catch { throw Failure(.usage, error.description) }
        let line: AccessLink
        do throws(LinkTextError) {
            line = AccessLink(
                text: link, down: try LinkParameters(text: link, direction: .down),
                up: try LinkParameters(text: link, direction: .up))
        } catch { throw Failure(.usage, error.description) }
        var scenario = Scenario.link(
            line, workload: spec, seconds: seconds, fidelity: fidelity, replicas: replicas,
            parityCount: parity)
        // What a transaction costs the machine that is compared with (Tests/Validate/network).
        for i in scenario.groups.indices {
            if let encodeNs { scenario.groups[i].processor.encodeNanoseconds = encodeNs }
            if let applyNs { scenario.groups[i].processor.applyNanoseconds = applyNs }
        }
        if pcapngNode != nil, pcapng == nil { throw Failure(.usage, "--pcapng-node needs --pcapng FILE") }
        let captured = try pcapng.map { try CaptureFile(path: $0, node: pcapngNode) }
        let result = try simulate(scenario, seed: seed) { try captured?.begin($0) }
        try captured?.end()
        if let report {
            let command = Page.shell(["millrace"] + CommandLine.arguments.dropFirst())
            try writePage(SimulationPage(result, command: command).html, to: report)
        }
        output.result(result.json, result.text)
        if result.verdict == .fallsBehind || !result.failures.isEmpty {
            throw Failure(.verification, result.failures.first ?? "the verdict is \(result.verdict.sentence)")
        }
    }
}

/// Runs a scenario with progress on a terminal.
func simulate(
    _ scenario: Scenario, seed: UInt64, sizes: PayloadSizes? = nil,
    prepare: (Simulation) throws -> Void = { _ in }
) throws -> SimulationResult {
    do {
        var sizes = sizes
        if sizes == nil, scenario.fidelity == .network {
            sizes = try measureSizes(scenario.workload, seconds: scenario.seconds)
        }
        var progress = Progress("simulated ms", of: UInt64(scenario.seconds) * 1_000)
        let simulation = try Simulation(scenario, seed: seed, sizes: sizes)
        try prepare(simulation)
        let begin = Date()
        try simulation.run { passed in
            progress.update(UInt64(max(passed.milliseconds, 0)))
            return false
        }
        progress.end()
        return simulation.result(wallSeconds: Date().timeIntervalSince(begin))
    } catch let error as WorkloadError { throw Failure(.failed, error.description) }
}

/// Seconds of stream that are really encoded for the sizes of a longer run.
func measureSizes(_ workload: WorkloadSpec, seconds: Int) throws(WorkloadError) -> PayloadSizes {
    var progress = Progress("seconds of stream encoded for their sizes", of: UInt64(min(seconds, 4)))
    defer { progress.end() }
    return try PayloadSizes(measuring: workload, seconds: min(seconds, 4)) { progress.update(UInt64($0)) }
}

extension SimulationResult {
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
                + "\(nodeCount) nodes, \(ms(seconds)) s in \(ms(wallSeconds)) s "
                + "(\(ms(nodeSecondsPerSecond)) node-seconds per second), seed \(seed), trace \(traceHash.text)"
        )
        lines += failures.map { "  expected otherwise: \($0)" }
        return lines.joined(separator: "\n")
    }
}

/// `millrace demo`: the main job in one command. Real processes of this binary on loopback: one sequencer, relays, and
/// replicas whose access lines are impaired by `millrace impair`; a recorded stream; a live view; a verdict.
///
/// ```
///             ┌▶ relay-1 ─┐   ┌─ line of replica-1 (impair) ─▶ replica-1
///  sequencer ─┤           ├──▶┤─ line of replica-2 (impair) ─▶ replica-2
///             └▶ relay-2 ─┘   └─ …
/// ```
///
/// The sequencer reads a recording and waits for SIGUSR1, so that the clock starts when every replica has its contracts.
/// Nothing is shared between the processes but their sockets; the recording gives replicas the state before the stream
/// (its genesis frames), as a node operator's genesis file would.
///
/// Whatever happens, children are ended and the folder is removed before `run` returns.

public import Foundation
import MillraceBase
import MillraceCore

public struct DemoOptions: Sendable {
    /// The `millrace` binary to start the processes from.
    public var executable: URL
    /// The stream to play.
    public var recording: URL
    /// What to call it in the report.
    public var source: String
    public var transactions: UInt64
    public var miniBlocks: UInt64
    /// Keys, logs and sockets of the run; made by the caller and removed by it.
    public var folder: URL
    public var relays = 2
    public var replicas = 2
    /// The text of each replica's access line, as `millrace impair` takes it.
    public var link: String
    public var parity = 4
    public var seed: UInt64 = 1
    /// Kill the first relay (SIGKILL) this many seconds into the stream.
    public var killRelayAfter: Double?
    public var quiet = false

    public init(
        executable: URL, recording: URL, source: String, transactions: UInt64, miniBlocks: UInt64,
        folder: URL,
        link: String
    ) {
        self.executable = executable
        self.recording = recording
        self.source = source
        self.transactions = transactions
        self.miniBlocks = miniBlocks
        self.folder = folder
        self.link = link
    }
}

public final class Demo {
    /// How long the processes may take to find each other.
    static let readySecondsMax = 60.0
    /// How long after the stream's end the replicas may take before they count as behind.
    static let graceSeconds = 10.0

    /// What the demo knows of one child from its lines.
    private final class Node {
        let child: ChildProcess
        var address = ""
        var peer = ""
        var signer = ""
        var isReady = false
        var row: DemoView.Row
        var final: [String: Any]?
        var cpuAtStart = 0.0
        var cpuSeconds = 0.0
        var peakMemoryMiB = 0.0
        private var lastBytes: (received: Double, sent: Double, cpu: Double, at: Date)?

        init(_ child: ChildProcess) {
            self.child = child
            row = DemoView.Row(name: child.name, role: child.role)
        }

        func update() {
            for object in child.lines() {
                cpuSeconds = number(object["cpuSeconds"]) ?? cpuSeconds
                peakMemoryMiB = number(object["peakMemoryMiB"]) ?? peakMemoryMiB
                switch object["event"] as? String {
                case "listening":
                    address = object["address"] as? String ?? ""
                    peer = object["peer"] as? String ?? ""
                    signer = object["signer"] as? String ?? ""
                case "ready": isReady = true
                case "final": final = object
                default: break
                }
                row.height = UInt64(number(object["height"]) ?? Double(row.height))
                row.lagMs = number(object["lagMs"]) ?? row.lagMs
                row.cadence = object["cadence"] as? String ?? row.cadence
                row.repaired = UInt64(number(object["repairedShreds"]) ?? Double(row.repaired))
                if let received = number(object["receivedBytes"]), let sent = number(object["sentBytes"]) {
                    let now = Date()
                    if let last = lastBytes, now.timeIntervalSince(last.at) > 0.1 {
                        let seconds = now.timeIntervalSince(last.at)
                        row.receivedMbitPerSec = max(0, received - last.received) * 8 / 1e6 / seconds
                        row.sentMbitPerSec = max(0, sent - last.sent) * 8 / 1e6 / seconds
                        row.cpuPercent = max(0, cpuSeconds - last.cpu) * 100 / seconds
                    }
                    lastBytes = (received, sent, cpuSeconds, now)
                }
            }
        }

        private func number(_ value: Any?) -> Double? { (value as? NSNumber)?.doubleValue }
    }

    private let options: DemoOptions
    private let interruption: Interruption
    private var view: DemoView
    private var nodes: [Node] = []

    public init(_ options: DemoOptions, interruption: Interruption) {
        self.options = options
        self.interruption = interruption
        view = DemoView(quiet: options.quiet)
    }

    private func start(_ name: String, _ role: String, _ arguments: [String]) throws -> Node {
        let child = try ChildProcess(
            name: name, role: role, executable: options.executable, arguments: arguments,
            folder: options.folder)
        // Nine processes on two cores: a line that runs late would be a worse line than was asked for, a late relay or
        // sequencer would send in bursts. A replica that waits a few milliseconds is only that much later.
        if role == "replica" { child.giveWay() }
        let node = Node(child)
        nodes.append(node)
        return node
    }

    /// Waits until `condition` holds for the node; a child that ends early is an error with the end of its log.
    private func wait(for node: Node, _ what: String, until condition: (Node) -> Bool) throws {
        let deadline = Date().addingTimeInterval(Demo.readySecondsMax)
        while true {
            node.update()
            if condition(node) { return }
            if interruption.hasHappened { throw DemoError("interrupted") }
            if let status = node.child.exitStatus {
                throw DemoError("\(node.child.name) ended with status \(status): \(node.child.logTail())")
            }
            if Date() > deadline {
                throw DemoError(
                    "\(node.child.name) was not \(what) within \(Int(Demo.readySecondsMax)) s: \(node.child.logTail())"
                )
            }
            Thread.sleep(forTimeInterval: 0.01)
        }
    }

    public func run() throws -> DemoReport {
        defer {
            for node in nodes { node.child.signal(SIGTERM) }
            for node in nodes { node.child.stop() }
        }
        let sequencer = try start(
            "sequencer", "sequencer",
            [
                "sequencer", "--source", "recording:\(options.recording.path)", "--hold", "--status-lines",
                "--listen",
                "127.0.0.1:0", "--parity", String(options.parity),
            ])
        try wait(for: sequencer, "listening") { !$0.address.isEmpty }

        var relays: [Node] = []
        for n in 1...max(options.relays, 1) {
            relays.append(
                try start(
                    "relay-\(n)", "relay",
                    [
                        "relay", "--parents", sequencer.peer, "--sequencer", sequencer.signer,
                        "--status-lines",
                        "--listen", "127.0.0.1:0",
                    ]))
        }
        for relay in relays { try wait(for: relay, "listening") { !$0.address.isEmpty } }

        var replicas: [Node] = []
        for n in 1...max(options.replicas, 1) {
            // One line a replica, shared by its parents, as one household's line is.
            var arguments = [
                "impair", "--down", options.link, "--up", options.link, "--seed",
                String(options.seed &+ UInt64(n)),
                "--status-lines",
            ]
            for relay in relays { arguments += ["--route", "127.0.0.1:0=\(relay.address)"] }
            let line = try start("line-\(n)", "line", arguments)
            try wait(for: line, "listening") { !$0.address.isEmpty }
            let entrances = line.address.split(separator: ",").map(String.init)
            guard entrances.count == relays.count else {
                throw DemoError("line-\(n) opened \(entrances.count) of \(relays.count) entrances")
            }
            // The same keys at the line's addresses.
            let parents = zip(relays, entrances).map { relay, entrance in
                String(relay.peer.prefix { $0 != "@" }) + "@" + entrance
            }
            replicas.append(
                try start(
                    "replica-\(n)", "replica",
                    [
                        "replica", "--parents", parents.joined(separator: ","), "--sequencer",
                        sequencer.signer,
                        "--genesis", options.recording.path, "--exit-at-end", "--status-lines", "--listen",
                        "127.0.0.1:0",
                    ]))
        }
        for node in relays + replicas { try wait(for: node, "ready") { $0.isReady } }

        return try play(sequencer: sequencer, relays: relays, replicas: replicas)
    }

    private func play(sequencer: Node, relays: [Node], replicas: [Node]) throws -> DemoReport {
        let seconds = Double(options.miniBlocks) * Limits.miniBlockInterval.asSeconds
        let tps = seconds > 0 ? Double(options.transactions) / seconds : 0
        for node in nodes {
            node.update()
            node.cpuAtStart = node.cpuSeconds
        }
        let began = Date()
        sequencer.child.signal(SIGUSR1)
        var killed: String?
        var ended: Date?
        var lastDrawn = Date.distantPast
        while true {
            Thread.sleep(forTimeInterval: 0.05)
            let elapsed = Date().timeIntervalSince(began)
            if interruption.hasHappened { throw DemoError("interrupted") }
            for node in nodes { node.update() }
            if let after = options.killRelayAfter, killed == nil, elapsed >= after, let victim = relays.first
            {
                victim.child.signal(SIGKILL)
                victim.row.note = "killed at \(String(format: "%.1f", elapsed)) s"
                killed = victim.child.name
            }
            if sequencer.final == nil, let status = sequencer.child.exitStatus {
                throw DemoError("the sequencer ended with status \(status): \(sequencer.child.logTail())")
            }
            if ended == nil, sequencer.final != nil { ended = Date() }
            let waiting = replicas.contains { $0.final == nil && $0.child.isRunning }
            if Date().timeIntervalSince(lastDrawn) >= 0.25 || !waiting {
                lastDrawn = Date()
                view.draw(
                    second: min(elapsed, seconds), of: seconds, tps: tps,
                    rows: nodes.filter { $0.child.role != "line" }.map(\.row))
            }
            if !waiting { break }
            if let ended, Date().timeIntervalSince(ended) > Demo.graceSeconds { break }
            if elapsed > seconds + Demo.readySecondsMax { break }
        }
        let wall = Date().timeIntervalSince(began)
        // The ones that did not get to the end say how far they got when they are told to stop.
        for node in replicas where node.final == nil { node.child.signal(SIGTERM) }
        for node in replicas where node.final == nil {
            let deadline = Date().addingTimeInterval(3)
            while node.final == nil, Date() < deadline {
                Thread.sleep(forTimeInterval: 0.02)
                node.update()
            }
        }
        for node in nodes { node.update() }
        return report(sequencer: sequencer, replicas: replicas, wall: wall, killed: killed)
    }

    private func report(sequencer: Node, replicas: [Node], wall: Double, killed: String?) -> DemoReport {
        var report = DemoReport()
        report.source = options.source
        report.link = options.link
        report.killedRelay = killed
        let final = sequencer.final ?? [:]
        func number(_ value: Any?) -> Double { (value as? NSNumber)?.doubleValue ?? 0 }
        report.transactions = UInt64(number(final["transactions"]))
        report.miniBlocks = UInt64(number(final["miniBlocks"]))
        report.seconds = number(final["streamSeconds"])
        report.payloadBytes = UInt64(number(final["payloadBytes"]))
        report.bridgeMiniBlocks = UInt64(number(final["bridgeMiniBlocks"]))
        report.bridgePayloadBytes = UInt64(number(final["bridgePayloadBytes"]))
        report.sequencerCommitment = final["stateCommitment"] as? String ?? ""
        report.sequencerHeight = UInt64(number(final["height"]))
        for node in replicas {
            let end = node.final ?? [:]
            let commitment = end["stateCommitment"] as? String ?? ""
            var replica = DemoReport.Replica(
                name: node.child.name,
                verdict: (end["verdict"] as? String).flatMap(LinkVerdict.init(rawValue:)) ?? .fallsBehind,
                stateCommitmentMatches: !commitment.isEmpty && commitment == report.sequencerCommitment,
                stateCommitment: commitment)
            replica.lagMsP50 = number(end["lagMsP50"])
            replica.lagMsP99 = number(end["lagMsP99"])
            replica.lagMsP999 = number(end["lagMsP999"])
            replica.lagMsMax = number(end["lagMsMax"])
            replica.slopeMsPerSec = number(end["slopeMsPerSec"])
            replica.stalls = Int(number(end["stalls"]))
            replica.longestStallMs = number(end["longestStallMs"])
            let height = UInt64(number(end["height"]))
            replica.heightsBehind = report.sequencerHeight > height ? report.sequencerHeight - height : 0
            replica.receivedBytes = UInt64(number(end["receivedBytes"]))
            if report.seconds > 0 {
                replica.receivedMbitPerSec = Double(replica.receivedBytes) * 8 / 1e6 / report.seconds
            }
            replica.repairRequests = UInt64(number(end["repairRequests"]))
            replica.repairedShreds = UInt64(number(end["repairedShreds"]))
            replica.failure = end["failure"] as? String
            if replica.heightsBehind > 300 || !replica.stateCommitmentMatches {
                replica.verdict = .fallsBehind
            }
            if node.final == nil, replica.failure == nil {
                replica.failure = "no report: \(node.child.logTail(lines: 1))"
            }
            report.replicas.append(replica)
        }
        for node in nodes {
            report.processes.append(
                DemoReport.ProcessShare(
                    name: node.child.name, role: node.child.role,
                    cpuPercent: wall > 0 ? max(0, node.cpuSeconds - node.cpuAtStart) * 100 / wall : 0,
                    peakMemoryMiB: node.peakMemoryMiB))
        }
        return report
    }
}

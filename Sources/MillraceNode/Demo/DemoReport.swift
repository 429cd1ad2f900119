/// What a demo run found: the object behind `millrace demo --json` (Protocol-Spec/cli.md).

public import MillraceBase
public import MillraceCore

public struct DemoReport: Sendable {
    public struct Replica: Sendable {
        public var name: String
        public var verdict: LinkVerdict
        public var stateCommitmentMatches: Bool
        public var stateCommitment: String
        public var lagMsP50 = 0.0
        public var lagMsP99 = 0.0
        public var lagMsP999 = 0.0
        public var lagMsMax = 0.0
        public var slopeMsPerSec = 0.0
        public var stalls = 0
        public var longestStallMs = 0.0
        public var heightsBehind: UInt64 = 0
        public var receivedMbitPerSec = 0.0
        public var receivedBytes: UInt64 = 0
        public var repairRequests: UInt64 = 0
        public var repairedShreds: UInt64 = 0
        public var failure: String?
    }

    public struct ProcessShare: Sendable {
        public var name: String
        public var role: String
        /// Share of one core while the stream ran.
        public var cpuPercent: Double
        public var peakMemoryMiB: Double
    }

    public var source = ""
    public var link = ""
    public var transactions: UInt64 = 0
    public var miniBlocks: UInt64 = 0
    public var seconds = 0.0
    /// Without bridges.
    public var payloadBytes: UInt64 = 0
    public var bridgeMiniBlocks: UInt64 = 0
    public var bridgePayloadBytes: UInt64 = 0
    public var sequencerCommitment = ""
    public var sequencerHeight: UInt64 = 0
    public var replicas: [Replica] = []
    public var processes: [ProcessShare] = []
    public var killedRelay: String?

    public init() {}

    public var tps: Double { seconds > 0 ? Double(transactions) / seconds : 0 }
    public var payloadBytesPerTx: Double {
        transactions > 0 ? Double(payloadBytes) / Double(transactions) : 0
    }
    /// Bytes on a replica's line, IP and UDP headers included, averaged over the replicas.
    public var wireBytesPerTx: Double {
        guard transactions > 0, !replicas.isEmpty else { return 0 }
        let received = replicas.reduce(0.0) { $0 + Double($1.receivedBytes) }
        return received / Double(replicas.count) / Double(transactions)
    }
    public var verdict: LinkVerdict {
        replicas.isEmpty ? .fallsBehind : replicas.reduce(.keepsUp) { $0.worse(than: $1.verdict) }
    }
    public var allMatch: Bool { !replicas.isEmpty && replicas.allSatisfy(\.stateCommitmentMatches) }

    public var json: JSON {
        .object([
            ("verdict", .string(verdict.rawValue)),
            ("source", .string(source)),
            ("link", .string(link)),
            ("seconds", .number(seconds)),
            ("transactions", .unsigned(transactions)),
            ("miniBlocks", .unsigned(miniBlocks)),
            ("tps", .number(tps, decimals: 0)),
            ("payloadBytes", .unsigned(payloadBytes)),
            ("bridgeMiniBlocks", .unsigned(bridgeMiniBlocks)),
            ("bridgePayloadBytes", .unsigned(bridgePayloadBytes)),
            ("payloadBytesPerTx", .number(payloadBytesPerTx)),
            ("wireBytesPerTx", .number(wireBytesPerTx)),
            (
                "sequencer",
                .object([
                    ("stateCommitment", .string(sequencerCommitment)), ("height", .unsigned(sequencerHeight)),
                ])
            ),
            ("killedRelay", killedRelay.map { .string($0) } ?? .null),
            ("replicas", .array(replicas.map(\.json))),
            (
                "processes",
                .array(
                    processes.map {
                        .object([
                            ("name", .string($0.name)), ("role", .string($0.role)),
                            ("cpuPercent", .number($0.cpuPercent, decimals: 1)),
                            ("peakMemoryMiB", .number($0.peakMemoryMiB, decimals: 1)),
                        ])
                    })
            ),
        ])
    }
}

extension DemoReport {
    /// The result for people.
    public var text: String {
        func number(_ value: Double, _ decimals: Int) -> String {
            JSON.number(value, decimals: decimals).text()
        }
        func column(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        var lines = [
            "",
            "\(source) over \(link)",
            "\(transactions) transactions in \(number(seconds, 1)) s (\(number(tps, 0)) tx/s), "
                + "\(number(payloadBytesPerTx, 2)) payload bytes and \(number(wireBytesPerTx, 2)) wire bytes per transaction",
            "",
            "  replica       verdict               lag ms p50    p99  p99.9    max   Mbit/s in  repaired  state",
        ]
        for replica in replicas {
            let name = replica.name.padding(to: 12)
            let verdict = replica.verdict.sentence.padding(to: 21)
            lines.append(
                "  \(name)  \(verdict) \(column(number(replica.lagMsP50, 0), 10)) \(column(number(replica.lagMsP99, 0), 6)) "
                    + "\(column(number(replica.lagMsP999, 0), 6)) \(column(number(replica.lagMsMax, 0), 6)) "
                    + "\(column(number(replica.receivedMbitPerSec, 2), 11)) \(column(String(replica.repairedShreds), 9))  "
                    + (replica.stateCommitmentMatches ? "matches" : "DIFFERS")
                    + (replica.heightsBehind > 0 ? ", \(replica.heightsBehind) behind" : "")
                    + (replica.failure.map { "; \($0)" } ?? ""))
        }
        lines.append("")
        let shares = processes.filter { $0.role != "line" }.map { "\($0.name) \(number($0.cpuPercent, 0))" }
        let line = processes.filter { $0.role == "line" }.reduce(0) { $0 + $1.cpuPercent }
        lines.append(
            "  CPU % of a core: " + shares.joined(separator: ", ") + ", the impaired lines \(number(line, 0))"
        )
        if let killedRelay { lines.append("  \(killedRelay) was killed on the way") }
        lines.append("  state commitment \(sequencerCommitment) at height \(sequencerHeight)")
        lines.append("")
        lines.append(
            "verdict: \(verdict.sentence)"
                + (allMatch ? "" : "; not every replica ended in the sequencer's state"))
        return lines.joined(separator: "\n")
    }
}

extension String {
    fileprivate func padding(to width: Int) -> String {
        self + String(repeating: " ", count: max(0, width - count))
    }
}

extension DemoReport.Replica {
    public var json: JSON {
        .object([
            ("name", .string(name)),
            ("verdict", .string(verdict.rawValue)),
            ("stateCommitmentMatches", .bool(stateCommitmentMatches)),
            ("stateCommitment", .string(stateCommitment)),
            ("lagMsP50", .number(lagMsP50)),
            ("lagMsP99", .number(lagMsP99)),
            ("lagMsP999", .number(lagMsP999)),
            ("lagMsMax", .number(lagMsMax)),
            ("slopeMsPerSec", .number(slopeMsPerSec)),
            ("stalls", .integer(Int64(stalls))),
            ("longestStallMs", .number(longestStallMs)),
            ("heightsBehind", .unsigned(heightsBehind)),
            ("receivedMbitPerSec", .number(receivedMbitPerSec)),
            ("receivedBytes", .unsigned(receivedBytes)),
            ("repairRequests", .unsigned(repairRequests)),
            ("repairedShreds", .unsigned(repairedShreds)),
            ("failure", failure.map { .string($0) } ?? .null),
        ])
    }
}

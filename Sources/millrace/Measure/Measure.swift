/// `millrace measure`: figures of a part on its own. `measure codec` says what a stream's diffs cost on the wire and in time,
/// beside zstd in the same run.

import ArgumentParser
import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceRecording

struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a part on its own.", subcommands: [MeasureCodec.self])
}

struct MeasureCodec: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Encode and decode a stream of diffs: bytes per transaction, speed, and zstd beside it.",
        discussion:
            "FILE is a recording (.mill) or a workload file (SDW1, plain or compressed). Every mini-block is decoded "
            + "again and compared; bridges are coded but left out of the figures.")
    @Argument(help: "A recording or an SDW1 file.") var file: String
    @Option(name: .customLong("mini-block"), help: "Transactions per mini-block of an SDW1 file.")
    var miniBlock = 1000
    @Option(help: "Transactions at the start to code but not to count.") var skip: UInt64 = 0
    @Flag(inversion: .prefixedNo, help: "Run zstd on the same diffs.") var peers = true
    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...1_000_000).contains(miniBlock) else {
            throw ValidationError("--mini-block is \(miniBlock), expected 1 to 1000000 transactions")
        }
    }

    func run() throws {
        do {
            let measurement = CodecMeasurement(try open(), skip: skip, withPeers: peers)
            try measurement.run()
            guard measurement.transactions > 0 else {
                throw Failure(.failed, "\(file): no transactions to measure after the first \(skip)")
            }
            report(measurement)
        } catch let error as RecordingError {
            // Messages of files name their file already.
            throw Failure(
                .failed, error.message.hasPrefix(file) ? error.message : "\(file): \(error.message)")
        }
    }

    private func open() throws -> any DiffStream {
        let start = try InputFile(path: file)
        var head: [UInt8] = []
        _ = try start.read(appendingTo: &head)
        if head.starts(with: Array("SDW1".utf8)) {
            return try WorkloadFileStream(path: file, perMiniBlock: miniBlock)
        }
        return try RecordedStream(path: file)
    }

    private func report(_ m: CodecMeasurement) {
        let transactions = Double(m.transactions)
        let perTx = Double(m.payloadBytes) / transactions
        let columns = ColumnLedger.Column.allCases.filter { $0 != .form }.map { column in
            (name: "\(column)", bits: m.ledger[column] / transactions)
        }
        let cadence: [(String, JSON)] = [
            ("cadence", .string("c0")),
            ("payloadBytesPerTx", .number(perTx)),
            ("mbitPerSecAt100kTPS", .number(perTx * 0.8)),
            ("ratioToRaw", .number(Double(m.rawBytes) / Double(m.payloadBytes))),
            ("largestRatioToMerged", .number(m.largestRatioToMerged, decimals: 4)),
            ("encodeTPSPerCore", .number(transactions / m.encodeSeconds, decimals: 0)),
            ("decodeApplyTPSPerCore", .number(transactions / m.decodeSeconds, decimals: 0)),
        ]
        let object: JSON = .object([
            ("file", .string(file)),
            ("miniBlocks", .integer(Int64(m.miniBlocks))),
            ("bridgeMiniBlocks", .integer(Int64(m.bridges))),
            ("transactions", .unsigned(m.transactions)),
            ("skippedTransactions", .unsigned(m.skipped)),
            ("rawBytesPerTx", .number(Double(m.rawBytes) / transactions)),
            ("mergedBytesPerTx", .number(Double(m.mergedBytes) / transactions)),
            ("changesPerTx", .number(Double(m.changes) / transactions)),
            ("cadences", .array([.object(cadence)])),
            (
                "columns",
                .array(
                    columns.map { .object([("name", .string($0.name)), ("bitsPerTx", .number($0.bits))]) })
            ),
            (
                "peers",
                .array(
                    m.peers.map { peer in
                        .object([
                            ("name", .string(peer.name)),
                            ("bytesPerTx", .number(Double(peer.bytes) / Double(peer.transactions))),
                            (
                                "encodeTPSPerCore",
                                .number(Double(peer.transactions) / peer.seconds, decimals: 0)
                            ),
                            ("transactions", .unsigned(peer.transactions)),
                        ])
                    })
            ),
            ("verified", .bool(true)),
        ])
        output.result(object, text(m, columns))
    }

    private func text(_ m: CodecMeasurement, _ columns: [(name: String, bits: Double)]) -> String {
        let transactions = Double(m.transactions)
        func line(_ name: String, _ bytes: Double, _ rest: String) -> String {
            let number = JSON.number(bytes, decimals: 2).text()
            return pad(name, 24) + pad(number, 9, left: true) + " B/tx   " + rest
        }
        func rate(_ seconds: Double, _ count: Double) -> String {
            JSON.number(count / seconds / 1000, decimals: 0).text() + "k TPS per core"
        }
        var lines = [
            "\(m.transactions) transactions in \(m.miniBlocks) mini-blocks, every one decoded and compared"
                + (m.bridges > 0 ? "; \(m.bridges) bridges left out" : ""),
            line("raw, per transaction", Double(m.rawBytes) / transactions, ""),
            line("merged", Double(m.mergedBytes) / transactions, ""),
            line(
                "level 1", Double(m.payloadBytes) / transactions,
                "encode \(rate(m.encodeSeconds, transactions)), decode and apply \(rate(m.decodeSeconds, transactions))"
            ),
        ]
        for peer in m.peers {
            let count = Double(peer.transactions)
            lines.append(line(peer.name, Double(peer.bytes) / count, "compress \(rate(peer.seconds, count))"))
        }
        lines.append("level 1 by column:")
        for column in columns where column.bits > 0 {
            lines.append(line("  " + column.name, column.bits / 8, ""))
        }
        return lines.joined(separator: "\n")
    }

    private func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? space + text : text + space
    }
}

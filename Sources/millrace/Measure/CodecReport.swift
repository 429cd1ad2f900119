/// A measurement's figures under the names that `Protocol-Spec/cli.md` gives them, as JSON and as text.

import MillraceBase
import MillraceCodec
import MillraceWire

struct CodecReport {
    /// What a swap writes of state as published: 52 per account, 20 per contract, 64 per slot.
    static let publishedBytesPerTx = 624.0
    static let realTimeTPS = 100_000.0

    struct Column {
        var name: String
        var bitsPerTx: Double
    }

    struct CadenceFigures {
        var name: String
        var payloads: Int
        var transactions: UInt64
        var bytesPerTx: Double
        var rawBytesPerTx: Double
        var mergedBytesPerTx: Double
        var changesPerTx: Double
        var ratioToRaw: Double
        var largestRatioToMerged: Double
        var payloadHash: Hash32
        var encodeTPS: Double
        var decodeTPS: Double
        var columns: [Column]

        var ratioToPublished: Double { publishedBytesPerTx / bytesPerTx }
        var mbitPerSec: Double { bytesPerTx * 8 * realTimeTPS / 1e6 }
    }

    struct Peer {
        var name: String
        var bytesPerTx: Double
        var tps: Double
        var transactions: UInt64
    }

    struct ProfileLine {
        var stage: String
        var nanosecondsPerTx: Double
        /// Of its side, encoding or decoding.
        var share: Double
    }

    var source: String
    var files: [String]
    var cold: ColdState
    var skipped: UInt64
    var bridges: Int
    var cadences: [CadenceFigures]
    var peers: [Peer]
    var orderZeroBytesPerTx: Double?
    var estimate: SourceEstimate?
    var profile: [ProfileLine]
    var units: [UnitTally]

    /// Cadences without a payload to count are left out; nil when none is left.
    init?(
        _ measurement: CodecMeasurement, source: String, files: [String], cold: ColdState, users: UserLaw
    ) {
        self.source = source
        self.files = files
        self.cold = cold
        skipped = measurement.skipped
        bridges = measurement.bridges
        let runs = measurement.runs.filter { $0.transactions > 0 }
        guard let first = runs.first else { return nil }
        cadences = runs.map(CodecReport.figures)
        peers = (measurement.peers?.all ?? []).filter { $0.transactions > 0 }.map {
            let count = Double($0.transactions)
            return Peer(
                name: $0.name, bytesPerTx: Double($0.bytes) / count, tps: count / max($0.seconds, 1e-9),
                transactions: $0.transactions)
        }
        orderZeroBytesPerTx = measurement.peers.map(\.orderZeroBytesPerTx)
        estimate = measurement.source?.estimate(users, accountsBefore: measurement.accountsBefore)
        profile = CodecReport.profile(first)
        units = first.units.filter { $0.transactions > 0 }
    }

    private static func figures(_ run: CadenceRun) -> CadenceFigures {
        let count = Double(run.transactions)
        return CadenceFigures(
            name: "\(run.cadence)", payloads: run.payloads, transactions: run.transactions,
            bytesPerTx: Double(run.payloadBytes) / count, rawBytesPerTx: Double(run.rawBytes) / count,
            mergedBytesPerTx: Double(run.mergedBytes) / count, changesPerTx: Double(run.changes) / count,
            ratioToRaw: Double(run.rawBytes) / Double(max(run.payloadBytes, 1)),
            largestRatioToMerged: run.largestRatioToMerged, payloadHash: run.payloadHash,
            encodeTPS: count / run.encodeSeconds,
            decodeTPS: count / run.decodeSeconds,
            columns: ColumnLedger.Column.allCases.filter {
                ![.form, .checks, .execution, .patches].contains($0)
            }.map {
                Column(name: "\($0)", bitsPerTx: run.ledger[$0] / count)
            })
    }

    /// Both sides' time by column, the rest of it, and the other stages. Columns are timed in passes of their own, which the
    /// timing slows down; what they give is shares of the time that the codec takes by itself.
    private static func profile(_ run: CadenceRun) -> [ProfileLine] {
        let count = Double(run.transactions)
        var lines: [ProfileLine] = []
        func add(_ stage: String, _ nanoseconds: Double, of total: Double) {
            lines.append(
                ProfileLine(
                    stage: stage, nanosecondsPerTx: nanoseconds / count, share: nanoseconds / (total * 1e9)))
        }
        func add(_ stage: Stage, _ ledger: ColumnLedger, profiled: Int64, of total: Double) {
            let scale = Double(run.nanoseconds(stage)) / Double(max(profiled, 1))
            var rest = profiled
            for column in ColumnLedger.Column.allCases where column != .form {
                let spent = ledger.nanoseconds(column)
                if spent == 0 { continue }
                add("\(stage).\(column)", Double(spent) * scale, of: total)
                rest -= spent
            }
            add("\(stage).rest", Double(max(rest, 0)) * scale, of: total)
        }
        add(.encode, run.ledger, profiled: run.profiledEncode, of: run.encodeSeconds)
        add("encode.advance", Double(run.nanoseconds(.encodeAdvance)), of: run.encodeSeconds)
        add(.decode, run.decoderLedger, profiled: run.profiledDecode, of: run.decodeSeconds)
        for stage in [Stage.apply, .decodeAdvance] {
            add(stage.rawValue, Double(run.nanoseconds(stage)), of: run.decodeSeconds)
        }
        return lines
    }

    /// The middle one of the blocks' ratios (the lower of two); nil where the stream is one.
    var medianRatioToRaw: Double? {
        units.isEmpty ? nil : units.map(\.ratioToRaw).sorted()[(units.count - 1) / 2]
    }
}

// MARK: JSON

extension CodecReport {
    var json: JSON {
        let first = cadences[0]
        var fields: [(String, JSON)] = [
            ("file", .string(source)),
            ("files", .array(files.map { .string($0) })),
            ("coldAccounts", .integer(Int64(cold.accounts))),
            ("coldSlots", .integer(Int64(cold.slots))),
            ("miniBlocks", .integer(Int64(first.payloads))),
            ("bridgeMiniBlocks", .integer(Int64(bridges))),
            ("transactions", .unsigned(first.transactions)),
            ("skippedTransactions", .unsigned(skipped)),
            ("rawBytesPerTx", .number(first.rawBytesPerTx)),
            ("publishedBytesPerTx", .number(CodecReport.publishedBytesPerTx)),
            ("mergedBytesPerTx", .number(first.mergedBytesPerTx)),
            ("changesPerTx", .number(first.changesPerTx)),
            ("cadences", .array(cadences.map(json))),
            ("columns", json(first.columns)),
            ("peers", .array(peers.map(json))),
            (
                "entropy",
                .object([
                    ("orderZeroBytesPerTx", orderZeroBytesPerTx.map { .number($0) } ?? .null),
                    ("sourceBytesPerTx", estimate.map { .number($0.bytesPerTx) } ?? .null),
                    ("understoodShare", estimate.map { .number($0.understoodShare, decimals: 4) } ?? .null),
                    ("parts", .array((estimate?.parts ?? []).map(json))),
                ])
            ),
            (
                "profile",
                .array(
                    profile.map {
                        .object([
                            ("stage", .string($0.stage)),
                            ("nsPerTx", .number($0.nanosecondsPerTx, decimals: 1)),
                            ("share", .number($0.share)),
                        ])
                    })
            ),
        ]
        if let median = medianRatioToRaw {
            fields.append(("medianRatioToRaw", .number(median)))
            fields.append(
                (
                    "blocks",
                    .array(
                        units.map {
                            .object([
                                ("block", .string($0.name)), ("transactions", .unsigned($0.transactions)),
                                ("rawBytes", .unsigned($0.rawBytes)),
                                ("payloadBytes", .integer(Int64($0.payloadBytes))),
                                ("ratioToRaw", .number($0.ratioToRaw)),
                            ])
                        })
                ))
        }
        fields.append(("verified", .bool(true)))
        return .object(fields)
    }

    private func json(_ figures: CadenceFigures) -> JSON {
        .object([
            ("name", .string(figures.name)),
            ("cadence", .string(figures.name)),
            ("payloads", .integer(Int64(figures.payloads))),
            ("transactions", .unsigned(figures.transactions)),
            ("bytesPerTx", .number(figures.bytesPerTx)),
            ("payloadBytesPerTx", .number(figures.bytesPerTx)),
            ("mbitPerSecAt100kTps", .number(figures.mbitPerSec)),
            ("mbitPerSecAt100kTPS", .number(figures.mbitPerSec)),
            ("rawBytesPerTx", .number(figures.rawBytesPerTx)),
            ("mergedBytesPerTx", .number(figures.mergedBytesPerTx)),
            ("ratioToRaw", .number(figures.ratioToRaw)),
            ("ratioToPublished", .number(figures.ratioToPublished)),
            ("largestRatioToMerged", .number(figures.largestRatioToMerged, decimals: 4)),
            ("payloadHash", .string("\(figures.payloadHash)")),
            ("encodeTpsPerCore", .number(figures.encodeTPS, decimals: 0)),
            ("decodeTpsPerCore", .number(figures.decodeTPS, decimals: 0)),
            ("encodeTPSPerCore", .number(figures.encodeTPS, decimals: 0)),
            ("decodeApplyTPSPerCore", .number(figures.decodeTPS, decimals: 0)),
            ("encodeRealTimeRatio", .number(figures.encodeTPS / CodecReport.realTimeTPS, decimals: 2)),
            ("decodeRealTimeRatio", .number(figures.decodeTPS / CodecReport.realTimeTPS, decimals: 2)),
            ("columns", json(figures.columns)),
        ])
    }

    private func json(_ columns: [Column]) -> JSON {
        .array(
            columns.map { .object([("name", .string($0.name)), ("bitsPerTx", .number($0.bitsPerTx))]) })
    }

    private func json(_ part: SourceEstimate.Part) -> JSON {
        .object([
            ("name", .string(part.name)), ("bitsPerTx", .number(part.bitsPerTx)), ("how", .string(part.how)),
        ])
    }

    private func json(_ peer: Peer) -> JSON {
        .object([
            ("name", .string(peer.name)),
            ("bytesPerTx", .number(peer.bytesPerTx)),
            ("encodeTPSPerCore", .number(peer.tps, decimals: 0)),
            ("encodeTpsPerCore", .number(peer.tps, decimals: 0)),
            ("encodeRealTimeRatio", .number(peer.tps / CodecReport.realTimeTPS, decimals: 2)),
            ("transactions", .unsigned(peer.transactions)),
        ])
    }
}

// MARK: Text

extension CodecReport {
    var text: String {
        let first = cadences[0]
        var lines = [
            "\(first.transactions) transactions in \(first.payloads) "
                + (units.isEmpty ? "mini-blocks" : "blocks") + ", every one decoded and compared"
                + (skipped > 0 ? "; \(skipped) before them not counted" : "")
                + (bridges > 0 ? "; \(bridges) bridges left out" : ""),
            coldText,
            line("raw, per transaction", first.rawBytesPerTx, ""),
            line("merged", first.mergedBytesPerTx, ""),
        ]
        for cadence in cadences {
            lines.append(
                line(
                    cadence.name, cadence.bytesPerTx,
                    "\(decimal(cadence.ratioToRaw, 1))x of raw, \(decimal(cadence.ratioToPublished, 1))x of 624; "
                        + "\(decimal(cadence.mbitPerSec, 2)) Mbit/s at 100k TPS; "
                        + "encode \(rate(cadence.encodeTPS)), decode and apply \(rate(cadence.decodeTPS))"))
        }
        for peer in peers {
            lines.append(line(peer.name, peer.bytesPerTx, "compress \(rate(peer.tps))"))
        }
        if let orderZeroBytesPerTx {
            lines.append(line("order-0 entropy, merged", orderZeroBytesPerTx, ""))
        }
        if let estimate {
            lines.append(
                line(
                    "source entropy, estimate", estimate.bytesPerTx,
                    "of \(decimal(estimate.understoodShare * 100, 1)) % of the transactions"))
            for part in estimate.parts {
                lines.append(line("  " + part.name, part.bitsPerTx / 8, part.how))
            }
        }
        lines.append("\(first.name) by column:")
        for column in first.columns where column.bitsPerTx > 0 {
            lines.append(line("  " + column.name, column.bitsPerTx / 8, ""))
        }
        lines.append("time of a core:")
        for line in profile where line.nanosecondsPerTx >= 0.05 {
            lines.append(
                pad("  " + line.stage, 26) + pad(decimal(line.nanosecondsPerTx, 1), 9, left: true) + " ns/tx "
                    + pad(decimal(line.share * 100, 1), 6, left: true) + " %")
        }
        if let median = medianRatioToRaw {
            lines.append("blocks (median \(decimal(median, 2))x of raw):")
            for unit in units {
                lines.append(
                    pad("  " + unit.name, 26)
                        + pad(
                            decimal(Double(unit.payloadBytes) / Double(unit.transactions), 2), 9, left: true)
                        + " B/tx   \(decimal(unit.ratioToRaw, 2))x of raw, \(unit.transactions) transactions")
            }
        }
        return lines.joined(separator: "\n")
    }

    /// What cold keys are named in.
    var coldText: String {
        func part(_ universe: Int, _ what: String) -> String {
            universe == 0 ? "\(what) at their own ids" : "\(what) spread over \(power(universe))"
        }
        return "cold \(part(cold.accounts, "accounts")), cold \(part(cold.slots, "slots"))"
    }

    private func power(_ value: Int) -> String {
        value.nonzeroBitCount == 1 && value > 1 ? "2^\(value.trailingZeroBitCount)" : "\(value)"
    }

    private func line(_ name: String, _ bytes: Double, _ rest: String) -> String {
        let text = pad(name, 26) + pad(decimal(bytes, 2), 9, left: true) + " B/tx"
        return rest.isEmpty ? text : text + "   " + rest
    }

    private func rate(_ tps: Double) -> String {
        "\(decimal(tps / 1000, 0))k TPS (\(decimal(tps / CodecReport.realTimeTPS, 1))x real time)"
    }

    private func pad(_ text: String, _ width: Int, left: Bool = false) -> String {
        let space = String(repeating: " ", count: max(0, width - text.count))
        return left ? space + text : text + space
    }
}

/// With at most so many digits behind the point.
func decimal(_ value: Double, _ digits: Int) -> String { JSON.number(value, decimals: digits).text() }

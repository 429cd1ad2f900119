/// The stream a demo plays: a recording as given, or a workload generated into one before the clock starts, so that the
/// generator's CPU time is not the stream's.

public import Foundation
import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

public struct DemoStream: Sendable {
    public var file: URL
    public var name: String
    public var transactions: UInt64
    public var miniBlocks: UInt64

    /// `recording` wins over the workload. Progress is one sentence now and then.
    public static func prepare(
        recording: String?, workload: String, tps: Int, seconds: Int, accounts: Int, seed: UInt64,
        folder: URL, interruption: Interruption, progress: ((String) -> Void)?
    ) throws -> DemoStream {
        do {
            if let recording { return try existing(recording) }
            var spec = try WorkloadSpec(workload)
            if !workload.contains("tps=") { try spec.set("tps", to: String(tps)) }
            if !workload.contains("accounts=") { try spec.set("accounts", to: String(accounts)) }
            if !workload.contains("seed=") { spec.seed = seed }
            if !workload.contains("seconds=") { try spec.set("seconds", to: String(seconds)) }
            return try generate(spec, folder: folder, interruption: interruption, progress: progress)
        } catch let error as WorkloadError {
            throw ConfigError(error.description)
        } catch let error as RecordingError {
            throw SourceError(error.message)
        }
    }

    private static func existing(_ path: String) throws -> DemoStream {
        let reader = try RecordingReader(path: path)
        var diff = StateDiff()
        while try reader.nextDiff(into: &diff) {}
        if let torn = reader.tornTail { throw SourceError(torn.message) }
        let totals = reader.totals
        guard totals.miniBlocks > 0 else { throw SourceError("\(path): the recording holds no mini-blocks") }
        return DemoStream(
            file: URL(fileURLWithPath: path), name: "recording:\(path)", transactions: totals.transactions,
            miniBlocks: totals.miniBlocks + totals.bridgeMiniBlocks)
    }

    private static func generate(
        _ spec: WorkloadSpec, folder: URL, interruption: Interruption, progress: ((String) -> Void)?
    ) throws -> DemoStream {
        let file = folder.appendingPathComponent("stream.mill")
        let miniBlocks = spec.miniBlocks ?? 2_000
        let began = Date()
        let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(spec.seed))
        let writer = try RecordingWriter(
            path: file.path, header: RecordingHeader(chainID: 1, description: spec.text))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) { try writer.write(genesis: diff) }
        var transactions: UInt64 = 0
        var told = Date()
        for height in 1...miniBlocks {
            guard
                try stream.nextMiniBlock(
                    transactions: spec.transactions(atHeight: height), sealedAtMicroseconds: height * 10_000,
                    into: &diff)
            else { break }
            if interruption.hasHappened { throw DemoError("interrupted") }
            transactions += diff.transactions
            try writer.write(diff)
            if let progress, Date().timeIntervalSince(told) > 1 {
                told = Date()
                let share = Double(height) / Double(miniBlocks)
                let left = Date().timeIntervalSince(began) * (1 - share) / share
                progress("generating: \(Int(share * 100)) %, \(Int(left.rounded(.up))) s left")
            }
        }
        try writer.finish()
        let seconds = Date().timeIntervalSince(began)
        progress?(
            "generated \(transactions) transactions (\(spec.text)) in \(String(format: "%.1f", seconds)) s")
        return DemoStream(file: file, name: spec.text, transactions: transactions, miniBlocks: stream.height)
    }
}

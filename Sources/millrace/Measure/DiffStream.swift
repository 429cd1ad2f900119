/// Where `measure` takes diffs from: a recording as it is, a workload (a file or generated) merged into mini-blocks on the
/// way, or blocks of traces (BlockStream.swift).

import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

/// What a stream gives next.
enum StreamStep {
    /// A diff: genesis first, then heights without gaps.
    case diff
    /// Nothing yet; what follows stands on a state of its own, and belongs to this block.
    case newUnit(String)
    case end
}

/// Diffs in order. `state` always stands before the diff to come, or between two; the caller applies what it gets to it.
protocol DiffStream: AnyObject {
    var state: State { get }
    /// Replaces `diff` by the next one.
    func next(into diff: inout StateDiff) throws -> StreamStep
}

/// A recording's diffs, mini-blocks as recorded.
final class RecordedStream: DiffStream {
    let state = State(seed: Seed(1))
    private let reader: RecordingReader

    init(path: String) throws { reader = try RecordingReader(path: path) }

    func next(into diff: inout StateDiff) throws -> StreamStep {
        if try reader.nextDiff(into: &diff) { return .diff }
        if let torn = reader.tornTail { note("millrace: \(torn.message)") }
        return .end
    }
}

/// A workload's transactions, so many to a mini-block. Keys that have a value before the stream are one genesis diff: ids
/// then follow addresses and slot numbers, and tell nothing of when a key is touched first, or how often. (A node seals
/// genesis in parts, to save memory; its ids tell.)
final class WorkloadDiffStream: DiffStream {
    let state = State(seed: Seed(1))
    private let workload: any Workload
    private let name: String
    private let builder: DiffBuilder
    private let transactionsAt: (UInt64) -> Int
    /// Nil: until the workload ends.
    private let miniBlocks: UInt64?
    private var height: UInt64 = 0
    private var gaveGenesis = false

    /// `name` stands in messages.
    init(
        _ workload: any Workload, name: String, miniBlocks: UInt64? = nil,
        transactionsAt: @escaping (UInt64) -> Int
    ) {
        self.workload = workload
        self.name = name
        self.miniBlocks = miniBlocks
        self.transactionsAt = transactionsAt
        builder = DiffBuilder(state: state, findsOperations: true)
    }

    func next(into diff: inout StateDiff) throws -> StreamStep {
        do throws(WorkloadError) {
            if !gaveGenesis {
                gaveGenesis = true
                while try workload.nextGenesisChunk(into: builder) {}
                builder.seal(
                    kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
                return .diff
            }
            if let miniBlocks, height >= miniBlocks { return .end }
            let wanted = transactionsAt(height + 1)
            var count = 0
            while count < wanted, try workload.nextTransaction(into: builder) { count += 1 }
            // A quiet network's mini-blocks are empty; one that wanted transactions and got none is the end.
            if count == 0, wanted > 0 { return .end }
        } catch {
            throw Failure(.failed, "\(name): \(error)")
        }
        height += 1
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: height * 10_000, into: &diff)
        return .diff
    }
}

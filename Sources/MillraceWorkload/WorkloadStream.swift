/// A workload as sealed diffs: owns the state they apply to and takes the order of calls upon itself.
///
///     let stream = WorkloadStream(workload, seed: Seed(1))
///     while try stream.nextGenesis(into: &diff) { … }
///     while try stream.nextMiniBlock(transactions: 1_000, sealedAtMicroseconds: t, into: &diff) { … }
///
/// After each call the diff is already applied to `state`.

public import MillraceBase
public import MillraceDiff

public final class WorkloadStream {
    public let workload: any Workload
    public let state: State
    /// The last sealed height; 0 before the first mini-block.
    public private(set) var height: UInt64 = 0
    /// What the mini-blocks so far wrote, before merging.
    public private(set) var counts = WriteCounts()
    private let builder: DiffBuilder
    private var isExhausted = false

    /// The seed is that of the state's key index; it shows nowhere in the diffs.
    public init(_ workload: any Workload, seed: Seed, findsOperations: Bool = true) {
        self.workload = workload
        state = State(seed: seed)
        builder = DiffBuilder(state: state, findsOperations: findsOperations)
    }

    /// The next part of the state before the stream; false when there is no more. Chunks that write nothing are left out.
    public func nextGenesis(into diff: inout StateDiff) throws(WorkloadError) -> Bool {
        while try workload.nextGenesisChunk(into: builder) {
            builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
            try apply(diff)
            if !diff.isEmpty { return true }
        }
        return false
    }

    /// Seals the next height from at most `transactions` transactions; false when the workload had ended before. With
    /// zero transactions the mini-block is empty.
    public func nextMiniBlock(
        transactions: Int, sealedAtMicroseconds: UInt64, into diff: inout StateDiff
    ) throws(WorkloadError) -> Bool {
        var written = 0
        while written < transactions, !isExhausted {
            if try workload.nextTransaction(into: builder) {
                written += 1
            } else {
                isExhausted = true
            }
        }
        if isExhausted, written == 0 { return false }
        height += 1
        let sealed = builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: sealedAtMicroseconds,
            into: &diff)
        counts = counts + sealed
        try apply(diff)
        return true
    }

    private func apply(_ diff: StateDiff) throws(WorkloadError) {
        do throws(DiffError) {
            try state.apply(diff)
        } catch {
            throw WorkloadError("\(workload.name): a sealed diff does not apply: \(error)")
        }
    }
}

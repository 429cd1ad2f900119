/// Everything that can be checked about a recording without a network: every frame (head check, CRC, hash chain), that it
/// ends properly, that its index says what it holds, that every diff fits the state before it (so every old value is the
/// previous new one), and that the state hashes to each commitment in it.

public import MillraceBase
public import MillraceDiff

public struct RecordingReport: Sendable {
    public var header: RecordingHeader
    public var totals = RecordingTotals()
    public var frames = 0
    public var bytes: UInt64 = 0
    /// After the last diff.
    public var stateCommitment = Hash32.zero
    public var commitmentsChecked = 0
}

public enum RecordingVerifier {
    /// Verifies by applying everything to `state`, which must be empty. Throws the first thing that is wrong.
    public static func verify(_ reader: RecordingReader, state: State) throws(RecordingError)
        -> RecordingReport
    {
        precondition(state.accountCount == 0 && state.height == 0, "verification starts from an empty state")
        let commitment = StateCommitment(of: state)
        var report = RecordingReport(header: reader.header)
        while let item = try reader.next() {
            switch item {
            case .genesis(let diff), .diff(let diff):
                try state.apply(diff, from: reader)
            case .commitment(let recorded):
                let now = commitment.commitmentNow()
                guard now == recorded.commitment else {
                    throw RecordingError(
                        .mismatch,
                        "\(reader.name): frame \(reader.frameCount): the state after height \(recorded.height) "
                            + "hashes to \(now), the recording says \(recorded.commitment)")
                }
                report.commitmentsChecked += 1
            }
        }
        if let torn = reader.tornTail { throw torn }
        report.totals = reader.totals
        report.frames = reader.frameCount
        report.bytes = reader.byteCount
        report.stateCommitment = commitment.commitmentNow()
        return report
    }
}

extension State {
    /// Applies a diff out of a recording; a refusal becomes a sentence that names the frame.
    public func apply(_ diff: StateDiff, from reader: RecordingReader) throws(RecordingError) {
        do {
            try apply(diff)
        } catch {
            let place = diff.kind == .genesis ? "a genesis diff" : "the diff of height \(diff.firstHeight)"
            throw RecordingError(
                .mismatch,
                "\(reader.name): frame \(reader.frameCount): \(place) does not fit the state before it (\(error))"
            )
        }
    }

    /// Applies everything that is left in a recording; answers the last diff's height.
    @discardableResult
    public func apply(all reader: RecordingReader) throws(RecordingError) -> UInt64 {
        var diff = StateDiff()
        while try reader.nextDiff(into: &diff) { try apply(diff, from: reader) }
        return height
    }
}

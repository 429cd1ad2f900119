/// A replica's own computation: payloads of the verified slices decoded against the state, applied, and the state's
/// commitment kept, frozen at EVM boundaries and hashed in steps. `ReplicaCore` calls it with one height after the other.
///
/// A payload that does not decode leaves the state as it was. Nothing here knows of peers or time.

import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceWire

final class Execution {
    /// Steps over which a commitment is hashed: well before the signed one comes.
    static let commitmentSteps = 80

    let state: State
    let genesisCommitment: Hash32
    private let codec = Codec()
    private let commitment: StateCommitment
    private var diff = StateDiff()
    private var joined: [UInt8] = []
    /// The boundary frozen here and not yet compared; 0 when none.
    private var frozenHeight: UInt64 = 0
    private var leavesPerStep = 4_096
    /// The height whose share of the commitment waits until others have what they wait for; 0 when none does.
    private var owedHeight: UInt64 = 0

    init(state: State) {
        self.state = state
        commitment = StateCommitment(of: state)
        genesisCommitment = commitment.commitmentNow()
    }

    /// Decodes and applies every height of a complete entry; answers the transactions of the last. Throws the height that
    /// does not decode.
    func apply(_ entry: HeightEntry, sealedAtMicroseconds: UInt64) throws(Undecodable) -> UInt64 {
        diff.sealedAtMicroseconds = sealedAtMicroseconds
        codec.change(to: .c0)
        // A run of empty mini-blocks may begin before the end of a window that was applied.
        for height in max(entry.firstHeight, state.height + 1)...entry.lastHeight {
            keepUp()
            (diff.firstHeight, diff.lastHeight) = (height, height)
            do {
                try decode(entry.slices)
                try state.apply(diff)
            } catch {
                throw Undecodable(height: height)
            }
            codec.advance(past: diff, state: state)
            owedHeight = height
        }
        return diff.transactions
    }

    /// The commitment's share of the height applied last, if it is still owed. Comes before the state changes again.
    func keepUp() {
        if owedHeight == 0 { return }
        reachBoundary(owedHeight)
        owedHeight = 0
    }

    /// Decodes and applies a complete window; answers its transactions. The state is at its start. Every window of a coarser
    /// cadence begins anew (Spec 30.2), so the codec may come from any cadence. Throws the height that does not decode.
    func apply(_ window: WindowEntry) throws(Undecodable) -> UInt64 {
        precondition(state.height + 1 == window.firstHeight, "a window begins where the state stands")
        keepUp()
        join(window.slices)
        let bytes = joined
        do {
            return try codec.follow(
                window: bytes.span.bytes, of: window.cadence, from: window.firstHeight,
                sealedAtMicroseconds: window.sealedAtMicroseconds, state: state, diff: &diff
            ) { reachBoundary($0) }
        } catch {
            throw Undecodable(height: state.height + 1)
        }
    }

    struct Undecodable: Error {
        var height: UInt64
    }

    /// Reads the slices' payload into `diff`, whose heights are set.
    private func decode(_ slices: [SliceRecord?]) throws(CodecError) {
        if slices.count == 1 {
            guard let payload = slices[0]?.assembler.payload else {
                preconditionFailure("a complete slice has a payload")
            }
            let span = RawSpan(_unsafeBytes: payload)
            try codec.decode(span, base: state, into: &diff)
            return
        }
        join(slices)
        let payload = joined
        try codec.decode(payload.span.bytes, base: state, into: &diff)
    }

    /// The payload of several slices, in one piece.
    private func join(_ slices: [SliceRecord?]) {
        joined.removeAll(keepingCapacity: true)
        for record in slices {
            guard let payload = record?.assembler.payload else {
                preconditionFailure("a complete slice has a payload")
            }
            joined.append(contentsOf: payload)
        }
    }

    private func reachBoundary(_ height: UInt64) {
        if height % Limits.miniBlocksPerEVMBlock == 0 {
            commitment.freeze()
            frozenHeight = height
            leavesPerStep = commitment.leavesPerStep(steps: Execution.commitmentSteps)
        } else if frozenHeight != 0 {
            commitment.advance(leaves: leavesPerStep)
        }
    }

    /// The commitment at the boundary the sequencer told of; nil when that boundary is not one of ours.
    func commitment(at told: SliceCommitment) -> Hash32? {
        keepUp()
        // About a boundary before this replica began: nothing to compare with.
        guard told.height == frozenHeight else { return nil }
        // The signed one comes at most 95 mini-blocks after the boundary; hashing here is spread over fewer, so this
        // finishes nothing in the ordinary course.
        commitment.finish()
        frozenHeight = 0
        guard let computed = commitment.latest, computed.height == told.height else { return nil }
        return computed.commitment
    }

    /// The commitment to the state as it stands. Hashes what is not hashed yet: not for every mini-block.
    func commitmentNow() -> Hash32 {
        keepUp()
        commitment.finish()
        return commitment.commitmentNow()
    }
}

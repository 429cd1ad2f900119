/// Payloads: what a sequencer's signature protects from strangers, but not from a sequencer that has gone wrong, and what
/// would stop every replica at once.

import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceWorkload

/// A state with a short past, and the codec of one who followed it.
private struct Follower {
    let state = State(seed: Seed(1))
    let codec = Codec()

    /// `past` are diffs from genesis on; the ones after it are what payloads are made of.
    init(past: [StateDiff]) {
        for diff in past {
            guard (try? state.apply(diff)) != nil else { preconditionFailure("a sealed diff was refused") }
            codec.advance(past: diff, state: state)
        }
    }
}

/// Genesis and mini-blocks of a small chain of swaps.
private let swaps: [StateDiff] = {
    guard let spec = try? WorkloadSpec("swap?tps=1000&accounts=12&pools=2&seed=3") else {
        preconditionFailure("a workload that cannot be read")
    }
    let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(1))
    var diffs: [StateDiff] = []
    var diff = StateDiff()
    while (try? stream.nextGenesis(into: &diff)) ?? false { diffs.append(diff) }
    for height in 1...4 as ClosedRange<UInt64> {
        guard (try? stream.nextMiniBlock(transactions: 5, sealedAtMicroseconds: height, into: &diff)) ?? false
        else { break }
        diffs.append(diff)
    }
    return diffs
}()

/// The streams a payload can be read against, by the input's first byte; the last diff of each is not in the past.
private let streams: [[StateDiff]] = [
    Array(sampleDiffs().prefix(1)), Array(sampleDiffs().prefix(2)), sampleDiffs().dropLast(), swaps,
]

extension FuzzTarget {
    static let codecPayload = FuzzTarget(
        "codec-payload", bytesMax: 2_048,
        seeds: {
            streams.enumerated().flatMap { number, stream -> [[UInt8]] in
                let follower = Follower(past: Array(stream.dropLast()))
                guard let last = stream.last else { return [] }
                var payload: [UInt8] = []
                follower.codec.encode(last, base: follower.state, into: &payload)
                return [[UInt8(number)] + payload]
            }
        },
        run: { bytes in
            guard let first = bytes.first else { return }
            let stream = streams[Int(first) % streams.count]
            guard let last = stream.last else { return }
            let follower = Follower(past: Array(stream.dropLast()))
            var diff = StateDiff()
            (diff.firstHeight, diff.lastHeight) = (last.firstHeight, last.lastHeight)
            let payload = Array(bytes.dropFirst())
            guard (try? follower.codec.decode(payload.span.bytes, base: follower.state, into: &diff)) != nil
            else {
                // A refusal leaves the codec as it was: the true payload is read as if nothing had happened.
                let sequencer = Follower(past: Array(stream.dropLast()))
                var genuine: [UInt8] = []
                sequencer.codec.encode(last, base: sequencer.state, into: &genuine)
                (diff.firstHeight, diff.lastHeight) = (last.firstHeight, last.lastHeight)
                diff.sealedAtMicroseconds = last.sealedAtMicroseconds
                guard
                    (try? follower.codec.decode(genuine.span.bytes, base: follower.state, into: &diff)) != nil
                else {
                    preconditionFailure("after a bad payload the good one is refused")
                }
                // Not `last`: preimages are not part of a payload.
                let fresh = Follower(past: Array(stream.dropLast()))
                var expected = StateDiff()
                (expected.firstHeight, expected.lastHeight) = (last.firstHeight, last.lastHeight)
                expected.sealedAtMicroseconds = last.sealedAtMicroseconds
                guard (try? fresh.codec.decode(genuine.span.bytes, base: fresh.state, into: &expected)) != nil
                else {
                    preconditionFailure("a genuine payload is refused")
                }
                promise(diff == expected, "after a bad payload the good one is read as another")
                return
            }
            // Whatever was read is applied whole or refused whole, and can be said again.
            let before = (follower.state.accountCount, follower.state.slotCount, follower.state.codeCount)
            var again: [UInt8] = []
            let sequencer = Follower(past: Array(stream.dropLast()))
            sequencer.codec.encode(diff, base: sequencer.state, into: &again)
            var second = StateDiff()
            (second.firstHeight, second.lastHeight) = (last.firstHeight, last.lastHeight)
            let reader = Follower(past: Array(stream.dropLast()))
            guard (try? reader.codec.decode(again.span.bytes, base: reader.state, into: &second)) != nil
            else {
                preconditionFailure("what was encoded cannot be decoded")
            }
            promise(second == diff, "a diff changed on its way through a payload")
            if (try? follower.state.apply(diff)) == nil {
                promise(
                    before == (
                        follower.state.accountCount, follower.state.slotCount, follower.state.codeCount
                    ),
                    "half applied")
            } else {
                follower.codec.advance(past: diff, state: follower.state)
            }
        })
}

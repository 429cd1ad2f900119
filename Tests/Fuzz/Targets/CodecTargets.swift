/// Payloads: what a sequencer's signature protects from strangers, but not from a sequencer that has gone wrong, and what
/// would stop every replica at once.
///
/// Followers are made once per stream and live on from input to input: a decoder may leave nothing behind, so what one input
/// does must not show to the next. That is the promise checked, and it makes an input cost microseconds, not milliseconds.

import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceWorkload
import Synchronization

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

    /// False when the payload is refused.
    func decode(_ payload: [UInt8], into diff: inout StateDiff) -> Bool {
        (try? codec.decode(payload.span.bytes, base: state, into: &diff)) != nil
    }
}

/// A stream of which payloads are read: those who follow it, what its next diff is, and the true payload of that.
private final class Stage {
    let past: [StateDiff]
    let last: StateDiff
    let genuine: [UInt8]
    /// What a decoder makes of the true payload: not `last`, since not every hint is in it.
    private var expected = StateDiff()
    private var follower: Follower
    private let sequencer: Follower
    private let reader: Follower
    private var diff = StateDiff()
    private var second = StateDiff()
    private var again: [UInt8] = []

    init(_ stream: [StateDiff]) {
        guard let last = stream.last else { preconditionFailure("a stream without diffs") }
        past = Array(stream.dropLast())
        self.last = last
        follower = Follower(past: past)
        sequencer = Follower(past: past)
        reader = Follower(past: past)
        var payload: [UInt8] = []
        sequencer.codec.encode(last, base: sequencer.state, into: &payload)
        sequencer.codec.takeBack()
        genuine = payload
        begin(&expected)
        guard reader.decode(genuine, into: &expected) else {
            preconditionFailure("a genuine payload is refused")
        }
        reader.codec.takeBack()
        guard (try? follower.state.apply(expected)) != nil, (try? follower.state.revert(expected)) != nil
        else {
            preconditionFailure("what a genuine payload says cannot be applied and taken back")
        }
    }

    private func begin(_ diff: inout StateDiff) {
        (diff.firstHeight, diff.lastHeight) = (last.firstHeight, last.lastHeight)
        diff.sealedAtMicroseconds = last.sealedAtMicroseconds
    }

    func run(_ payload: [UInt8]) {
        begin(&diff)
        if follower.decode(payload, into: &diff) {
            follower.codec.takeBack()
            check()
        } else {
            promise(diff.isEmpty, "a refused payload leaves a diff behind")
        }
        // Be it refused or taken back, the codec is as it was: the true payload is read as if nothing had happened.
        begin(&diff)
        guard follower.decode(genuine, into: &diff) else {
            preconditionFailure("after another payload the good one is refused")
        }
        follower.codec.takeBack()
        promise(diff == expected, "after another payload the good one is read as another")
    }

    /// Whatever was read can be said again, and is applied whole or refused whole.
    private func check() {
        again.removeAll(keepingCapacity: true)
        sequencer.codec.encode(diff, base: sequencer.state, into: &again)
        sequencer.codec.takeBack()
        begin(&second)
        guard reader.decode(again, into: &second) else {
            preconditionFailure("what was encoded cannot be decoded")
        }
        reader.codec.takeBack()
        promise(second == diff, "a diff changed on its way through a payload")

        let state = follower.state
        func counts() -> [Int] { [state.accountCount, state.slotCount, state.codeCount, state.facts.count] }
        let before = counts()
        guard (try? state.apply(diff)) != nil else {
            promise(before == counts(), "half applied")
            return
        }
        // One in 64 is followed, by the payload's own say so that it can be replayed; then all is made anew.
        if again.reduce(0, &+) & 63 == 0 {
            follower.codec.advance(past: diff, state: state)
            follower = Follower(past: past)
            return
        }
        guard (try? state.revert(diff)) != nil else {
            preconditionFailure("an applied diff cannot be taken back")
        }
        promise(before == counts(), "not wholly taken back")
    }
}

/// Genesis and mini-blocks of a small chain.
private func chain(_ specification: String, miniBlocks: UInt64, transactions: Int) -> [StateDiff] {
    guard let spec = try? WorkloadSpec(specification) else {
        preconditionFailure("a workload that cannot be read")
    }
    let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(1))
    var diffs: [StateDiff] = []
    var diff = StateDiff()
    while (try? stream.nextGenesis(into: &diff)) ?? false { diffs.append(diff) }
    for height in 1...miniBlocks {
        guard
            (try? stream.nextMiniBlock(transactions: transactions, sealedAtMicroseconds: height, into: &diff))
                ?? false
        else { break }
        diffs.append(diff)
    }
    return diffs
}

/// The streams a payload can be read against, by the input's first byte; the last diff of each is not in the past.
private final class Stages: Sendable {
    static let shared = Stages()
    /// Made when first asked for. Tests run targets side by side.
    private let stages = Mutex<[Stage]>([])

    func with<T: Sendable>(_ body: ([Stage]) -> T) -> T {
        stages.withLock { stages in
            if stages.isEmpty {
                stages = [
                    Array(sampleDiffs().prefix(1)), Array(sampleDiffs().prefix(2)), sampleDiffs().dropLast(),
                    chain("swap?tps=1000&accounts=12&pools=2&seed=3", miniBlocks: 4, transactions: 5),
                    // Begins a window: every model is new.
                    chain("mixed?tps=1000&accounts=20&pools=2&seed=5", miniBlocks: 11, transactions: 8),
                ].map { Stage($0) }
            }
            return body(stages)
        }
    }
}

extension FuzzTarget {
    static let codecPayload = FuzzTarget(
        "codec-payload", bytesMax: 2_048,
        seeds: {
            Stages.shared.with { stages in
                stages.enumerated().map { number, stage in [UInt8(number)] + stage.genuine }
            }
        },
        run: { bytes in
            guard let first = bytes.first else { return }
            Stages.shared.with { stages in
                stages[Int(first) % stages.count].run(Array(bytes.dropFirst()))
            }
        })
}

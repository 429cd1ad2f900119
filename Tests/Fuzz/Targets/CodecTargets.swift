/// Payloads: what a sequencer's signature protects from strangers, but not from a sequencer that has gone wrong, and what
/// would stop every replica at once.
///
/// Followers are made once per stream and live on from input to input: a decoder may leave nothing behind, so what one input
/// does must not show to the next. That is the promise checked, and it makes an input cost microseconds, not milliseconds.
///
///     byte 0    the stream; top bit clear: a payload follows as it is
///                           top bit set: ten small differences to the true payload's header follow, then a body
///
/// The second form keeps headers whole, which a fuzzer that puts bytes in and takes bytes out seldom does.

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
final class PayloadStage {
    let past: [StateDiff]
    let last: StateDiff
    let genuine: [UInt8]
    /// Its header's numbers, the length of the range coder's part last, and where the body begins; nil in plain form.
    private let header: (numbers: [UInt64], body: Int)?
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
        header = PayloadStage.header(of: payload)
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

    /// Form and kind, then eight counts and the length (Spec 30.3), as far as the payload has them in coded form.
    private static func header(of payload: [UInt8]) -> (numbers: [UInt64], body: Int)? {
        var reader = ByteReader(payload.span.bytes)
        guard let form = try? reader.u8(), form & 0x0F == 1 else { return nil }
        var numbers = [UInt64(form)]
        for _ in 0..<9 {
            guard let number = try? reader.varint() else { return nil }
            numbers.append(number)
        }
        return (numbers, reader.offset)
    }

    /// The true payload as an input of the second form, for a fuzzer to change.
    var seed: [UInt8]? {
        header.map { [UInt8](repeating: 0, count: $0.numbers.count) + genuine[$0.body...] }
    }

    /// A payload of the second form: each number of the header a little more or less, or (from 64 on) a power of two.
    func assembled(_ input: ArraySlice<UInt8>) -> [UInt8] {
        guard let header else { return Array(input) }
        let differences = input.prefix(header.numbers.count)
        var payload: [UInt8] = []
        for (i, number) in header.numbers.enumerated() {
            let difference = i < differences.count ? differences[differences.startIndex + i] : 0
            let value =
                difference < 128
                ? (difference < 64 ? number &+ UInt64(difference) : 1 << UInt64(difference - 64))
                : number &- UInt64(256 - Int(difference))
            if i == 0 {
                payload.append(UInt8(truncatingIfNeeded: value))
            } else {
                payload.appendVarint(value)
            }
        }
        return payload + input.dropFirst(header.numbers.count)
    }

    private func begin(_ diff: inout StateDiff) {
        (diff.firstHeight, diff.lastHeight) = (last.firstHeight, last.lastHeight)
        diff.sealedAtMicroseconds = last.sealedAtMicroseconds
    }

    func run(_ payload: [UInt8]) {
        var isRead = false
        DecodingCost.shared.measure(bytes: payload.count) {
            begin(&diff)
            isRead = follower.decode(payload, into: &diff)
            if isRead { follower.codec.takeBack() }
        }
        if isRead {
            check()
        } else {
            promise(diff.isEmpty, "a refused payload leaves a diff behind")
        }
        // Be it refused or taken back, the codec is as it was: the true payload is read as if nothing had happened. After one
        // input in four, by its own say; what another leaves behind is found by the next.
        guard payload.reduce(0, &+) & 3 == 0 else { return }
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
    private let stages = Mutex<[PayloadStage]>([])

    func with<T: Sendable>(_ body: ([PayloadStage]) -> T) -> T {
        stages.withLock { stages in
            if stages.isEmpty {
                stages = [
                    Array(sampleDiffs().prefix(1)), Array(sampleDiffs().prefix(2)), sampleDiffs().dropLast(),
                    chain("swap?tps=1000&accounts=12&pools=2&seed=3", miniBlocks: 4, transactions: 5),
                    // Begins a window: every model is new.
                    chain("mixed?tps=1000&accounts=20&pools=2&seed=5", miniBlocks: 11, transactions: 8),
                ].map { PayloadStage($0) }
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
                    + stages.enumerated().compactMap { number, stage in
                        stage.seed.map { [0x80 | UInt8(number)] + $0 }
                    }
            }
        },
        run: { bytes in
            guard let first = bytes.first else { return }
            Stages.shared.with { stages in
                let stage = stages[Int(first & 0x7F) % stages.count]
                let input = Array(bytes.dropFirst())
                stage.run(first < 0x80 ? input : stage.assembled(input[...]))
            }
        })
}

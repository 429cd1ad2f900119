/// Bytes into the reader of windows (Spec 30.15): what they say is done to a state, in parts or at once, or they are refused; and
/// popularity is corrected as a whole or not at all.

import MillraceBase
import MillraceCodec
import MillraceDiff
import Synchronization

private struct WindowStage: ~Copyable {
    var state = State(seed: Seed(1))
    var codec = Codec(cadence: .c1)
    var diff = StateDiff()

    mutating func run(_ bytes: [UInt8]) {
        var reached: UInt64 = 0
        let isWhole =
            (try? codec.follow(
                window: bytes.span.bytes, of: .c1, from: 1, sealedAtMicroseconds: 0, state: state, diff: &diff
            ) {
                promise($0 == reached + 1 || $0 == 10, "heights are told in order")
                reached = $0
            }) != nil
        promise(!isWhole || reached == 10, "a window that was followed ends at its last height")
        promise(state.height >= reached, "the state stands where it was said to stand")
        promise(
            codec.popularityBytes() != nil || reached % 10 != 0 || state.height != reached,
            "popularity is half taken")
        if state.height == 0 {
            codec.takeBack()
        } else {
            state = State(seed: Seed(1))
            codec = Codec(cadence: .c1)
        }
    }
}

private let windowStage = Mutex(WindowStage())

extension FuzzTarget {
    static let codecWindow = FuzzTarget(
        "codec-window", bytesMax: 2_048,
        seeds: {
            var payload: [UInt8] = []
            var diff = StateDiff()
            (diff.firstHeight, diff.lastHeight) = (1, 10)
            Codec(cadence: .c1).encode(diff, base: State(seed: Seed(1)), into: &payload)
            var parts = WindowForm.emptyParts
            for _ in 0..<10 { WindowForm.append([], to: &parts) }
            return [parts, WindowForm.values(corrections: [0, 0, 0], payload: payload)]
        },
        run: { bytes in windowStage.withLock { $0.run(Array(bytes)) } })
}

/// Bytes into the reader of windows (Spec 30.15): a diff with or without a popularity, or an error and no diff; and a popularity
/// is taken as a whole or not at all.

import MillraceBase
import MillraceCodec
import MillraceDiff
import Synchronization

private struct WindowStage: ~Copyable {
    let state = State(seed: Seed(1))
    var codec = Codec(cadence: .c1)
    var diff = StateDiff()

    mutating func run(_ bytes: [UInt8]) {
        (diff.firstHeight, diff.lastHeight) = (1, 10)
        let popularity: [UInt8]?
        do throws(CodecError) {
            popularity = try codec.decodeWindow(bytes.span.bytes, base: state, into: &diff)
        } catch {
            promise(diff.isEmpty, "a refused window leaves a diff behind")
            return
        }
        codec.takeBack()
        guard let popularity else { return }
        let before = codec.popularityBytes()
        let isTaken = (try? codec.join(popularity: popularity.span.bytes, state: state)) != nil
        promise(isTaken || codec.popularityBytes() == before, "a refused popularity is half taken")
        if isTaken { codec = Codec(cadence: .c1) }
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
            return [
                Codec.windowBytes(popularity: [], payload: payload),
                Codec.windowBytes(
                    popularity: Codec(cadence: .c1).popularityBytes() ?? [], payload: payload),
            ]
        },
        run: { bytes in windowStage.withLock { $0.run(Array(bytes)) } })
}

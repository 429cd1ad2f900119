/// Which slice: cadence, first height of the mini-block or window it belongs to, index in it. Ordered as the stream is
/// within a cadence.

public import MillraceBase

public struct SliceKey: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var firstHeight: UInt64
    public var cadence: Cadence
    public var index: UInt16

    public init(firstHeight: UInt64, cadence: Cadence = .c0, index: UInt16) {
        self.firstHeight = firstHeight
        self.cadence = cadence
        self.index = index
    }

    public static func < (a: SliceKey, b: SliceKey) -> Bool {
        if a.cadence != b.cadence { return a.cadence < b.cadence }
        if a.firstHeight != b.firstHeight { return a.firstHeight < b.firstHeight }
        return a.index < b.index
    }
}

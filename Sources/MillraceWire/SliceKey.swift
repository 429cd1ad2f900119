/// Which slice: cadence, first height of the mini-block or window it belongs to, index in it. Ordered as the stream is
/// within a cadence.

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
        if a.cadence != b.cadence { return a.cadence.rawValue < b.cadence.rawValue }
        if a.firstHeight != b.firstHeight { return a.firstHeight < b.firstHeight }
        return a.index < b.index
    }
}

/// How much stream one payload merges (Spec 40.2): aligned windows of 1, 10, 100 or 1,000 mini-blocks.
public enum Cadence: UInt8, Hashable, CaseIterable, Sendable, BitwiseCopyable {
    /// 10 ms: every mini-block.
    case c0 = 0
    /// 100 ms.
    case c1 = 1
    /// 1 s: an EVM block.
    case c2 = 2
    /// 10 s.
    case c3 = 3

    /// Mini-blocks in one window.
    public var heights: UInt64 {
        switch self {
        case .c0: 1
        case .c1: 10
        case .c2: 100
        case .c3: 1_000
        }
    }
}

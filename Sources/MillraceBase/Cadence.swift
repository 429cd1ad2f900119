/// How much stream one payload merges (Spec 40.2): aligned windows of 1, 10, 100 or 1,000 mini-blocks.

public enum Cadence: UInt8, Hashable, Comparable, CaseIterable, Sendable, BitwiseCopyable {
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

    /// Mini-blocks from one restart of the coding state to the next (Spec 30.2): ten at `c0`; every window of a coarser
    /// cadence begins anew, so that a follower may take or leave one wherever it starts.
    public var restartHeights: UInt64 { self == .c0 ? 10 : heights }

    /// How long a window is.
    public var span: Interval { .milliseconds(Int64(heights) * Limits.miniBlockInterval.milliseconds) }

    /// "c0" to "c3", as people write it.
    public init?(name: String) {
        guard let cadence = Cadence.allCases.first(where: { "\($0)" == name }) else { return nil }
        self = cadence
    }

    /// The finer one is the smaller.
    public static func < (a: Cadence, b: Cadence) -> Bool { a.rawValue < b.rawValue }
}

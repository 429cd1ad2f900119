/// How much stream one payload carries (Spec 40.2): aligned windows of 1, 10, 100 or 1,000 mini-blocks; and of 250 and
/// 500, which nobody follows: they are for catching up.

public enum Cadence: UInt8, Hashable, Comparable, CaseIterable, Sendable, BitwiseCopyable {
    /// 10 ms: every mini-block.
    case c0 = 0
    /// 100 ms.
    case c1 = 1
    /// 1 s: an EVM block.
    case c2 = 2
    /// 10 s.
    case c3 = 3
    /// 5 s: half a c3 window, for whoever stands in its middle.
    case half = 4
    /// 2.5 s.
    case quarter = 5

    /// Those that can be followed, finest first.
    public static let followed: [Cadence] = [.c0, .c1, .c2, .c3]

    /// Mini-blocks in one window.
    public var heights: UInt64 {
        switch self {
        case .c0: 1
        case .c1: 10
        case .c2: 100
        case .c3: 1_000
        case .half: 500
        case .quarter: 250
        }
    }

    /// Mini-blocks from one restart of the coding state to the next (Spec 30.2): ten at `c0`; every window of a coarser
    /// cadence begins anew, so that a follower may take or leave one wherever it starts.
    public var restartHeights: UInt64 { self == .c0 ? 10 : heights }

    /// How long a window is.
    public var span: Interval { .milliseconds(Int64(heights) * Limits.miniBlockInterval.milliseconds) }

    /// "c0" to "c3", as people write it.
    public init?(name: String) {
        guard let cadence = Cadence.followed.first(where: { "\($0)" == name }) else { return nil }
        self = cadence
    }

    /// The finer one is the smaller.
    public static func < (a: Cadence, b: Cadence) -> Bool { a.heights < b.heights }
}

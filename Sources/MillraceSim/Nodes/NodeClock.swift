/// A node's own idea of time: what its core is told, and what its wall clock says. Virtual time is the truth; a node's
/// monotonic clock runs fast or slow by `driftPPM`, and its wall clock is off by `skew` besides, which a step may change.

import MillraceBase

struct NodeClock {
    /// Of the node's monotonic clock against virtual time; positive runs fast. Clamped to ±10,000.
    let driftPPM: Int64
    /// Wall clock less the truth when the run begins.
    var skew: Interval

    /// Unix microseconds of the truth at virtual time zero: 2023-11-14 22:13:20 UTC.
    static let epochMicroseconds: UInt64 = 1_700_000_000_000_000
    /// Virtual time begins here, so that nothing lies before zero.
    static let start = Instant(nanoseconds: 1_000_000_000)

    init(driftPPM: Int64 = 0, skew: Interval = .zero) {
        self.driftPPM = min(max(driftPPM, -10_000), 10_000)
        self.skew = skew
    }

    /// The node's monotonic clock at virtual time `truth`: to the nanosecond, so that it never runs backwards.
    func local(_ truth: UInt64) -> Instant {
        if driftPPM == 0 { return Instant(nanoseconds: truth) }
        let (millions, rest) = (Int64(clamping: truth) / 1_000_000, Int64(truth % 1_000_000))
        return Instant(nanoseconds: truth) + .nanoseconds(millions * driftPPM + rest * driftPPM / 1_000_000)
    }

    /// The first moment of virtual time at which the node's clock shows `local` or more.
    func truth(_ local: Instant) -> UInt64 {
        if driftPPM == 0 || local == .distantFuture { return local.nanoseconds }
        // local = truth × (10^6 + drift) / 10^6; rounding is put right by looking.
        let (high, low) = local.nanoseconds.multipliedFullWidth(by: 1_000_000)
        let rate = UInt64(1_000_000 + driftPPM)
        guard high < rate else { return .max }
        var truth = rate.dividingFullWidth((high, low)).quotient
        truth -= min(truth, 2)
        while self.local(truth) < local { truth += 1 }
        return truth
    }

    /// The node's wall clock at virtual time `truth`, in Unix microseconds.
    func wallMicroseconds(_ truth: UInt64) -> UInt64 {
        let shown = local(truth) + skew
        return NodeClock.epochMicroseconds &+ shown.nanoseconds / 1_000
    }
}

internal import MillraceBase

/// Delay and jitter of a datagram that departs at a time (Spec 80.3, rule 9).
///
/// Jitter belongs to the moment, not to the datagram: it is drawn uniformly at knots a period apart and runs straight
/// between them, as the queues of other people's traffic grow and shrink. Drawn for each datagram instead, it would
/// either reorder every stream or, kept in order, delay each datagram by the largest draw nearby. The two knots around the
/// last departure are kept: departures seldom leave them.
struct TravelTime: Sendable {
    private let delay: Interval
    private let width: Int64
    private let period: UInt64
    private let draws: CounterDraws
    /// The product of a difference and a time needs 128 bits only for jitters of seconds, so it is divided early there.
    private let shift: Int64
    private let divisor: Int64

    private var knotStart: UInt64 = .max
    private var before: Int64 = 0
    private var rise: Int64 = 0

    init(_ parameters: LinkParameters, _ draws: CounterDraws) {
        delay = min(max(parameters.delay, .zero), LinkLimits.delayMax)
        width = min(max(parameters.jitter, .zero), LinkLimits.delayMax).nanoseconds
        // Slopes of at most a half: time under way never runs backwards, so jitter alone reorders nothing.
        period = UInt64(max(10_000_000, width * 4))
        shift = width > 1_000_000_000 ? 1 << 14 : 1
        divisor = Int64(period) / shift
        self.draws = draws
    }

    @inline(__always)
    mutating func time(at departure: Instant) -> Interval {
        guard width > 0 else { return delay }
        let within = departure.nanoseconds &- knotStart
        if departure.nanoseconds < knotStart || within >= period { return timeAtOtherKnots(departure) }
        return time(within: Int64(bitPattern: within))
    }

    /// `within` < period.
    @inline(__always)
    private func time(within: Int64) -> Interval {
        // |rise| ≤ 1.2e11 / shift, within ≤ 2.4e11.
        let moved = rise * within / divisor
        return max(delay + .nanoseconds(before + moved), Interval(nanoseconds: 0))
    }

    @inline(never)
    private mutating func timeAtOtherKnots(_ departure: Instant) -> Interval {
        let knot = departure.nanoseconds / period
        knotStart = knot * period
        let span = UInt64(2 * width + 1)
        before = Int64(draws.below(span, at: knot)) - width
        rise = (Int64(draws.below(span, at: knot &+ 1)) - width - before) / shift
        return time(within: Int64(departure.nanoseconds - knotStart))
    }
}

public import MillraceBase

/// Times at which a link is down: nothing leaves, what arrives waits (Spec 80.3, rule 3). Once, or again and again.
///
/// The rate is reckoned on a clock that stands still while the link is down; these are the maps between it and real time,
/// in closed form, so that an outage every millisecond for a year costs no loop.
public struct Outage: Hashable, Sendable {
    public static let startMax = Interval.seconds(604_800)
    public static let lengthMax = Interval.seconds(3_600)

    public let start: Interval
    public let length: Interval
    /// From one start to the next; nil: once.
    public let every: Interval?

    /// Nil unless 0 ≤ start ≤ a week, 1 µs ≤ length ≤ an hour and length < every ≤ a week.
    public init?(start: Interval, length: Interval, every: Interval? = nil) {
        guard start >= .zero, start <= Outage.startMax, length >= .microseconds(1), length <= Outage.lengthMax
        else { return nil }
        if let every, every <= length || every > Outage.startMax { return nil }
        self.start = start
        self.length = length
        self.every = every
    }

    private init(first: Interval, length: Interval, every: Interval?) {
        start = first
        self.length = length
        self.every = every
    }

    /// The same, counted from `origin` and not from time 0.
    func beginning(at origin: Instant) -> Outage {
        Outage(first: start + (origin - .zero), length: length, every: every)
    }

    private var first: UInt64 { UInt64(start.nanoseconds) }
    private var down: UInt64 { UInt64(length.nanoseconds) }
    private var cycle: UInt64 { every.map { UInt64($0.nanoseconds) } ?? .max }

    /// How long the link has been up until `now`.
    func upTime(at now: Instant) -> Instant {
        guard now.nanoseconds > first else { return now }
        let (whole, within) = (now.nanoseconds - first).quotientAndRemainder(dividingBy: cycle)
        // At most what has passed.
        return Instant(nanoseconds: now.nanoseconds - whole * down - min(within, down))
    }

    /// The earliest time at which the link has been up for so long.
    func time(ofUp up: Instant) -> Instant {
        guard up.nanoseconds > first else { return up }
        let beyond = up.nanoseconds - first - 1
        // Outages begun before: one, and one more for each whole stretch between two.
        let (more, over) = (beyond / (cycle - down)).multipliedReportingOverflow(by: down)
        return over ? .distantFuture : up + length + .nanoseconds(Int64(clamping: more))
    }

    /// The end of the outage under way at `now`; `now` when there is none.
    func end(at now: Instant) -> Instant {
        guard now.nanoseconds >= first else { return now }
        let within = (now.nanoseconds - first) % cycle
        return within < down ? now + .nanoseconds(Int64(down - within)) : now
    }
}

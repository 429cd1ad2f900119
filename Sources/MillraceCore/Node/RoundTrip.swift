/// Round-trip time of one peer: smoothed value, variation and minimum, as RFC 6298 keeps them, in integers.

import MillraceBase

struct RoundTrip {
    /// Before the first sample: what a timer assumes.
    static let assumed = Interval.milliseconds(250)
    /// Timers are driven by a clock of milliseconds and by a peer that paces its answers.
    static let granularity = Interval.milliseconds(8)
    static let timeoutMin = Interval.milliseconds(15)
    static let timeoutMax = Interval.seconds(3)

    /// Samples among which one that no queue delayed is expected, unless the queue stands.
    static let fewSamples = 4

    private(set) var smoothed = Interval.zero
    private(set) var variation = Interval.zero
    private(set) var minimum = Interval.zero
    private(set) var samples = 0
    /// The last three samples, in microseconds.
    private var lastThree: (UInt32, UInt32, UInt32) = (0, 0, 0)
    /// The shortest of the last few samples, and of those before them.
    private var shortest = Interval.zero
    private var shortestBefore = Interval.zero

    var isMeasured: Bool { samples > 0 }
    /// The smoothed value, or the assumed one.
    var current: Interval { isMeasured ? smoothed : RoundTrip.assumed }

    mutating func add(_ sample: Interval) {
        let value = min(max(sample.nanoseconds, 1_000), 10_000_000_000)
        if samples == 0 {
            smoothed = Interval(nanoseconds: value)
            variation = Interval(nanoseconds: value / 2)
            minimum = smoothed
        } else {
            let error = value - smoothed.nanoseconds
            variation = Interval(
                nanoseconds: variation.nanoseconds + (error.magnitudeClamped - variation.nanoseconds) / 4)
            smoothed = Interval(nanoseconds: smoothed.nanoseconds + error / 8)
            // The minimum forgets slowly, so that a changed path is learned: 1/256 of the distance per sample.
            minimum = Interval(
                nanoseconds: min(
                    value, minimum.nanoseconds + (smoothed.nanoseconds - minimum.nanoseconds) / 256))
        }
        if samples % RoundTrip.fewSamples == 0 {
            shortestBefore = samples == 0 ? Interval(nanoseconds: value) : shortest
            shortest = Interval(nanoseconds: value)
        } else {
            shortest = min(shortest, Interval(nanoseconds: value))
        }
        lastThree = (UInt32(clamping: value / 1_000), lastThree.0, lastThree.1)
        samples = min(samples + 1, 1_000_000)
    }

    /// The queue that stands on the way: what even the shortest of the recent samples took beyond the minimum. A sample
    /// that was late because either end was busy says nothing.
    var queued: Interval { max(min(shortest, shortestBefore) - minimum, .zero) }

    /// How long to wait for an answer before asking again.
    var timeout: Interval {
        if !isMeasured { return RoundTrip.assumed + RoundTrip.assumed }
        let wait = smoothed + max(variation * 4, RoundTrip.granularity) + RoundTrip.granularity
        return min(max(wait, RoundTrip.timeoutMin), RoundTrip.timeoutMax)
    }

    /// How long a single shred is waited for. A way whose queue comes and goes has a variation that says how far apart its states
    /// are, not how long the next answer takes: that, the latest answers say, of which the longest counts, and two turns of
    /// either end's clock. To ask too early costs one shred; to ask too late holds up everything behind it.
    var timeoutShort: Interval {
        guard samples >= 3 else { return timeout }
        let latest = Interval.microseconds(Int64(max(lastThree.0, lastThree.1, lastThree.2)))
        let wait = max(latest, minimum) + RoundTrip.granularity * 2
        return min(max(wait, RoundTrip.timeoutMin), timeout)
    }

    /// How long reordering may take before a gap counts as a loss.
    var reorderTolerance: Interval {
        min(max(Interval(nanoseconds: variation.nanoseconds), .milliseconds(3)), .milliseconds(20))
    }
}

extension Int64 {
    fileprivate var magnitudeClamped: Int64 { Int64(clamping: magnitude) }
}

/// The smallest of what was seen in the last one to two periods: two buckets instead of a queue of samples, so that it
/// costs two words and forgets a little late.

import MillraceBase

struct WindowedMinimum {
    let period: Interval
    private var current = Int64.max
    private var previous = Int64.max
    private var turnsAt = Instant.zero

    init(period: Interval) { self.period = period }

    /// Nil before the first sample, and when none came for two periods.
    var value: Int64? {
        let least = min(current, previous)
        return least == .max ? nil : least
    }

    mutating func add(_ sample: Int64, now: Instant) {
        if now >= turnsAt {
            // After two periods of silence nothing of the old is kept.
            previous = now >= turnsAt + period ? .max : current
            current = .max
            turnsAt = now + period
        }
        current = min(current, sample)
    }

    /// Every sample so far is off by `amount`: the clock they came from was set.
    mutating func shift(by amount: Int64) {
        if current != .max { current &+= amount }
        if previous != .max { previous &+= amount }
    }
}

/// The largest, likewise.
struct WindowedMaximum {
    private var least: WindowedMinimum

    init(period: Interval) { least = WindowedMinimum(period: period) }

    var value: Int64? { least.value.map { -$0 } }
    mutating func add(_ sample: Int64, now: Instant) { least.add(-max(sample, -Int64.max), now: now) }
}

/// How many shreds may be asked for and not yet here: a window that the receiver drives, because only the receiver sees
/// its own link. It grows while answers come quickly, and halves when they are late or do not come (Spec 60.7, rule 3).
/// A shred lost here and there is not a sign of a full link, and changes nothing.
///
/// Delay is the first signal: when a request's first answer takes 100 ms longer than the shortest round trip, the queue
/// in front of the link is what makes it late, and the live stream waits in that queue too.

import MillraceBase

struct RepairWindow {
    static let shredsMin = 8
    static let shredsAtStart = 32
    static let delayMax = Interval.milliseconds(100)

    let shredsMax: Int
    /// In 1/256 of a shred.
    private var size256: Int
    private var isStarting = true
    private var shrunkAt = Instant.zero

    init(shredsMax: Int) {
        self.shredsMax = max(shredsMax, RepairWindow.shredsMin)
        size256 = min(RepairWindow.shredsAtStart, self.shredsMax) * 256
    }

    var shreds: Int { size256 / 256 }

    /// A shred that was asked for came: one more per answer at the start (doubling per round trip), then a quarter.
    mutating func answered() {
        size256 += isStarting ? 256 : 64
        size256 = min(size256, shredsMax * 256)
    }

    /// The first answer to a request took `delay`, the shortest round trip being `minimum`.
    mutating func measured(delay: Interval, minimum: Interval, now: Instant) {
        if delay > minimum + RepairWindow.delayMax { shrink(roundTrip: delay, now: now) }
    }

    /// A request was not answered in time, or less than half.
    mutating func timedOut(roundTrip: Interval, now: Instant) { shrink(roundTrip: roundTrip, now: now) }

    /// The way was gone and may be another one now.
    mutating func restart() {
        isStarting = true
        size256 = max(size256, min(RepairWindow.shredsAtStart, shredsMax) * 256)
    }

    /// At most once per round trip: what one full queue does to many requests is one event.
    private mutating func shrink(roundTrip: Interval, now: Instant) {
        guard now >= shrunkAt + roundTrip else { return }
        shrunkAt = now
        isStarting = false
        size256 = max(size256 / 2, RepairWindow.shredsMin * 256)
    }
}

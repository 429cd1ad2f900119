/// Who is late with a slice, measured against whoever was first and never against a clock (Spec 66.5).
///
/// The first contract shred of a height starts the race; each other parent's first shred of it comes in so much later. All
/// of them wait in the same queue in front of this node and stand still when it does, so neither shows here.
///
/// Bounds: 64 heights, 64 parents. A height that comes 64 or more behind another finds its place taken and is not timed.

import MillraceBase

struct ArrivalRace {
    static let heights: UInt64 = 64
    static let parentsMax = 64
    /// More than a second late is as bad as late gets.
    static let delayMax = Interval.seconds(1)

    private struct Lap: BitwiseCopyable {
        var height: UInt64 = 0
        var startedAt = Instant.zero
        /// Bit i: parent i has come in.
        var seen: UInt64 = 0
    }

    private var laps = [Lap](repeating: Lap(), count: Int(heights))

    /// How long after the first of all a parent's first shred of a height came; nil when it is not its first, or no race.
    mutating func arrived(parent: Int, height: UInt64, now: Instant) -> Interval? {
        guard parent >= 0, parent < ArrivalRace.parentsMax else { return nil }
        let place = Int(height % ArrivalRace.heights)
        let bit = UInt64(1) << UInt64(parent)
        if laps[place].height < height || laps[place].seen == 0 {
            laps[place] = Lap(height: height, startedAt: now, seen: bit)
            return .zero
        }
        guard laps[place].height == height, laps[place].seen & bit == 0 else { return nil }
        laps[place].seen |= bit
        return min(now - laps[place].startedAt, ArrivalRace.delayMax)
    }
}

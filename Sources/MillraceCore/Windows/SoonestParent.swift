/// Of whom to ask a slice: who answers soonest, by its round trip and by what is asked of it already at the rate it sends at
/// (Spec 60.13, rule 1). Pure; integers only.

import MillraceBase

struct SoonestParent {
    /// What one that is idle is taken to send at: its part of what the line brings.
    let fair: Int64
    private var best: Int?
    private var bestTime = Int64.max

    init(lineBytesPerSecond: Int64, among candidates: Int) {
        fair = max(lineBytesPerSecond / Int64(max(candidates, 1)), 1)
    }

    /// The one, of those told of; of equals the first.
    var parent: Int? { best }

    /// A parent that may be asked. Shreds are of the largest size.
    mutating func consider(_ parent: Int, roundTrip: Interval, bytesPerSecond: Int64, shredsAsked: Int) {
        let bytes = Int64(min(max(shredsAsked, 0), 1_000_000)) * Int64(Limits.datagramBytesMax)
        let time =
            min(max(roundTrip.microseconds, 0), 60_000_000) + bytes * 1_000_000 / max(bytesPerSecond, fair)
        if time < bestTime { (best, bestTime) = (parent, time) }
    }
}

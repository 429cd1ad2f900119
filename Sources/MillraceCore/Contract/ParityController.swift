/// How many parity stripes a receiver buys: from the loss it measures, how large slices are, and what a repair would cost
/// it in time (Spec 60.4, rule 9). Integers only.
///
/// Parity helps against chance, not against a full link: while the round trip stands well above its minimum, the losses
/// are the queue's, more parity makes more of them, and so a stripe is given back at every decision.
///
/// The smallest m with m ≥ µ + z √µ, where µ = (K + m) p is what a slice loses on average and z grows with the round trip:
/// the dearer a repair, the rarer it should be. It rises at once and falls after five quiet seconds.

import MillraceBase

struct ParityController {
    static let decideInterval = Interval.milliseconds(500)
    static let patience = 10
    /// Losses above this are an outage, which no parity helps against.
    static let outage65536 = 20_000
    /// Below one in a thousand, parity costs more than repair.
    static let noise65536 = 65
    static let sampleMin = 200

    let floor: Int
    private(set) var stripes: Int
    private var expected = 0
    private var missing = 0
    /// Smoothed loss in 1/65,536.
    private(set) var loss65536 = 0
    private var dataCount16 = 16
    private var decideAt = Instant.zero
    private var quiet = 0

    init(floor: Int) {
        self.floor = min(max(floor, 0), 16)
        stripes = self.floor
    }

    /// What became of one slice's shreds that were owed by contract.
    mutating func note(expected: Int, missing: Int, dataCount: Int) {
        self.expected += expected
        self.missing += missing
        dataCount16 += (dataCount * 16 - dataCount16) / 16
    }

    /// The queue in front of the link is long when it takes this much time.
    static let queueDelay = Interval.milliseconds(40)

    /// Whether `stripes` changed. `roundTrip` is the longest of the parents', `queued` the most that any of them stands
    /// above its minimum, `ceiling` how many parity shreds slices have.
    mutating func decide(roundTrip: Interval, queued: Interval, ceiling: Int, now: Instant) -> Bool {
        guard now >= decideAt, expected >= ParityController.sampleMin else { return false }
        decideAt = now + ParityController.decideInterval
        let loss = missing * 65_536 / expected
        (expected, missing) = (0, 0)
        if loss > ParityController.outage65536 { return false }
        if queued > ParityController.queueDelay {
            quiet = 0
            guard stripes > floor else { return false }
            stripes -= 1
            return true
        }
        loss65536 += (loss - loss65536) / (loss > loss65536 ? 2 : 8)
        let wanted = min(max(stripesFor(roundTrip), floor), max(ceiling, floor))
        if wanted > stripes {
            stripes = wanted
            quiet = 0
            return true
        }
        quiet = wanted < stripes ? quiet + 1 : 0
        guard quiet >= ParityController.patience else { return false }
        quiet = 0
        stripes -= 1
        return true
    }

    private func stripesFor(_ roundTrip: Interval) -> Int {
        if loss65536 < ParityController.noise65536 { return 0 }
        let z = roundTrip < .milliseconds(30) ? 1 : roundTrip < .milliseconds(100) ? 2 : 3
        for m in 0..<16 {
            let mean = (dataCount16 / 16 + m) * loss65536
            let spare = (m << 16) - mean
            if spare >= 0, spare * spare >= (z * z * mean) << 16 { return m }
        }
        return 16
    }
}

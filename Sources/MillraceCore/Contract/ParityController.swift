/// How many parity stripes a receiver buys: from the losses it measures, how they bunch, how large slices are, and what a
/// repair would cost it in time (Spec 60.4, rule 9). Integers only.
///
/// Lost shreds are customers, parity shreds serve them in the order of slices (a window lets the parity of one slice serve
/// the losses of those before it). With µ losses a slice of variance V, and m' parity shreds a slice that arrive, the
/// queue q of losses not yet served falls off as exp(−2 (m' − µ) q / V), the heavy-traffic bound of a discrete queue, and a
/// queue of q delays by q / m' slices. So the smallest m is taken for which a delay of `depth` slices has a probability
/// of e^−c at most:
///
///     2 (m' − µ) · m' · depth ≥ c · V
///
/// The dearer a repair (the longer the round trip), the larger c. The number rises at once and falls by one after five
/// quiet seconds.
///
/// Parity helps against chance, not against a full link: while the round trip stands well above its minimum, the losses
/// are the queue's, more parity makes more of them, and so a stripe is given back at every decision, down to none. When
/// parents say that the line is full, half of them are: the queue is kept there, and not seen from here. What was too
/// much is not tried again at once, and later each time.

import MillraceBase
import MillraceWire

struct ParityController {
    static let decideInterval = Interval.milliseconds(500)
    static let patience = 10
    /// Losses above this are an outage, which no parity helps against.
    static let outage65536 = 20_000
    /// Below one in a thousand, parity costs more than repair.
    static let noise65536 = 65
    static let sampleMin = 200
    /// V / µ of independent losses, and the most that is believed, in 1/16.
    static let dispersionMin16 = 16
    static let dispersionMax16 = 32 * 16

    let floor: Int
    private(set) var stripes: Int
    private var slices = 0
    private var expected = 0
    private var missing = 0
    private var missingSquares = 0
    /// Smoothed loss in 1/65,536.
    private(set) var loss65536 = 0
    /// Smoothed variance of a slice's losses over their mean, in 1/16: 16 when shreds are lost one by one.
    private(set) var dispersion16 = ParityController.dispersionMin16
    /// Shreds are lost now and then: more than noise, or more than a quarter of it since it last was more.
    private(set) var isLossy = false
    /// And they come in bursts: a slice's losses vary at least twice as much as if they came one by one.
    var isBursty: Bool { isLossy && dispersion16 >= 2 * ParityController.dispersionMin16 }
    private var dataCount16 = 16
    private var decideAt = Instant.zero
    /// Losses have been measured at least once.
    private(set) var isDecided = false
    private var quiet = 0
    /// As many as the line is known to carry, until more are tried.
    private var most = 16
    private var triesAt = Instant.zero
    private var triedAt = Instant.zero
    private var hold = ParityController.holdMin
    private var wasFull = false
    static let holdMin = Interval.seconds(5)
    static let holdMax = Interval.seconds(60)
    /// More that is too much within this time is one that failed.
    static let failsWithin = Interval.seconds(10)
    static let triesEvery = Interval.seconds(2)

    /// What is bought before losses are known, where a repair takes so long that ignorance is dearer, and where parents are so
    /// near that one slice's wait for the next is most of what delivery takes; and for how long. Of small slices it is a third
    /// (`sparesParity`): how large they are is not known either, and a line may have little to spare.
    static let prudentStripes = 6
    static let prudentStripesNear = 2
    static let prudentRoundTrip = Interval.milliseconds(200)
    static let prudentTime = Interval.seconds(2)
    private(set) var isPrudent = false
    /// `stripes` is bought for slices of any size. Whoever configured more than one gets at least that of each.
    var sparesParity: Bool { isPrudent && !isDecided && floor <= 1 }
    /// Data shreds of the slice noted last; those of 100,000 swaps per second before that.
    private var dataCount = 9
    private var prudentUntil: Instant?

    init(floor: Int) {
        self.floor = min(max(floor, 0), 16)
        stripes = self.floor
    }

    /// A parent is there, before any losses were measured.
    mutating func begin(roundTrip: Interval) {
        let isNear = roundTrip < ParityController.nearRoundTrip
        guard !isDecided, isNear || roundTrip >= ParityController.prudentRoundTrip else { return }
        isPrudent = true
        stripes = max(stripes, isNear ? ParityController.prudentStripesNear : ParityController.prudentStripes)
    }

    /// What became of one slice's data shreds that were owed by contract.
    mutating func note(expected: Int, missing: Int, dataCount: Int) {
        slices += 1
        self.expected += expected
        self.missing += missing
        missingSquares += missing * missing
        dataCount16 += (dataCount * 16 - dataCount16) / 16
        self.dataCount = dataCount
    }

    /// The queue in front of the link is long when it takes this much time.
    static let queueDelay = Interval.milliseconds(40)

    /// Whether `stripes` changed. `roundTrip` is the longest of the parents', `queued` the most that any of them stands
    /// above its minimum, `isFull` whether they say that the line is full, `ceiling` how many parity shreds slices have.
    mutating func decide(
        roundTrip: Interval, queued: Interval, isFull: Bool = false, ceiling: Int, now: Instant
    ) -> Bool {
        guard now >= decideAt else { return false }
        if isFull, stripes > 0 {
            decideAt = now + ParityController.decideInterval
            endSparing()
            isPrudent = false
            return shed(to: stripes / 2, now: now)
        }
        guard expected >= ParityController.sampleMin else { return false }
        let isFirst = !isDecided
        let spared = sparesParity
        endSparing()
        isDecided = true
        decideAt = now + ParityController.decideInterval
        let loss = missing * 65_536 / expected
        let dispersion = measuredDispersion16
        (slices, expected, missing, missingSquares) = (0, 0, 0, 0)
        if loss > ParityController.outage65536 { return spared }
        if isFull || queued > ParityController.queueDelay {
            return shed(to: max(stripes - 1, 0), now: now) || spared
        }
        wasFull = false
        loss65536 += (loss - loss65536) / (isFirst ? 1 : loss > loss65536 ? 2 : 8)
        isLossy = loss65536 >= ParityController.noise65536 / (isLossy ? 4 : 1)
        dispersion16 += (dispersion - dispersion16) / (isFirst ? 1 : dispersion > dispersion16 ? 2 : 8)
        var wanted = min(max(stripesFor(roundTrip), floor), max(ceiling, floor))
        if wanted > most {
            if now >= triesAt {
                most += 1
                triedAt = now
                triesAt = now + ParityController.triesEvery
            }
            wanted = most
        }
        if isPrudent {
            let isNear = roundTrip < ParityController.nearRoundTrip
            let until = prudentUntil ?? now + (isNear ? .zero : ParityController.prudentTime)
            prudentUntil = until
            if now < until {
                wanted = max(wanted, stripes)
            } else {
                // It has seen enough: what it takes is bought, no more.
                isPrudent = false
                let isChanged = stripes != wanted
                stripes = wanted
                return isChanged || spared
            }
        }
        if wanted > stripes {
            stripes = wanted
            quiet = 0
            return true
        }
        quiet = wanted < stripes ? quiet + 1 : 0
        guard quiet >= ParityController.patience else { return spared }
        quiet = 0
        stripes -= 1
        return true
    }

    /// From here on `stripes` is for slices as large as they are.
    private mutating func endSparing() {
        guard sparesParity else { return }
        stripes = max(min(stripes, StripeSet.sparedParity(dataCount: dataCount)), floor)
    }

    /// The line is full.
    private mutating func shed(to fewer: Int, now: Instant) -> Bool {
        quiet = 0
        if !wasFull {
            wasFull = true
            hold =
                now - triedAt < ParityController.failsWithin && triedAt > .zero
                ? min(hold * 2, ParityController.holdMax) : ParityController.holdMin
        }
        most = fewer
        triesAt = now + hold
        guard stripes > fewer else { return false }
        stripes = fewer
        return true
    }

    /// V / µ over the slices noted, in 1/16: (Σx²/n − (Σx/n)²) / (Σx/n).
    private var measuredDispersion16: Int {
        if missing == 0 { return dispersion16 }
        let value = 16 * (missingSquares * slices - missing * missing) / (missing * slices)
        return min(max(value, ParityController.dispersionMin16), ParityController.dispersionMax16)
    }

    /// So near, a slice that waits for the next one's parity is what delivery takes longest for: enough is bought for its own.
    static let nearRoundTrip = Interval.milliseconds(30)

    private func stripesFor(_ roundTrip: Interval) -> Int {
        if loss65536 < ParityController.noise65536 { return 0 }
        let (c, depth) =
            roundTrip < ParityController.nearRoundTrip
            ? (16, 1)
            : roundTrip < .milliseconds(100)
                ? (3, 2)
                : roundTrip < .milliseconds(200)
                    ? (5, 3) : roundTrip < .milliseconds(250) ? (5, 4) : (40, 4)
        // In 1/256 of a shred.
        let mean = dataCount16 * loss65536 / 16 / 256
        for m in 0..<16 {
            let served = m * (65_536 - loss65536) / 256
            if served > mean, 2 * (served - mean) * served * depth >= c * mean * dispersion16 * 16 {
                return m
            }
        }
        return 16
    }
}

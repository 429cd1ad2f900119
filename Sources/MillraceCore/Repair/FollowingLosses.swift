/// What is lost of what contracts owe, and how much parity and how many sums of headers are bought against that (Spec 60.4).
///
/// Losses are counted per slice, 24 heights after it, so that what overtook is here; at most 64 heights are caught up at once.

import MillraceBase
import MillraceWire

extension Following {
    /// Shreds that have not come this many heights later do not come.
    static let lossDelay: UInt64 = 24

    /// At most so many heights at once: after a gap, what lies further back came by catch-up.
    static let lossCountMax: UInt64 = 64

    /// What became of the contract's shreds at heights that lie behind, whether or not those are complete: while the stream
    /// stands still for want of parity, that is what there is to be learned.
    func countLosses() {
        guard headerTip > Following.lossDelay else { return }
        let through = headerTip - Following.lossDelay
        var height = max(
            lossCountedThrough + 1, countLossFrom, through - min(through, Following.lossCountMax) + 1)
        lossCountedThrough = max(lossCountedThrough, through)
        if height > through { return }
        let subscribed = plan.stripes.reduce(StripeSet.empty) { $0.union($1) }
        let headersBy = plan.headers.firstIndex { $0.atOnce }
        while height <= through {
            if let entry = store.entry(height) {
                countLoss(of: entry, subscribed: subscribed, headersBy: headersBy)
                height = entry.lastHeight
            }
            height += 1
        }
    }

    func countLoss(of entry: HeightEntry, subscribed: StripeSet, headersBy: Int?) {
        for record in entry.slices {
            guard let record, !record.isBacklog, record.dataCount > 0 else { continue }
            if let headersBy { noteHeader(of: record, by: headersBy) }
            // Data only: parity that did not come may have found no idle slot (Spec 55.6, rule 2), which is no loss.
            let owed = subscribed.intersection(record.shreds.data)
            parity.note(
                expected: owed.count, missing: owed.subtracting(record.arrived).count,
                dataCount: record.dataCount)
        }
    }

    /// Five sums in a row are not lost by chance.
    var sumsAreMissing: Bool { sumEvery > 0 && headersSinceSum >= 5 * Int(sumEvery) }

    /// Each header that did not come counts four, each that came takes one off; at so many, another parent has to send them.
    static let headersMissedMax = 40

    func noteHeader(of record: SliceRecord, by parent: Int) {
        let came = record.headerFrom >> UInt64(parent) & 1 == 1
        headersMissed = max(headersMissed + (came ? -1 : 4), 0)
        if headersMissed >= Following.headersMissedMax {
            headersMissed = 0
            headerTurn = parent + 1
            headerTurnIsDue = true
        }
    }

    static let longRoundTrip = Interval.milliseconds(200)
    /// A way that stood still for a moment is full of what waited for a moment more. Three of a parent's STATUS.
    static let fullForLong = Interval.milliseconds(150)
    /// What parents say of a line that answers have filled is old news so much later.
    static let heightsFill = Interval.seconds(1)
    /// One in a hundred: as often, a header is lost.
    static let muchLoss65536 = 655

    /// Buys more or less parity when the measured loss says so.
    func reviewParity(now: Instant) {
        guard next > 0, let record = store.entry(next - 1)?.firstRecord, record.dataCount > 0 else { return }
        var roundTrip = Interval.zero
        var queued = Interval.zero
        for i in parents.indices where parents[i].isUsable {
            guard let measured = ask(i, { $0.roundTrip }) else { continue }
            roundTrip = max(roundTrip, measured.current)
            queued = max(queued, measured.queued)
        }
        if !isLineFull { fullSince = nil } else if fullSince == nil { fullSince = now }
        let isFull = fullSince.map { now - $0 >= Following.fullForLong } ?? false
        // Heights that were asked for fill any line while they come: that says nothing of what it carries beside the stream.
        let isOwnDoing = parents.contains { now - $0.broughtHeightsAt < Following.heightsFill }
        var isChanged = parity.decide(
            roundTrip: roundTrip, queued: isOwnDoing ? .zero : queued, isFull: isFull && !isOwnDoing,
            ceiling: record.parityCount, now: now)
        // The oftener, the dearer: it pays where a header asked for takes long, and losses take several at once; and where
        // parents are so near that the wait for the next slice's sum is what delivery takes longest for.
        let isNear = roundTrip < ParityController.nearRoundTrip
        let isMuch = parity.loss65536 >= Following.muchLoss65536 / (sumEvery == 1 ? 2 : 1)
        let often: UInt8 =
            parity.isPrudent || parity.isBursty && roundTrip >= Following.longRoundTrip || isNear && isMuch
            ? 1 : parity.isLossy ? 2 : parents.count(where: \.isUsable) > 1 ? 4 : 0
        if parity.isDecided, sumEvery != often || headerTurnIsDue || sumsAreMissing {
            sumEvery = often
            headerTurnIsDue = false
            isChanged = true
        }
        if isChanged { replan(now: now) }
    }
}

/// Who of the parents is alive: by what comes, not by what headers say was owed, because those who send headers may be the ones
/// that fell silent (Spec 60.4, rule 7).
///
///     up ──three heights behind the others, and quiet──▶ silent ──probation──▶ on trial ──gave a few shreds──▶ up
///      ▲                                                             │ ▲
///      └── established while nothing flows, or nobody else serves ───┘ └── established while others serve
///                                                       on trial ──gave nothing──▶ silent
///
/// A parent on trial is asked for one stripe that nobody needs: parity beyond what is bought, or a copy. Whoever gives nothing
/// costs nothing then, however many come one after the other. Requests go first to those who answered last time.

import MillraceBase
import MillraceWire

extension Following {
    /// Shreds of its trial's stripe that a parent has to give.
    static let trialShreds = 4
    /// In this time: twenty-five mini-blocks are there for the four, and a contract takes a round trip or two.
    static let trialInterval = Interval.seconds(1)
    /// The stream flows while headers come that often.
    static let flowInterval = Interval.milliseconds(100)
    /// A request that was not answered is held against whoever was asked for so long.
    static let unansweredInterval = Interval.seconds(1)

    // MARK: Trials

    /// Whether a parent that comes (again) has to show first that it gives anything.
    func needsTrial(_ i: Int, now: Instant) -> Bool {
        !parents[i].isNeighbour && now - lastHeaderAt < Following.flowInterval
            && parents.indices.contains { $0 != i && parents[$0].isUsable }
    }

    func beginTrial(_ i: Int, now: Instant) {
        parents[i].isOnTrial = needsTrial(i, now: now)
        parents[i].trialShreds = 0
        parents[i].trialSince = now
    }

    /// What is asked of a parent under the plan.
    func stripes(of i: Int, under plan: StripePlan) -> StripeSet {
        // While heights are pulled, nobody is asked for any.
        guard takesStream, parents[i].isOnTrial, parents[i].state == .up, !parents[i].isRetired else {
            return plan.stripes[i]
        }
        var stripe = StripeSet.empty
        let spare = max(parityMade - parity.stripes, 0)
        if spare > 0 {
            stripe.insert(WireLimits.firstParityStripe + parity.stripes + i % spare)
        } else {
            stripe.insert(i % max(leastDataCount, 1))
        }
        return stripe
    }

    /// A shred came by contract from a parent on trial.
    func triedShred(_ i: Int, now: Instant) {
        parents[i].trialShreds += 1
        guard parents[i].trialShreds >= Following.trialShreds else { return }
        parents[i].isOnTrial = false
        replan(now: now)
    }

    /// Parents of which nothing was heard for a moment have lost what they had, and cannot show that they give. They are tried
    /// when they are heard again. Answers whether there are any.
    private func tryIdle(now: Instant) -> Bool {
        guard takesStream else { return false }
        var places = 0
        var idle: [Int] = []
        for i in parents.indices where !parents[i].isRetired && !parents[i].isNeighbour {
            if places < StripeSet.dataStripesMax, parents[i].isUsable, parents[i].isConnected, plan.isIdle(i)
            {
                idle.append(i)
            }
            places += 1
        }
        if idle.isEmpty { return false }
        let standings = standings(now: now)
        idle.removeAll { standings[$0] < .heard }
        for i in idle { beginTrial(i, now: now) }
        return !idle.isEmpty
    }

    /// Begins and ends trials. Answers whether stripes are to be dealt anew.
    func watchTrials(now: Instant) -> Bool {
        var changed = tryIdle(now: now)
        let isServed = parents.contains(where: \.isUsable)
        for i in parents.indices where parents[i].isOnTrial && parents[i].state == .up {
            if !takesStream {
                parents[i].trialSince = now
            } else if !isServed || now - lastHeaderAt >= Following.flowInterval {
                // Nobody else is left, or there is nothing to give.
                parents[i].isOnTrial = false
                changed = true
            } else if now - parents[i].trialSince
                > Following.trialInterval + (peer(i)?.roundTrip.timeout ?? .zero) * 2
            {
                silence(i, now: now)
                changed = true
            }
        }
        return changed
    }

    /// Owes it nothing until its probation is over. What was asked of it is free to be asked of others.
    func silence(_ i: Int, now: Instant) {
        parents[i].state = .silent(until: now + parents[i].probation)
        parents[i].lapses = min(parents[i].lapses + 1, 16)
        parents[i].isOnTrial = false
        endpoint.statistics.stripesMoved &+= UInt64(parents[i].stripes.count)
        settleRequests(of: i, now: now)
        if let peer = peer(i) { endpoint.emit(.parentSilent(peer.address)) }
    }

    // MARK: Silence

    /// What of a slice's stripes exists lately: the fewest data shreds of slices, rising by one with each.
    func noteSlice(_ header: SliceHeader) {
        leastDataCount = min(Int(header.dataCount), leastDataCount + 1)
        if header.dataCount > 0 { parityMade = Int(header.parityCount) }
        if let i = plan.sumsBy, parents[i].acceptedSerial == parents[i].serial { headersSinceSum += 1 }
        for i in parents.indices { parents[i].headersUnheard = min(parents[i].headersUnheard + 1, 1_024) }
    }

    /// How many shreds of every slice a parent owes, parity included.
    private func shredsOwed(_ i: Int) -> Int {
        guard parents[i].isUsable, leastDataCount > 0 else { return 0 }
        var owed = 0
        for stripe in 0..<leastDataCount where parents[i].stripes.contains(stripe) { owed += 1 }
        let made =
            parents[i].sparesParity
            ? min(parityMade, StripeSet.sparedParity(dataCount: leastDataCount)) : parityMade
        for j in 0..<made where parents[i].stripes.contains(WireLimits.firstParityStripe + j) { owed += 1 }
        return owed
    }

    /// A slice's shreds that contracts are for.
    func shredsBought(_ record: SliceRecord) -> StripeSet {
        parity.sparesParity
            ? record.shreds.intersection(.sparing(dataCount: record.dataCount)) : record.shreds
    }

    /// Since when who owes what.
    func noteDebts(now: Instant) {
        for i in parents.indices {
            if shredsOwed(i) == 0 {
                parents[i].owesShredsSince = nil
            } else if parents[i].owesShredsSince == nil {
                parents[i].owesShredsSince = now
                parents[i].owesFrom = furthest()
            }
            if !parents[i].isUsable || !parents[i].headers.atOnce {
                parents[i].owesHeadersSince = nil
            } else if parents[i].owesHeadersSince == nil {
                parents[i].owesHeadersSince = now
                parents[i].headersUnheard = 0
            }
        }
    }

    /// The height that somebody's shreds or headers have reached.
    func furthest() -> UInt64 {
        parents.reduce(headerTip) { $1.isUsable ? max($0, $1.progress.height) : $0 }
    }

    /// Something came from a parent.
    func noteFlow(now: Instant) {
        if now - lastFlowAt >= Following.silentInterval { flowsSince = now }
        lastFlowAt = now
    }

    /// How long a parent that owes something of every slice may give nothing while others do: three mini-blocks at least, and
    /// what its way varies by. Answers come before the stream, so one who answers is busy for a while; on a full line the
    /// stream waits.
    func patience(_ i: Int) -> Interval {
        let usual = Following.silentInterval + (ask(i) { $0.roundTrip.variation } ?? .zero) * 2
        if waitsForLine(i) { return max(usual, Following.fullInterval) }
        let isBusy = endpoint.now - parents[i].answeredAt < Following.silentInterval
        return isBusy ? max(usual, Following.busyInterval) : usual
    }

    /// A parent has known of its contract, whose debts began at `since`, for so long that something should have come.
    private func isDue(_ i: Int, since: Instant, now: Instant) -> Bool {
        let timeout = ask(i) { $0.roundTrip.timeout } ?? .milliseconds(500)
        if parents[i].acceptedSerial == parents[i].serial {
            return isAnswering(i, now: now)
                ? now - since >= timeout + .milliseconds(100)
                : now - max(since, parents[i].acceptedAt) >= patience(i)
        }
        // SUBSCRIBE or ACCEPT may have been lost, but hardly twice.
        return now - since >= timeout * 2 + patience(i)
    }

    /// It gives what was asked of it, behind which the stream may wait.
    private func isAnswering(_ i: Int, now: Instant) -> Bool {
        now - parents[i].lastAnswerAt < patience(i)
    }

    /// No burst takes all of a parent's shreds of so many slices in a row: it takes whatever is on the line meanwhile, a fifth
    /// of a second of it.
    static let burstSlicesMax = 20

    /// How many shreds in a row are not lost by chance where losses come in bursts: n more than the first are with (1 − 1/b)^n,
    /// b being the bursts' mean, which is below 2^-20 from 14 b on; and b is half of V/µ + 1.
    static func shredsInABurst(dispersion16: Int, owed: Int) -> Int {
        min(7 * (dispersion16 + 16) / 16, max(owed * burstSlicesMax, silentShreds))
    }

    /// So many shreds in a row are not lost by chance: p^n is below 2^-20 where they are lost one by one.
    func shredsInARow(_ i: Int, now: Instant) -> Int {
        guard parity.isDecided, !isAnswering(i, now: now) else { return Following.silentShreds }
        if parity.isBursty {
            return Following.shredsInABurst(dispersion16: parity.dispersion16, owed: shredsOwed(i))
        }
        let bits = max(16 - (Int.bitWidth - max(parity.loss65536, 64).leadingZeroBitCount), 1)
        return min((20 + bits - 1) / bits, Following.silentShreds)
    }

    /// By how many heights others are ahead of a parent that has given nothing for a while of what it owes of each; 0 when
    /// it gives.
    private func heightsBehind(_ i: Int, now: Instant) -> Int {
        // Nobody's patience is shorter than that: whoever gives is not looked at any further.
        guard parents[i].isUsable, now - parents[i].lastShredAt >= Following.silentInterval,
            let since = parents[i].owesShredsSince, isDue(i, since: since, now: now),
            isFlowing(i, now: now), now - parents[i].lastShredAt >= patience(i)
        else { return 0 }
        let ahead = furthest()
        return Int(
            clamping: min(ahead - min(max(parents[i].progress.height, parents[i].owesFrom), ahead), 1_024))
    }

    /// Parents have been heard without a hole for so long that parent `i` had the time to give its part.
    private func isFlowing(_ i: Int, now: Instant) -> Bool {
        now >= stoodStillUntil + .milliseconds(500) && now - flowsSince >= patience(i)
    }

    /// What a parent owes is not waited for any more: it may be silent, or have lost a few.
    func isLate(_ i: Int, now: Instant) -> Bool {
        heightsBehind(i, now: now) >= Following.silentSlices && !isAnswering(i, now: now)
    }

    /// Nothing comes from a parent of what it owes, while the stream goes on elsewhere.
    func isQuiet(_ i: Int, now: Instant) -> Bool {
        // With one parent there is nobody to move the stripes to.
        guard parents.count(where: \.isUsable) > 1 else { return false }
        let behind = heightsBehind(i, now: now)
        if behind >= Following.silentSlices, behind * shredsOwed(i) >= shredsInARow(i, now: now) {
            return true
        }
        guard parents[i].isUsable, now - parents[i].lastHeaderAt >= Following.silentInterval,
            let since = parents[i].owesHeadersSince
        else { return false }
        return isDue(i, since: since, now: now) && isFlowing(i, now: now)
            && now - parents[i].lastHeaderAt >= patience(i)
            && parents[i].headersUnheard >= min(shredsInARow(i, now: now), Following.silentShreds)
    }

    /// Nothing at all came from a parent for so long: two of its STATUS and a half.
    static let unheardInterval = Interval.milliseconds(125)

    /// What may be hoped for from each parent.
    func standings(now: Instant) -> [StripePlan.Standing] {
        let passesOverDeferred = passesOverDeferred
        return parents.indices.map { standing(of: $0, passesOverDeferred, now: now) }
    }

    /// Whether somebody has something to give of whom nothing is heard. Asked with every tick, and nearly always answered by the
    /// first look.
    func isPlanDoubtful(now: Instant) -> Bool {
        let passesOverDeferred = passesOverDeferred
        return parents.indices.contains { standing(of: $0, passesOverDeferred, now: now) == .unheard }
            && plan.isDoubtful(standings(now: now))
    }

    private func standing(of i: Int, _ passesOverDeferred: Bool, now: Instant) -> StripePlan.Standing {
        if parents[i].isRetired || parents[i].isNeighbour { return .gone }
        guard parents[i].isUsable, !(passesOverDeferred && parents[i].isDeferred), takesStream, isSubscribed,
            let isHeard = ask(
                i,
                {
                    now - $0.lastReceivedAt < Following.unheardInterval + $0.roundTrip.variation * 2
                })
        else { return .unusable }
        let since = now - max(parents[i].lastShredAt, parents[i].lastHeaderAt)
        if since < Following.silentInterval || since < patience(i) { return .giving }
        return isHeard ? .heard : .unheard
    }

    // MARK: Whom to ask

    /// How little is to be hoped for from asking parent `i`; 0 is best. One that left requests unanswered is left alone for a
    /// while that doubles with each, and those who gave something a moment ago are asked before those who say only that they
    /// are well.
    func reluctance(_ i: Int, now: Instant) -> Int {
        let parent = parents[i]
        let pause = Following.unansweredInterval * Int64(1 << min(max(parent.unanswered - 1, 0), 6))
        let isIgnoring = parent.unanswered > 0 && now - parent.unansweredAt < pause
        let given = max(parent.lastShredAt, parent.lastHeaderAt, parent.lastAnswerAt)
        let isFresh = now - given < Following.freshInterval
        return (isFresh ? 0 : 1) + (parent.isUsable ? 0 : 1) + (isIgnoring ? 3 : 0)
            + (isLate(i, now: now) ? 3 : 0)
    }

    /// Whoever gave something so lately has it to give.
    static let freshInterval = Interval.milliseconds(250)
    /// Heights that come in one answer, which is soon over.
    static let shortCatchUp = 16

    func noteAnswered(_ i: Int, now: Instant) {
        guard parents.indices.contains(i) else { return }
        parents[i].unanswered = 0
        parents[i].lastAnswerAt = now
    }

    /// A request was not answered in time, although this node was awake.
    func noteUnanswered(_ request: RepairRequest, now: Instant) {
        guard takesStream, !request.isAnswered, request.sentAt >= stoodStillUntil,
            parents.indices.contains(request.parent)
        else { return }
        parents[request.parent].unanswered = min(parents[request.parent].unanswered + 1, 16)
        parents[request.parent].unansweredAt = now
    }
}

/// What one peer has done, and what follows from it: a pure value, fed with events (Spec 66).
///
/// Two kinds of terms that are never mixed. *Guilt* is what only a peer that breaks its word can do: shreds withheld though no
/// datagram was lost, forged bytes, claims answered by MISS, floods. *Quality* is what may be the fault of a line: loss,
/// lateness, shreds it says it lacks, requests unanswered. Quality alone never does more than move stripes to a better
/// parent, so nobody is punished for a poor line. There is no credit for good conduct: the worse of what a peer does now and
/// what it did in the last minutes counts, so long good service hides nothing.
///
/// Asks: events in the order of time; `judged` only for shreds that this peer owed under an accepted contract all the while
/// (`ScoreBoard` sees to that). Bounds: some 500 bytes; every count is clamped (`FadingCount.max`).

import MillraceBase
import MillraceWire

struct PeerScore: BitwiseCopyable {
    // Points, and what they lead to.
    static let deferredAt = 200
    static let deferredUntil = 100
    static let probationAt = 400
    static let probationUntil = 200
    static let bannedAt = 1_000
    /// Quality ends below probation, withholding alone below a ban.
    static let qualityMax = probationAt - 1
    static let withheldMax = 900
    static let pointsMax = 2_000

    // How many counts a share needs before it is one.
    static let owedSamples: UInt64 = 64
    static let withheldSamples: UInt64 = 8
    static let promiseSamples: UInt64 = 16
    static let lossSamples: UInt64 = 4_096

    /// Shreds of its stripes by contract, those that were in no datagram, those it said it lacks.
    private var owed = FadingCount()
    private var withheld = FadingCount()
    private var short = FadingCount()
    /// Datagrams it numbered, and numbers that did not come.
    private var numbered = FadingCount()
    private var gaps = FadingCount()
    private var offences = FadingCount()
    /// Shreds it said to have, of those that were asked for; and those of them that it answered by MISS.
    private var claims = FadingCount()
    private var broken = FadingCount()
    /// Shreds asked for and what became of them.
    private var asked = FadingCount()
    private var unanswered = FadingCount()
    private var answers = FadingCount()
    private var useful = FadingCount()
    private var excessFrames = FadingCount()
    private var lapses = FadingCount()

    /// Heights timed lately, 64 at most, so that an old verdict fades in two minutes without new ones.
    private var timed = FadingCount()
    /// Behind the first of all, smoothed, in 1/64 µs.
    private var late64: Int64 = 0
    private var lateSamples = 0
    private(set) var forgedBytes: UInt64 = 0
    /// Times it was banned, and until when.
    private(set) var bans = 0
    private(set) var bannedUntil = Instant.zero
    private(set) var standing = PeerStanding.good

    private var credit = LossCredit()
    /// Shreds it said it dropped, not yet held against what is missing.
    private var dropCredit = 0
    // The session's own numbers, as told last.
    private var lastExpected: UInt64 = 0
    private var lastGaps: Int64 = 0
    private var lastDropped: UInt64 = 0
    private var tick: ScoreTick

    init(now: Instant) { tick = ScoreTick(now) }

    // MARK: Time

    /// Fades everything to `now`. Every event does; a report should.
    mutating func advance(to now: Instant) {
        let next = ScoreTick(now)
        let fastSteps = next.fast - tick.fast
        guard fastSteps > 0 else { return }
        let (fast, slow) = (Fading(steps: fastSteps), Fading(steps: next.slow - tick.slow))
        tick = next
        owed.fade(fast, slow)
        withheld.fade(fast, slow)
        short.fade(fast, slow)
        numbered.fade(fast, slow)
        gaps.fade(fast, slow)
        offences.fade(fast, slow)
        claims.fade(fast, slow)
        broken.fade(fast, slow)
        asked.fade(fast, slow)
        unanswered.fade(fast, slow)
        answers.fade(fast, slow)
        useful.fade(fast, slow)
        excessFrames.fade(fast, slow)
        lapses.fade(fast, slow)
        timed.fade(fast, slow)
        if !isTimed, lateSamples > 64 { (late64, lateSamples) = (0, 0) }
    }

    // MARK: Events

    /// A new session: its datagrams are numbered from 0 again, and nothing is owed from before.
    mutating func beginSession(now: Instant) {
        advance(to: now)
        credit = LossCredit()
        dropCredit = 0
        lastExpected = 0
        lastGaps = 0
        lastDropped = 0
    }

    /// A contract that counts begins here: gaps and refusals of before explain nothing of it.
    mutating func beginContract() {
        credit = LossCredit()
        dropCredit = 0
    }

    /// How many datagrams the peer has numbered in this session, and how many of them came. When not `isMeasured`, what did
    /// not come says nothing of its way (our own line is asked for more than it carries), but it explains what is missing.
    mutating func arrivals(expected: UInt64, genuine: UInt64, isMeasured: Bool = true, now: Instant) {
        advance(to: now)
        guard expected >= lastExpected else { return }
        if isMeasured { numbered.add(Int(clamping: expected - lastExpected)) }
        lastExpected = expected
        let missing = Int64(clamping: expected) - Int64(clamping: min(genuine, expected))
        credit.note(gaps: missing - lastGaps, now: now)
        if isMeasured, missing > lastGaps { gaps.add(Int(missing - lastGaps)) }
        lastGaps = missing
    }

    /// New keys: what was lost at the end of the old ones leaves no gap. `datagrams` are taken as lost.
    mutating func excuse(datagrams: Int, now: Instant) {
        credit.note(gaps: Int64(max(0, min(datagrams, 4_096))), now: now)
    }

    /// The peer's own count of shreds it had no room for.
    mutating func dropped(_ total: UInt64) {
        if total > lastDropped {
            dropCredit = min(dropCredit + Int(min(total - lastDropped, 1 << 20)), 1 << 20)
        }
        lastDropped = total
    }

    /// Of a slice that is long over: what the peer owed of it and what of that never came. `symbolBytes` is a shred's symbol;
    /// `admitted` says that the peer told us that it does not hold that height.
    mutating func judged(owed count: Int, missing: Int, symbolBytes: Int, admitted: Bool, now: Instant) {
        advance(to: now)
        guard count > 0 else { return }
        owed.add(count)
        let missing = min(max(missing, 0), count)
        if missing == 0 { return }
        // The least a shred's frame has around its symbol, so that a gap explains as much as it can.
        let bytes = symbolBytes + PeerScore.shredOverheadMin
        var rest = missing - credit.explain(shreds: missing, bytesEach: bytes, now: now)
        if rest == 0 { return }
        if admitted {
            short.add(rest)
            return
        }
        let said = min(rest, dropCredit)
        dropCredit -= said
        if said > 0 { short.add(said) }
        rest -= said
        if rest > 0 { withheld.add(rest) }
    }

    /// Type, cadence, height, slice, shred, length: one byte each at the least, two for the length.
    static let shredOverheadMin = 7

    /// The first contract shred of a height came so long after the first from anybody.
    mutating func arrived(behindFirst delay: Interval, now: Instant) {
        advance(to: now)
        let sample = min(max(delay.microseconds, 0), 1_000_000) * 64
        lateSamples = min(lateSamples + 1, 1_000_000)
        if timed.slow < 64 * FadingCount.one { timed.add(1) }
        late64 += (sample - late64) / Int64(min(lateSamples, 64))
    }

    /// Something only a cheat or a broken program sends. `bytes` are those of a forged shred or header.
    mutating func offended(bytes: Int, now: Instant) {
        advance(to: now)
        offences.add(1)
        forgedBytes &+= UInt64(clamping: max(bytes, 0))
    }

    /// Shreds of a request that it answered.
    mutating func answered(shreds: Int, claimed: Bool, now: Instant) {
        advance(to: now)
        asked.add(shreds)
        answers.add(shreds)
        if claimed { claims.add(shreds) }
    }

    /// Of those, shreds that were still needed.
    mutating func helped(shreds: Int, now: Instant) {
        advance(to: now)
        useful.add(shreds)
    }

    /// A MISS. `claimed`: its have-map, as it stood when the request went out, says that it holds these.
    mutating func missed(shreds: Int, claimed: Bool, now: Instant) {
        advance(to: now)
        asked.add(shreds)
        guard claimed else { return }
        claims.add(shreds)
        broken.add(shreds)
    }

    /// Nothing came in time, though other datagrams did. The request may have been lost: this is quality, not guilt.
    mutating func ignored(shreds: Int, now: Instant) {
        advance(to: now)
        asked.add(shreds)
        unanswered.add(shreds)
    }

    /// Control frames over the limit, dropped unread.
    mutating func flooded(frames: Int, now: Instant) {
        advance(to: now)
        excessFrames.add(frames)
    }

    // MARK: Points

    /// What quality is measured against: the best that any parent does now, and what is known of the peer besides.
    struct Comparison: BitwiseCopyable {
        var lossPerMille = 0
        var late = Interval.zero
        /// How much farther the peer is than the nearest parent, there and back.
        var fartherBy = Interval.zero
        var colocated = 0
    }

    var isTimed: Bool { timed.slow >= 16 * FadingCount.one }
    var isLossMeasured: Bool { numbered.slow >= PeerScore.lossSamples * FadingCount.one }
    var lossPerMille: Int { numbered.perMilleSlow(gaps, samples: PeerScore.lossSamples) }
    var lateness: Interval { isTimed ? .microseconds(late64 / 64) : .zero }
    private var hasWithheld: Bool { withheld.slow >= PeerScore.withheldSamples * FadingCount.one }

    private static func withheldPoints(_ perMille: Int) -> Int {
        min(max(0, (perMille - 20) * 5), withheldMax)
    }

    /// Every term, its points and their sum.
    func report(_ best: Comparison = Comparison()) -> ScoreReport {
        var report = ScoreReport()
        let fast = hasWithheld ? owed.perMilleFast(withheld, samples: PeerScore.owedSamples) : 0
        let slow = hasWithheld ? owed.perMilleSlow(withheld, samples: PeerScore.owedSamples) : 0
        report.withheldFast = .init(value: Int64(fast), points: PeerScore.withheldPoints(fast))
        report.withheldSlow = .init(value: Int64(slow), points: PeerScore.withheldPoints(slow))
        report.forged = .init(
            value: Int64(offences.slow * 1_000 / FadingCount.one),
            points: min(Int(offences.slow * 350 / FadingCount.one), PeerScore.pointsMax))
        let brokenShare = claims.perMilleSlow(broken, samples: PeerScore.promiseSamples)
        report.broken = .init(value: Int64(brokenShare), points: max(0, brokenShare - 100))
        let frames = excessFrames.slow / FadingCount.one
        report.flood = .init(value: Int64(frames), points: min(Int(frames / 4), PeerScore.pointsMax))
        report.lapses = .init(
            value: Int64(lapses.slow * 1_000 / FadingCount.one),
            points: Int(min(lapses.slow * 60 / FadingCount.one, 600)))

        let shortShare = owed.perMilleSlow(short, samples: PeerScore.owedSamples)
        report.short = .init(value: Int64(shortShare), points: max(0, (shortShare - 50) * 4 / 3))
        report.lossPerMille = lossPerMille
        let excess = max(0, lossPerMille - best.lossPerMille)
        report.excessLoss = .init(value: Int64(excess), points: max(0, (excess - 50) * 2))
        let distance = max(best.fartherBy.microseconds / 2, 0)
        let behind = max(0, lateness.microseconds - best.late.microseconds - distance)
        report.late = .init(value: behind, points: Int(max(0, (behind - 20_000) / 100)))
        let ignoredShare = asked.perMilleSlow(unanswered, samples: PeerScore.promiseSamples)
        report.unanswered = .init(value: Int64(ignoredShare), points: max(0, (ignoredShare - 500) / 2))

        report.useful = .init(value: Int64(answers.perMilleSlow(useful, samples: PeerScore.promiseSamples)))
        report.colocated = .init(value: Int64(best.colocated))
        report.forgedBytes = forgedBytes
        report.standing = standing
        report.points = min(guilt(report) + quality(report), PeerScore.pointsMax)
        return report
    }

    private func guilt(_ report: ScoreReport) -> Int {
        max(report.withheldFast.points, report.withheldSlow.points) + report.forged.points
            + report.broken.points + report.flood.points + report.lapses.points
    }

    private func quality(_ report: ScoreReport) -> Int {
        min(
            report.short.points + report.excessLoss.points + report.late.points + report.unanswered.points,
            PeerScore.qualityMax)
    }

    // MARK: Standing

    /// The score's consequence now. It worsens at one threshold and betters at a lower one. `forgivesWithholding`: the
    /// cause may be ours or above us all, so shares withheld count for nothing this time.
    mutating func review(_ best: Comparison, forgivesWithholding: Bool, now: Instant) -> PeerStanding {
        advance(to: now)
        var report = report(best)
        if forgivesWithholding {
            report.withheldFast.points = 0
            report.withheldSlow.points = 0
        }
        let guilt = guilt(report)
        let sum = guilt + min(quality(report), PeerScore.qualityMax)
        let before = standing
        if forgivesWithholding, before == .probation { return before }
        if guilt >= PeerScore.bannedAt {
            standing = .banned
        } else if guilt >= PeerScore.probationAt
            || (before == .probation && guilt >= PeerScore.probationUntil)
        {
            standing = .probation
        } else if sum >= PeerScore.deferredAt || (before != .good && sum >= PeerScore.deferredUntil) {
            standing = .deferred
        } else {
            standing = .good
        }
        if standing == .probation, before != .probation { lapses.add(1) }
        return standing
    }

    /// Whether it is to be banned at once, whatever else is known.
    var isBanDue: Bool { guilt(report()) >= PeerScore.bannedAt }

    /// Whether withholding alone would put it on probation.
    var isWithholding: Bool {
        let report = report()
        return max(report.withheldFast.points, report.withheldSlow.points) >= PeerScore.probationAt
    }

    /// Bans it: for a minute, doubling with each ban up to an hour. It begins anew after that, with its bans remembered.
    mutating func ban(now: Instant) -> Instant {
        let interval = min(PeerScore.banMin * Int64(1 << min(bans, 6)), PeerScore.banMax)
        let (count, bytes) = (min(bans + 1, 1_000), forgedBytes)
        self = PeerScore(now: now)
        bans = count
        forgedBytes = bytes
        bannedUntil = now + interval
        standing = .banned
        return bannedUntil
    }

    static let banMin = Interval.seconds(60)
    static let banMax = Interval.seconds(3_600)

    /// A ban that is over leaves a peer that may come again.
    mutating func readmit(now: Instant) {
        if standing == .banned, now >= bannedUntil { standing = .good }
    }

    /// Nothing is held against it: forgetting it loses nothing.
    var isClean: Bool { weight == 0 }
    /// How much forgetting it would forgive.
    var weight: Int { bans * PeerScore.pointsMax + report().points + (standing == .banned ? 1 : 0) }
}

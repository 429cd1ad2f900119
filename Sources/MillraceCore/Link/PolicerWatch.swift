/// Is loss chance, or does a policer (or a buffer too short to show as delay) cut what is above a rate? Seen from outside
/// both are loss without delay, so it is found out by experiment: send a little less than what arrives, and see whether
/// the loss goes away (Spec 55.5).
///
///     watching ──loss beyond chance, no delay──▶ testing ──loss went──▶ policed ──a probe is lossless──▶ policed, faster
///        ▲                                        │  ▲ │
///        └────────────── loss stayed ─────────────┘  └─┘ much of it stayed: less still, four times at most
///
/// Four tests take a sender that saw a full queue as an empty way (it never saw another) down to a tenth; when even that
/// changes nothing, the loss is the way's.
///
/// An experiment costs a source that is not greedy some delay, so it needs loss that no line has by chance (15 %, twice).
/// A greedy source is asked at 3 % above chance. Loss that stayed is chance, and no reason for another test.
///
/// Chance comes in bursts, and a few bursts more or less look like loss that came or went: at 5 % in bursts of eight, a sample
/// of 384 is easily a third of the one before. So loss that is not alarming is asked after 512 datagrams and tested
/// over 768; and what is lost at a rate that is sure to pass is learned, and held against no probe. When less was sent in vain,
/// the limit is what it was.

import MillraceBase

struct PolicerWatch {
    private enum State {
        case watching(suspicions: Int)
        case testing(until: Instant, lossBefore: Int64, limit: Int64, tests: Int)
        case policed(limit: Int64, probeAt: Instant)
        /// A little more than what passed: `limit` is with the more.
        case probing(limit: Int64, until: Instant)
    }

    static let datagramsMin: Int64 = 128
    static let lossMin65536: Int64 = 9_830
    static let lossMost65536: Int64 = 16_384
    static let lossGreedy65536: Int64 = 1_966
    static let testsMax = 4
    static let datagramsOfTest: Int64 = 384
    static let doubtsMax = 2
    /// Before loss is suspected; and when more is lost than any way loses by chance.
    static let datagramsOfSuspicion: Int64 = 512
    static let datagramsOfAlarm: Int64 = 256
    /// 0.5 Mbit/s: less is no tariff.
    static let limitMin: Int64 = 62_500
    static let probePartMax: Int64 = 8
    static let probeSoon = Interval.milliseconds(500)
    static let probeInterval = Interval.seconds(5)

    private var state = State.watching(suspicions: 0)
    private var sent: Int64 = 0
    private var received: Int64 = 0
    private var rateMost: Int64 = 0
    private var windows = 0
    private var isShort = true
    private var isBacklogged = true
    /// Of the test that found a policer, and how often since the loss was back without a probe.
    private var lossOfTest65536: Int64 = 0
    private var doubts = 0
    /// What a test found or a cut left: no more than passes, so that what is lost is lost by chance.
    private var limitSure: Int64 = 0
    /// The limit before the last cut, and the loss that was the reason for it.
    private var cut: (limit: Int64, loss65536: Int64)?
    /// The next probe sends more by this part of the limit.
    private var probePart: Int64 = PolicerWatch.probePartMax
    /// Watching: loss that a test has shown to be chance, and a margin. Policed: twice what is lost at a limit that is sure.
    private var tolerated65536: Int64 = 0

    /// Bytes per second not to exceed; very large when there is no policer.
    var limit: Int64 {
        switch state {
        case .watching: .max
        case .testing(_, _, let limit, _), .policed(let limit, _), .probing(let limit, _): limit
        }
    }

    mutating func note(
        sent: Int64, received: Int64, rate: Int64, isShort: Bool, isBacklogged: Bool,
        roundTrip: Interval, now: Instant
    ) {
        self.sent += sent
        self.received += received
        self.isShort = self.isShort && isShort
        self.isBacklogged = self.isBacklogged && isBacklogged
        rateMost += rate
        windows += 1
        guard self.sent >= PolicerWatch.datagramsMin else { return }
        let loss = max(0, self.sent - self.received) * 65_536 / self.sent
        let mean = rateMost / Int64(windows)
        let (wasShort, wasBacklogged) = (self.isShort, self.isBacklogged)
        switch state {
        case .watching(let suspicions):
            let isAlarming = loss > PolicerWatch.lossMost65536 && self.sent >= PolicerWatch.datagramsOfAlarm
            if self.sent < PolicerWatch.datagramsOfSuspicion, !isAlarming { return }
            let threshold =
                max(wasBacklogged ? PolicerWatch.lossGreedy65536 : PolicerWatch.lossMin65536, tolerated65536)
            guard wasShort, loss > threshold else {
                state = .watching(suspicions: 0)
                break
            }
            if suspicions == 0 {
                state = .watching(suspicions: 1)
                break
            }
            state = .testing(
                until: now + roundTrip * 2 + .milliseconds(200), lossBefore: loss,
                limit: max(mean * 19 / 20, PolicerWatch.limitMin), tests: 1)
        case .testing(let until, let lossBefore, let limit, let tests):
            // What was under way when the test began says nothing.
            if now < until { break }
            let isClear = lossBefore > PolicerWatch.lossMost65536
            if self.sent < PolicerWatch.datagramsOfTest * (isClear ? 1 : 2) { return }
            if loss * 3 < lossBefore {
                state = .policed(limit: limit, probeAt: now + PolicerWatch.probeSoon)
                (lossOfTest65536, doubts, limitSure) = (lossBefore, 0, limit)
                // What is left is what chance takes, whatever was taken for it before.
                (tolerated65536, cut) = (loss * 2, nil)
            } else if loss > PolicerWatch.lossMin65536, tests < PolicerWatch.testsMax {
                state = .testing(
                    until: now + roundTrip * 2 + .milliseconds(200), lossBefore: lossBefore,
                    limit: max(min(limit, mean * 19 / 20), PolicerWatch.limitMin), tests: tests + 1)
            } else if loss > PolicerWatch.lossMost65536 {
                // More than any way has by chance: whatever the cause, not more of it.
                state = .policed(limit: limit, probeAt: now + PolicerWatch.probeInterval)
                (lossOfTest65536, doubts, limitSure, cut) = (.max / 2, 0, limit, nil)
            } else {
                tolerate(loss)
            }
        case .policed(let limit, let probeAt)
        where loss > PolicerWatch.lossGreedy65536 + tolerated65536 && wasShort:
            // A burst or two are soon made up for.
            if loss <= PolicerWatch.lossMost65536, self.sent < PolicerWatch.datagramsOfSuspicion { return }
            // The loss is back, though no more is sent: was it chance after all?
            doubts = loss * 2 > lossOfTest65536 ? doubts + 1 : 0
            if doubts >= PolicerWatch.doubtsMax {
                tolerate(loss)
            } else if let cut, loss * 2 > cut.loss65536 {
                // Sending less did not help: so much is lost by chance, and more may pass than did before.
                tolerated65536 = min(loss * 2, PolicerWatch.lossMost65536)
                state = .policed(limit: max(cut.limit, limit), probeAt: now)
                self.cut = nil
            } else {
                cut = (limit, loss)
                learn(loss, at: limit)
                limitSure = max(min(limit, mean * 19 / 20), PolicerWatch.limitMin)
                state = .policed(limit: limitSure, probeAt: probeAt)
            }
        case .policed(let limit, let probeAt):
            cut = nil
            learn(loss, at: limit)
            // Only a source that waits can show that more would pass.
            if now >= probeAt, wasBacklogged {
                state = .probing(
                    limit: limit + limit / probePart, until: now + roundTrip + .milliseconds(100))
            }
        case .probing(let limit, let until):
            let isMuch = loss > PolicerWatch.lossMost65536
            // As with a test; but when much is lost, that is an answer.
            if now < until, !isMuch { break }
            if self.sent < PolicerWatch.datagramsOfTest, !isMuch { return }
            if loss > PolicerWatch.lossGreedy65536 + tolerated65536 {
                let before = limit * probePart / (probePart + 1)
                probePart = PolicerWatch.probePartMax
                state = .policed(
                    limit: max(isMuch ? min(before, mean * 19 / 20) : before, PolicerWatch.limitMin),
                    probeAt: now + PolicerWatch.probeInterval)
            } else {
                // It passes: at once more, by twice the part.
                probePart = max(probePart / 2, 2)
                state = .policed(limit: limit, probeAt: now)
            }
        }
        begin()
    }

    /// Nothing came for a while: what was lost then was lost to an outage, and says nothing of rates.
    mutating func noteSilence() { begin() }

    /// Loss of less than is known to pass is the way's. Of more it may be the policer's.
    private mutating func learn(_ loss: Int64, at limit: Int64) {
        guard limit <= limitSure else { return }
        tolerated65536 += (min(loss * 2, PolicerWatch.lossMost65536) - tolerated65536) / 4
    }

    /// Loss that stayed is the way's, and no reason for another test.
    private mutating func tolerate(_ loss: Int64) {
        tolerated65536 = min(loss * 3 + 1_966, PolicerWatch.lossMost65536)
        state = .watching(suspicions: 0)
    }

    private mutating func begin() {
        (sent, received, rateMost, windows) = (0, 0, 0, 0)
        (isShort, isBacklogged) = (true, true)
    }
}

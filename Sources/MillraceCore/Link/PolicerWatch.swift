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
/// Chance comes in bursts, and a few bursts more or less look like loss that came or went. So a source that is not greedy is
/// asked after 512 datagrams, and what was taken for a policer is chance after all when loss stays though a quarter less is
/// sent.

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
    /// Before a source that is not greedy, or that was tested before, is suspected; and when it loses more than any way does by
    /// chance.
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
    /// The limit that a test or a probe last found.
    private var limitFound: Int64 = 0
    /// The next probe sends more by this part of the limit.
    private var probePart: Int64 = PolicerWatch.probePartMax
    /// Loss that a test has shown to be chance, and a margin.
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
            if !wasBacklogged || tolerated65536 > 0, !isAlarming,
                self.sent < PolicerWatch.datagramsOfSuspicion
            {
                return
            }
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
            if self.sent < PolicerWatch.datagramsOfTest { return }
            if loss * 3 < lossBefore {
                state = .policed(limit: limit, probeAt: now + PolicerWatch.probeSoon)
                (lossOfTest65536, doubts, limitFound) = (lossBefore, 0, limit)
            } else if loss > PolicerWatch.lossMin65536, tests < PolicerWatch.testsMax {
                state = .testing(
                    until: now + roundTrip * 2 + .milliseconds(200), lossBefore: lossBefore,
                    limit: max(min(limit, mean * 19 / 20), PolicerWatch.limitMin), tests: tests + 1)
            } else if loss > PolicerWatch.lossMost65536 {
                // More than any way has by chance: whatever the cause, not more of it.
                state = .policed(limit: limit, probeAt: now + PolicerWatch.probeInterval)
                (lossOfTest65536, doubts, limitFound) = (.max / 2, 0, limit)
            } else {
                tolerate(loss)
            }
        case .policed(let limit, let probeAt)
        where loss > PolicerWatch.lossGreedy65536 + tolerated65536 && wasShort:
            // The loss is back, though no more is sent: was it chance after all?
            doubts = loss * 2 > lossOfTest65536 ? doubts + 1 : 0
            let less = max(min(limit, mean * 19 / 20), PolicerWatch.limitMin)
            if doubts >= PolicerWatch.doubtsMax || less * 4 < limitFound * 3 {
                tolerate(loss)
            } else {
                state = .policed(limit: less, probeAt: probeAt)
            }
        case .policed(let limit, let probeAt):
            // Only a source that waits can show that more would pass.
            if now >= probeAt, wasBacklogged {
                state = .probing(
                    limit: limit + limit / probePart, until: now + roundTrip + .milliseconds(400))
            }
        case .probing(let limit, let until):
            if loss > PolicerWatch.lossGreedy65536 + tolerated65536 {
                let before = limit * probePart / (probePart + 1)
                probePart = PolicerWatch.probePartMax
                state = .policed(
                    limit: max(min(before, mean * 19 / 20), PolicerWatch.limitMin),
                    probeAt: now + PolicerWatch.probeInterval)
            } else if now >= until {
                // It passes: at once more, by twice the part.
                probePart = max(probePart / 2, 2)
                limitFound = limit
                state = .policed(limit: limit, probeAt: now)
            }
        }
        begin()
    }

    /// Nothing came for a while: what was lost then was lost to an outage, and says nothing of rates.
    mutating func noteSilence() { begin() }

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

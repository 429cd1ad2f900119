/// How fast one child may be sent to: a model of the way to it, from feedback (Spec 55.4). Pure; integers only.
///
///     starting ──ceiling reached──▶ open ◀── a second of nothing waiting ──┐
///        │                           │                                     │
///        └──── a queue stands ───────┴──────────▶ limited ─────────────────┘
///
/// `open` is the usual state: the source has less to send than the way carries, and bursts go at the ceiling. What
/// says that the way is full is a *standing* queue: the least delay of several bursts stays above the guard. Only then is
/// there a rate to be found, and what arrives while the queue stands is that rate: the way's share for this sender.
/// `limited` paces at that share, a little more or less as the queue is below or above its target; so the queue is short,
/// and waiting is done here, where there are priorities.
///
/// Loss alone never lowers the rate, except when an experiment shows that it goes away with the excess (`PolicerWatch`).
/// What an idle source measured is never taken for the way's rate: it can only raise the estimate.
///
/// Why not AIMD: random loss is the rule on the lines this is made for. Why not probing for bandwidth all the time: the
/// stream needs what it needs, and a probe would be paid in delay.

import MillraceBase

/// What one feedback says about the time since the one before.
struct LinkReport {
    /// From the sending of the latest datagram to the arrival of the feedback.
    var roundTrip: Interval
    /// One-way delay in µs against an arbitrary clock: of the latest datagram, and the least of the two told of.
    var delay: Int64
    var delayLeast: Int64
    var datagramsSent: Int64
    var datagramsReceived: Int64
    /// Received, UDP and IP headers counted.
    var bytes: Int64
    /// Between the arrivals of the latest datagram and of the one before, in µs.
    var microseconds: Int64
    /// The sender always had something to send.
    var isBacklogged: Bool
    /// The receiver was: the times tell nothing.
    var isBusy = false
    /// Of those received, marked by a router on the way.
    var datagramsMarked: Int64 = 0
}

struct RateController {
    static let rateMin: Int64 = 16_000
    /// 10 Mbit/s: a slice's share of a mini-block in half a millisecond, and no flood on a slow way.
    static let rateAtStart: Int64 = 1_250_000
    /// A queue that stands this long in front of the way is too long.
    static let guardMin: Int64 = 25_000
    static let guardMax: Int64 = 100_000
    /// What may be under way whatever is known: half a second of a parent's half of the stream of 100,000 TPS.
    static let inFlightMin: Int64 = 262_144
    /// While a stream comes, feedback does every 20 to 100 ms, so this long without is a cut, and what was lost in it says
    /// nothing of rates. (Of a source that sends so little that 250 ms pass, nobody needs to know policers.)
    static let silenceMax: Int64 = 250_000
    static let patience = Interval.milliseconds(100)
    /// When it is twice too long.
    static let patienceLong = Interval.milliseconds(30)
    static let delayPeriod = Interval.seconds(5)
    /// A queue so short is none.
    static let queueNone: Int64 = 3_000
    /// Noise comes and goes, several times a second; a queue that was not empty for so long is the way's, however slowly it
    /// grew.
    static let noiseMemory = Interval.seconds(1)

    private enum State {
        case starting(doubledAt: Instant)
        case open
        case limited(quietSince: Instant)
    }

    /// Bytes per second, whatever is measured.
    private(set) var ceiling: Int64
    private var state: State
    /// Bytes per second to send at, before policers.
    private var pace: Int64
    /// The way's rate for this sender; meaningful when limited.
    private(set) var share: Int64 = 0

    // The model.

    private var delayBase = WindowedMinimum(period: delayPeriod)
    private var roundTripBase = WindowedMinimum(period: delayPeriod)
    private var recent = WindowedMinimum(period: .milliseconds(30))
    private var delivered = WindowedMaximum(period: .seconds(2))
    /// Standing queue when the way is not full: mean and mean deviation, in µs times 64.
    private var noise64: Int64 = 0
    private var deviation64: Int64 = 0
    /// When no queue was seen.
    private var clearAt: Instant
    /// Loss by chance, in 1/65,536: measured while no queue stands.
    private var chance65536: Int64 = 0
    private var policer = PolicerWatch()
    private var marks = MarkWatch()
    private var overSince: Instant?
    private var emptyAt: Instant
    private var drainUntil = Instant.zero

    /// Since the last window was closed.
    private var window = Window()
    private var deliveredBefore: Int64 = 0
    /// What arrived out of a queue that did not empty: the way's rate for this sender.
    private var carried = WindowedMaximum(period: .seconds(1))
    private var grownAt = Instant.zero
    /// How much more is tried next, in thousandths.
    private var step: Int64 = RateController.stepMin
    static let stepMin: Int64 = 50
    /// The first step after a queue was seen on a way whose rate is only guessed.
    static let stepFirst: Int64 = 500
    static let stepGrowth: Int64 = 4
    static let stepMax: Int64 = 500
    /// After three steps without a queue the way is another one, and larger ones are taken twice as often: a line of 4 Mbit/s
    /// that carries 25 again is full after six steps, 0.6 s where the round trip is 40 ms.
    static let surely = 3
    static let stepSurely: Int64 = 700
    /// Steps since a queue was seen.
    private var steps = 0

    private struct Window {
        var sent: Int64 = 0
        var received: Int64 = 0
        var bytes: Int64 = 0
        var microseconds: Int64 = 0
        var queueLeast = Int64.max
        var isBacklogged = true
        /// The longest time between two reports, in µs.
        var silence: Int64 = 0
        var rate: Int64 { microseconds > 0 ? bytes * 1_000_000 / microseconds : 0 }
    }

    init(ceilingBytesPerSecond: Int64, now: Instant) {
        ceiling = max(ceilingBytesPerSecond, RateController.rateMin)
        pace = min(RateController.rateAtStart, ceiling)
        state = .starting(doubledAt: now)
        emptyAt = now
        clearAt = now
    }

    mutating func setCeiling(bytesPerSecond: Int64) {
        let old = ceiling
        ceiling = max(bytesPerSecond, RateController.rateMin)
        pace = min(pace, ceiling)
        guard ceiling > old, case .open = state else { return }
        pace = ceiling
    }

    // MARK: What it says

    /// Bytes per second to send at now.
    var rate: Int64 { max(min(pace, policer.limit, ceiling), RateController.rateMin) }

    /// A queue stands in front of the way, or a policer cuts what is above its rate.
    var isLimited: Bool {
        if case .limited = state { return true }
        return policer.limit < ceiling
    }

    /// Bytes per second that came at most lately.
    var deliveredMost: Int64 { max(delivered.value ?? 0, share) }

    /// The standing queue in µs: the least delay of the last tens of milliseconds above the least of the last seconds.
    var queueMicroseconds: Int64 { recent.value ?? 0 }

    /// More stands in front of the way than bursts and its own noise make.
    var isQueueLong: Bool { queueMicroseconds > guardDelay }

    var roundTripLeast: Interval { .microseconds(roundTripBase.value ?? 250_000) }

    /// Bytes that may be under way (Spec 55.4, rule 9): what the way carries in a round trip and a quarter of a second, for
    /// feedback that is late or lost; three quarters where it was found to have room. It stops a sender whose datagrams go
    /// nowhere. One whose feedback alone was lost, in a burst, has nothing to stop for, and when it goes on the line is full of
    /// what waited.
    var bytesInFlightMax: Int64 {
        let roundTrip = min(roundTripLeast.microseconds, 2_000_000)
        let hasRoom = if case .open = state { !isLimited } else { false }
        let unheard: Int64 = hasRoom ? 750_000 : 250_000
        let carried = deliveredMost * (roundTrip + unheard) / 1_000_000
        // When a stream begins on a long way, its first feedback comes in time.
        let first: Int64 = hasRoom ? unheard : 20_000
        let opening = isLimited ? 0 : RateController.rateAtStart * (roundTrip + first) / 1_000_000
        return max(carried, opening, RateController.inFlightMin) + 65_536
    }

    private var target: Int64 {
        8_000 + min(6 * 1_260 * 1_000_000 / max(share, 1), 24_000) + min(noise64 / 64, 20_000)
    }

    private var guardDelay: Int64 {
        min(max(noise64 / 64 + deviation64 / 16, RateController.guardMin), RateController.guardMax)
    }

    /// How long the queue may take to come to its target: long enough that what is seen is what was done. 2.5 times the
    /// time until a change of pace shows in feedback.
    private var settling: Int64 { max(200_000, (roundTripLeast.microseconds + 80_000) * 5 / 2) }

    // MARK: Feedback

    mutating func update(_ report: LinkReport, now: Instant) {
        window.sent += max(report.datagramsSent, 0)
        window.received += max(report.datagramsReceived, 0)
        window.bytes += max(report.bytes, 0)
        window.microseconds += max(report.microseconds, 0)
        window.silence = max(window.silence, report.microseconds)
        window.isBacklogged = window.isBacklogged && report.isBacklogged
        if report.isBusy {
            // The queue cannot be seen: as much as before, and no more.
            overSince = nil
            emptyAt = now
        } else {
            look(report, now: now)
        }
        if window.microseconds >= windowSpan, window.received >= 8 {
            closeWindow(now: now)
        }
        setPace(report.isBusy ? target : queueMicroseconds, now: now)
    }

    private mutating func look(_ report: LinkReport, now: Instant) {
        window.queueLeast = min(window.queueLeast, measureQueue(report, now: now))
        let standing = queueMicroseconds
        if standing <= RateController.queueNone + noise64 / 64 { emptyAt = now }
        learnNoise(standing, now: now)
        if standing > guardDelay {
            if overSince == nil { overSince = now }
        } else {
            overSince = nil
        }
        let patience = standing > 2 * guardDelay ? RateController.patienceLong : RateController.patience
        let isFull = overSince.map { now - $0 >= patience } ?? false

        if case .limited = state {
        } else if isFull {
            limit(now: now)
        }
    }

    /// The queue that the report shows, in µs, after a look at the clock.
    private mutating func measureQueue(_ report: LinkReport, now: Instant) -> Int64 {
        let roundTrip = min(max(report.roundTrip.microseconds, 1), 10_000_000)
        roundTripBase.add(roundTrip, now: now)
        delayBase.add(report.delayLeast, now: now)
        let longer = roundTrip - (roundTripBase.value ?? roundTrip)
        let excess = report.delay - (delayBase.value ?? report.delay) - longer
        // A queue on the way there makes the round trip longer too. If it did not, a clock was set.
        if excess > 50_000 { delayBase.shift(by: excess) }
        var queue = max(0, report.delayLeast - (delayBase.value ?? report.delayLeast))
        marks.note(report, isShort: queue < 2_000 + noise64 / 64, roundTrip: roundTripLeast, now: now)
        if marks.saysFull(now: now) { queue = max(queue, guardDelay + 1_000) }
        recent.add(min(queue, 10_000_000), now: now)
        return queue
    }

    private mutating func learnNoise(_ standing: Int64, now: Instant) {
        if standing <= RateController.queueNone { clearAt = now }
        guard case .open = state, standing <= guardDelay, now - clearAt <= RateController.noiseMemory else {
            return
        }
        let error = standing * 64 - noise64
        noise64 += error / 64
        deviation64 += (Int64(clamping: error.magnitude) - deviation64) / 64
    }

    private mutating func limit(now: Instant) {
        // The most that came lately: the latest window may hold a silence of the way. Of a source that was never behind it is
        // not the way's rate, but what there was to send: a quarter more, and quickly more again if the queue goes.
        let rate = delivered.value ?? window.rate
        share = min(max(window.isBacklogged ? rate : rate + rate / 4, RateController.rateMin), ceiling)
        step = RateController.stepFirst
        steps = 0
        state = .limited(quietSince: now)
        emptyAt = now
        window = Window()
        deliveredBefore = share
    }

    /// How long a window lasts at least; half as long while the queue stays empty though more and more is sent.
    private var windowSpan: Int64 {
        let span = max(80_000, roundTripLeast.microseconds / 2)
        if case .limited = state, steps >= RateController.surely { return span / 2 }
        return span
    }

    private mutating func closeWindow(now: Instant) {
        let closed = window
        window = Window()
        let rate = closed.rate
        delivered.add(rate, now: now)
        let isShort = closed.queueLeast < RateController.guardMin + noise64 / 64
        if closed.silence > RateController.silenceMax {
            policer.noteSilence()
        } else {
            if isShort, closed.sent > 0 {
                let loss = max(0, closed.sent - closed.received) * 65_536 / closed.sent
                chance65536 += (min(loss, 6_554) - chance65536) / 16
            }
            policer.note(
                sent: closed.sent, received: closed.received, rate: rate, isShort: isShort,
                isBacklogged: closed.isBacklogged, roundTrip: roundTripLeast, now: now)
        }
        if case .limited(let quietSince) = state {
            // What is lost behind the queue came through it.
            let through = min(rate * 65_536 / (65_536 - chance65536), ceiling)
            if closed.queueLeast == .max, closed.isBacklogged {
                // Nothing was seen of the queue.
                share = max(share, through)
                state = .limited(quietSince: now)
            } else if closed.queueLeast > 2_000 + noise64 / 64, closed.isBacklogged {
                carried.add(through, now: now)
                // A long queue says that what was carried lately is carried no more.
                share =
                    closed.queueLeast > RateController.guardMax
                    ? max(through, deliveredBefore) : carried.value ?? through
                state = .limited(quietSince: now)
                step = RateController.stepMin
                steps = 0
            } else if closed.isBacklogged {
                // The queue empties though something always waits here: there is room for more, a little at first. What that
                // does shows after a round trip and a window.
                // Nor did it show anything, if the last one did not come yet.
                if now - grownAt >= roundTripLeast + .microseconds(windowSpan), rate >= share * 3 / 4 {
                    grownAt = now
                    share = min(share + share * step / 1_000, ceiling)
                    steps = min(steps + 1, RateController.surely)
                    step =
                        steps == RateController.surely
                        ? RateController.stepSurely
                        : min(step * RateController.stepGrowth, RateController.stepMax)
                }
                state = .limited(quietSince: now)
            } else {
                // The source had no more to send, whoever's queue it is.
                share = max(share, through)
                if now - quietSince >= .seconds(1) {
                    state = .starting(doubledAt: now)
                    pace = min(share * 2, ceiling)
                }
            }
            share = max(share, RateController.rateMin)
        }
        deliveredBefore = rate
    }

    private mutating func setPace(_ standing: Int64, now: Instant) {
        switch state {
        case .starting(let doubledAt):
            guard now - doubledAt >= max(roundTripLeast, .milliseconds(50)), standing < guardDelay / 2 else {
                return
            }
            pace = min(pace * 2, ceiling)
            state = pace == ceiling ? .open : .starting(doubledAt: now)
        case .open:
            pace = ceiling
        case .limited:
            // The least delay must be seen now and then, or it is forgotten: once in five seconds the queue is let empty.
            if now - emptyAt > RateController.delayPeriod {
                emptyAt = now
                drainUntil = now + roundTripLeast + .milliseconds(300)
            }
            if now < drainUntil {
                if standing <= RateController.queueNone + noise64 / 64 { drainUntil = now }
                // That the queue is empty now says nothing of room.
                grownAt = now
                pace = share * 6 / 10
                return
            }
            let change = min(max((target - standing) * 1_000 / settling, -400), 100)
            pace = min(max(share + share * change / 1_000, RateController.rateMin), ceiling)
        }
    }
}

/// How many shreds of coarser windows may be asked for and not yet here. The receiver drives it, because only it sees its
/// own line: a pull that outruns the line fills the queue in front of it, and whatever else comes that way waits there.
///
/// What is outstanding, divided by the time it takes, is what the line carries; so a delay of d, where the way alone takes m,
/// says that m / d of it would have done, and the rest stood in a queue:
///
///     starting     one shred more per answer (doubling per round trip), until a request waits 10 ms in a queue
///     then         once per round trip: size × (m + q) / d, and two shreds more; at least half, at most half as much again
///     nothing came in time: half, once per round trip
///
/// The queue q is 20 ms, and as much more as the process stood still when it last applied a window (40 ms at most): it asked for
/// nothing meanwhile, and the line went on. Before a large window as much more is asked for as comes while it is applied, by
/// what the last one took. What it finds in its socket then waited there and not on the way: it is not
/// measured.
///
/// The least delay is of the last ten to twenty seconds, so that a way that has become longer is learned.

import MillraceBase

struct FetchPace {
    static let shredsMin = 8
    static let shredsAtStart = 32
    static let startsBelow = Interval.milliseconds(10)
    static let queueTarget = Interval.milliseconds(20)
    static let pauseMax = Interval.milliseconds(40)
    /// What applying a large window is taken to last until one was: 200 ms for half a c3 window.
    static let microsecondsPerHeight: (values: Int64, parts: Int64) = (400, 2_500)
    static let longPauseMax = Interval.seconds(1)
    /// Beyond what is asked for otherwise, while something large is applied: three times `shredsMax`, which are half a second of
    /// 25 Mbit/s.
    static let foreseenMax = 3
    /// So long a process takes for what came while it stood still.
    static let backlog = Interval.milliseconds(5)
    static let memory = Interval.seconds(10)
    /// No line is taken to carry more than 100 Mbit/s before it did.
    static let expectedMax: UInt64 = 12_500_000

    let shredsMax: Int
    private var size256: Int
    /// Above that while something large is being applied.
    private var extra256 = 0
    private var isStarting = true
    private var changedAt = Instant.zero
    /// What the first answer to a request last took.
    private(set) var latest = Interval.milliseconds(50)
    /// The least delay of the memory before this one, and of the one under way.
    private var least: (before: Interval?, now: Interval?) = (nil, nil)
    private var turnsAt = Instant.zero
    /// What a height lately took to apply, in µs: of a large window, told by values mostly, and of a small one, in parts.
    private(set) var perHeight: (values: Int64, parts: Int64) = FetchPace.microsecondsPerHeight
    private var pausedHeights: UInt64 = 0
    /// When the process began to apply something, until it is heard of again; then how long it took, and until when nothing is
    /// measured.
    private var pausedAt: Instant?
    private var pause = Interval.zero
    private var measuresFrom = Instant.zero
    private var measuresSentFrom = Instant.zero
    private var isForeseen = false

    init(shredsMax: Int) {
        self.shredsMax = max(shredsMax, FetchPace.shredsMin)
        size256 = min(FetchPace.shredsAtStart, self.shredsMax) * 256
    }

    var shreds: Int { (size256 + extra256) / 256 }

    /// Something large is about to be applied: as much more may be asked for as comes meanwhile.
    mutating func foresee(heights: UInt64) {
        let way = max((minimum ?? latest).microseconds, 1_000) + FetchPace.queueTarget.microseconds
        let pause = min(
            perHeight.values * Int64(min(heights, 1_000)), FetchPace.longPauseMax.microseconds)
        extra256 = min(size256 * Int(pause) / Int(way), shredsMax * 256 * FetchPace.foreseenMax)
        isForeseen = true
    }

    /// The delay that is the way's own.
    var minimum: Interval? {
        guard let now = least.now else { return least.before }
        return least.before.map { min($0, now) } ?? now
    }

    /// Something is being applied; the next datagram or timer comes when that is done.
    mutating func paused(heights: UInt64 = 0, now: Instant) {
        if pausedAt == nil { (pausedAt, pausedHeights) = (now, 0) }
        pausedHeights = min(pausedHeights + min(heights, 1_000_000), 1_000_000)
    }

    mutating func resumed(now: Instant) {
        guard let began = pausedAt else { return }
        pausedAt = nil
        extra256 = 0
        let took = min(max(now - began, .zero), FetchPace.longPauseMax)
        if pausedHeights >= Cadence.quarter.heights {
            perHeight.values = took.microseconds / Int64(pausedHeights)
        } else if pausedHeights >= Cadence.c1.heights {
            perHeight.parts = took.microseconds / Int64(pausedHeights)
        }
        pause = min(took, FetchPace.pauseMax)
        measuresFrom = now + FetchPace.backlog
        // What was asked for on account of the pause waits for more than the way.
        if isForeseen { measuresSentFrom = now }
        isForeseen = false
    }

    /// The first answer to a request came after `delay`.
    mutating func measured(delay: Interval, now: Instant) {
        if now < measuresFrom || now - delay < measuresSentFrom { return }
        if now >= turnsAt {
            turnsAt = now + FetchPace.memory
            least = (least.now, nil)
        }
        least.now = least.now.map { min($0, delay) } ?? delay
        let way = minimum ?? delay
        latest = delay
        if isStarting {
            if delay - way <= FetchPace.startsBelow { return }
            isStarting = false
        }
        guard now >= changedAt + delay else { return }
        changedAt = now
        // Delays are clamped to ten seconds, sizes to a few thousand: far below 2^63.
        let micros = (way: min(way.microseconds, 10_000_000), all: min(delay.microseconds, 10_000_000))
        let queue = FetchPace.queueTarget + pause
        let wanted =
            size256 * Int(micros.way + queue.microseconds) / Int(max(micros.all, 1)) + 512
        resize(to: min(max(wanted, size256 / 2), size256 / 2 * 3))
    }

    mutating func answered() { if isStarting { resize(to: size256 + 256) } }

    /// The line is taken to carry so much, over the shortest way there is: the size that fills it, and no queue.
    mutating func expect(bytesPerSecond: UInt64, roundTrip: Interval) {
        let way = UInt64(min(max(roundTrip.microseconds, 1_000), 1_000_000))
        let bytes = min(bytesPerSecond, FetchPace.expectedMax) * way / 1_000_000
        resize(to: max(size256, Int(bytes) * 256 / Limits.datagramBytesMax))
    }

    mutating func timedOut(now: Instant) {
        guard now >= changedAt + latest else { return }
        changedAt = now
        isStarting = false
        resize(to: size256 / 2)
    }

    private mutating func resize(to size: Int) {
        size256 = min(max(size, FetchPace.shredsMin * 256), shredsMax * 256)
    }
}

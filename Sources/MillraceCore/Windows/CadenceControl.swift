/// A follower's decision between the stream (c0, by contract) and coarser windows (asked for one by one): down when its line
/// cannot carry the stream, up when it can. Only the receiver sees its line, so only it decides.
///
///              two seconds behind, not catching up, and less comes than the stream needs and a quarter more;
///              or three seconds behind all at once: the line was gone, or the follower comes late
///        follows ──────────────────────────────────────────────────────────────────────────────────▶ steps
///           ▲                                                                                          │
///           └── windows come half as fast again as the stream would need, and the tip is near ─────────┘
///               (or it has kept up with windows for twenty seconds: a probe)
///
/// A large window shows no gain until all of it is here, so heights alone do not tell that a line is too slow; bytes do.
/// After a gap nothing is contracted until the tip is near: beside the stream, the windows that everything waits for would
/// take half as long again, and all mini-blocks that came meanwhile would be applied behind them and not beside.
///
/// Pulling a window *is* the measurement: while one is on its way, the line is as full as `FetchPace` lets it be, and a
/// twentieth of a second of that shows what it carries; two such within three seconds are no chance. A return that fails
/// within ten seconds doubles the time until the next, from 2 s up to 64 s. Integers only; knows no peers.
///
/// A follower that is told its cadence steps all the time, as long as windows are served and the stream goes on.

import MillraceBase

struct CadenceControl {
    enum Mode: Equatable {
        /// The contract for c0 is held; windows fill gaps.
        case follows
        /// No contract; windows only.
        case steps
    }

    static let binInterval = Interval.milliseconds(250)
    static let slotInterval = Interval.milliseconds(50)
    static let fastWithin = Interval.seconds(3)
    /// Two seconds: more than a hole in a mobile line, less than patience.
    static let behindMax: UInt64 = 200
    /// Catching up by less than this in a second is not catching up.
    static let gainMin: UInt64 = 20
    /// Behind by so much, and by half of it more than a quarter of a second ago: windows are the shorter way.
    static let jumpMin: UInt64 = 300
    /// One and a half c2 windows: the last whole one is here.
    static let nearMax: UInt64 = 150
    /// However much comes: a line that has gained nothing for so long carries something else.
    static let gainsWithin = Interval.seconds(15)
    /// A line counts as up once datagrams have come in so many intervals in a row.
    static let settledBins = 6
    static let holdMin = Interval.seconds(2)
    static let holdMax = Interval.seconds(64)
    static let failsWithin = Interval.seconds(10)
    static let probesAfter = Interval.seconds(20)
    /// Datagrams, sessions and headers around a payload byte, in sixteenths: about 1.15.
    static let wirePerPayload16: UInt64 = 18

    /// The one cadence to follow, if it is not this line's to say.
    let told: Cadence?
    private(set) var mode = Mode.follows
    private var binEndsAt: Instant
    private var binBytes: UInt64 = 0
    /// How far behind at the ends of the last five bins, and what came in each, oldest first.
    private var behind: [UInt64] = []
    private var bytesOfBins: [UInt64] = []
    /// The least it was behind since the stream was taken up or was at hand, and when.
    private var least = UInt64.max
    private var leastAt: Instant
    private var busyBins = 0
    /// Bytes of windows that came since, within one slot.
    private var slotBytes: UInt64 = 0
    private var slotBegan = Instant.zero
    /// When the line last carried more than the stream needs, and the time before.
    private var fastAt: (last: Instant?, before: Instant?) = (nil, nil)
    private var hold = CadenceControl.holdMin
    private var holdUntil: Instant
    private var changedAt: Instant
    /// What the line brought while windows were pulled without a pause, smoothed over half a second; 0 until known.
    private(set) var bytesPerSecond: UInt64 = 0
    private var wasPulling = false
    private var jumpedAt: Instant?
    /// Payload bytes of c0 per height, times 256, smoothed over about a second.
    private(set) var bytesPerHeight256: UInt64 = 0

    init(told: Cadence? = nil, now: Instant) {
        self.told = told == .c0 ? nil : told
        if self.told != nil { mode = .steps }
        binEndsAt = now + CadenceControl.binInterval
        holdUntil = now
        changedAt = now
        leastAt = now
    }

    /// The payload of heights that came at c0.
    mutating func note(payloadBytes: Int, heights: UInt64) {
        let sample = UInt64(clamping: payloadBytes) * 256 / max(heights, 1)
        if bytesPerHeight256 == 0 {
            bytesPerHeight256 = sample
        } else {
            bytesPerHeight256 = (bytesPerHeight256 * 63 + sample) / 64
        }
    }

    /// A window came, and what c0 costs is not known: coarser payloads are at most so much smaller.
    mutating func note(windowBytes: Int, heights: UInt64) {
        if bytesPerHeight256 == 0 { note(payloadBytes: windowBytes * 3 / 2, heights: heights) }
    }

    /// Bytes of a window came.
    mutating func came(_ bytes: Int, now: Instant) {
        if now < slotBegan { return }
        if now - slotBegan >= CadenceControl.slotInterval {
            slotBegan = now
            slotBytes = 0
        }
        slotBytes += UInt64(clamping: bytes)
        if bytesPerHeight256 == 0 || slotBytes < fastBytes { return }
        fastAt = (now, fastAt.last)
        slotBegan = now
        slotBytes = 0
    }

    /// The process stood still; what comes in the next tenth of a second says nothing of the line.
    mutating func pause(now: Instant) {
        slotBegan = now + CadenceControl.slotInterval
        slotBytes = 0
        wasPulling = false
    }

    /// How long the line takes for a payload, as far as it is known.
    func milliseconds(for payloadBytes: UInt64) -> UInt64 {
        payloadBytes * CadenceControl.wirePerPayload16 / 16 * 1_000 / max(bytesPerSecond, 1)
    }

    /// What a slot brings on a line that carries half as much again as the stream needs; a handful of datagrams at least.
    private var fastBytes: UInt64 {
        let heights = UInt64(CadenceControl.slotInterval.nanoseconds / Limits.miniBlockInterval.nanoseconds)
        let stream = bytesPerHeight256 * heights / 256 * CadenceControl.wirePerPayload16 / 16
        return max(stream * 3 / 2, 4_096)
    }

    var nextDeadline: Instant { binEndsAt }

    /// Looks at the line. `received` counts all bytes ever received, `behind` the heights that are missing up to the tip.
    /// Answers whether the mode changed.
    /// The contract is not let go of where windows are known not to be served.
    mutating func review(
        received: UInt64, behind missing: UInt64, isPulling: Bool, isServed: Bool, now: Instant
    ) -> Bool {
        if now < binEndsAt { return false }
        // Late by more than a bin: the process stood still, and what came says nothing of the line.
        let isWhole = now - binEndsAt < CadenceControl.binInterval
        binEndsAt = now + CadenceControl.binInterval
        let bytes = received &- binBytes
        binBytes = received
        busyBins = isWhole && bytes > 2_000 ? min(busyBins + 1, 1_000) : 0
        if isWhole, isPulling, wasPulling, mode == .steps {
            let rate = bytes * 4
            bytesPerSecond =
                bytesPerSecond == 0
                ? rate : rate > bytesPerSecond ? (bytesPerSecond + rate * 3) / 4 : (bytesPerSecond + rate) / 2
        }
        wasPulling = isPulling
        behind.append(missing)
        bytesOfBins.append(bytes)
        if behind.count > 5 {
            behind.removeFirst()
            bytesOfBins.removeFirst()
        }
        if missing < CadenceControl.behindMax || missing + CadenceControl.gainMin <= least {
            least = missing < CadenceControl.behindMax ? .max : missing
            leastAt = now
        }
        switch mode {
        case .follows:
            guard isServed else { return false }
            let before = behind.count > 1 ? behind[behind.count - 2] : 0
            if told != nil || hasJumped(missing, from: before) { return change(to: .steps, now: now) }
            if !isTooSlow(missing, now: now) { return false }
            hold(now: now)
            return change(to: .steps, now: now)
        case .steps:
            guard told == nil, isWhole, mayRise(missing, now: now) else { return false }
            return change(to: .follows, now: now)
        }
    }

    private func hasJumped(_ missing: UInt64, from before: UInt64) -> Bool {
        missing >= CadenceControl.jumpMin && missing >= before + CadenceControl.jumpMin / 2
    }

    /// The stream was seen far ahead: no need to wait for the next look.
    mutating func jump(behind missing: UInt64, isServed: Bool, now: Instant) -> Bool {
        guard mode == .follows, told == nil, isServed, hasJumped(missing, from: behind.last ?? 0) else {
            return false
        }
        jumpedAt = now
        return change(to: .steps, now: now)
    }

    private func isTooSlow(_ missing: UInt64, now: Instant) -> Bool {
        guard behind.count == 5, busyBins >= CadenceControl.settledBins,
            missing >= CadenceControl.behindMax
        else { return false }
        if now - leastAt > CadenceControl.gainsWithin { return true }
        let came = bytesOfBins.dropFirst().reduce(0, +)
        return missing + CadenceControl.gainMin > behind[0]
            && (bytesPerHeight256 == 0 || came < needed * 5 / 4)
    }

    /// Bytes a second of the stream on the wire.
    var needed: UInt64 {
        bytesPerHeight256 * 100 / 256 * CadenceControl.wirePerPayload16 / 16
    }

    /// The line has just carried half as much again as the stream needs.
    func isFast(now: Instant) -> Bool { fastAt.before.map { now - $0 < CadenceControl.fastWithin } ?? false }

    /// After an outage the line is taken for what it was, until it has had time to show.
    func isTakenForFast(now: Instant) -> Bool {
        isFast(now: now) || jumpedAt.map { now - $0 < .seconds(1) } ?? false
    }

    private func mayRise(_ missing: UInt64, now: Instant) -> Bool {
        if now < holdUntil { return false }
        if isFast(now: now), missing <= CadenceControl.nearMax { return true }
        return busyBins > 0 && now - changedAt >= CadenceControl.probesAfter
            && missing < CadenceControl.behindMax
    }

    private mutating func hold(now: Instant) {
        // The last return did not last.
        let failed = now - changedAt < CadenceControl.failsWithin
        hold = failed ? min(hold * 2, CadenceControl.holdMax) : CadenceControl.holdMin
        holdUntil = now + hold
    }

    private mutating func change(to new: Mode, now: Instant) -> Bool {
        mode = new
        changedAt = now
        if new == .steps { fastAt = (nil, nil) }
        bytesPerSecond = 0
        busyBins = 0
        behind.removeAll(keepingCapacity: true)
        bytesOfBins.removeAll(keepingCapacity: true)
        (least, leastAt) = (.max, now)
        return true
    }

    /// The stream has ended: what is left is fetched as it is.
    mutating func rise(now: Instant) -> Bool { mode == .steps && change(to: .follows, now: now) }

    /// Nobody serves windows: back to the stream, and stay there for a while.
    mutating func windowsAreMissing(now: Instant) -> Bool {
        guard mode == .steps else { return false }
        busyBins = -40
        return change(to: .follows, now: now)
    }
}

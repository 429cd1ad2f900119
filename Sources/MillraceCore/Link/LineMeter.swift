/// What a receiver's own line brings it, over all its parents: bytes per second, and the most that it brought while it was
/// known to be full (Spec 55.7). Only the receiver sees this sum; each parent sees its own share.

import MillraceBase

struct LineMeter {
    static let window = Interval.milliseconds(250)
    /// What was measured so long ago says nothing of the line now.
    static let memory = Interval.seconds(60)

    private var windowBytes: Int64 = 0
    private var windowBegan = Instant.zero
    private var isFull = false
    private var fullRate: Int64 = 0
    private var fullAt = Instant.zero
    /// Bytes per second that came in the latest whole window, UDP and IP headers counted.
    private(set) var bytesPerSecond: Int64 = 0
    /// And in the one before it.
    private var bytesPerSecondBefore: Int64 = 0

    mutating func came(bytes: Int, now: Instant) {
        let since = now - windowBegan
        if since >= LineMeter.window {
            bytesPerSecondBefore = bytesPerSecond
            bytesPerSecond = windowBytes * 1_000_000 / max(since.microseconds, 1)
            if isFull { noteFull(now: now) } else { noteMore() }
            windowBytes = 0
            windowBegan = now
        }
        windowBytes += Int64(min(max(bytes, 0), 65_535)) + LinkSender.packetOverhead
    }

    /// What the line carries is found anew.
    mutating func forget() { fullRate = 0 }

    /// The line is asked for all it carries and brings no more from now on, or no longer. What it brings otherwise is what was
    /// asked for, and says nothing of it.
    mutating func setFull(_ full: Bool, now: Instant) {
        if full, !isFull {
            windowBytes = 0
            windowBegan = now
        }
        isFull = full
    }

    /// It brings more than when it was full: it is another line now, and what that carries is not known.
    private mutating func noteMore() {
        if min(bytesPerSecond, bytesPerSecondBefore) > fullRate * 5 / 4 { fullRate = 0 }
    }

    private mutating func noteFull(now: Instant) {
        fullRate = max(fullRate, bytesPerSecond)
        fullAt = now
    }

    /// How long the line takes for `bytes` at the rate that it last brought; at most two seconds, and zero when not known.
    func time(for bytes: Int) -> Interval {
        guard bytesPerSecond > 0 else { return .zero }
        let bytes = Int64(min(max(bytes, 0), 1 << 32))
        return min(.microseconds(bytes * 1_000_000 / bytesPerSecond), .seconds(2))
    }

    /// Shreds to be asked for at once so that the line never waits for a request: what it carries in a round trip and a
    /// quarter of a second. As it carries now, not at its best: what is asked for beyond that waits, wherever the line or the
    /// node is slow, until it is asked for again.
    func shreds(roundTrip: Interval) -> Int {
        let time = min(max(roundTrip, .zero), .seconds(2)) + .milliseconds(250)
        return Int(
            max(bytesPerSecondBefore, bytesPerSecond) / 1_000 * time.milliseconds
                / Int64(Limits.datagramBytesMax))
    }

    /// kbit/s that the line carries, as far as it has shown; nil when it never was full or that is long ago.
    func carriesKilobitsPerSecond(now: Instant) -> UInt32? {
        fullRate > 0 && now - fullAt < LineMeter.memory ? UInt32(clamping: fullRate / 125) : nil
    }
}

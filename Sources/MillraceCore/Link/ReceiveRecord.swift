/// The receiver's half of the link layer, one per parent: counts what comes and says when to tell (Spec 55.3).
///
/// Driven by arrivals alone: a parent sends STATUS every 50 ms, so something always comes that carries the tail of what was
/// counted, and no timer is needed. Bounds: one feedback in 20 ms at most, and then only for sixteen datagrams.

import MillraceBase
import MillraceWire

struct ReceiveRecord {
    static let datagramsBusy = 16
    static let intervalBusy = Interval.milliseconds(20)
    static let datagramsSlow = 4
    static let intervalSlow = Interval.milliseconds(100)
    static let intervalIdle = Interval.milliseconds(250)

    /// The key that is counted, and the one before it: another one begins anew, and a sender never goes back.
    private var key: UInt32 = 0
    private var oldKey: UInt32 = 0
    private var largest: UInt64 = 0
    private var largestAt = Instant.zero
    private(set) var received: UInt64 = 0
    private(set) var bytes: UInt64 = 0
    /// Of those received, marked by a router on the way.
    private(set) var marked: UInt64 = 0
    /// Bytes per second, smoothed over a few feedbacks.
    private(set) var bytesPerSecond: Int64 = 0
    private var toldBytes: UInt64 = 0
    /// Since the last feedback.
    private var untold = 0
    private var toldAt = Instant.zero
    private var earlier: UInt64 = 0
    private var earlierAt = Instant.zero
    private var silence = Interval(nanoseconds: -1)
    private var isBusy = false

    /// A genuine datagram came; `isBusy` when it may have waited for this node to have time for it.
    mutating func came(
        key: UInt32, counter: UInt64, bytes count: Int, isBusy: Bool = false, isMarked: Bool = false,
        now: Instant
    ) {
        if key != self.key {
            if key == oldKey { return }
            let before = self.key
            self = ReceiveRecord()
            self.key = key
            oldKey = before
            toldAt = now
        }
        if untold == 0 || now - largestAt > silence {
            silence = untold == 0 ? .zero : now - largestAt
            earlier = counter
            earlierAt = now
        }
        if counter >= largest {
            largest = counter
            largestAt = now
        }
        self.isBusy = self.isBusy || isBusy
        received &+= 1
        if isMarked { marked &+= 1 }
        bytes &+= UInt64(count)
        untold += 1
    }

    func isDue(now: Instant) -> Bool {
        let since = now - toldAt
        if since < ReceiveRecord.intervalBusy { return false }
        if untold >= ReceiveRecord.datagramsBusy { return true }
        if since < ReceiveRecord.intervalSlow { return false }
        return untold >= ReceiveRecord.datagramsSlow || since >= ReceiveRecord.intervalIdle && untold > 0
    }

    /// What to tell now.
    mutating func feedback(now: Instant) -> LinkFeedback {
        var told = LinkFeedback(
            key: UInt16(truncatingIfNeeded: key), largest: largest, received: received, bytes: bytes,
            at: UInt32(truncatingIfNeeded: largestAt.nanoseconds / 1_000), isBusy: isBusy, marked: marked)
        if earlier < largest, largest - earlier <= UInt64(UInt16.max), earlierAt < largestAt {
            told.earlierBy = UInt32(largest - earlier)
            // At most a second: older than any interval between two feedbacks that matters.
            told.earlierMicroseconds = UInt32(min((largestAt - earlierAt).microseconds, 1_000_000))
            if told.earlierMicroseconds == 1_000_000 { told.earlierBy = 0 }
            if told.earlierBy == 0 { told.earlierMicroseconds = 0 }
        }
        // At most a feedback's datagrams, and at least its interval: far from overflow.
        let rate =
            Int64(clamping: min(bytes &- toldBytes, 1 << 32)) * 1_000_000
            / max((now - toldAt).microseconds, 1_000)
        bytesPerSecond += (rate - bytesPerSecond) / 4
        toldBytes = bytes
        toldAt = now
        untold = 0
        isBusy = false
        silence = Interval(nanoseconds: -1)
        return told
    }
}

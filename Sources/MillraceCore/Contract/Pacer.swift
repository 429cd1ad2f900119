/// A token bucket that spreads what one child is sent. Debt is allowed: a datagram may go while tokens are positive, and
/// the next waits until the debt is paid. So the long-run rate is exact whatever the datagram sizes.

import MillraceBase

struct Pacer {
    /// Bytes per second; never zero.
    private(set) var bytesPerSecond: Int64
    /// Tokens kept for a late timer: 2 ms of the rate (timers tick in milliseconds) and two datagrams.
    private var burst: Int64
    private var tokens: Int64
    private var filledAt: Instant

    /// UDP and IPv4 headers, which the link carries too.
    static let packetOverhead: Int64 = 28

    init(kilobitsPerSecond: UInt32, now: Instant) {
        bytesPerSecond = 1
        burst = 0
        tokens = 0
        filledAt = now
        setRate(kilobitsPerSecond: kilobitsPerSecond)
        tokens = burst
    }

    mutating func setRate(kilobitsPerSecond: UInt32) {
        setRate(bytesPerSecond: Int64(kilobitsPerSecond) * 125)
    }

    mutating func setRate(bytesPerSecond rate: Int64) {
        let rate = min(max(rate, 12_500), 1 << 40)
        if rate == bytesPerSecond { return }
        bytesPerSecond = rate
        burst = bytesPerSecond / 500 + 2 * Int64(Limits.datagramBytesMax)
        tokens = min(tokens, burst)
    }

    mutating func fill(now: Instant) {
        let elapsed = (now - filledAt).nanoseconds
        if elapsed <= 0 { return }
        filledAt = now
        // At most a second is credited, so the product stays far below 2^63.
        let microseconds = min(elapsed, 1_000_000_000) / 1_000
        tokens = min(burst, tokens + bytesPerSecond * microseconds / 1_000_000)
        // What division dropped is given back to the clock.
        filledAt = filledAt - Interval(nanoseconds: elapsed % 1_000)
    }

    var maySend: Bool { tokens > 0 }

    mutating func spend(bytes: Int) { tokens -= Int64(bytes) + Pacer.packetOverhead }

    /// When tokens are positive again.
    var nextSend: Instant {
        tokens > 0
            ? filledAt : filledAt + .nanoseconds((1 - tokens) * 1_000_000 / bytesPerSecond * 1_000 + 1_000)
    }
}

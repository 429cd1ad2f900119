/// Two bounds on what strangers can make us do with handshakes: how many per second, and never an old one again.

import MillraceBase
import MillraceCrypto

/// A bucket of time: an answer costs 1/rate of a second, and at most one second is saved up.
struct HandshakeBudget: BitwiseCopyable {
    private let cost: Int64
    private var saved: Int64 = 1_000_000_000
    private var last: Instant

    init(perSecond: Int64, now: Instant) {
        cost = 1_000_000_000 / max(perSecond, 1)
        last = now
    }

    /// More than half of what can be saved up is spent.
    var isLow: Bool { saved < 500_000_000 }

    mutating func take(now: Instant) -> Bool {
        let passed = (now - last).nanoseconds
        if passed > 0 {
            saved = min(1_000_000_000, saved + min(passed, 1_000_000_000))
            last = now
        }
        guard saved >= cost else { return false }
        saved -= cost
        return true
    }
}

/// The newest init timestamp of each peer, in a table of fixed size: two peers that fall into one place evict each other,
/// and an entry is forgotten after ten minutes (so that a node whose clock went back is not locked out for good). An
/// old init that slips through makes a half-open session that nobody can confirm, no more.
struct SeenTimestamps {
    static let places = 4_096
    static let memory = Interval.seconds(600)

    private struct Entry: BitwiseCopyable {
        var tag: UInt64 = 0
        var timestamp: UInt64 = 0
        var seenAt = Instant.zero
    }

    private var entries: [Entry]
    private let hash: SipHash24

    init(key: SipHash24) {
        hash = key
        entries = [Entry](repeating: Entry(), count: Self.places)
    }

    /// Whether `timestamp` is newer than all of this peer's so far; if so it is noted.
    mutating func admit(_ peer: PublicKey, _ timestamp: UInt64, now: Instant) -> Bool {
        let tag = peer.bytes.withUnsafeBytes { hash.hash($0) }
        let place = Int(tag % UInt64(Self.places))
        let entry = entries[place]
        if entry.tag == tag, timestamp <= entry.timestamp, now - entry.seenAt < Self.memory { return false }
        entries[place] = Entry(tag: tag, timestamp: timestamp, seenAt: now)
        return true
    }
}

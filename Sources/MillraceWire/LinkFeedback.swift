/// What a child tells a parent about the datagrams that came (Spec 55.3): counts that only grow, so that feedback which
/// is lost costs nothing but time, and two arrival times, from which the sender computes differences of one-way delay.
///
/// No bitmap of what came: nothing on this layer is sent again, so the sender needs to know how many were lost and not
/// which; shreds that are missing are asked for by name (REPAIR).

public struct LinkFeedback: Hashable, Sendable, BitwiseCopyable {
    /// Low half of the connection id that the datagrams carried: which keys' counter is meant.
    public var key: UInt16
    /// The greatest counter received.
    public var largest: UInt64
    /// Datagrams received under that key, and their bytes without UDP and IP headers.
    public var received: UInt64
    public var bytes: UInt64
    /// When `largest` came: the receiver's clock in µs, modulo 2^32.
    public var at: UInt32
    /// Another datagram since the last feedback, the first after the longest silence: how many counters before `largest`,
    /// and how many µs before `at` it came. Zero counters: there is none.
    public var earlierBy: UInt32
    public var earlierMicroseconds: UInt32
    /// The receiver was at other work lately: its datagrams waited there, and their times say nothing of the way.
    public var isBusy: Bool
    /// Of the datagrams received, how many a router had marked: it has a queue.
    public var marked: UInt64

    @inlinable public init(
        key: UInt16, largest: UInt64, received: UInt64, bytes: UInt64, at: UInt32, earlierBy: UInt32 = 0,
        earlierMicroseconds: UInt32 = 0, isBusy: Bool = false, marked: UInt64 = 0
    ) {
        self.key = key
        self.largest = largest
        self.received = received
        self.bytes = bytes
        self.at = at
        self.earlierBy = earlierBy
        self.earlierMicroseconds = earlierMicroseconds
        self.isBusy = isBusy
        self.marked = marked
    }

    /// Counters stay below 2^62, so bytes of them fit 64 bits whatever a peer says; both are clamped to this.
    public static let countMax: UInt64 = 1 << 62
}

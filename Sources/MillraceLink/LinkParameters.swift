public import MillraceBase

/// What one direction of a link does to datagrams. Everything is an integer; defaults impair nothing.
///
/// The order of application is fixed and is part of the meaning (Spec 80.3): mtu, policer, rate and queue (with outages), loss,
/// delay with jitter and reordering, duplication, corruption.
public struct LinkParameters: Hashable, Sendable {
    /// Bits per second, or nil for no limit. A trace, where there is one, takes its place.
    public var rateBitsPerSecond: UInt64?
    /// A rate that changes with time.
    public var trace: RateTrace?
    /// Bytes that may leave at once after a silence: the depth of the token bucket. 0 spaces every datagram.
    public var bucketBytes = 0
    /// What may wait for the rate.
    public var queue = QueueLimit.time(.milliseconds(100))
    public var management = QueueManagement.dropTail
    /// Whether the queue's management marks datagrams (explicit congestion notification) instead of dropping them.
    public var marksECN = false
    /// What is dropped before the queue.
    public var policer: PolicerParameters?
    /// When nothing leaves.
    public var outage: Outage?
    /// One-way delay, and how far it wanders from there to either side.
    public var delay = Interval.zero
    public var jitter = Interval.zero
    public var loss = Probability.zero
    /// Mean number of datagrams lost in a row, in thousandths. 1,000 or less: every loss is independent of the others.
    public var lossBurstThousandths: UInt64 = 1_000
    /// Losses by a state that lasts; takes the place of `loss`.
    public var lossStates: LossStates?
    /// The share of datagrams held back by up to `reorderBy`, so that later ones overtake them.
    public var reorder = Probability.zero
    public var reorderBy = Interval.milliseconds(5)
    public var duplicate = Probability.zero
    /// The share of datagrams with one bit flipped.
    public var corrupt = Probability.zero
    /// Longest IP packet; longer ones vanish.
    public var mtuBytes = 65_535
    /// What each datagram costs besides its payload: 20 bytes of IPv4 and 8 of UDP.
    public var overheadBytes = 28

    public init() {}

    public enum QueueLimit: Hashable, Sendable {
        case bytes(Int)
        /// As long as the mean rate needs to send it.
        case time(Interval)
    }

    public enum QueueManagement: Hashable, Sendable {
        case dropTail
        /// RFC 8289, target 5 ms (or two packets' time, if longer), interval 100 ms.
        case coDel
        /// RFC 8290: a queue and a CoDel for each flow, served in turn.
        case fairCoDel
    }

    /// Bits per second over the long run; nil without limit.
    public var meanRateBitsPerSecond: UInt64? { trace?.meanBitsPerSecond ?? rateBitsPerSecond }

    /// The queue's bound in bytes; without a rate nothing ever waits.
    public var queueBytesMax: Int {
        switch queue {
        case .bytes(let bytes): return max(bytes, 0)
        case .time(let time):
            guard let rate = meanRateBitsPerSecond, time > .zero else { return 0 }
            let (high, low) = rate.multipliedFullWidth(by: UInt64(time.nanoseconds))
            // bits × nanoseconds ÷ (8 bits × 10^9): below 2^63 for every rate and time the text form admits.
            let divisor: UInt64 = 8_000_000_000
            return high >= divisor
                ? Int.max / 2 : Int(clamping: divisor.dividingFullWidth((high, low)).quotient)
        }
    }
}

/// Bounds of links.
public enum LinkLimits {
    public static let bitsPerSecondMax: UInt64 = 1_000_000_000_000
    public static let delayMax = Interval.seconds(60)
    public static let lossBurstThousandthsMax: UInt64 = 1_000_000
    public static let queueBytesMax = 1 << 30
    /// Datagrams that may wait in one queue or be under way on one link, whatever its parameters say.
    public static let datagramsMax = 131_072
    /// The longest datagram a link reckons with: UDP's own limit.
    public static let datagramBytesMax = 65_535
}

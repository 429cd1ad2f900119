internal import MillraceBase

/// A token bucket that drops what it has no tokens for and makes nothing wait (Spec 80.3, rule 2): how a provider enforces
/// a tariff.
struct Policer: Sendable {
    /// Tokens in bit-nanoseconds: a rate times a time needs no division, so a million small waits add up exactly.
    private let most: UInt64
    private let rate: UInt64
    private var tokens: UInt64
    private var last = Instant.zero

    init(_ parameters: PolicerParameters) {
        rate = min(max(parameters.bitsPerSecond, 1), LinkLimits.bitsPerSecondMax)
        // ≤ 2^30 bytes: below 2^63.
        most = UInt64(min(max(parameters.burstBytes, 1), LinkLimits.queueBytesMax)) * 8_000_000_000
        tokens = most
    }

    /// Whether a packet may pass at `now`; if so its tokens are gone. A packet longer than the burst never passes.
    mutating func admits(_ wireBytes: Int, now: Instant) -> Bool {
        if now > last {
            let (gained, over) = rate.multipliedReportingOverflow(by: now.nanoseconds - last.nanoseconds)
            tokens = over || gained >= most - tokens ? most : tokens + gained
            last = now
        }
        let cost = UInt64(wireBytes) * 8_000_000_000
        guard tokens >= cost else { return false }
        tokens -= cost
        return true
    }
}

/// A rate above which packets are dropped, and how many bytes may exceed it at once.
public struct PolicerParameters: Hashable, Sendable {
    public var bitsPerSecond: UInt64
    public var burstBytes: Int

    /// What `policerburst` is when only `policer` is given.
    public static let burstBytesDefault = 65_536

    public init(bitsPerSecond: UInt64, burstBytes: Int = PolicerParameters.burstBytesDefault) {
        self.bitsPerSecond = bitsPerSecond
        self.burstBytes = burstBytes
    }
}

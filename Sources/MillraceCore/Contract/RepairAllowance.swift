/// How much repair one peer may have of another: so many shreds at once and so many a second (Spec 60.6, rule 8). Both sides keep
/// one, the one who asks with the smaller numbers, so that what honest peers ask is never held back.
///
///     for a contract    512 at once, 1,024 a second: a full window of requests, and once over a stream of 100,000 TPS, which is
///                       900 shreds a second. Who misses more than that asks for heights (60.7).
///     without one       128 at once, 256 a second: four slices, and what a line that loses a quarter of such a stream misses
///     asked by us       64 at once, 192 a second, of a peer that owes us nothing
///
/// What is over it waits where it is. Pure; integers only.

import MillraceBase

struct RepairAllowance: BitwiseCopyable {
    struct Rate: BitwiseCopyable {
        var shredsAtOnce: Int64
        var shredsPerSecond: Int64

        static let contract = Rate(shredsAtOnce: 512, shredsPerSecond: 1_024)
        static let stranger = Rate(shredsAtOnce: 128, shredsPerSecond: 256)
        static let neighbour = Rate(shredsAtOnce: 64, shredsPerSecond: 192)
    }

    /// Millionths of a shred. Below zero when more was taken than was there.
    private var tokens: Int64 = 0
    private var filledAt: Instant?

    /// Called before `hasRoom`. What was quiet for as long as it takes has all of it.
    mutating func fill(_ rate: Rate, now: Instant) {
        let most = rate.shredsAtOnce * 1_000_000
        guard let before = filledAt else {
            (tokens, filledAt) = (most, now)
            return
        }
        // Ten seconds fill any of them, and keep the product far below 2^63.
        let elapsed = min(max((now - before).microseconds, 0), 10_000_000)
        if elapsed == 0 { return }
        filledAt = now
        tokens = min(most, tokens + elapsed * rate.shredsPerSecond)
    }

    var hasRoom: Bool { tokens >= 1_000_000 }
    /// Whole shreds.
    var shreds: Int { max(Int(tokens / 1_000_000), 0) }

    mutating func take(_ shreds: Int) {
        tokens -= Int64(min(max(shreds, 0), 100_000)) * 1_000_000
    }

    /// When there is room for one more; the past where there is.
    func nextAt(_ rate: Rate) -> Instant {
        guard !hasRoom, let filledAt else { return .zero }
        return filledAt + .microseconds((1_000_000 - tokens) / max(rate.shredsPerSecond, 1) + 1)
    }
}

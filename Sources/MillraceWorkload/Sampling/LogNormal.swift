/// Log-normal amounts: what people pay and hold. The normal deviate is the sum of twelve uniform ones (Irwin and Hall), which
/// ends at six standard deviations; workloads need no longer tails.

import MillraceBase

struct LogNormal: Sendable {
    /// log2 of the median, Q32.
    let median: Int64
    /// Standard deviation of log2, Q16.
    let sigma: Int64

    /// `sigmaQ16` is the standard deviation of the base-2 logarithm: that of the natural one × 1.4427.
    init(median: UInt64, sigmaQ16: Int64) {
        self.median = Int64(FixedPoint.log2(median))
        sigma = sigmaQ16
    }

    /// At least 1, below 2^127.
    func sample(_ generator: inout SeededGenerator) -> UInt128 {
        var sum: Int64 = 0
        for _ in 0..<3 {
            let bits = generator.next()
            sum +=
                Int64(bits & 0xFFFF) + Int64(bits >> 16 & 0xFFFF) + Int64(bits >> 32 & 0xFFFF)
                + Int64(bits >> 48)
        }
        // Twelve uniform Q16 numbers have mean 6 and variance 1.
        let value = FixedPoint.exp2(median + (sum - 6 << 16) * sigma)
        // The sum has some 19 bits of entropy; an amount has random digits down to the last.
        let digits = UInt128(generator.next()) << 64 | UInt128(generator.next())
        return max(1, value + (value >> 10).multipliedFullWidth(by: digits).high)
    }
}

extension SeededGenerator {
    /// True with a probability of `parts` in 1,000.
    mutating func chance(perMille parts: UInt64) -> Bool { below(1_000) < parts }

    /// Uniform in `0..<bound` for bounds beyond 64 bits; 0 when `bound` is 0.
    mutating func below(wide bound: UInt128) -> UInt128 {
        let bits = UInt128(next()) << 64 | UInt128(next())
        return bound.multipliedFullWidth(by: bits).high
    }
}

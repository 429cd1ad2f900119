/// What mini-blocks took to all honest replicas together, by when they were sealed: what attacks are judged by, and networks.
///
/// Times are counted in quarters of a millisecond up to `ceilingMs`, which stands for more. Sealing times are told apart by
/// tenths of a second, up to `binsMax`; later ones count with the last.

import MillraceBase

struct DeliveryBook {
    static let perMillisecond = 4
    static let ceilingMs = 10_000
    static let binMilliseconds: Int64 = 100
    static let binsMax = 6_000
    /// The width in which a p99 is looked for again: a second, so that a dozen replicas have a dozen mini-blocks beyond it.
    /// In half of that, single losses are enough to cross a bound now and then, attack or not.
    static let windowBins = 10

    private var bins: [[UInt32]] = []
    private(set) var count: UInt64 = 0

    /// `sealedAfter`: since the first mini-block.
    mutating func note(sealedAfter: Interval, took: Interval) {
        let bin = Int(
            min(
                max(sealedAfter.milliseconds, 0) / DeliveryBook.binMilliseconds,
                Int64(DeliveryBook.binsMax - 1)))
        let quarters = max(took.microseconds, 0) * Int64(DeliveryBook.perMillisecond) / 1_000
        let place = Int(min(quarters, Int64(DeliveryBook.ceilingMs * DeliveryBook.perMillisecond)))
        while bins.count <= bin { bins.append([]) }
        if bins[bin].count <= place {
            bins[bin] += Array(repeating: 0, count: place + 1 - bins[bin].count)
        }
        bins[bin][place] += 1
        count += 1
    }

    /// The p99 in ms of mini-blocks sealed in the bins; 0 when there are none.
    func p99(_ range: Range<Int>? = nil) -> Double {
        let range = (range ?? 0..<bins.count).clamped(to: 0..<bins.count)
        var merged: [UInt64] = []
        var total: UInt64 = 0
        for bin in bins[range] {
            if merged.count < bin.count { merged += Array(repeating: 0, count: bin.count - merged.count) }
            for (i, value) in bin.enumerated() {
                merged[i] += UInt64(value)
                total += UInt64(value)
            }
        }
        let rank = total * 99 / 100
        var seen: UInt64 = 0
        for (i, value) in merged.enumerated() {
            seen += value
            if seen > rank { return Double(i) / Double(DeliveryBook.perMillisecond) }
        }
        return 0
    }

    static func bin(_ after: Interval) -> Int { Int(max(after.milliseconds, 0) / binMilliseconds) }

    /// How long after `from` the p99 of every second that begins then or later is within `bound` ms; nil when it never is.
    func recovery(from: Interval, bound: Double) -> Interval? {
        let first = DeliveryBook.bin(from)
        let last = max(bins.count - DeliveryBook.windowBins, first)
        var bad: Int?
        for start in first...last where p99(start..<start + DeliveryBook.windowBins) > bound { bad = start }
        guard let bad else { return .zero }
        if bad == last { return nil }
        return .milliseconds(Int64(bad + 1 - first) * DeliveryBook.binMilliseconds)
    }
}

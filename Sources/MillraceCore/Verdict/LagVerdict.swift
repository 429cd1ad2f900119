/// Does a link keep up? The answer, from the lags of the mini-blocks a replica applied.
///
/// *Lag* is the replica's wall clock when a mini-block was applied less the sequencer's when it was sealed. A link that
/// cannot carry the stream shows as a lag that grows for as long as one looks; noise, a burst of loss or a busy machine
/// show as single high values. So the slope is estimated by Theil and Sen's method (the median of the slopes between all
/// pairs of points: Sen, "Estimates of the regression coefficient based on Kendall's tau", JASA 63, 1968), which a
/// quarter of wild values cannot move, with Sen's 95 % interval.
///
/// Bounded: at most `pointsMax` points are looked at (group medians when there are more), so `judge` is
/// O(pointsMax² log pointsMax) whatever the length of the run. Called by the replica's report and the simulator.

public import MillraceBase

public enum LinkVerdict: String, Sendable, CaseIterable {
    case keepsUp = "keeps-up"
    case keepsUpWithStalls = "keeps-up-with-stalls"
    case fallsBehind = "falls-behind"

    /// The worse of two verdicts.
    public func worse(than other: LinkVerdict) -> LinkVerdict {
        let order = LinkVerdict.allCases
        let mine = order.firstIndex(of: self) ?? 0
        let theirs = order.firstIndex(of: other) ?? 0
        return mine >= theirs ? self : other
    }

    /// The words for people.
    public var sentence: String {
        switch self {
        case .keepsUp: "keeps up"
        case .keepsUpWithStalls: "keeps up with stalls"
        case .fallsBehind: "falls behind"
        }
    }
}

/// The lag series of one replica, in the order applied. Grows by 16 bytes per mini-block up to `samplesMax`, then keeps
/// every second sample and doubles its stride.
public struct LagSeries: Sendable {
    public static let samplesMax = 1 << 17
    public static let pointsMax = 256

    /// (milliseconds since the first sample, lag in microseconds).
    var samples: [(atMilliseconds: Int64, lagMicroseconds: Int64)] = []
    var stride = 1
    var skipped = 0

    public init() { samples.reserveCapacity(4_096) }

    public var count: Int { samples.count }

    /// `atMicroseconds` is when the mini-block was sealed; both clocks are wall clocks, so a lag may come out negative.
    public mutating func append(sealedAtMicroseconds: UInt64, lagMicroseconds: Int64) {
        skipped += 1
        if skipped < stride { return }
        skipped = 0
        let at = Int64(clamping: sealedAtMicroseconds / 1_000)
        samples.append((at, min(max(lagMicroseconds, -1_000_000_000_000), 1_000_000_000_000)))
        if samples.count >= LagSeries.samplesMax {
            samples = stride2(samples)
            stride *= 2
        }
    }

    private func stride2<T>(_ all: [T]) -> [T] { Swift.stride(from: 1, to: all.count, by: 2).map { all[$0] } }

    /// The lag below which `permille` of the samples lie, in milliseconds; 0 when there are none.
    public func percentile(permille: Int) -> Double {
        percentiles(permille: [permille])[0]
    }

    public func percentiles(permille: [Int]) -> [Double] {
        let sorted = samples.map(\.lagMicroseconds).sorted()
        guard let last = sorted.indices.last else { return permille.map { _ in 0 } }
        return permille.map {
            Double(sorted[min(last, sorted.count * min(max($0, 0), 1_000) / 1_000)]) / 1_000
        }
    }

    /// The lags kept, in the order applied, for drawing.
    public var lagsMicroseconds: [UInt32] { samples.map { UInt32(clamping: $0.lagMicroseconds) } }

    public var maximum: Double { Double(samples.map(\.lagMicroseconds).max() ?? 0) / 1_000 }
}

public struct LagJudgement: Sendable {
    public var verdict: LinkVerdict
    /// Milliseconds of lag gained per second, and the 95 % interval around it.
    public var slopeMsPerSec: Double
    public var slopeLow: Double
    public var slopeHigh: Double
    /// Runs of samples whose lag is above the stall threshold, and the longest of them.
    public var stalls: Int
    public var longestStallMs: Double
}

extension LagSeries {
    /// A lag growing by less than this per second is noise at the lengths people run: 5 ms/s is 0.5 % of the stream.
    static let slopeMsPerSecMax = 5.0
    /// The lag must also have grown by this much in all before the verdict is *falls behind*, and be higher by as much at the
    /// end: one that grew and came back, as after a restart, was a stall.
    static let growthMsMin = 250.0

    /// A stall is a run of mini-blocks half a second later than the way's own delay: somebody waits.
    ///
    /// The way's delay is the lag that only a hundredth of the samples stay below. It does not depend on how well the link
    /// does, as a median does: judged by three times the median, a slower line with all lags higher had fewer stalls than a
    /// faster one.
    static let stallMsMin = 500.0
    var stallThresholdMs: Double { LagSeries.stallMsMin + max(0, percentile(permille: 10)) }

    /// The verdict. `heightsBehind`: mini-blocks sealed and not applied when the run ended; `complete`: the replica got
    /// as far as the stream went; `cadence`: the one that the replica was told to follow. Samples are then windows, by their
    /// last heights; one comes as it should as long as it is here when the next is over.
    public func judge(heightsBehind: UInt64, complete: Bool, cadence: Cadence = .c0) -> LagJudgement {
        let points = reduced()
        let (slope, low, high) = LagSeries.theilSen(points)
        let span = cadence == .c0 ? 0 : cadence.span.asMilliseconds
        let threshold = stallThresholdMs + span
        var stalls = 0
        var longest = 0.0
        var since: Int64?
        for sample in samples {
            let late = Double(sample.lagMicroseconds) / 1_000 > threshold
            if late, since == nil {
                since = sample.atMilliseconds
                stalls += 1
            } else if !late, let start = since {
                longest = max(longest, Double(sample.atMilliseconds - start))
                since = nil
            }
        }
        if let start = since, let last = samples.last {
            longest = max(longest, Double(last.atMilliseconds - start))
        }
        var verdict = stalls > 0 ? LinkVerdict.keepsUpWithStalls : .keepsUp
        var growth = 0.0
        if let first = points.first, let last = points.last {
            growth = min(slope * (last.x - first.x), LagSeries.gained(points))
        }
        if low > LagSeries.slopeMsPerSecMax && growth > LagSeries.growthMsMin { verdict = .fallsBehind }
        if !complete || samples.isEmpty || heightsBehind > LagSeries.heightsBehindMax(cadence) {
            verdict = .fallsBehind
        }
        return LagJudgement(
            verdict: verdict, slopeMsPerSec: slope, slopeLow: low, slopeHigh: high, stalls: stalls,
            longestStallMs: longest)
    }

    /// How far behind a replica may be that keeps up: three seconds, or the window under way and the one on its way.
    public static func heightsBehindMax(_ cadence: Cadence) -> UInt64 {
        cadence == .c0 ? 300 : 300 + cadence.heights * 2
    }

    /// At most `pointsMax` points: medians of equal groups, x in seconds, y in milliseconds.
    func reduced() -> [(x: Double, y: Double)] {
        guard let first = samples.first else { return [] }
        let group = max(1, (samples.count + LagSeries.pointsMax - 1) / LagSeries.pointsMax)
        return Swift.stride(from: 0, to: samples.count, by: group).map { start in
            let part = samples[start..<min(start + group, samples.count)]
            let lags = part.map(\.lagMicroseconds).sorted()
            let middle = part[part.startIndex + part.count / 2]
            return (
                Double(middle.atMilliseconds - first.atMilliseconds) / 1_000,
                Double(lags[lags.count / 2]) / 1_000
            )
        }
    }

    /// The median of the last tenth less that of the first.
    static func gained(_ points: [(x: Double, y: Double)]) -> Double {
        let tenth = max(points.count / 10, 1)
        func middle(_ part: ArraySlice<(x: Double, y: Double)>) -> Double {
            let sorted = part.map(\.y).sorted()
            return sorted.isEmpty ? 0 : sorted[sorted.count / 2]
        }
        return middle(points.suffix(tenth)) - middle(points.prefix(tenth))
    }

    /// The median slope between all pairs with different x, and Sen's 95 % interval (Kendall's variance without ties).
    /// Fewer than three points give zeroes.
    static func theilSen(_ points: [(x: Double, y: Double)]) -> (slope: Double, low: Double, high: Double) {
        var slopes: [Double] = []
        for i in points.indices {
            for j in points.index(after: i)..<max(points.endIndex, i + 1) where points[j].x != points[i].x {
                slopes.append((points[j].y - points[i].y) / (points[j].x - points[i].x))
            }
        }
        guard points.count >= 3, !slopes.isEmpty else { return (0, 0, 0) }
        slopes.sort()
        let n = Double(points.count)
        let deviation = (n * (n - 1) * (2 * n + 5) / 18).squareRoot() * 1.96
        let pairs = Double(slopes.count)
        let lowIndex = Int(max(0, ((pairs - deviation) / 2).rounded(.down)))
        let highIndex = Int(min(pairs - 1, ((pairs + deviation) / 2).rounded(.up)))
        return (slopes[slopes.count / 2], slopes[lowIndex], slopes[highIndex])
    }
}

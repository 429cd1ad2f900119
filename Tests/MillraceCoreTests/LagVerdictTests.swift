import MillraceBase
import MillraceCore
import Testing

/// A series of `seconds`, a mini-block every 10 ms, lag in milliseconds from `lag(second)`.
private func series(seconds: Int, lag: (Double) -> Double) -> LagSeries {
    var series = LagSeries()
    for n in 0..<(seconds * 100) {
        let at = Double(n) / 100
        series.append(
            sealedAtMicroseconds: UInt64(1_000_000 + n * 10_000), lagMicroseconds: Int64(lag(at) * 1_000))
    }
    return series
}

@Test func `a steady lag keeps up, noise and a few wild values do not move the slope`() {
    var generator = SeededGenerator(seed: 5)
    let steady = series(seconds: 20) { _ in
        55 + 5 * generator.unit() + (generator.below(50) == 0 ? 100 : 0)
    }
    let judgement = steady.judge(heightsBehind: 2, complete: true)
    #expect(judgement.verdict == .keepsUp)
    #expect(judgement.slopeMsPerSec.magnitude < 0.5)
    #expect(judgement.slopeLow <= judgement.slopeMsPerSec && judgement.slopeMsPerSec <= judgement.slopeHigh)
    #expect(steady.percentile(permille: 500) > 55 && steady.percentile(permille: 500) < 60)
}

@Test func `a lag that grows by 4 percent of the stream falls behind`() {
    let growing = series(seconds: 20) { 50 + 40 * $0 }
    let judgement = growing.judge(heightsBehind: 80, complete: true)
    #expect(judgement.verdict == .fallsBehind)
    #expect((judgement.slopeMsPerSec - 40).magnitude < 1)
}

@Test func `one outage is a stall, not a fall`() {
    let stalled = series(seconds: 30) { $0 > 10 && $0 < 12 ? 50 + (12 - $0) * 1_000 : 50 }
    let judgement = stalled.judge(heightsBehind: 0, complete: true)
    #expect(judgement.verdict == .keepsUpWithStalls)
    #expect(judgement.stalls == 1)
    #expect(judgement.longestStallMs > 1_400 && judgement.longestStallMs < 2_000)
}

@Test func `a lag that grew and came back was a stall`() {
    // Begun anew from the beginning after 3 s: ever later until it is at hand again.
    let restarted = series(seconds: 15) {
        $0 < 3 || $0 >= 13 ? 30 : $0 < 12 ? ($0 - 3) * 1_000 : (13 - $0) * 9_000
    }
    let judgement = restarted.judge(heightsBehind: 0, complete: true)
    #expect(judgement.slopeLow > 5)
    #expect(judgement.verdict == .keepsUpWithStalls)
}

@Test func `an incomplete, empty or distant replica falls behind`() {
    let steady = series(seconds: 5) { _ in 10 }
    #expect(steady.judge(heightsBehind: 0, complete: false).verdict == .fallsBehind)
    #expect(steady.judge(heightsBehind: 1_000, complete: true).verdict == .fallsBehind)
    #expect(LagSeries().judge(heightsBehind: 0, complete: true).verdict == .fallsBehind)
    #expect(LagSeries().percentile(permille: 990) == 0)
}

@Test func `windows of ten seconds keep up as long as each is here before the next is over`() {
    // One sample a window, each 6 s after its last height; then one more than a window late; then later and later.
    func windows(_ lag: (Int) -> Int) -> LagSeries {
        var series = LagSeries()
        for n in 0..<12 {
            series.append(
                sealedAtMicroseconds: UInt64(n + 1) * 10_000_000, lagMicroseconds: Int64(lag(n)) * 1_000)
        }
        return series
    }
    let steady = windows { 6_000 + $0 % 3 * 100 }
    #expect(steady.judge(heightsBehind: 1_900, complete: true, cadence: .c3).verdict == .keepsUp)
    #expect(steady.judge(heightsBehind: 1_900, complete: true).verdict == .fallsBehind)
    let stalled = windows { $0 == 5 ? 18_000 : 6_000 }
    #expect(stalled.judge(heightsBehind: 900, complete: true, cadence: .c3).verdict == .keepsUpWithStalls)
    let growing = windows { 6_000 + $0 * 500 }
    #expect(growing.judge(heightsBehind: 1_900, complete: true, cadence: .c3).verdict == .fallsBehind)
}

@Test func `a long series stays bounded and keeps its shape`() {
    var series = LagSeries()
    for n in 0..<500_000 { series.append(sealedAtMicroseconds: UInt64(n) * 10_000, lagMicroseconds: 50_000) }
    #expect(series.count <= LagSeries.samplesMax)
    #expect(series.percentile(permille: 990) == 50)
    #expect(series.judge(heightsBehind: 0, complete: true).verdict == .keepsUp)
}

/// Counts that fade, in integers: one exact table for every half-life (Spec 66.3).
///
/// A count is kept twice. The fast one halves every 0.5 s and shows what a peer does now; the slow one halves every 60 s and
/// remembers. Both take twenty steps to a half, of 25 ms and of 3 s, so one table of twenty factors serves both. Nothing is
/// rounded but down, so that a count always reaches zero, and the same events at the same ticks give the same numbers anywhere.

import MillraceBase

/// Time in steps of the two decays.
struct ScoreTick: Equatable, BitwiseCopyable {
    static let fastNanoseconds: Int64 = 25_000_000
    static let slowNanoseconds: Int64 = 3_000_000_000

    var fast: Int64
    var slow: Int64

    init(_ now: Instant) {
        let nanoseconds = Int64(clamping: now.nanoseconds)
        fast = nanoseconds / ScoreTick.fastNanoseconds
        slow = nanoseconds / ScoreTick.slowNanoseconds
    }
}

enum Decay {
    /// Steps to a half.
    static let stepsPerHalf: Int64 = 20
    /// floor(2^32 × 2^(−k/20)). The first is one, which no product needs.
    static let factors: [UInt64] = [
        4_294_967_296, 4_148_664_942, 4_007_346_184, 3_870_841_262, 3_738_986_198, 3_611_622_602,
        3_488_597_478, 3_369_763_041, 3_254_976_541, 3_144_100_091, 3_037_000_499, 2_933_549_113,
        2_833_621_661, 2_737_098_105, 2_643_862_495, 2_553_802_833, 2_466_810_933, 2_382_782_297,
        2_301_615_985, 2_223_214_495,
    ]

    /// `value` after `steps`.
    static func of(_ value: UInt64, steps: Int64) -> UInt64 { Fading(steps: steps).of(value) }
}

/// What a number of steps does to any count. Time does not run backwards: no steps below one change anything.
struct Fading: BitwiseCopyable {
    private let halves: UInt64
    private let factor: UInt64
    let isNothing: Bool

    init(steps: Int64) {
        isNothing = steps <= 0
        halves = isNothing ? 0 : UInt64(steps / Decay.stepsPerHalf)
        factor = isNothing ? 0 : Decay.factors[Int(steps % Decay.stepsPerHalf)]
    }

    func of(_ value: UInt64) -> UInt64 {
        if isNothing || value == 0 { return value }
        if halves >= 40 { return 0 }
        // `value` is at most 2^30 (`FadingCount.max`), a factor at most 2^32: the product has room.
        return ((min(value, FadingCount.max) >> halves) * factor) >> 32
    }
}

/// One count, fast and slow, in 1/1,024.
struct FadingCount: Equatable, BitwiseCopyable {
    static let one: UInt64 = 1_024
    /// A million counts; more are not told apart.
    static let max: UInt64 = 1 << 30

    private(set) var fast: UInt64 = 0
    private(set) var slow: UInt64 = 0

    mutating func add(_ count: Int) {
        let units =
            UInt64(clamping: count) > FadingCount.max
            ? FadingCount.max : UInt64(clamping: count) * FadingCount.one
        fast = Swift.min(fast + units, FadingCount.max)
        slow = Swift.min(slow + units, FadingCount.max)
    }

    mutating func fade(_ fastFading: Fading, _ slowFading: Fading) {
        fast = fastFading.of(fast)
        slow = slowFading.of(slow)
    }

    /// Of `self`, how many in a thousand are in `part`: 0 while `self` counts fewer than `samples`.
    func perMilleFast(_ part: FadingCount, samples: UInt64) -> Int {
        FadingCount.perMille(part.fast, of: fast, samples: samples)
    }
    func perMilleSlow(_ part: FadingCount, samples: UInt64) -> Int {
        FadingCount.perMille(part.slow, of: slow, samples: samples)
    }

    private static func perMille(_ part: UInt64, of whole: UInt64, samples: UInt64) -> Int {
        guard whole >= Swift.max(samples, 1) * one else { return 0 }
        return Int(Swift.min(part * 1_000 / whole, 1_000))
    }
}

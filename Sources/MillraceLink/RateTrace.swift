public import MillraceBase

/// A rate that changes in steps and begins again at its end: a mobile cell, a shared line, a measurement from a file.
///
/// Made from rates of equal length (`trace=25:0:12@500`) or by `TraceFile` from a file's bytes. Copies share the steps.
public struct RateTrace: Hashable, Sendable {
    /// A rate from `start` nanoseconds after the period's beginning until the next step's start.
    public struct Step: Hashable, Sendable, BitwiseCopyable {
        public var start: UInt64
        public var bitsPerSecond: UInt64
    }

    /// How the trace is written in a link's text.
    enum Form: Hashable, Sendable {
        /// Rates of steps as long as this.
        case even(Interval)
        /// A file, its rates multiplied by so many millionths.
        case file(String, scaleMillionths: UInt64)
    }

    /// Steps in a link's text; each costs a few letters.
    public static let stepsMax = 100_000
    /// Steps of a file: more than an hour of milliseconds, 64 MiB.
    public static let fileStepsMax = 1 << 22

    /// The first starts at 0; starts ascend; at least one rate is above zero.
    public let steps: [Step]
    /// Nanoseconds until it begins again, above 0.
    public let period: UInt64
    /// Over the long run, rounded down; at least 1.
    public let meanBitsPerSecond: UInt64
    let form: Form
    /// Bits in a period, times 10^9.
    let bitNanoseconds: (high: UInt64, low: UInt64)

    /// Nil when there is no step, too many, one above 10^12 bit/s, none above zero, or a step's length is not 1 ms … 1 h.
    public init?(bitsPerSecond: [UInt64], step: Interval) {
        guard (1...RateTrace.stepsMax).contains(bitsPerSecond.count), step >= .milliseconds(1),
            step <= .seconds(3_600)
        else { return nil }
        let length = UInt64(step.nanoseconds)
        // ≤ 10^5 × 3.6e12 ns.
        self.init(
            steps: bitsPerSecond.enumerated().map { Step(start: UInt64($0) * length, bitsPerSecond: $1) },
            period: UInt64(bitsPerSecond.count) * length, form: .even(step))
    }

    /// Nil when a rate is above 10^12 bit/s or none is above zero. Asks for ascending starts from 0, all before `period`.
    init?(steps: [Step], period: UInt64, form: Form) {
        guard steps.first?.start == 0, (1...RateTrace.periodMax).contains(period),
            steps.allSatisfy({ $0.bitsPerSecond <= LinkLimits.bitsPerSecondMax }),
            steps.contains(where: { $0.bitsPerSecond > 0 })
        else { return nil }
        // ≤ 10^12 bit/s × 3.6e17 ns: below 2^99.
        var sum: UInt128 = 0
        for i in 0..<steps.count {
            let end = i + 1 < steps.count ? steps[i + 1].start : period
            guard end > steps[i].start else { return nil }
            sum += UInt128(steps[i].bitsPerSecond) * UInt128(end - steps[i].start)
        }
        self.steps = steps
        self.period = period
        self.form = form
        meanBitsPerSecond = max(1, UInt64(sum / UInt128(period)))
        bitNanoseconds = (UInt64(sum >> 64), UInt64(truncatingIfNeeded: sum))
    }

    /// 100,000 steps of an hour.
    static let periodMax: UInt64 = 360_000_000_000_000_000

    /// Every rate times `millionths` / 10^6, rounded down; nil when that is above 10^12 bit/s or nothing is left.
    func scaled(millionths: UInt64) -> RateTrace? {
        var scaled = steps
        for i in scaled.indices {
            // ≤ 10^12 × 10^9: below 2^70.
            let rate = UInt128(scaled[i].bitsPerSecond) * UInt128(millionths) / 1_000_000
            guard rate <= UInt128(LinkLimits.bitsPerSecondMax) else { return nil }
            scaled[i].bitsPerSecond = UInt64(rate)
        }
        var form = form
        if case .file(let name, _) = form { form = .file(name, scaleMillionths: millionths) }
        return RateTrace(steps: scaled, period: period, form: form)
    }

    public static func == (a: RateTrace, b: RateTrace) -> Bool {
        a.form == b.form && a.period == b.period && a.steps == b.steps
    }

    public func hash(into hasher: inout Hasher) {
        hasher.combine(form)
        hasher.combine(period)
        hasher.combine(steps)
    }
}

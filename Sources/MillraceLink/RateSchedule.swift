internal import MillraceBase

/// When the last bit of a datagram has left: a constant rate or a trace, exact to the nanosecond over any length of time.
///
/// With a constant rate the remainder of each division is carried to the next datagram of the same busy period, so that a
/// million datagrams take exactly as long as one of a million times the size. A trace is followed by a cursor: starts never
/// decrease, so a datagram costs the steps passed since the last one; after a silence the place is found by halving.
struct RateSchedule: Sendable {
    private enum Rate {
        case unlimited
        case constant(bitsPerSecond: UInt64)
        case trace
    }

    private static let billion: UInt64 = 1_000_000_000

    private let rate: Rate
    /// Bit-nanoseconds left over from the last division; less than the rate.
    private var carry: UInt64 = 0
    private var lastFinish = Instant.zero

    private let steps: [RateTrace.Step]
    private let period: UInt64
    /// Bit-nanoseconds of a period, or 0 where they exceed 64 bits and no datagram lasts that long.
    private let periodWork: UInt64
    /// The step under the cursor, and when its period began.
    private var index = 0
    private var base: UInt64 = 0

    /// Added to a time before it is looked up in the trace, whose period begins at the link's origin.
    private let shift: UInt64

    init(_ parameters: LinkParameters, origin: Instant = .zero) {
        if let trace = parameters.trace {
            rate = .trace
            steps = trace.steps
            period = trace.period
            periodWork = trace.bitNanoseconds.high == 0 ? trace.bitNanoseconds.low : 0
            shift = (trace.period - origin.nanoseconds % trace.period) % trace.period
        } else {
            steps = []
            period = 1
            periodWork = 0
            shift = 0
            if let bits = parameters.rateBitsPerSecond, bits > 0 {
                rate = .constant(bitsPerSecond: min(bits, LinkLimits.bitsPerSecondMax))
            } else {
                rate = .unlimited
            }
        }
    }

    /// The time at which `bytes` that begin at `start` are through. Starts never decrease.
    mutating func finish(bytes: Int, from start: Instant) -> Instant {
        let work = UInt64(clamping: bytes) * 8 * RateSchedule.billion  // < 2^60 for a datagram
        switch rate {
        case .unlimited:
            return start
        case .constant(let bitsPerSecond):
            let total = start == lastFinish ? work + carry : work
            let (whole, remainder) = total.quotientAndRemainder(dividingBy: bitsPerSecond)
            carry = remainder
            // total < 2^61.
            lastFinish = start + .nanoseconds(Int64(bitPattern: whole))
            return lastFinish
        case .trace:
            let (shifted, over) = start.nanoseconds.addingReportingOverflow(shift)
            if over { return .distantFuture }
            let end = followTrace(work, from: Instant(nanoseconds: shifted))
            return end == .distantFuture ? end : Instant(nanoseconds: end.nanoseconds - shift)
        }
    }

    private mutating func followTrace(_ work: UInt64, from start: Instant) -> Instant {
        var time = start.nanoseconds
        var left = work
        if periodWork > 0, left > periodWork {
            let periods = (left - 1) / periodWork
            left -= periods * periodWork
            let (skip, over) = periods.multipliedReportingOverflow(by: period)
            let (sum, overSum) = time.addingReportingOverflow(skip)
            if over || overSum { return .distantFuture }
            time = sum
        }
        seek(time)
        // At most a period and a step: one of the rates is above zero.
        while true {
            let (end, over) = base.addingReportingOverflow(
                index + 1 < steps.count ? steps[index + 1].start : period)
            if over { return .distantFuture }
            let bits = steps[index].bitsPerSecond
            let (capacity, more) = bits.multipliedReportingOverflow(by: end - time)
            if bits > 0, more || capacity >= left {
                return Instant(nanoseconds: time) + .nanoseconds(Int64(clamping: (left + bits - 1) / bits))
            }
            left -= capacity
            time = end
            index += 1
            if index == steps.count {
                index = 0
                base = end
            }
        }
    }

    /// Puts the cursor on the step that holds at `time`.
    private mutating func seek(_ time: UInt64) {
        if time < base || time - base >= period {
            base = time / period * period
            index = 0
        }
        let within = time - base
        // Most often the same step or the next.
        for _ in 0..<4 {
            guard index + 1 < steps.count, steps[index + 1].start <= within else { return }
            index += 1
        }
        var (low, high) = (index, steps.count)
        while high - low > 1 {
            let middle = (low + high) / 2
            if steps[middle].start <= within { low = middle } else { high = middle }
        }
        index = low
    }
}

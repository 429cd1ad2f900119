internal import MillraceBase

/// When the last bit of a datagram has left: a constant rate or a trace, exact to the nanosecond over any length of time.
///
/// With a constant rate the remainder of each division is carried to the next datagram of the same busy period, so that a
/// million datagrams take exactly as long as one of a million times the size.
struct RateSchedule: Sendable {
    private enum Rate {
        case unlimited
        case constant(bitsPerSecond: UInt64)
        case trace(RateTrace, bitsPerPeriodTimes1e9: (high: UInt64, low: UInt64))
    }

    private static let billion: UInt64 = 1_000_000_000

    private let rate: Rate
    /// Bit-nanoseconds left over from the last division; less than the rate.
    private var carry: UInt64 = 0
    private var lastFinish = Instant.zero

    init(_ parameters: LinkParameters) {
        if let trace = parameters.trace {
            var sum: UInt64 = 0
            for bits in trace.bitsPerSecond { sum += bits }
            // At most 10^5 steps of 10^12 bit/s, times at most 3.6e12 ns.
            rate = .trace(
                trace, bitsPerPeriodTimes1e9: sum.multipliedFullWidth(by: UInt64(trace.step.nanoseconds)))
        } else if let bits = parameters.rateBitsPerSecond, bits > 0 {
            rate = .constant(bitsPerSecond: min(bits, LinkLimits.bitsPerSecondMax))
        } else {
            rate = .unlimited
        }
    }

    /// The time at which `bytes` that begin at `start` are through. Starts never decrease.
    mutating func finish(bytes: Int, from start: Instant) -> Instant {
        let work = UInt64(clamping: bytes) * 8 * RateSchedule.billion  // < 2^60 for a datagram
        switch rate {
        case .unlimited:
            return start
        case .constant(let bitsPerSecond):
            if start != lastFinish { carry = 0 }
            let total = work + carry
            carry = total % bitsPerSecond
            lastFinish = start + .nanoseconds(Int64(clamping: total / bitsPerSecond))
            return lastFinish
        case .trace(let trace, let period):
            return finish(work, from: start, along: trace, period)
        }
    }

    /// Walks the steps of the trace; whole periods are skipped by division, so the walk is at most two periods long.
    private func finish(
        _ work: UInt64, from start: Instant, along trace: RateTrace, _ period: (high: UInt64, low: UInt64)
    ) -> Instant {
        let step = UInt64(trace.step.nanoseconds)
        let count = UInt64(trace.bitsPerSecond.count)
        var time = start.nanoseconds
        var left = work
        if period.high == 0, period.low > 0, left > period.low {
            let periods = left / period.low
            left -= periods * period.low
            let (skip, over) = periods.multipliedReportingOverflow(by: step * count)
            let (sum, overSum) = time.addingReportingOverflow(skip)
            if over || overSum { return .distantFuture }
            time = sum
        }
        for _ in 0...(2 * count) {
            let bits = trace.bitsPerSecond[Int(time / step % count)]
            let room = step - time % step
            let (capacity, over) = bits.multipliedReportingOverflow(by: room)
            if bits > 0, over || capacity >= left {
                return Instant(nanoseconds: time) + .nanoseconds(Int64(clamping: (left + bits - 1) / bits))
            }
            left -= capacity
            let (next, overNext) = time.addingReportingOverflow(room)
            if overNext { return .distantFuture }
            time = next
        }
        return .distantFuture
    }
}

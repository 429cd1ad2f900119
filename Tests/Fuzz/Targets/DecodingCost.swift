/// What decoders take of a processor, for whoever gives a clock (`millrace-fuzz mutate`): the bound is 2 ms for each KiB of
/// input, whatever the input. Without a clock nothing is measured.
///
/// An input that seems the worst so far is decoded ten times and the least time counts, so that an interrupt is not
/// taken for a cost.

import Synchronization

public final class DecodingCost: Sendable {
    public static let shared = DecodingCost()
    /// Nanoseconds that this thread has run.
    public typealias Clock = @Sendable () -> Int64

    /// Shorter inputs have a worst time, but none for each KiB.
    public static let bytesMin = 256
    /// What any payload costs, however short, in nanoseconds: models are saved, and at a restart made anew.
    public static let allowance: Int64 = 50_000

    public struct Worst: Sendable {
        public var bytes = 0
        public var nanoseconds: Int64 = 0
        /// Beyond the allowance, for each KiB.
        public var perKiB: Int64 {
            max(0, nanoseconds - DecodingCost.allowance) * 1024 / Int64(max(bytes, 1))
        }
    }

    private struct Tally {
        var clock: Clock?
        var short = Worst()
        var long = Worst()
    }
    private let tally = Mutex(Tally())

    public func begin(clock: @escaping Clock) { tally.withLock { $0 = Tally(clock: clock) } }

    /// The worst of the inputs below `bytesMin` by time, and of the others by time for each KiB.
    public var worst: (short: Worst, long: Worst) { tally.withLock { ($0.short, $0.long) } }

    /// Runs `decode` on an input of so many bytes; what it does must not show to the next call.
    func measure(bytes: Int, _ decode: () -> Void) {
        guard let clock = tally.withLock({ $0.clock }) else {
            decode()
            return
        }
        var cost = Worst(bytes: bytes, nanoseconds: .max)
        for _ in 0..<10 {
            let start = clock()
            decode()
            cost.nanoseconds = min(cost.nanoseconds, clock() - start)
            if !isWorse(cost) { return }
        }
        tally.withLock {
            if bytes < DecodingCost.bytesMin { $0.short = cost } else { $0.long = cost }
        }
    }

    private func isWorse(_ cost: Worst) -> Bool {
        let worst = worst
        return cost.bytes < DecodingCost.bytesMin
            ? cost.nanoseconds > worst.short.nanoseconds : cost.perKiB > worst.long.perKiB
    }
}

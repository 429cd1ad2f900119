/// The slowest rate that passes, found by bisection and robust against answers that are not monotonic.
///
/// Whether a link keeps up is a sample, not a law: near the frontier one seed passes and the next one fails, and a rate
/// may fail between two that pass. So the search climbs from below until a rate passes (it never jumps over a passing one by
/// more than `climb`), halves the interval, and then asks the rate it found again with a second seed; as long as that fails
/// it goes up, by `resolution` and then by more each time. What it answers has passed twice.
///
/// Bounded: `ceilingFactor` times the start is the last rate asked.

struct RateSearch {
    /// How far apart rates are while climbing.
    static let climb = 1.2
    static let ceilingFactor = 16.0
    /// Below this share of the start nothing is asked: less than the stream itself.
    static let lowestFactor = 0.5

    /// Where to begin, in bits per second: what should just not be enough.
    let start: Double
    /// The ratio at which two neighbours are close enough, less 1.
    let resolution: Double

    enum Outcome: Equatable {
        case found(bitsPerSecond: UInt64)
        /// The last rate asked, which failed as all others did.
        case none(upTo: UInt64)
    }

    var ceiling: UInt64 { RateSearch.round(start * RateSearch.ceilingFactor) }

    /// `passes` is asked with a rate and 0 or 1, the number of the seed.
    func run<E: Error>(_ passes: (UInt64, Int) throws(E) -> Bool) throws(E) -> Outcome {
        var low: Double
        var high = start
        if try passes(RateSearch.round(high), 0) {
            // Lower than thought: go down until one fails.
            repeat {
                low = high / (1 + 2 * resolution)
                if low < start * RateSearch.lowestFactor { break }
                guard try passes(RateSearch.round(low), 0) else { break }
                high = low
            } while true
        } else {
            low = high
            while true {
                high = low * RateSearch.climb
                if high > start * RateSearch.ceilingFactor { return .none(upTo: RateSearch.round(low)) }
                if try passes(RateSearch.round(high), 0) { break }
                low = high
            }
        }
        while high / low > 1 + resolution {
            let middle = (high * low).squareRoot()
            if try passes(RateSearch.round(middle), 0) { high = middle } else { low = middle }
        }
        var step = 1 + resolution
        var firstPassed = true
        while true {
            let rate = RateSearch.round(high)
            let once = firstPassed ? true : try passes(rate, 0)
            if once, try passes(rate, 1) { return .found(bitsPerSecond: rate) }
            firstPassed = false
            high *= step
            step = min(1 + (step - 1) * 1.5, RateSearch.climb)
            if high > start * RateSearch.ceilingFactor { return .none(upTo: rate) }
        }
    }

    /// To a kilobit, upward: rates that a person can type again.
    static func round(_ rate: Double) -> UInt64 {
        UInt64(clamping: Int64((min(max(rate, 1_000), 1e12) / 1_000).rounded(.up))) * 1_000
    }
}

internal import MillraceBase

/// Which datagrams a link loses: each for itself; in bursts (Gilbert's model: two states, everything is lost in the bad one);
/// or with shares and lengths of both states given (Gilbert and Elliott), the states lasting for datagrams or for time.
///
/// Bursts are given as people measure them, by mean loss p and mean burst length b. Leaving the bad state has probability
/// r = 1/b, entering it q = r·p/(1−p), which makes the share of time in it exactly p and bursts geometric with mean b.
/// A mean burst shorter than independent losses would have (1/(1−p)) means independent losses.
struct LossProcess: Sendable {
    private enum Model {
        case none
        case independent(Probability)
        case bursts(enter: Probability, leave: Probability)
        case states(enter: Probability, leave: Probability)
        case timed
    }

    private let model: Model
    private let draws: CounterDraws
    private let startDraws: CounterDraws
    /// Whether a datagram is lost in a state; what is lost in each.
    private let stateDraws: CounterDraws
    private let lossGood: Probability
    private let lossBad: Probability
    private var isBad = false

    // States that last for time: mean lengths, when this one ends, and its number.
    private let good: UInt64
    private let bad: UInt64
    private let lengthDraws: CounterDraws
    private var until = Instant.zero
    private var state: UInt64 = 0

    /// Mean cycles of silence after which the state is drawn anew instead of followed.
    private static let cyclesFollowed: UInt64 = 64

    init(_ parameters: LinkParameters, _ seed: Seed, _ index: UInt64) {
        draws = CounterDraws(seed, "link loss", index)
        startDraws = CounterDraws(seed, "link loss start", index)
        stateDraws = CounterDraws(seed, "link loss state", index)
        lengthDraws = CounterDraws(seed, "link loss length", index)
        let scale = Probability.scale
        if let states = parameters.lossStates {
            lossGood = states.lossGood
            lossBad = states.lossBad
            switch states.lengths {
            case .datagrams(let goodLength, let badLength):
                (good, bad) = (goodLength, badLength)
                model = .states(
                    enter: Probability(partsPerTrillion: scale * 1_000 / goodLength),
                    leave: Probability(partsPerTrillion: scale * 1_000 / badLength))
                isBad = startDraws.below(good + bad, at: 0) < bad
            case .time(let goodLength, let badLength):
                (good, bad) = (UInt64(goodLength.nanoseconds), UInt64(badLength.nanoseconds))
                model = .timed
                isBad = startDraws.below(good + bad, at: 0) < bad
                until = .zero + length(of: 0)
            }
            return
        }
        (good, bad) = (1, 1)
        (lossGood, lossBad) = (.zero, .one)
        let p = parameters.loss.partsPerTrillion
        let burst = min(max(parameters.lossBurstThousandths, 1_000), LinkLimits.lossBurstThousandthsMax)
        if p == 0 {
            model = .none
        } else if p == scale || UInt64(burst) * (scale - p) <= 1_000 * scale {
            model = .independent(parameters.loss)
        } else {
            let leave = scale * 1_000 / burst
            // leave ≤ 10^12 and p < 10^12: the product needs more than 64 bits.
            let (high, low) = leave.multipliedFullWidth(by: p)
            let enter = (scale - p).dividingFullWidth((high, low)).quotient
            model = .bursts(
                enter: Probability(partsPerTrillion: enter), leave: Probability(partsPerTrillion: leave))
            // Begin as after a long time, so that short runs are not luckier than long ones.
            isBad = parameters.loss.happens(startDraws[0])
        }
    }

    /// Whether datagram `number`, which leaves at `time`, is lost. Numbers ascend and times never decrease.
    @inline(__always)
    mutating func loses(_ number: UInt64, at time: Instant) -> Bool {
        switch model {
        case .none: return false
        case .independent(let p): return p.happens(draws[number])
        case .bursts(let enter, let leave):
            let lost = isBad
            isBad = isBad ? !leave.happens(draws[number]) : enter.happens(draws[number])
            return lost
        case .states(let enter, let leave):
            let lost = losesInState(number)
            isBad = isBad ? !leave.happens(draws[number]) : enter.happens(draws[number])
            return lost
        case .timed:
            if time >= until { follow(to: time) }
            return losesInState(number)
        }
    }

    private func losesInState(_ number: UInt64) -> Bool {
        (isBad ? lossBad : lossGood).happens(stateDraws[number])
    }

    /// Lengths are memoryless, so after a long silence the state is drawn anew: a link that nobody used for a year costs
    /// nothing (Spec 80.3, rule 8).
    private mutating func follow(to time: Instant) {
        // ≤ 64 × 7.2e12 ns.
        let farthest = Interval.nanoseconds(Int64((good + bad) * LossProcess.cyclesFollowed))
        while time >= until, until < .distantFuture {
            state &+= 1
            if time - until > farthest {
                isBad = startDraws.below(good + bad, at: state) < bad
                until = time + length(of: state)
            } else {
                isBad.toggle()
                until = until + length(of: state)
            }
        }
    }

    /// Exponential with the state's mean, at least 1 ns: state number `k`'s draw.
    private func length(of k: UInt64) -> Interval {
        let mean = isBad ? bad : good
        let (high, low) = mean.multipliedFullWidth(by: LossProcess.negativeLogarithm(lengthDraws[k]))
        // The mean is below 2^42 and the logarithm below 2^38: the quotient is below 2^48.
        return .nanoseconds(Int64(max(1, high << 32 | low >> 32)))
    }

    /// −ln((draw + 1) / 2^64) times 2^32, in integers: a bit of the logarithm to base 2 for each squaring.
    static func negativeLogarithm(_ draw: UInt64) -> UInt64 {
        let value = draw == .max ? .max : draw + 1
        let zeros = UInt64(value.leadingZeroBitCount)
        // 1 ≤ m < 2, with 63 bits behind the point.
        var m = value << zeros
        var fraction: UInt64 = 0
        for _ in 0..<32 {
            let (high, low) = m.multipliedFullWidth(by: m)
            fraction <<= 1
            if high >> 63 == 1 {
                fraction |= 1
                m = high
            } else {
                m = high << 1 | low >> 63
            }
        }
        let base2 = (1 + zeros) << 32 - fraction
        // ln 2 times 2^64.
        return base2.multipliedFullWidth(by: 0xB172_17F7_D1CF_79AB).high
    }
}

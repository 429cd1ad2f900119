internal import MillraceBase

/// Which datagrams a link loses: each for itself, or in bursts (Gilbert's model: two states, everything is lost in the bad
/// one).
///
/// Bursts are given as people measure them, by mean loss p and mean burst length b. Leaving the bad state has probability
/// r = 1/b, entering it q = r·p/(1−p), which makes the share of time in it exactly p and bursts geometric with mean b.
/// A mean burst shorter than independent losses would have (1/(1−p)) means independent losses.
struct LossProcess: Sendable {
    private enum Model {
        case none
        case independent(Probability)
        case bursts(enter: Probability, leave: Probability)
    }

    private let model: Model
    private let draws: CounterDraws
    private var isBad: Bool

    init(_ parameters: LinkParameters, _ seed: Seed, _ index: UInt64) {
        draws = CounterDraws(seed, "link loss", index)
        isBad = false
        let p = parameters.loss.partsPerTrillion
        let scale = Probability.scale
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
            isBad = parameters.loss.happens(CounterDraws(seed, "link loss start", index)[0])
        }
    }

    /// Whether datagram `number` is lost. Numbers ascend.
    mutating func loses(_ number: UInt64) -> Bool {
        switch model {
        case .none: return false
        case .independent(let p): return p.happens(draws[number])
        case .bursts(let enter, let leave):
            let lost = isBad
            isBad = isBad ? !leave.happens(draws[number]) : enter.happens(draws[number])
            return lost
        }
    }
}

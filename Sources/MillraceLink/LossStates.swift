public import MillraceBase

/// Two states that losses follow (Gilbert and Elliott): how long each lasts on average, and what share is lost in it. States
/// last for datagrams, or for time whatever is sent: a phone behind a wall loses what a burst sends and what silence does not.
public struct LossStates: Hashable, Sendable {
    public enum Lengths: Hashable, Sendable {
        /// Mean numbers of datagrams, in thousandths.
        case datagrams(goodThousandths: UInt64, badThousandths: UInt64)
        case time(good: Interval, bad: Interval)
    }

    public static let datagramsThousandthsMax: UInt64 = 1_000_000_000
    public static let timeMax = Interval.seconds(3_600)

    public let lengths: Lengths
    public let lossGood: Probability
    public let lossBad: Probability

    /// Nil unless datagrams are 1 … 1,000,000 and times 1 µs … 1 h.
    public init?(_ lengths: Lengths, lossGood: Probability = .zero, lossBad: Probability = .one) {
        switch lengths {
        case .datagrams(let good, let bad):
            let range = 1_000...LossStates.datagramsThousandthsMax
            guard range.contains(good), range.contains(bad) else { return nil }
        case .time(let good, let bad):
            let range = Interval.microseconds(1)...LossStates.timeMax
            guard range.contains(good), range.contains(bad) else { return nil }
        }
        self.lengths = lengths
        self.lossGood = lossGood
        self.lossBad = lossBad
    }

    /// The share lost over the long run: for reports.
    public var meanLoss: Double {
        let (good, bad): (Double, Double)
        switch lengths {
        case .datagrams(let g, let b): (good, bad) = (Double(g), Double(b))
        case .time(let g, let b): (good, bad) = (g.asSeconds, b.asSeconds)
        }
        return (good * lossGood.asDouble + bad * lossBad.asDouble) / (good + bad)
    }
}

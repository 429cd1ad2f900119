/// A probability as an integer, so that a link decides the same on every machine.
public struct Probability: Hashable, Comparable, Sendable, BitwiseCopyable {
    public static let scale: UInt64 = 1_000_000_000_000

    /// 0 … 10^12.
    public let partsPerTrillion: UInt64

    /// Clamped to 1.
    public init(partsPerTrillion: UInt64) { self.partsPerTrillion = min(partsPerTrillion, Probability.scale) }

    public static let zero = Probability(partsPerTrillion: 0)
    public static let one = Probability(partsPerTrillion: scale)

    public static func percent(_ n: UInt64) -> Probability {
        Probability(partsPerTrillion: min(n, 100) * (scale / 100))
    }
    public static func partsPerMillion(_ n: UInt64) -> Probability {
        Probability(partsPerTrillion: min(n, 1_000_000) * (scale / 1_000_000))
    }

    public static func < (a: Probability, b: Probability) -> Bool { a.partsPerTrillion < b.partsPerTrillion }

    /// Whether an event of this probability happens, given 64 uniform bits.
    @inline(__always)
    func happens(_ draw: UInt64) -> Bool {
        draw.multipliedFullWidth(by: Probability.scale).high < partsPerTrillion
    }

    /// For reports.
    public var asDouble: Double { Double(partsPerTrillion) / Double(Probability.scale) }
}

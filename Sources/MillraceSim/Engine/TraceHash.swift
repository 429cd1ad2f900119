/// What happened, in 64 bits: every event of a run is folded in as it happens, so two runs with equal hashes did the same
/// things at the same virtual times. Not secret and not secure: it finds differences, not forgers.
///
/// h ← (h ⊕ word) × 0x9E3779B97F4A7C15, then h ⊕ h≫32, word after word; the start is the seed.

public struct TraceHash: Equatable, Sendable, BitwiseCopyable {
    public private(set) var value: UInt64

    public init(seed: UInt64) { value = seed ^ 0x6D69_6C6C_7261_6365 }

    @inline(__always)
    public mutating func fold(_ word: UInt64) {
        value = (value ^ word) &* 0x9E37_79B9_7F4A_7C15
        value ^= value >> 32
    }

    /// Sixteen hexadecimal digits.
    public var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

internal import MillraceBase

/// Counter-based randomness: draw number n for a purpose is a function of seed, purpose and n alone.
///
/// So turning duplication on does not move a single loss, and a draw can be asked for out of order. The function is
/// SplitMix64's (Steele, Lea, Flood, 2014), whose outputs at consecutive counters are independent enough for links; nothing
/// secret depends on it.
struct CounterDraws: Sendable, BitwiseCopyable {
    private let key: UInt64

    init(_ seed: Seed, _ purpose: StaticString, _ index: UInt64) {
        var generator = seed.generator(purpose, index)
        key = generator.next()
    }

    @inline(__always)
    subscript(counter: UInt64) -> UInt64 {
        var z = key &+ counter &* 0x9E37_79B9_7F4A_7C15
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Draw `counter`, uniform in `0 ..< bound`.
    @inline(__always)
    func below(_ bound: UInt64, at counter: UInt64) -> UInt64 {
        self[counter].multipliedFullWidth(by: bound).high
    }
}

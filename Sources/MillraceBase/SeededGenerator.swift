/// Deterministic randomness. A core is given a `Seed` and splits it by purpose, so that adding a draw in one machine
/// does not disturb another. What an attacker would gain by guessing (keys, nonces, table keys) comes from
/// `MillraceCrypto`'s ChaCha20 stream instead; this generator is for the simulator, the workloads and tests.

/// 32 bytes from which every random choice of a core follows.
public struct Seed: Hashable, Sendable, BitwiseCopyable {
    public var word: U256

    @inlinable public init(word: U256) { self.word = word }
    /// A seed for tests and simulations.
    @inlinable public init(_ value: UInt64) { word = U256(value) }

    /// A generator for one purpose: another tag gives an unrelated sequence.
    public func generator(_ purpose: StaticString, _ index: UInt64 = 0) -> SeededGenerator {
        var mix = SplitMix64(state: word.w0 ^ 0x6D69_6C6C_7261_6365)
        var key = mix.next() ^ word.w1
        purpose.withUTF8Buffer { bytes in
            for byte in bytes { key = (key ^ UInt64(byte)) &* 0x0000_0100_0000_01B3 }
        }
        mix = SplitMix64(state: key ^ word.w2 ^ (word.w3 << 1))
        return SeededGenerator(seed: mix.next() ^ index &* 0x9E37_79B9_7F4A_7C15)
    }
}

/// Sebastiano Vigna's SplitMix64: seeds the generator below.
@usableFromInline struct SplitMix64 {
    @usableFromInline var state: UInt64
    @usableFromInline init(state: UInt64) { self.state = state }
    @usableFromInline mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}

/// xoshiro256** 1.0 (Blackman and Vigna, "Scrambled linear pseudorandom number generators", 2018).
public struct SeededGenerator: RandomNumberGenerator, Sendable, BitwiseCopyable {
    @usableFromInline var s0: UInt64, s1: UInt64, s2: UInt64, s3: UInt64

    public init(seed: UInt64) {
        var mix = SplitMix64(state: seed)
        (s0, s1, s2, s3) = (mix.next(), mix.next(), mix.next(), mix.next())
    }

    @inlinable public mutating func next() -> UInt64 {
        let scrambled = s1 &* 5
        let result = (scrambled << 7 | scrambled >> 57) &* 9
        let t = s1 << 17
        s2 ^= s0
        s3 ^= s1
        s1 ^= s2
        s0 ^= s3
        s2 ^= t
        s3 = s3 << 45 | s3 >> 19
        return result
    }

    /// Uniform in `0..<bound`; 0 when `bound` is 0. One multiplication: the bias is below 2^-64 × bound.
    @inlinable public mutating func below(_ bound: UInt64) -> UInt64 {
        next().multipliedFullWidth(by: bound).high
    }

    /// Uniform in [0, 1) with 53 bits. For workloads and link models, never for shared protocol decisions.
    @inlinable public mutating func unit() -> Double { Double(next() >> 11) * 0x1p-53 }
}

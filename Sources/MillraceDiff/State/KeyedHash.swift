/// The hash that places keys in the open-addressing tables: multilinear hashing over 64-bit words with secret 128-bit
/// multipliers (Lemire and Kaser, "Strongly universal string hashing is fast", 2014), upper 64 bits of
/// m₀ + Σ mᵢ·wᵢ mod 2¹²⁸.
///
/// Addresses and slot numbers are chosen by whoever sends transactions, so the tables need a hash they cannot aim at. For
/// keys of a fixed number of words this family is strongly universal: without the multipliers two keys collide with
/// probability 2⁻⁶⁴ whatever they are, and no table content ever leaves the node. SipHash through libsodium gives the same
/// and takes about five times as long on 36 bytes, since it is called, not inlined. The multipliers come from the state's
/// seed; nothing that peers share depends on them.

internal import MillraceBase

@usableFromInline
struct KeyedHash: BitwiseCopyable {
    let m0: UInt128, m1: UInt128, m2: UInt128, m3: UInt128, m4: UInt128, m5: UInt128

    init(seed: Seed) {
        var generator = seed.generator("millrace.state.table")
        func draw() -> UInt128 { UInt128(generator.next()) << 64 | UInt128(generator.next()) }
        (m0, m1, m2, m3, m4, m5) = (draw(), draw(), draw(), draw(), draw(), draw())
    }

    @inline(__always)
    func callAsFunction(_ address: Address) -> UInt64 {
        var sum = m0
        sum &+= m1 &* UInt128(address.high)
        sum &+= m2 &* UInt128(address.middle)
        sum &+= m3 &* UInt128(address.low)
        return UInt64(truncatingIfNeeded: sum >> 64)
    }

    @inline(__always)
    func callAsFunction(_ word: U256) -> UInt64 {
        var sum = m0
        sum &+= m1 &* UInt128(word.w0)
        sum &+= m2 &* UInt128(word.w1)
        sum &+= m3 &* UInt128(word.w2)
        sum &+= m4 &* UInt128(word.w3)
        return UInt64(truncatingIfNeeded: sum >> 64)
    }

    /// The hash of a slot of an account; `account` is an id, or the builder's stand-in for one.
    @inline(__always)
    func callAsFunction(account: UInt32, slot: U256) -> UInt64 {
        var sum = m0
        sum &+= m1 &* UInt128(slot.w0)
        sum &+= m2 &* UInt128(slot.w1)
        sum &+= m3 &* UInt128(slot.w2)
        sum &+= m4 &* UInt128(slot.w3)
        sum &+= m5 &* UInt128(account)
        return UInt64(truncatingIfNeeded: sum >> 64)
    }
}

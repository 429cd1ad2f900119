/// The block time that a payload's words speak of: time stamps in packed slots take it, and the price accumulators of
/// constant-product pools grow with it. Spec 30.7.3.

internal import MillraceBase
internal import MillraceDiff

enum PayloadTime {
    /// Plausible Unix times: 2015 to 2045.
    private static let plausible = UInt64(1_420_000_000)...2_366_000_000

    /// The time that most of the changed words hold where they held an earlier one, 0 for none. Encoder only: any choice
    /// decodes. A vote by majority over the words' highest and lowest 32 bits.
    static func find(_ changes: UnsafeBufferPointer<SlotChange>) -> UInt32 {
        var leader: UInt64 = 0
        var lead = 0
        var seen = 0
        func vote(_ old: UInt64, _ new: UInt64) {
            guard plausible.contains(new), old < new, old == 0 || plausible.contains(old) else { return }
            seen += 1
            if lead == 0 { leader = new }
            lead += leader == new ? 1 : -1
        }
        for i in 0..<changes.count {
            let (old, new) = (changes[i].old, changes[i].new)
            if new.w3 >> 60 != 0, plausible.contains(new.w3 >> 32) { vote(old.w3 >> 32, new.w3 >> 32) }
            if plausible.contains(new.w0 & 0xFFFF_FFFF) { vote(old.w0 & 0xFFFF_FFFF, new.w0 & 0xFFFF_FFFF) }
        }
        return lead > 0 && lead * 4 > seen ? UInt32(truncatingIfNeeded: leader) : 0
    }

    /// What a pool's accumulator in `slot` (9 or 10) holds after the first change at `time`, if the contract keeps its
    /// reserves as a pool does.
    static func accrued(_ old: U256, slot: U256, account: UInt32, time: UInt32, base: State) -> U256? {
        guard slot == PoolReserves.price0Slot || slot == PoolReserves.price1Slot,
            Int(account) < base.accountCount,
            let id = base.slot(SlotKey(account: AccountID(account), slot: PoolReserves.slot))
        else { return nil }
        let pool = PoolReserves(word: base.value(of: id))
        let elapsed = time &- pool.timestamp
        let (above, below) =
            slot == PoolReserves.price0Slot
            ? (pool.reserve1, pool.reserve0) : (pool.reserve0, pool.reserve1)
        guard above > 0, below > 0, elapsed > 0 else { return nil }
        // above × 2^112 / below: the whole part, then the part that the remainder gives.
        let (whole, rest) = above.quotientAndRemainder(dividingBy: below)
        let part = below.dividingFullWidth((rest >> 16, rest << 112)).quotient
        let price = (U256(wide: whole) << 112) &+ U256(wide: part)
        return old &+ price &* U256(UInt64(elapsed))
    }
}

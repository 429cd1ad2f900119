/// The price rule of constant-product pools, as the contracts compute it. Spec 20.7.1.

public import MillraceBase

public enum ConstantProduct {
    /// Reserves are below 2^112.
    public static let reserveMax: UInt128 = (1 << 112) - 1

    /// What a payment of `amountIn` buys when `kept` ten-thousandths of it count:
    ///
    ///     out = in × kept × reserveOut / (reserveIn × 10000 + in × kept), rounded down
    ///
    /// Nil where a pool would refuse: nothing bought, a reserve of 2^112 and above, more kept than paid. Total on any numbers.
    public static func amountOut(
        for amountIn: U256, reserveIn: UInt128, reserveOut: UInt128, kept: UInt16
    ) -> U256? {
        guard let amount = amountIn.asUInt128, amount <= reserveMax, reserveIn <= reserveMax,
            reserveOut <= reserveMax, amount + reserveIn <= reserveMax, kept <= 10_000
        else { return nil }
        // Both terms are below 2^126.
        let paid = amount * UInt128(kept)
        let divisor = reserveIn * 10_000 + paid
        guard divisor > 0 else { return nil }
        let out = quotient(paid, reserveOut, divisor)
        return out > 0 ? U256(wide: out) : nil
    }

    /// a × b / c for a ≤ c < 2^127, so that the quotient is at most b.
    @inline(__always)
    private static func quotient(_ a: UInt128, _ b: UInt128, _ c: UInt128) -> UInt128 {
        let product = a.multipliedFullWidth(by: b)
        if product.high == 0 { return product.low / c }
        // a = c: only when the reserve in is zero.
        if a == c { return b }
        return c.dividingFullWidth((product.high, product.low)).quotient
    }
}

/// The word a pool keeps its reserves in: reserve 0 in bits 0…111, reserve 1 in bits 112…223, the time of the last change
/// in bits 224…255.
public struct PoolReserves: Hashable, Sendable, BitwiseCopyable {
    public static let slot: U256 = 8
    public static let price0Slot: U256 = 9
    public static let price1Slot: U256 = 10

    /// Both below 2^112.
    public var reserve0: UInt128, reserve1: UInt128
    /// Unix seconds, modulo 2^32.
    public var timestamp: UInt32

    @inlinable public init(word: U256) {
        reserve0 = word.low128 & ConstantProduct.reserveMax
        reserve1 =
            UInt128(word.w1 >> 48) | UInt128(word.w2) << 16 | (UInt128(word.w3 & 0xFFFF_FFFF) << 80)
        timestamp = UInt32(truncatingIfNeeded: word.w3 >> 32)
    }

    public var word: U256 {
        let low = reserve0 | reserve1 << 112
        let high = reserve1 >> 16 | UInt128(timestamp) << 96
        return U256(
            UInt64(truncatingIfNeeded: low), UInt64(truncatingIfNeeded: low >> 64),
            UInt64(truncatingIfNeeded: high), UInt64(truncatingIfNeeded: high >> 64))
    }
}

/// A Uniswap V2 pair: what `swap` makes of its reserves and price accumulators. Spec 75.2.3.

public import MillraceBase

public struct UniswapPair: Hashable, Sendable, BitwiseCopyable {
    /// Both below 2^112.
    public var reserve0: UInt128, reserve1: UInt128
    /// The block time of the last change.
    public var timestamp: UInt32
    /// Sums of price × seconds, UQ112.112, modulo 2^256.
    public var price0: U256, price1: U256

    public static let reservesSlot: U256 = 8
    public static let price0Slot: U256 = 9
    public static let price1Slot: U256 = 10
    static let reserveMax: UInt128 = (1 << 112) - 1

    public init(
        reserve0: UInt128, reserve1: UInt128, timestamp: UInt32, price0: U256 = .zero, price1: U256 = .zero
    ) {
        self.reserve0 = reserve0
        self.reserve1 = reserve1
        self.timestamp = timestamp
        self.price0 = price0
        self.price1 = price1
    }

    /// From the packed word: reserve 0 in bits 0…111, reserve 1 in bits 112…223, the time in bits 224…255.
    public init(reserves word: U256, price0: U256 = .zero, price1: U256 = .zero) {
        self.init(
            reserve0: word.low128 & UniswapPair.reserveMax,
            reserve1: (word >> 112).low128 & UniswapPair.reserveMax,
            timestamp: UInt32(truncatingIfNeeded: word.w3 >> 32), price0: price0, price1: price1)
    }

    public var reservesWord: U256 {
        let high = reserve1 >> 16 | UInt128(timestamp) << 96
        let low = reserve0 | reserve1 << 112
        return U256(
            UInt64(truncatingIfNeeded: low), UInt64(truncatingIfNeeded: low >> 64),
            UInt64(truncatingIfNeeded: high),
            UInt64(truncatingIfNeeded: high >> 64))
    }

    /// What a payment of `amountIn` buys: 0.3 % stays in the pool.
    ///
    ///     out = in × 997 × reserveOut / (reserveIn × 1000 + in × 997), rounded down
    ///
    /// Nil when the pair would refuse: nothing bought, or a reserve of 2^112 and above.
    public func amountOut(for amountIn: UInt128, zeroForOne: Bool) -> UInt128? {
        let (reserveIn, reserveOut) = zeroForOne ? (reserve0, reserve1) : (reserve1, reserve0)
        guard amountIn <= UniswapPair.reserveMax - min(reserveIn, UniswapPair.reserveMax) else { return nil }
        let paid = amountIn * 997
        let divisor = reserveIn * 1_000 + paid
        guard divisor > 0 else { return nil }
        let product = paid.multipliedFullWidth(by: reserveOut)
        // The quotient is below reserveOut, so the upper half is below the divisor.
        let out = divisor.dividingFullWidth((product.high, product.low)).quotient
        return out > 0 ? out : nil
    }

    /// Applies a swap whose amounts were computed above. True when the accumulators moved, once in each block time.
    public mutating func swap(amountIn: UInt128, amountOut: UInt128, zeroForOne: Bool, now: UInt32) -> Bool {
        let elapsed = now &- timestamp
        let accumulates = elapsed > 0 && reserve0 > 0 && reserve1 > 0
        if accumulates {
            let seconds = U256(UInt64(elapsed))
            let (zero, one) = (U256(wide: reserve0), U256(wide: reserve1))
            price0 = price0 &+ (one << 112).quotientAndRemainder(dividingBy: zero).quotient &* seconds
            price1 = price1 &+ (zero << 112).quotientAndRemainder(dividingBy: one).quotient &* seconds
        }
        if zeroForOne {
            reserve0 += amountIn
            reserve1 -= amountOut
        } else {
            reserve1 += amountIn
            reserve0 -= amountOut
        }
        timestamp = now
        return accumulates
    }
}

/// What a constant-product pool gives for what it gets, and what it stores then. Spec 30.13.4; the formula and the packing
/// are Uniswap V2's.
///
///     out = in × kept × reserveOut / (reserveIn × 10000 + in × kept), rounded down
///     slot 8: reserve 0 in bits 0…111, reserve 1 in 112…223, block time in 224…255
///     slots 9, 10: sums of price × seconds, UQ112.112, moved once per block time

internal import MillraceBase
internal import MillraceDiff

enum SwapRule {
    static var reservesSlot: U256 { 8 }
    static var price0Slot: U256 { 9 }
    static var price1Slot: U256 { 10 }
    static var reserveMask: UInt128 { (1 << 112) - 1 }

    /// Zero where a pool would refuse.
    @inline(__always)
    static func amountOut(_ amountIn: U256, reserveIn: UInt128, reserveOut: UInt128, kept: UInt32) -> U256 {
        guard let amount = amountIn.asUInt128, amount <= reserveMask else { return .zero }
        let paid = amount &* UInt128(kept)
        let divisor = reserveIn &* 10_000 &+ paid
        if divisor == 0 { return .zero }
        let product = paid.multipliedFullWidth(by: reserveOut)
        // The quotient is at most reserveOut, so the upper half is below the divisor unless both are zero.
        guard product.high < divisor else { return .zero }
        return U256(wide: divisor.dividingFullWidth((product.high, product.low)).quotient)
    }

    @inline(__always)
    static func reserves(_ word: U256) -> (UInt128, UInt128, UInt32) {
        (
            word.low128 & reserveMask,
            (UInt128(word.w1) >> 48 | UInt128(word.w2) << 16 | UInt128(word.w3) << 80) & reserveMask,
            UInt32(truncatingIfNeeded: word.w3 >> 32)
        )
    }

    @inline(__always)
    static func word(_ reserve0: UInt128, _ reserve1: UInt128, _ timestamp: UInt32) -> U256 {
        let (zero, one) = (reserve0 & reserveMask, reserve1 & reserveMask)
        let low = zero | one << 112
        let high = one >> 16 | UInt128(timestamp) << 96
        return U256(
            UInt64(truncatingIfNeeded: low), UInt64(truncatingIfNeeded: low >> 64),
            UInt64(truncatingIfNeeded: high), UInt64(truncatingIfNeeded: high >> 64))
    }

    /// `price` after `seconds` at `numerator` / `denominator`.
    static func accumulated(
        _ price: U256, _ numerator: UInt128, over denominator: UInt128, seconds: UInt32
    ) -> U256 {
        let ratio = (U256(wide: numerator) << 112).quotientAndRemainder(dividingBy: U256(wide: denominator))
        return price &+ ratio.quotient &* U256(UInt64(seconds))
    }
}

extension OperationRunner {
    /// `feeds`: what is bought goes to another pool, which takes it when its own swap runs; else to the payee.
    func runSwap(
        _ action: Action, pool at: Int, amountIn: U256, feeds: Bool, _ literals: UnsafeBufferPointer<Address>,
        base: State
    ) -> (amountOut: U256, traits: ActionTraits) {
        let pool = entries(ofPool: at)
        let zeroForOne = action.zeroForOne
        let (factIn, factOut) =
            zeroForOne ? (pool.fact.token0, pool.fact.token1) : (pool.fact.token1, pool.fact.token0)
        let (balanceIn, balanceOut) =
            zeroForOne ? (pool.balance0, pool.balance1) : (pool.balance1, pool.balance0)
        guard let tokenIn = facts.token(factIn), let tokenOut = facts.token(factOut) else {
            return (.zero, ActionTraits())
        }
        let (reserve0, reserve1, before) = SwapRule.reserves(overlay.slots.base[pool.reserves].value)
        let amountOut =
            action.isByFormula
            ? SwapRule.amountOut(
                amountIn, reserveIn: zeroForOne ? reserve0 : reserve1,
                reserveOut: zeroForOne ? reserve1 : reserve0, kept: pool.fact.kept)
            : action.amountOut

        var branches = Branch.kind(
            .swap, code: code(of: tokenIn.contract, base: base),
            code2: code(of: tokenOut.contract, base: base))
        if zeroForOne { branches |= Branch.zeroForOne }
        if action.isChained {
            // Paid by the pool before, and seen only now: swaps with lower turns do not.
            branches |= Branch.isChained
            add(amountIn, to: balanceIn)
        } else {
            branches |= pay(amountIn, tokenIn, fact: factIn, action.payer, literals, base: base)
            branches |= reduceAllowance(action, tokenIn, amountIn, literals, base: base)
            add(amountIn, to: balanceIn)
        }
        add(.zero &- amountOut, to: balanceOut)
        var nonzeroBytes = 0
        if !feeds {
            let payee =
                lookedUp(SlotRole.payee)
                ?? balance(tokenOut, fact: factOut, action.payee, literals, base: base)
            if overlay.slots.base[payee].value.isZero { branches |= Branch.payeeIsNew }
            add(amountOut, to: payee)
            // The caller names the least it wants: half a percent less than promised is what most front ends ask for.
            nonzeroBytes +=
                SwapRule.tolerated(amountOut).nonzeroBytes
                + address(of: action.payee, literals, base: base).nonzeroBytes
        }
        if store(pool, reserve0, reserve1, before) { branches |= Branch.pricesMove }
        // Tokens on the path: the first hop names both, later ones the one they end in.
        if !action.isChained {
            nonzeroBytes += amountIn.nonzeroBytes + addressBytes(tokenIn.contract, base: base)
        }
        nonzeroBytes += addressBytes(tokenOut.contract, base: base)
        return (amountOut, ActionTraits(branches: branches, nonzeroBytes: nonzeroBytes))
    }

    private func addressBytes(_ contract: UInt32, base: State) -> Int {
        address(of: contract, base: base)?.nonzeroBytes ?? 0
    }

    @inline(__always)
    private func add(_ amount: U256, to entry: Int) {
        overlay.slots.base[entry].value = overlay.slots.base[entry].value &+ amount
    }

    /// Reserves become the pool's balances; with the block time the price sums move. True when they did.
    @inline(__always)
    private func store(_ pool: PoolEntries, _ reserve0: UInt128, _ reserve1: UInt128, _ before: UInt32)
        -> Bool
    {
        let slots = overlay.slots.base
        let elapsed = timestamp &- before
        let movesPrices = elapsed != 0 && reserve0 != 0 && reserve1 != 0
        if movesPrices {
            let (price0, price1) = pool.prices
            slots[price0].value = SwapRule.accumulated(
                slots[price0].value, reserve1, over: reserve0, seconds: elapsed)
            slots[price1].value = SwapRule.accumulated(
                slots[price1].value, reserve0, over: reserve1, seconds: elapsed)
        }
        slots[pool.reserves].value = SwapRule.word(
            slots[pool.balance0].value.low128, slots[pool.balance1].value.low128, timestamp)
        return movesPrices
    }
}

extension SwapRule {
    @inline(__always)
    static func tolerated(_ amount: U256) -> U256 {
        guard let amount = amount.asUInt128, amount <= reserveMask else { return .zero }
        return U256(wide: amount &* 995 / 1_000)
    }
}

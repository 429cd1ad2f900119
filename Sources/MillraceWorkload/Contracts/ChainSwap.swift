/// Uniswap V2 through Router02: `swapExactTokensForTokens`. Spec 75.2.3.
///
/// The router takes the tokens from the user's allowance into the first pair; each pair pays the next, the last pays the
/// user. Each pair writes its packed reserves, and its two price accumulators if the block time has moved.

import MillraceBase
import MillraceDiff

extension Chain {
    /// A swap through one pool. False when it would not succeed: no allowance, no tokens, nothing bought.
    public func swap(
        _ pool: Int, sellingToken: Bool, by user: Int, amountIn: UInt128, gasPrice: UInt64,
        into sink: some WriteSink
    ) -> Bool {
        let old = pools[pool]
        let zeroForOne = sellingToken == old.tokenIsZero
        let (tokenIn, tokenOut) = sellingToken ? (old.token, 0) : (0, old.token)
        guard let from = holdings.find(user: UInt32(user), token: UInt32(tokenIn)),
            let amountOut = old.pair.amountOut(for: amountIn, zeroForOne: zeroForOne)
        else { return false }
        let payer = holdings[from]
        guard amountIn > 0, amountIn <= payer.balance, amountIn <= payer.allowance else { return false }
        let to = holding(user, tokenOut)
        let received = holdings[to].balance
        guard received <= UInt128.max - amountOut else { return false }

        let gas = swapGas(
            pool, sellingToken: sellingToken, by: user, amountIn: amountIn, amountOut: amountOut,
            payer: payer,
            payeeIsNew: received == 0)
        let fee = UInt128(gas) * UInt128(gasPrice)
        guard fee <= users[user].balance else { return false }

        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        take(amountIn, from: from, into: sink)
        trade(pool, sellingToken: sellingToken, amountIn: amountIn, amountOut: amountOut, into: sink)
        holdings[to].balance += amountOut
        writeBalance(holdings[to], into: sink)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    func swapGas(
        _ pool: Int, sellingToken: Bool, by user: Int, amountIn: UInt128, amountOut: UInt128, payer: Holding,
        payeeIsNew: Bool
    ) -> UInt64 {
        let pool = pools[pool]
        let token = tokens[pool.token]
        // The user asks for 99.5 % of what the pool promises.
        var gas = Gas.transaction + Gas.word(token.address) + Gas.word(tokens[0].address)
        gas += Gas.swapCalldata(
            amountIn: amountIn, amountOutMin: Chain.tolerated(amountOut), to: users[user].address)
        gas += sellingToken ? token.kind.swapToWETHGas : token.kind.swapFromWETHGas
        gas += sellingToken == pool.tokenIsZero ? 0 : Gas.tokenInIsSecond
        gas += payeeIsNew ? Gas.newSlot : 0
        gas += timestamp != pool.pair.timestamp ? Gas.accumulators : 0
        gas -= amountIn == payer.balance ? Gas.clearedSlot : 0
        gas -= amountIn == payer.allowance ? Gas.clearedSlot : 0
        return gas
    }

    /// A swap of one token for another by way of WETH: two pools, one transaction. The gas is put together from the
    /// single swaps' figures and is not checked against an EVM.
    public func swapTwice(
        from first: Int, to second: Int, by user: Int, amountIn: UInt128, gasPrice: UInt64,
        into sink: some WriteSink
    ) -> Bool {
        guard first != second else { return false }
        let (sold, bought) = (pools[first], pools[second])
        guard let from = holdings.find(user: UInt32(user), token: UInt32(sold.token)),
            let middle = sold.pair.amountOut(for: amountIn, zeroForOne: sold.tokenIsZero),
            let amountOut = bought.pair.amountOut(for: middle, zeroForOne: !bought.tokenIsZero)
        else { return false }
        let payer = holdings[from]
        guard amountIn > 0, amountIn <= payer.balance, amountIn <= payer.allowance else { return false }
        let to = holding(user, bought.token)
        let received = holdings[to].balance
        guard received <= UInt128.max - amountOut else { return false }

        var gas = Gas.transaction + Gas.word(tokens[0].address)
        gas += Gas.word(tokens[sold.token].address) + Gas.word(tokens[bought.token].address)
        gas += Gas.swapCalldata(
            amountIn: amountIn, amountOutMin: Chain.tolerated(amountOut), to: users[user].address)
        gas += tokens[sold.token].kind.swapToWETHGas + tokens[bought.token].kind.swapFromWETHGas
        gas += received == 0 ? Gas.newSlot : 0
        gas += timestamp != sold.pair.timestamp ? Gas.accumulators : 0
        gas += timestamp != bought.pair.timestamp ? Gas.accumulators : 0
        gas -= amountIn == payer.balance ? Gas.clearedSlot : 0
        gas -= amountIn == payer.allowance ? Gas.clearedSlot : 0
        let fee = UInt128(gas) * UInt128(gasPrice)
        guard fee <= users[user].balance else { return false }

        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        take(amountIn, from: from, into: sink)
        trade(first, sellingToken: true, amountIn: amountIn, amountOut: middle, into: sink)
        trade(second, sellingToken: false, amountIn: middle, amountOut: amountOut, into: sink)
        holdings[to].balance += amountOut
        writeBalance(holdings[to], into: sink)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    static func tolerated(_ amountOut: UInt128) -> UInt128 { amountOut * 995 / 1_000 }

    /// `transferFrom`: less for the payer, less for the router to take. Allowances are finite, so they are written.
    private func take(_ amount: UInt128, from index: Int, into sink: some WriteSink) {
        holdings[index].balance -= amount
        holdings[index].allowance -= amount
        writeBalance(holdings[index], into: sink)
        writeAllowance(holdings[index], into: sink)
    }

    /// The pair's side: its balances of both tokens, equal to its reserves, the packed reserves, the accumulators.
    private func trade(
        _ pool: Int, sellingToken: Bool, amountIn: UInt128, amountOut: UInt128, into sink: some WriteSink
    ) {
        let zeroForOne = sellingToken == pools[pool].tokenIsZero
        let accumulated = pools[pool].pair.swap(
            amountIn: amountIn, amountOut: amountOut, zeroForOne: zeroForOne, now: timestamp)
        let changed = pools[pool]
        let (tokenReserve, wethReserve) =
            changed.tokenIsZero
            ? (changed.pair.reserve0, changed.pair.reserve1) : (changed.pair.reserve1, changed.pair.reserve0)
        writeBalance(
            tokens[changed.token], owner: changed.address, slot: changed.tokenBalanceSlot, tokenReserve,
            into: sink)
        writeBalance(
            tokens[0], owner: changed.address, slot: changed.wethBalanceSlot, wethReserve, into: sink)
        sink.setSlot(
            changed.address, UniswapPair.reservesSlot, to: changed.pair.reservesWord, preimage: .none)
        if accumulated {
            sink.setSlot(changed.address, UniswapPair.price0Slot, to: changed.pair.price0, preimage: .none)
            sink.setSlot(changed.address, UniswapPair.price1Slot, to: changed.pair.price1, preimage: .none)
        }
    }
}

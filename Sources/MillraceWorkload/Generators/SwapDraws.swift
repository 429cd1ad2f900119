/// Swaps as `swap` and `mixed` draw them. Spec 75.4.4.

import MillraceBase
import MillraceDiff

extension GeneratedWorkload {
    /// One attempt: half buy a token with WETH, half sell one. At most 2 % of the pool; what the user lacks or has not allowed
    /// cuts the amount, which then empties the balance or the allowance.
    func trySwap(into builder: DiffBuilder) -> Bool {
        let user = drawUser()
        let gasPrice = drawGasPrice()
        let sells = random.next() & 1 == 0
        // Three in twenty buyers turn to a token they may not hold yet.
        let token =
            sells || random.chance(perMille: 850)
            ? market.drawHeldToken(of: user, &random) : market.drawToken(&random)
        let pool = token - 1
        let (tokenReserve, wethReserve) = reserves(pool)
        let reserveIn = sells ? tokenReserve : wethReserve
        let value = min(market.swapValue.sample(&random), wethReserve / 50)
        let amount = sells ? Market.convert(value, from: wethReserve, to: tokenReserve) : value
        guard let amountIn = limit(amount, reserveIn, user: user, token: sells ? token : 0) else {
            return false
        }
        return chain.swap(
            pool, sellingToken: sells, by: user, amountIn: amountIn, gasPrice: gasPrice, into: builder)
    }

    /// A token for another, by way of WETH.
    func trySwapTwice(into builder: DiffBuilder) -> Bool {
        let user = drawUser()
        let gasPrice = drawGasPrice()
        let token = market.drawHeldToken(of: user, &random)
        let other = market.drawToken(&random)
        let (tokenReserve, wethReserve) = reserves(token - 1)
        let value = min(market.swapValue.sample(&random), wethReserve / 50, reserves(other - 1).weth / 50)
        let amount = Market.convert(value, from: wethReserve, to: tokenReserve)
        guard let amountIn = limit(amount, tokenReserve, user: user, token: token) else { return false }
        return chain.swapTwice(
            from: token - 1, to: other - 1, by: user, amountIn: amountIn, gasPrice: gasPrice, into: builder)
    }

    private func reserves(_ pool: Int) -> (token: UInt128, weth: UInt128) {
        let pair = chain.pools[pool].pair
        return chain.pools[pool].tokenIsZero ? (pair.reserve0, pair.reserve1) : (pair.reserve1, pair.reserve0)
    }

    /// What of `amount` the user can sell; one in 250 sells all there is. Nil when there is nothing.
    private func limit(_ amount: UInt128, _ reserveIn: UInt128, user: Int, token: Int) -> UInt128? {
        guard let index = chain.holdings.find(user: UInt32(user), token: UInt32(token)) else { return nil }
        let sellable = min(chain.holdings[index].balance, chain.holdings[index].allowance)
        var wanted = min(amount, reserveIn / 50)
        if random.below(250) == 0, sellable <= reserveIn / 50 { wanted = sellable }
        let limited = min(wanted, sellable)
        return limited > 0 ? limited : nil
    }
}

/// ERC-20 transfers as `erc20`, `mixed` and `idle` draw them. Spec 75.4.5.

import MillraceBase
import MillraceDiff

extension GeneratedWorkload {
    /// One attempt. One in twenty goes to an address never seen before; of the others most go to someone who holds the
    /// token; one in 200 pays out everything.
    func tryTransfer(into builder: DiffBuilder) -> Bool {
        let payer = drawUser()
        let gasPrice = drawGasPrice()
        let token = market.drawHeldToken(of: payer, &random)
        guard let held = chain.balance(user: payer, token: token), held > 0 else { return false }
        let thousandths = min(market.transferThousandths.sample(&random), 1 << 60)
        let unit = UInt128(chain.tokens[token].kind.unit)
        // The last three digits are random too.
        var amount = thousandths * (unit / 1_000) + random.below(wide: unit / 1_000)
        if random.below(200) == 0 { amount = held }
        if amount > held { amount = 1 + random.below(wide: held) }
        return chain.transfer(
            token, from: payer, to: drawPayee(of: token), amount: amount, gasPrice: gasPrice, into: builder)
    }

    /// Users by Zipf's law; seventeen in twenty of those who lack the token are replaced by one of its holders.
    private func drawPayee(of token: Int) -> Chain.Payee {
        if random.chance(perMille: 50) { return .fresh(drawFreshAddress()) }
        let drawn = drawUser()
        if market.holdsAll(drawn) || random.chance(perMille: 150) || holders[token].isEmpty {
            return .user(drawn)
        }
        if chain.balance(user: drawn, token: token) != nil { return .user(drawn) }
        return .user(Int(holders[token][Int(random.below(UInt64(holders[token].count)))]))
    }

    /// Ether, to a user or (one in ten) a fresh address.
    func trySend(into builder: DiffBuilder) -> Bool {
        let payer = drawUser()
        let gasPrice = drawGasPrice()
        let payee = random.chance(perMille: 100) ? Chain.Payee.fresh(drawFreshAddress()) : .user(drawUser())
        let value = min(market.swapValue.sample(&random), chain.users[payer].balance / 2)
        return chain.send(from: payer, to: payee, value: value, gasPrice: gasPrice, into: builder)
    }
}

/// ERC-20 `transfer`, and ether sent to an address. Spec 75.2.2.

import MillraceBase
import MillraceCrypto

extension Chain {
    /// `transfer(to, amount)` of a token the payer holds. False when the payer lacks tokens or ether, or pays itself.
    public func transfer(
        _ token: Int, from payer: Int, to payee: Payee, amount: UInt128, gasPrice: UInt64,
        into sink: some WriteSink
    ) -> Bool {
        guard let from = holdings.find(user: UInt32(payer), token: UInt32(token)) else { return false }
        let (held, kind) = (holdings[from].balance, tokens[token].kind)
        guard amount > 0, amount <= held else { return false }

        let to: Address
        var payeeHolding: Int?
        var received: UInt128 = 0
        switch payee {
        case .user(let user):
            if user == payer { return false }
            to = users[user].address
            let known = holding(user, token)
            received = holdings[known].balance
            payeeHolding = known
        case .fresh(let address):
            to = address
        }
        guard received <= UInt128.max - amount else { return false }
        let gas = Gas.transfer(
            kind, to: to, amount: amount, payerEmptied: amount == held, payeeIsNew: received == 0)
        let fee = UInt128(gas) * UInt128(gasPrice)
        guard fee <= users[payer].balance else { return false }

        sink.beginTransaction()
        writeSender(payer, fee: fee, into: sink)
        holdings[from].balance -= amount
        writeBalance(holdings[from], into: sink)
        if let payeeHolding {
            holdings[payeeHolding].balance += amount
            writeBalance(holdings[payeeHolding], into: sink)
        } else {
            writeBalance(
                tokens[token], owner: to, slot: Keccak256.mappingSlot(key: to.word, base: kind.balanceBase),
                amount,
                into: sink)
        }
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    /// Ether from one account to another. False when the payer lacks it or pays itself.
    public func send(
        from payer: Int, to payee: Payee, value: UInt128, gasPrice: UInt64, into sink: some WriteSink
    ) -> Bool {
        let fee = UInt128(Gas.transaction) * UInt128(gasPrice)
        let balance = users[payer].balance
        guard fee <= balance, value > 0, value <= balance - fee else { return false }
        if case .user(payer) = payee { return false }
        sink.beginTransaction()
        writeSender(payer, fee: fee, value: value, into: sink)
        switch payee {
        case .user(let user): credit(user, value, into: sink)
        case .fresh(let address): sink.setAccount(address, balance: U256(wide: value), nonce: 0)
        }
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }
}

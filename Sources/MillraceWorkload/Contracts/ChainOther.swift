/// The odds and ends of a busy chain, for `mixed` and `idle`: mints, wrapping ether, price feeds, deployments and
/// destructions. Storage layouts are those common in Solidity; gas is plausible, not checked against an EVM.

import MillraceBase
import MillraceCrypto
import MillraceDiff

/// An ERC-721 collection: owners at base 2, balances at base 3, the number of tokens in slot 8.
struct ItemCollection {
    let address: Address
    var minted: UInt64 = 0
    /// Looked up only.
    var held: [Int: UInt64] = [:]
}

/// A price feed: the newest round packed into slot 0, a ring of observations from slot 65,536.
struct PriceFeed {
    static let observations: UInt64 = 1_024
    let address: Address
    var round: UInt64 = 0
    var answer: UInt64
}

extension Chain {
    /// Whether the user can pay for that much gas, and what it comes to.
    private func fee(_ gas: UInt64, _ gasPrice: UInt64, value: UInt128 = 0, of user: Int) -> UInt128? {
        let fee = UInt128(gas) * UInt128(gasPrice)
        let balance = users[user].balance
        return fee <= balance && value <= balance - fee ? fee : nil
    }

    /// `deposit()` of WETH: ether in, as much WETH out. `wethEther` is the contract's own ether.
    func wrap(
        _ value: UInt128, by user: Int, wethEther: inout U256, gasPrice: UInt64, into sink: some WriteSink
    ) -> Bool {
        let to = holding(user, 0)
        let isNew = holdings[to].balance == 0
        guard value > 0, holdings[to].balance <= UInt128.max - value,
            let fee = fee(27_938 + (isNew ? Gas.newSlot : 0), gasPrice, value: value, of: user)
        else { return false }
        sink.beginTransaction()
        writeSender(user, fee: fee, value: value, into: sink)
        wethEther = wethEther &+ U256(wide: value)
        sink.setAccount(tokens[0].address, balance: wethEther, nonce: 1)
        holdings[to].balance += value
        writeBalance(holdings[to], into: sink)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    /// `mint(to, amount)`: the supply in slot 1, as DAI has it, and the receiver's balance.
    func mint(
        _ token: Int, amount: UInt128, to user: Int, supply: inout U256, gasPrice: UInt64,
        into sink: some WriteSink
    ) -> Bool {
        let to = holding(user, token)
        let isNew = holdings[to].balance == 0
        guard holdings[to].balance <= UInt128.max - amount,
            let fee = fee(36_000 + (isNew ? Gas.newSlot : 0), gasPrice, of: user)
        else { return false }
        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        supply = supply &+ U256(wide: amount)
        sink.setSlot(tokens[token].address, 1, to: supply, preimage: .none)
        holdings[to].balance += amount
        writeBalance(holdings[to], into: sink)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    /// A new item of a collection: its owner, the owner's count, the total.
    func mint(of collection: inout ItemCollection, to user: Int, gasPrice: UInt64, into sink: some WriteSink)
        -> Bool
    {
        guard let fee = fee(92_000, gasPrice, of: user) else { return false }
        let owner = users[user].address.word
        let number = U256(collection.minted)
        collection.minted += 1
        let held = collection.held[user, default: 0] + 1
        collection.held[user] = held
        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        sink.setSlot(
            collection.address, Keccak256.mappingSlot(key: number, base: 2), to: owner,
            preimage: .mapping(base: 2, key: number))
        sink.setSlot(
            collection.address, Keccak256.mappingSlot(key: owner, base: 3), to: U256(held),
            preimage: .mapping(base: 3, key: owner))
        sink.setSlot(collection.address, 8, to: U256(collection.minted), preimage: .none)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    /// A price feed's next round: bits 0…127 the answer, 128…191 the time, 192…255 the round.
    func report(
        to feed: inout PriceFeed, answer: UInt64, by user: Int, gasPrice: UInt64, into sink: some WriteSink
    ) -> Bool {
        guard let fee = fee(51_000, gasPrice, of: user) else { return false }
        feed.round += 1
        feed.answer = answer
        let word = U256(answer, 0, UInt64(timestamp), feed.round)
        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        sink.setSlot(feed.address, 0, to: word, preimage: .none)
        sink.setSlot(
            feed.address, U256(65_536 + feed.round % PriceFeed.observations), to: word, preimage: .none)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }

    /// Deploys code that keeps its maker in slot 0 and a word in slot 1. The new contract's address, or nil.
    func deploy(
        _ code: [UInt8], word: U256, by user: Int, gasPrice: UInt64, into sink: some WriteSink
    ) -> Address? {
        guard let fee = fee(120_000 + 200 * UInt64(code.count), gasPrice, of: user) else { return nil }
        let maker = users[user]
        let address = ContractAddress.created(by: maker.address, nonce: maker.nonce)
        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        sink.setAccount(address, balance: .zero, nonce: 1)
        sink.setCode(address, to: code)
        sink.setSlot(address, 0, to: maker.address.word, preimage: .none)
        sink.setSlot(address, 1, to: word, preimage: .none)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return address
    }

    /// A contract that destroys itself: account, code and storage are gone.
    func destroy(_ contract: Address, by user: Int, gasPrice: UInt64, into sink: some WriteSink) -> Bool {
        guard let fee = fee(34_000, gasPrice, of: user) else { return false }
        sink.beginTransaction()
        writeSender(user, fee: fee, into: sink)
        sink.destroy(contract)
        writeCoinbase(fee: fee, into: sink)
        sink.endTransaction()
        return true
    }
}

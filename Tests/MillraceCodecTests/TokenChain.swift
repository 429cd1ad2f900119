/// A small chain for tests of operations: users, tokens with supplies and allowances, pools with price sums. Transactions
/// write what the contracts would, key by key, so that a rule of the codec is right or wrong about them.

import MillraceBase
import MillraceCrypto
import MillraceDiff

@testable import MillraceCodec

final class TokenChain {
    static let alice = Address(high: 0xA1, middle: 0, low: 0)
    static let bob = Address(high: 0xB0, middle: 0, low: 0)
    static let carol = Address(high: 0xCA, middle: 0, low: 0)
    static let coinbase = Address(high: 0xC0, middle: 0, low: 0)
    static let router = Address(high: 0xF0, middle: 0, low: 9)
    static let tokenA = Address(high: 0x10, middle: 0, low: 1)
    static let tokenB = Address(high: 0x11, middle: 0, low: 2)
    static let tokenC = Address(high: 0x12, middle: 0, low: 3)
    static let pool = Address(high: 0x20, middle: 0, low: 4)
    static let pool2 = Address(high: 0x21, middle: 0, low: 5)
    static let newcomer = Address(high: 0xEE, middle: 1, low: 1)
    /// Where tokens keep their supply.
    static let supply: U256 = 2

    let builder: DiffBuilder
    var now: UInt32 = 1_000_000

    init(_ builder: DiffBuilder) { self.builder = builder }

    /// The state that transactions start from.
    func writeStart() {
        builder.setBalance(TokenChain.coinbase, to: 1)
        for user in [TokenChain.alice, TokenChain.bob, TokenChain.carol] {
            builder.setAccount(user, balance: U256(1) << 70, nonce: 5)
        }
        let tokens = [TokenChain.tokenA, TokenChain.tokenB, TokenChain.tokenC]
        for contract in tokens + [TokenChain.pool, TokenChain.pool2, TokenChain.router] {
            builder.setAccount(contract, balance: .zero, nonce: 1)
            builder.setCode(contract, to: [0xFE, UInt8(truncatingIfNeeded: contract.low)])
        }
        for token in tokens {
            for user in [TokenChain.alice, TokenChain.bob] { change(token, user, by: 1_000_000_000) }
            allow(token, TokenChain.alice, change: 500_000_000)
            changeSlot(token, TokenChain.supply, by: 10_000_000_000)
        }
        addPool(TokenChain.pool, TokenChain.tokenA, 5_000_000, TokenChain.tokenB, 7_000_000)
        addPool(TokenChain.pool2, TokenChain.tokenB, 9_000_000, TokenChain.tokenC, 2_000_000)
    }

    // MARK: Transactions

    /// Nonce, fee to the coinbase less what is burnt, and whatever `body` writes.
    func transact(
        _ sender: Address, gas: UInt64 = 50_000, price: UInt64 = 2_000_000, burnt: UInt64 = 0,
        _ body: () -> Void = {}
    ) {
        builder.beginTransaction()
        let fee = U256(gas) &* U256(price)
        builder.setAccount(
            sender, balance: builder.balance(of: sender) &- fee, nonce: builder.nonce(of: sender) + 1)
        body()
        let coinbase = TokenChain.coinbase
        builder.setBalance(
            coinbase, to: builder.balance(of: coinbase) &+ fee &- U256(gas) &* U256(burnt))
        builder.endTransaction()
    }

    func payEther(_ payer: Address, _ payee: Address, _ amount: U256) {
        builder.setBalance(payer, to: builder.balance(of: payer) &- amount)
        builder.setBalance(payee, to: builder.balance(of: payee) &+ amount)
    }

    // MARK: Tokens: amounts at base 3, allowances at base 4

    static func slot(of holder: Address, base: U256 = 3) -> U256 {
        Keccak256.mappingSlot(key: holder.word, base: base)
    }

    func holding(_ token: Address, _ holder: Address) -> U256 {
        builder.slotValue(token, TokenChain.slot(of: holder))
    }

    func change(_ token: Address, _ holder: Address, by amount: U256, base: U256 = 3) {
        let slot = TokenChain.slot(of: holder, base: base)
        builder.setSlot(
            token, slot, to: builder.slotValue(token, slot) &+ amount,
            preimage: .mapping(base: base, key: holder.word))
    }

    func pay(_ token: Address, _ payer: Address, _ payee: Address, _ amount: U256) {
        change(token, payer, by: .zero &- amount)
        change(token, payee, by: amount)
    }

    func allow(_ token: Address, _ owner: Address, change: U256) {
        let (outer, inner) = (owner.word, TokenChain.router.word)
        let slot = Keccak256.nestedSlot(base: 4, outer: outer, inner: inner)
        builder.setSlot(
            token, slot, to: builder.slotValue(token, slot) &+ change,
            preimage: .nested(base: 4, outer: outer, inner: inner))
    }

    func changeSlot(_ contract: Address, _ slot: U256, by amount: U256) {
        builder.setSlot(contract, slot, to: builder.slotValue(contract, slot) &+ amount)
    }

    // MARK: Pools

    private func addPool(
        _ pool: Address, _ token0: Address, _ reserve0: UInt64, _ token1: Address, _ reserve1: UInt64
    ) {
        change(token0, pool, by: U256(reserve0))
        change(token1, pool, by: U256(reserve1))
        builder.setSlot(pool, 8, to: SwapRule.word(UInt128(reserve0), UInt128(reserve1), now))
        builder.setSlot(pool, 9, to: 1)
        builder.setSlot(pool, 10, to: 1)
    }

    /// Pays the pool and takes what it gives; answers how much that was. `payee` nil: the caller pays it out.
    func swap(
        _ pool: Address, _ token0: Address, _ token1: Address, zeroForOne: Bool, amount: U256, payer: Address,
        payee: Address
    ) -> U256 {
        let (reserve0, reserve1, before) = SwapRule.reserves(builder.slotValue(pool, 8))
        let out = SwapRule.amountOut(
            amount, reserveIn: zeroForOne ? reserve0 : reserve1, reserveOut: zeroForOne ? reserve1 : reserve0,
            kept: 9_970)
        // A pool before has paid already.
        if payer != TokenChain.pool { pay(zeroForOne ? token0 : token1, payer, pool, amount) }
        pay(zeroForOne ? token1 : token0, pool, payee, out)
        if now != before {
            let seconds = now &- before
            let (price0, price1) = (builder.slotValue(pool, 9), builder.slotValue(pool, 10))
            builder.setSlot(
                pool, 9, to: SwapRule.accumulated(price0, reserve1, over: reserve0, seconds: seconds))
            builder.setSlot(
                pool, 10, to: SwapRule.accumulated(price1, reserve0, over: reserve1, seconds: seconds))
        }
        builder.setSlot(
            pool, 8, to: SwapRule.word(holding(token0, pool).low128, holding(token1, pool).low128, now))
        return out
    }

    /// One swap at the first pool, through the router.
    func swapOnce(_ sender: Address, zeroForOne: Bool, amount: U256) {
        transact(sender, gas: 90_000) {
            _ = swap(
                TokenChain.pool, TokenChain.tokenA, TokenChain.tokenB, zeroForOne: zeroForOne, amount: amount,
                payer: sender, payee: sender)
            if sender == TokenChain.alice {
                allow(zeroForOne ? TokenChain.tokenA : TokenChain.tokenB, sender, change: .zero &- amount)
            }
        }
    }

    /// Token A for token C over both pools.
    func swapTwice(_ sender: Address, amount: U256) {
        transact(sender, gas: 150_000) {
            let middle = swap(
                TokenChain.pool, TokenChain.tokenA, TokenChain.tokenB, zeroForOne: true, amount: amount,
                payer: sender, payee: TokenChain.pool2)
            _ = swap(
                TokenChain.pool2, TokenChain.tokenB, TokenChain.tokenC, zeroForOne: true, amount: middle,
                payer: TokenChain.pool, payee: sender)
        }
    }

    func changeSupply(_ sender: Address, _ token: Address, by amount: U256) {
        transact(sender, gas: 60_000) {
            change(token, sender, by: amount)
            changeSlot(token, TokenChain.supply, by: amount)
        }
    }
}

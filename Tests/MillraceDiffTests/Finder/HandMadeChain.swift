/// A small chain for tests of the finder: accounts, tokens and pools set up by hand, transactions written key by key.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import Testing

final class HandMadeChain {
    static let price: UInt64 = 2_000_000
    let state = State(seed: Seed(1))
    let builder: DiffBuilder
    let coinbase = Address(high: 0xC0, middle: 0, low: 0)
    var now: UInt32 = 1_000_000
    private var height: UInt64 = 0

    /// The coinbase, users and contracts are known before the stream.
    init(users: [Address], contracts: [Address]) throws {
        builder = DiffBuilder(state: state, findsOperations: true)
        builder.setBalance(coinbase, to: 1)
        for user in users { builder.setAccount(user, balance: U256(1) << 70, nonce: 5) }
        for contract in contracts {
            builder.setAccount(contract, balance: .zero, nonce: 1)
            builder.setCode(contract, to: [0xFE, UInt8(truncatingIfNeeded: contract.low)])
        }
    }

    func sealGenesis() throws {
        var diff = StateDiff()
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
    }

    struct Outcome {
        let diff: StateDiff
        let comparison: NaiveExecution.Comparison
        var transactions: [Transaction] { diff.operations.transactions }
        var actions: [Action] { diff.operations.actions }
        var section: Section { diff.operations.sections[0] }
    }

    /// Seals, executes the operations on the state before, applies.
    func seal() throws -> Outcome {
        height += 1
        var diff = StateDiff()
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 7, into: &diff
        )
        let comparison = NaiveExecution(diff, on: state).compared(with: diff)
        try state.apply(diff)
        return Outcome(diff: diff, comparison: comparison)
    }

    // MARK: Transactions

    /// One transaction: nonce, fee to the coinbase, and whatever `body` writes.
    func transact(
        _ sender: Address, gas: UInt64 = 50_000, price: UInt64 = HandMadeChain.price, burnt: UInt64 = 0,
        _ body: () -> Void = {}
    ) {
        builder.beginTransaction()
        let fee = U256(gas) &* U256(price)
        builder.setAccount(
            sender, balance: builder.balance(of: sender) &- fee, nonce: builder.nonce(of: sender) + 1)
        body()
        builder.setBalance(
            coinbase, to: builder.balance(of: coinbase) &+ fee &- U256(gas) &* U256(burnt))
        builder.endTransaction()
    }

    func payEther(_ payer: Address, _ payee: Address, _ amount: U256) {
        builder.setBalance(payer, to: builder.balance(of: payer) &- amount)
        builder.setBalance(payee, to: builder.balance(of: payee) &+ amount)
    }

    // MARK: Tokens, balances at base 3, allowances at base 4

    func holding(_ token: Address, _ holder: Address) -> U256 {
        builder.slotValue(token, Keccak256.mappingSlot(key: holder.word, base: 3))
    }

    func change(_ token: Address, _ holder: Address, by amount: U256) {
        builder.setSlot(
            token, Keccak256.mappingSlot(key: holder.word, base: 3), to: holding(token, holder) &+ amount,
            preimage: .mapping(base: 3, key: holder.word))
    }

    func pay(_ token: Address, _ payer: Address, _ payee: Address, _ amount: U256) {
        change(token, payer, by: U256.zero &- amount)
        change(token, payee, by: amount)
    }

    func allow(_ token: Address, _ owner: Address, _ spender: Address, change: U256) {
        let slot = Keccak256.nestedSlot(base: 4, outer: owner.word, inner: spender.word)
        builder.setSlot(
            token, slot, to: builder.slotValue(token, slot) &+ change,
            preimage: .nested(base: 4, outer: owner.word, inner: spender.word))
    }

    func changeSlot(_ contract: Address, _ slot: U256, by amount: U256) {
        builder.setSlot(contract, slot, to: builder.slotValue(contract, slot) &+ amount)
    }

    // MARK: Pools

    func addPool(
        _ pool: Address, _ token0: Address, _ reserve0: UInt64, _ token1: Address, _ reserve1: UInt64
    ) {
        change(token0, pool, by: U256(reserve0))
        change(token1, pool, by: U256(reserve1))
        writeReserves(pool, UInt128(reserve0), UInt128(reserve1))
    }

    private func writeReserves(_ pool: Address, _ reserve0: UInt128, _ reserve1: UInt128) {
        var reserves = PoolReserves(word: .zero)
        (reserves.reserve0, reserves.reserve1, reserves.timestamp) = (reserve0, reserve1, now)
        builder.setSlot(pool, PoolReserves.slot, to: reserves.word)
    }

    /// What the pool would pay.
    func quote(_ pool: Address, _ amount: UInt64, zeroForOne: Bool, kept: UInt16 = 9_970) -> U256 {
        let reserves = PoolReserves(word: builder.slotValue(pool, PoolReserves.slot))
        let (inward, outward) =
            zeroForOne ? (reserves.reserve0, reserves.reserve1) : (reserves.reserve1, reserves.reserve0)
        return ConstantProduct.amountOut(
            for: U256(amount), reserveIn: inward, reserveOut: outward, kept: kept) ?? 0
    }

    /// Sets the reserves to the balances, as a pool does after a swap.
    func synchronise(_ pool: Address, _ token0: Address, _ token1: Address) {
        writeReserves(pool, holding(token0, pool).low128, holding(token1, pool).low128)
    }
}

/// Each rule of the finder on transactions made by hand.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import Testing

@Suite struct FinderTests {
    let alice = Address(high: 0xA1, middle: 0, low: 0)
    let bob = Address(high: 0xB0, middle: 0, low: 0)
    let carol = Address(high: 0xCA, middle: 0, low: 0)
    let router = Address(high: 0xF0, middle: 0, low: 9)
    let tokenA = Address(high: 0x10, middle: 0, low: 1)
    let tokenB = Address(high: 0x11, middle: 0, low: 2)
    let tokenC = Address(high: 0x12, middle: 0, low: 3)
    let pool = Address(high: 0x20, middle: 0, low: 4)
    let pool2 = Address(high: 0x21, middle: 0, low: 5)
    let newcomer = Address(high: 0xEE, middle: 1, low: 1)
    let chain: HandMadeChain

    init() throws {
        chain = try HandMadeChain(
            users: [alice, bob, carol], contracts: [tokenA, tokenB, tokenC, pool, pool2, router])
        for token in [tokenA, tokenB, tokenC] {
            for user in [alice, bob] { chain.change(token, user, by: 1_000_000_000) }
            chain.allow(token, alice, router, change: 500_000_000)
            chain.changeSlot(token, 2, by: 10_000_000_000)
        }
        chain.addPool(pool, tokenA, 5_000_000, tokenB, 7_000_000)
        chain.addPool(pool2, tokenB, 9_000_000, tokenC, 2_000_000)
        try chain.sealGenesis()
    }

    func party(_ address: Address) -> Party? { chain.state.account(at: address).map { Party($0) } }

    @Test func `plain ether is a sender, 21,000 gas, a price and one action`() throws {
        chain.transact(alice, gas: 21_000, price: 1_234_567) { chain.payEther(alice, bob, 77) }
        // Whoever gains most often is the coinbase.
        chain.transact(bob, gas: 21_000) { chain.payEther(bob, carol, 5) }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.section.coinbase == chain.state.account(at: chain.coinbase))
        #expect(outcome.section.baseFee == 0)
        #expect(outcome.transactions.map(\.gas) == [21_000, 21_000])
        #expect(outcome.transactions.map(\.price) == [1_234_567, HandMadeChain.price])
        #expect(
            outcome.transactions.map(\.sender) == [
                chain.state.account(at: alice), chain.state.account(at: bob),
            ])
        #expect(outcome.actions.map(\.kind) == [.ether, .ether])
        #expect(outcome.actions.map(\.amount) == [77, 5])
        #expect(outcome.diff.newFacts.isEmpty)
    }

    @Test func `what is burnt gives the base fee and the gas`() throws {
        chain.transact(alice, gas: 21_000, price: 30, burnt: 7) { chain.payEther(alice, bob, 77) }
        chain.transact(bob, gas: 123_457, price: 19, burnt: 7)
        let outcome = try chain.seal()
        #expect(outcome.section.baseFee == 7)
        #expect(outcome.transactions.map(\.gas) == [21_000, 123_457])
        #expect(outcome.transactions.map(\.price) == [30, 19])
        #expect(outcome.comparison.isExact)
    }

    @Test func `what some transaction burns beside its gas does not hide the base fee`() throws {
        chain.transact(alice, gas: 21_000, price: 30, burnt: 7) { chain.payEther(alice, bob, 77) }
        chain.transact(bob, gas: 100_000, price: 19, burnt: 7)
        chain.transact(carol, gas: 50_000, price: 19, burnt: 7) {
            chain.builder.setBalance(carol, to: chain.builder.balance(of: carol) &- 1_000_003)
        }
        let outcome = try chain.seal()
        #expect(outcome.section.baseFee == 7)
        #expect(outcome.transactions.map(\.gas).prefix(2) == [21_000, 100_000])
        #expect(outcome.transactions.map(\.price).prefix(2) == [30, 19])
    }

    @Test func `a transfer teaches the token, and a payee without an account is a literal`() throws {
        chain.transact(alice) { chain.pay(tokenA, alice, newcomer, 50) }
        chain.transact(bob) { chain.pay(tokenA, bob, newcomer, 60) }
        chain.transact(alice) { chain.pay(tokenA, alice, bob, 70) }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        let contract = try #require(chain.state.account(at: tokenA))
        #expect(outcome.diff.newFacts == [.token(contract: contract, base: 3, keyFirst: true)])
        #expect(chain.state.facts == outcome.diff.newFacts)
        #expect(
            outcome.actions.allSatisfy { $0.kind == .transfer && $0.fact == FactID(0) && $0.spender == .none }
        )
        // Sorted by sender: both of the first user's, then the other's.
        #expect(outcome.actions.map(\.amount) == [50, 70, 60])
        #expect(outcome.actions.map(\.payee) == [Party(literal: 0), party(bob), Party(literal: 0)])
        #expect(outcome.diff.operations.literals == [newcomer])
        // Known now, not learned again.
        chain.transact(alice) { chain.pay(tokenA, alice, newcomer, 1) }
        let next = try chain.seal()
        #expect(next.diff.newFacts.isEmpty && next.diff.operations.literals == [newcomer])
        #expect(next.comparison.isExact)
    }

    @Test func `an allowance that falls by what its owner pays names the spender`() throws {
        chain.transact(bob) {
            chain.pay(tokenA, alice, carol, 300)
            chain.allow(tokenA, alice, router, change: U256.zero &- 300)
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(
            outcome.diff.newFacts.dropFirst() == [.allowances(token: FactID(0), base: 4), .spender(router)])
        #expect(outcome.actions.count == 1)
        #expect(outcome.actions[0].spender == FactID(2) && outcome.actions[0].payer == party(alice))
        // One that falls by something else is not named.
        chain.transact(bob) {
            chain.pay(tokenA, alice, carol, 300)
            chain.allow(tokenA, alice, router, change: U256.zero &- 299)
        }
        let other = try chain.seal()
        #expect(other.actions[0].spender == .none)
        #expect(other.comparison.missing == 1 && other.comparison.wrong == 0)
    }

    @Test(arguments: [true, false])
    func `a swap is found, either way, and follows from the reserves`(zeroForOne: Bool) throws {
        let (tokenIn, tokenOut) = zeroForOne ? (tokenA, tokenB) : (tokenB, tokenA)
        chain.now += 1
        for amount in [UInt64(10_000), 12_345] {
            let out = chain.quote(pool, amount, zeroForOne: zeroForOne)
            chain.transact(alice) {
                chain.pay(tokenIn, alice, pool, U256(amount))
                chain.allow(tokenIn, alice, router, change: U256.zero &- U256(amount))
                chain.pay(tokenOut, pool, alice, out)
                chain.synchronise(pool, tokenA, tokenB)
            }
        }
        let outcome = try chain.seal()
        #expect(outcome.actions.map(\.kind) == [.swap, .swap])
        #expect(outcome.actions.allSatisfy { $0.isByFormula && $0.zeroForOne == zeroForOne && !$0.isChained })
        #expect(outcome.actions.map(\.turn) == [0, 1])
        #expect(outcome.actions.map(\.amount) == [10_000, 12_345])
        #expect(outcome.actions.allSatisfy { $0.payer == party(alice) && $0.payee == party(alice) })
        #expect(outcome.actions.allSatisfy { $0.spender != .none && $0.amountOut.isZero })
        #expect(outcome.section.timestamp == chain.now)
        // This pool keeps no accumulators: the two that execution moves are all that is wrong.
        #expect(outcome.comparison.right == outcome.comparison.changed && outcome.comparison.invented == 2)
    }

    @Test func `a path over two pools is chained`() throws {
        let middle = chain.quote(pool, 10_000, zeroForOne: true)
        let out = chain.quote(pool2, middle.w0, zeroForOne: true)
        chain.transact(alice) {
            chain.pay(tokenA, alice, pool, 10_000)
            chain.pay(tokenB, pool, pool2, middle)
            chain.pay(tokenC, pool2, carol, out)
            // Written in the other order than they ran.
            chain.synchronise(pool2, tokenB, tokenC)
            chain.synchronise(pool, tokenA, tokenB)
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.actions.map(\.isChained) == [false, true])
        #expect(outcome.actions.map(\.amount) == [10_000, 0])
        #expect(outcome.actions.allSatisfy { $0.isByFormula })
        #expect(outcome.actions.map(\.payer) == [party(alice), party(pool)])
        #expect(outcome.actions.map(\.payee) == [party(pool2), party(carol)])
    }

    @Test func `a pool that keeps another share is learned with it`() throws {
        let out = chain.quote(pool, 100_000, zeroForOne: true, kept: 9_980)
        chain.transact(alice) {
            chain.pay(tokenA, alice, pool, 100_000)
            chain.pay(tokenB, pool, alice, out)
            chain.synchronise(pool, tokenA, tokenB)
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        guard case .pool(_, _, _, let kept)? = outcome.diff.newFacts.last else {
            Issue.record("no pool learned")
            return
        }
        #expect(kept == 9_980)
    }

    @Test func `a taxed token leaves the tax to a transfer`() throws {
        let out = chain.quote(pool, 98_000, zeroForOne: true)
        chain.transact(alice) {
            chain.pay(tokenA, alice, pool, 98_000)
            chain.pay(tokenA, alice, carol, 2_000)
            chain.allow(tokenA, alice, router, change: U256.zero &- 100_000)
            chain.pay(tokenB, pool, alice, out)
            chain.synchronise(pool, tokenA, tokenB)
        }
        let outcome = try chain.seal()
        #expect(outcome.actions.map(\.kind) == [.transfer, .swap])
        #expect(outcome.actions.map(\.amount) == [2_000, 98_000])
        #expect(outcome.actions.allSatisfy { $0.spender != .none })
        #expect(outcome.actions[1].isByFormula)
        #expect(outcome.comparison.isExact)
    }

    @Test func `a swap whose amount does not follow carries it`() throws {
        for (amount, less) in [(UInt64(10_000), UInt64(0)), (20_000, 3)] {
            let out = chain.quote(pool, amount, zeroForOne: true) &- U256(less)
            chain.transact(alice) {
                chain.pay(tokenA, alice, pool, U256(amount))
                chain.pay(tokenB, pool, bob, out)
                chain.synchronise(pool, tokenA, tokenB)
            }
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.actions.map(\.isByFormula) == [true, false])
        #expect(outcome.actions[0].amountOut.isZero && !outcome.actions[1].amountOut.isZero)
    }

    @Test func `swaps around an addition of liquidity carry their amounts`() throws {
        func swapOnce(_ amount: UInt64) {
            let out = chain.quote(pool, amount, zeroForOne: true)
            chain.transact(alice) {
                chain.pay(tokenA, alice, pool, U256(amount))
                chain.pay(tokenB, pool, alice, out)
                chain.synchronise(pool, tokenA, tokenB)
            }
        }
        swapOnce(10_000)
        chain.transact(bob) {
            chain.pay(tokenA, bob, pool, 50_000)
            chain.pay(tokenB, bob, pool, 70_000)
            chain.synchronise(pool, tokenA, tokenB)
        }
        swapOnce(20_000)
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.actions.filter { $0.kind == .swap }.map(\.isByFormula) == [false, false])
        #expect(outcome.actions.filter { $0.kind == .transfer }.map(\.amount) == [50_000, 70_000])
        swapOnce(10_000)
        #expect(try chain.seal().actions.map(\.isByFormula) == [true])
    }

    @Test func `a swap that nobody is seen to pay is paid by transfers to the pool`() throws {
        // Carol's payment loses a tenth on its way into the second pool.
        let middle = chain.quote(pool, 100_000, zeroForOne: true)
        let arrived = U256(middle.w0 * 9 / 10)
        let out = chain.quote(pool2, arrived.w0, zeroForOne: true)
        chain.transact(alice) {
            chain.pay(tokenA, alice, pool, 100_000)
            chain.change(tokenB, pool, by: U256.zero &- middle)
            chain.change(tokenB, pool2, by: arrived)
            chain.change(tokenB, carol, by: middle &- arrived)
            chain.pay(tokenC, pool2, alice, out)
            chain.synchronise(pool, tokenA, tokenB)
            chain.synchronise(pool2, tokenB, tokenC)
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.right == outcome.comparison.changed)
        #expect(outcome.actions.filter { $0.kind == .swap }.count == 2)
    }

    @Test func `ether that a contract wraps is minted without a supply, and may be swapped at once`() throws {
        let wrapper = tokenC
        chain.transact(bob) {
            chain.payEther(bob, wrapper, 900_000)
            chain.change(wrapper, bob, by: 900_000)
        }
        let wrapped = try chain.seal()
        #expect(wrapped.comparison.isExact)
        #expect(wrapped.actions.map(\.kind) == [.ether, .mint])

        // The sender never holds any: the router wraps and pays the pool.
        let out = chain.quote(pool2, 50_000, zeroForOne: false)
        chain.transact(alice) {
            chain.payEther(alice, wrapper, 50_000)
            chain.change(wrapper, pool2, by: 50_000)
            chain.pay(tokenB, pool2, alice, out)
            chain.synchronise(pool2, tokenB, wrapper)
        }
        let bought = try chain.seal()
        #expect(bought.comparison.isExact)
        #expect(bought.actions.map(\.kind) == [.ether, .mint, .swap])
        #expect(bought.actions.allSatisfy { $0.amount == 50_000 })
        #expect(bought.actions[2].isByFormula && bought.actions[2].payer == party(alice))

        let back = chain.quote(pool2, 60_000, zeroForOne: true)
        chain.transact(alice) {
            chain.pay(tokenB, alice, pool2, 60_000)
            chain.change(wrapper, pool2, by: U256.zero &- back)
            chain.payEther(wrapper, alice, back)
            chain.synchronise(pool2, tokenB, wrapper)
        }
        let sold = try chain.seal()
        #expect(sold.comparison.isExact)
        #expect(sold.actions.map(\.kind) == [.ether, .burn, .swap])
        #expect(sold.actions[2].isByFormula && sold.actions[2].payee == party(alice))
    }

    @Test func `a failed transaction is a sender and a fee`() throws {
        chain.transact(alice, gas: 31_337)
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.transactions.count == 1 && outcome.actions.isEmpty)
        #expect(outcome.transactions[0].gas == 31_337)
    }

    @Test func `mints and burns move the supply`() throws {
        chain.transact(alice) {
            chain.change(tokenA, bob, by: 4_000)
            chain.changeSlot(tokenA, 2, by: 4_000)
        }
        chain.transact(alice) {
            chain.change(tokenA, bob, by: U256.zero &- 1_500)
            chain.changeSlot(tokenA, 2, by: U256.zero &- 1_500)
        }
        let outcome = try chain.seal()
        #expect(outcome.comparison.isExact)
        #expect(outcome.actions.map(\.kind) == [.mint, .burn])
        #expect(outcome.actions.map(\.amount) == [4_000, 1_500])
        #expect(outcome.actions.map(\.payer) == [party(alice), party(bob)])
        #expect(outcome.actions.map(\.payee) == [party(bob), party(alice)])
        #expect(outcome.diff.newFacts.last == .supply(token: FactID(0), slot: 2))
    }

    @Test func `what nothing explains is left out, the sender and the fee stay`() throws {
        chain.transact(alice) {
            chain.change(tokenA, bob, by: 4_000)
            chain.builder.setSlot(tokenA, U256(1) << 200, to: 99)
        }
        let outcome = try chain.seal()
        #expect(outcome.transactions.count == 1 && outcome.actions.isEmpty)
        #expect(outcome.diff.newFacts.isEmpty)
        #expect(outcome.comparison.wrong == 0 && outcome.comparison.missing == 2)
    }

    @Test func `a sender who is new, or has code, is left to the writes`() throws {
        chain.payEther(alice, newcomer, 1_000_000_000_000_000)
        chain.transact(newcomer)
        chain.transact(router)
        let outcome = try chain.seal()
        #expect(outcome.transactions.isEmpty)
        #expect(outcome.section.newAccounts == 1)
    }

    @Test func `many payers and payees are paired, and more than 32 steps are not named`() throws {
        let holders = (1...40).map { Address(high: 0xD000 + UInt64($0), middle: 0, low: 0) }
        chain.transact(alice) {
            for (i, holder) in holders.prefix(5).enumerated() {
                chain.pay(tokenA, i % 2 == 0 ? alice : bob, holder, U256(100 + UInt64(i)))
            }
        }
        let few = try chain.seal()
        #expect(few.comparison.isExact)
        #expect(few.actions.count >= 5)
        chain.transact(alice) { for holder in holders { chain.pay(tokenA, alice, holder, 7) } }
        let many = try chain.seal()
        #expect(many.actions.isEmpty && many.transactions.count == 1)
    }

    @Test func `facts that the state brings are used, not learned again`() throws {
        chain.transact(alice) { chain.pay(tokenA, alice, bob, 5) }
        _ = try chain.seal()
        let other = DiffBuilder(state: chain.state, findsOperations: true)
        var diff = StateDiff()
        other.beginTransaction()
        other.setAccount(bob, balance: 0, nonce: 6)
        for (holder, amount) in [(alice, U256.zero &- 9), (bob, 9)] as [(Address, U256)] {
            let slot = Keccak256.mappingSlot(key: holder.word, base: 3)
            other.setSlot(
                tokenA, slot, to: other.slotValue(tokenA, slot) &+ amount,
                preimage: .mapping(base: 3, key: holder.word))
        }
        other.endTransaction()
        other.seal(kind: .transactions, firstHeight: 2, lastHeight: 2, sealedAtMicroseconds: 7, into: &diff)
        #expect(diff.newFacts.isEmpty)
        #expect(diff.operations.actions.map(\.fact) == [FactID(0)])
    }
}

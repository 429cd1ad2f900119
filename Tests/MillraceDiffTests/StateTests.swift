import MillraceBase
import MillraceCrypto
import Testing

@testable import MillraceDiff

@Suite struct StateTests {
    @Test(arguments: UInt64(1)...15)
    func `random mini-blocks leave state and model equal, and every undo restores ids and values`(
        seed: UInt64
    ) throws {
        let state = State(seed: Seed(seed))
        let builder = DiffBuilder(state: state)
        var writes = RandomWrites(seed: seed)
        var history: [(StateDiff, Cells)] = []
        for height in UInt64(1)...50 {
            let before = state.cells
            let diff = writes.miniBlock(builder, height: height)
            #expect(state.cells == before, "sealing changes nothing, seed \(seed)")
            try state.apply(diff)
            #expect(state.naive == writes.naive, "seed \(seed), height \(height)")
            #expect(state.height == height)
            history.append((diff, before))
            // Now and then a few mini-blocks are taken back and applied again.
            if writes.generator.below(6) == 0 {
                let after = state.cells
                let taken = history.suffix(Int(writes.generator.below(5)))
                for (diff, before) in taken.reversed() {
                    try state.revert(diff)
                    #expect(state.cells == before, "seed \(seed), height \(height)")
                }
                for (diff, _) in taken { try state.apply(diff) }
                #expect(state.cells == after, "seed \(seed), height \(height)")
            }
        }
    }

    @Test(arguments: UInt64(1)...8)
    func `the builder reads what is pending`(seed: UInt64) throws {
        let state = State(seed: Seed(seed))
        let builder = DiffBuilder(state: state)
        var writes = RandomWrites(seed: seed)
        for height in UInt64(1)...20 {
            for _ in 0..<30 {
                writes.write(to: builder)
                let (address, slot) = (writes.address(), writes.slot())
                let expected = writes.naive.accounts[address] ?? NaiveAccount()
                #expect(builder.balance(of: address) == expected.balance, "seed \(seed)")
                #expect(builder.nonce(of: address) == expected.nonce, "seed \(seed)")
                #expect(builder.codeHash(of: address) == expected.codeHash, "seed \(seed)")
                #expect(builder.isPresent(address) == !expected.isAbsent, "seed \(seed)")
                #expect(builder.slotValue(address, slot) == expected.storage[slot] ?? .zero, "seed \(seed)")
            }
            var diff = StateDiff()
            builder.seal(
                kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 0,
                into: &diff)
            try state.apply(diff)
        }
    }

    @Test func `ids do not depend on the table keys or on the order of writes within a mini-block`() throws {
        func run(seed: UInt64, reversed: Bool) throws -> Cells {
            let state = State(seed: Seed(seed))
            let builder = DiffBuilder(state: state)
            for height in UInt64(1)...5 {
                let keys = (0..<50).map { $0 &* height &* 7919 % 101 }
                for key in reversed ? keys.reversed() : keys {
                    let address = Address(high: key &* 0x9E37_79B9_7F4A_7C15, middle: 1, low: 2)
                    builder.setBalance(address, to: U256(key + 1))
                    builder.setSlot(address, U256(key), to: U256(height))
                    builder.setCode(address, to: [UInt8(key % 7), 1])
                }
                var diff = StateDiff()
                builder.seal(
                    kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 0,
                    into: &diff)
                try state.apply(diff)
            }
            return state.cells
        }
        let expected = try run(seed: 1, reversed: false)
        #expect(try run(seed: 2, reversed: false) == expected)
        #expect(try run(seed: 1, reversed: true) == expected)
    }

    @Test func `a hundred thousand keys are found again after growth, singly and in batches`() throws {
        let state = State(seed: Seed(9))
        let builder = DiffBuilder(state: state)
        let token = Address(high: 1, middle: 2, low: 3)
        for i in UInt64(0)..<100_000 { builder.setSlot(token, U256(i, i, 0, i), to: 1) }
        var diff = StateDiff()
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
        #expect(state.slotCount == 100_000)
        #expect(state.height == 0)
        let account = try #require(state.account(at: token))
        var keys = (UInt64(0)..<100_000).map { SlotKey(account: account, slot: U256($0, $0, 0, $0)) }
        keys.append(SlotKey(account: account, slot: U256(1, 0, 0, 0)))
        var found: [SlotID?] = []
        state.slots(keys, found: &found)
        #expect(found == keys.map { state.slot($0) })
        #expect(found.last == .some(nil))
        for (key, id) in zip(keys, found.dropLast()) { #expect(state.key(of: try #require(id)) == key) }
    }
}

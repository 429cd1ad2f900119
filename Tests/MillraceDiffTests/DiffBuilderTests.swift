import MillraceBase
import MillraceCrypto
import Testing

@testable import MillraceDiff

@Suite struct DiffBuilderTests {
    let a = Address(high: 0xA, middle: 0, low: 0)
    let b = Address(high: 0xB, middle: 0, low: 0)
    let state = State(seed: Seed(1))

    func seal(_ builder: DiffBuilder, height: UInt64 = 1) -> StateDiff {
        var diff = StateDiff()
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 5, into: &diff
        )
        return diff
    }

    @Test func `a key that comes and goes within a mini-block gets no id`() throws {
        let builder = DiffBuilder(state: state)
        builder.setBalance(a, to: 5)
        builder.setSlot(a, 1, to: 9)
        builder.setCode(b, to: [1, 2, 3])
        builder.setBalance(a, to: 0)
        builder.setSlot(a, 1, to: 0)
        builder.setCode(b, to: [])
        #expect(seal(builder).isEmpty)
    }

    @Test func `an account whose slot is written gets an id without a value of its own`() throws {
        let builder = DiffBuilder(state: state)
        builder.setSlot(b, 7, to: 1, preimage: .mapping(base: 2, key: 3))
        let diff = seal(builder)
        #expect(diff.newAccounts == [b])
        #expect(diff.accountChanges.isEmpty)
        #expect(
            diff.newSlots
                == [
                    NewSlot(key: SlotKey(account: AccountID(0), slot: 7), preimage: .mapping(base: 2, key: 3))
                ])
        #expect(diff.slotChanges == [SlotChange(id: SlotID(0), old: 0, new: 1)])
        try state.apply(diff)
    }

    @Test func `destroying clears pending and stored slots, and the account may be created anew`() throws {
        let builder = DiffBuilder(state: state)
        for slot in UInt64(1)...3 { builder.setSlot(a, U256(slot), to: U256(slot)) }
        builder.setAccount(a, balance: 10, nonce: 1)
        builder.setCode(a, to: [0xFE])
        try state.apply(seal(builder))

        builder.setSlot(a, 9, to: 9)
        builder.setSlot(a, 1, to: 100)
        builder.destroy(a)
        builder.setSlot(a, 2, to: 2)
        builder.setNonce(a, to: 1)
        let diff = seal(builder, height: 2)
        #expect(diff.destroyed == [AccountID(0)])
        #expect(diff.newSlots.isEmpty)
        // Slot 2 came back with its old value: no change.
        #expect(
            diff.slotChanges
                == [SlotChange(id: SlotID(0), old: 1, new: 0), SlotChange(id: SlotID(2), old: 3, new: 0)])
        #expect(
            diff.accountChanges == [
                AccountChange(
                    id: AccountID(0), old: AccountValue(balance: 10, nonce: 1, code: CodeID(1)),
                    new: AccountValue(nonce: 1))
            ])
        try state.apply(diff)
        #expect(state.code(withHash: Keccak256.hash([0xFE])) == CodeID(1))
    }

    @Test func `writes are counted once per key and transaction, and raw bytes follow the published measure`()
    {
        let builder = DiffBuilder(state: state)
        for nonce in UInt64(1)...2 {
            builder.beginTransaction()
            builder.setNonce(a, to: nonce)
            builder.setBalance(a, to: U256(nonce))
            builder.setSlot(b, 1, to: U256(nonce))
            builder.setSlot(b, 1, to: U256(nonce + 100))
            builder.setSlot(b, 2, to: U256(nonce))
            builder.setSlot(b, 2, to: U256(nonce))
            builder.setSlot(b, 3, to: 0)
            builder.endTransaction()
        }
        builder.beginTransaction()
        builder.setCode(b, to: [1, 2, 3])
        builder.endTransaction()
        var expected = WriteCounts()
        (expected.transactions, expected.accountWrites, expected.contractWrites) = (3, 3, 2)
        (expected.slotWrites, expected.codeBytes) = (4, 3)
        #expect(builder.counts == expected)
        let diff = seal(builder)
        #expect(diff.transactions == 3)
        #expect(diff.rawBytes == 3 * 52 + 2 * 20 + 4 * 64 + 3)
        #expect(builder.counts == WriteCounts())
        #expect(builder.isEmpty)
    }

    @Test func `equal codes share an id, and a known code is not sent again`() throws {
        let builder = DiffBuilder(state: state)
        builder.setCode(a, to: [1])
        builder.setCode(b, to: [1])
        let first = seal(builder)
        #expect(first.newCodes == [[1]])
        try state.apply(first)
        builder.setCode(b, to: [2])
        builder.setCode(b, to: [1])
        builder.setCode(a, to: [3])
        let second = seal(builder, height: 2)
        #expect(second.newCodes == [[3]])
        #expect(second.accountChanges.map(\.new.code) == [CodeID(2)])
        try state.apply(second)
    }

    @Test func `a mini-block much larger than the last and small ones after it seal alike`() throws {
        let builder = DiffBuilder(state: state)
        for (height, count) in [(1, 3), (2, 20_000), (3, 3), (4, 500)] {
            for i in 0..<count { builder.setSlot(a, U256(UInt64(i)), to: U256(UInt64(height))) }
            let diff = seal(builder, height: UInt64(height))
            #expect(diff.slotChanges.count == count)
            try state.apply(diff)
        }
    }
}

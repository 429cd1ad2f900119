import MillraceBase
import MillraceCrypto
import MillraceDiff
import Testing

@Suite struct PreimageSearchTests {
    let alice = Address(high: 0xA1 << 56, middle: 7, low: 0)
    let bob = Address(high: 0xB0 << 56, middle: 8, low: 0)
    let token = Address(high: 0x10 << 56, middle: 9, low: 1)
    let coinbase = Address(high: 0xC0 << 56, middle: 3, low: 0)
    let state = State(seed: Seed(1))

    /// Writes and seals one transaction of `sender`; slots come without preimages.
    private func seal(
        _ builder: DiffBuilder, height: UInt64, sender: Address, _ slots: [(U256, U256)],
        others: [Address] = []
    ) throws -> StateDiff {
        builder.beginTransaction()
        builder.setAccount(
            sender, balance: builder.balance(of: sender) &- 42_000, nonce: builder.nonce(of: sender) + 1)
        builder.setBalance(coinbase, to: builder.balance(of: coinbase) &+ 42_000)
        for other in others { builder.setBalance(other, to: builder.balance(of: other) &+ 1) }
        for (slot, value) in slots { builder.setSlot(token, slot, to: value) }
        builder.endTransaction()
        var diff = StateDiff()
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 1, into: &diff
        )
        try state.apply(diff)
        return diff
    }

    private func builder() throws -> DiffBuilder {
        let builder = DiffBuilder(state: state, findsOperations: true, searchesPreimages: true)
        for address in [alice, bob, coinbase] { builder.setAccount(address, balance: 1_000_000, nonce: 1) }
        builder.setAccount(token, balance: 0, nonce: 1)
        var diff = StateDiff()
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
        return builder
    }

    @Test func `entries of mappings and allowances are found by the accounts of the transaction`() throws {
        let builder = try builder()
        let mine = Keccak256.mappingSlot(key: alice.word, base: 51)
        let theirs = Keccak256.mappingSlot(key: bob.word, base: 51)
        let allowance = Keccak256.nestedSlot(base: 52, outer: alice.word, inner: bob.word)
        let riddle = U256(1) << 255
        let diff = try seal(
            builder, height: 1, sender: alice,
            [(mine, 10), (theirs, 20), (allowance, 30), (riddle, 1), (5, 5)],
            others: [bob])
        let preimages = diff.newSlots.reduce(into: [U256: SlotPreimage]()) { $0[$1.key.slot] = $1.preimage }
        #expect(
            preimages == [
                mine: .mapping(base: 51, key: alice.word), theirs: .mapping(base: 51, key: bob.word),
                allowance: .nested(base: 52, outer: alice.word, inner: bob.word), riddle: .none, 5: .none,
            ])

        // Known slots now: a payment between them is a transfer, and what no action explains has its origin beside.
        let payment = try seal(builder, height: 2, sender: alice, [(mine, 4), (theirs, 26), (allowance, 29)])
        #expect(payment.operations.actions.map(\.kind) == [.transfer])
        #expect(
            payment.operations.origins == [
                SlotOrigin(
                    id: try #require(state.slot(at: token, allowance)),
                    preimage: .nested(base: 52, outer: alice.word, inner: bob.word))
            ])
    }

    @Test func `a number in a value and an address elsewhere in the mini-block are tried, too`() throws {
        let builder = try builder()
        let item = Keccak256.mappingSlot(key: 41, base: 2)
        // The counter in slot 8 rises to 42: item 41 is new.
        let minted = try seal(builder, height: 1, sender: alice, [(8, 42), (item, bob.word)])
        #expect(minted.newSlots.contains { $0.preimage == .mapping(base: 2, key: 41) })
        // Bob is in the value of the slot only.
        let count = Keccak256.mappingSlot(key: bob.word, base: 3)
        let next = try seal(
            builder, height: 2, sender: alice,
            [(Keccak256.mappingSlot(key: 42, base: 2), bob.word), (8, 43), (count, 1)])
        #expect(next.newSlots.contains { $0.preimage == .mapping(base: 3, key: bob.word) })
    }

    @Test func `what is not there to be found takes a bounded number of hashes`() throws {
        let builder = try builder()
        var slots: [(U256, U256)] = []
        for i in UInt64(0)..<500 { slots.append((U256(i, i, i, 1 << 60 | i), U256(i, i, i, i + 1))) }
        let diff = try seal(builder, height: 1, sender: alice, slots)
        #expect(diff.newSlots.count == 500)
        #expect(diff.newSlots.allSatisfy { $0.preimage == .none })
    }
}

import MillraceBase
import Testing

@testable import MillraceDiff

/// A diff that breaks one rule is refused with that rule's name, and the state stays as it was.
@Suite struct RefusedDiffTests {
    let state: State
    let valid: StateDiff

    init() throws {
        state = State(seed: Seed(3))
        let builder = DiffBuilder(state: state)
        var diff = StateDiff()
        for i in UInt64(1)...4 {
            builder.setBalance(Address(high: i, middle: 0, low: 0), to: U256(i))
            builder.setSlot(Address(high: i, middle: 0, low: 0), U256(i), to: U256(i))
        }
        builder.seal(kind: .transactions, firstHeight: 1, lastHeight: 1, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
        for i in UInt64(3)...7 {
            builder.setAccount(Address(high: i, middle: 0, low: 0), balance: U256(i + 10), nonce: 1)
            builder.setSlot(Address(high: i, middle: 0, low: 0), U256(i), to: U256(i + 10))
            builder.setCode(Address(high: i, middle: 0, low: 0), to: [UInt8(i)])
        }
        builder.seal(kind: .transactions, firstHeight: 2, lastHeight: 2, sealedAtMicroseconds: 0, into: &diff)
        valid = diff
    }

    func refused(_ change: (inout StateDiff) -> Void) -> DiffError? {
        var diff = valid
        change(&diff)
        let before = state.cells
        do {
            try state.apply(diff)
            return nil
        } catch {
            #expect(state.cells == before)
            return error
        }
    }

    @Test func `the valid diff is applied`() { #expect(refused { _ in } == nil) }

    @Test func `heights`() {
        #expect(refused { $0.firstHeight = 3 } == .notCanonical(.heights))
        #expect(refused { $0.kind = .genesis } == .notCanonical(.heights))
        #expect(refused { ($0.firstHeight, $0.lastHeight) = (0, 0) } == .notCanonical(.heights))
    }

    @Test func `broken chain`() {
        #expect(refused { $0.accountChanges[0].old.nonce = 7 } == .brokenChain(at: .account(AccountID(2))))
        #expect(refused { $0.slotChanges[1].old = 77 } == .brokenChain(at: .slot(SlotID(3))))
        #expect(refused { $0.slotChanges[4].old = 77 } == .brokenChain(at: .slot(SlotID(6))))
    }

    @Test func `order and no-ops`() {
        #expect(refused { $0.accountChanges.swapAt(0, 1) } == .notCanonical(.idOrder))
        #expect(refused { $0.slotChanges.append($0.slotChanges[4]) } == .notCanonical(.idOrder))
        #expect(refused { $0.destroyed = [AccountID(1), AccountID(1)] } == .notCanonical(.idOrder))
        #expect(refused { $0.slotChanges[0].new = $0.slotChanges[0].old } == .notCanonical(.unchanged))
        #expect(refused { $0.newAccounts.swapAt(0, 1) } == .notCanonical(.newKeyOrder))
        #expect(refused { $0.newSlots.swapAt(0, 1) } == .notCanonical(.newKeyOrder))
        #expect(refused { $0.newCodes.swapAt(0, 1) } == .notCanonical(.newKeyOrder))
        #expect(refused { $0.newCodes[0] = [] } == .notCanonical(.codeLength))
    }

    @Test func `new keys without a value`() {
        #expect(refused { $0.slotChanges.removeLast() } == .notCanonical(.newKeyUnused))
        #expect(
            refused { $0.newAccounts.append(Address(high: 99, middle: 0, low: 0)) }
                == .notCanonical(.newKeyUnused))
        #expect(
            refused {
                for i in $0.accountChanges.indices { $0.accountChanges[i].new.code = .none }
            } == .notCanonical(.newKeyUnused))
    }

    @Test func `ids nobody has given`() {
        #expect(
            refused {
                $0.accountChanges.append(
                    AccountChange(id: AccountID(7), old: .absent, new: AccountValue(nonce: 1)))
            }
                == .unknownID(.account(AccountID(7))))
        #expect(
            refused { $0.slotChanges.append(SlotChange(id: SlotID(7), old: 0, new: 1)) }
                == .unknownID(.slot(SlotID(7))))
        #expect(refused { $0.accountChanges[0].new.code = CodeID(6) } == .unknownID(.code(CodeID(6))))
        #expect(
            refused { $0.destroyed = [AccountID(UInt32.max)] } == .unknownID(.account(AccountID(UInt32.max))))
        #expect(
            refused { $0.newSlots[2].key.account = AccountID(7) } == .unknownID(.account(AccountID(7))))
    }

    @Test func `keys that have an id already`() {
        #expect(
            refused { $0.newAccounts[0] = Address(high: 1, middle: 0, low: 0) }
                == .alreadyKnown(.account(AccountID(0))))
        #expect(
            refused { $0.newSlots[0].key = SlotKey(account: AccountID(0), slot: 1) }
                == .alreadyKnown(.slot(SlotID(0))))
        // In a window, new keys are in order of appearance, so a repeated one is found by the index.
        #expect(
            refused {
                $0.lastHeight = 3
                $0.newSlots[2] = $0.newSlots[0]
            } == .alreadyKnown(.slot(SlotID(4))))
    }

    @Test func `taking back what is not the newest diff is refused`() throws {
        try state.apply(valid)
        let before = state.cells
        var other = valid
        other.slotChanges[0].new = 1234
        #expect(throws: DiffError.brokenChain(at: .slot(SlotID(2)))) { try state.revert(other) }
        other = valid
        other.newAccounts[0] = Address(high: 5, middle: 1, low: 0)
        #expect(throws: DiffError.brokenChain(at: .account(AccountID(4)))) { try state.revert(other) }
        #expect(state.cells == before)
        try state.revert(valid)
        #expect(state.slotCount == 4)
    }
}

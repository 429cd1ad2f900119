/// The model that the property tests compare with: the state as nested dictionaries, written to directly; and a driver
/// that makes the same random writes to it and to a builder.

import MillraceBase
import MillraceCrypto
@testable import MillraceDiff

struct NaiveAccount: Equatable {
    var balance = U256.zero
    var nonce: UInt64 = 0
    var codeHash = State.emptyCodeHash
    var storage: [U256: U256] = [:]
    var isAbsent: Bool { balance.isZero && nonce == 0 && codeHash == State.emptyCodeHash }
}

struct NaiveState: Equatable {
    var accounts: [Address: NaiveAccount] = [:]

    mutating func change(_ address: Address, _ body: (inout NaiveAccount) -> Void) {
        var account = accounts[address] ?? NaiveAccount()
        body(&account)
        account.storage = account.storage.filter { !$0.value.isZero }
        accounts[address] = account == NaiveAccount() ? nil : account
    }
}

extension State {
    /// Everything visible, without ids.
    var naive: NaiveState {
        var naive = NaiveState()
        for i in 0..<accountCount {
            let id = AccountID(UInt32(i))
            let value = value(of: id)
            naive.change(address(of: id)) { account in
                (account.balance, account.nonce, account.codeHash) = (
                    value.balance, value.nonce, codeHash(value.code)
                )
                forEachSlot(of: id) { account.storage[key(of: $0).slot] = self.value(of: $0) }
            }
        }
        return naive
    }

    /// Everything visible, ids included; traps when the index does not find a key.
    var cells: Cells {
        var cells = Cells()
        for i in 0..<codeCount {
            let id = CodeID(UInt32(i + 1))
            precondition(code(withHash: codeHash(id)) == id, "code \(i + 1) is not found")
            cells.codes.append(codeHash(id))
        }
        for i in 0..<accountCount {
            let id = AccountID(UInt32(i))
            precondition(account(at: address(of: id)) == id, "account \(i) is not found")
            cells.addresses.append(address(of: id))
            cells.values.append(value(of: id))
            var slots: [SlotID] = []
            forEachSlot(of: id) { slots.append($0) }
            cells.slotsOfAccounts.append(slots)
        }
        for i in 0..<slotCount {
            let id = SlotID(UInt32(i))
            precondition(slot(key(of: id)) == id, "slot \(i) is not found")
            cells.keys.append(key(of: id))
            cells.words.append(value(of: id))
        }
        return cells
    }
}

struct Cells: Equatable {
    var codes: [Hash32] = []
    var addresses: [Address] = []
    var values: [AccountValue] = []
    var slotsOfAccounts: [[SlotID]] = []
    var keys: [SlotKey] = []
    var words: [U256] = []
}

/// Random writes over few keys, so that mini-blocks collide, cancel out, destroy and recreate.
struct RandomWrites {
    var generator: SeededGenerator
    var naive = NaiveState()

    init(seed: UInt64) { generator = Seed(seed).generator("test.writes") }

    mutating func address() -> Address { Address(high: generator.below(12) << 60, middle: 7, low: 1) }
    mutating func slot() -> U256 {
        generator.below(3) == 0 ? U256(0, 0, 0, generator.below(4) << 62) : U256(generator.below(6))
    }
    mutating func word() -> U256 {
        generator.below(4) == 0 ? .zero : U256(generator.below(3), 0, 0, generator.below(2))
    }
    mutating func code() -> [UInt8] {
        [UInt8](repeating: UInt8(generator.below(5)), count: Int(generator.below(3)))
    }

    /// One write to both.
    mutating func write(to builder: DiffBuilder) {
        let address = address()
        switch generator.below(20) {
        case 0:
            builder.destroy(address)
            naive.accounts[address] = nil
        case 1, 2:
            let code = code()
            builder.setCode(address, to: code)
            naive.change(address) { $0.codeHash = Keccak256.hash(code) }
        case 3, 4:
            let nonce = generator.below(3)
            builder.setNonce(address, to: nonce)
            naive.change(address) { $0.nonce = nonce }
        case 5, 6, 7:
            let word = word()
            builder.setBalance(address, to: word)
            naive.change(address) { $0.balance = word }
        case 8:
            let (word, nonce) = (word(), generator.below(3))
            builder.setAccount(address, balance: word, nonce: nonce)
            naive.change(address) { ($0.balance, $0.nonce) = (word, nonce) }
        default:
            let (slot, word) = (slot(), word())
            builder.setSlot(address, slot, to: word, preimage: .mapping(base: 3, key: slot))
            naive.change(address) { $0.storage[slot] = word }
        }
    }

    /// A sealed mini-block of a few transactions.
    mutating func miniBlock(_ builder: DiffBuilder, height: UInt64) -> StateDiff {
        for _ in 0..<generator.below(5) {
            builder.beginTransaction()
            for _ in 0..<generator.below(8) { write(to: builder) }
            builder.endTransaction()
        }
        var diff = StateDiff()
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: height * 10_000, into: &diff)
        return diff
    }
}

/// Which keys a block has touched so far. Sets are only asked, never iterated: their order would differ in every process.

import MillraceBase
import MillraceCrypto

struct FirstTouches {
    private struct Slot: Hashable {
        var address: Address
        var slot: U256
    }

    private var accounts: Set<Address> = []
    private var slots: Set<Slot> = []
    private var resets: Set<Address> = []

    /// True the first time.
    mutating func insert(_ address: Address) -> Bool { accounts.insert(address).inserted }
    mutating func insert(_ address: Address, _ slot: U256) -> Bool {
        slots.insert(Slot(address: address, slot: slot)).inserted
    }

    /// From here on the account's slots are known to have begun as zero.
    mutating func reset(_ address: Address) { resets.insert(address) }
    func isReset(_ address: Address) -> Bool { resets.contains(address) }

    mutating func removeAll() {
        accounts.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        resets.removeAll(keepingCapacity: true)
    }
}

enum CodeHash {
    static func of(_ code: [UInt8]) -> Hash32 { Keccak256.hash(code) }
}

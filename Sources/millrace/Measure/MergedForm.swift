/// What a general compressor is given to stand beside the codec: the merged diff as plain key and value bytes, contract by
/// contract. No ids, no differences: what one would send without a state on both sides.

import MillraceBase
import MillraceDiff

enum MergedForm {
    /// Per account: address, balance (32), nonce (8). Per contract: address, number of slots; per slot: number, value. Codes
    /// as they are. `state` is the one before the diff.
    static func bytes(_ diff: StateDiff, state: State) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(60 * diff.accountChanges.count + 64 * diff.slotChanges.count)
        func address(_ id: AccountID) -> Address {
            Int(id.index) < state.accountCount
                ? state.accountAddressesBase[Int(id.index)]
                : diff.newAccounts[Int(id.index) - state.accountCount]
        }
        for change in diff.accountChanges {
            bytes.append(address(change.id))
            bytes.append(change.new.balance)
            bytes.appendLittleEndian(change.new.nonce)
        }
        for code in diff.newCodes { bytes.append(contentsOf: code) }
        var keyed: [(key: SlotKey, value: U256)] = []
        keyed.reserveCapacity(diff.slotChanges.count)
        for change in diff.slotChanges {
            let id = Int(change.id.index)
            let key = id < state.slotCount ? state.slotKeysBase[id] : diff.newSlots[id - state.slotCount].key
            keyed.append((key, change.new))
        }
        keyed.sort { ($0.key.account, $0.key.slot) < ($1.key.account, $1.key.slot) }
        var i = 0
        while i < keyed.count {
            var end = i + 1
            while end < keyed.count, keyed[end].key.account == keyed[i].key.account { end += 1 }
            bytes.append(address(keyed[i].key.account))
            bytes.appendVarint(UInt64(end - i))
            for j in i..<end {
                bytes.append(keyed[j].key.slot)
                bytes.append(keyed[j].value)
            }
            i = end
        }
        return bytes
    }

    /// The published measure of a merged diff: 52 bytes per changed account, 20 per contract with changed slots, 64 per changed
    /// slot, and deployed code.
    static func publishedBytes(_ diff: StateDiff, state: State) -> Int {
        var contracts: Set<UInt32> = []
        for change in diff.slotChanges {
            let id = Int(change.id.index)
            let key = id < state.slotCount ? state.slotKeysBase[id] : diff.newSlots[id - state.slotCount].key
            contracts.insert(key.account.index)
        }
        return 52 * diff.accountChanges.count + 20 * contracts.count + 64 * diff.slotChanges.count
            + diff.newCodes.reduce(0) { $0 + $1.count }
    }
}

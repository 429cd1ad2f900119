/// The columns of keys that appear for the first time: accounts as their 20 bytes, slots as the gap between account ids and
/// the distance from the slot before (arrays and structs fill neighbouring slots; small slot numbers are short); hashed slots
/// as they are. Spec 30.5.3. Preimages stay behind.

internal import MillraceBase
internal import MillraceDiff

enum NewKeys {
    // MARK: Accounts

    static func encode(accounts: [Address], to writer: inout ColumnWriter) {
        for address in accounts {
            writer.raw(address.high, 64)
            writer.raw(address.middle, 64)
            writer.raw(UInt64(address.low), 32)
        }
    }

    /// A single mini-block's accounts ascend.
    static func decodeAccounts(
        _ count: Int, isSingle: Bool, into accounts: inout [Address], from reader: inout ColumnReader
    ) throws(CodecError) {
        for i in 0..<count {
            let high = reader.raw(64)
            let middle = reader.raw(64)
            let address = Address(high: high, middle: middle, low: UInt32(truncatingIfNeeded: reader.raw(32)))
            if reader.isOverrun { throw .truncated }
            if isSingle, i > 0, address <= accounts[i - 1] { throw .badKey }
            accounts.append(address)
        }
    }

    // MARK: Ascending lists of accounts

    static func encode(destroyed: [AccountID], to writer: inout ColumnWriter) {
        var next: UInt32 = 0
        for id in destroyed {
            writer.number(UInt64(id.index - next), treeBits: ModelMap.shortNumberBits, ModelMap.destroyedGap)
            next = id.index + 1
        }
    }

    static func decodeDestroyed(
        _ count: Int, accountEnd: Int, into destroyed: inout [AccountID], from reader: inout ColumnReader
    ) throws(CodecError) {
        var next = 0
        for _ in 0..<count {
            let gap = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.destroyedGap)
            guard gap < UInt64(accountEnd - next) else { throw .badKey }
            let id = next + Int(gap)
            destroyed.append(AccountID(UInt32(truncatingIfNeeded: id)))
            next = id + 1
        }
        if reader.isOverrun { throw .truncated }
    }

    // MARK: Slots

    /// Writes a window's new slots, and for each whether it has a change. Their ascent restarts where one of its mini-blocks
    /// begins.
    static func encode(
        slots: [NewSlot], isChanged: (Int) -> Bool, to writer: inout ColumnWriter
    ) {
        var account: UInt32 = 0
        var slot = U256.zero
        var isFirst = true
        for i in 0..<slots.count {
            let key = slots[i].key
            let restarts =
                !isFirst
                && (key.account.index < account || (key.account.index == account && key.slot <= slot))
            writer.bit(restarts, ModelMap.newSlotRestart)
            if restarts { (account, slot, isFirst) = (0, .zero, true) }
            let gap = key.account.index - account
            writer.number(UInt64(gap), treeBits: ModelMap.shortNumberBits, ModelMap.newSlotAccountGap)
            let follows = gap == 0 && !isFirst
            let distance = follows ? key.slot &- slot &- 1 : key.slot
            let near = distance.asUInt64
            writer.bit(near != nil, ModelMap.newSlotIsNear + (follows ? 1 : 0))
            if let near {
                writer.number(near, treeBits: ModelMap.longNumberBits, ModelMap.newSlotDistance)
            } else {
                writer.word(key.slot)
            }
            writer.bit(isChanged(i), ModelMap.newSlotChanged)
            (account, slot, isFirst) = (key.account.index, key.slot, false)
        }
    }

    /// Reads new slots; appends the index of each changed one to `changed` and gives their number.
    static func decodeSlots(
        _ count: Int, accountEnd: Int, into slots: inout [NewSlot],
        changed: UnsafeMutablePointer<UInt32>, from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        var account = 0
        var slot = U256.zero
        var isFirst = true
        var changedCount = 0
        for i in 0..<count {
            if reader.bit(ModelMap.newSlotRestart) { (account, slot, isFirst) = (0, .zero, true) }
            let gap = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.newSlotAccountGap)
            guard gap < UInt64(max(accountEnd - account, 0)) else { throw .badKey }
            let follows = gap == 0 && !isFirst
            let isNear = reader.bit(ModelMap.newSlotIsNear + (follows ? 1 : 0))
            let number: U256
            if isNear {
                let distance = U256(
                    reader.number(treeBits: ModelMap.longNumberBits, ModelMap.newSlotDistance))
                if follows {
                    let (sum, over) = slot.addingReportingOverflow(distance)
                    let (next, overAgain) = sum.addingReportingOverflow(.one)
                    if over || overAgain { throw .badKey }
                    number = next
                } else {
                    number = distance
                }
            } else {
                number = reader.word()
                if follows, number <= slot { throw .badKey }
            }
            account += Int(gap)
            (slot, isFirst) = (number, false)
            slots.append(
                NewSlot(key: SlotKey(account: AccountID(UInt32(truncatingIfNeeded: account)), slot: number)))
            if reader.bit(ModelMap.newSlotChanged) {
                changed[changedCount] = UInt32(truncatingIfNeeded: i)
                changedCount += 1
            }
            if i & 255 == 255, reader.isOverrun { throw .truncated }
        }
        return changedCount
    }
}

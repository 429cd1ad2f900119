/// The values that operations predict, over a base state: the cells they touched, known ones by id, others by key. One
/// payload's worth, emptied in a moment.

internal import MillraceBase
internal import MillraceDiff

/// A table of entries by number, open addressing, no deletion; emptied by counting generations. Keys are any 64 bits, and
/// the owner compares what they stand for.
struct EntryTable: ~Copyable {
    private struct Cell: BitwiseCopyable {
        /// Generation in the upper, entry in the lower half.
        var mark: UInt64 = 0
        var key: UInt64 = 0
    }

    private var cells: UnsafeMutablePointer<Cell>
    private var mask: Int
    private var generation: UInt64 = 1
    private(set) var count = 0

    init() {
        mask = (1 << 12) - 1
        cells = .allocate(capacity: mask + 1)
        cells.initialize(repeating: Cell(), count: mask + 1)
    }

    deinit { cells.deallocate() }

    mutating func removeAll() {
        generation += 1
        count = 0
        if generation == 1 << 32 {
            cells.update(repeating: Cell(), count: mask + 1)
            generation = 1
        }
    }

    @inline(__always)
    private static func start(_ key: UInt64) -> Int {
        Int(truncatingIfNeeded: (key &* 0x9E37_79B9_7F4A_7C15) >> 24)
    }

    /// The entry of a key for which `matches` holds; nil when there is none.
    @inline(__always)
    func find(_ key: UInt64, where matches: (Int) -> Bool) -> Int? {
        var at = EntryTable.start(key) & mask
        while cells[at].mark >> 32 == generation {
            if cells[at].key == key {
                let entry = Int(truncatingIfNeeded: cells[at].mark & 0xFFFF_FFFF)
                if matches(entry) { return entry }
            }
            at = (at &+ 1) & mask
        }
        return nil
    }

    mutating func insert(_ key: UInt64, _ entry: Int) {
        if count &* 2 > mask { grow() }
        place(key, UInt64(truncatingIfNeeded: entry))
        count &+= 1
    }

    @inline(__always)
    private func place(_ key: UInt64, _ entry: UInt64) {
        var at = EntryTable.start(key) & mask
        while cells[at].mark >> 32 == generation { at = (at &+ 1) & mask }
        cells[at] = Cell(mark: generation << 32 | entry, key: key)
    }

    private mutating func grow() {
        let (old, oldCount) = (cells, mask + 1)
        cells = .allocate(capacity: oldCount * 2)
        cells.initialize(repeating: Cell(), count: oldCount * 2)
        mask = oldCount * 2 - 1
        for i in 0..<oldCount where old[i].mark >> 32 == generation {
            place(old[i].key, old[i].mark & 0xFFFF_FFFF)
        }
        old.deallocate()
    }
}

struct PredictedSlot: BitwiseCopyable {
    static let unknown = UInt32.max
    /// New in this payload; its id follows.
    static let claimed = UInt32.max - 1
    /// The id, or one of the two above.
    var id: UInt32
    /// Account id of the contract.
    var contract: UInt32
    /// Before the payload, and as predicted.
    var old: U256
    var value: U256
}

struct PredictedAccount: BitwiseCopyable {
    static let unknown = UInt32.max
    var id: UInt32
    var old: AccountValue
    var value: AccountValue
}

struct Overlay: ~Copyable {
    private var slotsByID = EntryTable()
    private var slotsByKey = EntryTable()
    private(set) var slots = Scratch<PredictedSlot>(capacity: 4096)
    private(set) var slotCount = 0
    /// The numbers of slots without an id in the base, by entry; undefined for others.
    private(set) var slotNumbers = Scratch<U256>(capacity: 4096)
    /// Entries of slots without an id, in order of first touch.
    private(set) var unknownSlots = Scratch<UInt32>(capacity: 256)
    private(set) var unknownSlotCount = 0

    private var accountsByID = EntryTable()
    private var accountsByAddress = EntryTable()
    private(set) var accounts = Scratch<PredictedAccount>(capacity: 1024)
    private(set) var addresses = Scratch<Address>(capacity: 1024)
    private(set) var accountCount = 0
    private(set) var unknownAccounts = Scratch<UInt32>(capacity: 256)
    private(set) var unknownAccountCount = 0

    mutating func removeAll() {
        slotsByID.removeAll()
        slotsByKey.removeAll()
        accountsByID.removeAll()
        accountsByAddress.removeAll()
        (slotCount, unknownSlotCount, accountCount, unknownAccountCount) = (0, 0, 0, 0)
    }

    // MARK: Slots

    /// The entry of a slot the base knows.
    @inline(__always)
    mutating func slot(id: UInt32, contract: UInt32, base: State) -> Int {
        if let entry = slotsByID.find(UInt64(id), where: { _ in true }) { return entry }
        let value = base.slotValuesBase[Int(id)]
        let entry = append(PredictedSlot(id: id, contract: contract, old: value, value: value))
        slotsByID.insert(UInt64(id), entry)
        return entry
    }

    /// The entry of a slot by id, if operations touched it.
    @inline(__always)
    func slotEntry(id: UInt32) -> Int? { slotsByID.find(UInt64(id), where: { _ in true }) }

    @inline(__always)
    private static func key(_ contract: UInt32, _ number: U256) -> UInt64 {
        (number.w0 ^ number.w2 &* 31) &+ (number.w1 ^ number.w3 &* 31) &* 17 &+ UInt64(contract) << 32
    }

    /// The entry of a slot the base does not know.
    mutating func slot(unknown number: U256, contract: UInt32) -> Int {
        if let entry = slotEntry(unknown: number, contract: contract) { return entry }
        let entry = append(
            PredictedSlot(id: PredictedSlot.unknown, contract: contract, old: .zero, value: .zero))
        slotNumbers.base[entry] = number
        slotsByKey.insert(Overlay.key(contract, number), entry)
        if unknownSlotCount == unknownSlots.capacity {
            unknownSlots.grow(to: unknownSlotCount + 1, keeping: unknownSlotCount)
        }
        unknownSlots.base[unknownSlotCount] = UInt32(truncatingIfNeeded: entry)
        unknownSlotCount &+= 1
        return entry
    }

    func slotEntry(unknown number: U256, contract: UInt32) -> Int? {
        let (slots, numbers) = (slots.base, slotNumbers.base)
        return slotsByKey.find(Overlay.key(contract, number)) {
            slots[$0].contract == contract && numbers[$0] == number
        }
    }

    @inline(__always)
    private mutating func append(_ slot: PredictedSlot) -> Int {
        if slotCount == slots.capacity {
            slots.grow(to: slotCount + 1, keeping: slotCount)
            slotNumbers.grow(to: slots.capacity, keeping: slotCount)
        }
        slots.base[slotCount] = slot
        slotCount &+= 1
        return slotCount &- 1
    }

    /// Gives an unknown slot the id it has from this section on.
    mutating func name(slot entry: Int, id: UInt32) {
        slots.base[entry].id = id
        slotsByID.insert(UInt64(id), entry)
    }

    /// Takes the claimed ones off the list of the unknown.
    mutating func forgetClaimed() {
        var kept = 0
        for i in 0..<unknownSlotCount where slots.base[Int(unknownSlots.base[i])].id == PredictedSlot.unknown
        {
            unknownSlots.base[kept] = unknownSlots.base[i]
            kept &+= 1
        }
        unknownSlotCount = kept
    }

    // MARK: Accounts

    @inline(__always)
    mutating func account(id: UInt32, base: State) -> Int {
        if let entry = accountsByID.find(UInt64(id), where: { _ in true }) { return entry }
        let value = base.accountValuesBase[Int(id)]
        let entry = append(PredictedAccount(id: id, old: value, value: value))
        accountsByID.insert(UInt64(id), entry)
        return entry
    }

    @inline(__always)
    func accountEntry(id: UInt32) -> Int? { accountsByID.find(UInt64(id), where: { _ in true }) }

    mutating func account(unknown address: Address) -> Int {
        if let entry = accountEntry(unknown: address) { return entry }
        let entry = append(PredictedAccount(id: PredictedAccount.unknown, old: .absent, value: .absent))
        addresses.base[entry] = address
        accountsByAddress.insert(address.high ^ address.middle, entry)
        if unknownAccountCount == unknownAccounts.capacity {
            unknownAccounts.grow(to: unknownAccountCount + 1, keeping: unknownAccountCount)
        }
        unknownAccounts.base[unknownAccountCount] = UInt32(truncatingIfNeeded: entry)
        unknownAccountCount &+= 1
        return entry
    }

    func accountEntry(unknown address: Address) -> Int? {
        let addresses = addresses.base
        return accountsByAddress.find(address.high ^ address.middle) { addresses[$0] == address }
    }

    @inline(__always)
    private mutating func append(_ account: PredictedAccount) -> Int {
        if accountCount == accounts.capacity {
            accounts.grow(to: accountCount + 1, keeping: accountCount)
            addresses.grow(to: accounts.capacity, keeping: accountCount)
        }
        accounts.base[accountCount] = account
        accountCount &+= 1
        return accountCount &- 1
    }

    mutating func name(account entry: Int, id: UInt32) {
        accounts.base[entry].id = id
        accountsByID.insert(UInt64(id), entry)
    }
}

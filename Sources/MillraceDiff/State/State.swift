/// The state as dense columns by id, with an index from keys to ids. In memory; one owner, one thread (not `Sendable`).
///
///     accounts   address │ balance, nonce, code id │ newest slot       76 bytes
///     slots      account id, slot │ value │ next slot of the account   76 bytes
///     indexes    8-byte entries at a load of 0.4 to 0.8                10 to 20 bytes per key
///
/// A replica applies a diff by array index: the key index is touched only for new keys, by the builder and by RPC. Ids
/// count up in the order of first appearance in the stream and are never reused, except that `revert` takes back the
/// newest ones together with everything that knew them.
///
/// The only ways to change a state are `apply` and `revert` (StateApply.swift): all or nothing. Reads by id owe an id
/// this state has given out; keys may be anything.
///
/// Not a `Dictionary`: that takes ten times as long per lookup, allocates, and iterates in another order in every process.

internal import MillraceCrypto
public import MillraceBase

public final class State {
    // Exclusive access is not checked at run time: one owner on one thread, and no closure handed to an index
    // touches the index itself. The checks took an eighth of the time of a lookup that hits the caches.
    @exclusivity(unchecked) @usableFromInline var accountValues = CellArray<AccountValue>()
    @exclusivity(unchecked) @usableFromInline var accountAddresses = CellArray<Address>()
    /// The newest slot of each account + 1; 0 for none. Older ones follow in `slotLinks`, descending.
    var accountSlots = CellArray<UInt32>()

    @exclusivity(unchecked) @usableFromInline var slotValues = CellArray<U256>()
    @exclusivity(unchecked) @usableFromInline var slotKeys = CellArray<SlotKey>()
    /// The next older slot of the same account + 1; 0 for none.
    var slotLinks = CellArray<UInt32>()

    /// Code `id` is at `id - 1`.
    var codes: [[UInt8]] = []
    var codeHashes: [Hash32] = []

    /// What is known of contracts' storage, by `FactID`: hints that the stream brought.
    public internal(set) var facts: [ContractFact] = []

    let hash: KeyedHash
    @exclusivity(unchecked) var accountIndex = KeyIndex()
    @exclusivity(unchecked) var slotIndex = KeyIndex()
    var codeIndex = KeyIndex()

    /// Told of every change, while there is one. It unregisters itself.
    var commitment: Unmanaged<StateCommitment>?

    /// The last height applied; 0 after genesis.
    public internal(set) var height: UInt64 = 0

    /// An empty state. `seed` keys the tables (so should be secret); nothing visible depends on it.
    public init(seed: Seed) { hash = KeyedHash(seed: seed) }

    /// A state of its own with the same content: ids, facts and height too. A commitment to the original does not follow
    /// the copy. Time and memory of the whole state.
    public init(copying other: State) {
        hash = other.hash
        accountValues = CellArray(copying: other.accountValues)
        accountAddresses = CellArray(copying: other.accountAddresses)
        accountSlots = CellArray(copying: other.accountSlots)
        slotValues = CellArray(copying: other.slotValues)
        slotKeys = CellArray(copying: other.slotKeys)
        slotLinks = CellArray(copying: other.slotLinks)
        codes = other.codes
        codeHashes = other.codeHashes
        facts = other.facts
        accountIndex = KeyIndex(copying: other.accountIndex)
        slotIndex = KeyIndex(copying: other.slotIndex)
        codeIndex = KeyIndex(copying: other.codeIndex)
        height = other.height
    }

    /// Makes room, so that growing to these counts copies nothing. Untouched room costs address space, not memory.
    public func reserve(accounts: Int, slots: Int) {
        let accounts = min(accounts, StateLimits.cellCountMax)
        let slots = min(slots, StateLimits.cellCountMax)
        accountValues.reserve(accounts)
        accountAddresses.reserve(accounts)
        accountSlots.reserve(accounts)
        slotValues.reserve(slots)
        slotKeys.reserve(slots)
        slotLinks.reserve(slots)
        let (hash, addresses, keys) = (hash, accountAddresses.base, slotKeys.base)
        accountIndex.reserve(accounts) { hash(addresses[Int($0)]) }
        slotIndex.reserve(slots) { hash(account: keys[Int($0)].account.index, slot: keys[Int($0)].slot) }
    }

    // MARK: Counts

    /// Accounts with an id, present or not.
    @inlinable public var accountCount: Int { accountValues.count }
    /// Slots with an id, zero or not.
    @inlinable public var slotCount: Int { slotValues.count }
    /// Pieces of code; their ids are 1…codeCount.
    public var codeCount: Int { codes.count }

    /// Bytes allocated for cells and indexes (codes and the commitment's tree apart).
    public var memoryBytes: Int {
        accountValues.bytes + accountAddresses.bytes + accountSlots.bytes + accountIndex.bytes
            + slotValues.bytes + slotKeys.bytes + slotLinks.bytes + slotIndex.bytes
    }

    // MARK: From keys to ids

    public func account(at address: Address) -> AccountID? { account(at: address, hash: hash(address)) }

    @inline(__always)
    func account(at address: Address, hash: UInt64) -> AccountID? {
        let addresses = accountAddresses.base
        return accountIndex.find(hash) { addresses[Int($0)] == address }.map { AccountID($0) }
    }

    public func slot(_ key: SlotKey) -> SlotID? {
        slot(key, hash: hash(account: key.account.index, slot: key.slot))
    }

    @inline(__always)
    func slot(_ key: SlotKey, hash: UInt64) -> SlotID? {
        let keys = slotKeys.base
        return slotIndex.find(hash) { keys[Int($0)] == key }.map { SlotID($0) }
    }

    public func slot(at address: Address, _ slot: U256) -> SlotID? {
        guard let account = account(at: address) else { return nil }
        return self.slot(SlotKey(account: account, slot: slot))
    }

    /// Looks up many keys; `found` gets one answer per key. About twice as fast as one by one on a state larger than
    /// the caches: the first pass starts the misses of up to 32 keys before the second waits for any.
    public func slots(_ keys: [SlotKey], found: inout [SlotID?]) {
        found.removeAll(keepingCapacity: true)
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: 32) { hashes in
            var start = 0
            while start < keys.count {
                let end = min(start + 32, keys.count)
                var sum: UInt64 = 0
                for i in start..<end {
                    let h = hash(account: keys[i].account.index, slot: keys[i].slot)
                    hashes[i - start] = h
                    sum |= slotIndex.touch(h)
                }
                // Never true (an id is below 2³¹ and its tag cannot make up for it); keeps the reads from being dropped.
                if sum == .max { found.reserveCapacity(keys.count) }
                for i in start..<end { found.append(slot(keys[i], hash: hashes[i - start])) }
                start = end
            }
        }
    }

    public func code(withHash codeHash: Hash32) -> CodeID? {
        if codeHash == State.emptyCodeHash { return CodeID.none }
        return codeIndex.find(hash(codeHash.word)) { codeHashes[Int($0)] == codeHash }.map { CodeID($0 + 1) }
    }

    // MARK: From ids to keys and values

    @inlinable public func address(of id: AccountID) -> Address {
        precondition(Int(id.index) < accountAddresses.count, "unknown account id")
        return accountAddresses.base[Int(id.index)]
    }

    @inlinable public func value(of id: AccountID) -> AccountValue {
        precondition(Int(id.index) < accountValues.count, "unknown account id")
        return accountValues.base[Int(id.index)]
    }

    @inlinable public func key(of id: SlotID) -> SlotKey {
        precondition(Int(id.index) < slotKeys.count, "unknown slot id")
        return slotKeys.base[Int(id.index)]
    }

    @inlinable public func value(of id: SlotID) -> U256 {
        precondition(Int(id.index) < slotValues.count, "unknown slot id")
        return slotValues.base[Int(id.index)]
    }

    /// The bytes of a piece of code; none for `.none`.
    public func code(_ id: CodeID) -> [UInt8] { id == .none ? [] : codes[Int(id.index) - 1] }

    /// The Keccak-256 of a piece of code; that of no bytes for `.none`, as Ethereum has it.
    public func codeHash(_ id: CodeID) -> Hash32 {
        id == .none ? State.emptyCodeHash : codeHashes[Int(id.index) - 1]
    }

    /// Keccak-256 of no bytes.
    public static let emptyCodeHash = Keccak256.emptyHash

    /// Calls `body` with every slot of an account, newest first, zero or not.
    public func forEachSlot(of id: AccountID, _ body: (SlotID) -> Void) {
        precondition(Int(id.index) < accountSlots.count, "unknown account id")
        var link = accountSlots.base[Int(id.index)]
        while link != 0 {
            body(SlotID(link - 1))
            link = slotLinks.base[Int(link - 1)]
        }
    }

    /// Slots of an account, zero or not; stops counting at `limit`.
    public func slotCount(of id: AccountID, atMost limit: Int) -> Int {
        precondition(Int(id.index) < accountSlots.count, "unknown account id")
        var (link, count) = (accountSlots.base[Int(id.index)], 0)
        while link != 0, count < limit {
            count += 1
            link = slotLinks.base[Int(link - 1)]
        }
        return count
    }

    // MARK: Raw columns for hot loops, lent until the state next changes

    @inlinable public var accountValuesBase: UnsafePointer<AccountValue> { UnsafePointer(accountValues.base) }
    @inlinable public var accountAddressesBase: UnsafePointer<Address> {
        UnsafePointer(accountAddresses.base)
    }
    @inlinable public var slotValuesBase: UnsafePointer<U256> { UnsafePointer(slotValues.base) }
    @inlinable public var slotKeysBase: UnsafePointer<SlotKey> { UnsafePointer(slotKeys.base) }
}

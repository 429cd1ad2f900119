/// Gathers the writes of a mini-block's transactions and seals them into one canonical `StateDiff`. Spec 20.4.
///
/// Last writer wins per key; a key that ends as it began vanishes, and gets no id if it was unknown. The diff is a function
/// of the base state and the net writes only: the order of calls within the mini-block does not show.
///
///     builder.beginTransaction()
///     builder.setAccount(sender, balance: …, nonce: …)
///     builder.setSlot(token, slot, to: …, preimage: .mapping(base: 3, key: …))
///     builder.endTransaction()
///     builder.seal(kind: .transactions, firstHeight: h, lastHeight: h, sealedAtMicroseconds: now, into: &diff)
///     try state.apply(diff)          // before the next write: the builder reads through to the state
///
/// Reads see the pending writes. Between `seal` and the next write the caller owes the state the sealed diff; apart from
/// that the state must not change while writes are pending.
///
/// Memory: two tables of pending accounts and slots that stay as large as the largest mini-block was; no allocation per
/// write once they are. A key is looked up in the state once per mini-block, afterwards in the pending table, which the
/// caches hold.

internal import MillraceCrypto
public import MillraceBase

public final class DiffBuilder {
    public let state: State
    /// What has been written since the last seal.
    public private(set) var counts = WriteCounts()

    // Unchecked as the state's columns are, for the same reason.
    @exclusivity(unchecked) private var accounts = PendingTable<PendingAccount>()
    @exclusivity(unchecked) private var slots = PendingTable<PendingSlot>()
    private var preimages = CellArray<SlotPreimage>()
    private var newCodes: [PendingCode] = []
    /// Changes with every `beginTransaction`, so that a key is counted once in each.
    private var transaction: UInt32 = 0
    private var scratch = SealScratch()
    private var spare: [UInt64] = []
    @exclusivity(unchecked) private var trace = TransactionTrace()
    private let finder: OperationFinder?
    private var search: PreimageSearch?

    /// `findsOperations`: sealed diffs say what the transactions did (Spec 20.8), for about a microsecond per transaction.
    /// `searchesPreimages` (with that only): also where the source gives no preimages, for up to 40 ms a mini-block.
    public init(state: State, findsOperations: Bool = true, searchesPreimages: Bool = false) {
        self.state = state
        finder = findsOperations ? OperationFinder(state: state) : nil
        search = findsOperations && searchesPreimages ? PreimageSearch() : nil
    }

    /// Nothing written since the last seal.
    public var isEmpty: Bool { accounts.count == 0 && counts.transactions == 0 }

    // MARK: Transactions

    public func beginTransaction() {
        transaction &+= 1
        if finder != nil { trace.begin() }
    }

    public func endTransaction() {
        counts.transactions += 1
        trace.end()
        // What is written outside transactions is counted as if it were one more.
        transaction &+= 1
    }

    // MARK: Writes

    public func setBalance(_ address: Address, to balance: U256) {
        let entry = pending(address)
        if entry.pointee.balance == balance { return }
        let line = traceWrite(entry)
        entry.pointee.balance = balance
        line?.pointee.newBalance = balance
        countWrite(entry)
    }

    public func setNonce(_ address: Address, to nonce: UInt64) {
        let entry = pending(address)
        if entry.pointee.nonce == nonce { return }
        let line = traceWrite(entry)
        entry.pointee.nonce = nonce
        line?.pointee.newNonce = nonce
        countWrite(entry)
    }

    public func setAccount(_ address: Address, balance: U256, nonce: UInt64) {
        let entry = pending(address)
        if entry.pointee.balance == balance, entry.pointee.nonce == nonce { return }
        let line = traceWrite(entry)
        entry.pointee.balance = balance
        entry.pointee.nonce = nonce
        line?.pointee.newBalance = balance
        line?.pointee.newNonce = nonce
        countWrite(entry)
    }

    /// Deploys code; no bytes mean no code. The caller owes at most `StateLimits.codeBytesMax` bytes.
    public func setCode(_ address: Address, to code: [UInt8]) {
        precondition(code.count <= StateLimits.codeBytesMax, "code longer than StateLimits.codeBytesMax")
        let reference = code.isEmpty ? .none : codeReference(code)
        let entry = pending(address)
        if entry.pointee.code == reference { return }
        entry.pointee.code = reference
        counts.codeBytes &+= UInt64(code.count)
        countWrite(entry)
    }

    /// Writes a slot; zero clears it. The preimage is kept if the slot turns out to be new, and while operations are looked
    /// for.
    public func setSlot(_ address: Address, _ slot: U256, to value: U256, preimage: SlotPreimage = .none) {
        let account = accountEntry(address)
        let owner = accounts.base + account
        // The entry first: making it may move the table.
        let index = slotEntry(slot, of: owner, account, preimage)
        let entry = slots.base + index
        if entry.pointee.value == value { return }
        if trace.isOpen { traceWrite(entry, index, value) }
        entry.pointee.value = value
        if entry.pointee.countedIn != transaction {
            entry.pointee.countedIn = transaction
            counts.slotWrites &+= 1
            if owner.pointee.contractCountedIn != transaction {
                owner.pointee.contractCountedIn = transaction
                counts.contractWrites &+= 1
            }
        }
    }

    /// Removes the account and everything in its storage, pending writes included. It may be created again afterwards.
    public func destroy(_ address: Address) {
        let account = accountEntry(address)
        let owner = accounts.base + account
        let line = traceWrite(owner)
        line?.pointee.newBalance = .zero
        line?.pointee.newNonce = 0
        owner.pointee.balance = .zero
        owner.pointee.nonce = 0
        owner.pointee.code = .none
        owner.pointee.isDestroyed = true
        countWrite(owner)
        // Pending slots of the account first, then those only the state knows.
        var link = owner.pointee.newestSlot
        while link != 0 {
            let entry = slots.base + Int(link - 1)
            entry.pointee.value = .zero
            link = entry.pointee.nextSlot
        }
        guard owner.pointee.id != PendingAccount.unknown else { return }
        state.forEachSlot(of: AccountID(owner.pointee.id)) { id in
            if state.slotValues.base[Int(id.index)].isZero { return }
            let entry = slotEntry(state.slotKeys.base[Int(id.index)].slot, of: owner, account, .none)
            slots.base[entry].value = .zero
        }
    }

    // MARK: Writes by id, for sources that know it

    public func setBalance(_ id: AccountID, to balance: U256) {
        setBalance(state.address(of: id), to: balance)
    }
    public func setNonce(_ id: AccountID, to nonce: UInt64) { setNonce(state.address(of: id), to: nonce) }
    public func setAccount(_ id: AccountID, balance: U256, nonce: UInt64) {
        setAccount(state.address(of: id), balance: balance, nonce: nonce)
    }
    public func setSlot(_ id: AccountID, _ slot: U256, to value: U256, preimage: SlotPreimage = .none) {
        setSlot(state.address(of: id), slot, to: value, preimage: preimage)
    }

    // MARK: Reads through what is pending

    public func balance(of address: Address) -> U256 {
        read(address) {
            $0.balance
        } known: {
            $0.balance
        }
    }
    public func nonce(of address: Address) -> UInt64 {
        read(address) {
            $0.nonce
        } known: {
            $0.nonce
        }
    }

    /// The Keccak-256 of the account's code; `State.emptyCodeHash` for none.
    public func codeHash(of address: Address) -> Hash32 {
        read(address) {
            codeHash($0.code)
        } known: {
            state.codeHash($0.code)
        }
    }

    /// Whether the account has a balance, a nonce or code.
    public func isPresent(_ address: Address) -> Bool {
        read(address) {
            !$0.isAbsent
        } known: {
            !$0.isAbsent
        }
    }

    public func slotValue(_ address: Address, _ slot: U256) -> U256 {
        let h = state.hash(address)
        guard let account = pendingAccount(address, h) else {
            guard let id = state.account(at: address, hash: h) else { return .zero }
            return state.slot(SlotKey(account: id, slot: slot)).map { state.value(of: $0) } ?? .zero
        }
        let owner = accounts.base + account
        let identity = owner.pointee.identity(account)
        let slotHash = state.hash(account: identity, slot: slot)
        if let entry = slots.find(
            slotHash, where: { $0.pointee.account == account && $0.pointee.slot == slot })
        {
            return slots.base[entry].value
        }
        guard owner.pointee.id != PendingAccount.unknown else { return .zero }
        let key = SlotKey(account: AccountID(owner.pointee.id), slot: slot)
        return state.slot(key, hash: slotHash).map { state.value(of: $0) } ?? .zero
    }

    // MARK: Sealing

    /// Writes the merged diff into `diff` (whose memory is reused) and forgets what was pending. Answers what went in.
    ///
    /// Genesis diffs carry the heights 0.
    @discardableResult
    public func seal(
        kind: DiffKind, firstHeight: UInt64, lastHeight: UInt64, sealedAtMicroseconds: UInt64,
        into diff: inout StateDiff
    ) -> WriteCounts {
        precondition(
            firstHeight <= lastHeight && (kind == .genesis) == (firstHeight == 0),
            "heights do not fit the kind")
        diff.removeAll()
        diff.kind = kind
        (diff.firstHeight, diff.lastHeight) = (firstHeight, lastHeight)
        diff.sealedAtMicroseconds = sealedAtMicroseconds
        diff.transactions = counts.transactions
        diff.rawBytes = counts.rawBytes

        scratch.removeAll()
        sortSlots()
        sealAccounts(into: &diff)
        if kind == .transactions {
            search?.search(
                trace, accounts: accounts.base, accountCount: accounts.count, slots: slots.base,
                preimages: &preimages)
        }
        sealSlots(into: &diff)
        if kind == .transactions, let finder {
            finder.find(
                trace,
                in: PendingWrites(
                    accounts: accounts.base, accountCount: accounts.count, slots: slots.base,
                    slotCount: slots.count, preimages: preimages.base),
                into: &diff)
        }

        let sealed = counts
        counts = WriteCounts()
        accounts.removeAll()
        slots.removeAll()
        preimages.removeAll()
        trace.removeAll()
        newCodes.removeAll(keepingCapacity: true)
        transaction = 0
        return sealed
    }

    /// Tells changed slots from unchanged ones, known ones (sorted by id) from new ones (sorted later, when their accounts
    /// have ids). A new slot that keeps a value also keeps its account.
    private func sortSlots() {
        let entries = slots.base
        for i in 0..<slots.count {
            let entry = entries + i
            if entry.pointee.id != PendingSlot.unknown {
                if entry.pointee.value != entry.pointee.old {
                    scratch.knownSlots.append(UInt64(entry.pointee.id) << 32 | UInt64(i))
                }
            } else if !entry.pointee.value.isZero {
                scratch.newSlots.append(UInt32(i))
                accounts.base[Int(entry.pointee.account)].isNeeded = true
            }
        }
        scratch.knownSlots.sortByUpperHalf(&spare)
    }

    private func sealAccounts(into diff: inout StateDiff) {
        let entries = accounts.base
        for i in 0..<accounts.count {
            let entry = entries + i
            if entry.pointee.id == PendingAccount.unknown {
                if entry.pointee.isNeeded || !entry.pointee.isAbsent { scratch.newAccounts.append(UInt32(i)) }
            } else if entry.pointee.isChanged {
                scratch.knownAccounts.append(UInt64(entry.pointee.id) << 32 | UInt64(i))
            }
        }
        scratch.knownAccounts.sortByUpperHalf(&spare)
        if scratch.newAccounts.count > 1 {
            scratch.newAccounts.sort { entries[Int($0)].address < entries[Int($1)].address }
        }
        sealCodes(into: &diff)

        for key in scratch.knownAccounts { append(Int(truncatingIfNeeded: key & 0xFFFF_FFFF), to: &diff) }
        var next = UInt32(state.accountCount)
        for i in scratch.newAccounts {
            let entry = entries + Int(i)
            entry.pointee.id = next
            next += 1
            diff.newAccounts.append(entry.pointee.address)
            if !entry.pointee.isAbsent { append(Int(i), to: &diff) }
        }
        for i in 0..<accounts.count where entries[i].isDestroyed && entries[i].id != PendingAccount.unknown {
            diff.destroyed.append(AccountID(entries[i].id))
        }
        if diff.destroyed.count > 1 { diff.destroyed.sort() }
    }

    private func append(_ index: Int, to diff: inout StateDiff) {
        let entry = accounts.base + index
        diff.accountChanges.append(
            AccountChange(
                id: AccountID(entry.pointee.id), old: entry.pointee.old,
                new: AccountValue(
                    balance: entry.pointee.balance, nonce: entry.pointee.nonce,
                    code: codeID(entry.pointee.code))))
    }

    /// Gives ids, by hash, to the new codes that an account ends up with.
    private func sealCodes(into diff: inout StateDiff) {
        if newCodes.isEmpty { return }
        let entries = accounts.base
        for i in 0..<accounts.count {
            if let code = entries[i].code.pendingIndex { newCodes[code].isUsed = true }
        }
        let used = newCodes.indices.filter { newCodes[$0].isUsed }.sorted {
            newCodes[$0].hash < newCodes[$1].hash
        }
        var next = UInt32(state.codeCount) + 1
        for code in used {
            newCodes[code].id = CodeID(next)
            next += 1
            diff.newCodes.append(newCodes[code].bytes)
        }
    }

    private func sealSlots(into diff: inout StateDiff) {
        let entries = slots.base
        for key in scratch.knownSlots {
            let entry = entries + Int(truncatingIfNeeded: key & 0xFFFF_FFFF)
            diff.slotChanges.append(
                SlotChange(id: SlotID(entry.pointee.id), old: entry.pointee.old, new: entry.pointee.value))
        }
        let owners = accounts.base
        if scratch.newSlots.count > 1 {
            scratch.newSlots.sort { a, b in
                let (a, b) = (entries + Int(a), entries + Int(b))
                let (ownerA, ownerB) = (owners[Int(a.pointee.account)].id, owners[Int(b.pointee.account)].id)
                return ownerA != ownerB ? ownerA < ownerB : a.pointee.slot < b.pointee.slot
            }
        }
        var next = UInt32(state.slotCount)
        for i in scratch.newSlots {
            let entry = entries + Int(i)
            let key = SlotKey(
                account: AccountID(owners[Int(entry.pointee.account)].id), slot: entry.pointee.slot)
            let preimage =
                entry.pointee.preimage == 0 ? .none : preimages.base[Int(entry.pointee.preimage - 1)]
            diff.newSlots.append(NewSlot(key: key, preimage: preimage))
            diff.slotChanges.append(SlotChange(id: SlotID(next), old: .zero, new: entry.pointee.value))
            next += 1
        }
    }

    // MARK: Entries

    private func countWrite(_ entry: UnsafeMutablePointer<PendingAccount>) {
        if entry.pointee.countedIn == transaction { return }
        entry.pointee.countedIn = transaction
        counts.accountWrites &+= 1
    }

    /// The line of the trace about this account, made before the transaction's first change of it; nil outside of traced
    /// transactions. Lent until the next line is made.
    @inline(__always)
    private func traceWrite(_ entry: UnsafeMutablePointer<PendingAccount>) -> UnsafeMutablePointer<
        TracedAccount
    >? {
        guard trace.isOpen else { return nil }
        if entry.pointee.tracedIn != transaction {
            entry.pointee.tracedIn = transaction
            entry.pointee.tracedAt = UInt32(
                truncatingIfNeeded: trace.append(
                    TracedAccount(
                        entry: UInt32(truncatingIfNeeded: entry - accounts.base),
                        oldNonce: entry.pointee.nonce, newNonce: entry.pointee.nonce,
                        oldBalance: entry.pointee.balance, newBalance: entry.pointee.balance)))
        }
        return trace.accountsBase + Int(entry.pointee.tracedAt)
    }

    @inline(__always)
    private func traceWrite(_ entry: UnsafeMutablePointer<PendingSlot>, _ index: Int, _ value: U256) {
        if entry.pointee.tracedIn == transaction {
            trace.slotsBase[Int(entry.pointee.tracedAt)].new = value
        } else {
            entry.pointee.tracedIn = transaction
            entry.pointee.tracedAt = UInt32(
                truncatingIfNeeded: trace.append(
                    TracedSlot(
                        entry: UInt32(truncatingIfNeeded: index), old: entry.pointee.value, new: value)))
        }
    }

    @inline(__always)
    private func pendingAccount(_ address: Address, _ hash: UInt64) -> Int? {
        accounts.find(hash) { $0.pointee.address == address }
    }

    /// The account's entry, made if need be; lent until the next one is made.
    @inline(__always)
    private func pending(_ address: Address) -> UnsafeMutablePointer<PendingAccount> {
        let index = accountEntry(address)
        return accounts.base + index
    }

    @inline(__always)
    private func accountEntry(_ address: Address) -> Int {
        let h = state.hash(address)
        if let entry = pendingAccount(address, h) { return entry }
        let id = state.account(at: address, hash: h)
        let value = id.map { state.accountValues.base[Int($0.index)] } ?? .absent
        return accounts.insert(PendingAccount(address: address, hash: h, id: id?.index, value: value))
    }

    @inline(__always)
    private func slotEntry(
        _ slot: U256, of owner: UnsafeMutablePointer<PendingAccount>, _ account: Int, _ preimage: SlotPreimage
    ) -> Int {
        let identity = owner.pointee.identity(account)
        let h = state.hash(account: identity, slot: slot)
        if let entry = slots.find(h, where: { $0.pointee.account == account && $0.pointee.slot == slot }) {
            return entry
        }
        var entry = PendingSlot(
            slot: slot, account: UInt32(account), hash: h, nextSlot: owner.pointee.newestSlot)
        if owner.pointee.id != PendingAccount.unknown,
            let id = state.slot(SlotKey(account: AccountID(owner.pointee.id), slot: slot), hash: h)
        {
            entry.id = id.index
            entry.old = state.slotValues.base[Int(id.index)]
            entry.value = entry.old
        }
        if preimage != .none, entry.id == PendingSlot.unknown || trace.isOpen {
            preimages.append(preimage)
            entry.preimage = UInt32(preimages.count)
        }
        let index = slots.insert(entry)
        owner.pointee.newestSlot = UInt32(index + 1)
        return index
    }

    private func read<Value>(
        _ address: Address, pending: (PendingAccount) -> Value, known: (AccountValue) -> Value
    ) -> Value {
        let h = state.hash(address)
        if let entry = pendingAccount(address, h) { return pending(accounts.base[entry]) }
        return known(state.account(at: address, hash: h).map { state.value(of: $0) } ?? .absent)
    }

    // MARK: Code

    private func codeReference(_ code: [UInt8]) -> CodeReference {
        let codeHash = Keccak256.hash(code)
        if let id = state.code(withHash: codeHash) { return CodeReference(known: id) }
        // Deployments are rare and a mini-block's gas bounds them; their hashes are compared one by one.
        if let index = newCodes.firstIndex(where: { $0.hash == codeHash }) {
            return CodeReference(pending: index)
        }
        newCodes.append(PendingCode(hash: codeHash, bytes: code))
        return CodeReference(pending: newCodes.count - 1)
    }

    private func codeHash(_ code: CodeReference) -> Hash32 {
        if let index = code.pendingIndex { return newCodes[index].hash }
        return state.codeHash(CodeID(code.raw))
    }

    private func codeID(_ code: CodeReference) -> CodeID {
        code.pendingIndex.map { newCodes[$0].id } ?? CodeID(code.raw)
    }
}

/// Applying and taking back a diff: everything is checked first, then everything is written, so that a refused diff leaves
/// the state as it was. Spec 20.5.
///
/// Cost: two passes over the changes; the first pulls the cells into the cache, the second writes them. No allocation but
/// the columns' growth.

internal import MillraceBase
internal import MillraceCrypto

extension State {
    /// Applies a diff whose old values are this state's values.
    public func apply(_ diff: StateDiff) throws(DiffError) {
        try diff.checkShape()
        try checkCounts(diff)
        try checkChanges(diff)
        // A large genesis comes in parts: an account's slots, or the accounts of a code, may be in a later one.
        if diff.isSingle, diff.kind != .genesis { try checkNewKeysUsed(diff) }
        try addKeys(diff)
        facts.append(contentsOf: diff.newFacts)

        let tracker = commitment?.takeUnretainedValue()
        tracker?.willChange(diff, inverse: false)
        let accounts = accountValues.base
        for change in diff.accountChanges { accounts[Int(change.id.index)] = change.new }
        let slots = slotValues.base
        for change in diff.slotChanges { slots[Int(change.id.index)] = change.new }
        if diff.lastHeight != 0 { height = diff.lastHeight }
    }

    /// Takes back the newest diff applied: its values return to the old ones, the ids it brought are free again.
    public func revert(_ diff: StateDiff) throws(DiffError) {
        try diff.checkShape()
        try checkNewest(diff)
        for change in diff.accountChanges {
            guard Int(change.id.index) < accountCount else { throw .unknownID(.account(change.id)) }
            if accountValues.base[Int(change.id.index)] != change.new {
                throw .brokenChain(at: .account(change.id))
            }
        }
        for change in diff.slotChanges {
            guard Int(change.id.index) < slotCount else { throw .unknownID(.slot(change.id)) }
            if slotValues.base[Int(change.id.index)] != change.new {
                throw .brokenChain(at: .slot(change.id))
            }
        }
        facts.removeLast(min(diff.newFacts.count, facts.count))
        // A commitment in progress still needs leaves that are about to go.
        let tracker = commitment?.takeUnretainedValue()
        tracker?.finish()
        tracker?.willChange(diff, inverse: true)
        for change in diff.accountChanges { accountValues.base[Int(change.id.index)] = change.old }
        for change in diff.slotChanges { slotValues.base[Int(change.id.index)] = change.old }
        removeKeys(codes: diff.newCodes.count, accounts: diff.newAccounts.count, slots: diff.newSlots.count)
        tracker?.didRemoveCells()
        if diff.firstHeight != 0 { height = diff.firstHeight - 1 }
    }

    // MARK: Checks

    private func checkCounts(_ diff: StateDiff) throws(DiffError) {
        guard diff.newAccounts.count <= StateLimits.cellCountMax - accountCount,
            diff.newSlots.count <= StateLimits.cellCountMax - slotCount,
            diff.newCodes.count <= StateLimits.cellCountMax - codeCount,
            diff.newFacts.count <= StateLimits.factCountMax - facts.count
        else { throw .full }
    }

    private func checkChanges(_ diff: StateDiff) throws(DiffError) {
        let accountEnd = accountCount + diff.newAccounts.count
        let slotEnd = slotCount + diff.newSlots.count
        for (i, fact) in diff.newFacts.enumerated()
        where !fact.isBelow(accounts: accountEnd, facts: facts.count + i) {
            throw .notCanonical(.fact)
        }
        let codeEnd = codeCount + diff.newCodes.count
        for new in diff.newSlots where Int(new.key.account.index) >= accountEnd {
            throw .unknownID(.account(new.key.account))
        }
        for id in diff.destroyed where Int(id.index) >= accountEnd { throw .unknownID(.account(id)) }

        let accounts = accountValues.base
        let accountCount = accountCount
        for change in diff.accountChanges {
            let at = Int(change.id.index)
            guard at < accountEnd else { throw .unknownID(.account(change.id)) }
            guard Int(change.new.code.index) <= codeEnd else { throw .unknownID(.code(change.new.code)) }
            let current = at < accountCount ? accounts[at] : .absent
            if current != change.old { throw .brokenChain(at: .account(change.id)) }
        }
        let slots = slotValues.base
        let slotCount = slotCount
        for change in diff.slotChanges {
            let at = Int(change.id.index)
            guard at < slotEnd else { throw .unknownID(.slot(change.id)) }
            let current = at < slotCount ? slots[at] : .zero
            if current != change.old { throw .brokenChain(at: .slot(change.id)) }
        }
    }

    /// In a single mini-block every new key has a value after it (Spec 20.4): otherwise it gets no id.
    private func checkNewKeysUsed(_ diff: StateDiff) throws(DiffError) {
        // Changes ascend, so those of new slots are the last ones, and there is one for each.
        guard diff.slotChanges.count >= diff.newSlots.count else { throw .notCanonical(.newKeyUnused) }
        if !diff.newSlots.isEmpty {
            let first = diff.slotChanges[diff.slotChanges.count - diff.newSlots.count]
            if Int(first.id.index) != slotCount { throw .notCanonical(.newKeyUnused) }
        }
        // New accounts have a change, or one of the new slots, which are sorted by account.
        var change = diff.accountChanges.count
        while change > 0, Int(diff.accountChanges[change - 1].id.index) >= accountCount { change -= 1 }
        var slot = diff.newSlots.count
        while slot > 0, Int(diff.newSlots[slot - 1].key.account.index) >= accountCount { slot -= 1 }
        for i in 0..<diff.newAccounts.count {
            let id = AccountID(UInt32(accountCount + i))
            var used = false
            if change < diff.accountChanges.count, diff.accountChanges[change].id == id {
                used = true
                change += 1
            }
            while slot < diff.newSlots.count, diff.newSlots[slot].key.account == id {
                used = true
                slot += 1
            }
            if !used { throw .notCanonical(.newKeyUnused) }
        }
        if !diff.newCodes.isEmpty {
            var used = [Bool](repeating: false, count: diff.newCodes.count)
            for change in diff.accountChanges where Int(change.new.code.index) > codeCount {
                used[Int(change.new.code.index) - codeCount - 1] = true
            }
            if used.contains(false) { throw .notCanonical(.newKeyUnused) }
        }
    }

    /// The ids a diff brought must be the newest ones, and nothing else may hang on them.
    private func checkNewest(_ diff: StateDiff) throws(DiffError) {
        let accountStart = accountCount - diff.newAccounts.count
        let slotStart = slotCount - diff.newSlots.count
        let codeStart = codeCount - diff.newCodes.count
        guard accountStart >= 0, slotStart >= 0, codeStart >= 0 else { throw .full }
        for (i, code) in diff.newCodes.enumerated() where codes[codeStart + i] != code {
            throw .brokenChain(at: .code(CodeID(UInt32(codeStart + i + 1))))
        }
        for (i, address) in diff.newAccounts.enumerated() {
            let id = AccountID(UInt32(accountStart + i))
            if self.address(of: id) != address { throw .brokenChain(at: .account(id)) }
            var broken = false
            forEachSlot(of: id) { if Int($0.index) < slotStart { broken = true } }
            if broken { throw .brokenChain(at: .account(id)) }
        }
        for (i, new) in diff.newSlots.enumerated() {
            let id = SlotID(UInt32(slotStart + i))
            if key(of: id) != new.key { throw .brokenChain(at: .slot(id)) }
        }
    }

    // MARK: Keys

    /// Gives the diff's new keys their ids, in order. Finding one that has an id already takes back those before it.
    private func addKeys(_ diff: StateDiff) throws(DiffError) {
        let (codeStart, accountStart, slotStart) = (codeCount, accountCount, slotCount)
        var known: CellID?
        // A single mini-block's codes ascend by hash.
        var last: Hash32?
        for code in diff.newCodes {
            let codeHash = Keccak256.hash(code)
            if let id = self.code(withHash: codeHash) { known = .code(id) }
            if let last, diff.isSingle, codeHash <= last {
                removeKeys(codes: codeCount - codeStart, accounts: 0, slots: 0)
                throw .notCanonical(.newKeyOrder)
            }
            if known != nil { break }
            last = codeHash
            addCode(code, codeHash)
        }
        if known == nil {
            for address in diff.newAccounts where !addAccount(address) {
                known = account(at: address).map { .account($0) }
                break
            }
        }
        if known == nil {
            for new in diff.newSlots where !addSlot(new.key) {
                known = slot(new.key).map { .slot($0) }
                break
            }
        }
        if let known {
            removeKeys(
                codes: codeCount - codeStart, accounts: accountCount - accountStart,
                slots: slotCount - slotStart)
            throw .alreadyKnown(known)
        }
    }

    private func addCode(_ code: [UInt8], _ codeHash: Hash32) {
        codeIndex.insert(hash(codeHash.word), id: UInt32(codeCount)) {
            self.hash(self.codeHashes[Int($0)].word)
        }
        codes.append(code)
        codeHashes.append(codeHash)
    }

    /// False when the address has an id already.
    private func addAccount(_ address: Address) -> Bool {
        let h = hash(address)
        if account(at: address, hash: h) != nil { return false }
        let (hash, addresses) = (hash, accountAddresses.base)
        accountIndex.insert(h, id: UInt32(accountCount)) { hash(addresses[Int($0)]) }
        accountAddresses.append(address)
        accountValues.append(.absent)
        accountSlots.append(0)
        return true
    }

    /// False when the key has an id already.
    private func addSlot(_ key: SlotKey) -> Bool {
        let h = hash(account: key.account.index, slot: key.slot)
        if slot(key, hash: h) != nil { return false }
        let id = UInt32(slotCount)
        let (hash, keys) = (hash, slotKeys.base)
        slotIndex.insert(h, id: id) { hash(account: keys[Int($0)].account.index, slot: keys[Int($0)].slot) }
        slotKeys.append(key)
        slotValues.append(.zero)
        let account = Int(key.account.index)
        slotLinks.append(accountSlots.base[account])
        accountSlots.base[account] = id + 1
        return true
    }

    /// Takes back the newest ids: the slots first, since they hang on accounts.
    private func removeKeys(codes removedCodes: Int, accounts: Int, slots: Int) {
        let (hash, keys, addresses) = (hash, slotKeys.base, accountAddresses.base)
        for _ in 0..<slots {
            let id = slotCount - 1
            let key = keys[id]
            slotIndex.remove(hash(account: key.account.index, slot: key.slot), id: UInt32(id)) {
                hash(account: keys[Int($0)].account.index, slot: keys[Int($0)].slot)
            }
            accountSlots.base[Int(key.account.index)] = slotLinks.base[id]
            slotKeys.removeLast(1)
            slotValues.removeLast(1)
            slotLinks.removeLast(1)
        }
        for _ in 0..<accounts {
            let id = accountCount - 1
            accountIndex.remove(hash(addresses[id]), id: UInt32(id)) { hash(addresses[Int($0)]) }
            accountAddresses.removeLast(1)
            accountValues.removeLast(1)
            accountSlots.removeLast(1)
        }
        for _ in 0..<removedCodes {
            let id = codeCount - 1
            codeIndex.remove(hash(codeHashes[id].word), id: UInt32(id)) {
                self.hash(self.codeHashes[Int($0)].word)
            }
            codes.removeLast()
            codeHashes.removeLast()
        }
    }
}

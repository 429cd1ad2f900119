/// Encoding: columns in the order of Spec 30.3.

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// Appends the payload of `diff` to `payload`. `base` is the state before it; the diff must be one that `base` accepts,
    /// and no genesis. Call once per diff: the models learn from it. Operations that cannot be told are left out.
    public func encode(_ diff: StateDiff, base: State, into payload: inout [UInt8]) {
        precondition(diff.kind != .genesis, "genesis is not for the wire")
        precondition(
            diff.accountChanges.count <= CodecLimits.keyCountMax
                && diff.slotChanges.count <= CodecLimits.keyCountMax
                && diff.newSlots.count <= CodecLimits.keyCountMax, "more keys than a payload may carry")
        precondition(
            diff.lastHeight &- diff.firstHeight < UInt64(CodecLimits.heightCountMax),
            "more heights than a payload may carry")
        beginPayload(firstHeight: diff.firstHeight, lastHeight: diff.lastHeight)
        if diff.isEmpty, diff.kind == .transactions, diff.transactions == 0, diff.rawBytes == 0,
            diff.newFacts.isEmpty, diff.operations.transactions.isEmpty
        {
            return
        }
        let start = payload.count
        var told = diff
        leavesOutOperations = !isTellable(diff, base: base)
        if leavesOutOperations { told.operations = Codec.withoutTransactions(diff) }
        if !encodeCoded(&told, base: base, into: &payload) {
            abandonPayload()
            leavesOutOperations = true
            told = diff
            told.operations = Codec.withoutTransactions(diff)
            let isTold = encodeCoded(&told, base: base, into: &payload)
            precondition(isTold, "new keys and facts cannot be told")
        }
        let coded = payload.count - start
        // Facts and operations have no plain form, nor have the heights of a window.
        if coded > PlainForm.bytesMin(diff), diff.isSingle, diff.newFacts.isEmpty,
            told.operations.transactions.isEmpty
        {
            var plain: [UInt8] = []
            PlainForm.encode(diff, base: base, into: &plain)
            if plain.count < coded {
                abandonPayload()
                payload.removeLast(coded)
                payload.append(contentsOf: plain)
            }
        }
    }

    /// Leaves out of the diff encoded last the operations that its payload leaves out, since they cannot be told (they may
    /// come from a file). A sequencer of several cadences does so with each mini-block before it composes windows: then
    /// followers of all cadences see the same operations.
    public func dropUntold(_ diff: inout StateDiff) {
        if leavesOutOperations { diff.operations = Codec.withoutTransactions(diff) }
    }

    /// The payload encoded last leaves out operations that its diff has.
    public var leftOutOperations: Bool { leavesOutOperations }

    /// The diff as values alone: what its transactions did is left out.
    public static func valuesOnly(_ diff: StateDiff) -> StateDiff {
        var values = diff
        values.operations = withoutTransactions(diff)
        return values
    }

    /// Sections that only tell new keys and facts apart. A window without sections becomes one whose first height brings
    /// everything.
    static func withoutTransactions(_ diff: StateDiff) -> Operations {
        var operations = Operations()
        let heights = diff.lastHeight - diff.firstHeight + 1
        let isUsable =
            UInt64(diff.sections.count) == heights
            && diff.sections.reduce(0) { $0 + Int($1.newSlots) } == diff.newSlots.count
            && diff.sections.reduce(0) { $0 + Int($1.newAccounts) } == diff.newAccounts.count
            && diff.sections.reduce(0) { $0 + Int($1.newFacts) } == diff.newFacts.count
        for i in 0..<heights {
            var section = Section()
            if isUsable {
                let given = diff.sections[Int(i)]
                section.newAccounts = given.newAccounts
                section.newSlots = given.newSlots
                section.newFacts = given.newFacts
                section.newCodes = given.newCodes
            } else if i == 0 {
                section.newAccounts = UInt32(diff.newAccounts.count)
                section.newSlots = UInt32(diff.newSlots.count)
                section.newFacts = UInt32(diff.newFacts.count)
                section.newCodes = UInt32(diff.newCodes.count)
            }
            operations.sections.append(section)
        }
        return operations
    }

    /// Operations first, since what they predict decides what is left to tell; both parts share one pair of streams, so the
    /// header, which counts the patches, is put before them at the end. False, with nothing appended, when the operations
    /// turn out not to run.
    private func encodeCoded(_ diff: inout StateDiff, base: State, into payload: inout [UInt8]) -> Bool {
        let start = payload.count
        writer.reset()
        beginCharging()
        charge(.checks, writer)
        runner.begin(base: base)
        predicted.removeAll()
        codes.encode(diff.newCodes, base: base, to: &writer)
        charge(.codes, writer)
        var cursor = SectionCursor()
        do throws(CodecError) {
            for i in diff.operations.sections.indices {
                var section = diff.operations.sections[i]
                try codeSection(&section, of: &diff, at: &cursor, base: base, &writer)
            }
        } catch {
            // Swaps that wait for one another: nothing else is left after `isTellable`.
            return false
        }
        let changes =
            diff.destroyed.isEmpty
            ? diff.slotChanges : Destruction.explicitChanges(diff, base: base)
        let told = toldSlots(diff, base: base)
        patches.find(diff, changes: changes, runner.overlay, base: base)
        charge(.patches, writer)
        for patch in patches.accounts { accountActivity.patch(patch.id.index) }
        for patch in patches.slots { slotActivity.patch(patch.id.index) }
        encodePatches(diff, told: told, base: base, to: &writer)
        writer.range.finish()

        let header = PayloadHeader(
            form: .coded, kind: diff.kind, transactions: diff.transactions, rawBytes: diff.rawBytes,
            newCodes: diff.newCodes.count, newAccounts: 0, newSlots: told.count,
            destroyed: diff.destroyed.count, accountChanges: patches.accounts.count,
            slotChanges: patches.slots.count)
        header.append(to: &payload)
        ledger?.add(Double(payload.count - start) * 8, to: .header)
        payload.appendVarint(UInt64(writer.range.count))
        writer.range.append(to: &payload)
        writer.bits.append(to: &payload)
        let least = CodecLimits.payloadBytesMin(keys: header.keyCount, work: writer.work)
        if payload.count - start < least {
            payload.append(contentsOf: repeatElement(0, count: least - (payload.count - start)))
        }
        ledger?.add(Double(payload.count - start) * 8, to: .form)
        return true
    }

    /// New slots that no operation predicted, in order; `toldEnds` says where each section's end. All new slots get their
    /// ids.
    private func toldSlots(_ diff: StateDiff, base: State) -> [NewSlot] {
        var told: [NewSlot] = []
        toldEnds.removeAll(keepingCapacity: true)
        var (at, id) = (0, base.slotCount)
        for (s, section) in diff.operations.sections.enumerated() {
            let first = told.count
            for i in at..<at + Int(section.newSlots) where !predicted.slotIsPredicted[i] {
                told.append(diff.newSlots[i])
            }
            at += Int(section.newSlots)
            toldEnds.append(told.count)
            id = nameSlots(section: s, told: told[first...], first: id) { _, _ in }
        }
        return told
    }

    private func encodePatches(
        _ diff: StateDiff, told: [NewSlot], base: State, to writer: inout ColumnWriter
    ) {
        let isSingle = diff.firstHeight == diff.lastHeight
        NewKeys.encode(destroyed: diff.destroyed, to: &writer)
        writer.work += Destruction.work(diff.destroyed, base: base, limit: .max)
        charge(.destroyed, writer)
        // Patches ascend, so those of new keys are the last.
        var knownSlots = patches.slots.count
        while knownSlots > 0, Int(patches.slots[knownSlots - 1].id.index) >= base.slotCount {
            knownSlots -= 1
        }
        encodePredictedSlots(diff, from: knownSlots, base: base, to: &writer)
        if !isSingle { encodeToldSlots(diff, told, from: knownSlots, base: base, to: &writer) }
        charge(.newSlots, writer)

        encodeAccountKeys(diff, base: base, to: &writer)
        charge(.accountKeys, writer)
        patches.accounts.withUnsafeBufferPointer {
            accountValues.encode($0, codeCount: base.codeCount + diff.newCodes.count, to: &writer)
        }
        charge(.accountValues, writer)

        if isSingle {
            encodeNames(diff, told, knownCount: knownSlots, base: base, to: &writer)
        } else {
            slotKinds.ensure(patches.slots.count)
            slotKinds.base.update(repeating: 0, count: patches.slots.count)
            ids.ensure(knownSlots)
            let ids = ids.base
            for i in 0..<knownSlots { ids[i] = patches.slots[i].id.index }
            slotActivity.encode(ids, count: knownSlots, known: base.slotCount, table: 1, to: &writer)
        }
        charge(.slotKeys, writer)
        patches.slots.withUnsafeBufferPointer { changes in
            diff.newSlots.withUnsafeBufferPointer { newSlots in
                encodeSlotValues(changes, newSlots, diff: diff, base: base, values: &slotValues, to: &writer)
            }
        }
        charge(.slotValues, writer)
    }

    /// Whether predicted new slots have a patch.
    private func encodePredictedSlots(
        _ diff: StateDiff, from: Int, base: State, to writer: inout ColumnWriter
    ) {
        var patch = from
        for i in 0..<diff.newSlots.count where predicted.slotIsPredicted[i] {
            writer.bit(isPatched(base.slotCount + i, from: &patch), ModelMap.predictedSlotPatched)
        }
    }

    private func isPatched(_ id: Int, from patch: inout Int) -> Bool {
        while patch < patches.slots.count, Int(patches.slots[patch].id.index) < id { patch += 1 }
        return patch < patches.slots.count && Int(patches.slots[patch].id.index) == id
    }

    /// A window's new slots that were not predicted, section by section, and whether they have a patch.
    private func encodeToldSlots(
        _ diff: StateDiff, _ told: [NewSlot], from: Int, base: State, to writer: inout ColumnWriter
    ) {
        var toldIDs: [Int] = []
        toldIDs.reserveCapacity(told.count)
        for i in 0..<diff.newSlots.count where !predicted.slotIsPredicted[i] {
            toldIDs.append(base.slotCount + i)
        }
        var patch = from
        var start = 0
        for end in toldEnds {
            writer.number(UInt64(end - start), treeBits: ModelMap.shortNumberBits, ModelMap.newSlotCount)
            if end > start {
                NewKeys.encode(
                    slots: Array(told[start..<end]),
                    isChanged: { isPatched(toldIDs[start + $0], from: &patch) }, to: &writer)
            }
            start = end
        }
    }

    /// A single mini-block's patched keys: known ones, and new ones that were not predicted.
    private func encodeNames(
        _ diff: StateDiff, _ told: [NewSlot], knownCount: Int, base: State, to writer: inout ColumnWriter
    ) {
        let slotCount = base.slotCount
        var named: [SlotChange] = []
        if predicted.slots.isEmpty {
            named = patches.slots
        } else {
            named.reserveCapacity(knownCount + told.count)
            for (i, patch) in patches.slots.enumerated()
            where i < knownCount || !predicted.slotIsPredicted[Int(patch.id.index) - slotCount] {
                named.append(patch)
            }
        }
        named.withUnsafeBufferPointer {
            encodeSlotKeys(diff, told: told, changes: $0, knownCount: knownCount, base: base, to: &writer)
        }
        if named.count == patches.slots.count { return }
        // Kinds by patch: those of predicted slots are not told.
        slotKinds.grow(to: patches.slots.count, keeping: named.count)
        var next = named.count
        for i in (knownCount..<patches.slots.count).reversed() {
            if predicted.slotIsPredicted[Int(patches.slots[i].id.index) - slotCount] {
                slotKinds.base[i] = 0
            } else {
                next -= 1
                slotKinds.base[i] = slotKinds.base[next]
            }
        }
    }

    private func encodeAccountKeys(_ diff: StateDiff, base: State, to writer: inout ColumnWriter) {
        let changes = patches.accounts
        let known = base.accountCount
        var knownChanges = changes.count
        while knownChanges > 0, Int(changes[knownChanges - 1].id.index) >= known { knownChanges -= 1 }
        var at = knownChanges
        for i in 0..<diff.newAccounts.count {
            let isChanged = at < changes.count && Int(changes[at].id.index) == known + i
            writer.bit(
                isChanged,
                predicted.accounts[i] ? ModelMap.predictedAccountPatched : ModelMap.newAccountChanged)
            if isChanged { at += 1 }
        }
        ids.ensure(knownChanges)
        let ids = ids.base
        changes.withUnsafeBufferPointer { for i in 0..<knownChanges { ids[i] = $0[i].id.index } }
        accountActivity.encode(ids, count: knownChanges, known: known, table: 0, to: &writer)
    }

    private func encodeSlotValues(
        _ changes: UnsafeBufferPointer<SlotChange>, _ newSlots: UnsafeBufferPointer<NewSlot>, diff: StateDiff,
        base: State, values: inout SlotValues, to writer: inout ColumnWriter
    ) {
        guard !changes.isEmpty else { return }
        let slotCount = base.slotCount
        let keys = base.slotKeysBase
        contracts.ensure(changes.count)
        let contracts = contracts.base
        for i in 0..<changes.count {
            let id = Int(changes[i].id.index)
            contracts[i] =
                id < slotCount ? keys[id].account.index : newSlots[id - slotCount].key.account.index
        }
        groups.build(contracts, count: changes.count)
        values.encodeTime(PayloadTime.find(changes), to: &writer)
        diff.accountChanges.withUnsafeBufferPointer { accountChanges in
            let accounts = ValueAccounts(
                changes: accountChanges,
                context: NameContext(base: base, newAccounts: diff.newAccounts, spread: accountSpread))
            encodeGroups(
                changes, accounts, destroyed: diff.destroyed, base: base, values: &values, to: &writer)
        }
    }

    private func encodeGroups(
        _ changes: UnsafeBufferPointer<SlotChange>, _ accounts: ValueAccounts, destroyed: [AccountID],
        base: State, values: inout SlotValues, to writer: inout ColumnWriter
    ) {
        let (order, ends) = (groups.order.base, groups.ends.base)
        let (keys, slotCount) = (base.slotKeysBase, base.slotCount)
        var from = 0
        for g in 0..<groups.count {
            let end = Int(ends[g])
            let contract = contracts.base[Int(order[from])]
            var context = contractContext(contract, destroyed: destroyed, base: base)
            values.beginContract()
            for i in from..<end {
                let at = Int(order[i])
                let (change, id) = (changes[at], Int(changes[at].id.index))
                context.kind = slotKinds.base[at]
                context.accrued =
                    values.time == 0 || id >= slotCount
                    ? nil
                    : PayloadTime.accrued(
                        base.slotValuesBase[id], slot: keys[id].slot, account: contract, time: values.time,
                        base: base)
                values.encode(old: change.old, new: change.new, context, accounts, to: &writer)
            }
            from = end
        }
    }

    /// The contract as it was before the diff.
    func contractContext(_ account: UInt32, destroyed: [AccountID], base: State) -> ContractContext {
        let known = Int(account) < base.accountCount
        return ContractContext(
            contract: Int(account), code: known ? Int(base.accountValuesBase[Int(account)].code.index) : 0,
            isDestroyed: !destroyed.isEmpty && Destruction.contains(destroyed, AccountID(account)))
    }

    // MARK: Both directions

    /// One height: its operations, run, and the keys they brought.
    func codeSection<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: inout SectionCursor, base: State,
        _ coder: inout C
    ) throws(CodecError) {
        try codeOperations(&section, of: &diff, at: &cursor, base: base, &coder)
        cursor.transactions += Int(section.transactions)
        cursor.actions += Int(section.actions)
        cursor.literals += Int(section.literals)
        try codeNewAccounts(&section, of: &diff, at: &cursor, &coder)
        charge(.newAccounts, coder)
        codePredictedSlots(section, of: diff, at: &cursor, &coder)
        if coder.isOverrun { throw .truncated }
        charge(.newSlots, coder)
    }
}

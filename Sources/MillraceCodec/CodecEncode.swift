/// Encoding: columns in the order of Spec 30.3.

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// Appends the payload of `diff` to `payload`. `base` is the state before it; the diff must be one that `base` accepts,
    /// and no genesis. Call once per diff: the models learn from it.
    public func encode(_ diff: StateDiff, base: State, into payload: inout [UInt8]) {
        precondition(diff.kind != .genesis, "genesis is not for the wire")
        precondition(
            diff.accountChanges.count <= CodecLimits.keyCountMax
                && diff.slotChanges.count <= CodecLimits.keyCountMax
                && diff.newSlots.count <= CodecLimits.keyCountMax, "more keys than a payload may carry")
        beginPayload(firstHeight: diff.firstHeight)
        if diff.isEmpty, diff.kind == .transactions, diff.transactions == 0, diff.rawBytes == 0 { return }

        let start = payload.count
        encodeCoded(diff, base: base, into: &payload)
        let coded = payload.count - start
        if coded > PlainForm.bytesMin(diff) {
            var plain: [UInt8] = []
            PlainForm.encode(diff, base: base, into: &plain)
            if plain.count < coded {
                abandonPayload()
                payload.removeLast(coded)
                payload.append(contentsOf: plain)
            }
        }
    }

    private func encodeCoded(_ diff: StateDiff, base: State, into payload: inout [UInt8]) {
        let start = payload.count
        // Clearings that follow from destruction are left out, restored values put in: only then a list of its own.
        if diff.destroyed.isEmpty {
            encodeCoded(diff, changes: diff.slotChanges, base: base, into: &payload)
        } else {
            encodeCoded(
                diff, changes: Destruction.explicitChanges(diff, base: base), base: base, into: &payload)
        }
        ledger?.add(Double(payload.count - start) * 8, to: .form)
    }

    private func encodeCoded(
        _ diff: StateDiff, changes: [SlotChange], base: State, into payload: inout [UInt8]
    ) {
        let start = payload.count
        let header = PayloadHeader(
            form: .coded, kind: diff.kind, transactions: diff.transactions, rawBytes: diff.rawBytes,
            newCodes: diff.newCodes.count, newAccounts: diff.newAccounts.count, newSlots: diff.newSlots.count,
            destroyed: diff.destroyed.count, accountChanges: diff.accountChanges.count,
            slotChanges: changes.count)
        header.append(to: &payload)
        ledger?.add(Double(payload.count - start) * 8, to: .header)
        writer.reset()
        encodeColumns(diff, changes: changes, base: base, to: &writer)
        writer.range.finish()
        payload.appendVarint(UInt64(writer.range.count))
        writer.range.append(to: &payload)
        writer.bits.append(to: &payload)
        let least = CodecLimits.payloadBytesMin(keys: header.keyCount, work: writer.work)
        if payload.count - start < least {
            payload.append(contentsOf: repeatElement(0, count: least - (payload.count - start)))
        }
    }

    private func encodeColumns(
        _ diff: StateDiff, changes: [SlotChange], base: State, to writer: inout ColumnWriter
    ) {
        let isSingle = diff.firstHeight == diff.lastHeight
        let (accountCount, slotCount) = (base.accountCount, base.slotCount)
        var spent = 0.0
        func charge(_ column: ColumnLedger.Column, _ writer: borrowing ColumnWriter) {
            guard ledger != nil else { return }
            let now = writer.bitsSpent
            ledger?.add(now - spent, to: column)
            spent = now
        }

        codes.encode(diff.newCodes, base: base, to: &writer)
        charge(.codes, writer)
        NewKeys.encode(accounts: diff.newAccounts, to: &writer)
        charge(.newAccounts, writer)
        NewKeys.encode(destroyed: diff.destroyed, to: &writer)
        charge(.destroyed, writer)
        // Changes ascend, so those of new keys are the last.
        var knownSlots = changes.count
        while knownSlots > 0, Int(changes[knownSlots - 1].id.index) >= slotCount { knownSlots -= 1 }
        if !isSingle {
            var at = knownSlots
            NewKeys.encode(
                slots: diff.newSlots,
                isChanged: { i in
                    guard at < changes.count, Int(changes[at].id.index) == slotCount + i else { return false }
                    at += 1
                    return true
                }, to: &writer)
            charge(.newSlots, writer)
        }

        encodeAccountKeys(diff, known: accountCount, to: &writer)
        charge(.accountKeys, writer)
        diff.accountChanges.withUnsafeBufferPointer {
            accountValues.encode($0, codeCount: base.codeCount + diff.newCodes.count, to: &writer)
        }
        charge(.accountValues, writer)

        changes.withUnsafeBufferPointer { changes in
            if isSingle {
                encodeSlotKeys(diff, changes: changes, knownCount: knownSlots, base: base, to: &writer)
            } else {
                ids.ensure(knownSlots)
                let ids = ids.base
                for i in 0..<knownSlots { ids[i] = changes[i].id.index }
                slotActivity.encode(ids, count: knownSlots, known: slotCount, table: 1, to: &writer)
            }
        }
        charge(.slotKeys, writer)

        changes.withUnsafeBufferPointer { changes in
            diff.newSlots.withUnsafeBufferPointer { newSlots in
                encodeSlotValues(changes, newSlots, diff: diff, base: base, values: &slotValues, to: &writer)
            }
        }
        charge(.slotValues, writer)
    }

    private func encodeAccountKeys(_ diff: StateDiff, known: Int, to writer: inout ColumnWriter) {
        let changes = diff.accountChanges
        var knownChanges = changes.count
        while knownChanges > 0, Int(changes[knownChanges - 1].id.index) >= known { knownChanges -= 1 }
        var at = knownChanges
        for i in 0..<diff.newAccounts.count {
            let isChanged = at < changes.count && Int(changes[at].id.index) == known + i
            writer.bit(isChanged, ModelMap.newAccountChanged)
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
        let (order, ends) = (groups.order.base, groups.ends.base)
        var from = 0
        for g in 0..<groups.count {
            let end = Int(ends[g])
            let context = contractContext(contracts[Int(order[from])], destroyed: diff.destroyed, base: base)
            values.beginContract()
            for i in from..<end {
                let change = changes[Int(order[i])]
                values.encode(old: change.old, new: change.new, context, to: &writer)
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
}

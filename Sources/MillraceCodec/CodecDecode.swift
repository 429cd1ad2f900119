/// Decoding: the mirror of CodecEncode.swift, into a staging diff. Total; see `Codec` for what it promises.

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// Reads the payload of the diff that follows `base`. The caller has set `diff.firstHeight` and `lastHeight` (and the
    /// time) from the slice header; everything else is filled in here. After an error `diff` is empty, the heights kept.
    public func decode(_ payload: RawSpan, base: State, into diff: inout StateDiff) throws(CodecError) {
        let (first, last, sealedAt) = (diff.firstHeight, diff.lastHeight, diff.sealedAtMicroseconds)
        func clear(_ diff: inout StateDiff) {
            diff.removeAll()
            (diff.firstHeight, diff.lastHeight, diff.sealedAtMicroseconds) = (first, last, sealedAt)
        }
        clear(&diff)
        guard first <= last, last - first < UInt64(CodecLimits.heightCountMax) else {
            throw .badCount(.heights)
        }
        beginPayload(firstHeight: first, lastHeight: last)
        guard payload.byteCount > 0 else {
            // The heights of a window stay told apart, for who composes it with others.
            if first < last {
                diff.operations.sections.append(
                    contentsOf: repeatElement(Section(), count: Int(last - first) + 1))
            }
            return
        }
        do {
            var reader = ByteReader(payload)
            let header = try PayloadHeader(from: &reader, payloadBytes: payload.byteCount, base: base)
            diff.kind = header.kind
            diff.transactions = header.transactions
            diff.rawBytes = header.rawBytes
            switch header.form {
            case .plain:
                try decodeCodes(header, into: &diff, from: &reader)
                try PlainForm.decode(header, base: base, into: &diff, from: &reader)
            case .coded: try decodeCoded(header, base: base, into: &diff, from: &reader)
            }
        } catch {
            abandonPayload()
            clear(&diff)
            throw error
        }
    }

    private func decodeCodes(
        _ header: PayloadHeader, into diff: inout StateDiff, from reader: inout ByteReader
    ) throws(CodecError) {
        for _ in 0..<header.newCodes {
            let length = try PayloadHeader.count(.codeBytes, atMost: CodecLimits.codeBytesMax, from: &reader)
            guard length > 0 else { throw .badCount(.codeBytes) }
            guard length <= reader.remaining, let code = try? reader.array(length) else { throw .truncated }
            diff.newCodes.append(code)
        }
    }

    private func decodeCoded(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from bytes: inout ByteReader
    ) throws(CodecError) {
        let rangeBytes = try PayloadHeader.count(.rangeBytes, atMost: bytes.remaining, from: &bytes)
        guard rangeBytes <= bytes.remaining else { throw .truncated }
        let left = bytes.remaining
        guard let rest = try? bytes.span(left) else { throw .truncated }
        let failure: CodecError? = rest.withUnsafeBytes { raw in
            // An empty span may have no address; nothing is read through the stand-in.
            let start = UnsafePointer(
                raw.baseAddress?.assumingMemoryBound(to: UInt8.self) ?? UnsafePointer(standIn))
            var reader = ColumnReader(
                range: RangeDecoder(start, count: rangeBytes),
                bits: BitReader(start + rangeBytes, count: left - rangeBytes), models: bank.models,
                workLeft: header.workMax)
            do throws(CodecError) {
                try decodeColumns(header, base: base, into: &diff, from: &reader)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        patches.completeSlots(&diff, runner.overlay, base: base)
        ledger?.add(0, to: .patches)
        // One height without transactions needs no sections.
        if diff.isSingle, diff.operations.transactions.isEmpty { diff.operations.removeAll() }
        if !diff.destroyed.isEmpty { try Destruction.completeChanges(&diff, base: base) }
    }

    private func checkEnd(_ header: PayloadHeader, _ reader: ColumnReader) throws(CodecError) {
        if reader.isOverrun { throw .truncated }
        guard reader.range.isUsedUp, reader.bits.isPaddingZero else { throw .trailingBytes }
        let leftOver = reader.bits.leftOverBytes
        if leftOver == 0 { return }
        // Zero bytes up to the least length for so many keys, and no further (Spec 30.3).
        let work = header.workMax - reader.workLeft
        guard header.payloadBytes == CodecLimits.payloadBytesMin(keys: header.keyCount, work: work),
            reader.bits.isRestZero
        else { throw .trailingBytes }
    }

    private func decodeColumns(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) {
        ledger?.add(0, to: .header)
        try codes.decode(header.newCodes, base: base, into: &diff.newCodes, from: &reader)
        charge(.codes, reader)
        runner.begin(base: base)
        predicted.removeAll()
        var cursor = SectionCursor()
        let heights = diff.lastHeight - diff.firstHeight + 1
        for _ in 0..<heights {
            var section = Section()
            try codeSection(&section, of: &diff, at: &cursor, base: base, &reader)
            guard diff.operations.actions.count <= CodecLimits.actionCountMax,
                diff.operations.transactions.count <= CodecLimits.actionCountMax
            else { throw .badCount(.operations) }
            diff.operations.sections.append(section)
        }
        try decodePatches(header, base: base, into: &diff, from: &reader)
        charge(.slotValues, reader)
        try checkEnd(header, reader)
    }

    private func decodePatches(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) {
        let accountEnd = runner.accountEnd
        try NewKeys.decodeDestroyed(
            header.destroyed, accountEnd: accountEnd, into: &diff.destroyed, from: &reader)
        try reader.spend(Destruction.work(diff.destroyed, base: base, limit: reader.workLeft))
        charge(.destroyed, reader)
        // Which of the predicted new slots have a patch, by their place among them.
        predicted.patched.removeAll(keepingCapacity: true)
        var patchedCount = 0
        for _ in predicted.slots {
            let isPatched = reader.bit(ModelMap.predictedSlotPatched)
            predicted.patched.append(isPatched)
            if isPatched { patchedCount += 1 }
        }
        guard patchedCount <= header.slotChanges else { throw .badKey }
        var told: [NewSlot] = []
        var toldChangedCount = 0
        if !diff.isSingle {
            toldChangedCount = try decodeToldSlots(header, diff, into: &told, from: &reader)
            guard patchedCount + toldChangedCount <= header.slotChanges,
                header.slotChanges - patchedCount - toldChangedCount <= base.slotCount
            else { throw .badKey }
        }
        try decodeAccounts(header, base: base, into: &diff, from: &reader)
        charge(.accountValues, reader)
        patches.completeAccounts(&diff, runner.overlay, base: base)
        charge(.patches, reader)
        try decodeSlots(
            header, told: told, toldChangedCount: toldChangedCount, patchedCount: patchedCount, base: base,
            into: &diff, from: &reader)
    }

    /// A window's new slots that were not predicted, section by section; which of them have a patch goes to `newChanged`,
    /// ascending. Answers how many.
    private func decodeToldSlots(
        _ header: PayloadHeader, _ diff: StateDiff, into told: inout [NewSlot],
        from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        newChanged.ensure(header.newSlots)
        let changed = newChanged.base
        var changedCount = 0
        toldEnds.removeAll(keepingCapacity: true)
        for _ in diff.operations.sections.indices {
            let count = Int(reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.newSlotCount))
            guard count <= header.newSlots - told.count else { throw .badCount(.newSlots) }
            if count > 0 {
                let first = UInt32(truncatingIfNeeded: told.count)
                let own = try NewKeys.decodeSlots(
                    count, accountEnd: runner.accountEnd, into: &told, changed: changed + changedCount,
                    from: &reader)
                for i in changedCount..<changedCount + own { changed[i] += first }
                changedCount += own
            }
            toldEnds.append(told.count)
        }
        guard told.count == header.newSlots else { throw .badCount(.newSlots) }
        if reader.isOverrun { throw .truncated }
        return changedCount
    }

    /// All new slots, told and predicted, in order, and their ids. Patched ones go to `newPatches`, as places among all
    /// new slots, ascending; those told for which `isChanged` holds.
    private func nameSlots(
        told: [NewSlot], base: State, into diff: inout StateDiff, isChanged: (Int) -> Bool
    ) {
        var id = base.slotCount
        var newSlots: [NewSlot] = []
        newSlots.reserveCapacity(told.count + predicted.slots.count)
        newPatches.removeAll(keepingCapacity: true)
        newPatchTold.removeAll(keepingCapacity: true)
        var (from, toldAt, predictedAt) = (0, 0, 0)
        for s in diff.operations.sections.indices {
            let first = newSlots.count
            id = nameSlots(section: s, told: told[from..<toldEnds[s]], first: id) { slot, isPredicted in
                let isPatched: Bool
                if isPredicted {
                    isPatched = predicted.patched[predictedAt]
                    predictedAt += 1
                } else {
                    isPatched = isChanged(toldAt)
                    toldAt += 1
                }
                if isPatched {
                    newPatches.append(UInt32(truncatingIfNeeded: newSlots.count))
                    newPatchTold.append(isPredicted ? -1 : Int32(truncatingIfNeeded: toldAt - 1))
                }
                newSlots.append(slot)
            }
            diff.operations.sections[s].newSlots = UInt32(truncatingIfNeeded: newSlots.count - first)
            from = toldEnds[s]
        }
        diff.newSlots = newSlots
    }

    private func decodeAccounts(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) {
        let known = base.accountCount
        let newAccounts = diff.newAccounts.count
        otherIDs.ensure(max(newAccounts, header.accountChanges))
        ids.ensure(header.accountChanges)
        let changedNew = otherIDs.base
        var newCount = 0
        for i in 0..<newAccounts
        where reader.bit(
            predicted.accounts[i] ? ModelMap.predictedAccountPatched : ModelMap.newAccountChanged)
        {
            changedNew[newCount] = UInt32(truncatingIfNeeded: known + i)
            newCount += 1
        }
        guard newCount <= header.accountChanges, header.accountChanges - newCount <= known else {
            throw .badKey
        }
        let knownCount = header.accountChanges - newCount
        let ids = ids.base
        (ids + knownCount).update(from: changedNew, count: newCount)
        try accountActivity.decode(
            into: ids, other: otherIDs.base, count: knownCount, known: known, table: 0, from: &reader)
        accountActivity.patch(ids, count: header.accountChanges)

        charge(.accountKeys, reader)
        let values = base.accountValuesBase
        diff.accountChanges.reserveCapacity(header.accountChanges)
        for i in 0..<header.accountChanges {
            let old: AccountValue
            if let entry = runner.overlay.accountEntry(id: ids[i]) {
                old = runner.overlay.accounts.base[entry].value
            } else {
                old = i < knownCount ? values[Int(ids[i])] : .absent
            }
            diff.accountChanges.append(AccountChange(id: AccountID(ids[i]), old: old, new: old))
        }
        let codeCount = base.codeCount + header.newCodes
        let failure: CodecError? = diff.accountChanges.withUnsafeMutableBufferPointer { changes in
            do throws(CodecError) {
                try accountValues.decode(into: changes, codeCount: codeCount, from: &reader)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func decodeSlots(
        _ header: PayloadHeader, told: [NewSlot], toldChangedCount: Int, patchedCount: Int, base: State,
        into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) {
        let total = header.slotChanges
        let slotCount = base.slotCount
        ids.ensure(total)
        otherIDs.ensure(total)
        let knownCount: Int
        if diff.isSingle {
            // Each told slot has a value, so a patch.
            let named = total - patchedCount
            knownCount = try decodeSlotKeys(
                total: named, newCount: header.newSlots, base: base, into: &diff, from: &reader)
            toldEnds.removeAll(keepingCapacity: true)
            toldEnds.append(diff.newSlots.count)
            nameSlots(told: diff.newSlots, base: base, into: &diff) { _ in true }
            ids.grow(to: total, keeping: knownCount)
            if named < total { spreadKinds(knownCount: knownCount, named: named, total: total) }
        } else {
            slotKinds.ensure(total)
            slotKinds.base.update(repeating: 0, count: total)
            knownCount = total - patchedCount - toldChangedCount
            try slotActivity.decode(
                into: ids.base, other: otherIDs.base, count: knownCount, known: slotCount, table: 1,
                from: &reader)
            let changed = newChanged.base
            var next = 0
            nameSlots(told: told, base: base, into: &diff) { at in
                guard next < toldChangedCount, Int(changed[next]) == at else { return false }
                next += 1
                return true
            }
        }
        guard knownCount + newPatches.count == total else { throw .badKey }
        contracts.ensure(total)
        let (ids, contracts) = (ids.base, contracts.base)
        for (i, place) in newPatches.enumerated() {
            ids[knownCount + i] = UInt32(truncatingIfNeeded: slotCount) + place
        }
        slotActivity.patch(ids, count: total)

        let (values, keys) = (base.slotValuesBase, base.slotKeysBase)
        let destroyed = diff.destroyed
        diff.slotChanges.reserveCapacity(total)
        for i in 0..<total {
            let id = Int(ids[i])
            let isKnown = i < knownCount
            contracts[i] =
                isKnown ? keys[id].account.index : diff.newSlots[id - slotCount].key.account.index
            var old = isKnown ? values[id] : .zero
            if let entry = runner.overlay.slotEntry(id: ids[i]),
                !Patches.isVoid(runner.overlay.slots.base[entry], destroyed)
            {
                old = runner.overlay.slots.base[entry].value
            }
            diff.slotChanges.append(SlotChange(id: SlotID(ids[i]), old: old, new: old))
        }
        charge(.slotKeys, reader)
        guard total > 0 else { return }
        groups.build(contracts, count: total)
        let newAccounts = diff.newAccounts
        slotValues.decodeTime(from: &reader)
        let failure: CodecError? = diff.accountChanges.withUnsafeBufferPointer { accountChanges in
            let accounts = ValueAccounts(
                changes: accountChanges,
                context: NameContext(base: base, newAccounts: newAccounts, spread: accountSpread))
            return diff.slotChanges.withUnsafeMutableBufferPointer { changes in
                do throws(CodecError) {
                    try decodeSlotValues(
                        changes, destroyed: destroyed, base: base, accounts, values: &slotValues,
                        from: &reader)
                    return nil
                } catch {
                    return error
                }
            }
        }
        if let failure { throw failure }
    }

    /// From kinds by told slot to kinds by patch: those of predicted slots are not told.
    private func spreadKinds(knownCount: Int, named: Int, total: Int) {
        slotKinds.grow(to: total, keeping: named)
        for i in newPatchTold.indices.reversed() where knownCount + i < total {
            let told = Int(newPatchTold[i])
            slotKinds.base[knownCount + i] = told < 0 ? 0 : slotKinds.base[knownCount + told]
        }
    }

    private func decodeSlotValues(
        _ changes: UnsafeMutableBufferPointer<SlotChange>, destroyed: [AccountID], base: State,
        _ accounts: ValueAccounts, values: inout SlotValues, from reader: inout ColumnReader
    ) throws(CodecError) {
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
                let id = Int(changes[at].id.index)
                context.kind = slotKinds.base[at]
                context.accrued =
                    values.time == 0 || id >= slotCount
                    ? nil
                    : PayloadTime.accrued(
                        base.slotValuesBase[id], slot: keys[id].slot, account: contract, time: values.time,
                        base: base)
                changes[at].new = try values.decode(old: changes[at].old, context, accounts, from: &reader)
            }
            if reader.isOverrun { throw .truncated }
            from = end
        }
    }
}

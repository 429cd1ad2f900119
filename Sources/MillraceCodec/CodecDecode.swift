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
        beginPayload(firstHeight: first)
        guard payload.byteCount > 0 else { return }
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
                try checkEnd(header, reader)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
        if !diff.destroyed.isEmpty { Destruction.completeChanges(&diff, base: base) }
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
        let isSingle = diff.firstHeight == diff.lastHeight
        let accountEnd = base.accountCount + header.newAccounts
        try codes.decode(header.newCodes, base: base, into: &diff.newCodes, from: &reader)
        try NewKeys.decodeAccounts(
            header.newAccounts, isSingle: isSingle, into: &diff.newAccounts, from: &reader)
        try NewKeys.decodeDestroyed(
            header.destroyed, accountEnd: accountEnd, into: &diff.destroyed, from: &reader)

        var changedNew = 0
        if !isSingle {
            newChanged.ensure(header.newSlots)
            changedNew = try NewKeys.decodeSlots(
                header.newSlots, accountEnd: accountEnd, into: &diff.newSlots, changed: newChanged.base,
                from: &reader)
            guard changedNew <= header.slotChanges, header.slotChanges - changedNew <= base.slotCount else {
                throw .badKey
            }
        }
        try decodeAccounts(header, base: base, into: &diff, from: &reader)
        try decodeSlots(
            header, isSingle: isSingle, changedNew: changedNew, base: base, into: &diff, from: &reader)
    }

    private func decodeAccounts(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) {
        let known = base.accountCount
        otherIDs.ensure(max(header.newAccounts, header.accountChanges))
        ids.ensure(header.accountChanges)
        let changedNew = otherIDs.base
        var newCount = 0
        for i in 0..<header.newAccounts where reader.bit(ModelMap.newAccountChanged) {
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

        let values = base.accountValuesBase
        diff.accountChanges.reserveCapacity(header.accountChanges)
        for i in 0..<header.accountChanges {
            let old = i < knownCount ? values[Int(ids[i])] : .absent
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
        _ header: PayloadHeader, isSingle: Bool, changedNew: Int, base: State, into diff: inout StateDiff,
        from reader: inout ColumnReader
    ) throws(CodecError) {
        let total = header.slotChanges
        let slotCount = base.slotCount
        ids.ensure(total)
        otherIDs.ensure(total)
        contracts.ensure(total)
        let (ids, contracts) = (ids.base, contracts.base)
        let knownCount: Int
        if isSingle {
            knownCount = try decodeSlotKeys(
                total: total, newCount: header.newSlots, base: base, into: &diff, from: &reader)
            for i in knownCount..<total { ids[i] = UInt32(truncatingIfNeeded: slotCount + i - knownCount) }
        } else {
            knownCount = total - changedNew
            try slotActivity.decode(
                into: ids, other: otherIDs.base, count: knownCount, known: slotCount, table: 1, from: &reader)
            for i in knownCount..<total {
                ids[i] = UInt32(truncatingIfNeeded: slotCount) + newChanged.base[i - knownCount]
            }
        }

        let (values, keys) = (base.slotValuesBase, base.slotKeysBase)
        diff.slotChanges.reserveCapacity(total)
        for i in 0..<knownCount {
            let id = Int(ids[i])
            let old = values[id]
            contracts[i] = keys[id].account.index
            diff.slotChanges.append(SlotChange(id: SlotID(ids[i]), old: old, new: old))
        }
        for i in knownCount..<total {
            contracts[i] = diff.newSlots[Int(ids[i]) - slotCount].key.account.index
            diff.slotChanges.append(SlotChange(id: SlotID(ids[i]), old: .zero, new: .zero))
        }
        guard total > 0 else { return }
        groups.build(contracts, count: total)
        let destroyed = diff.destroyed
        let failure: CodecError? = diff.slotChanges.withUnsafeMutableBufferPointer { changes in
            do throws(CodecError) {
                try decodeSlotValues(
                    changes, destroyed: destroyed, base: base, values: &slotValues, from: &reader)
                return nil
            } catch {
                return error
            }
        }
        if let failure { throw failure }
    }

    private func decodeSlotValues(
        _ changes: UnsafeMutableBufferPointer<SlotChange>, destroyed: [AccountID], base: State,
        values: inout SlotValues, from reader: inout ColumnReader
    ) throws(CodecError) {
        let (order, ends) = (groups.order.base, groups.ends.base)
        var from = 0
        for g in 0..<groups.count {
            let end = Int(ends[g])
            let context = contractContext(contracts.base[Int(order[from])], destroyed: destroyed, base: base)
            values.beginContract()
            for i in from..<end {
                let at = Int(order[i])
                changes[at].new = try values.decode(old: changes[at].old, context, from: &reader)
            }
            if reader.isOverrun { throw .truncated }
            from = end
        }
    }
}

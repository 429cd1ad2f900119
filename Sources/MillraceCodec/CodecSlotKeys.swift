/// Which slots changed, for a single mini-block: hot ones by class, cold and new ones by name or place (Spec 30.5.2, 30.5.5).

internal import MillraceBase
internal import MillraceDiff

extension Codec {
    /// Writes the keys of `changes`, of which the first `knownCount` are slots the state knows and the others, one each, the
    /// new ones of `told`. Leaves what names tell of each change in `slotKinds`.
    func encodeSlotKeys(
        _ diff: StateDiff, told: [NewSlot], changes: UnsafeBufferPointer<SlotChange>, knownCount: Int,
        base: State,
        to writer: inout ColumnWriter
    ) {
        let slotCount = base.slotCount
        slotKinds.ensure(changes.count)
        slotKinds.base.update(repeating: 0, count: changes.count)
        ids.ensure(changes.count)
        let ids = ids.base
        for i in 0..<knownCount { ids[i] = changes[i].id.index }
        let (cold, coldCount) = slotActivity.encodeHot(
            ids, count: knownCount, total: changes.count, known: slotCount, table: 1, to: &writer)
        guard coldCount + told.count > 0 else { return }

        diff.accountChanges.withUnsafeBufferPointer {
            slotNames.named.begin($0, known: base.accountCount, newCount: diff.newAccounts.count)
        }
        contracts.ensure(changes.count)
        var owners = 0
        var at = 0
        for i in 0..<knownCount {
            // The hot ones: those that are not among the cold, which ascend too.
            if at < coldCount, cold[at] == ids[i] {
                at += 1
            } else {
                contracts.base[owners] = base.slotKeysBase[Int(ids[i])].account.index
                owners += 1
            }
        }
        slotNames.named.addOwners(contracts.base, count: owners)
        let context = NameContext(base: base, newAccounts: diff.newAccounts, spread: accountSpread)
        otherIDs.ensure(changes.count)
        let placed = otherIDs.base
        let placedCount = told.withUnsafeBufferPointer { newSlots in
            diff.operations.origins.withUnsafeBufferPointer { origins in
                slotNames.plan(
                    cold: cold, coldCount: coldCount, newSlots: newSlots, origins: origins, context,
                    places: placed)
            }
        }
        if slotCount > 0 {
            writer.number(UInt64(placedCount), treeBits: ModelMap.shortNumberBits, ModelMap.namePlaces)
        }
        if placedCount > 0 {
            slotActivity.encodeCold(placed, count: placedCount, known: slotCount, table: 1, to: &writer)
            for i in 0..<placedCount { contracts.base[i] = base.slotKeysBase[Int(placed[i])].account.index }
            slotNames.named.addOwners(contracts.base, count: placedCount)
        }
        guard slotNames.targetCount > 0 else { return }
        slotNames.encode(
            places: UnsafeBufferPointer(start: placed, count: placedCount), activity: accountActivity,
            context,
            to: &writer)
        for i in 0..<slotNames.targetCount {
            let target = slotNames.targets.base[i]
            if Int(target.id) >= slotCount {
                slotKinds.base[knownCount + Int(target.id) - slotCount] = target.kind
                continue
            }
            var (low, high) = (0, knownCount)
            while low < high {
                let middle = (low + high) / 2
                if changes[middle].id.index < target.id { low = middle + 1 } else { high = middle }
            }
            if low < knownCount { slotKinds.base[low] = target.kind }
        }
    }

    /// Reads the keys of `total` changed slots: `ids` and `slotKinds` of the known ones, ascending, their number as result;
    /// new ones go to the diff, in order, their kinds after those of the known.
    func decodeSlotKeys(
        total: Int, newCount: Int, base: State, into diff: inout StateDiff, from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        let slotCount = base.slotCount
        guard newCount <= total, total - newCount <= slotCount else { throw .badKey }
        slotKinds.ensure(total)
        slotKinds.base.update(repeating: 0, count: total)
        ids.ensure(total)
        otherIDs.ensure(total)
        contracts.ensure(total)
        let ids = ids.base
        let hot = try slotActivity.decodeHot(
            into: ids, total: total, known: slotCount, table: 1, from: &reader)
        guard hot < total else {
            guard newCount == 0 else { throw .badKey }
            sortAscending(ids, count: total, other: otherIDs.base)
            return total
        }
        diff.accountChanges.withUnsafeBufferPointer {
            slotNames.named.begin($0, known: base.accountCount, newCount: diff.newAccounts.count)
        }
        for i in 0..<hot { contracts.base[i] = base.slotKeysBase[Int(ids[i])].account.index }
        slotNames.named.addOwners(contracts.base, count: hot)
        var placed = 0
        if slotCount > 0 {
            let count = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.namePlaces)
            guard count <= UInt64(min(total - hot, slotCount)) else { throw .badKey }
            placed = Int(count)
        }
        if placed > 0 {
            try slotActivity.decodeCold(
                into: ids + hot, count: placed, known: slotCount, table: 1, from: &reader)
            for i in 0..<placed { contracts.base[i] = base.slotKeysBase[Int(ids[hot + i])].account.index }
            slotNames.named.addOwners(contracts.base, count: placed)
        }
        let named = total - hot - placed
        guard named > 0 else {
            guard newCount == 0 else { throw .badKey }
            sortAscending(ids, count: total, other: otherIDs.base)
            return total
        }
        let context = NameContext(base: base, newAccounts: diff.newAccounts, spread: accountSpread)
        try slotNames.decode(
            named, places: UnsafeBufferPointer(start: ids + hot, count: placed), activity: accountActivity,
            context,
            into: &namedSlots, from: &reader)
        return try order(hot + placed, newCount: newCount, total: total, slotCount: slotCount, into: &diff)
    }

    /// Brings the named slots together with the `others` that stand in `ids`.
    private func order(
        _ others: Int, newCount: Int, total: Int, slotCount: Int, into diff: inout StateDiff
    ) throws(CodecError) -> Int {
        namedSlots.sort { a, b in
            if a.id != b.id { return a.id < b.id }
            return a.account != b.account ? a.account < b.account : a.slot < b.slot
        }
        let known = total - newCount
        var knownNamed = 0
        while knownNamed < namedSlots.count, namedSlots[knownNamed].id != .max { knownNamed += 1 }
        guard others + knownNamed == known else { throw .badKey }
        let (ids, merged, kinds) = (ids.base, otherIDs.base, slotKinds.base)
        sortAscending(ids, count: others, other: merged)
        var (i, j) = (0, 0)
        for k in 0..<known {
            if j == knownNamed || (i < others && ids[i] < namedSlots[j].id) {
                merged[k] = ids[i]
                i += 1
            } else {
                merged[k] = namedSlots[j].id
                kinds[k] = namedSlots[j].kind
                j += 1
            }
            if k > 0, merged[k] <= merged[k - 1] { throw .badKey }
        }
        ids.update(from: merged, count: known)
        for k in 0..<newCount {
            let slot = namedSlots[knownNamed + k]
            if k > 0, namedSlots[knownNamed + k - 1].account == slot.account,
                namedSlots[knownNamed + k - 1].slot == slot.slot
            {
                throw .badKey
            }
            kinds[known + k] = slot.kind
            diff.newSlots.append(NewSlot(key: SlotKey(account: AccountID(slot.account), slot: slot.slot)))
        }
        return known
    }
}

/// Naming slots: the encoder's choice of names, and their writing.

internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

/// What both sides hold when slots are named.
struct NameContext {
    let base: State
    let newAccounts: [Address]
    let spread: IDSpread

    /// The account's id, among known and new ones, for a key that may be an address.
    func account(_ word: U256) -> UInt32? {
        guard word.w3 == 0, word.w2 >> 32 == 0, word.w2 | word.w1 != 0 else { return nil }
        let address = Address(truncating: word)
        if let id = base.account(at: address) { return id.index }
        var (low, high) = (0, newAccounts.count)
        while low < high {
            let middle = (low + high) / 2
            if newAccounts[middle] < address { low = middle + 1 } else { high = middle }
        }
        guard low < newAccounts.count, newAccounts[low] == address else { return nil }
        return UInt32(truncatingIfNeeded: base.accountCount + low)
    }

    func address(_ account: UInt32) -> Address {
        let known = base.accountCount
        return Int(account) < known ? base.address(of: AccountID(account)) : newAccounts[Int(account) - known]
    }
}

extension SlotNames {
    // MARK: Choosing

    /// Sorts cold and new slots into those to be named and those left to their places, whose ids go to `places`, ascending;
    /// gives their number.
    mutating func plan(
        cold: UnsafePointer<UInt32>, coldCount: Int, newSlots: UnsafeBufferPointer<NewSlot>,
        origins: UnsafeBufferPointer<SlotOrigin>, _ context: NameContext, places: UnsafeMutablePointer<UInt32>
    ) -> Int {
        let base = context.base
        let keys = base.slotKeysBase
        targetCount = coldCount + newSlots.count
        targets.ensure(targetCount)
        accounts.ensure(targetCount)
        var origin = 0
        for i in 0..<coldCount {
            let key = keys[Int(cold[i])]
            var target = Target(account: key.account.index, id: cold[i], slot: key.slot)
            while origin < origins.count, origins[origin].id.index < cold[i] { origin += 1 }
            let hint =
                origin < origins.count && origins[origin].id.index == cold[i]
                ? origins[origin].preimage : .none
            classify(&target, hint)
            targets.base[i] = target
        }
        for i in 0..<newSlots.count {
            let new = newSlots[i]
            var target = Target(
                account: new.key.account.index, id: UInt32(truncatingIfNeeded: base.slotCount + i),
                slot: new.key.slot)
            classify(&target, new.preimage)
            targets.base[coldCount + i] = target
        }
        var all = UnsafeMutableBufferPointer(start: targets.base, count: targetCount)
        all.sort { a, b in
            a.account != b.account ? a.account < b.account : a.slot < b.slot
        }
        var owners: [UInt32] = []
        for i in 0..<targetCount where owners.last != targets.base[i].account {
            owners.append(targets.base[i].account)
        }
        var placeCount = 0
        var kept = 0
        var from = 0
        while from < targetCount {
            var end = from + 1
            while end < targetCount, targets.base[end].account == targets.base[from].account { end += 1 }
            choose(from..<end, owners: owners, context, kept: &kept, places: places, &placeCount)
            from = end
        }
        targetCount = kept
        var placed = UnsafeMutableBufferPointer(start: places, count: placeCount)
        placed.sort()
        return placeCount
    }

    /// The name that follows from the slot alone or from its hint, if the hint is right.
    private mutating func classify(_ target: inout Target, _ hint: SlotPreimage) {
        if let plain = target.slot.asUInt64, plain < SlotNames.plainEnd {
            target.kind = SlotKind.plain.rawValue
            return
        }
        switch hint {
        case .mapping(let base, let key) where Keccak256.mappingSlot(key: key, base: base) == target.slot:
            target.kind = SlotKind.mapping.rawValue
            target.isSwapped = base.asUInt64 == nil && key.asUInt64 != nil
            (target.base, target.key) = target.isSwapped ? (key, base) : (base, key)
        case .nested(let base, let outer, let inner)
        where Keccak256.nestedSlot(base: base, outer: outer, inner: inner) == target.slot:
            target.kind = SlotKind.nested.rawValue
            (target.base, target.outer, target.key) = (base, outer, inner)
        default:
            for base in 0..<SlotNames.arrayBases {
                let start = arrayStart(base)
                if let index = (target.slot &- start).asUInt64, index >> 32 == 0 {
                    target.kind = SlotKind.array.rawValue
                    (target.base, target.key) = (U256(UInt64(base)), U256(index))
                    return
                }
            }
        }
    }

    /// Settles one contract's slots.
    private mutating func choose(
        _ range: Range<Int>, owners: [UInt32], _ context: NameContext, kept: inout Int,
        places: UnsafeMutablePointer<UInt32>, _ placeCount: inout Int
    ) {
        let slotCount = context.base.slotCount
        let account = targets.base[range.lowerBound].account
        func isShort(_ key: U256) -> Bool {
            if key.asUInt64 != nil { return true }
            guard let id = context.account(key) else { return false }
            return isOwner(id, owners) || named.find(id) != nil
        }
        var (bits, placeBits) = (named.find(account) == nil ? 25 : 9, 0)
        var hasNew = false
        for i in range {
            let isNew = Int(targets.base[i].id) >= slotCount
            hasNew = hasNew || isNew
            placeBits += 23
            if !isNew {
                switch SlotKind(rawValue: targets.base[i].kind) {
                case .mapping where !isShort(targets.base[i].key):
                    targets.base[i].kind = SlotKind.unknown.rawValue
                case .nested where !isShort(targets.base[i].key) || !isShort(targets.base[i].outer):
                    targets.base[i].kind = SlotKind.unknown.rawValue
                default: break
                }
            }
            if targets.base[i].kind == SlotKind.unknown.rawValue {
                if i > range.lowerBound, targets.base[i - 1].kind != SlotKind.plain.rawValue,
                    let distance = (targets.base[i].slot &- targets.base[i - 1].slot).asUInt64,
                    distance <= SlotNames.neighbourMax
                {
                    targets.base[i].kind = SlotKind.neighbour.rawValue
                    targets.base[i].distance = UInt32(distance)
                } else if isNew {
                    targets.base[i].kind = SlotKind.literal.rawValue
                }
            }
            switch SlotKind(rawValue: targets.base[i].kind) {
            case .plain: bits += 5
            case .mapping, .array: bits += 10
            case .nested: bits += 20
            case .neighbour: bits += 7
            default: bits += 23
            }
        }
        let byPlace = !hasNew && bits >= placeBits
        for i in range {
            if byPlace || targets.base[i].kind == SlotKind.unknown.rawValue {
                places[placeCount] = targets.base[i].id
                placeCount += 1
            } else {
                targets.base[kept] = targets.base[i]
                kept += 1
            }
        }
    }

    private func isOwner(_ account: UInt32, _ owners: [UInt32]) -> Bool {
        var (low, high) = (0, owners.count)
        while low < high {
            let middle = (low + high) / 2
            if owners[middle] < account { low = middle + 1 } else { high = middle }
        }
        return low < owners.count && owners[low] == account
    }

    // MARK: Writing

    /// Writes the planned names; there is at least one. `places`, ascending, are the slots named by place.
    mutating func encode(
        places: UnsafeBufferPointer<UInt32>, activity: ActivityTable, _ context: NameContext,
        to writer: inout ColumnWriter
    ) {
        preparePlaces(places, context.base)
        literals.removeAll(keepingCapacity: true)
        let order = encodeContracts(activity, known: context.base.accountCount, to: &writer)
        for range in order { encodeContract(range, context, to: &writer) }
    }

    /// Names the contracts; gives the targets of each in the order they follow.
    private mutating func encodeContracts(
        _ activity: ActivityTable, known: Int, to writer: inout ColumnWriter
    ) -> [Range<Int>] {
        var lists: [[(index: Int, range: Range<Int>)]] = [[], [], [], []]
        var from = 0
        var count = 0
        while from < targetCount {
            var end = from + 1
            while end < targetCount, targets.base[end].account == targets.base[from].account { end += 1 }
            let account = targets.base[from].account
            accounts.base[count] = account
            count += 1
            if let found = named.find(account) {
                lists[found.list].append((found.index, from..<end))
            } else {
                lists[3].append((Int(account), from..<end))
            }
            from = end
        }
        for list in 0..<4 {
            let members = lists[list]
            if list < 3, named.count(list) == 0 { continue }
            writer.number(
                UInt64(members.count), treeBits: ModelMap.shortNumberBits, ModelMap.nameContracts(list))
            guard !members.isEmpty else { continue }
            if list == 3 {
                let ids = members.map { UInt32(truncatingIfNeeded: $0.index) }
                ids.withUnsafeBufferPointer {
                    guard let ids = $0.baseAddress else { return }
                    activity.encode(ids, count: members.count, known: known, table: 2, to: &writer)
                }
            } else {
                encodeIndices(
                    members.lazy.map(\.index), count: members.count, below: named.count(list), table: 2,
                    to: &writer)
            }
        }
        named.addOwners(accounts.base, count: count)
        return lists.flatMap { $0.map(\.range) }
    }

    private func encodeIndices(
        _ indices: some Sequence<Int>, count: Int, below universe: Int, table: Int,
        to writer: inout ColumnWriter
    ) {
        var gaps = GapModel(count: count, universe: universe, table: table)
        var next = 0
        for index in indices {
            gaps.encode(index - next, to: &writer)
            next = index + 1
        }
    }

    private mutating func encodeContract(
        _ range: Range<Int>, _ context: NameContext, to writer: inout ColumnWriter
    ) {
        beginContract(targets.base[range.lowerBound].account)
        let all = UnsafeMutableBufferPointer(start: targets.base + range.lowerBound, count: range.count)
        // By kind, in the order of coding.
        var groups = [[Target]](repeating: [], count: SlotNames.kindCount)
        for target in all { groups[SlotNames.place(of: target.kind)].append(target) }
        var hasAny = 0
        for kind in 0..<SlotNames.kindCount {
            writer.bit(!groups[kind].isEmpty, ModelMap.nameKind + kind * 2 + hasAny)
            if !groups[kind].isEmpty { hasAny = 1 }
        }
        for kind in 0..<SlotNames.kindCount where !groups[kind].isEmpty {
            let group = groups[kind]
            if kind != SlotNames.mappings {
                writer.number(
                    UInt64(group.count - 1), treeBits: ModelMap.shortNumberBits, ModelMap.nameCount(kind))
            }
            switch kind {
            case SlotNames.plains:
                var next: UInt64 = 0
                for (i, target) in group.enumerated() {
                    writer.number(
                        target.slot.w0 - next, treeBits: ModelMap.shortNumberBits,
                        ModelMap.namePlain(i == 0 ? 0 : 1))
                    next = target.slot.w0 + 1
                }
            case SlotNames.mappings: encodeMappings(group, context, to: &writer)
            case SlotNames.nesteds:
                for target in group {
                    encodeBase(target.base, role: 1, context, to: &writer)
                    encodeKey(target.outer, role: 1, context, to: &writer)
                    encodeKey(target.key, role: 2, context, to: &writer)
                    writer.work += 2 * CodecLimits.workPerHash
                    parents.append(target.slot)
                }
            case SlotNames.arrays:
                for target in group {
                    writer.number(target.base.w0, treeBits: ModelMap.shortNumberBits, ModelMap.nameArrayBase)
                    writer.number(target.key.w0, treeBits: ModelMap.longNumberBits, ModelMap.nameArrayIndex)
                    parents.append(target.slot)
                }
            case SlotNames.words:
                for target in group {
                    writer.word(target.slot)
                    parents.append(target.slot)
                }
            default: encodeNeighbours(group, to: &writer)
            }
        }
    }

    private mutating func encodeMappings(
        _ group: [Target], _ context: NameContext, to writer: inout ColumnWriter
    ) {
        var entries = group
        for i in entries.indices {
            if let id = context.account(entries[i].key), let found = named.find(id) {
                (entries[i].list, entries[i].index) = (
                    UInt8(found.list), UInt32(truncatingIfNeeded: found.index)
                )
            }
        }
        entries.sort { a, b in
            if a.isSwapped != b.isSwapped { return !a.isSwapped }
            if a.base != b.base { return a.base < b.base }
            if a.list != b.list { return a.list < b.list }
            return a.list == 3 ? a.key < b.key : a.index < b.index
        }
        var ends: [Int] = []
        for i in entries.indices
        where i + 1 == entries.count || entries[i].base != entries[i + 1].base
            || entries[i].isSwapped != entries[i + 1].isSwapped
        { ends.append(i + 1) }
        writer.number(UInt64(ends.count - 1), treeBits: ModelMap.shortNumberBits, ModelMap.nameTables)
        var from = 0
        for end in ends {
            writer.bit(entries[from].isSwapped, ModelMap.nameSwapped)
            encodeBase(entries[from].base, role: 0, context, to: &writer)
            for list in 0..<4 {
                var to = from
                while to < end, Int(entries[to].list) == list { to += 1 }
                if list < 3, named.count(list) == 0 { continue }
                writer.number(
                    UInt64(to - from), treeBits: ModelMap.shortNumberBits, ModelMap.nameEntries(list))
                if list < 3, to > from {
                    encodeIndices(
                        entries[from..<to].lazy.map { Int($0.index) }, count: to - from,
                        below: named.count(list), table: 3, to: &writer)
                }
                for i in from..<to {
                    if list == 3 { encodeKey(entries[i].key, role: 0, context, to: &writer) }
                    writer.work += CodecLimits.workPerHash
                    parents.append(entries[i].slot)
                }
                from = to
            }
        }
    }

    private func encodeNeighbours(_ group: [Target], to writer: inout ColumnWriter) {
        // Not iterated: only asked.
        var places: [U256: Int] = [:]
        for (i, parent) in parents.enumerated() { places[parent] = i }
        var count = parents.count
        for target in group {
            let parent = target.slot &- U256(UInt64(target.distance))
            writer.uniform(places[parent] ?? 0, below: count)
            writer.number(
                UInt64(target.distance - 1), treeBits: ModelMap.shortNumberBits, ModelMap.nameDistance)
            places[target.slot] = count
            count += 1
        }
    }

    private mutating func encodeBase(
        _ base: U256, role: Int, _ context: NameContext, to writer: inout ColumnWriter
    ) {
        if let small = base.asUInt64, small < 15 {
            writer.tree(Int(small), depth: 4, ModelMap.nameBase(role))
        } else {
            writer.tree(15, depth: 4, ModelMap.nameBase(role))
            encodeKey(base, role: 3, context, to: &writer)
        }
    }

    private mutating func encodeKey(
        _ key: U256, role: Int, _ context: NameContext, to writer: inout ColumnWriter
    ) {
        let symbols = ModelMap.nameKey(role)
        let id = context.account(key)
        if let id, let found = named.find(id) {
            writer.tree(found.list, depth: 3, symbols)
            writer.uniform(found.index, below: named.count(found.list))
            return
        }
        if let number = key.asUInt64 {
            writer.tree(KeySymbol.number.rawValue, depth: 3, symbols)
            writer.number(number, treeBits: ModelMap.longNumberBits, ModelMap.nameNumber)
            return
        }
        if let at = literals.firstIndex(of: key) {
            writer.tree(KeySymbol.again.rawValue, depth: 3, symbols)
            writer.uniform(at, below: literals.count)
            return
        }
        if literals.count < SlotNames.literalsMax { literals.append(key) }
        if let id, Int(id) < context.base.accountCount {
            writer.tree(KeySymbol.place.rawValue, depth: 3, symbols)
            writer.uniform(
                context.spread.place(of: Int(id)), below: context.spread.places(context.base.accountCount))
        } else if key.bitWidth <= 160 {
            writer.tree(KeySymbol.address.rawValue, depth: 3, symbols)
            writer.raw(key.w0, 64)
            writer.raw(key.w1, 64)
            writer.raw(key.w2, 32)
        } else {
            writer.tree(KeySymbol.word.rawValue, depth: 3, symbols)
            writer.word(key)
        }
    }
}

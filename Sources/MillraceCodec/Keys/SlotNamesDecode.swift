/// Reading slots' names: the mirror of SlotNamesEncode.swift. Total: every count is held against the keys still to come, every
/// hash is paid for before it is taken.

internal import MillraceBase
internal import MillraceCrypto
internal import MillraceDiff

extension SlotNames {
    /// Reads `count` named slots, at least one, into `found`.
    mutating func decode(
        _ count: Int, places: UnsafeBufferPointer<UInt32>, activity: ActivityTable, _ context: NameContext,
        into found: inout [NamedSlot], from reader: inout ColumnReader
    ) throws(CodecError) {
        preparePlaces(places, context.base)
        literals.removeAll(keepingCapacity: true)
        found.removeAll(keepingCapacity: true)
        let contracts = try decodeContracts(count, activity, known: context.base.accountCount, from: &reader)
        for i in 0..<contracts {
            try decodeContract(order[i], count, context, into: &found, from: &reader)
            if reader.isOverrun { throw .truncated }
        }
        guard found.count == count else { throw .badKey }
    }

    private mutating func decodeContracts(
        _ slots: Int, _ activity: ActivityTable, known: Int, from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        accounts.ensure(slots)
        order.removeAll(keepingCapacity: true)
        for list in 0..<4 {
            let universe = list < 3 ? named.count(list) : known
            if list < 3, universe == 0 { continue }
            let count = try decodeCount(
                atMost: min(slots - order.count, universe), ModelMap.nameContracts(list), from: &reader)
            guard count > 0 else { continue }
            if list == 3 {
                try activity.decode(
                    into: accounts.base, other: targetsAsWords(count), count: count, known: known, table: 2,
                    from: &reader)
                for i in 0..<count { order.append(accounts.base[i]) }
            } else {
                var gaps = GapModel(count: count, universe: universe, table: 2)
                var next = 0
                for _ in 0..<count {
                    let index = next + (try gaps.decode(from: &reader))
                    order.append(named.account(list, index))
                    next = index + 1
                }
            }
        }
        if reader.isOverrun { throw .truncated }
        for i in 0..<order.count { accounts.base[i] = order[i] }
        named.addOwners(accounts.base, count: order.count)
        return order.count
    }

    private mutating func targetsAsWords(_ count: Int) -> UnsafeMutablePointer<UInt32> {
        spare.ensure(count)
        return spare.base
    }

    private func decodeCount(
        atMost limit: Int, _ models: Int, from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        let count = reader.number(treeBits: ModelMap.shortNumberBits, models)
        guard count <= UInt64(max(limit, 0)) else { throw .badKey }
        return Int(count)
    }

    private mutating func decodeContract(
        _ account: UInt32, _ total: Int, _ context: NameContext, into found: inout [NamedSlot],
        from reader: inout ColumnReader
    ) throws(CodecError) {
        beginContract(account)
        let isKnown = Int(account) < context.base.accountCount
        func take(_ slot: U256, _ kind: SlotKind) throws(CodecError) {
            guard found.count < total else { throw .badKey }
            let id = isKnown ? context.base.slot(SlotKey(account: AccountID(account), slot: slot)) : nil
            found.append(NamedSlot(account: account, kind: kind.rawValue, id: id?.index ?? .max, slot: slot))
        }
        var has = 0
        var hasAny = 0
        for kind in 0..<SlotNames.kindCount where reader.bit(ModelMap.nameKind + kind * 2 + hasAny) {
            has |= 1 << kind
            hasAny = 1
        }
        for kind in 0..<SlotNames.kindCount where has >> kind & 1 != 0 {
            if kind == SlotNames.mappings {
                try decodeMappings(total - found.count, context, from: &reader, take)
                continue
            }
            let count =
                1
                + (try decodeCount(
                    atMost: total - found.count - 1, ModelMap.nameCount(kind), from: &reader))
            var next: UInt64 = 0
            for i in 0..<count {
                switch kind {
                case SlotNames.plains:
                    let gap = reader.number(
                        treeBits: ModelMap.shortNumberBits, ModelMap.namePlain(i == 0 ? 0 : 1))
                    guard gap < SlotNames.plainEnd, next + gap < SlotNames.plainEnd else { throw .badKey }
                    try take(U256(next + gap), .plain)
                    next += gap + 1
                case SlotNames.nesteds:
                    let base = try decodeBase(role: 1, context, from: &reader)
                    let outer = try decodeKey(role: 1, context, from: &reader)
                    let inner = try decodeKey(role: 2, context, from: &reader)
                    try reader.spend(2 * CodecLimits.workPerHash)
                    let slot = Keccak256.nestedSlot(base: base, outer: outer, inner: inner)
                    try take(slot, .nested)
                    parents.append(slot)
                case SlotNames.arrays:
                    let base = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.nameArrayBase)
                    guard base < UInt64(SlotNames.arrayBases) else { throw .badKey }
                    let index = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.nameArrayIndex)
                    let slot = arrayStart(Int(base)) &+ U256(index)
                    try take(slot, .array)
                    parents.append(slot)
                case SlotNames.words:
                    let slot = reader.word()
                    try take(slot, .literal)
                    parents.append(slot)
                default:
                    guard !parents.isEmpty else { throw .badKey }
                    let parent = parents[reader.uniform(below: parents.count)]
                    let distance = reader.number(treeBits: ModelMap.shortNumberBits, ModelMap.nameDistance)
                    let slot = parent &+ U256(distance) &+ .one
                    try take(slot, .neighbour)
                    parents.append(slot)
                }
                if i & 63 == 63, reader.isOverrun { throw .truncated }
            }
        }
    }

    private mutating func decodeMappings(
        _ left: Int, _ context: NameContext, from reader: inout ColumnReader,
        _ take: (U256, SlotKind) throws(CodecError) -> Void
    ) throws(CodecError) {
        let tables = 1 + (try decodeCount(atMost: left - 1, ModelMap.nameTables, from: &reader))
        var left = left
        for _ in 0..<tables {
            let isSwapped = reader.bit(ModelMap.nameSwapped)
            let base = try decodeBase(role: 0, context, from: &reader)
            for list in 0..<4 {
                let universe = list < 3 ? named.count(list) : left
                if list < 3, universe == 0 { continue }
                let count = try decodeCount(
                    atMost: min(left, universe), ModelMap.nameEntries(list), from: &reader)
                guard count > 0 else { continue }
                left -= count
                try reader.spend(count * CodecLimits.workPerHash)
                var gaps = GapModel(count: count, universe: max(universe, count), table: 3)
                var next = 0
                for i in 0..<count {
                    let key: U256
                    if list < 3 {
                        let index = next + (try gaps.decode(from: &reader))
                        key = context.address(named.account(list, index)).word
                        next = index + 1
                    } else {
                        key = try decodeKey(role: 0, context, from: &reader)
                    }
                    let slot =
                        isSwapped
                        ? Keccak256.mappingSlot(key: base, base: key)
                        : Keccak256.mappingSlot(key: key, base: base)
                    try take(slot, .mapping)
                    parents.append(slot)
                    if i & 63 == 63, reader.isOverrun { throw .truncated }
                }
            }
            if reader.isOverrun { throw .truncated }
        }
    }

    private mutating func decodeBase(
        role: Int, _ context: NameContext, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        let small = reader.tree(depth: 4, ModelMap.nameBase(role))
        return small < 15 ? U256(UInt64(small)) : try decodeKey(role: 3, context, from: &reader)
    }

    private mutating func decodeKey(
        role: Int, _ context: NameContext, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        let symbol = reader.tree(depth: 3, ModelMap.nameKey(role))
        let key: U256
        switch KeySymbol(rawValue: symbol) {
        case nil:
            let count = named.count(symbol)
            guard count > 0 else { throw .badKey }
            return context.address(named.account(symbol, reader.uniform(below: count))).word
        case .number:
            return U256(reader.number(treeBits: ModelMap.longNumberBits, ModelMap.nameNumber))
        case .again:
            guard !literals.isEmpty else { throw .badKey }
            return literals[reader.uniform(below: literals.count)]
        case .place:
            let places = context.spread.places(context.base.accountCount)
            guard places > 0, let id = context.spread.id(at: reader.uniform(below: places)),
                id < context.base.accountCount
            else { throw .badKey }
            key = context.base.address(of: AccountID(UInt32(truncatingIfNeeded: id))).word
        case .address:
            let w0 = reader.raw(64)
            let w1 = reader.raw(64)
            key = U256(w0, w1, reader.raw(32), 0)
        case .word:
            key = reader.word()
        }
        if literals.count < SlotNames.literalsMax { literals.append(key) }
        return key
    }
}

/// The column of slot values: each change as an operation and its arguments (Spec 30.7). The operations are generic, the
/// context is the contract's and the slot's own past; rules that know contracts are to stand before this column and leave
/// it what they do not explain.

internal import MillraceBase
internal import MillraceDiff

/// How a slot changes. Raw values are symbols of the format.
enum SlotOperation: Int {
    case rise = 0
    case fall = 1
    /// Becomes zero.
    case clear = 2
    case openRise = 3
    case openFall = 4
    case pairedRise = 5
    case pairedFall = 6
    case elsewhereRise = 7
    case elsewhereFall = 8
    /// The new value itself, where that is shorter than the difference.
    case set = 9
    /// The payload's time.
    case time = 10
    /// 2^256 - 1.
    case ones = 11
    /// A pool's accumulator, by the reserves and the time that has passed.
    case accrued = 12
    /// A new value met before in this payload.
    case again = 13
    /// A slot of a destroyed account whose value is as before all the same.
    case kept = 14
    /// The address of a changed account.
    case account = 15
    /// 16…23: field by field, as `WordFields` 0…7.
    case firstFields = 16
}

/// How one field of a word changes.
enum FieldOperation: Int {
    case same = 0
    case rise = 1
    case fall = 2
    case referenceRise = 3
    case referenceFall = 4
    case set = 5
    case time = 6
    case account = 7
    case ones = 8
}

/// What the coding of one contract's slots needs to know of it.
struct ContractContext {
    var contract: Int
    var code: Int
    var isDestroyed: Bool
    /// Of the slot at hand, a `SlotKind`.
    var kind: UInt8 = 0
    /// What a pool's accumulator would hold, where the slot may be one.
    var accrued: U256?

    @inline(__always)
    func operation(old: U256, open: Int, paired: Int) -> Int {
        let openness = open < 2 ? open : open < 4 ? 2 : 3
        let size =
            old.w3 | old.w2 != 0 ? 3 : old.w1 != 0 ? 2 : old.w0 != 0 ? 1 : 0
        let group =
            switch kind {
            case 0: code & 3
            case SlotKind.plain.rawValue: 4
            case SlotKind.mapping.rawValue: 5
            case SlotKind.nested.rawValue: 6
            default: 7
            }
        return ModelMap.operation((group * 4 + size) * 8 + openness * 2 + (paired > 0 ? 1 : 0))
    }
}

/// The changed accounts, whose addresses slots may hold.
struct ValueAccounts {
    let changes: UnsafeBufferPointer<AccountChange>
    let context: NameContext

    /// Encoder only.
    func index(_ word: U256) -> Int? {
        guard let id = context.account(word) else { return nil }
        var (low, high) = (0, changes.count)
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].id.index < id { low = middle + 1 } else { high = middle }
        }
        return low < changes.count && changes[low].id.index == id ? low : nil
    }

    func word(_ index: Int) -> U256 { context.address(changes[index].id.index).word }
}

struct SlotValues: ~Copyable {
    private var references: References
    let widths = ExpectedWidths()
    /// The time of the payload, 0 for none, and of the last one that had one in this window.
    private(set) var time: UInt32 = 0
    private var lastTime: UInt32 = 0
    private var savedTime: UInt32 = 0
    /// New values written out in this payload, at most `wordsMax`; the encoder's index of them.
    private var words: [U256] = []
    private var wordIndex: [U256: Int] = [:]
    private let isIndexed: Bool
    private static var wordsMax: Int { 4096 }
    private static var wordWidthMin: Int { 97 }

    init(indexed: Bool) {
        references = References(indexed: indexed)
        isIndexed = indexed
    }

    deinit { widths.free() }

    mutating func reset() {
        widths.reset()
        lastTime = 0
    }
    mutating func save() {
        widths.save()
        savedTime = lastTime
    }
    mutating func restore() {
        widths.restore()
        lastTime = savedTime
        beginPayload()
    }

    mutating func beginPayload() {
        references.removeAll()
        time = 0
        if !words.isEmpty {
            words.removeAll(keepingCapacity: true)
            wordIndex.removeAll(keepingCapacity: true)
        }
    }

    /// Where changed slots follow: the payload's time.
    mutating func encodeTime(_ time: UInt32, to writer: inout ColumnWriter) {
        writer.bit(time != 0, ModelMap.hasTime)
        guard time != 0 else { return }
        writer.number(
            UInt64(time &- lastTime), treeBits: ModelMap.longNumberBits, ModelMap.time)
        (self.time, lastTime) = (time, time)
    }

    mutating func decodeTime(from reader: inout ColumnReader) {
        guard reader.bit(ModelMap.hasTime) else { return }
        let step = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.time)
        time = lastTime &+ UInt32(truncatingIfNeeded: step)
        lastTime = time
    }

    /// A new value was written out.
    @inline(__always)
    private mutating func noteWord(_ word: U256) {
        if word.bitWidth < SlotValues.wordWidthMin || words.count == SlotValues.wordsMax { return }
        if isIndexed { wordIndex[word] = words.count }
        words.append(word)
    }
    mutating func beginContract() { references.beginContract() }

    // MARK: Encoder

    mutating func encode(
        old: U256, new: U256, _ context: ContractContext, _ accounts: ValueAccounts,
        to writer: inout ColumnWriter
    ) {
        let operation = context.operation(
            old: old, open: references.openCount, paired: references.pairedCount)
        let rises = old < new
        let magnitude = rises ? new &- old : old &- new
        let width = magnitude.bitWidth

        if let accrued = context.accrued {
            writer.work += CodecLimits.workPerHash
            if accrued == new, width > 0 {
                writer.tree(SlotOperation.accrued.rawValue, depth: 5, operation)
                return
            }
        }
        if new.isZero, !old.isZero {
            writer.tree(SlotOperation.clear.rawValue, depth: 5, operation)
            if width >= References.widthMin { references.insert(magnitude) }
            return
        }
        if width >= References.widthMin, let found = references.find(magnitude) {
            let symbol: SlotOperation
            let bound: Int
            switch found.list {
            case .open:
                symbol = rises ? .openRise : .openFall
                bound = references.openCount
            case .paired:
                symbol = rises ? .pairedRise : .pairedFall
                bound = references.pairedCount
            case .elsewhere:
                symbol = rises ? .elsewhereRise : .elsewhereFall
                bound = references.count
            }
            writer.tree(symbol.rawValue, depth: 5, operation)
            writer.uniform(found.place, below: bound)
            switch found.list {
            case .open: _ = references.useOpen(found.place)
            case .paired: break
            case .elsewhere: _ = references.useAny(found.place)
            }
            return
        }
        if width == 0 {
            writer.tree(SlotOperation.kept.rawValue, depth: 5, operation)
            return
        }
        if width > 16, encodeWhole(new, operation, accounts, to: &writer) { return }
        if width > 64, new.w3 | new.w2 != 0,
            let fields = cheapestFields(old: old, new: new, whole: width, accounts)
        {
            writer.tree(SlotOperation.firstFields.rawValue + fields.rawValue, depth: 5, operation)
            encode(fields, old: old, new: new, accounts, to: &writer)
            noteWord(new)
            return
        }
        noteWord(new)
        if new.bitWidth + 4 < width {
            writer.tree(SlotOperation.set.rawValue, depth: 5, operation)
            writer.magnitude(new, width: ModelMap.wholeWidth, roundness: 0)
            return
        }
        writer.tree((rises ? SlotOperation.rise : .fall).rawValue, depth: 5, operation)
        let expected = widths.context(contract: context.contract, code: context.code)
        writer.magnitude(magnitude, width: ModelMap.width(expected), roundness: 0)
        widths.note(width: width, contract: context.contract, code: context.code)
        if width >= References.widthMin { references.insert(magnitude) }
    }

    /// Writes a new value that is known from elsewhere, if it is.
    private func encodeWhole(
        _ new: U256, _ operation: Int, _ accounts: ValueAccounts, to writer: inout ColumnWriter
    ) -> Bool {
        if time != 0, new == U256(UInt64(time)) {
            writer.tree(SlotOperation.time.rawValue, depth: 5, operation)
            return true
        }
        if new.bitWidth >= SlotValues.wordWidthMin, !wordIndex.isEmpty, let index = wordIndex[new] {
            writer.tree(SlotOperation.again.rawValue, depth: 5, operation)
            writer.uniform(index, below: words.count)
            return true
        }
        if new.w3 == .max, new == ~U256.zero {
            writer.tree(SlotOperation.ones.rawValue, depth: 5, operation)
            return true
        }
        if new.w2 != 0, let index = accounts.index(new) {
            writer.tree(SlotOperation.account.rawValue, depth: 5, operation)
            writer.uniform(index, below: accounts.changes.count)
            return true
        }
        return false
    }

    /// The way of cutting the word that promises the fewest bits; nil when none beats the whole difference. Any choice
    /// decodes; this one is the encoder's alone.
    private func cheapestFields(
        old: U256, new: U256, whole: Int, _ accounts: ValueAccounts
    ) -> WordFields? {
        var best: WordFields?
        var bestBits = min(whole, new.bitWidth) + 8
        for fields in WordFields.allCases {
            var (restOld, restNew) = (old, new)
            var bits = 2
            for i in 0..<fields.count {
                let width = fields.width(i)
                let before = WordFields.pop(&restOld, width: width)
                let after = WordFields.pop(&restNew, width: width)
                if before == after {
                    bits += 1
                    continue
                }
                if isTime(after) || after == WordFields.mask(width) {
                    bits += 3
                    continue
                }
                if width == 160, after.w2 != 0, accounts.index(after) != nil {
                    bits += 12
                    continue
                }
                let magnitude = before < after ? after &- before : before &- after
                let literal = min(magnitude.bitWidth, after.bitWidth) + 7
                bits +=
                    magnitude.bitWidth >= References.widthMin && references.number(magnitude) != nil
                    ? 14 : literal
            }
            if bits < bestBits {
                best = fields
                bestBits = bits
            }
        }
        return best
    }

    private func isTime(_ field: U256) -> Bool { time != 0 && field == U256(UInt64(time)) }

    private mutating func encode(
        _ fields: WordFields, old: U256, new: U256, _ accounts: ValueAccounts, to writer: inout ColumnWriter
    ) {
        var (restOld, restNew) = (old, new)
        for i in 0..<fields.count {
            let width = fields.width(i)
            let before = WordFields.pop(&restOld, width: width)
            let after = WordFields.pop(&restNew, width: width)
            let context = fields.context(i)
            let symbols = ModelMap.fieldOperation(context)
            if before == after {
                writer.tree(FieldOperation.same.rawValue, depth: 4, symbols)
                continue
            }
            if width >= 32, isTime(after) {
                writer.tree(FieldOperation.time.rawValue, depth: 4, symbols)
                continue
            }
            if after == WordFields.mask(width) {
                writer.tree(FieldOperation.ones.rawValue, depth: 4, symbols)
                continue
            }
            if width == 160, after.w2 != 0, let index = accounts.index(after) {
                writer.tree(FieldOperation.account.rawValue, depth: 4, symbols)
                writer.uniform(index, below: accounts.changes.count)
                continue
            }
            let rises = before < after
            let magnitude = rises ? after &- before : before &- after
            if magnitude.bitWidth >= References.widthMin, let number = references.number(magnitude) {
                let symbol: FieldOperation = rises ? .referenceRise : .referenceFall
                writer.tree(symbol.rawValue, depth: 4, symbols)
                writer.uniform(number, below: references.count)
                _ = references.useAny(number)
                continue
            }
            if !after.isZero, after.bitWidth + 4 < magnitude.bitWidth {
                writer.tree(FieldOperation.set.rawValue, depth: 4, symbols)
                writer.magnitude(after, width: ModelMap.fieldWidth(context), roundness: 1)
                continue
            }
            writer.tree((rises ? FieldOperation.rise : .fall).rawValue, depth: 4, symbols)
            writer.magnitude(magnitude, width: ModelMap.fieldWidth(context), roundness: 1)
            if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
        }
    }

    // MARK: Decoder

    /// The new value. Equal to `old` only for a slot of a destroyed account.
    mutating func decode(
        old: U256, _ context: ContractContext, _ accounts: ValueAccounts, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        if context.accrued != nil { try reader.spend(CodecLimits.workPerHash) }
        let operation = context.operation(
            old: old, open: references.openCount, paired: references.pairedCount)
        let symbol = reader.tree(depth: 5, operation)
        switch SlotOperation(rawValue: symbol) {
        case .rise:
            let new = try raise(old, try literal(context, from: &reader))
            noteWord(new)
            return new
        case .fall:
            let new = try lower(old, try literal(context, from: &reader))
            noteWord(new)
            return new
        case .time:
            return try changed(old, U256(UInt64(time)))
        case .ones:
            return try changed(old, ~U256.zero)
        case .accrued:
            guard let accrued = context.accrued else { throw .badValue }
            return try changed(old, accrued)
        case .again:
            if words.isEmpty { throw .badValue }
            return try changed(old, words[reader.uniform(below: words.count)])
        case .account:
            if accounts.changes.isEmpty { throw .badValue }
            return try changed(old, accounts.word(reader.uniform(below: accounts.changes.count)))
        case .clear:
            if old.isZero { throw .badValue }
            if old.bitWidth >= References.widthMin { references.insert(old) }
            return .zero
        case .openRise, .openFall:
            let count = references.openCount
            if count == 0 { throw .badValue }
            let magnitude = references.useOpen(reader.uniform(below: count))
            return symbol == SlotOperation.openRise.rawValue
                ? try raise(old, magnitude) : try lower(old, magnitude)
        case .pairedRise, .pairedFall:
            let count = references.pairedCount
            if count == 0 { throw .badValue }
            let magnitude = references.usePaired(reader.uniform(below: count))
            return symbol == SlotOperation.pairedRise.rawValue
                ? try raise(old, magnitude) : try lower(old, magnitude)
        case .elsewhereRise, .elsewhereFall:
            let count = references.count
            if count == 0 { throw .badValue }
            let magnitude = references.useAny(reader.uniform(below: count))
            return symbol == SlotOperation.elsewhereRise.rawValue
                ? try raise(old, magnitude) : try lower(old, magnitude)
        case .set:
            guard let value = reader.magnitude(width: ModelMap.wholeWidth, roundness: 0), value != old
            else { throw .badValue }
            noteWord(value)
            return value
        case .kept:
            if !context.isDestroyed || old.isZero { throw .badValue }
            return old
        case .firstFields, nil:
            guard let fields = WordFields(rawValue: symbol - SlotOperation.firstFields.rawValue)
            else { throw .badValue }
            let new = try decode(fields, old: old, accounts, from: &reader)
            noteWord(new)
            return new
        }
    }

    private func changed(_ old: U256, _ new: U256) throws(CodecError) -> U256 {
        if old == new { throw .badValue }
        return new
    }

    @inline(__always)
    private mutating func literal(
        _ context: ContractContext, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        let expected = widths.context(contract: context.contract, code: context.code)
        guard let magnitude = reader.magnitude(width: ModelMap.width(expected), roundness: 0) else {
            throw .badValue
        }
        let width = magnitude.bitWidth
        widths.note(width: width, contract: context.contract, code: context.code)
        if width >= References.widthMin { references.insert(magnitude) }
        return magnitude
    }

    @inline(__always)
    private func raise(_ old: U256, _ magnitude: U256) throws(CodecError) -> U256 {
        let (sum, over) = old.addingReportingOverflow(magnitude)
        if over { throw .badValue }
        return sum
    }

    @inline(__always)
    private func lower(_ old: U256, _ magnitude: U256) throws(CodecError) -> U256 {
        let (rest, under) = old.subtractingReportingOverflow(magnitude)
        if under { throw .badValue }
        return rest
    }

    private mutating func decode(
        _ fields: WordFields, old: U256, _ accounts: ValueAccounts, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        var rest = old
        var new = U256.zero
        var shift = 0
        for i in 0..<fields.count {
            let width = fields.width(i)
            let before = WordFields.pop(&rest, width: width)
            let context = fields.context(i)
            let after: U256
            switch FieldOperation(rawValue: reader.tree(depth: 4, ModelMap.fieldOperation(context))) {
            case .same:
                after = before
            case .rise:
                after = try raise(before, try fieldLiteral(context, from: &reader))
            case .fall:
                after = try lower(before, try fieldLiteral(context, from: &reader))
            case .referenceRise:
                after = try raise(before, try fieldReference(from: &reader))
            case .referenceFall:
                after = try lower(before, try fieldReference(from: &reader))
            case .set:
                guard let value = reader.magnitude(width: ModelMap.fieldWidth(context), roundness: 1)
                else { throw .badValue }
                after = value
            case .time:
                after = U256(UInt64(time))
            case .ones:
                after = WordFields.mask(width)
            case .account:
                if accounts.changes.isEmpty { throw .badValue }
                after = accounts.word(reader.uniform(below: accounts.changes.count))
            case nil:
                throw .badValue
            }
            if after.bitWidth > width { throw .badValue }
            new = new | after << shift
            shift += width
        }
        if new == old { throw .badValue }
        return new
    }

    private mutating func fieldLiteral(
        _ context: Int, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        guard let magnitude = reader.magnitude(width: ModelMap.fieldWidth(context), roundness: 1)
        else { throw .badValue }
        if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
        return magnitude
    }

    private mutating func fieldReference(from reader: inout ColumnReader) throws(CodecError) -> U256 {
        let count = references.count
        if count == 0 { throw .badValue }
        return references.useAny(reader.uniform(below: count))
    }
}

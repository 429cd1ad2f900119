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
    /// 10…13: field by field, as `WordFields` 0…3.
    case firstFields = 10
    /// A slot of a destroyed account whose value is as before all the same.
    case kept = 14
}

/// How one field of a word changes.
enum FieldOperation: Int {
    case same = 0
    case rise = 1
    case fall = 2
    case referenceRise = 3
    case referenceFall = 4
    case set = 5
}

/// What the coding of one contract's slots needs to know of it.
struct ContractContext {
    var contract: Int
    var code: Int
    var isDestroyed: Bool

    @inline(__always)
    func operation(old: U256, open: Int, paired: Int) -> Int {
        let openness = open < 2 ? open : open < 4 ? 2 : 3
        let size =
            old.w3 | old.w2 != 0 ? 3 : old.w1 != 0 ? 2 : old.w0 != 0 ? 1 : 0
        return ModelMap.operation(((code & 3) * 4 + size) * 8 + openness * 2 + (paired > 0 ? 1 : 0))
    }
}

struct SlotValues: ~Copyable {
    private var references: References
    let widths = ExpectedWidths()

    init(indexed: Bool) { references = References(indexed: indexed) }

    deinit { widths.free() }

    mutating func beginPayload() { references.removeAll() }
    mutating func beginContract() { references.beginContract() }

    // MARK: Encoder

    mutating func encode(old: U256, new: U256, _ context: ContractContext, to writer: inout ColumnWriter) {
        let operation = context.operation(
            old: old, open: references.openCount, paired: references.pairedCount)
        let rises = old < new
        let magnitude = rises ? new &- old : old &- new
        let width = magnitude.bitWidth

        if new.isZero, !old.isZero {
            writer.tree(SlotOperation.clear.rawValue, depth: 4, operation)
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
            writer.tree(symbol.rawValue, depth: 4, operation)
            writer.uniform(found.place, below: bound)
            switch found.list {
            case .open: _ = references.useOpen(found.place)
            case .paired: break
            case .elsewhere: _ = references.useAny(found.place)
            }
            return
        }
        if width == 0 {
            writer.tree(SlotOperation.kept.rawValue, depth: 4, operation)
            return
        }
        if width > 96, old.w3 | old.w2 != 0, let fields = cheapestFields(old: old, new: new, whole: width) {
            writer.tree(SlotOperation.firstFields.rawValue + fields.rawValue, depth: 4, operation)
            encode(fields, old: old, new: new, to: &writer)
            return
        }
        if new.bitWidth + 4 < width {
            writer.tree(SlotOperation.set.rawValue, depth: 4, operation)
            writer.magnitude(new, width: ModelMap.fieldWidth(7), roundness: 0)
            return
        }
        writer.tree((rises ? SlotOperation.rise : .fall).rawValue, depth: 4, operation)
        let expected = widths.context(contract: context.contract, code: context.code)
        writer.magnitude(magnitude, width: ModelMap.width(expected), roundness: 0)
        widths.note(width: width, contract: context.contract, code: context.code)
        if width >= References.widthMin { references.insert(magnitude) }
    }

    /// The way of cutting the word that promises the fewest bits; nil when none beats the whole difference. Any choice
    /// decodes; this one is the encoder's alone.
    private func cheapestFields(old: U256, new: U256, whole: Int) -> WordFields? {
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

    private mutating func encode(_ fields: WordFields, old: U256, new: U256, to writer: inout ColumnWriter) {
        var (restOld, restNew) = (old, new)
        for i in 0..<fields.count {
            let width = fields.width(i)
            let before = WordFields.pop(&restOld, width: width)
            let after = WordFields.pop(&restNew, width: width)
            let context = SlotValues.fieldContext(fields, i)
            let symbols = ModelMap.fieldOperation(context)
            if before == after {
                writer.tree(FieldOperation.same.rawValue, depth: 3, symbols)
                continue
            }
            let rises = before < after
            let magnitude = rises ? after &- before : before &- after
            if magnitude.bitWidth >= References.widthMin, let number = references.number(magnitude) {
                let symbol: FieldOperation = rises ? .referenceRise : .referenceFall
                writer.tree(symbol.rawValue, depth: 3, symbols)
                writer.uniform(number, below: references.count)
                _ = references.useAny(number)
                continue
            }
            if !after.isZero, after.bitWidth + 4 < magnitude.bitWidth {
                writer.tree(FieldOperation.set.rawValue, depth: 3, symbols)
                writer.magnitude(after, width: ModelMap.fieldWidth(context), roundness: 1)
                continue
            }
            writer.tree((rises ? FieldOperation.rise : .fall).rawValue, depth: 3, symbols)
            writer.magnitude(magnitude, width: ModelMap.fieldWidth(context), roundness: 1)
            if magnitude.bitWidth >= References.widthMin { references.insert(magnitude) }
        }
    }

    private static func fieldContext(_ fields: WordFields, _ field: Int) -> Int {
        switch fields {
        case .halves: 0
        case .reserves: field < 2 ? 1 : 2
        case .quarters: 3
        case .address: 4 + field
        }
    }

    // MARK: Decoder

    /// The new value. Equal to `old` only for a slot of a destroyed account.
    mutating func decode(
        old: U256, _ context: ContractContext, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        let operation = context.operation(
            old: old, open: references.openCount, paired: references.pairedCount)
        let symbol = reader.tree(depth: 4, operation)
        switch SlotOperation(rawValue: symbol) {
        case .rise:
            return try raise(old, try literal(context, from: &reader))
        case .fall:
            return try lower(old, try literal(context, from: &reader))
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
            guard let value = reader.magnitude(width: ModelMap.fieldWidth(7), roundness: 0), value != old
            else { throw .badValue }
            return value
        case .kept:
            if !context.isDestroyed || old.isZero { throw .badValue }
            return old
        case .firstFields, nil:
            guard let fields = WordFields(rawValue: symbol - SlotOperation.firstFields.rawValue)
            else { throw .badValue }
            return try decode(fields, old: old, from: &reader)
        }
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
        _ fields: WordFields, old: U256, from reader: inout ColumnReader
    ) throws(CodecError) -> U256 {
        var rest = old
        var new = U256.zero
        var shift = 0
        for i in 0..<fields.count {
            let width = fields.width(i)
            let before = WordFields.pop(&rest, width: width)
            let context = SlotValues.fieldContext(fields, i)
            let after: U256
            switch FieldOperation(rawValue: reader.tree(depth: 3, ModelMap.fieldOperation(context))) {
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

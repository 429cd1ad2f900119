/// What recordings hold beside a diff's content: new contract facts, operations, and origins of known slots (Spec 70.5.1).
/// Behind the slots, and only where there are any: a diff without them costs nothing.
///
/// Operations that do not add up (as many sections as heights, counts that are the diff's) are left out by the writer and
/// refused by the reader, so that whoever plays a recording gets operations that belong to their diff. Whether they say
/// the truth about it is nobody's business here: they are hints.

import MillraceBase
import MillraceDiff

enum HintSerialisation {
    /// In the first byte of a diff: hints follow its slots.
    static let flag: UInt8 = 0x80

    // MARK: Encoding

    /// Which of a diff's hints are written.
    struct Selection {
        let operations: Bool
        let origins: Int
        let facts: Bool
        var isEmpty: Bool { !operations && origins == 0 && !facts }

        init(_ diff: StateDiff) {
            operations = HintSerialisation.addUp(diff)
            facts = !diff.newFacts.isEmpty
            // Those in order, up to the first that is not.
            var count = 0
            let origins = diff.operations.origins
            while count < min(origins.count, RecordingLimits.cellsPerDiffMax),
                origins[count].preimage != .none, count == 0 || origins[count - 1].id < origins[count].id
            {
                count += 1
            }
            self.origins = count
        }
    }

    /// One section per height, and every count the sum of what it counts.
    static func addUp(_ diff: StateDiff) -> Bool {
        let operations = diff.operations
        let limit = RecordingLimits.cellsPerDiffMax
        guard !operations.sections.isEmpty,
            UInt64(operations.sections.count) == diff.lastHeight &- diff.firstHeight &+ 1,
            operations.transactions.count <= limit, operations.actions.count <= limit,
            operations.literals.count <= limit
        else { return false }
        var sums = SectionSums()
        for section in operations.sections {
            let first = sums.transactions
            sums.add(section)
            guard sums.transactions <= operations.transactions.count else { return false }
            var actions: UInt64 = 0
            for i in first..<sums.transactions { actions += UInt64(operations.transactions[i].actionCount) }
            guard actions == UInt64(section.actions) else { return false }
        }
        return sums.transactions == operations.transactions.count
            && sums.actions == operations.actions.count
            && sums.literals == operations.literals.count && sums.isOf(diff)
    }

    static func append(_ diff: StateDiff, _ selection: Selection, to bytes: inout [UInt8]) {
        bytes.appendVarint(UInt64(diff.newFacts.count))
        for fact in diff.newFacts { append(fact, to: &bytes) }
        bytes.append(selection.operations ? 1 : 0)
        if selection.operations {
            var (transaction, action, literal) = (0, 0, 0)
            let operations = diff.operations
            for section in operations.sections {
                append(section, to: &bytes)
                var sender: UInt32 = 0
                for _ in 0..<section.transactions {
                    let next = operations.transactions[transaction]
                    transaction += 1
                    // Sorted by sender as a rule, so steps are small.
                    bytes.appendVarint(zigzag(Int64(next.sender.index) - Int64(sender)))
                    sender = next.sender.index
                    bytes.appendVarint(next.gas)
                    bytes.appendVarint(next.price)
                    bytes.appendVarint(UInt64(next.actionCount))
                    for _ in 0..<next.actionCount {
                        append(operations.actions[action], to: &bytes)
                        action += 1
                    }
                }
                for _ in 0..<section.literals {
                    bytes.append(operations.literals[literal])
                    literal += 1
                }
            }
        }
        bytes.appendVarint(UInt64(selection.origins))
        var next: UInt64 = 0
        for origin in diff.operations.origins.prefix(selection.origins) {
            bytes.appendVarint(UInt64(origin.id.index) &- next)
            next = UInt64(origin.id.index) + 1
            switch origin.preimage {
            case .none: preconditionFailure("an origin without preimage was selected")
            case .mapping(let base, let key):
                bytes.append(1)
                DiffSerialisation.appendWord(base, to: &bytes)
                DiffSerialisation.appendWord(key, to: &bytes)
            case .nested(let base, let outer, let inner):
                bytes.append(2)
                DiffSerialisation.appendWord(base, to: &bytes)
                DiffSerialisation.appendWord(outer, to: &bytes)
                DiffSerialisation.appendWord(inner, to: &bytes)
            }
        }
    }

    private static func append(_ fact: ContractFact, to bytes: inout [UInt8]) {
        switch fact {
        case .token(let contract, let base, let keyFirst):
            bytes.append(keyFirst ? 0 : 1)
            bytes.appendVarint(UInt64(contract.index))
            DiffSerialisation.appendWord(base, to: &bytes)
        case .allowances(let token, let base):
            bytes.append(2)
            bytes.appendVarint(UInt64(token.index))
            DiffSerialisation.appendWord(base, to: &bytes)
        case .supply(let token, let slot):
            bytes.append(3)
            bytes.appendVarint(UInt64(token.index))
            DiffSerialisation.appendWord(slot, to: &bytes)
        case .spender(let address):
            bytes.append(4)
            bytes.append(address)
        case .pool(let contract, let token0, let token1, let kept):
            bytes.append(5)
            bytes.appendVarint(UInt64(contract.index))
            bytes.appendVarint(UInt64(token0.index))
            bytes.appendVarint(UInt64(token1.index))
            bytes.appendVarint(UInt64(kept))
        }
    }

    /// Its number of actions follows from its transactions.
    private static func append(_ section: Section, to bytes: inout [UInt8]) {
        for count in [
            section.newCodes, section.newAccounts, section.newSlots, section.newFacts, section.transactions,
            section.literals, section.timestamp, section.coinbase.index &+ 1,
        ] { bytes.appendVarint(UInt64(count)) }
        bytes.appendVarint(section.baseFee)
    }

    private static func append(_ action: Action, to bytes: inout [UInt8]) {
        var flags = action.kind.rawValue
        if action.zeroForOne { flags |= 1 << 3 }
        if action.isChained { flags |= 1 << 4 }
        if action.isByFormula { flags |= 1 << 5 }
        if action.fact != .none { flags |= 1 << 6 }
        if action.spender != .none { flags |= 1 << 7 }
        bytes.append(flags)
        if action.fact != .none { bytes.appendVarint(UInt64(action.fact.index)) }
        if action.spender != .none { bytes.appendVarint(UInt64(action.spender.index)) }
        // Accounts even, literals odd: both short.
        bytes.appendVarint(UInt64(action.payer.raw << 1 | action.payer.raw >> 31))
        bytes.appendVarint(UInt64(action.payee.raw << 1 | action.payee.raw >> 31))
        DiffSerialisation.appendWord(action.amount, to: &bytes)
        DiffSerialisation.appendWord(action.amountOut, to: &bytes)
        bytes.appendVarint(UInt64(action.turn))
    }

    private static func zigzag(_ value: Int64) -> UInt64 {
        UInt64(bitPattern: value << 1 ^ value >> 63)
    }

    // MARK: Decoding

    @_lifetime(reader: copy reader)
    static func decode(_ reader: inout ByteReader, into diff: inout StateDiff) throws {
        for _ in 0..<(try DiffSerialisation.count(&reader, bytesEach: 3)) {
            diff.newFacts.append(try fact(&reader))
        }
        switch try reader.u8() {
        case 0: break
        case 1: try decodeSections(&reader, into: &diff)
        default: throw DiffSerialisationError.unknownTag
        }
        var next: UInt64 = 0
        for _ in 0..<(try DiffSerialisation.count(&reader, bytesEach: 4)) {
            let id = SlotID(try DiffSerialisation.id(&reader, &next))
            let preimage: SlotPreimage
            switch try reader.u8() {
            case 1:
                let base = try DiffSerialisation.word(&reader)
                preimage = .mapping(base: base, key: try DiffSerialisation.word(&reader))
            case 2:
                let base = try DiffSerialisation.word(&reader)
                let outer = try DiffSerialisation.word(&reader)
                preimage = .nested(base: base, outer: outer, inner: try DiffSerialisation.word(&reader))
            default: throw DiffSerialisationError.unknownTag
            }
            diff.operations.origins.append(SlotOrigin(id: id, preimage: preimage))
        }
        guard
            !diff.newFacts.isEmpty || !diff.operations.sections.isEmpty || !diff.operations.origins.isEmpty
        else { throw DiffSerialisationError.nothing }
    }

    @_lifetime(reader: copy reader)
    private static func decodeSections(_ reader: inout ByteReader, into diff: inout StateDiff) throws {
        let heights = diff.lastHeight &- diff.firstHeight
        guard heights < UInt64(min(RecordingLimits.cellsPerDiffMax, reader.remaining / 9)) else {
            throw DiffSerialisationError.tooMany
        }
        var sums = SectionSums()
        for _ in 0...heights {
            var section = Section()
            section.newCodes = try DiffSerialisation.index(&reader)
            section.newAccounts = try DiffSerialisation.index(&reader)
            section.newSlots = try DiffSerialisation.index(&reader)
            section.newFacts = try DiffSerialisation.index(&reader)
            section.transactions = try count(&reader, bytesEach: 4, after: sums.transactions)
            section.literals = try DiffSerialisation.index(&reader)
            section.timestamp = try DiffSerialisation.index(&reader)
            section.coinbase.index = try DiffSerialisation.index(&reader) &- 1
            section.baseFee = try reader.varint()
            try decodeTransactions(&reader, &section, into: &diff.operations)
            guard
                Int(section.literals)
                    <= min(RecordingLimits.cellsPerDiffMax - sums.literals, reader.remaining / 20)
            else { throw DiffSerialisationError.tooMany }
            for _ in 0..<section.literals { diff.operations.literals.append(try reader.address()) }
            sums.add(section)
            diff.operations.sections.append(section)
        }
        guard sums.isOf(diff) else { throw DiffSerialisationError.sections }
    }

    @_lifetime(reader: copy reader)
    private static func decodeTransactions(
        _ reader: inout ByteReader, _ section: inout Section, into operations: inout Operations
    ) throws {
        var sender: Int64 = 0
        let start = operations.actions.count
        for _ in 0..<section.transactions {
            let step = try reader.varint()
            let (next, over) = sender.addingReportingOverflow(
                Int64(bitPattern: step >> 1) ^ -Int64(bitPattern: step & 1))
            guard !over, let id = UInt32(exactly: next) else { throw DiffSerialisationError.idTooLarge }
            sender = next
            let (gas, price) = (try reader.varint(), try reader.varint())
            let actions = try count(&reader, bytesEach: 6, after: operations.actions.count)
            operations.transactions.append(
                Transaction(sender: AccountID(id), gas: gas, price: price, actionCount: actions))
            for _ in 0..<actions { operations.actions.append(try action(&reader)) }
        }
        section.actions = UInt32(operations.actions.count - start)
    }

    /// A count that the rest of the input could hold, on top of so many before it.
    @_lifetime(reader: copy reader)
    private static func count(_ reader: inout ByteReader, bytesEach: Int, after: Int) throws -> UInt32 {
        let count = try reader.varint()
        let limit = min(RecordingLimits.cellsPerDiffMax - after, reader.remaining / bytesEach)
        guard count <= UInt64(max(limit, 0)) else { throw DiffSerialisationError.tooMany }
        return UInt32(count)
    }

    @_lifetime(reader: copy reader)
    private static func fact(_ reader: inout ByteReader) throws -> ContractFact {
        let tag = try reader.u8()
        switch tag {
        case 0, 1:
            let contract = AccountID(try DiffSerialisation.index(&reader))
            return .token(contract: contract, base: try DiffSerialisation.word(&reader), keyFirst: tag == 0)
        case 2:
            let token = FactID(try DiffSerialisation.index(&reader))
            return .allowances(token: token, base: try DiffSerialisation.word(&reader))
        case 3:
            let token = FactID(try DiffSerialisation.index(&reader))
            return .supply(token: token, slot: try DiffSerialisation.word(&reader))
        case 4:
            return .spender(try reader.address())
        case 5:
            let contract = AccountID(try DiffSerialisation.index(&reader))
            let token0 = FactID(try DiffSerialisation.index(&reader))
            let token1 = FactID(try DiffSerialisation.index(&reader))
            guard let kept = UInt16(exactly: try reader.varint()) else {
                throw DiffSerialisationError.idTooLarge
            }
            return .pool(contract: contract, token0: token0, token1: token1, kept: kept)
        default:
            throw DiffSerialisationError.unknownTag
        }
    }

    @_lifetime(reader: copy reader)
    private static func action(_ reader: inout ByteReader) throws -> Action {
        let flags = try reader.u8()
        guard let kind = Action.Kind(rawValue: flags & 7) else { throw DiffSerialisationError.unknownTag }
        let fact = flags & 1 << 6 != 0 ? try factID(&reader) : .none
        let spender = flags & 1 << 7 != 0 ? try factID(&reader) : .none
        let payer = try party(&reader)
        let payee = try party(&reader)
        let amount = try DiffSerialisation.word(&reader)
        var action = Action(kind, fact: fact, payer: payer, payee: payee, amount: amount, spender: spender)
        action.zeroForOne = flags & 1 << 3 != 0
        action.isChained = flags & 1 << 4 != 0
        action.isByFormula = flags & 1 << 5 != 0
        action.amountOut = try DiffSerialisation.word(&reader)
        action.turn = try DiffSerialisation.index(&reader)
        return action
    }

    /// One that is there: `.none` has a flag of its own.
    @_lifetime(reader: copy reader)
    private static func factID(_ reader: inout ByteReader) throws -> FactID {
        let id = FactID(try DiffSerialisation.index(&reader))
        guard id != .none else { throw DiffSerialisationError.idTooLarge }
        return id
    }

    @_lifetime(reader: copy reader)
    private static func party(_ reader: inout ByteReader) throws -> Party {
        let index = try DiffSerialisation.index(&reader)
        return Party(raw: index >> 1 | index << 31)
    }
}

/// What sections count, added up.
private struct SectionSums {
    var newCodes: UInt64 = 0
    var newAccounts: UInt64 = 0
    var newSlots: UInt64 = 0
    var newFacts: UInt64 = 0
    var transactions = 0
    var actions = 0
    var literals = 0

    mutating func add(_ section: Section) {
        newCodes += UInt64(section.newCodes)
        newAccounts += UInt64(section.newAccounts)
        newSlots += UInt64(section.newSlots)
        newFacts += UInt64(section.newFacts)
        transactions += Int(section.transactions)
        actions += Int(section.actions)
        literals += Int(section.literals)
    }

    func isOf(_ diff: StateDiff) -> Bool {
        newCodes == UInt64(diff.newCodes.count) && newAccounts == UInt64(diff.newAccounts.count)
            && newSlots == UInt64(diff.newSlots.count) && newFacts == UInt64(diff.newFacts.count)
    }
}

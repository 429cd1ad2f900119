/// The operations of a payload, one section per height: what is told, in this order (Spec 30.12)
///
///     section   block time, coinbase, base fee, new facts
///     senders   a multiset by popularity: the transactions, in order of their senders
///     actions   of each transaction: kinds, who, what, how much
///     turns     of each pool: the order of its swaps
///     fees      after the actions have run: gas by the branches taken, price
///
/// Each method serves both directions (`ColumnCoder`): it reads from the diff and writes the stream, or the other way.

internal import MillraceBase
internal import MillraceDiff

/// How far a payload's sections have come in the diff's arrays.
struct SectionCursor {
    var transactions = 0
    var actions = 0
    var literals = 0
    var facts = 0
    var accounts = 0
    var slots = 0
}

/// Working memory of a section's coding.
struct OperationScratch: ~Copyable {
    /// Senders in the upper, how often in the lower half.
    var senders = Scratch<UInt64>(capacity: 2048)
    var sendersByClass = Scratch<UInt64>(capacity: 2048)
    var other = Scratch<UInt64>(capacity: 2048)
    /// Swaps by pool: actions in the order they are listed, pool by pool.
    var swaps = Scratch<UInt64>(capacity: 2048)
    var swapsOther = Scratch<UInt64>(capacity: 2048)
    var turns = Permutation()
}

/// Units of work (`CodecLimits.workPerByte` to a byte of payload).
enum OperationCost {
    static var transaction: Int { CodecLimits.workPerByte }
    /// Four hashes and a dozen look-ups at most, some three microseconds.
    static var action: Int { 2 * CodecLimits.workPerByte }
    static var fact: Int { CodecLimits.workPerByte }
    static var literal: Int { 20 * CodecLimits.workPerByte }
    static var actionsMax: Int { 32 }
}

extension Codec {
    // MARK: A section

    /// Codes the operations of one section and runs them.
    func codeOperations<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: inout SectionCursor, base: State,
        _ coder: inout C
    ) throws(CodecError) {
        try codeFacts(&section, of: &diff, at: &cursor, base: base, &coder)
        charge(.facts, coder)
        guard coder.code(bit: section.transactions != 0, ModelMap.hasOperations) else { return }
        try codeHead(&section, base: base, &coder)
        charge(.sections, coder)
        try codeSenders(&section, of: &diff, at: cursor, base: base, &coder)
        charge(.senders, coder)
        try codeActions(&section, of: &diff, at: &cursor, base: base, &coder)
        try codeTurns(section, of: &diff, at: cursor, &coder)
        charge(.turns, coder)
        let ran = runSection(section, diff, at: cursor, base: base)
        guard ran else { throw .badOperation }
        charge(.execution, coder)
        try codeFees(section, of: &diff, at: cursor, base: base, &coder)
        if coder.isOverrun { throw .truncated }
    }

    private func runSection(
        _ section: Section, _ diff: borrowing StateDiff, at cursor: SectionCursor, base: State
    ) -> Bool {
        diff.operations.transactions.withUnsafeBufferPointer {
            runner.lookUp(
                UnsafeBufferPointer(
                    rebasing: $0[cursor.transactions..<cursor.transactions + Int(section.transactions)]),
                base: base)
        }
        return diff.operations.actions.withUnsafeBufferPointer { actions in
            diff.operations.literals.withUnsafeBufferPointer { literals in
                let from = cursor.actions
                let slice = UnsafeBufferPointer(rebasing: actions[from..<from + Int(section.actions)])
                let own = UnsafeBufferPointer(
                    rebasing: literals[cursor.literals..<cursor.literals + Int(section.literals)])
                return runner.run(slice, own, timestamp: section.timestamp, base: base)
            }
        }
    }

    private func codeHead<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, base: State, _ coder: inout C
    ) throws(CodecError) {
        let last = memory.lasts
        if coder.code(bit: section.timestamp == last.timestamp, ModelMap.timestampSame) {
            section.timestamp = last.timestamp
        } else {
            let step = coder.code(
                number: UInt64(section.timestamp &- last.timestamp), treeBits: ModelMap.longNumberBits,
                ModelMap.timestampStep)
            guard let step = UInt32(exactly: step) else { throw .badOperation }
            section.timestamp = last.timestamp &+ step
        }
        if coder.code(bit: section.coinbase.index == last.coinbase, ModelMap.coinbaseSame) {
            section.coinbase = AccountID(last.coinbase)
        } else if coder.code(bit: section.coinbase.index == .max, ModelMap.coinbaseNone) {
            section.coinbase = AccountID(.max)
        } else {
            section.coinbase = AccountID(
                try codePlace(section.coinbase.index, end: runner.accountEnd, accountSpread, &coder))
        }
        if Int(section.coinbase.index) >= runner.accountEnd, section.coinbase.index != .max {
            throw .badOperation
        }
        if coder.code(bit: section.baseFee == last.baseFee, ModelMap.baseFeeSame) {
            section.baseFee = last.baseFee
        } else {
            section.baseFee = coder.code(
                number: section.baseFee, treeBits: ModelMap.longNumberBits, ModelMap.baseFee)
        }
        memory.lasts.timestamp = section.timestamp
        memory.lasts.coinbase = section.coinbase.index
        memory.lasts.baseFee = section.baseFee
    }

    /// An id by its place in the numbering, evenly.
    private func codePlace<C: ColumnCoder & ~Copyable>(
        _ id: UInt32, end: Int, _ spread: IDSpread, _ coder: inout C
    ) throws(CodecError) -> UInt32 {
        guard end > 0 else { throw .badOperation }
        let place = C.isReader ? 0 : spread.place(of: Int(id))
        let coded = coder.code(index: place, below: spread.places(end))
        if !C.isReader { return id }
        guard let id = spread.id(at: coded), id < end else { throw .badKey }
        return UInt32(truncatingIfNeeded: id)
    }

    // MARK: Facts

    private func codeFacts<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: inout SectionCursor, base: State,
        _ coder: inout C
    ) throws(CodecError) {
        var count: UInt32 = 0
        while coder.code(bit: count < section.newFacts, ModelMap.factMore) {
            try coder.spend(OperationCost.fact)
            let given =
                C.isReader ? ContractFact.spender(Address(truncating: .zero)) : diff.newFacts[cursor.facts]
            let fact = try codeFact(given, base: base, &coder)
            if C.isReader { diff.newFacts.append(fact) }
            cursor.facts += 1
            count += 1
            guard runner.facts.count < StateLimits.factCountMax else { throw .badCount(.operations) }
            runner.facts.append(fact)
            if coder.isOverrun { throw .truncated }
        }
        section.newFacts = count
    }

    private func codeFact<C: ColumnCoder & ~Copyable>(
        _ given: ContractFact, base: State, _ coder: inout C
    ) throws(CodecError) -> ContractFact {
        var (kind, account, first, second) = (0, UInt32(0), UInt32(0), UInt32(0))
        var (word, flag, kept, address) = (U256.zero, false, UInt16(0), Address(truncating: .zero))
        switch given {
        case .token(let contract, let base, let keyFirst):
            (kind, account, word, flag) = (0, contract.index, base, keyFirst)
        case .allowances(let token, let base): (kind, first, word) = (1, token.index, base)
        case .supply(let token, let slot): (kind, first, word) = (2, token.index, slot)
        case .spender(let spender): (kind, address) = (3, spender)
        case .pool(let contract, let token0, let token1, let share):
            (kind, account, first, second, kept) = (4, contract.index, token0.index, token1.index, share)
        }
        kind = coder.code(symbol: kind, depth: 3, ModelMap.factKind)
        // A contract may be one that this section brings.
        let accountEnd = runner.accountEnd + CodecLimits.keyCountMax
        switch kind {
        case 0:
            account = try codePlace(account, end: accountEnd, accountSpread, &coder)
            word = codeBase(word, &coder)
            flag = coder.code(bit: flag, ModelMap.factFlag)
            return .token(contract: AccountID(account), base: word, keyFirst: flag)
        case 1, 2:
            first = try codeFactID(first, tokens, ModelMap.factToken, &coder)
            word = codeBase(word, &coder)
            return kind == 1
                ? .allowances(token: FactID(first), base: word) : .supply(token: FactID(first), slot: word)
        case 3:
            return .spender(codeAddress(address, &coder))
        case 4:
            account = try codePlace(account, end: accountEnd, accountSpread, &coder)
            first = try codeFactID(first, tokens, ModelMap.factToken, &coder)
            second = try codeFactID(second, tokens, ModelMap.factToken, &coder)
            let share = coder.code(
                number: UInt64(kept), treeBits: ModelMap.shortNumberBits, ModelMap.factKept)
            guard share <= 10_000 else { throw .badOperation }
            return .pool(
                contract: AccountID(account), token0: FactID(first), token1: FactID(second),
                kept: UInt16(share))
        default:
            throw .badOperation
        }
    }

    private func codeBase<C: ColumnCoder & ~Copyable>(_ word: U256, _ coder: inout C) -> U256 {
        if coder.code(bit: word.asUInt64 != nil, ModelMap.factIsNear) {
            return U256(
                coder.code(number: word.w0, treeBits: ModelMap.longNumberBits, ModelMap.factNear))
        }
        return coder.code(word: word)
    }

    private func codeAddress<C: ColumnCoder & ~Copyable>(_ address: Address, _ coder: inout C) -> Address {
        let high = coder.code(raw: address.high, bits: 64)
        let middle = coder.code(raw: address.middle, bits: 64)
        let low = coder.code(raw: UInt64(address.low), bits: 32)
        return Address(high: high, middle: middle, low: UInt32(truncatingIfNeeded: low))
    }

    // MARK: Naming

    /// A fact by its popularity.
    private func codeFactID<C: ColumnCoder & ~Copyable>(
        _ id: UInt32, _ table: PopularityTable, _ model: Int, _ coder: inout C
    ) throws(CodecError) -> UInt32 {
        let end = runner.facts.count
        let c = coder.code(symbol: C.isReader ? 0 : table.classOf(id), depth: 6, model)
        if c == PopularityTable.cold {
            guard end > 0 else { throw .badOperation }
            return UInt32(truncatingIfNeeded: coder.code(index: Int(id), below: end))
        }
        return try codeListed(id, class: c, end: end, table, &coder)
    }

    @inline(__always)
    private func codeListed<C: ColumnCoder & ~Copyable>(
        _ id: UInt32, class c: Int, end: Int, _ table: PopularityTable, _ coder: inout C
    ) throws(CodecError) -> UInt32 {
        guard c < PopularityTable.classCount else { throw .badKey }
        let count = table.count(ofClass: c)
        guard count > 0 else { throw .badKey }
        let place = coder.code(index: C.isReader ? 0 : table.place(of: id, inClass: c), below: count)
        let named = table.id(inClass: c, at: place)
        guard Int(named) < end else { throw .badKey }
        return named
    }

    private static var oldLiteral: Int { 62 }
    private static var newLiteral: Int { 63 }

    private func codeParty<C: ColumnCoder & ~Copyable>(
        _ party: Party, use: Int, _ section: inout Section, of diff: inout StateDiff,
        at cursor: inout SectionCursor, _ coder: inout C
    ) throws(CodecError) -> Party {
        var c = 0
        if !C.isReader {
            if let literal = party.literal {
                c = literal < Int(section.literals) ? Codec.oldLiteral : Codec.newLiteral
            } else {
                c = people.classOf(party.raw)
            }
        }
        c = coder.code(symbol: c, depth: 6, ModelMap.party(use))
        switch c {
        case Codec.newLiteral:
            try coder.spend(OperationCost.literal)
            charge(.parties, coder)
            let at = Int(section.literals)
            if C.isReader {
                diff.operations.literals.append(codeAddress(Address(truncating: .zero), &coder))
            } else {
                _ = codeAddress(diff.operations.literals[cursor.literals + at], &coder)
            }
            charge(.literals, coder)
            section.literals += 1
            return Party(literal: at)
        case Codec.oldLiteral:
            guard section.literals > 0 else { throw .badKey }
            return Party(literal: coder.code(index: party.literal ?? 0, below: Int(section.literals)))
        case PopularityTable.cold:
            return Party(raw: try codePlace(party.raw, end: runner.accountEnd, accountSpread, &coder))
        default:
            return Party(raw: try codeListed(party.raw, class: c, end: runner.accountEnd, people, &coder))
        }
    }

    // MARK: Actions

    private func codeActions<C: ColumnCoder & ~Copyable>(
        _ section: inout Section, of diff: inout StateDiff, at cursor: inout SectionCursor, base: State,
        _ coder: inout C
    ) throws(CodecError) {
        section.actions = 0
        section.literals = 0
        for i in 0..<Int(section.transactions) {
            let transaction = diff.operations.transactions[cursor.transactions + i]
            let sender = Party(transaction.sender)
            var before = 7
            // What the action before moved: ether that is wrapped and swapped at once is the same amount three times.
            var lastAmount = U256.zero
            var count: UInt32 = 0
            var feeds = false
            while true {
                let at = cursor.actions + Int(section.actions)
                let ends = !C.isReader && count == transaction.actionCount
                // What a swap feeds is a swap.
                let kind =
                    feeds
                    ? Int(Action.Kind.swap.rawValue)
                    : coder.code(
                        symbol: C.isReader ? 0 : ends ? 5 : Int(diff.operations.actions[at].kind.rawValue),
                        depth: 3, ModelMap.actionKind(before))
                charge(.actions, coder)
                if kind == 5 { break }
                guard let kind = Action.Kind(rawValue: UInt8(kind)), count < OperationCost.actionsMax else {
                    throw .badOperation
                }
                try coder.spend(OperationCost.action)
                var action =
                    C.isReader
                    ? Action(kind, payer: sender, payee: sender, amount: .zero) : diff.operations.actions[at]
                action.isChained = feeds
                feeds =
                    action.kind == .swap && !C.isReader && count + 1 < transaction.actionCount
                    && diff.operations.actions[at + 1].isChained
                try codeAction(
                    &action, feeds: &feeds, sender: sender, after: lastAmount, &section, of: &diff,
                    at: &cursor,
                    base: base, &coder)
                lastAmount = action.amount
                if C.isReader { diff.operations.actions.append(action) }
                section.actions += 1
                count += 1
                before = Int(kind.rawValue)
            }
            if C.isReader { diff.operations.transactions[cursor.transactions + i].actionCount = count }
            if i & 63 == 63, coder.isOverrun { throw .truncated }
        }
        if coder.isOverrun { throw .truncated }
    }

    private func codeAction<C: ColumnCoder & ~Copyable>(
        _ action: inout Action, feeds: inout Bool, sender: Party, after lastAmount: U256,
        _ section: inout Section,
        of diff: inout StateDiff,
        at cursor: inout SectionCursor, base: State, _ coder: inout C
    ) throws(CodecError) {
        let kind = Int(action.kind.rawValue)
        var (tokenIn, context) = (UInt32.max, 0)
        switch action.kind {
        case .ether:
            break
        case .transfer, .mint, .burn:
            action.fact = FactID(
                try codeFactID(
                    action.fact.index, tokens, ModelMap.token(action.kind == .transfer ? 0 : 1), &coder))
            charge(.tokens, coder)
            guard runner.facts.isToken(action.fact.index) else { throw .badOperation }
            tokenIn = action.fact.index
            context = Int(tokenIn) << 1
        case .swap:
            action.fact = FactID(
                try codeFactID(action.fact.index, poolTable, ModelMap.pool(!action.isChained), &coder))
            guard let pool = runner.facts.pool(action.fact.index) else { throw .badOperation }
            action.zeroForOne = coder.code(bit: action.zeroForOne, ModelMap.zeroForOne)
            charge(.pools, coder)
            tokenIn = action.zeroForOne ? pool.token0 : pool.token1
            context = Int(action.fact.index) << 1 | (action.zeroForOne ? 1 : 0)
            feeds = coder.code(bit: feeds, ModelMap.isChained)
            action.isByFormula = coder.code(bit: action.isByFormula, ModelMap.isByFormula)
            charge(.actions, coder)
        }
        // Who pays. A chained swap is paid by the pool before.
        if action.kind == .mint {
            action.payer = sender
        } else if action.isChained {
            action.payer = try link(to: action, section, of: &diff, at: cursor)
        } else if coder.code(bit: action.payer == sender, ModelMap.payerIsSender + kind) {
            action.payer = sender
        } else {
            action.payer = try codeParty(action.payer, use: 3, &section, of: &diff, at: &cursor, &coder)
        }
        if action.kind == .burn || feeds {
            action.payee = sender
        } else if coder.code(bit: action.payee == sender, ModelMap.payeeIsSender + kind) {
            action.payee = sender
        } else {
            let use = action.kind == .ether ? 0 : action.kind == .transfer ? 1 : 2
            action.payee = try codeParty(action.payee, use: use, &section, of: &diff, at: &cursor, &coder)
        }
        charge(.parties, coder)
        if action.kind == .transfer || (action.kind == .swap && !action.isChained) {
            try codeSpender(&action, kind, &coder)
            charge(.actions, coder)
        }
        if !action.isChained {
            if !lastAmount.isZero,
                coder.code(bit: action.amount == lastAmount, ModelMap.amountSame + kind)
            {
                action.amount = lastAmount
            } else {
                action.amount = try codeAmount(
                    action.amount, kind: action.kind, context: context, token: tokenIn, base: base, &coder)
            }
        }
        if action.kind == .swap, !action.isByFormula {
            action.amountOut = try codeAmount(
                action.amountOut, kind: .transfer, context: context ^ 1, token: tokenIn, base: base, &coder)
        }
        charge(.amounts, coder)
    }

    /// The pool that pays a chained swap, which in turn is whom the swap before pays.
    private func link(
        to action: Action, _ section: Section, of diff: inout StateDiff, at cursor: SectionCursor
    ) throws(CodecError) -> Party {
        let last = cursor.actions + Int(section.actions) - 1
        guard let from = runner.facts.pool(diff.operations.actions[last].fact.index),
            let to = runner.facts.pool(action.fact.index)
        else { throw .badOperation }
        let payee = Party(raw: to.contract)
        if diff.operations.actions[last].payee != payee { diff.operations.actions[last].payee = payee }
        return Party(raw: from.contract)
    }

    private func codeSpender<C: ColumnCoder & ~Copyable>(
        _ action: inout Action, _ kind: Int, _ coder: inout C
    ) throws(CodecError) {
        guard coder.code(bit: action.spender != .none, ModelMap.hasSpender + kind) else {
            action.spender = .none
            return
        }
        if coder.code(bit: action.spender.index == memory.lasts.spender, ModelMap.spenderSame) {
            action.spender = FactID(memory.lasts.spender)
        } else {
            let end = runner.facts.count
            action.spender = FactID(
                UInt32(truncatingIfNeeded: coder.code(index: Int(action.spender.index), below: max(end, 1))))
            memory.lasts.spender = action.spender.index
        }
        guard runner.facts.isSpender(action.spender.index) else { throw .badOperation }
    }

    private func codeAmount<C: ColumnCoder & ~Copyable>(
        _ amount: U256, kind: Action.Kind, context: Int, token: UInt32, base: State, _ coder: inout C
    ) throws(CodecError) -> U256 {
        if kind == .ether {
            return try coder.code(
                magnitude: amount, width: ModelMap.amount(0), roundness: 0)
        }
        let code = runner.facts.token(token).map { Int(runner.code(of: $0.contract, base: base)) } ?? 0
        // Tokens and pools have widths of their own, by fact; their codes give the first guess.
        let side = kind == .swap ? 1 : 0
        let expected = memory.widths.context(contract: context, code: code << 1 | side)
        let coded = try coder.code(
            magnitude: amount, width: ModelMap.amount(2 + side * 33 + expected), roundness: 1)
        memory.widths.note(width: coded.bitWidth, contract: context, code: code << 1 | side)
        return coded
    }
}

/// Whether operations can be told: they are hints and may come from a file, so that anything may stand there. What cannot be
/// told is left out, and its effects are patches.

internal import MillraceBase
internal import MillraceDiff

extension Codec {
    /// The diff's operations have the canonical form of Spec 20.8 and name what is known by then. Facts are matched with
    /// `base`.
    func isTellable(_ diff: StateDiff, base: State) -> Bool {
        let operations = diff.operations
        let sections = operations.sections
        guard UInt64(sections.count) == diff.lastHeight &- diff.firstHeight &+ 1,
            operations.actions.count <= CodecLimits.actionCountMax,
            operations.transactions.count <= CodecLimits.actionCountMax
        else { return false }
        var kinds = FactKinds(diff, base: base)
        var (accounts, slots, facts) = (0, 0, 0)
        var (transaction, action, literal) = (0, 0, 0)
        for section in sections {
            let accountEnd = base.accountCount + accounts
            facts += Int(section.newFacts)
            guard facts <= diff.newFacts.count,
                section.coinbase.index == .max || Int(section.coinbase.index) < accountEnd,
                Int(section.transactions) <= operations.transactions.count - transaction,
                Int(section.actions) <= operations.actions.count - action,
                Int(section.literals) <= operations.literals.count - literal
            else { return false }
            kinds.end = base.facts.count + facts
            let transactions = operations.transactions[transaction..<transaction + Int(section.transactions)]
            let actions = operations.actions[action..<action + Int(section.actions)]
            guard isTellable(transactions, actions, literals: Int(section.literals), accountEnd, kinds) else {
                return false
            }
            transaction += Int(section.transactions)
            action += Int(section.actions)
            literal += Int(section.literals)
            accounts += Int(section.newAccounts)
            slots += Int(section.newSlots)
        }
        return transaction == operations.transactions.count && action == operations.actions.count
            && literal == operations.literals.count && accounts == diff.newAccounts.count
            && slots == diff.newSlots.count && facts == diff.newFacts.count
    }

    private func isTellable(
        _ transactions: ArraySlice<Transaction>, _ actions: ArraySlice<Action>, literals: Int,
        _ accountEnd: Int,
        _ kinds: FactKinds
    ) -> Bool {
        var next = actions.startIndex
        var lastSender: UInt32 = 0
        var literalsUsed = 0
        for transaction in transactions {
            guard transaction.sender.index >= lastSender, Int(transaction.sender.index) < accountEnd,
                transaction.actionCount <= OperationCost.actionsMax,
                Int(transaction.actionCount) <= actions.endIndex - next
            else { return false }
            lastSender = transaction.sender.index
            var before: Action?
            let sender = Party(transaction.sender)
            for left in (0..<transaction.actionCount).reversed() {
                let action = actions[next]
                if action.isChained, before?.kind != .swap { return false }
                guard isTellable(action, kinds) else { return false }
                // Who is not told is who the rules say, and nobody's first mention.
                let feeds = left > 0 && actions[next + 1].isChained
                if action.kind == .mint, action.payer != sender { return false }
                if action.kind == .burn, action.payee != sender { return false }
                if action.isChained, action.payer.literal != nil { return false }
                if feeds, action.payee.literal != nil { return false }
                if !isNamed(action.payer, accountEnd, &literalsUsed) { return false }
                if !isNamed(action.payee, accountEnd, &literalsUsed) { return false }
                before = action
                next += 1
            }
        }
        return next == actions.endIndex && literalsUsed == literals && hasTurns(actions)
    }

    private func isTellable(_ action: Action, _ kinds: FactKinds) -> Bool {
        if action.amount.isZero != action.isChained { return false }
        if action.spender != .none, !kinds.isSpender(action.spender) { return false }
        switch action.kind {
        case .ether: return action.spender == .none && !action.isChained
        case .transfer: return kinds.isToken(action.fact) && !action.isChained
        case .mint, .burn:
            return kinds.isToken(action.fact) && action.spender == .none && !action.isChained
        case .swap:
            return kinds.isPool(action.fact) && action.isByFormula == action.amountOut.isZero
                && !(action.isChained && action.spender != .none)
        }
    }

    /// Literals count up in the order of their first mention.
    private func isNamed(_ party: Party, _ accountEnd: Int, _ literals: inout Int) -> Bool {
        guard let literal = party.literal else { return Int(party.raw) < accountEnd }
        if literal == literals { literals += 1 }
        return literal < literals
    }

    /// Each pool's turns are 0, 1, 2 … once each.
    private func hasTurns(_ actions: ArraySlice<Action>) -> Bool {
        var count = 0
        operationScratch.swaps.ensure(actions.count)
        operationScratch.swapsOther.ensure(actions.count)
        let list = operationScratch.swaps.base
        for action in actions where action.kind == .swap {
            if Int(action.turn) >= actions.count { return false }
            list[count] = UInt64(action.turn) << 32 | UInt64(action.fact.index)
            count += 1
        }
        // By turn, then (stably) by pool.
        sortByUpperHalf(list, count: count, other: operationScratch.swapsOther.base)
        for i in 0..<count { list[i] = list[i] << 32 | list[i] >> 32 }
        sortByUpperHalf(list, count: count, other: operationScratch.swapsOther.base)
        var turn: UInt64 = 0
        for i in 0..<count {
            if i > 0, list[i] >> 32 != list[i - 1] >> 32 { turn = 0 }
            if list[i] & 0xFFFF_FFFF != turn { return false }
            turn += 1
        }
        return true
    }
}

/// What kind the facts are that a section may name: the state's and the diff's up to there.
private struct FactKinds {
    let known: [ContractFact]
    let new: [ContractFact]
    /// Facts from here on are not known yet.
    var end: Int

    init(_ diff: StateDiff, base: State) {
        known = base.facts
        new = diff.newFacts
        end = known.count
    }

    private subscript(_ id: FactID) -> ContractFact? {
        let at = Int(id.index)
        guard at < end else { return nil }
        return at < known.count ? known[at] : new[at - known.count]
    }

    func isToken(_ id: FactID) -> Bool {
        if case .token = self[id] { return true }
        return false
    }
    func isSpender(_ id: FactID) -> Bool {
        if case .spender = self[id] { return true }
        return false
    }
    func isPool(_ id: FactID) -> Bool {
        guard case .pool(_, let token0, let token1, _) = self[id] else { return false }
        return isToken(token0) && isToken(token1)
    }
}

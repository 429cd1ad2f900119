/// What executing a diff's operations on the state before it gives, key by key, over dictionaries: the meaning of
/// Spec 20.8 in the plainest form.

import MillraceBase
import MillraceCrypto
import MillraceDiff

struct NaiveExecution {
    struct Cell: Hashable {
        var contract: Address
        var slot: U256
    }

    let state: State
    let facts: [ContractFact]
    let newAccounts: [Address]
    /// Predicted values of every key an operation touches.
    private(set) var accounts: [Address: (balance: U256, nonce: UInt64)] = [:]
    private(set) var slots: [Cell: U256] = [:]
    /// Swaps that never got their turn.
    private(set) var stuck = 0
    private var literals: ArraySlice<Address> = []

    init(_ diff: StateDiff, on state: State) {
        self.state = state
        facts = state.facts + diff.newFacts
        newAccounts = diff.newAccounts
        let operations = diff.operations
        var (transaction, action, literal) = (0, 0, 0)
        for section in operations.sections {
            literals = operations.literals[literal..<literal + Int(section.literals)]
            execute(
                section, operations.transactions[transaction..<transaction + Int(section.transactions)],
                Array(operations.actions[action..<action + Int(section.actions)]))
            transaction += Int(section.transactions)
            action += Int(section.actions)
            literal += Int(section.literals)
        }
    }

    // MARK: Execution

    private mutating func execute(
        _ section: Section, _ transactions: ArraySlice<Transaction>, _ actions: [Action]
    ) {
        // Who a chained swap follows, and which swaps are still to come.
        var waiting: [Int] = []
        var amountOut: [Int: U256] = [:]
        var turns: [FactID: UInt32] = [:]
        var at = 0
        for transaction in transactions {
            let sender = address(Party(transaction.sender))
            changeAccount(sender) {
                $0.nonce += 1
                $0.balance = $0.balance &- U256(transaction.gas) &* U256(transaction.price)
            }
            if section.coinbase != AccountID(.max) {
                let tip = U256(transaction.gas) &* (U256(transaction.price) &- U256(section.baseFee))
                changeAccount(address(Party(section.coinbase))) { $0.balance = $0.balance &+ tip }
            }
            for _ in 0..<transaction.actionCount {
                let action = actions[at]
                let (payer, payee) = (address(action.payer), address(action.payee))
                switch action.kind {
                case .ether:
                    changeAccount(payer) { $0.balance = $0.balance &- action.amount }
                    changeAccount(payee) { $0.balance = $0.balance &+ action.amount }
                case .transfer:
                    pay(action.fact, action.amount, from: payer, to: payee, spender: action.spender)
                case .mint:
                    changeBalance(action.fact, of: payee, by: action.amount)
                    changeSupply(action.fact, by: action.amount)
                case .burn:
                    changeBalance(action.fact, of: payer, by: U256.zero &- action.amount)
                    changeSupply(action.fact, by: U256.zero &- action.amount)
                case .swap: waiting.append(at)
                }
                at += 1
            }
        }
        var isMoving = true
        while isMoving {
            isMoving = false
            var left: [Int] = []
            for index in waiting {
                let action = actions[index]
                guard turns[action.fact, default: 0] == action.turn,
                    !action.isChained || amountOut[index - 1] != nil
                else {
                    left.append(index)
                    continue
                }
                turns[action.fact, default: 0] += 1
                let feeds = index + 1 < actions.count && actions[index + 1].isChained
                amountOut[index] = swap(action, amountOut[index - 1], feeds: feeds, section.timestamp)
                isMoving = true
            }
            waiting = left
        }
        stuck += waiting.count
    }

    private mutating func swap(_ action: Action, _ chained: U256?, feeds: Bool, _ now: UInt32) -> U256 {
        guard case .pool(let contract, let token0, let token1, let kept) = facts[Int(action.fact.index)]
        else {
            return 0
        }
        let pool = address(Party(contract))
        var reserves = PoolReserves(word: slot(Cell(contract: pool, slot: PoolReserves.slot)))
        let amount = action.isChained ? chained ?? 0 : action.amount
        let (reserveIn, reserveOut) =
            action.zeroForOne
            ? (reserves.reserve0, reserves.reserve1) : (reserves.reserve1, reserves.reserve0)
        let out =
            action.isByFormula
            ? ConstantProduct.amountOut(
                for: amount, reserveIn: reserveIn, reserveOut: reserveOut, kept: kept) ?? 0
            : action.amountOut
        let (tokenIn, tokenOut) = action.zeroForOne ? (token0, token1) : (token1, token0)
        if action.isChained {
            // Paid by the pool before, and only now: swaps in between must not see it.
            changeBalance(tokenIn, of: pool, by: amount)
        } else {
            pay(tokenIn, amount, from: address(action.payer), to: pool, spender: action.spender)
        }
        changeBalance(tokenOut, of: pool, by: U256.zero &- out)
        if !feeds { changeBalance(tokenOut, of: address(action.payee), by: out) }
        let elapsed = now &- reserves.timestamp
        if elapsed > 0, reserves.reserve0 > 0, reserves.reserve1 > 0 {
            let (zero, one) = (U256(wide: reserves.reserve0), U256(wide: reserves.reserve1))
            changeSlot(pool, PoolReserves.price0Slot) {
                $0 &+ (one << 112).quotientAndRemainder(dividingBy: zero).quotient &* U256(UInt64(elapsed))
            }
            changeSlot(pool, PoolReserves.price1Slot) {
                $0 &+ (zero << 112).quotientAndRemainder(dividingBy: one).quotient &* U256(UInt64(elapsed))
            }
        }
        // Reserves become the pool's balances.
        reserves.reserve0 = holding(token0, of: pool).low128 & ConstantProduct.reserveMax
        reserves.reserve1 = holding(token1, of: pool).low128 & ConstantProduct.reserveMax
        reserves.timestamp = now
        changeSlot(pool, PoolReserves.slot) { _ in reserves.word }
        return out
    }

    private mutating func pay(
        _ token: FactID, _ amount: U256, from payer: Address, to payee: Address, spender: FactID
    ) {
        changeBalance(token, of: payer, by: U256.zero &- amount)
        changeBalance(token, of: payee, by: amount)
        guard spender != .none, case .spender(let spender) = facts[Int(spender.index)],
            case .token(let contract, _, _) = facts[Int(token.index)]
        else { return }
        for case .allowances(token, let base) in facts.reversed() {
            let number = Keccak256.nestedSlot(base: base, outer: payer.word, inner: spender.word)
            changeSlot(address(Party(contract)), number) { $0 &- amount }
            break
        }
    }

    // MARK: Cells

    private mutating func changeBalance(_ token: FactID, of holder: Address, by amount: U256) {
        guard case .token(let contract, let base, _) = facts[Int(token.index)] else { return }
        let number = Keccak256.mappingSlot(key: holder.word, base: base)
        changeSlot(address(Party(contract)), number) { $0 &+ amount }
    }

    private func holding(_ token: FactID, of holder: Address) -> U256 {
        guard case .token(let contract, let base, _) = facts[Int(token.index)] else { return 0 }
        let number = Keccak256.mappingSlot(key: holder.word, base: base)
        return slot(Cell(contract: address(Party(contract)), slot: number))
    }

    private mutating func changeSupply(_ token: FactID, by amount: U256) {
        guard case .token(let contract, _, _) = facts[Int(token.index)] else { return }
        for case .supply(token, let number) in facts.reversed() {
            changeSlot(address(Party(contract)), number) { $0 &+ amount }
            break
        }
    }

    private func slot(_ cell: Cell) -> U256 {
        slots[cell] ?? state.slot(at: cell.contract, cell.slot).map { state.value(of: $0) } ?? 0
    }

    private mutating func changeSlot(_ contract: Address, _ number: U256, _ change: (U256) -> U256) {
        let cell = Cell(contract: contract, slot: number)
        slots[cell] = change(slot(cell))
    }

    private mutating func changeAccount(
        _ address: Address, _ change: (inout (balance: U256, nonce: UInt64)) -> Void
    ) {
        var value =
            accounts[address]
            ?? state.account(at: address).map { (state.value(of: $0).balance, state.value(of: $0).nonce) }
            ?? (0, 0)
        change(&value)
        accounts[address] = value
    }

    private func address(_ party: Party) -> Address {
        guard let id = party.account else {
            return literals[literals.startIndex + (party.literal ?? 0)]
        }
        let known = state.accountCount
        return Int(id.index) < known ? state.address(of: id) : newAccounts[Int(id.index) - known]
    }

    // MARK: Comparison

    struct Comparison {
        var changed = 0
        /// Changed keys that execution gets right; changed keys it touches and gets wrong; unchanged keys it changes.
        var right = 0
        var wrong = 0
        var missing = 0
        var invented = 0
        var isExact: Bool { right == changed && invented == 0 }
    }

    func compared(with diff: StateDiff) -> Comparison {
        var comparison = Comparison()
        var seenAccounts = 0
        for change in diff.accountChanges {
            comparison.changed += 1
            guard let value = accounts[address(Party(change.id))] else {
                comparison.missing += 1
                continue
            }
            seenAccounts += 1
            let fits =
                value.balance == change.new.balance && value.nonce == change.new.nonce
                && change.old.code == change.new.code
            if fits { comparison.right += 1 } else { comparison.wrong += 1 }
        }
        var seenSlots = 0
        for change in diff.slotChanges {
            comparison.changed += 1
            let key =
                Int(change.id.index) < state.slotCount
                ? state.key(of: change.id) : diff.newSlots[Int(change.id.index) - state.slotCount].key
            guard let value = slots[Cell(contract: address(Party(key.account)), slot: key.slot)] else {
                comparison.missing += 1
                continue
            }
            seenSlots += 1
            if value == change.new { comparison.right += 1 } else { comparison.wrong += 1 }
        }
        // Touched keys beyond the changed ones must have kept their value.
        if seenAccounts < accounts.count {
            let changed = Set(diff.accountChanges.map { address(Party($0.id)) })
            for (address, value) in accounts where !changed.contains(address) {
                let old = state.account(at: address).map { state.value(of: $0) } ?? .absent
                if old.balance != value.balance || old.nonce != value.nonce { comparison.invented += 1 }
            }
        }
        if seenSlots < slots.count {
            let changed = Set(
                diff.slotChanges.map { change -> Cell in
                    let key =
                        Int(change.id.index) < state.slotCount
                        ? state.key(of: change.id) : diff.newSlots[Int(change.id.index) - state.slotCount].key
                    return Cell(contract: address(Party(key.account)), slot: key.slot)
                })
            for (cell, value) in slots where !changed.contains(cell) {
                let old = state.slot(at: cell.contract, cell.slot).map { state.value(of: $0) } ?? 0
                if old != value { comparison.invented += 1 }
            }
        }
        return comparison
    }
}

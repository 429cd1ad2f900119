/// The operations of the mini-block at hand in the order they ran, as the finder gathers them, and their canonical form.
///
/// Literals are numbered twice: here in the order of discovery, in the section in the order of first use.

internal import MillraceBase

struct FoundActions {
    private var transactions: [Transaction] = []
    private(set) var actions: [Action] = []
    private var actionEnds: [Int] = []
    private var literals: [Address] = []
    // Looked up only, never iterated.
    private var literalIndex: [Address: UInt32] = [:]
    private var order: [UInt64] = []
    private var spare: [UInt64] = []
    /// The section's number of each literal + 1; 0 for none yet.
    private var numbers: [UInt32] = []

    mutating func removeAll() {
        transactions.removeAll(keepingCapacity: true)
        actions.removeAll(keepingCapacity: true)
        actionEnds.removeAll(keepingCapacity: true)
        literals.removeAll(keepingCapacity: true)
        if !literalIndex.isEmpty { literalIndex.removeAll(keepingCapacity: true) }
    }

    /// An address without an account id that may be named.
    mutating func literal(_ address: Address) -> Party {
        if let index = literalIndex[address] { return Party(literal: Int(index)) }
        literalIndex[address] = UInt32(truncatingIfNeeded: literals.count)
        literals.append(address)
        return Party(literal: literals.count - 1)
    }

    // MARK: Gathering

    /// Actions of the transaction at hand, which `close` ends.
    var openActions: Range<Int> { (actionEnds.last ?? 0)..<actions.count }

    mutating func append(_ action: Action) { actions.append(action) }

    mutating func setSpender(_ spender: FactID, of action: Int) { actions[action].spender = spender }

    mutating func dropOpenActions() { actions.removeSubrange(openActions) }

    mutating func close(sender: AccountID, gas: UInt64, price: UInt64) {
        transactions.append(
            Transaction(
                sender: sender, gas: gas, price: price,
                actionCount: UInt32(truncatingIfNeeded: openActions.count)))
        actionEnds.append(actions.count)
    }

    // MARK: Canonical form

    /// Swaps by formula name no amount out; those of pools that something else moved do.
    mutating func settleFormulas(isSpoilt: (FactID) -> Bool) {
        for i in actions.indices where actions[i].isByFormula {
            if isSpoilt(actions[i].fact) {
                actions[i].isByFormula = false
            } else {
                actions[i].amountOut = .zero
            }
        }
    }

    /// Appends everything in canonical order and counts it in `section`.
    mutating func write(into operations: inout Operations, section: inout Section) {
        order.removeAll(keepingCapacity: true)
        for i in transactions.indices {
            order.append(UInt64(transactions[i].sender.index) << 32 | UInt64(i))
        }
        order.sortByUpperHalf(&spare)
        numbers.removeAll(keepingCapacity: true)
        numbers.append(contentsOf: repeatElement(0, count: literals.count))
        let firstLiteral = operations.literals.count
        operations.transactions.reserveCapacity(operations.transactions.count + transactions.count)
        operations.actions.reserveCapacity(operations.actions.count + actions.count)
        for key in order {
            let i = Int(key & 0xFFFF_FFFF)
            operations.transactions.append(transactions[i])
            for index in (i == 0 ? 0 : actionEnds[i - 1])..<actionEnds[i] {
                var action = actions[index]
                action.payer = number(action.payer, &operations, firstLiteral)
                action.payee = number(action.payee, &operations, firstLiteral)
                operations.actions.append(action)
            }
        }
        section.transactions = UInt32(truncatingIfNeeded: transactions.count)
        section.actions = UInt32(truncatingIfNeeded: actions.count)
        section.literals = UInt32(truncatingIfNeeded: operations.literals.count - firstLiteral)
    }

    @inline(__always)
    private mutating func number(_ party: Party, _ operations: inout Operations, _ first: Int) -> Party {
        guard let literal = party.literal else { return party }
        if numbers[literal] == 0 {
            operations.literals.append(literals[literal])
            numbers[literal] = UInt32(truncatingIfNeeded: operations.literals.count - first)
        }
        return Party(literal: Int(numbers[literal] - 1))
    }
}

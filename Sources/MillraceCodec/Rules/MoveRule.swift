/// Who pays whom: ether between accounts, amounts of a token between holders. Spec 30.13.2.

internal import MillraceBase
internal import MillraceDiff

/// Branches that cost gas, as bits of `ActionTraits.branches`; the kind of action and the contracts' codes stand above.
enum Branch {
    static var payeeIsNew: UInt64 { 1 }
    static var payerIsCleared: UInt64 { 2 }
    static var allowanceIsCleared: UInt64 { 4 }
    static var pricesMove: UInt64 { 8 }
    static var zeroForOne: UInt64 { 16 }
    static var hasSpender: UInt64 { 32 }
    static var isChained: UInt64 { 64 }

    @inline(__always)
    static func kind(_ kind: Action.Kind, code: UInt32, code2: UInt32 = 0) -> UInt64 {
        UInt64(kind.rawValue &+ 1) << 8 | UInt64(code & 0xFF_FFFF) << 12 | UInt64(code2 & 0xFF_FFFF) << 36
    }
}

extension OperationRunner {
    /// An action that is no swap.
    func runMove(
        _ action: Action, _ literals: UnsafeBufferPointer<Address>, base: State
    ) -> ActionTraits {
        switch action.kind {
        case .ether, .swap: moveEther(action, literals, base: base)
        case .transfer: transfer(action, literals, base: base)
        case .mint, .burn: changeSupply(action, literals, base: base)
        }
    }

    private func moveEther(
        _ action: Action, _ literals: UnsafeBufferPointer<Address>, base: State
    ) -> ActionTraits {
        let payer = account(action.payer, literals, base: base)
        let payee = account(action.payee, literals, base: base)
        let accounts = overlay.accounts.base
        accounts[payer].value.balance = accounts[payer].value.balance &- action.amount
        let isNew = accounts[payee].value.isAbsent
        accounts[payee].value.balance = accounts[payee].value.balance &+ action.amount
        return ActionTraits(
            branches: Branch.kind(.ether, code: accounts[payee].value.code.index)
                | (isNew ? Branch.payeeIsNew : 0), nonzeroBytes: 0)
    }

    private func transfer(
        _ action: Action, _ literals: UnsafeBufferPointer<Address>, base: State
    ) -> ActionTraits {
        guard let token = facts.token(action.fact.index) else { return ActionTraits() }
        var traits = ActionTraits(
            branches: Branch.kind(.transfer, code: code(of: token.contract, base: base)),
            nonzeroBytes: action.amount.nonzeroBytes
                + address(of: action.payee, literals, base: base).nonzeroBytes)
        traits.branches |= pay(
            action.amount, token, fact: action.fact.index, action.payer, literals, base: base)
        traits.branches |= reduceAllowance(action, token, action.amount, literals, base: base)
        let payee =
            lookedUp(SlotRole.payee)
            ?? balance(token, fact: action.fact.index, action.payee, literals, base: base)
        if overlay.slots.base[payee].value.isZero { traits.branches |= Branch.payeeIsNew }
        overlay.slots.base[payee].value = overlay.slots.base[payee].value &+ action.amount
        return traits
    }

    /// Takes an amount from the running action's payer.
    @inline(__always)
    func pay(
        _ amount: U256, _ token: TokenFact, fact: UInt32, _ payer: Party,
        _ literals: UnsafeBufferPointer<Address>, base: State
    ) -> UInt64 {
        let entry =
            lookedUp(SlotRole.payer) ?? balance(token, fact: fact, payer, literals, base: base)
        let left = overlay.slots.base[entry].value &- amount
        overlay.slots.base[entry].value = left
        return left.isZero ? Branch.payerIsCleared : 0
    }

    @inline(__always)
    func code(of contract: UInt32, base: State) -> UInt32 {
        Int(contract) < base.accountCount ? base.accountValuesBase[Int(contract)].code.index : 0
    }
}

extension U256 {
    /// Bytes of the 32 that are not zero.
    @inline(__always)
    var nonzeroBytes: Int { w0.nonzeroBytes &+ w1.nonzeroBytes &+ w2.nonzeroBytes &+ w3.nonzeroBytes }
}

extension Address {
    var nonzeroBytes: Int { high.nonzeroBytes + middle.nonzeroBytes + UInt64(low).nonzeroBytes }
}

extension UInt64 {
    /// Each byte's highest bit is set where the byte is not zero.
    @inline(__always)
    var nonzeroBytes: Int {
        let low: UInt64 = 0x7F7F_7F7F_7F7F_7F7F
        return ((((self & low) &+ low) | self) & ~low).nonzeroBitCount
    }
}

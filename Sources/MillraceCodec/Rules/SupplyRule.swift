/// What is minted or burnt changes one holder's amount and the supply. Spec 30.13.5.

internal import MillraceBase
internal import MillraceDiff

extension OperationRunner {
    func changeSupply(
        _ action: Action, _ literals: UnsafeBufferPointer<Address>, base: State
    ) -> ActionTraits {
        guard let token = facts.token(action.fact.index) else { return ActionTraits() }
        let isMint = action.kind == .mint
        let holder = isMint ? action.payee : action.payer
        var traits = ActionTraits(
            branches: Branch.kind(action.kind, code: code(of: token.contract, base: base)),
            nonzeroBytes: action.amount.nonzeroBytes
                + address(of: holder, literals, base: base).nonzeroBytes)
        let entry =
            lookedUp(isMint ? SlotRole.payee : SlotRole.payer)
            ?? balance(token, fact: action.fact.index, holder, literals, base: base)
        let before = overlay.slots.base[entry].value
        let after = isMint ? before &+ action.amount : before &- action.amount
        overlay.slots.base[entry].value = after
        if before.isZero { traits.branches |= Branch.payeeIsNew }
        if after.isZero { traits.branches |= Branch.payerIsCleared }
        if token.hasSupply {
            let supply = slot(token.supplySlot, contract: token.contract, base: base)
            let value = overlay.slots.base[supply].value
            overlay.slots.base[supply].value = isMint ? value &+ action.amount : value &- action.amount
        }
        return traits
    }
}

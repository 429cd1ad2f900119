/// What a spender may still take falls by what it took. Where it does not (an allowance of 2^256 − 1, by convention), the
/// source names no spender. Spec 30.13.3.

internal import MillraceBase
internal import MillraceDiff

extension OperationRunner {
    @inline(__always)
    func reduceAllowance(
        _ action: Action, _ token: TokenFact, _ amount: U256, _ literals: UnsafeBufferPointer<Address>,
        base: State
    ) -> UInt64 {
        if action.spender == .none { return 0 }
        guard
            let entry = lookedUp(SlotRole.allowance)
                ?? allowance(token, action.payer, spender: action.spender.index, literals, base: base)
        else { return Branch.hasSpender }
        let left = overlay.slots.base[entry].value &- amount
        overlay.slots.base[entry].value = left
        return Branch.hasSpender | (left.isZero ? Branch.allowanceIsCleared : 0)
    }
}

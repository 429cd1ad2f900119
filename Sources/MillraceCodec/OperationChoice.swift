/// Whether a mini-block's operations are worth telling. Where most of them move ether, balances alone may say it in less: one
/// who sends all it has is a cleared balance, and operations cost a name and an amount each.
///
/// The choice is made once, by whoever makes the diff, before anything else sees it: operations are hints beside the diff, and
/// all followers, of any cadence, must have seen the same ones.

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// Removes the operations of a single mini-block if its payload is shorter without them. Encodes up to twice, but only
    /// where at least half of the actions move ether; the coding state is as before. New facts and origins stay.
    public func dropCostlyOperations(of diff: inout StateDiff, base: State) {
        guard diff.isSingle, diff.kind != .genesis, !diff.operations.transactions.isEmpty else { return }
        var ether = 0
        for action in diff.operations.actions where action.kind == .ether { ether += 1 }
        guard ether * 2 >= diff.operations.actions.count else { return }
        let kept = ledger
        ledger = nil
        var payload: [UInt8] = []
        encode(diff, base: base, into: &payload)
        takeBack()
        var untold = diff
        untold.operations = Codec.withoutTransactions(diff)
        untold.operations.origins = diff.operations.origins
        var other: [UInt8] = []
        encode(untold, base: base, into: &other)
        takeBack()
        ledger = kept
        if other.count < payload.count { diff = untold }
    }
}

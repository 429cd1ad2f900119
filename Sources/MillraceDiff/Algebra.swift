/// What can be said of a diff without a state: whether it has the canonical shape, its inverse, and the composition of two
/// that follow each other. Spec 20.4 and 20.6.

public import MillraceBase

extension StateDiff {
    /// One mini-block, or a genesis chunk: new keys are in sorted order. A window of several keeps the order of first
    /// appearance by height instead, so that ids come out the same for those who followed each mini-block.
    public var isSingle: Bool { firstHeight == lastHeight }

    /// The rules of canonical form that need no state.
    func checkShape() throws(DiffError) {
        guard firstHeight <= lastHeight, (kind == .genesis) == (firstHeight == 0),
            (firstHeight == 0) == (lastHeight == 0)
        else { throw .notCanonical(.heights) }
        for code in newCodes where code.isEmpty || code.count > StateLimits.codeBytesMax {
            throw .notCanonical(.codeLength)
        }
        if isSingle {
            for i in newAccounts.indices.dropFirst() where newAccounts[i] <= newAccounts[i - 1] {
                throw .notCanonical(.newKeyOrder)
            }
            for i in newSlots.indices.dropFirst() where !(newSlots[i - 1].key < newSlots[i].key) {
                throw .notCanonical(.newKeyOrder)
            }
        }
        for i in destroyed.indices.dropFirst() where destroyed[i] <= destroyed[i - 1] {
            throw .notCanonical(.idOrder)
        }
        // Ids start below any: -1.
        var last = -1
        for change in accountChanges {
            if Int(change.id.index) <= last { throw .notCanonical(.idOrder) }
            if change.old == change.new { throw .notCanonical(.unchanged) }
            last = Int(change.id.index)
        }
        last = -1
        for change in slotChanges {
            if Int(change.id.index) <= last { throw .notCanonical(.idOrder) }
            if change.old == change.new { throw .notCanonical(.unchanged) }
            last = Int(change.id.index)
        }
    }

    /// The diff that leads back: values swapped. It brings no ids and takes none back (ids are never reused), so it may be
    /// applied any time after, as long as nothing else changed the same cells; `State.revert` is the exact undo.
    public var inverted: StateDiff {
        var inverse = StateDiff()
        inverse.kind = kind
        (inverse.firstHeight, inverse.lastHeight) = (firstHeight, lastHeight)
        inverse.sealedAtMicroseconds = sealedAtMicroseconds
        inverse.accountChanges = accountChanges.map { AccountChange(id: $0.id, old: $0.new, new: $0.old) }
        inverse.slotChanges = slotChanges.map { SlotChange(id: $0.id, old: $0.new, new: $0.old) }
        return inverse
    }

    /// The one diff that does what `first` and then `second` do. Keys whose value comes back vanish; ids stay, so keys that
    /// came and went remain listed. A mixture of kinds counts as transactions.
    ///
    /// Throws `.notConsecutive` unless the heights follow each other (genesis chunks excepted), `.brokenChain` where an old
    /// value of `second` is not the new value of `first`.
    public static func compose(_ first: StateDiff, _ second: StateDiff) throws(DiffError) -> StateDiff {
        let bothGenesis = first.kind == .genesis && second.kind == .genesis
        let (next, overflow) = first.lastHeight.addingReportingOverflow(1)
        guard bothGenesis || (!overflow && second.firstHeight == next) else {
            throw .notConsecutive(lastHeight: first.lastHeight, firstHeight: second.firstHeight)
        }
        var merged = StateDiff()
        merged.kind = first.kind == second.kind ? first.kind : .transactions
        merged.firstHeight = first.kind == .genesis && !bothGenesis ? second.firstHeight : first.firstHeight
        merged.lastHeight = second.lastHeight
        merged.sealedAtMicroseconds = second.sealedAtMicroseconds
        merged.transactions = first.transactions &+ second.transactions
        merged.rawBytes = first.rawBytes &+ second.rawBytes
        merged.newCodes = first.newCodes + second.newCodes
        merged.newAccounts = first.newAccounts + second.newAccounts
        merged.newSlots = first.newSlots + second.newSlots
        merged.destroyed = union(first.destroyed, second.destroyed)
        merged.newFacts = first.newFacts + second.newFacts
        merged.operations = Operations.joined(first, second)
        merged.accountChanges = try chain(first.accountChanges, second.accountChanges)
        merged.slotChanges = try chain(first.slotChanges, second.slotChanges)
        return merged
    }

    private static func union(_ a: [AccountID], _ b: [AccountID]) -> [AccountID] {
        if a.isEmpty { return b }
        if b.isEmpty { return a }
        var all: [AccountID] = []
        all.reserveCapacity(a.count + b.count)
        var (i, j) = (0, 0)
        while i < a.count || j < b.count {
            if j == b.count || (i < a.count && a[i] < b[j]) {
                all.append(a[i])
                i += 1
            } else {
                if i < a.count, a[i] == b[j] { i += 1 }
                all.append(b[j])
                j += 1
            }
        }
        return all
    }

    private static func chain<Change: CellChange>(_ a: [Change], _ b: [Change]) throws(DiffError) -> [Change]
    {
        var all: [Change] = []
        all.reserveCapacity(a.count + b.count)
        var (i, j) = (0, 0)
        while i < a.count, j < b.count {
            if a[i].id < b[j].id {
                all.append(a[i])
                i += 1
            } else if b[j].id < a[i].id {
                all.append(b[j])
                j += 1
            } else {
                if a[i].new != b[j].old { throw .brokenChain(at: a[i].cell) }
                if a[i].old != b[j].new { all.append(a[i].followed(by: b[j])) }
                i += 1
                j += 1
            }
        }
        all.append(contentsOf: a[i...])
        all.append(contentsOf: b[j...])
        return all
    }
}

extension SlotKey: Comparable {
    /// By account id, then by the slot's number: the order of new slots.
    @inlinable public static func < (a: SlotKey, b: SlotKey) -> Bool {
        a.account != b.account ? a.account < b.account : a.slot < b.slot
    }
}

/// What account and slot changes have in common, so that they are merged by one piece of code.
private protocol CellChange {
    associatedtype ID: Comparable
    associatedtype Value: Equatable
    var id: ID { get }
    var old: Value { get }
    var new: Value { get }
    var cell: CellID { get }
    func followed(by next: Self) -> Self
}

extension AccountChange: CellChange {
    fileprivate var cell: CellID { .account(id) }
    fileprivate func followed(by next: AccountChange) -> AccountChange {
        AccountChange(id: id, old: old, new: next.new)
    }
}

extension SlotChange: CellChange {
    fileprivate var cell: CellID { .slot(id) }
    fileprivate func followed(by next: SlotChange) -> SlotChange {
        SlotChange(id: id, old: old, new: next.new)
    }
}

/// What operations got wrong, and what they did not touch: the changes that are told, against predicted values. Without
/// operations that is every change. Spec 30.14.
///
///     predicted = base, after the operations have run
///     patch     = a key whose value after the diff is not the predicted one

internal import MillraceBase
internal import MillraceDiff

struct Patches: ~Copyable {
    /// Ascending by id; `old` is the predicted value.
    private(set) var accounts: [AccountChange] = []
    private(set) var slots: [SlotChange] = []

    private var isSettled = Scratch<Bool>(capacity: 4096)
    private var order = Scratch<UInt64>(capacity: 4096)
    private var other = Scratch<UInt64>(capacity: 4096)

    // MARK: Encoder

    /// Compares a diff with what is predicted. `changes` are the slot changes to be accounted for.
    mutating func find(
        _ diff: StateDiff, changes: [SlotChange], _ overlay: borrowing Overlay, base: State
    ) {
        accounts.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        findAccounts(diff, overlay, base: base)
        findSlots(diff, changes, overlay, base: base)
    }

    private mutating func findAccounts(_ diff: StateDiff, _ overlay: borrowing Overlay, base: State) {
        if overlay.accountCount == 0 {
            accounts.append(contentsOf: diff.accountChanges)
            return
        }
        isSettled.ensure(overlay.accountCount)
        isSettled.base.update(repeating: false, count: overlay.accountCount)
        for change in diff.accountChanges {
            guard let entry = overlay.accountEntry(id: change.id.index) else {
                accounts.append(change)
                continue
            }
            isSettled.base[entry] = true
            let predicted = overlay.accounts.base[entry].value
            if predicted != change.new {
                accounts.append(AccountChange(id: change.id, old: predicted, new: change.new))
            }
        }
        let found = accounts.count
        for entry in 0..<overlay.accountCount where !isSettled.base[entry] {
            let account = overlay.accounts.base[entry]
            if account.id == PredictedAccount.unknown || account.value == account.old { continue }
            accounts.append(
                AccountChange(id: AccountID(account.id), old: account.value, new: account.old))
        }
        if accounts.count > found { accounts.sort { $0.id < $1.id } }
    }

    private mutating func findSlots(
        _ diff: StateDiff, _ changes: [SlotChange], _ overlay: borrowing Overlay, base: State
    ) {
        if overlay.slotCount == 0 {
            slots.append(contentsOf: changes)
            return
        }
        isSettled.ensure(overlay.slotCount)
        isSettled.base.update(repeating: false, count: overlay.slotCount)
        let entries = overlay.slots.base
        for change in changes {
            guard let entry = overlay.slotEntry(id: change.id.index) else {
                slots.append(change)
                continue
            }
            isSettled.base[entry] = true
            if Patches.isVoid(entries[entry], diff.destroyed) {
                slots.append(change)
            } else if entries[entry].value != change.new {
                slots.append(SlotChange(id: change.id, old: entries[entry].value, new: change.new))
            }
        }
        let found = slots.count
        for entry in 0..<overlay.slotCount where !isSettled.base[entry] {
            let slot = entries[entry]
            if slot.id == PredictedSlot.unknown || slot.value == slot.old
                || Patches.isVoid(slot, diff.destroyed)
            {
                continue
            }
            slots.append(SlotChange(id: SlotID(slot.id), old: slot.value, new: slot.old))
        }
        if slots.count > found { slots.sort { $0.id < $1.id } }
    }

    /// What a destroyed contract was predicted to store does not count.
    @inline(__always)
    static func isVoid(_ slot: PredictedSlot, _ destroyed: [AccountID]) -> Bool {
        !destroyed.isEmpty && Destruction.contains(destroyed, AccountID(slot.contract))
    }

    // MARK: Decoder

    /// Predicted changes and patches together, ascending by id, into `diff`. The patches stand in `diff` already, against
    /// predicted values.
    mutating func completeAccounts(
        _ diff: inout StateDiff, _ overlay: borrowing Overlay, base: State
    ) {
        if overlay.accountCount == 0 { return }
        isSettled.ensure(overlay.accountCount)
        isSettled.base.update(repeating: false, count: overlay.accountCount)
        order.ensure(overlay.accountCount + diff.accountChanges.count)
        other.ensure(overlay.accountCount + diff.accountChanges.count)
        let order = order.base
        var count = 0
        accounts.removeAll(keepingCapacity: true)
        swap(&accounts, &diff.accountChanges)
        for (i, patch) in accounts.enumerated() {
            if let entry = overlay.accountEntry(id: patch.id.index) { isSettled.base[entry] = true }
            order[count] = UInt64(patch.id.index) << 32 | UInt64(i) << 1
            count &+= 1
        }
        for entry in 0..<overlay.accountCount where !isSettled.base[entry] {
            let account = overlay.accounts.base[entry]
            if account.id == PredictedAccount.unknown || account.value == account.old { continue }
            order[count] = UInt64(account.id) << 32 | UInt64(entry) << 1 | 1
            count &+= 1
        }
        sortByUpperHalf(order, count: count, other: other.base)
        let (values, known) = (base.accountValuesBase, base.accountCount)
        diff.accountChanges.reserveCapacity(count)
        for i in 0..<count {
            let at = Int(truncatingIfNeeded: (order[i] & 0xFFFF_FFFF) >> 1)
            if order[i] & 1 != 0 {
                let account = overlay.accounts.base[at]
                diff.accountChanges.append(
                    AccountChange(id: AccountID(account.id), old: account.old, new: account.value))
            } else {
                let patch = accounts[at]
                let id = Int(patch.id.index)
                let old = id < known ? values[id] : .absent
                if old != patch.new {
                    diff.accountChanges.append(AccountChange(id: patch.id, old: old, new: patch.new))
                }
            }
        }
    }

    /// Likewise for slots.
    mutating func completeSlots(_ diff: inout StateDiff, _ overlay: borrowing Overlay, base: State) {
        if overlay.slotCount == 0 { return }
        isSettled.ensure(overlay.slotCount)
        isSettled.base.update(repeating: false, count: overlay.slotCount)
        order.ensure(overlay.slotCount + diff.slotChanges.count)
        other.ensure(overlay.slotCount + diff.slotChanges.count)
        let order = order.base
        var count = 0
        slots.removeAll(keepingCapacity: true)
        swap(&slots, &diff.slotChanges)
        for (i, patch) in slots.enumerated() {
            if let entry = overlay.slotEntry(id: patch.id.index) { isSettled.base[entry] = true }
            order[count] = UInt64(patch.id.index) << 32 | UInt64(i) << 1
            count &+= 1
        }
        let entries = overlay.slots.base
        for entry in 0..<overlay.slotCount where !isSettled.base[entry] {
            let slot = entries[entry]
            if slot.id == PredictedSlot.unknown || slot.value == slot.old
                || Patches.isVoid(slot, diff.destroyed)
            {
                continue
            }
            order[count] = UInt64(slot.id) << 32 | UInt64(entry) << 1 | 1
            count &+= 1
        }
        sortByUpperHalf(order, count: count, other: other.base)
        let (values, known) = (base.slotValuesBase, base.slotCount)
        diff.slotChanges.reserveCapacity(count)
        for i in 0..<count {
            let at = Int(truncatingIfNeeded: (order[i] & 0xFFFF_FFFF) >> 1)
            if order[i] & 1 != 0 {
                diff.slotChanges.append(
                    SlotChange(id: SlotID(entries[at].id), old: entries[at].old, new: entries[at].value))
            } else {
                let patch = slots[at]
                let id = Int(patch.id.index)
                let old = id < known ? values[id] : .zero
                // Kept values of destroyed accounts stay listed, for their completion.
                if old != patch.new || !diff.destroyed.isEmpty {
                    diff.slotChanges.append(SlotChange(id: patch.id, old: old, new: patch.new))
                }
            }
        }
    }
}

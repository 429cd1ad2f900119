/// Destroying an account zeroes all its slots; the payload says so in one id (Spec 30.5.4). The diff writes every clearing
/// out, so here is the way there and back. Rare since Cancun, so in plain arrays.

internal import MillraceBase
internal import MillraceDiff

enum Destruction {
    static func contains(_ destroyed: [AccountID], _ id: AccountID) -> Bool {
        var low = 0
        var high = destroyed.count
        while low < high {
            let middle = (low + high) / 2
            if destroyed[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < destroyed.count && destroyed[low] == id
    }

    /// The changes to be written: without the clearing of known slots of destroyed accounts, and with those of their slots
    /// that hold the same value afterwards (written again by a successor), as changes from a value to itself.
    static func explicitChanges(_ diff: StateDiff, base: State) -> [SlotChange] {
        let keys = base.slotKeysBase
        var explicit: [SlotChange] = []
        for change in diff.slotChanges {
            let id = Int(change.id.index)
            if change.new.isZero, id < base.slotCount, contains(diff.destroyed, keys[id].account) { continue }
            explicit.append(change)
        }
        var changed: [UInt32] = []
        changed.reserveCapacity(diff.slotChanges.count)
        for change in diff.slotChanges { changed.append(change.id.index) }
        for account in diff.destroyed where Int(account.index) < base.accountCount {
            base.forEachSlot(of: account) { id in
                let value = base.slotValuesBase[Int(id.index)]
                if !value.isZero, !contains(changed, id.index) {
                    explicit.append(SlotChange(id: id, old: value, new: value))
                }
            }
        }
        explicit.sort { $0.id < $1.id }
        return explicit
    }

    /// Work that the destroyed accounts' slots ask for, whatever they hold: all are visited. Stops beyond `limit`.
    static func work(_ destroyed: [AccountID], base: State, limit: Int) -> Int {
        var work = 0
        for account in destroyed where Int(account.index) < base.accountCount {
            let most = max(0, limit - work) / CodecLimits.workPerClearing + 1
            work += base.slotCount(of: account, atMost: most) * CodecLimits.workPerClearing
            if work > limit { break }
        }
        return work
    }

    /// Puts the clearings back in and takes the unchanged out.
    static func completeChanges(_ diff: inout StateDiff, base: State) throws(CodecError) {
        let written = diff.slotChanges.map(\.id.index)
        diff.slotChanges.removeAll { $0.old == $0.new }
        let count = diff.slotChanges.count
        var isTooMuch = false
        for account in diff.destroyed where Int(account.index) < base.accountCount {
            base.forEachSlot(of: account) { id in
                let value = base.slotValuesBase[Int(id.index)]
                if !value.isZero, !contains(written, id.index) {
                    if diff.slotChanges.count == CodecLimits.keyCountMax {
                        isTooMuch = true
                    } else {
                        diff.slotChanges.append(SlotChange(id: id, old: value, new: .zero))
                    }
                }
            }
        }
        if isTooMuch { throw .badCount(.slotChanges) }
        if diff.slotChanges.count > count { diff.slotChanges.sort { $0.id < $1.id } }
    }

    private static func contains(_ ascending: [UInt32], _ id: UInt32) -> Bool {
        var low = 0
        var high = ascending.count
        while low < high {
            let middle = (low + high) / 2
            if ascending[middle] < id { low = middle + 1 } else { high = middle }
        }
        return low < ascending.count && ascending[low] == id
    }
}

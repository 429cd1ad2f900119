/// The accounts a payload has named before it names slots, in three ascending lists: senders, other changed accounts, and
/// contracts whose slots changed that are in neither. A contract or the key of a mapping is then an index. Spec 30.5.5.

internal import MillraceBase
internal import MillraceDiff

struct NamedAccounts: ~Copyable {
    static var listCount: Int { 3 }
    static var senders: Int { 0 }
    static var others: Int { 1 }
    static var owners: Int { 2 }

    private var senders = Scratch<UInt32>(capacity: 256)
    private var others = Scratch<UInt32>(capacity: 256)
    private var owners = Scratch<UInt32>(capacity: 256)
    private var spare = Scratch<UInt32>(capacity: 256)
    private var counts = (0, 0, 0)

    /// Takes the changed accounts and all `newCount` new ones, whose ids begin at `known`: known ones without code whose
    /// nonce rose are senders. No owner is named yet.
    mutating func begin(_ changes: UnsafeBufferPointer<AccountChange>, known: Int, newCount: Int) {
        counts = (0, 0, 0)
        senders.ensure(changes.count)
        others.ensure(changes.count + newCount)
        for i in 0..<changes.count where Int(changes[i].id.index) < known {
            let change = changes[i]
            if change.old.nonce != change.new.nonce, !change.old.isAbsent, change.old.code == .none {
                senders.base[counts.0] = change.id.index
                counts.0 += 1
            } else {
                others.base[counts.1] = change.id.index
                counts.1 += 1
            }
        }
        for i in 0..<newCount {
            others.base[counts.1] = UInt32(truncatingIfNeeded: known + i)
            counts.1 += 1
        }
    }

    /// Adds those of `accounts`, in any order and with repeats, that are in no list to the owners. `accounts` is used up.
    mutating func addOwners(_ accounts: UnsafeMutablePointer<UInt32>, count: Int) {
        guard count > 0 else { return }
        spare.ensure(counts.2 + count)
        sortAscending(accounts, count: count, other: spare.base)
        var (i, out) = (0, 0)
        var last: UInt32 = .max
        let into = spare.base
        for j in 0..<count where accounts[j] != last {
            last = accounts[j]
            if find(last) != nil { continue }
            while i < counts.2, owners.base[i] < last {
                into[out] = owners.base[i]
                i += 1
                out += 1
            }
            into[out] = last
            out += 1
        }
        while i < counts.2 {
            into[out] = owners.base[i]
            i += 1
            out += 1
        }
        counts.2 = out
        swap(&owners, &spare)
    }

    func count(_ list: Int) -> Int {
        list == NamedAccounts.senders ? counts.0 : list == NamedAccounts.others ? counts.1 : counts.2
    }

    func account(_ list: Int, _ index: Int) -> UInt32 {
        list == NamedAccounts.senders
            ? senders.base[index] : list == NamedAccounts.others ? others.base[index] : owners.base[index]
    }

    func find(_ account: UInt32) -> (list: Int, index: Int)? {
        for list in 0..<NamedAccounts.listCount {
            let ids = list == 0 ? senders.base : list == 1 ? others.base : owners.base
            var (low, high) = (0, count(list))
            while low < high {
                let middle = (low + high) / 2
                if ids[middle] < account { low = middle + 1 } else { high = middle }
            }
            if low < count(list), ids[low] == account { return (list, low) }
        }
        return nil
    }
}

/// A diff as one line in the form of a `prestateTracer` result (`millrace export diffs`, Spec 70.10):
///
///     {"block":7,"kind":"transactions","transactions":100,"sealedAtMicroseconds":70000,"result":{"pre":{…},"post":{…}}}
///
/// `block` is the height, so that importing the lines again gives the same state. Every account touched is in `pre` with
/// its balance; in `post` with what changed, unless it was destroyed and is gone. Accounts and slots ascend.

import MillraceBase
public import MillraceDiff

public enum DiffExport {
    /// The line of `diff`, line break included; `state` is the state after it.
    public static func line(_ diff: StateDiff, after state: State) -> String {
        var touched = diff.accountChanges.map { Touched(id: $0.id, change: $0) }
        for change in diff.slotChanges {
            let id = state.key(of: change.id).account
            if find(id, in: diff.accountChanges) == nil { touched.append(Touched(id: id, change: nil)) }
        }
        touched.sort { state.address(of: $0.id) < state.address(of: $1.id) }
        var accounts: [Touched] = []
        for account in touched where accounts.last?.id != account.id { accounts.append(account) }
        // Slots by account: sorted by its address, then by number.
        var slots = diff.slotChanges.map { (key: state.key(of: $0.id), change: $0) }
        slots.sort { a, b in
            let (x, y) = (state.address(of: a.key.account), state.address(of: b.key.account))
            return x == y ? a.key.slot < b.key.slot : x < y
        }

        var (pre, post) = ("", "")
        var next = 0
        for account in accounts {
            let first = next
            while next < slots.count, slots[next].key.account == account.id { next += 1 }
            let own = slots[first..<next]
            append(account, own, state, destroyed: diff.destroyed.contains(account.id), &pre, &post)
        }
        let kind: String
        switch diff.kind {
        case .transactions: kind = "transactions"
        case .bridge: kind = "bridge"
        case .genesis: kind = "genesis"
        }
        var line = "{\"block\":\(diff.lastHeight),\"kind\":\"\(kind)\",\"transactions\":\(diff.transactions)"
        line += ",\"sealedAtMicroseconds\":\(diff.sealedAtMicroseconds)"
        line += ",\"result\":{\"pre\":{\(pre)},\"post\":{\(post)}}}\n"
        return line
    }

    private struct Touched {
        var id: AccountID
        var change: AccountChange?
    }

    private static func find(_ id: AccountID, in changes: [AccountChange]) -> Int? {
        var (low, high) = (0, changes.count)
        while low < high {
            let middle = (low + high) / 2
            if changes[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < changes.count && changes[low].id == id ? low : nil
    }

    private static func append(
        _ account: Touched, _ slots: ArraySlice<(key: SlotKey, change: SlotChange)>, _ state: State,
        destroyed: Bool,
        _ pre: inout String, _ post: inout String
    ) {
        let new = account.change?.new ?? state.value(of: account.id)
        let old = account.change?.old ?? new
        let address = state.address(of: account.id).hex
        if !pre.isEmpty { pre += "," }
        pre += "\"\(address)\":{\"balance\":\"\(old.balance.hexQuantity)\""
        if old.nonce != 0 { pre += ",\"nonce\":\(old.nonce)" }
        let before = slots.filter { !$0.change.old.isZero }
        if !before.isEmpty {
            pre += ",\"storage\":"
            StorageText.append(before.lazy.map { ($0.key.slot, $0.change.old) }, to: &pre)
        }
        pre += "}"

        let after = slots.filter { !$0.change.new.isZero }
        if destroyed, new.isAbsent, after.isEmpty { return }
        var fields: [String] = []
        if new.balance != old.balance { fields.append("\"balance\":\"\(new.balance.hexQuantity)\"") }
        if new.nonce != old.nonce { fields.append("\"nonce\":\(new.nonce)") }
        if new.code != old.code { fields.append("\"code\":\"0x\(Hex.encode(state.code(new.code)))\"") }
        if !after.isEmpty {
            var storage = "\"storage\":"
            StorageText.append(after.lazy.map { ($0.key.slot, $0.change.new) }, to: &storage)
            fields.append(storage)
        }
        if !post.isEmpty { post += "," }
        post += "\"\(address)\":{\(fields.joined(separator: ","))}"
    }
}

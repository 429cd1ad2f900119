/// A state as NDJSON: one account a line, sorted by address (`millrace export state`, Spec 70.10).
///
///     {"address":"0x…","nonce":1,"balance":"0x…","codeHash":"0x…","storage":{"0x…":"0x…"}}
///
/// Slots ascend; zero slots are left out, and so are accounts that have nothing at all: no balance, nonce, code or
/// slot. Equal states give equal bytes, whatever their ids.

import MillraceBase
public import MillraceDiff

public enum StateExport {
    /// Hands over one line at a time, line break included. Memory: an id per account, and one account's slots.
    public static func write<Failure: Error>(
        _ state: State, line emit: (String) throws(Failure) -> Void
    ) throws(Failure) -> Int {
        var ids = (0..<UInt32(state.accountCount)).map { AccountID($0) }
        ids.sort { state.address(of: $0) < state.address(of: $1) }
        var count = 0
        var slots: [(slot: U256, value: U256)] = []
        for id in ids {
            slots.removeAll(keepingCapacity: true)
            state.forEachSlot(of: id) { slot in
                let value = state.value(of: slot)
                if !value.isZero { slots.append((state.key(of: slot).slot, value)) }
            }
            let value = state.value(of: id)
            if value.isAbsent, slots.isEmpty { continue }
            slots.sort { $0.slot < $1.slot }
            var line = "{\"address\":\"\(state.address(of: id).hex)\",\"nonce\":\(value.nonce)"
            line +=
                ",\"balance\":\"\(value.balance.hexQuantity)\",\"codeHash\":\"\(state.codeHash(value.code).hex)\""
            line += ",\"storage\":"
            StorageText.append(slots.lazy.map { ($0.slot, $0.value) }, to: &line)
            try emit(line + "}\n")
            count += 1
        }
        return count
    }
}

/// `{"0x…":"0x…"}`: words of 64 digits.
enum StorageText {
    static func append(_ slots: some Sequence<(U256, U256)>, to line: inout String) {
        line += "{"
        var isFirst = true
        for (slot, value) in slots {
            if !isFirst { line += "," }
            isFirst = false
            line += "\"\(slot.hexWord)\":\"\(value.hexWord)\""
        }
        line += "}"
    }
}

/// The payload without models: fixed fields, byte by byte, no more than 1.01 of the merged diff's raw size whatever it
/// holds (Spec 30.8). The encoder takes it where it is shorter, which random words can bring about.

internal import MillraceBase
internal import MillraceDiff

enum PlainForm {
    /// No plain payload of `diff` is shorter: spares the encoder the attempt.
    static func bytesMin(_ diff: StateDiff) -> Int {
        var codes = 0
        for code in diff.newCodes { codes += code.count }
        return codes + 20 * diff.newAccounts.count + 32 * (diff.newSlots.count + diff.slotChanges.count)
    }

    static func encode(_ diff: StateDiff, base: State, into payload: inout [UInt8]) {
        let start = payload.count
        let header = PayloadHeader(
            form: .plain, kind: diff.kind, transactions: diff.transactions, rawBytes: diff.rawBytes,
            newCodes: diff.newCodes.count, newAccounts: diff.newAccounts.count, newSlots: diff.newSlots.count,
            destroyed: diff.destroyed.count, accountChanges: diff.accountChanges.count,
            slotChanges: diff.slotChanges.count)
        header.append(to: &payload)
        for code in diff.newCodes {
            payload.appendVarint(UInt64(code.count))
            payload.append(contentsOf: code)
        }
        for address in diff.newAccounts { payload.append(address) }
        appendGaps(diff.destroyed.lazy.map(\.index), to: &payload)
        var i = 0
        while i < diff.newSlots.count {
            let account = diff.newSlots[i].key.account
            var end = i + 1
            while end < diff.newSlots.count, diff.newSlots[end].key.account == account { end += 1 }
            payload.appendVarint(UInt64(account.index))
            payload.appendVarint(UInt64(end - i))
            for j in i..<end { payload.append(diff.newSlots[j].key.slot) }
            i = end
        }
        appendGaps(diff.accountChanges.lazy.map(\.id.index), to: &payload)
        for change in diff.accountChanges {
            payload.append(change.new.balance)
            payload.appendVarint(change.new.nonce)
            payload.appendVarint(UInt64(change.new.code.index))
        }
        appendGaps(diff.slotChanges.lazy.map(\.id.index), to: &payload)
        for change in diff.slotChanges { payload.append(change.new) }
        let least = CodecLimits.payloadBytesMin(keys: header.keyCount)
        if payload.count - start < least {
            payload.append(contentsOf: repeatElement(0, count: least - (payload.count - start)))
        }
    }

    private static func appendGaps(_ ids: some Sequence<UInt32>, to payload: inout [UInt8]) {
        var next: UInt32 = 0
        for id in ids {
            payload.appendVarint(UInt64(id - next))
            next = id + 1
        }
    }

    static func decode(
        _ header: PayloadHeader, base: State, into diff: inout StateDiff, from reader: inout ByteReader
    ) throws(CodecError) {
        let isSingle = diff.firstHeight == diff.lastHeight
        let accountEnd = base.accountCount + header.newAccounts
        let slotEnd = base.slotCount + header.newSlots
        for i in 0..<header.newAccounts {
            guard let address = try? reader.address() else { throw .truncated }
            if isSingle, i > 0, address <= diff.newAccounts[i - 1] { throw .badKey }
            diff.newAccounts.append(address)
        }
        var next = 0
        for _ in 0..<header.destroyed {
            diff.destroyed.append(AccountID(try id(&next, below: accountEnd, from: &reader)))
        }
        try decodeNewSlots(header, accountEnd: accountEnd, isSingle: isSingle, into: &diff, from: &reader)

        next = 0
        for _ in 0..<header.accountChanges {
            let id = try id(&next, below: accountEnd, from: &reader)
            let old = Int(id) < base.accountCount ? base.accountValuesBase[Int(id)] : .absent
            diff.accountChanges.append(AccountChange(id: AccountID(id), old: old, new: old))
        }
        let codeEnd = UInt64(base.codeCount + header.newCodes)
        for i in 0..<header.accountChanges {
            guard let balance = try? reader.word() else { throw .truncated }
            let nonce = try varint(&reader)
            let code = try varint(&reader)
            guard code <= codeEnd else { throw .badValue }
            let new = AccountValue(
                balance: balance, nonce: nonce, code: CodeID(UInt32(truncatingIfNeeded: code)))
            if new == diff.accountChanges[i].old { throw .badValue }
            diff.accountChanges[i].new = new
        }
        next = 0
        for _ in 0..<header.slotChanges {
            let id = try id(&next, below: slotEnd, from: &reader)
            let old = Int(id) < base.slotCount ? base.slotValuesBase[Int(id)] : .zero
            diff.slotChanges.append(SlotChange(id: SlotID(id), old: old, new: old))
        }
        for i in 0..<header.slotChanges {
            guard let value = try? reader.word() else { throw .truncated }
            if value == diff.slotChanges[i].old { throw .badValue }
            diff.slotChanges[i].new = value
        }
        if reader.remaining > 0 {
            guard header.payloadBytes == CodecLimits.payloadBytesMin(keys: header.keyCount) else {
                throw .trailingBytes
            }
            while let byte = try? reader.u8() { if byte != 0 { throw .trailingBytes } }
        }
    }

    private static func decodeNewSlots(
        _ header: PayloadHeader, accountEnd: Int, isSingle: Bool, into diff: inout StateDiff,
        from reader: inout ByteReader
    ) throws(CodecError) {
        var last: SlotKey?
        while diff.newSlots.count < header.newSlots {
            let account = try varint(&reader)
            let run = try varint(&reader)
            guard account < UInt64(accountEnd), run > 0, run <= UInt64(header.newSlots - diff.newSlots.count)
            else { throw .badKey }
            for _ in 0..<Int(run) {
                guard let slot = try? reader.word() else { throw .truncated }
                let key = SlotKey(account: AccountID(UInt32(truncatingIfNeeded: account)), slot: slot)
                if isSingle, let last,
                    key.account < last.account || (key.account == last.account && slot <= last.slot)
                {
                    throw .badKey
                }
                last = key
                diff.newSlots.append(NewSlot(key: key))
            }
        }
    }

    private static func varint(_ reader: inout ByteReader) throws(CodecError) -> UInt64 {
        do { return try reader.varint() } catch { throw error == .truncated ? .truncated : .badValue }
    }

    private static func id(
        _ next: inout Int, below end: Int, from reader: inout ByteReader
    ) throws(CodecError) -> UInt32 {
        let gap = try varint(&reader)
        guard next < end, gap < UInt64(end - next) else { throw .badKey }
        let id = next + Int(gap)
        next = id + 1
        return UInt32(truncatingIfNeeded: id)
    }
}

/// What stands at the head of a payload: its form, and the counts that bound everything after. Spec 30.3.

internal import MillraceBase
internal import MillraceDiff

enum PayloadForm: UInt8 {
    case coded = 1
    /// Fixed fields, byte by byte: for what no model shortens.
    case plain = 2
}

struct PayloadHeader {
    var form: PayloadForm
    var kind: DiffKind
    var transactions: UInt64
    var rawBytes: UInt64
    var newCodes: Int
    var newAccounts: Int
    var newSlots: Int
    var destroyed: Int
    var accountChanges: Int
    var slotChanges: Int
    var payloadBytes = 0

    /// Keys the payload answers for.
    var keyCount: Int { newAccounts + newSlots + destroyed + accountChanges + slotChanges }

    /// Units of work beside keys that the payload may ask for.
    var workMax: Int {
        (payloadBytes + 1) * CodecLimits.workPerByte - 1 - keyCount * CodecLimits.workPerKey
    }

    func append(to payload: inout [UInt8]) {
        payload.append(form.rawValue | kind.rawValue << 4)
        payload.appendVarint(transactions)
        payload.appendVarint(rawBytes)
        for count in [newCodes, newAccounts, newSlots, destroyed, accountChanges, slotChanges] {
            payload.appendVarint(UInt64(count))
        }
    }

    init(
        form: PayloadForm, kind: DiffKind, transactions: UInt64, rawBytes: UInt64, newCodes: Int,
        newAccounts: Int,
        newSlots: Int, destroyed: Int, accountChanges: Int, slotChanges: Int
    ) {
        self.form = form
        self.kind = kind
        self.transactions = transactions
        self.rawBytes = rawBytes
        self.newCodes = newCodes
        self.newAccounts = newAccounts
        self.newSlots = newSlots
        self.destroyed = destroyed
        self.accountChanges = accountChanges
        self.slotChanges = slotChanges
    }

    /// Reads and bounds the header: by the payload's length, by the state, by `CodecLimits`.
    init(from reader: inout ByteReader, payloadBytes: Int, base: State) throws(CodecError) {
        guard let first = try? reader.u8() else { throw .truncated }
        guard let form = PayloadForm(rawValue: first & 0x0F), let kind = DiffKind(rawValue: first >> 4),
            kind != .genesis
        else { throw .unknownForm(first) }
        self.form = form
        self.kind = kind
        self.payloadBytes = payloadBytes
        transactions = try PayloadHeader.number(.transactions, from: &reader)
        rawBytes = try PayloadHeader.number(.rawBytes, from: &reader)
        newCodes = try PayloadHeader.count(.newCodes, atMost: payloadBytes, from: &reader)
        // The coded form counts them section by section. An address is 20 bytes in either.
        newAccounts = try PayloadHeader.count(
            .newAccounts, atMost: form == .plain ? payloadBytes / 20 : 0, from: &reader)
        var left =
            min(payloadBytes, Limits.payloadBytesMax) * CodecLimits.keysPerByteMax
            + CodecLimits.keysPerByteMax - 1 - newAccounts
        func bounded(
            _ field: CodecError.CountField, atMost limit: Int, _ reader: inout ByteReader
        ) throws(CodecError) -> Int {
            let count = try PayloadHeader.count(
                field, atMost: min(left, limit, CodecLimits.keyCountMax), from: &reader)
            left -= count
            return count
        }
        newSlots = try bounded(.newSlots, atMost: StateLimits.cellCountMax - base.slotCount, &reader)
        // A payload in coded form may bring keys by its operations: those are checked where they are counted.
        let newAccounts = form == .coded ? payloadBytes / 20 : newAccounts
        let moreSlots = form == .coded ? payloadBytes * CodecLimits.keysPerByteMax : 0
        destroyed = try bounded(.destroyed, atMost: base.accountCount + newAccounts, &reader)
        accountChanges = try bounded(.accountChanges, atMost: base.accountCount + newAccounts, &reader)
        slotChanges = try bounded(.slotChanges, atMost: base.slotCount + newSlots + moreSlots, &reader)
    }

    private static func number(
        _ field: CodecError.CountField, from reader: inout ByteReader
    ) throws(CodecError) -> UInt64 {
        do { return try reader.varint() } catch {
            switch error {
            case .truncated: throw .truncated
            case .malformed: throw .badCount(field)
            }
        }
    }

    static func count(
        _ field: CodecError.CountField, atMost limit: Int, from reader: inout ByteReader
    ) throws(CodecError) -> Int {
        let value = try number(field, from: &reader)
        guard value <= UInt64(max(limit, 0)) else { throw .badCount(field) }
        return Int(value)
    }
}

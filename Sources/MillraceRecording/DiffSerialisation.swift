/// A `StateDiff` as plain bytes: what recordings hold. Independent of the wire codec on purpose, so that a recording
/// outlives it: no model, no state, just sorted ids as gaps and old and new values at their own length (Spec 70.5).
///
/// Encoding is a function of the diff alone. Decoding is total: any bytes give a diff that is well formed by itself
/// (ascending, changed, within bounds) or an error; whether it *fits* a state is for `State.apply` to say. Counts are
/// checked against what is left of the input before anything is allocated.
///
/// A mapping slot is written as its preimage only; the reader hashes it. That saves 32 bytes that do not compress and
/// makes it impossible for the two to disagree. A preimage that does not hash to its slot is left out by the writer.
/// Hints (facts, operations) follow where there are any: HintSerialisation.swift.

public import MillraceBase
import MillraceCrypto
public import MillraceDiff

public enum DiffSerialisationError: Error, Equatable, Sendable {
    /// The bytes ended before the diff did.
    case truncated
    /// A varint or a word that is longer than it need be, or too long.
    case malformed
    /// An unknown kind of diff or of preimage, or undefined flag bits.
    case unknownTag
    /// More elements than `RecordingLimits` allows or than the rest of the input could hold.
    case tooMany
    /// Ids or keys out of order, or twice.
    case notAscending
    /// An id beyond 32 bits.
    case idTooLarge
    /// A change that changes nothing, or an empty code.
    case nothing
    /// Last height before the first, or heights on a genesis diff.
    case heights
    /// Operations whose sections count other new keys or facts than the diff has.
    case sections
}

public enum DiffSerialisation {
    // MARK: Encoding

    /// Appends one diff. Spec 70.5.
    public static func append(_ diff: StateDiff, to bytes: inout [UInt8]) {
        let hints = HintSerialisation.Selection(diff)
        bytes.append(diff.kind.rawValue | (hints.isEmpty ? 0 : HintSerialisation.flag))
        bytes.appendVarint(diff.firstHeight)
        bytes.appendVarint(diff.lastHeight &- diff.firstHeight)
        bytes.appendVarint(diff.sealedAtMicroseconds)
        bytes.appendVarint(diff.transactions)
        bytes.appendVarint(diff.rawBytes)

        bytes.appendVarint(UInt64(diff.newCodes.count))
        for code in diff.newCodes {
            bytes.appendVarint(UInt64(code.count))
            bytes.append(contentsOf: code)
        }
        bytes.appendVarint(UInt64(diff.newAccounts.count))
        for address in diff.newAccounts { bytes.append(address) }
        bytes.appendVarint(UInt64(diff.newSlots.count))
        for slot in diff.newSlots { append(slot, to: &bytes) }

        bytes.appendVarint(UInt64(diff.destroyed.count))
        var gap = Gap()
        for id in diff.destroyed { gap.append(id.index, to: &bytes) }

        bytes.appendVarint(UInt64(diff.accountChanges.count))
        gap = Gap()
        for change in diff.accountChanges {
            gap.append(change.id.index, to: &bytes)
            let (old, new) = (change.old, change.new)
            let flags: UInt8 =
                (old.balance != new.balance ? 1 : 0) | (old.nonce != new.nonce ? 2 : 0)
                | (old.code != new.code ? 4 : 0)
            bytes.append(flags)
            appendWord(old.balance, to: &bytes)
            if flags & 1 != 0 { appendWord(new.balance, to: &bytes) }
            bytes.appendVarint(old.nonce)
            if flags & 2 != 0 { bytes.appendVarint(new.nonce) }
            bytes.appendVarint(UInt64(old.code.index))
            if flags & 4 != 0 { bytes.appendVarint(UInt64(new.code.index)) }
        }

        bytes.appendVarint(UInt64(diff.slotChanges.count))
        gap = Gap()
        for change in diff.slotChanges {
            gap.append(change.id.index, to: &bytes)
            appendWord(change.old, to: &bytes)
            appendWord(change.new, to: &bytes)
        }
        if !hints.isEmpty { HintSerialisation.append(diff, hints, to: &bytes) }
    }

    private static func append(_ slot: NewSlot, to bytes: inout [UInt8]) {
        bytes.appendVarint(UInt64(slot.key.account.index))
        switch slot.preimage {
        case .mapping(let base, let key) where Keccak256.mappingSlot(key: key, base: base) == slot.key.slot:
            bytes.append(1)
            appendWord(base, to: &bytes)
            appendWord(key, to: &bytes)
        case .nested(let base, let outer, let inner)
        where Keccak256.nestedSlot(base: base, outer: outer, inner: inner) == slot.key.slot:
            bytes.append(2)
            appendWord(base, to: &bytes)
            appendWord(outer, to: &bytes)
            appendWord(inner, to: &bytes)
        case .none, .mapping, .nested:
            bytes.append(0)
            appendWord(slot.key.slot, to: &bytes)
        }
    }

    /// Ascending ids: the first as it is, each further one as the distance to the one before, less one.
    private struct Gap {
        var next: UInt64 = 0
        mutating func append(_ id: UInt32, to bytes: inout [UInt8]) {
            bytes.appendVarint(UInt64(id) &- next)
            next = UInt64(id) &+ 1
        }
    }

    /// Length in bytes (0…32), then that many bytes, most significant first, the first not zero.
    static func appendWord(_ word: U256, to bytes: inout [UInt8]) {
        let count = (word.bitWidth + 7) / 8
        bytes.append(UInt8(truncatingIfNeeded: count))
        if count <= 8 {
            var rest = count
            while rest > 0 {
                rest -= 1
                bytes.append(UInt8(truncatingIfNeeded: word.w0 >> UInt64(8 * rest)))
            }
            return
        }
        withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { full in
            guard let base = full.baseAddress else { return }
            word.storeBigEndian(to: base)
            bytes.append(contentsOf: UnsafeRawBufferPointer(full)[(32 - count)...])
        }
    }

    // MARK: Decoding

    /// Reads one diff and leaves the reader behind it. `diff` keeps its memory; after an error its content is
    /// meaningless.
    @_lifetime(reader: copy reader)
    public static func decode(
        _ reader: inout ByteReader, into diff: inout StateDiff
    ) throws(DiffSerialisationError) {
        do {
            try decodeBody(&reader, into: &diff)
        } catch let error as DiffSerialisationError {
            throw error
        } catch let error as ByteError {
            throw error == .truncated ? .truncated : .malformed
        } catch {
            throw .malformed
        }
    }

    @_lifetime(reader: copy reader)
    private static func decodeBody(_ reader: inout ByteReader, into diff: inout StateDiff) throws {
        diff.removeAll()
        let first = try reader.u8()
        guard let kind = DiffKind(rawValue: first & ~HintSerialisation.flag) else {
            throw DiffSerialisationError.unknownTag
        }
        diff.kind = kind
        diff.firstHeight = try reader.varint()
        let (last, over) = diff.firstHeight.addingReportingOverflow(try reader.varint())
        guard !over, (kind == .genesis) == (last == 0), kind == .genesis || diff.firstHeight > 0 else {
            throw DiffSerialisationError.heights
        }
        diff.lastHeight = last
        diff.sealedAtMicroseconds = try reader.varint()
        diff.transactions = try reader.varint()
        diff.rawBytes = try reader.varint()

        for _ in 0..<(try count(&reader, bytesEach: 2)) {
            let length = try reader.varint(atMost: reader.remaining)
            guard length > 0 else { throw DiffSerialisationError.nothing }
            diff.newCodes.append(try reader.array(length))
        }
        for _ in 0..<(try count(&reader, bytesEach: 20)) { diff.newAccounts.append(try reader.address()) }
        for _ in 0..<(try count(&reader, bytesEach: 3)) { diff.newSlots.append(try newSlot(&reader)) }

        var next: UInt64 = 0
        for _ in 0..<(try count(&reader, bytesEach: 1)) {
            diff.destroyed.append(AccountID(try id(&reader, &next)))
        }
        next = 0
        for _ in 0..<(try count(&reader, bytesEach: 5)) {
            let id = AccountID(try id(&reader, &next))
            let flags = try reader.u8()
            guard flags & ~7 == 0 else { throw DiffSerialisationError.unknownTag }
            guard flags != 0 else { throw DiffSerialisationError.nothing }
            var old = AccountValue()
            old.balance = try word(&reader)
            var new = AccountValue(balance: flags & 1 != 0 ? try word(&reader) : old.balance)
            old.nonce = try reader.varint()
            new.nonce = flags & 2 != 0 ? try reader.varint() : old.nonce
            old.code = CodeID(try index(&reader))
            new.code = flags & 4 != 0 ? CodeID(try index(&reader)) : old.code
            guard (flags & 1 != 0) == (old.balance != new.balance),
                (flags & 2 != 0) == (old.nonce != new.nonce),
                (flags & 4 != 0) == (old.code != new.code)
            else { throw DiffSerialisationError.nothing }
            diff.accountChanges.append(AccountChange(id: id, old: old, new: new))
        }
        next = 0
        for _ in 0..<(try count(&reader, bytesEach: 4)) {
            let id = SlotID(try id(&reader, &next))
            let old = try word(&reader)
            let new = try word(&reader)
            guard old != new else { throw DiffSerialisationError.nothing }
            diff.slotChanges.append(SlotChange(id: id, old: old, new: new))
        }
        if first & HintSerialisation.flag != 0 { try HintSerialisation.decode(&reader, into: &diff) }
    }

    /// A count that the rest of the input could hold.
    @_lifetime(reader: copy reader)
    static func count(_ reader: inout ByteReader, bytesEach: Int) throws -> Int {
        let count = try reader.varint()
        guard count <= UInt64(min(RecordingLimits.cellsPerDiffMax, reader.remaining / bytesEach)) else {
            throw DiffSerialisationError.tooMany
        }
        return Int(count)
    }

    @_lifetime(reader: copy reader)
    static func id(_ reader: inout ByteReader, _ next: inout UInt64) throws -> UInt32 {
        let (id, over) = next.addingReportingOverflow(try reader.varint())
        guard !over, id <= UInt64(UInt32.max) else { throw DiffSerialisationError.idTooLarge }
        next = id + 1
        return UInt32(id)
    }

    @_lifetime(reader: copy reader)
    static func index(_ reader: inout ByteReader) throws -> UInt32 {
        guard let index = UInt32(exactly: try reader.varint()) else {
            throw DiffSerialisationError.idTooLarge
        }
        return index
    }

    @_lifetime(reader: copy reader)
    static func word(_ reader: inout ByteReader) throws -> U256 {
        let count = Int(try reader.u8())
        guard count <= 32 else { throw DiffSerialisationError.malformed }
        let span = try reader.span(count)
        if count == 0 { return .zero }
        guard span.byteCount == count, unsafe span.unsafeLoad(fromByteOffset: 0, as: UInt8.self) != 0 else {
            throw DiffSerialisationError.malformed
        }
        return span.withUnsafeBytes { source in
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { full -> U256 in
                guard let base = full.baseAddress, let from = source.baseAddress else { return .zero }
                full.initializeMemory(as: UInt8.self, repeating: 0)
                (base + (32 - count)).copyMemory(from: from, byteCount: count)
                return U256(bigEndian: base)
            }
        }
    }

    @_lifetime(reader: copy reader)
    private static func newSlot(_ reader: inout ByteReader) throws -> NewSlot {
        let account = AccountID(try index(&reader))
        switch try reader.u8() {
        case 0:
            return NewSlot(key: SlotKey(account: account, slot: try word(&reader)))
        case 1:
            let base = try word(&reader)
            let key = try word(&reader)
            let slot = Keccak256.mappingSlot(key: key, base: base)
            return NewSlot(
                key: SlotKey(account: account, slot: slot), preimage: .mapping(base: base, key: key))
        case 2:
            let base = try word(&reader)
            let outer = try word(&reader)
            let inner = try word(&reader)
            let slot = Keccak256.nestedSlot(base: base, outer: outer, inner: inner)
            return NewSlot(
                key: SlotKey(account: account, slot: slot),
                preimage: .nested(base: base, outer: outer, inner: inner))
        default:
            throw DiffSerialisationError.unknownTag
        }
    }
}

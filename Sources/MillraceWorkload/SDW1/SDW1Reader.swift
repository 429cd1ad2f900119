/// Reads `SDW1`, the format of the workload files: a header, a table of addresses, a table of keys with their values
/// before the stream, then the writes of each transaction. Spec 75, section 5.
///
///     reader = try SDW1Reader(bytes)              // everything up to the transactions
///     while try reader.next(into: &writes) { … }  // one transaction a call
///
/// Promises: total (any bytes give transactions or one `SDW1Error` that says where), never traps, and holds at most
/// a few times the input in memory: every count is checked against the bytes that are left before anything is
/// allocated. Asks: plain bytes; the caller undoes zstd, since nothing here may depend on a library.
///
/// The input is held whole rather than streamed: the key table must be in memory anyway and is most of a short file, and
/// a file of a second of 100,000 TPS is 7 to 15 MB.

public import MillraceBase
import MillraceCrypto
public import MillraceDiff

/// Why a file is not an SDW1 file: a byte offset into the plain bytes and a sentence.
public struct SDW1Error: Error, Equatable, Sendable, CustomStringConvertible {
    public let offset: Int
    public let message: String

    public var description: String { "byte \(offset): \(message)" }
}

/// A key of the file, with its value before the stream.
public enum SDW1Key: Hashable, Sendable {
    case account(address: Address, nonce: UInt64, balance: U256)
    case slot(contract: Address, slot: U256, preimage: SlotPreimage, value: U256)
}

/// A key's value after a transaction.
public enum SDW1Value: Hashable, Sendable, BitwiseCopyable {
    case account(nonce: UInt64, balance: U256)
    case slot(U256)
}

public struct SDW1Write: Hashable, Sendable, BitwiseCopyable {
    /// Index into `SDW1Reader.keys`.
    public let key: Int
    public let value: SDW1Value
}

public final class SDW1Reader {
    /// Addresses and keys of one file at most: about 1 GB of tables.
    public static let tableEntriesMax = 1 << 23
    public static let headerBytesMax = 1 << 20

    /// The header's JSON text; `SDW1Header` reads it.
    public let headerText: [UInt8]
    /// The literal addresses; index 0 is the coinbase where there is one.
    public let literals: [Address]
    public let keys: [SDW1Key]
    /// The derived addresses that keys name, ascending by number.
    public let derived: [(number: UInt64, address: Address)]
    /// Transactions the file announces.
    public let transactionCount: Int
    /// Transactions given out so far.
    public private(set) var transactionsRead = 0

    private let bytes: [UInt8]
    /// Where the next transaction starts.
    private var offset: Int
    private let firstTransactionOffset: Int

    /// Reads header and tables. Complexity: one Keccak-256 per derived address and one or two per mapping key.
    public init(_ bytes: [UInt8]) throws(SDW1Error) {
        var reader = ByteReader(bytes.span.bytes)
        var tables = Tables()
        do throws(ByteError) {
            try tables.read(from: &reader)
        } catch {
            throw SDW1Reader.explain(error, at: reader.offset, tables.place)
        }
        if let refusal = tables.refusal { throw SDW1Error(offset: reader.offset, message: refusal) }
        headerText = tables.headerText
        literals = tables.literals
        keys = tables.keys
        derived = tables.derived.map { ($0.key, $0.value) }.sorted { $0.0 < $1.0 }
        transactionCount = tables.transactionCount
        offset = reader.offset
        firstTransactionOffset = reader.offset
        self.bytes = bytes
    }

    /// The next transaction's writes, in file order, replacing what `writes` held; false after the last one. Bytes
    /// behind the last transaction are an error.
    public func next(into writes: inout [SDW1Write]) throws(SDW1Error) -> Bool {
        writes.removeAll(keepingCapacity: true)
        guard transactionsRead < transactionCount else {
            guard offset == bytes.count else {
                throw SDW1Error(
                    offset: offset,
                    message: "\(bytes.count - offset) bytes behind the last transaction, expected none")
            }
            return false
        }
        let bytes = bytes
        var reader = ByteReader(bytes.span.bytes.extracting(offset..<bytes.count))
        var unknownKey: Int?
        do throws(ByteError) {
            // A write is at least two bytes: key and value.
            let count = try reader.varint(atMost: reader.remaining / 2)
            writes.reserveCapacity(count)
            for _ in 0..<count {
                let key = try reader.varint(atMost: Int.max)
                guard key < keys.count else {
                    unknownKey = key
                    break
                }
                switch keys[key] {
                case .account:
                    let nonce = try reader.varint()
                    writes.append(
                        SDW1Write(key: key, value: .account(nonce: nonce, balance: try reader.wideVarint())))
                case .slot:
                    writes.append(SDW1Write(key: key, value: .slot(try reader.wideVarint())))
                }
            }
        } catch {
            let place = "transaction \(transactionsRead) of \(transactionCount)"
            throw SDW1Reader.explain(error, at: offset + reader.offset, place)
        }
        if let unknownKey {
            throw SDW1Error(
                offset: offset + reader.offset,
                message:
                    "transaction \(transactionsRead) writes key \(unknownKey), but the file has \(keys.count) keys"
            )
        }
        offset += reader.offset
        transactionsRead += 1
        return true
    }

    /// Back to the first transaction.
    public func rewind() {
        offset = firstTransactionOffset
        transactionsRead = 0
    }

    private static func explain(_ error: ByteError, at offset: Int, _ place: String) -> SDW1Error {
        switch error {
        case .truncated: SDW1Error(offset: offset, message: "the file ends inside \(place)")
        case .malformed:
            SDW1Error(offset: offset, message: "\(place) has a number that is over-long or out of range")
        }
    }
}

/// What stands before the transactions, as it is being read.
private struct Tables {
    var headerText: [UInt8] = []
    var literals: [Address] = []
    var keys: [SDW1Key] = []
    var transactionCount = 0
    /// What is being read, for error messages.
    var place = "the magic"
    /// A mistake that is not one of bytes; reading stops at it.
    var refusal: String?
    /// Derived addresses already hashed. Sorted before anybody sees their order.
    private(set) var derived: [UInt64: Address] = [:]

    mutating func read(from reader: inout ByteReader) throws(ByteError) {
        guard try reader.array(4) == Array("SDW1".utf8) else {
            refusal = "expected the magic `SDW1`: is this an uncompressed SDW1 file?"
            return
        }
        place = "the header"
        headerText = try reader.array(try reader.varint(atMost: SDW1Reader.headerBytesMax))

        place = "the address table"
        let literalCount = try reader.varint(atMost: SDW1Reader.tableEntriesMax)
        guard literalCount <= reader.remaining / 20 else { throw .truncated }
        literals.reserveCapacity(literalCount)
        for _ in 0..<literalCount { literals.append(try reader.address()) }

        place = "the key table"
        let keyCount = try reader.varint(atMost: SDW1Reader.tableEntriesMax)
        // A key is at least four bytes: kind, address, two numbers.
        guard keyCount <= reader.remaining / 4 else { throw .truncated }
        keys.reserveCapacity(keyCount)
        for index in 0..<keyCount {
            place = "key \(index) of \(keyCount)"
            guard let key = try readKey(from: &reader) else {
                refusal = "key \(index) has an unknown kind, expected 0, 1, 2 or 3"
                return
            }
            keys.append(key)
        }

        place = "the transaction count"
        // A transaction is at least one byte.
        let count = try reader.varint()
        guard count <= UInt64(reader.remaining) else { throw .truncated }
        transactionCount = Int(count)
    }

    private mutating func readKey(from reader: inout ByteReader) throws(ByteError) -> SDW1Key? {
        switch try reader.u8() {
        case 0:
            let address = try readAddress(from: &reader)
            return .account(address: address, nonce: try reader.varint(), balance: try reader.wideVarint())
        case 1:
            let contract = try readAddress(from: &reader)
            let slot = try reader.wideVarint()
            return .slot(contract: contract, slot: slot, preimage: .none, value: try reader.wideVarint())
        case 2:
            let contract = try readAddress(from: &reader)
            let base = try reader.wideVarint()
            let key = try readAddress(from: &reader).word
            return .slot(
                contract: contract, slot: Keccak256.mappingSlot(key: key, base: base),
                preimage: .mapping(base: base, key: key), value: try reader.wideVarint())
        case 3:
            let contract = try readAddress(from: &reader)
            let base = try reader.wideVarint()
            let outer = try readAddress(from: &reader).word
            let inner = try readAddress(from: &reader).word
            return .slot(
                contract: contract, slot: Keccak256.nestedSlot(base: base, outer: outer, inner: inner),
                preimage: .nested(base: base, outer: outer, inner: inner), value: try reader.wideVarint())
        default:
            return nil
        }
    }

    private mutating func readAddress(from reader: inout ByteReader) throws(ByteError) -> Address {
        let index = try reader.varint()
        if index < UInt64(literals.count) { return literals[Int(index)] }
        let number = index - UInt64(literals.count)
        if let known = derived[number] { return known }
        let address = SDW1Address.derived(number)
        derived[number] = address
        return address
    }
}

/// The addresses that are not in the table.
public enum SDW1Address {
    /// The last 20 bytes of keccak256("sdw-account-" ‖ u64be(number)).
    public static func derived(_ number: UInt64) -> Address {
        var preimage = Array("sdw-account-".utf8)
        preimage.appendLittleEndian(number.byteSwapped)
        return Address(truncating: Keccak256.hash(preimage).word)
    }
}

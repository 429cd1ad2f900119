/// The two fixed-size byte strings of Ethereum's data model, held in registers.

/// A 20-byte account address. Ordered as its bytes are.
public struct Address: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// Bytes 0…7, 8…15 and 16…19 as big-endian numbers, so that comparing numbers compares bytes.
    public var high: UInt64, middle: UInt64, low: UInt32

    @inlinable public init(high: UInt64, middle: UInt64, low: UInt32) {
        self.high = high
        self.middle = middle
        self.low = low
    }

    /// Reads 20 bytes. The caller owes exactly 20 readable bytes.
    @inlinable public init(bytes: UnsafeRawPointer) {
        high = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self))
        middle = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
        low = UInt32(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt32.self))
    }

    /// The address of 20 bytes; nil for another count.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 20 else { return nil }
        self = bytes.withUnsafeBytes { Address(bytes: $0.baseAddress!) }
    }

    /// The low 20 bytes of a word, as the EVM casts it.
    public init(truncating word: U256) {
        self.init(
            high: (word.w2 & 0xFFFF_FFFF) << 32 | word.w1 >> 32, middle: word.w1 << 32 | word.w0 >> 32,
            low: UInt32(truncatingIfNeeded: word.w0))
    }

    public static let zero = Address(high: 0, middle: 0, low: 0)

    @inlinable public func store(to bytes: UnsafeMutableRawPointer) {
        bytes.storeBytes(of: high.bigEndian, toByteOffset: 0, as: UInt64.self)
        bytes.storeBytes(of: middle.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: low.bigEndian, toByteOffset: 16, as: UInt32.self)
    }

    public var bytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 20) { buffer, count in
            store(to: UnsafeMutableRawPointer(buffer.baseAddress!))
            count = 20
        }
    }

    /// The address as a word, left-padded with zeroes, as ABI encoding has it.
    public var word: U256 {
        U256(middle << 32 | UInt64(low), high << 32 | middle >> 32, high >> 32, 0)
    }

    @inlinable public static func < (a: Address, b: Address) -> Bool {
        if a.high != b.high { return a.high < b.high }
        if a.middle != b.middle { return a.middle < b.middle }
        return a.low < b.low
    }

    /// `0x` and 40 lower-case digits.
    public var hex: String { "0x" + Hex.encode(bytes) }

    /// Parses 40 hexadecimal digits with or without `0x`; nil otherwise.
    public init?(hex text: some StringProtocol) {
        guard let bytes = Hex.decode(text) else { return nil }
        self.init(bytes)
    }
}

extension Address: CustomStringConvertible {
    public var description: String { hex }
}

/// A 32-byte hash. Ordered as its bytes are.
public struct Hash32: Hashable, Comparable, Sendable, BitwiseCopyable {
    /// The bytes as one big-endian number.
    public var word: U256

    @inlinable public init(word: U256) { self.word = word }

    /// Reads 32 bytes. The caller owes exactly 32 readable bytes.
    @inlinable public init(bytes: UnsafeRawPointer) { word = U256(bigEndian: bytes) }

    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self = bytes.withUnsafeBytes { Hash32(bytes: $0.baseAddress!) }
    }

    public static let zero = Hash32(word: .zero)

    @inlinable public func store(to bytes: UnsafeMutableRawPointer) { word.storeBigEndian(to: bytes) }
    public var bytes: [UInt8] { word.bigEndianBytes }
    @inlinable public static func < (a: Hash32, b: Hash32) -> Bool { a.word < b.word }

    /// `0x` and 64 lower-case digits.
    public var hex: String { word.hexWord }

    public init?(hex text: some StringProtocol) {
        guard let bytes = Hex.decode(text) else { return nil }
        self.init(bytes)
    }
}

extension Hash32: CustomStringConvertible {
    public var description: String { hex }
}

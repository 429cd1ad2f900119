/// Total reading of bytes: every read either gives a value or throws `ByteError.truncated`/`.malformed`; nothing traps,
/// nothing is read past the end. A reader lends; it owns no bytes and cannot outlive them.
///
/// Numbers are little-endian on the wire and in files unless a chapter of the specification says otherwise; varints are
/// LEB128 and must be minimal (Spec 10.2), so that a value has one encoding.

public enum ByteError: Error, Equatable, Sendable {
    /// The input ended before the value did.
    case truncated
    /// The bytes are there but are not a value: a non-minimal or over-long varint.
    case malformed
}

public struct ByteReader: ~Escapable {
    @usableFromInline let bytes: RawSpan
    /// Bytes consumed so far; never above the count.
    @inlinable public var offset: Int { consumed }
    @usableFromInline var consumed: Int

    @_lifetime(copy bytes)
    @inlinable public init(_ bytes: RawSpan) {
        self.bytes = bytes
        consumed = 0
    }

    @inlinable public var remaining: Int { bytes.byteCount - consumed }
    @inlinable public var isAtEnd: Bool { consumed == bytes.byteCount }

    @inlinable @inline(__always) @_lifetime(self: copy self)
    mutating func fixed<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type) throws(ByteError) -> T {
        let width = MemoryLayout<T>.size
        guard remaining >= width else { throw .truncated }
        let value = unsafe bytes.unsafeLoadUnaligned(fromByteOffset: consumed, as: T.self)
        consumed += width
        return T(littleEndian: value)
    }

    @_lifetime(self: copy self)
    @inlinable @inline(__always) public mutating func u8() throws(ByteError) -> UInt8 {
        try fixed(UInt8.self)
    }
    @_lifetime(self: copy self)
    @inlinable @inline(__always) public mutating func u16() throws(ByteError) -> UInt16 {
        try fixed(UInt16.self)
    }
    @_lifetime(self: copy self)
    @inlinable public mutating func u32() throws(ByteError) -> UInt32 { try fixed(UInt32.self) }
    @_lifetime(self: copy self)
    @inlinable public mutating func u64() throws(ByteError) -> UInt64 { try fixed(UInt64.self) }

    /// An unsigned LEB128 number below 2^64, at most ten bytes, minimal.
    @_lifetime(self: copy self)
    @inlinable @inline(__always) public mutating func varint() throws(ByteError) -> UInt64 {
        let first = try u8()
        return first < 0x80 ? UInt64(first) : try varint(after: first)
    }

    /// The rest of a varint of more than one byte.
    @_lifetime(self: copy self)
    @inlinable mutating func varint(after first: UInt8) throws(ByteError) -> UInt64 {
        var value = UInt64(first & 0x7F)
        var shift: UInt64 = 7
        while true {
            let byte = try u8()
            if shift == 63, byte > 1 { throw .malformed }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 {
                if byte == 0 { throw .malformed }
                return value
            }
            shift += 7
        }
    }

    /// A varint that must not exceed `limit`; `.malformed` otherwise. Use it for every count and length.
    @_lifetime(self: copy self)
    public mutating func varint(atMost limit: Int) throws(ByteError) -> Int {
        let value = try varint()
        guard value <= UInt64(max(limit, 0)) else { throw .malformed }
        return Int(value)
    }

    /// 32 bytes, most significant first.
    @_lifetime(self: copy self)
    public mutating func word() throws(ByteError) -> U256 {
        guard remaining >= 32 else { throw .truncated }
        let at = consumed
        consumed += 32
        return bytes.withUnsafeBytes { U256(bigEndian: $0.baseAddress! + at) }
    }

    @_lifetime(self: copy self)
    public mutating func hash() throws(ByteError) -> Hash32 { Hash32(word: try word()) }

    @_lifetime(self: copy self)
    public mutating func address() throws(ByteError) -> Address {
        guard remaining >= 20 else { throw .truncated }
        let at = consumed
        consumed += 20
        return bytes.withUnsafeBytes { Address(bytes: $0.baseAddress! + at) }
    }

    /// The next `count` bytes, lent.
    @_lifetime(copy self)
    @inlinable public mutating func span(_ count: Int) throws(ByteError) -> RawSpan {
        guard count >= 0, remaining >= count else { throw .truncated }
        let part = bytes.extracting(consumed..<(consumed + count))
        consumed += count
        return part
    }

    /// The next `count` bytes, copied.
    @_lifetime(self: copy self)
    public mutating func array(_ count: Int) throws(ByteError) -> [UInt8] {
        guard count >= 0, remaining >= count else { throw .truncated }
        let at = consumed
        consumed += count
        return bytes.withUnsafeBytes { Array($0[at..<(at + count)]) }
    }
}

extension Array where Element == UInt8 {
    public mutating func appendLittleEndian<T: FixedWidthInteger>(_ value: T) {
        Swift.withUnsafeBytes(of: value.littleEndian) { append(contentsOf: $0) }
    }

    /// Appends a minimal LEB128 number.
    public mutating func appendVarint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        append(UInt8(truncatingIfNeeded: rest))
    }

    /// 32 bytes, most significant first. Disfavoured so that a bare literal means one byte.
    @_disfavoredOverload
    public mutating func append(_ word: U256) {
        appendLittleEndian(word.w3.byteSwapped)
        appendLittleEndian(word.w2.byteSwapped)
        appendLittleEndian(word.w1.byteSwapped)
        appendLittleEndian(word.w0.byteSwapped)
    }

    public mutating func append(_ hash: Hash32) { append(hash.word) }

    public mutating func append(_ address: Address) {
        appendLittleEndian(address.high.byteSwapped)
        appendLittleEndian(address.middle.byteSwapped)
        appendLittleEndian(address.low.byteSwapped)
    }

    public mutating func append(_ span: RawSpan) {
        span.withUnsafeBytes { append(contentsOf: $0) }
    }
}

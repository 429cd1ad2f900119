/// 256-bit unsigned integers: the EVM's word. Four 64-bit limbs, least significant first; wrapping arithmetic is
/// explicit, nothing traps.

public struct U256: Hashable, Sendable, BitwiseCopyable {
    /// Limbs, least significant first.
    public var w0: UInt64, w1: UInt64, w2: UInt64, w3: UInt64

    @inlinable public init(_ w0: UInt64, _ w1: UInt64, _ w2: UInt64, _ w3: UInt64) {
        self.w0 = w0
        self.w1 = w1
        self.w2 = w2
        self.w3 = w3
    }

    @inlinable public init(_ value: UInt64) { self.init(value, 0, 0, 0) }
    @inlinable public init(wide value: UInt128) {
        self.init(UInt64(truncatingIfNeeded: value), UInt64(truncatingIfNeeded: value >> 64), 0, 0)
    }

    public static let zero = U256(0, 0, 0, 0)
    public static let one = U256(1, 0, 0, 0)
    public static let max = U256(.max, .max, .max, .max)

    @inlinable public var isZero: Bool { (w0 | w1 | w2 | w3) == 0 }

    /// The value as 64 bits, or nil when it does not fit.
    @inlinable public var asUInt64: UInt64? { (w1 | w2 | w3) == 0 ? w0 : nil }
    @inlinable public var asUInt128: UInt128? { (w2 | w3) == 0 ? UInt128(w1) << 64 | UInt128(w0) : nil }
    @inlinable public var low128: UInt128 { UInt128(w1) << 64 | UInt128(w0) }

    /// The number of bits needed to write the value: 0 for zero, 256 for 2^255 and above.
    @inlinable public var bitWidth: Int {
        if w3 != 0 { return 256 - w3.leadingZeroBitCount }
        if w2 != 0 { return 192 - w2.leadingZeroBitCount }
        if w1 != 0 { return 128 - w1.leadingZeroBitCount }
        return 64 - w0.leadingZeroBitCount
    }

    /// Sum modulo 2^256.
    @inlinable public static func &+ (a: U256, b: U256) -> U256 { a.addingReportingOverflow(b).partialValue }

    /// Difference modulo 2^256.
    @inlinable public static func &- (a: U256, b: U256) -> U256 {
        a.subtractingReportingOverflow(b).partialValue
    }

    @inlinable public func addingReportingOverflow(_ b: U256) -> (partialValue: U256, overflow: Bool) {
        let (r0, c0) = w0.addingReportingOverflow(b.w0)
        let (r1, c1) = U256.addWithCarry(w1, b.w1, c0)
        let (r2, c2) = U256.addWithCarry(w2, b.w2, c1)
        let (r3, c3) = U256.addWithCarry(w3, b.w3, c2)
        return (U256(r0, r1, r2, r3), c3)
    }

    @inlinable public func subtractingReportingOverflow(_ b: U256) -> (partialValue: U256, overflow: Bool) {
        let (r0, c0) = w0.subtractingReportingOverflow(b.w0)
        let (r1, c1) = U256.subtractWithBorrow(w1, b.w1, c0)
        let (r2, c2) = U256.subtractWithBorrow(w2, b.w2, c1)
        let (r3, c3) = U256.subtractWithBorrow(w3, b.w3, c2)
        return (U256(r0, r1, r2, r3), c3)
    }

    @inlinable static func addWithCarry(_ a: UInt64, _ b: UInt64, _ carry: Bool) -> (UInt64, Bool) {
        let (s, c0) = a.addingReportingOverflow(b)
        let (t, c1) = s.addingReportingOverflow(carry ? 1 : 0)
        return (t, c0 || c1)
    }

    @inlinable static func subtractWithBorrow(_ a: UInt64, _ b: UInt64, _ borrow: Bool) -> (UInt64, Bool) {
        let (s, c0) = a.subtractingReportingOverflow(b)
        let (t, c1) = s.subtractingReportingOverflow(borrow ? 1 : 0)
        return (t, c0 || c1)
    }

    /// Product modulo 2^256.
    public static func &* (a: U256, b: U256) -> U256 {
        let (a0, a1, a2, a3) = (a.w0, a.w1, a.w2, a.w3)
        var r = U256.zero
        var carry: UInt64 = 0
        func step(_ x: UInt64, _ y: UInt64, _ acc: UInt64, _ carry: inout UInt64) -> UInt64 {
            let wide = UInt128(x) &* UInt128(y) &+ UInt128(acc) &+ UInt128(carry)
            carry = UInt64(truncatingIfNeeded: wide >> 64)
            return UInt64(truncatingIfNeeded: wide)
        }
        r.w0 = step(a0, b.w0, 0, &carry)
        r.w1 = step(a1, b.w0, 0, &carry)
        r.w2 = step(a2, b.w0, 0, &carry)
        r.w3 = step(a3, b.w0, 0, &carry)
        carry = 0
        r.w1 = step(a0, b.w1, r.w1, &carry)
        r.w2 = step(a1, b.w1, r.w2, &carry)
        r.w3 = step(a2, b.w1, r.w3, &carry)
        carry = 0
        r.w2 = step(a0, b.w2, r.w2, &carry)
        r.w3 = step(a1, b.w2, r.w3, &carry)
        carry = 0
        r.w3 = step(a0, b.w3, r.w3, &carry)
        return r
    }

    /// Quotient and remainder; division by zero gives (0, 0), as in the EVM. Bit by bit beyond 128 bits: not for hot
    /// paths.
    public func quotientAndRemainder(dividingBy d: U256) -> (quotient: U256, remainder: U256) {
        if d.isZero { return (.zero, .zero) }
        if let a = asUInt128, let b = d.asUInt128 {
            let (q, r) = a.quotientAndRemainder(dividingBy: b)
            return (U256(wide: q), U256(wide: r))
        }
        if self < d { return (.zero, self) }
        if let small = d.asUInt64 {
            var q = self
            var r: UInt64 = 0
            (q.w3, r) = small.dividingFullWidth((r, w3))
            (q.w2, r) = small.dividingFullWidth((r, w2))
            (q.w1, r) = small.dividingFullWidth((r, w1))
            (q.w0, r) = small.dividingFullWidth((r, w0))
            return (q, U256(r))
        }
        let shift = bitWidth - d.bitWidth
        var divisor = d << shift
        var remainder = self
        var quotient = U256.zero
        for _ in 0...shift {
            quotient = quotient << 1
            let (next, under) = remainder.subtractingReportingOverflow(divisor)
            if !under {
                remainder = next
                quotient.w0 |= 1
            }
            divisor = divisor >> 1
        }
        return (quotient, remainder)
    }

    /// Shifts by any count; 256 and above give zero, negative counts are treated as zero.
    public static func << (a: U256, count: Int) -> U256 {
        if count >= 256 { return .zero }
        if count <= 0 { return a }
        var limbs = (a.w0, a.w1, a.w2, a.w3)
        for _ in 0..<(count >> 6) { limbs = (0, limbs.0, limbs.1, limbs.2) }
        let bits = UInt64(count & 63)
        if bits == 0 { return U256(limbs.0, limbs.1, limbs.2, limbs.3) }
        let back = 64 - bits
        return U256(
            limbs.0 << bits, limbs.1 << bits | limbs.0 >> back, limbs.2 << bits | limbs.1 >> back,
            limbs.3 << bits | limbs.2 >> back)
    }

    public static func >> (a: U256, count: Int) -> U256 {
        if count >= 256 { return .zero }
        if count <= 0 { return a }
        var limbs = (a.w0, a.w1, a.w2, a.w3)
        for _ in 0..<(count >> 6) { limbs = (limbs.1, limbs.2, limbs.3, 0) }
        let bits = UInt64(count & 63)
        if bits == 0 { return U256(limbs.0, limbs.1, limbs.2, limbs.3) }
        let back = 64 - bits
        return U256(
            limbs.0 >> bits | limbs.1 << back, limbs.1 >> bits | limbs.2 << back,
            limbs.2 >> bits | limbs.3 << back,
            limbs.3 >> bits)
    }

    @inlinable public static func & (a: U256, b: U256) -> U256 {
        U256(a.w0 & b.w0, a.w1 & b.w1, a.w2 & b.w2, a.w3 & b.w3)
    }
    @inlinable public static func | (a: U256, b: U256) -> U256 {
        U256(a.w0 | b.w0, a.w1 | b.w1, a.w2 | b.w2, a.w3 | b.w3)
    }
    @inlinable public static func ^ (a: U256, b: U256) -> U256 {
        U256(a.w0 ^ b.w0, a.w1 ^ b.w1, a.w2 ^ b.w2, a.w3 ^ b.w3)
    }
    @inlinable public static prefix func ~ (a: U256) -> U256 { U256(~a.w0, ~a.w1, ~a.w2, ~a.w3) }
}

extension U256: Comparable {
    @inlinable public static func < (a: U256, b: U256) -> Bool {
        if a.w3 != b.w3 { return a.w3 < b.w3 }
        if a.w2 != b.w2 { return a.w2 < b.w2 }
        if a.w1 != b.w1 { return a.w1 < b.w1 }
        return a.w0 < b.w0
    }
}

// MARK: Bytes and text

extension U256 {
    /// Reads 32 bytes, most significant first. The caller owes exactly 32 readable bytes.
    @inlinable public init(bigEndian bytes: UnsafeRawPointer) {
        self.init(
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 24, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 16, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self)),
            UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)))
    }

    /// Writes 32 bytes, most significant first.
    @inlinable public func storeBigEndian(to bytes: UnsafeMutableRawPointer) {
        bytes.storeBytes(of: w3.bigEndian, toByteOffset: 0, as: UInt64.self)
        bytes.storeBytes(of: w2.bigEndian, toByteOffset: 8, as: UInt64.self)
        bytes.storeBytes(of: w1.bigEndian, toByteOffset: 16, as: UInt64.self)
        bytes.storeBytes(of: w0.bigEndian, toByteOffset: 24, as: UInt64.self)
    }

    /// The 32 bytes, most significant first.
    public var bigEndianBytes: [UInt8] {
        [UInt8](unsafeUninitializedCapacity: 32) { buffer, count in
            storeBigEndian(to: UnsafeMutableRawPointer(buffer.baseAddress!))
            count = 32
        }
    }

    /// Reads an unsigned big-endian number of at most 32 bytes; nil when longer.
    public init?(bigEndianBytes bytes: some Collection<UInt8>) {
        guard bytes.count <= 32 else { return nil }
        self = .zero
        for byte in bytes { self = (self << 8) | U256(UInt64(byte)) }
    }

    /// Parses a hexadecimal quantity, with or without `0x`, 1 to 64 digits (leading zeroes count); nil otherwise.
    public init?(hex text: some StringProtocol) {
        let digits = text.utf8.starts(with: "0x".utf8) ? text.utf8.dropFirst(2) : text.utf8.dropFirst(0)
        guard !digits.isEmpty, digits.count <= 64 else { return nil }
        self = .zero
        for digit in digits {
            guard let nibble = Hex.value(of: digit) else { return nil }
            self = (self << 4) | U256(UInt64(nibble))
        }
    }

    /// `0x` and the digits without leading zeroes (`0x0` for zero): the form of a JSON-RPC quantity.
    public var hexQuantity: String {
        let full = Hex.encode(bigEndianBytes)
        let trimmed = full.drop(while: { $0 == "0" })
        return trimmed.isEmpty ? "0x0" : "0x" + trimmed
    }

    /// `0x` and 64 digits: the form of a storage word.
    public var hexWord: String { "0x" + Hex.encode(bigEndianBytes) }

    /// Decimal digits.
    public var decimal: String {
        var digits: [UInt8] = []
        var rest = self
        repeat {
            let (q, r) = rest.quotientAndRemainder(dividingBy: U256(10))
            digits.append(UInt8(truncatingIfNeeded: r.w0) + 48)
            rest = q
        } while !rest.isZero
        return String(decoding: digits.reversed(), as: UTF8.self)
    }

    /// Parses decimal digits; nil for anything else or a value of 2^256 and above.
    public init?(decimal text: some StringProtocol) {
        guard !text.isEmpty, text.utf8.count <= 78 else { return nil }
        var value = U256.zero
        let limit = U256.max.quotientAndRemainder(dividingBy: U256(10)).quotient
        for digit in text.utf8 {
            guard digit >= 48, digit <= 57, value <= limit else { return nil }
            let (next, over) = (value &* U256(10)).addingReportingOverflow(U256(UInt64(digit - 48)))
            if over { return nil }
            value = next
        }
        self = value
    }
}

extension U256: CustomStringConvertible {
    public var description: String { hexQuantity }
}

extension U256: ExpressibleByIntegerLiteral {
    @inlinable public init(integerLiteral value: UInt64) { self.init(value) }
}

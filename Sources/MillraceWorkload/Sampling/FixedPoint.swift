/// Logarithm and power of two in integers, so that a workload is the same on every machine and in every build: no libm, no
/// floating point. Spec 75.4.1.
///
/// Logarithms are Q32 (32 fraction bits, exact to one unit); powers come as a Q63 mantissa in [1, 2) and an exponent,
/// good to about 2^-58. That is far below what a sample of a workload can show.

enum FixedPoint {
    /// log2(n) in Q32; 0 for n = 0.
    static func log2(_ n: UInt64) -> UInt64 {
        if n == 0 { return 0 }
        let whole = UInt64(63 - n.leadingZeroBitCount)
        var fraction: UInt64 = 0
        // The mantissa as Q63 in [1, 2): squaring doubles the logarithm, whose next bit is then in front of the point.
        var x = n << UInt64(n.leadingZeroBitCount)
        for _ in 0..<32 {
            let square = x.multipliedFullWidth(by: x)
            fraction <<= 1
            if square.high >> 63 == 1 {
                fraction |= 1
                x = square.high
            } else {
                x = square.high << 1 | square.low >> 63
            }
        }
        return whole << 32 | fraction
    }

    /// 2^(q / 2^32) for a Q32 `q`, rounded down to an integer; 0 below one, 2^127 from there on.
    static func exp2(_ q: Int64) -> UInt128 {
        let exponent = q >> 32
        guard exponent >= 0 else { return 0 }
        guard exponent < 127 else { return 1 << 127 }
        let mantissa = UInt128(powers.mantissa(UInt32(truncatingIfNeeded: q)))
        return exponent >= 63 ? mantissa << UInt128(exponent - 63) : mantissa >> UInt128(63 - exponent)
    }

    private static let powers = PowerTable()
}

/// 2^f for every f with 32 fraction bits, as a product of four table entries of eight bits each.
private struct PowerTable: Sendable {
    /// `entries[256 j + k]` is 2^(k / 256^(j + 1)) in Q63.
    private let entries: [UInt64]

    init() {
        // 2^(1/2), 2^(1/4), … by square roots; a table entry is the product of those its bits name.
        var roots: [UInt64] = []
        var root: UInt128 = 1 << 64
        for _ in 0..<32 {
            root = PowerTable.squareRoot(root << 63)
            roots.append(UInt64(truncatingIfNeeded: root))
        }
        var entries: [UInt64] = []
        for byte in 0..<4 {
            for k in 0..<256 {
                var product: UInt64 = 1 << 63
                for bit in 0..<8 where k >> (7 - bit) & 1 == 1 {
                    product = PowerTable.multiply(product, roots[byte * 8 + bit])
                }
                entries.append(product)
            }
        }
        self.entries = entries
    }

    func mantissa(_ fraction: UInt32) -> UInt64 {
        let high = PowerTable.multiply(entries[Int(fraction >> 24)], entries[256 + Int(fraction >> 16 & 255)])
        let low = PowerTable.multiply(
            entries[512 + Int(fraction >> 8 & 255)], entries[768 + Int(fraction & 255)])
        return PowerTable.multiply(high, low)
    }

    /// Product of two Q63 numbers whose product is below 2.
    static func multiply(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high << 1 | product.low >> 63
    }

    /// The integer square root, bit by bit: used 32 times in a process.
    static func squareRoot(_ n: UInt128) -> UInt128 {
        var root: UInt128 = 0
        for bit in stride(from: 63, through: 0, by: -1) {
            let candidate = root | 1 << UInt128(bit)
            if candidate.multipliedReportingOverflow(by: candidate).overflow { continue }
            if candidate * candidate <= n { root = candidate }
        }
        return root
    }
}

/// Amounts that people choose end in decimal zeroes: 0.1 ether is 10^17. A multiple of 10^4 is coded as its zeroes and
/// what is left (Spec 30.4.6). Random amounts pay a hundredth of a bit for the question.

internal import MillraceBase

enum DecimalScale {
    /// Fewer zeroes than this are not worth naming.
    static var zeroesMin: Int { 4 }
    /// 2^256 has 78 digits; 6 bits name 4 to 67.
    static var zeroesMax: Int { 67 }

    /// Divides out the decimal zeroes at the end, up to `zeroesMax`, if there are `zeroesMin`; gives their number or 0.
    @inline(__always)
    static func strip(_ value: inout U256) -> Int {
        // A multiple of 10^4 is one of 2^4: one value in 16 goes on.
        if value.w0 & 15 != 0 { return 0 }
        return stripSlowly(&value)
    }

    private static func stripSlowly(_ value: inout U256) -> Int {
        var (rest, remainder) = divide(value, by: 10_000)
        if remainder != 0 || value.isZero { return 0 }
        var zeroes = 4
        while zeroes < zeroesMax, rest.w0 & 1 == 0 {
            let (next, digit) = divide(rest, by: 10)
            if digit != 0 { break }
            rest = next
            zeroes += 1
        }
        value = rest
        return zeroes
    }

    static func divide(_ value: U256, by divisor: UInt64) -> (U256, UInt64) {
        var quotient = U256.zero
        var rest: UInt64 = 0
        if value.w3 | value.w2 != 0 {
            (quotient.w3, rest) = divisor.dividingFullWidth((0, value.w3))
            (quotient.w2, rest) = divisor.dividingFullWidth((rest, value.w2))
        }
        (quotient.w1, rest) = divisor.dividingFullWidth((rest, value.w1))
        (quotient.w0, rest) = divisor.dividingFullWidth((rest, value.w0))
        return (quotient, rest)
    }

    /// `value` × 10^`zeroes`; nil when it does not fit or `value` itself could have been stripped further.
    static func scale(_ value: U256, by zeroes: Int) -> U256? {
        if zeroes < zeroesMax, divide(value, by: 10).1 == 0 { return nil }
        var result = value
        for _ in 0..<zeroes {
            // × 10 without overflow: below 2^252 always, above only while the top limb allows.
            if result.w3 > UInt64.max / 10 { return nil }
            let (next, over) = (result &* U256(8)).addingReportingOverflow(result &* U256(2))
            if over || next < result { return nil }
            result = next
        }
        return result
    }
}

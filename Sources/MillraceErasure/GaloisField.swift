/// The field GF(2^8) with the polynomial x^8 + x^4 + x^3 + x^2 + 1 (0x11D), whose element 2 generates it: the field of
/// ISA-L, so that both kernels compute the same bytes (Spec 40.5). Addition is exclusive or.
///
/// Single elements only, for coefficients; bytes in bulk go through the kernels.
public enum GaloisField {
    /// `powers[e]` = 2^e for e in 0..<510, so that a sum of two logarithms needs no reduction.
    static let powers: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 510)
        var element: UInt8 = 1
        for exponent in 0..<255 {
            table[exponent] = element
            table[exponent + 255] = element
            element = doubled(element)
        }
        return table
    }()

    /// `logarithms[a]`, with 2^logarithms[a] = a; the entry of 0 is unused.
    static let logarithms: [UInt8] = {
        var table = [UInt8](repeating: 0, count: 256)
        for exponent in 0..<255 { table[Int(powers[exponent])] = UInt8(exponent) }
        return table
    }()

    static func doubled(_ a: UInt8) -> UInt8 { a << 1 ^ (a & 0x80 != 0 ? 0x1D : 0) }

    public static func product(_ a: UInt8, _ b: UInt8) -> UInt8 {
        if a == 0 || b == 0 { return 0 }
        return powers[Int(logarithms[Int(a)]) + Int(logarithms[Int(b)])]
    }

    /// 1 / a. Zero has no inverse; asking for it is our own mistake and traps.
    public static func inverse(_ a: UInt8) -> UInt8 {
        precondition(a != 0, "zero has no inverse in GF(2^8)")
        return powers[255 - Int(logarithms[Int(a)])]
    }
}

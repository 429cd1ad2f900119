/// The code against a naive model written from the formula of Spec 40.5, its kernels against each other, and every
/// pattern of loss a small code can suffer.

import MillraceBase
import Testing

@testable import MillraceErasure

/// GF(2^8) by long multiplication: no tables to share a mistake with.
private func multiply(_ a: UInt8, _ b: UInt8) -> UInt8 {
    var sum: UInt16 = 0
    for bit in 0..<8 where b >> UInt8(bit) & 1 == 1 { sum ^= UInt16(a) << UInt16(bit) }
    for bit in stride(from: 15, through: 8, by: -1) where sum >> UInt16(bit) & 1 == 1 {
        sum ^= 0x11D << UInt16(bit - 8)
    }
    return UInt8(truncatingIfNeeded: sum)
}

/// A slice's symbols in memory of their own, with guard bytes behind them.
private final class Symbols {
    let code: ErasureCode
    let base: UnsafeMutableRawPointer

    init(_ code: ErasureCode, seed: UInt64) {
        self.code = code
        base = .allocate(byteCount: code.totalBytes + 64, alignment: 64)
        var generator = Seed(seed).generator("symbols")
        for i in 0..<(code.totalBytes + 64) {
            let random = UInt8(truncatingIfNeeded: generator.next())
            base.storeBytes(of: i < code.totalBytes ? random : 0xA5, toByteOffset: i, as: UInt8.self)
        }
    }

    deinit { base.deallocate() }

    var bytes: [UInt8] { Array(UnsafeRawBufferPointer(start: base, count: code.totalBytes)) }
    var isGuardIntact: Bool {
        UnsafeRawBufferPointer(start: base + code.totalBytes, count: 64).allSatisfy { $0 == 0xA5 }
    }

    func wipe(position: Int) {
        (base + position * code.symbolBytes).initializeMemory(
            as: UInt8.self, repeating: 0xEE, count: code.symbolBytes)
    }

    /// Forgets the symbols not in `have`.
    func keep(_ have: UInt64) {
        for stripe in 0..<48 {
            if let position = code.position(ofStripe: stripe), have >> UInt64(stripe) & 1 == 0 {
                wipe(position: position)
            }
        }
    }
}

private func code(_ k: Int, _ m: Int, _ bytes: Int) throws -> ErasureCode {
    try #require(ErasureCode(dataCount: k, parityCount: m, symbolBytes: bytes))
}

@Test func `products and inverses agree with long multiplication`() {
    for a in 0...255 {
        var wrong = 0
        for b in 0...255 where GaloisField.product(UInt8(a), UInt8(b)) != multiply(UInt8(a), UInt8(b)) {
            wrong += 1
        }
        #expect(wrong == 0, "factor \(a)")
        if a != 0 { #expect(multiply(UInt8(a), GaloisField.inverse(UInt8(a))) == 1) }
    }
}

@Test(arguments: Kernel.allCases, [1, 2, 7, 31, 32])
func `parity is the sum the specification writes`(kernel: Kernel, k: Int) throws {
    let code = try code(k, 16, 37)
    let symbols = Symbols(code, seed: UInt64(k))
    code.encode(symbols.base, kernel: kernel)
    let bytes = symbols.bytes
    for j in 0..<16 {
        var expected: [UInt8] = []
        for offset in 0..<37 {
            var sum: UInt8 = 0
            for i in 0..<k {
                let coefficient = GaloisField.inverse(UInt8(32 + j) ^ UInt8(i))
                sum ^= multiply(coefficient, bytes[i * 37 + offset])
            }
            expected.append(sum)
        }
        #expect(Array(bytes[((k + j) * 37)..<((k + j + 1) * 37)]) == expected)
    }
    #expect(symbols.isGuardIntact)
}

@Test(arguments: 0..<40 as Range<UInt64>)
func `both kernels make the same bytes, for any sizes and any loss`(seed: UInt64) throws {
    var generator = Seed(seed).generator("shape")
    let k = Int(generator.below(32)) + 1
    let m = Int(generator.below(17))
    let code = try code(k, m, Int(generator.below(1_191)))
    var have = code.allStripes
    for _ in 0..<generator.below(UInt64(m + 1)) {
        let stripe = generator.below(48)
        have &= ~(1 << stripe)
    }
    var results: [[UInt8]] = []
    for kernel in Kernel.allCases {
        let symbols = Symbols(code, seed: seed)
        code.encode(symbols.base, kernel: kernel)
        let whole = symbols.bytes
        symbols.keep(have)
        #expect(code.recover(symbols.base, have: have, kernel: kernel), "seed \(seed)")
        code.encode(symbols.base, stripes: ~have, kernel: kernel)
        #expect(symbols.bytes == whole, "seed \(seed), k \(k), m \(m), have \(String(have, radix: 16))")
        #expect(symbols.isGuardIntact, "seed \(seed)")
        results.append(whole)
    }
    #expect(Set(results).count == 1, "seed \(seed)")
}

@Test func `every pattern of K symbols out of 5 and 4 recovers all`() throws {
    let code = try code(5, 4, 9)
    let whole = Symbols(code, seed: 9)
    code.encode(whole.base)
    for pattern in 0..<(1 << 9) as Range<UInt64> {
        let have = pattern & 31 | (pattern >> 5) << 32
        let symbols = Symbols(code, seed: 9)
        code.encode(symbols.base)
        symbols.keep(have)
        let before = symbols.bytes
        let recovered = code.recover(symbols.base, have: have)
        #expect(recovered == (pattern.nonzeroBitCount >= 5))
        if recovered {
            #expect(symbols.bytes.prefix(5 * 9) == whole.bytes.prefix(5 * 9))
        } else {
            #expect(symbols.bytes == before, "a failed recovery wrote something")
        }
    }
}

@Test func `every loss of 16 data symbols in a run is recovered from 16 parity symbols`() throws {
    for k in [16, 17, 32] {
        let code = try code(k, 16, 64)
        for first in 0...(k - 16) {
            let symbols = Symbols(code, seed: 3)
            code.encode(symbols.base)
            let whole = symbols.bytes
            let have = code.allStripes & ~(0xFFFF << UInt64(first))
            symbols.keep(have)
            #expect(code.recover(symbols.base, have: have))
            #expect(symbols.bytes == whole)
        }
    }
}

@Test func `one parity row alone can be made`() throws {
    let code = try code(6, 5, 100)
    let symbols = Symbols(code, seed: 4)
    code.encode(symbols.base)
    let whole = symbols.bytes
    symbols.wipe(position: 6 + 3)
    code.encode(symbols.base, stripes: 1 << (32 + 3))
    #expect(symbols.bytes == whole)
}

@Test func `sizes beyond the limits are refused`() {
    #expect(ErasureCode(dataCount: 33, parityCount: 0, symbolBytes: 1) == nil)
    #expect(ErasureCode(dataCount: 1, parityCount: 17, symbolBytes: 1) == nil)
    #expect(ErasureCode(dataCount: -1, parityCount: 0, symbolBytes: 1) == nil)
    #expect(ErasureCode(dataCount: 1, parityCount: 0, symbolBytes: -1) == nil)
}

@Test func `stripes map to positions and nothing else does`() throws {
    let code = try code(3, 2, 1)
    let found = (-70..<70).compactMap { stripe in code.position(ofStripe: stripe).map { (stripe, $0) } }
    #expect(found.map(\.0) == [0, 1, 2, 32, 33])
    #expect(found.map(\.1) == [0, 1, 2, 3, 4])
    #expect(code.allStripes == 0x3_0000_0007)
    #expect(code.position(ofStripe: .min) == nil && code.position(ofStripe: .max) == nil)
}

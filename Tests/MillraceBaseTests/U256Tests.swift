import MillraceBase
import Testing

/// Naive arithmetic on 32 base-256 digits, least significant first.
private func naiveMultiply(_ a: U256, _ b: U256) -> U256 {
    let x = a.bigEndianBytes.reversed().map { Int($0) }
    let y = b.bigEndianBytes.reversed().map { Int($0) }
    var r = [Int](repeating: 0, count: 64)
    for i in 0..<32 {
        for j in 0..<32 { r[i + j] += x[i] * y[j] }
        for k in 0..<63 where r[k] > 255 {
            r[k + 1] += r[k] >> 8
            r[k] &= 255
        }
    }
    return U256(bigEndianBytes: r.prefix(32).reversed().map { UInt8($0) })!
}

private func random(_ generator: inout SeededGenerator) -> U256 {
    let word = U256(generator.next(), generator.next(), generator.next(), generator.next())
    return word >> Int(generator.below(257))
}

@Test(arguments: 1...4 as ClosedRange<UInt64>)
func `word arithmetic agrees with digit arithmetic`(seed: UInt64) {
    var generator = SeededGenerator(seed: seed)
    for _ in 0..<300 {
        let (a, b) = (random(&generator), random(&generator))
        #expect(a &* b == naiveMultiply(a, b), "seed \(seed)")
        #expect((a &+ b) &- b == a, "seed \(seed)")
        #expect(a.addingReportingOverflow(b).overflow == (a &+ b < a), "seed \(seed)")
        #expect(a.subtractingReportingOverflow(b).overflow == (a < b), "seed \(seed)")
        let (q, r) = a.quotientAndRemainder(dividingBy: b)
        if b.isZero {
            #expect(q.isZero && r.isZero)
        } else {
            #expect(r < b, "seed \(seed)")
            #expect((q &* b) &+ r == a, "seed \(seed): \(a) / \(b)")
        }
        #expect(U256(decimal: a.decimal) == a)
        #expect(U256(hex: a.hexQuantity) == a)
        #expect(U256(bigEndianBytes: a.bigEndianBytes) == a)
        let shift = Int(generator.below(300))
        #expect((a << shift) >> shift == (shift >= 256 ? .zero : a & (U256.max >> shift)))
        #expect((a == .zero) == (a.bitWidth == 0))
        if a.bitWidth > 0 { #expect((a >> (a.bitWidth - 1)) == .one) }
    }
}

@Test func `text that is not a word is refused`() {
    #expect(U256(decimal: U256.max.decimal) == .max)
    #expect(
        U256(decimal: "115792089237316195423570985008687907853269984665640564039457584007913129639936") == nil
    )
    for bad in ["", "-1", "+1", "1 ", "0x1", "９"] { #expect(U256(decimal: bad) == nil, "\(bad)") }
    for bad in ["", "0x", "0xg", "-0x1", "0x" + String(repeating: "0", count: 65)] {
        #expect(U256(hex: bad) == nil, "\(bad)")
    }
    #expect(U256(bigEndianBytes: [UInt8](repeating: 0, count: 33)) == nil)
}

@Test func `addresses and words convert as the EVM casts them`() {
    let address = Address(hex: "0x00112233445566778899aabbccddeeff01234567")!
    #expect(Address(truncating: address.word) == address)
    #expect(
        address.word.hexWord
            == "0x00000000000000000000000000112233445566778899aabbccddeeff01234567".dropLast(0))
    #expect(Address(truncating: .max).hex == "0xffffffffffffffffffffffffffffffffffffffff")
    #expect(Address(address.bytes) == address)
    #expect(Address(hex: "0x00") == nil)
}

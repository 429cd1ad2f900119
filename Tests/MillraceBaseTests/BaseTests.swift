import MillraceBase
import Testing

@Test func `time saturates instead of trapping`() {
    #expect(Instant.distantFuture + .seconds(1) == .distantFuture)
    #expect(Instant.zero - .seconds(1) == .zero)
    #expect(Instant.zero + Interval(nanoseconds: .min) == .zero)
    #expect(Instant.zero - Instant.distantFuture == Interval(nanoseconds: -.max))
    #expect(Interval.seconds(.max) == Interval(nanoseconds: .max))
    #expect(Interval.seconds(.min) == Interval(nanoseconds: .min))
    #expect(Interval(nanoseconds: .max) + .seconds(1) == Interval(nanoseconds: .max))
    #expect(Instant(nanoseconds: 5) - Instant(nanoseconds: 7) == .nanoseconds(-2))
}

@Test(arguments: [0, 1, 127, 128, 16_383, 16_384, UInt64(UInt32.max), .max - 1, .max])
func `a varint survives and is refused at every truncation`(value: UInt64) throws {
    var bytes: [UInt8] = []
    bytes.appendVarint(value)
    var reader = ByteReader(bytes.span.bytes)
    #expect(try reader.varint() == value)
    let ended = reader.isAtEnd
    #expect(ended)
    for cut in 0..<bytes.count {
        let part = Array(bytes.prefix(cut))
        var reader = ByteReader(part.span.bytes)
        var found: ByteError?
        do { _ = try reader.varint() } catch { found = error }
        #expect(found == .truncated, "cut at \(cut)")
    }
}

@Test(arguments: [
    [0x80, 0x00], [0xFF, 0x80, 0x00], [UInt8](repeating: 0xFF, count: 9) + [0x02],
    [UInt8](repeating: 0xFF, count: 11),
])
func `a varint that is not minimal or too long is malformed`(bytes: [UInt8]) {
    var reader = ByteReader(bytes.span.bytes)
    #expect(throws: ByteError.malformed) { try reader.varint() }
}

@Test func `fixed fields read back in the order written`() throws {
    var bytes: [UInt8] = []
    let address = Address(hex: "0x00112233445566778899aabbccddeeff01234567")!
    let word = U256(1, 2, 3, 4)
    bytes.append(7)
    bytes.appendLittleEndian(UInt16(0x0102))
    bytes.appendLittleEndian(UInt32(0x0304_0506))
    bytes.appendLittleEndian(UInt64(9))
    bytes.append(word)
    bytes.append(address)
    bytes += [1, 2, 3]
    var reader = ByteReader(bytes.span.bytes)
    #expect(try reader.u8() == 7)
    #expect(try reader.u16() == 0x0102)
    #expect(try reader.u32() == 0x0304_0506)
    #expect(try reader.u64() == 9)
    #expect(try reader.word() == word)
    #expect(try reader.address() == address)
    #expect(throws: ByteError.truncated) { try reader.u32() }
    #expect(try reader.array(3) == [1, 2, 3])
    #expect(throws: ByteError.truncated) { try reader.array(1) }
    #expect(throws: ByteError.truncated) { try reader.array(-1) }
}

@Test func `a ring keeps order, refuses when full and comes round`() {
    var ring = Ring<Int>(minimumCapacity: 16)
    var expected: [Int] = []
    var generator = SeededGenerator(seed: 3)
    for n in 0..<2_000 {
        if generator.below(2) == 0 {
            let accepted = ring.append(n)
            #expect(accepted == (expected.count < ring.capacity))
            if accepted { expected.append(n) }
        } else {
            #expect(ring.popFirst() == (expected.isEmpty ? nil : expected.removeFirst()))
        }
        #expect(ring.count == expected.count)
    }
}

@Test func `the generator repeats itself, draws evenly and splits by purpose`() {

    var generator = SeededGenerator(seed: 0)
    var again = SeededGenerator(seed: 0)
    #expect((0..<10).map { _ in generator.next() } == (0..<10).map { _ in again.next() })
    var counts = [Int](repeating: 0, count: 10)
    for _ in 0..<100_000 { counts[Int(generator.below(10))] += 1 }
    #expect(counts.allSatisfy { (9_500...10_500).contains($0) })
    #expect(generator.below(0) == 0)
    let seed = Seed(1)
    var a = seed.generator("loss"), b = seed.generator("jitter"), c = seed.generator("loss", 1)
    let draws = [a.next(), b.next(), c.next()]
    #expect(Set(draws).count == 3)
}

@Test func `JSON comes out in order, escaped and without needless digits`() {
    let value = JSON.object([
        ("b", .array([.integer(-1), .unsigned(.max), .null, .bool(true)])),
        ("a", .string("q\"\\\n\u{1}é")),
        ("n", .array([.number(1), .number(-0.25), .number(2.0 / 3), .number(.nan), .number(-0.0001)])),
        ("e", .object([])),
    ])
    #expect(
        value.text()
            == #"{"b":[-1,18446744073709551615,null,true],"a":"q\"\\\n\u0001é","n":[1,-0.25,0.667,null,0],"e":{}}"#
    )
    #expect(JSON.array([.integer(1)]).text(pretty: true) == "[\n  1\n]")
}

@Test func `hexadecimal text is strict`() {
    #expect(Hex.decode("0x00fF") == [0, 255])
    #expect(Hex.encode([0, 255]) == "00ff")
    for bad in ["0", "zz", "0x0", " 00"] { #expect(Hex.decode(bad) == nil, "\(bad)") }
}

import MillraceBase
import Testing

@testable import MillraceCrypto

@Suite struct `Keccak-256` {
    /// Bytes 0x00, 0x01, … as the NIST examples and many others use them.
    static func counting(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0) } }

    @Test(arguments: [
        ("", "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"),
        ("abc", "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"),
        ("testing", "5f16f4c7f149ac4f9510d9cf8cf384038ad348b3bcdc01915f95de12df9d1b02"),
        ("transfer(address,uint256)", "a9059cbb2ab09eb219583f4a59a5d0623ade346d962bcd4e46b11da047c9049b"),
        (
            "Transfer(address,address,uint256)",
            "ddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef"
        ),
    ])
    func `Ethereum's well-known hashes come out`(_ text: String, _ expected: String) {
        #expect(Keccak256.hash(Array(text.utf8)).hex == "0x" + expected)
    }

    @Test func `the empty hash is the constant`() {
        #expect(Keccak256.hash([]) == Keccak256.emptyHash)
    }

    /// FIPS 202's function over the same permutation and padding, one byte apart: NIST's example values.
    @Test(arguments: [
        ("", "a7ffc6f8bf1ed76651c14756a061d662f580ff4de43b49fa82d80a4b80f8434a"),
        ("abc", "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"),
        (
            "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
            "41c0dba2a9d6240849100376a8235e2c82e1b9998a999e21db32dd97496d3376"
        ),
        (
            "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmnopqrsmnopqrstnopqrstu",
            "916f6061fe879741ca6469b43971dfdb28b1a32dc36cb3254e812be27aad1d18"
        ),
    ])
    func `with SHA-3's padding byte NIST's examples come out`(_ text: String, _ expected: String) {
        var bytes = Array(text.utf8)
        bytes.append(0)
        let digest = bytes.withUnsafeBytes { Sponge.hash($0.baseAddress!, count: $0.count - 1, domain: 0x06) }
        #expect(digest.hex == "0x" + expected)
    }

    @Test func `NIST's 1,600 bits of 0xA3 come out`() {
        let bytes = [UInt8](repeating: 0xA3, count: 200)
        let digest = bytes.withUnsafeBytes { Sponge.hash($0.baseAddress!, count: 200, domain: 0x06) }
        #expect(digest.hex == "0x79f38adec5c20307a98ef76e8324afbfd46cfd81b22e3973c65fa1bd9de31787")
    }

    @Test func `lengths around the block boundary agree with a byte-wise model`() {
        for count in [0, 1, 7, 8, 63, 64, 127, 134, 135, 136, 137, 271, 272, 273, 1000] {
            let bytes = Self.counting(count)
            #expect(Keccak256.hash(bytes) == naiveKeccak(bytes), "count \(count)")
        }
    }

    @Test func `a mapping's slot is the hash of key and base`() {
        var generator = Seed(7).generator("slots")
        for _ in 0..<50 {
            func word() -> U256 {
                U256(generator.next(), generator.next(), generator.next(), generator.next())
            }
            let (key, base, inner) = (word(), word(), word())
            let slot = Keccak256.mappingSlot(key: key, base: base)
            #expect(slot == Keccak256.hash(key.bigEndianBytes + base.bigEndianBytes).word)
            #expect(
                Keccak256.nestedSlot(base: base, outer: key, inner: inner)
                    == Keccak256.hash(inner.bigEndianBytes + slot.bigEndianBytes).word)
        }
        // A fact to hold on to: mapping at slot 0, key 0.
        #expect(
            Keccak256.mappingSlot(key: .zero, base: .zero).hexWord
                == "0xad3228b676f7d3cd4284a5443f17f1962b36e491b30a40b2405849e597ba5fb5")
    }
}

/// Keccak straight from FIPS 202's definitions: bits of the LFSR, loops over x and y.
private func naiveKeccak(_ bytes: [UInt8]) -> Hash32 {
    var message = bytes + [1]
    while message.count % 136 != 0 { message.append(0) }
    message[message.count - 1] ^= 0x80
    var a = [[UInt64]](repeating: [UInt64](repeating: 0, count: 5), count: 5)  // a[x][y]
    func turn(_ v: UInt64, _ n: Int) -> UInt64 {
        n % 64 == 0 ? v : v << UInt64(n % 64) | v >> UInt64(64 - n % 64)
    }
    for start in stride(from: 0, to: message.count, by: 136) {
        for i in 0..<136 { a[(i / 8) % 5][(i / 8) / 5] ^= UInt64(message[start + i]) << UInt64(8 * (i % 8)) }
        var register: UInt8 = 1
        for _ in 0..<24 {
            let c = (0..<5).map { x in a[x].reduce(0, ^) }
            for x in 0..<5 { for y in 0..<5 { a[x][y] ^= c[(x + 4) % 5] ^ turn(c[(x + 1) % 5], 1) } }
            var b = a
            var (x, y) = (1, 0)
            b[0][0] = a[0][0]
            for t in 0..<24 {
                b[y][(2 * x + 3 * y) % 5] = turn(a[x][y], (t + 1) * (t + 2) / 2)
                (x, y) = (y, (2 * x + 3 * y) % 5)
            }
            for x in 0..<5 { for y in 0..<5 { a[x][y] = b[x][y] ^ (~b[(x + 1) % 5][y] & b[(x + 2) % 5][y]) } }
            for j in 0...6 {
                if register & 1 == 1 { a[0][0] ^= 1 << UInt64((1 << j) - 1) }
                register = register << 1 ^ (register & 0x80 != 0 ? 0x71 : 0)
            }
        }
    }
    let digest = (0..<4).flatMap { x in (0..<8).map { UInt8(truncatingIfNeeded: a[x][0] >> UInt64(8 * $0)) } }
    return Hash32(digest)!
}

@Suite struct `BLAKE2b` {
    @Test func `the digest of abc is that of b2sum`() {
        // `printf abc | b2sum -l 256`
        #expect(
            Blake2b.hash(Array("abc".utf8)).hex
                == "0xbddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319")
        #expect(
            Blake2b.hash([]).hex == "0x0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8")
    }

    @Test func `every form gives the same digest`() {
        var generator = Seed(3).generator("bytes")
        for count in [0, 1, 64, 127, 128, 129, 1000] {
            let bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            let expected = Blake2b.hash(bytes)
            #expect(Blake2b.hash(bytes.span.bytes) == expected)
            var raw = [UInt8](repeating: 0, count: 32)
            (bytes + [0]).withUnsafeBytes { input in
                raw.withUnsafeMutableBytes {
                    Blake2b.hash(input.baseAddress!, count: count, into: $0.baseAddress!)
                }
            }
            #expect(Hash32(raw) == expected)
            var stream = Blake2bStream()
            let cut = count / 3
            stream.update(Array(bytes[..<cut]))
            stream.update(Array(bytes[cut...]))
            #expect(stream.finish() == expected)
            var keyed = Blake2bStream(key: expected)
            keyed.update(bytes)
            #expect(keyed.finish() == Blake2b.hash(bytes.span.bytes, key: expected))
            #expect(Blake2b.hash(bytes.span.bytes, key: expected) != expected)
        }
    }

    @Test func `a short digest is not a prefix of a long one`() {
        let bytes = Array("shred".utf8)
        let key = Blake2b.hash(bytes)
        var short = [UInt8](repeating: 0, count: 12)
        bytes.withUnsafeBytes { input in
            short.withUnsafeMutableBytes {
                Blake2b.truncated(
                    input.baseAddress!, count: input.count, key: key, digestBytes: 12, into: $0.baseAddress!)
            }
        }
        #expect(short != Array(Blake2b.hash(bytes.span.bytes, key: key).bytes[..<12]))
        #expect(short.contains { $0 != 0 })
    }
}

@Suite struct `SipHash-2-4` {
    @Test func `the authors' vector comes out`() {
        // Appendix A of the paper: key 00…0f, input 00…0e.
        let hash = SipHash24(0x0706_0504_0302_0100, 0x0F0E_0D0C_0B0A_0908)
        let input = (0..<15).map { UInt8($0) }
        #expect(input.withUnsafeBytes { hash.hash($0) } == 0xA129_CA61_49BE_45E5)
        #expect([UInt8]().withUnsafeBytes { hash.hash($0) } == 0x726F_DB47_DD0E_0E31)
    }
}

@Test func `four Keccak permutations at a time are four single ones`() {
    var random = Seed(5).generator("keccak.tests")
    for count in 0...9 {
        let keys = (0..<count).map { _ in U256(random.next(), random.next(), random.next(), random.next()) }
        let bases = (0..<count).map { _ in U256(random.next(), random.next(), random.next(), random.next()) }
        var slots = [U256](repeating: .zero, count: count)
        slots.withUnsafeMutableBufferPointer { slots in
            guard let into = slots.baseAddress else { return }
            keys.withUnsafeBufferPointer { keys in
                bases.withUnsafeBufferPointer { bases in
                    guard let keys = keys.baseAddress, let bases = bases.baseAddress else { return }
                    Keccak256.mappingSlots(keys: keys, bases: bases, count: count, into: into)
                }
            }
        }
        #expect(slots == zip(keys, bases).map { Keccak256.mappingSlot(key: $0, base: $1) })
    }
}

import MillraceBase
import MillraceTestSupport
import Testing

@testable import MillraceCrypto

@Suite struct `Noise` {
    /// Two sides with the keys of a vector.
    static func sides(_ vector: VectorFile) throws -> (NoiseHandshake, NoiseHandshake) {
        func pair(_ field: String) throws -> StaticKeyPair {
            let bytes = try #require(vector.hex(field))
            return try #require(StaticKeyPair(privateKey: bytes))
        }
        let pattern: NoiseHandshake.Pattern =
            vector["protocol"] == "Noise_IK_25519_ChaChaPoly_SHA256" ? .ik : .xx
        let prologue = try #require(vector.hex("prologue"))
        let responder = try pair("responderStatic")
        if let expected = vector.hex("responderPublic") { #expect(responder.publicKey.bytes == expected) }
        let a = NoiseHandshake(
            pattern: pattern, role: .initiator, prologue: prologue, identity: try pair("initiatorStatic"),
            remoteStatic: pattern == .ik ? responder.publicKey : nil,
            ephemeral: try pair("initiatorEphemeral"))
        let b = NoiseHandshake(
            pattern: pattern, role: .responder, prologue: prologue, identity: responder,
            ephemeral: try pair("responderEphemeral"))
        return (a, b)
    }

    @Test(arguments: ["ik", "xx"])
    func `the public vector comes out byte for byte`(_ name: String) throws {
        let vector = try #require(VectorFile.all("noise").first { $0.name == name })
        var (a, b) = try Self.sides(vector)
        var index = 0
        while !a.isComplete {
            let payload = try #require(vector.hex("payload\(index)"))
            let expected = try #require(vector.hex("message\(index)"))
            let message = a.isOurTurn ? try a.write(payload: payload) : try b.write(payload: payload)
            #expect(message == expected, "message \(index)")
            let received = index % 2 == 0 ? try b.read(message) : try a.read(message)
            #expect(received == payload)
            index += 1
        }
        #expect(b.isComplete)
        #expect(a.handshakeHash == b.handshakeHash)
        #expect(a.handshakeHash.bytes == vector.bytes)
        let (aKeys, bKeys) = (a.transportKeys(), b.transportKeys())
        var counters: [UInt64] = [0, 0]
        while let payload = vector.hex("payload\(index)"), let expected = vector.hex("message\(index)") {
            let fromA = index % 2 == 0
            let counter = counters[index % 2]
            counters[index % 2] += 1
            var text = payload + [UInt8](repeating: 0, count: 16)
            text.withUnsafeMutableBytes { bytes in
                let base = bytes.baseAddress!
                let key = fromA ? aKeys.sending : bKeys.sending
                key.seal(base, count: payload.count, counter: counter, ad: base, adCount: 0)
            }
            #expect(text == expected, "message \(index)")
            let opened = text.withUnsafeMutableBytes { bytes in
                let base = bytes.baseAddress!
                let key = fromA ? bKeys.receiving : aKeys.receiving
                return key.open(base, count: bytes.count, counter: counter, ad: base, adCount: 0)
            }
            #expect(opened && Array(text.prefix(payload.count)) == payload)
            index += 1
        }
        #expect(index == 6)
    }

    @Test(arguments: ["ik", "xx"])
    func `a message cut at any byte or with any bit flipped is refused and changes nothing`(_ name: String)
        throws
    {
        let vector = try #require(VectorFile.all("noise").first { $0.name == name })
        var (a, b) = try Self.sides(vector)
        var index = 0
        while !a.isComplete {
            let payload: [UInt8] = [1, 2, 3]
            let message = a.isOurTurn ? try a.write(payload: payload) : try b.write(payload: payload)
            let reader = index % 2 == 0 ? b : a
            // XX's first message carries no tag: any 32 bytes and more are one.
            let isOpen = name == "xx" && index == 0
            for count in 0..<(isOpen ? 32 : message.count) {
                var probe = reader
                #expect(throws: NoiseError.self) { _ = try probe.read(Array(message[..<count])) }
                #expect(probe.handshakeHash == reader.handshakeHash)
            }
            if !isOpen {
                // Bit 255 of a public key is ignored by X25519, but the transcript covers it.
                for bit in 0..<(message.count * 8) {
                    var flipped = message
                    flipped[bit / 8] ^= 1 << UInt8(bit % 8)
                    var probe = reader
                    #expect(throws: NoiseError.self) { _ = try probe.read(flipped) }
                }
            }
            #expect(try (index % 2 == 0 ? b.read(message) : a.read(message)) == payload)
            index += 1
        }
        #expect(
            a.remoteStatic
                == vector.hex("responderStatic").flatMap { StaticKeyPair(privateKey: $0) }?.publicKey)
        #expect(
            b.remoteStatic
                == vector.hex("initiatorStatic").flatMap { StaticKeyPair(privateKey: $0) }?.publicKey)
    }

    @Test func `another prologue makes another protocol`() throws {
        let (mine, yours) = (key(1), key(2))
        var a = NoiseHandshake(
            pattern: .ik, role: .initiator, prologue: [1], identity: mine, remoteStatic: yours.publicKey,
            ephemeral: key(3))
        var b = NoiseHandshake(
            pattern: .ik, role: .responder, prologue: [2], identity: yours, ephemeral: key(4))
        let message = try a.write(payload: [])
        #expect(throws: NoiseError.notGenuine) { _ = try b.read(message) }
    }

    @Test func `a key of small order is refused`() throws {
        // The points of order 1, 2, 4 and 8 of RFC 7748's curve, as the literature lists them.
        let small = [
            "0000000000000000000000000000000000000000000000000000000000000000",
            "0100000000000000000000000000000000000000000000000000000000000000",
            "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
            "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
            "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        ]
        for text in small {
            let bad = try #require(Hex.decode(text).flatMap { PublicKey($0) })
            var a = NoiseHandshake(
                pattern: .ik, role: .initiator, prologue: [], identity: key(1), remoteStatic: bad,
                ephemeral: key(3))
            #expect(throws: NoiseError.badKey) { _ = try a.write(payload: []) }
            var b = NoiseHandshake(
                pattern: .ik, role: .responder, prologue: [], identity: key(2), ephemeral: key(4))
            #expect(throws: NoiseError.badKey) {
                _ = try b.read(bad.bytes + [UInt8](repeating: 0, count: 64))
            }
        }
    }

    func key(_ n: UInt64) -> StaticKeyPair { StaticKeyPair(privateKey: Hash32(word: U256(n))) }
}

@Suite struct `Keys and streams` {
    @Test func `the RFC 7748 key pairs and secret come out`() throws {
        // Section 6.1, Alice and Bob.
        func pair(_ text: String) throws -> StaticKeyPair {
            try #require(Hex.decode(text).flatMap { StaticKeyPair(privateKey: $0) })
        }
        let alice = try pair("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a")
        let bob = try pair("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
        #expect(
            Hex.encode(alice.publicKey.bytes)
                == "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
        #expect(
            Hex.encode(bob.publicKey.bytes)
                == "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")
        let secret = "0x4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
        #expect(alice.sharedSecret(with: bob.publicKey)?.hex == secret)
        #expect(bob.sharedSecret(with: alice.publicKey)?.hex == secret)
    }

    @Test(arguments: [
        ("", ""), ("f", "my"), ("fo", "mzxq"), ("foo", "mzxw6"), ("foob", "mzxw6yq"), ("fooba", "mzxw6ytb"),
        ("foobar", "mzxw6ytboi"),
    ])
    func `the RFC 4648 strings come out in lower case without padding`(_ plain: String, _ text: String) {
        #expect(Base32.encode(Array(plain.utf8)) == text)
        #expect(Base32.decode(text) == Array(plain.utf8))
    }

    @Test(arguments: ["MY", "my======", "m", "mzx", "mzxw6y", "mz", "m1", "m8", "mzxw6ytbo", "m y", "é"])
    func `any other spelling is refused`(_ text: String) {
        #expect(Base32.decode(text) == nil)
    }

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `a public key survives its text`(_ seed: UInt64) {
        var stream = SecretStream(Seed(seed), purpose: "keys")
        let key = StaticKeyPair(privateKey: stream.next32()).publicKey
        #expect(key.description.utf8.count == 52)
        #expect(PublicKey(base32: key.description) == key)
    }

    @Test func `streams of a seed are repeatable and apart by purpose and index`() {
        func draws(_ purpose: StaticString, _ index: UInt64) -> [UInt64] {
            var stream = SecretStream(Seed(9), purpose: purpose, index: index)
            return (0..<100).map { _ in stream.next() }
        }
        #expect(draws("a", 0) == draws("a", 0))
        let all = draws("a", 0) + draws("a", 1) + draws("b", 0)
        #expect(Set(all).count == 300)
    }

    @Test func `a sealed text opens only unchanged, with its counter and its associated data`() {
        let key = SealingKey(Blake2b.hash([1]))
        let plain = Array("shred".utf8)
        let ad: [UInt8] = [7, 7]
        func attempt(_ change: (inout [UInt8]) -> Void, counter: UInt64 = 5, ad other: [UInt8] = [7, 7])
            -> [UInt8]?
        {
            var text = plain + [UInt8](repeating: 0, count: 16)
            text.withUnsafeMutableBytes { bytes in
                ad.withUnsafeBytes {
                    key.seal(
                        bytes.baseAddress!, count: plain.count, counter: 5, ad: $0.baseAddress!, adCount: 2)
                }
            }
            change(&text)
            let count = text.count
            let opened = text.withUnsafeMutableBytes { bytes in
                other.withUnsafeBytes {
                    key.open(
                        bytes.baseAddress!, count: count, counter: counter, ad: $0.baseAddress!, adCount: 2)
                }
            }
            return opened ? Array(text.prefix(max(count - 16, 0))) : nil
        }
        #expect(attempt({ _ in }) == plain)
        #expect(attempt({ _ in }, counter: 6) == nil)
        #expect(attempt({ _ in }, ad: [7, 8]) == nil)
        for i in 0..<21 { #expect(attempt({ $0[i] ^= 1 }) == nil) }
        for count in 0..<21 { #expect(attempt({ $0.removeLast(21 - count) }) == nil) }
    }
}

import MillraceBase
import MillraceCrypto
import Testing

@Suite struct `Ed25519` {
    /// RFC 8032, section 7.1: seed, public key, message, signature.
    static let vectors: [(String, String, String, String)] = [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
                + "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
                + "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac"
                + "18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"
        ),
    ]

    @Test(arguments: vectors)
    func `the RFC's keys and signatures come out`(
        _ seed: String, _ publicKey: String, _ message: String, _ signature: String
    ) throws {
        let key = try #require(Hex.decode(seed).flatMap { SigningKey(seed: $0) })
        let bytes = try #require(Hex.decode(message))
        #expect(Hex.encode(key.verifyingKey.bytes) == publicKey)
        let signed = key.sign(bytes)
        #expect(Hex.encode(signed.bytes) == signature)
        #expect(key.verifyingKey.isValid(signed, over: bytes))
        #expect(!key.verifyingKey.isValid(signed, over: bytes + [0]))
    }

    @Test func `one flipped bit anywhere in the signature is refused`() throws {
        let key = SigningKey(seed: Hash32(word: U256(5)))
        let message = Array("mini-block".utf8)
        let good = key.sign(message).bytes
        for bit in 0..<512 {
            var bad = good
            bad[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(!key.verifyingKey.isValid(try #require(Signature(bad)), over: message))
        }
    }

    @Test func `S plus the group order is refused so a signature has one form`() throws {
        let key = SigningKey(seed: Hash32(word: U256(6)))
        let message = Array("mini-block".utf8)
        let good = key.sign(message)
        let order = try #require(
            U256(hex: "1000000000000000000000000000000014def9dea2f79cd65812631a5cf5d3ed"))
        let s = U256(bigEndian: Array(good.s.bytes.reversed()))
        let malleated = (s &+ order).bigEndianBytes.reversed()
        let bad = try #require(Signature(good.r.bytes + malleated))
        #expect(!key.verifyingKey.isValid(bad, over: message))
    }

    @Test func `a secret key prints nothing of itself`() {
        let seed = Hash32(word: U256(0x1234_5678_9ABC_DEF0))
        #expect(!"\(SigningKey(seed: seed))".contains("123456789abcdef0"))
    }
}

extension U256 {
    fileprivate init(bigEndian bytes: [UInt8]) {
        self = bytes.withUnsafeBytes { U256(bigEndian: $0.baseAddress!) }
    }
}

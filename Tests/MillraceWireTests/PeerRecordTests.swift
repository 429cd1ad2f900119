/// Peer records: one encoding, total decoding, a signature that binds the session key, and every rule of Spec 65.2.

import MillraceBase
import MillraceCrypto
import MillraceTestSupport
import MillraceWire
import Testing

private let testKey = SigningKey(seed: Hash32(word: U256(42)))
private let ipv4 = PeerAddress(ipv4: 0xC000_0207, port: 9_700)
private let ipv6 = PeerAddress(high: 0x2001_0DB8_0000_0001, low: 7, port: 9_701)

private func sample(second: PeerAddress? = nil) -> PeerRecord {
    var record = PeerRecord(
        key: testKey.verifyingKey, address: ipv4, chainID: 6_342, epoch: 7,
        issuedAtMicroseconds: 1_700_000_000_000_000, lifetimeSeconds: 21_600)
    record.cadences = 0b0011
    record.childrenFree = 60
    record.secondAddress = second
    record.sign(with: testKey)
    return record
}

private func outcome(_ bytes: [UInt8]) -> String {
    do throws(WireError) {
        let record = try PeerRecord.decode(bytes.span.bytes)
        return record.isGenuine ? "ok" : "badSignature"
    } catch { return error.rawValue }
}

@Suite struct PeerRecordTests {
    @Test(arguments: [nil, ipv6])
    func `a record comes back as it was`(second: PeerAddress?) throws {
        let record = sample(second: second)
        let bytes = record.encoded
        #expect(bytes.count == (second == nil ? 146 : 164))
        #expect(bytes.count == record.encodedBytes && bytes.count <= PeerRecordLimits.recordBytesMax)
        let decoded = try PeerRecord.decode(bytes.span.bytes)
        #expect(decoded == record)
        #expect(decoded.encoded == bytes)
        #expect(decoded.isGenuine)
        #expect(decoded.sessionKey == testKey.agreementKeys.publicKey)
    }

    @Test func `a record cut anywhere is truncated and no flipped bit goes unnoticed`() throws {
        let bytes = sample(second: ipv6).encoded
        for count in 0..<bytes.count { #expect(outcome(Array(bytes.prefix(count))) == "truncated") }
        for bit in 0..<(bytes.count * 8) {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(outcome(changed) != "ok", "bit \(bit)")
        }
    }

    @Test func `nobody can sign for the session key of another`() throws {
        var record = sample()
        let other = SigningKey(seed: Hash32(word: U256(43)))
        record.key = other.verifyingKey
        record.sign(with: other)
        #expect(record.isGenuine)
        #expect(record.sessionKey != testKey.agreementKeys.publicKey)
        // Points of small order have no session key.
        for low in [UInt64(0), 1] {
            var bytes = [UInt8](repeating: 0, count: 32)
            bytes[0] = UInt8(low)
            #expect(VerifyingKey(try #require(Hash32(bytes))).agreementKey == nil)
        }
    }

    @Test func `the session keys made from a signing key agree with those made from its public half`() {
        for i in 0..<50 as Range<UInt64> {
            let key = SigningKey(seed: Hash32(word: U256(i)))
            #expect(key.verifyingKey.agreementKey == key.agreementKeys.publicKey)
        }
    }

    @Test func `several records are read one behind the other, and no other count of them`() throws {
        let records = [sample(), sample(second: ipv6), sample()]
        let bytes = records.flatMap(\.encoded)
        #expect(try PeerRecord.decodeAll(bytes.span.bytes, count: 3) == records)
        #expect(throws: WireError.trailing) { try PeerRecord.decodeAll(bytes.span.bytes, count: 2) }
        #expect(throws: WireError.truncated) { try PeerRecord.decodeAll(bytes.span.bytes, count: 4) }
    }

    @Test func `record vectors`() throws {
        if VectorFile.isWriting { try writeVectors() }
        for vector in try VectorFile.all("record") {
            #expect(outcome(vector.bytes) == vector.expect, "\(vector.name)")
            if let key = vector["sessionKey"] {
                let record = try PeerRecord.decode(vector.bytes.span.bytes)
                #expect(record.sessionKey?.description == key, "\(vector.name)")
                #expect(record.encoded == vector.bytes, "\(vector.name)")
            }
        }
    }

    private func writeVectors() throws {
        func write(_ name: String, _ expect: String, _ why: String, _ bytes: [UInt8], key: Bool = false)
            throws
        {
            var fields = [("expect", expect), ("why", why)]
            if key { fields.append(("sessionKey", testKey.agreementKeys.publicKey.description)) }
            try VectorFile(name: name, fields: fields, bytes: bytes).write(area: "record")
        }
        func changed(_ change: (inout PeerRecord) -> Void) -> [UInt8] {
            var record = sample()
            change(&record)
            record.sign(with: testKey)
            return record.encoded
        }
        func changed(at offset: Int, to byte: UInt8) -> [UInt8] {
            var bytes = sample().encoded
            bytes[offset] = byte
            return bytes
        }
        try write("one-address", "ok", "an IPv4 relay", sample().encoded, key: true)
        try write("two-addresses", "ok", "both families", sample(second: ipv6).encoded, key: true)
        try write("cut", "truncated", "the signature ends early", Array(sample().encoded.dropLast()))
        try write("longer", "trailing", "one byte follows", sample().encoded + [0])
        try write(
            "version-2", "unknownVersion", "a layout this chapter does not describe", changed(at: 0, to: 2))
        try write("role-3", "outOfRange", "no such role", changed(at: 1, to: 3))
        try write("cadences-16", "outOfRange", "a cadence that does not exist", changed(at: 2, to: 16))
        try write("no-address", "outOfRange", "a node that is nowhere", changed(at: 3, to: 0))
        try write("three-addresses", "outOfRange", "more addresses than families", changed(at: 3, to: 3))
        try write("issued-late", "outOfRange", "issued at 2^56 µs", changed(at: 23, to: 1))
        try write("lifetime-short", "outOfRange", "59 seconds", changed { $0.lifetimeSeconds = 59 })
        try write(
            "lifetime-long", "outOfRange", "a week and a second", changed { $0.lifetimeSeconds = 604_801 })
        try write("reserved", "reserved", "a reserved byte that is not zero", changed(at: 30, to: 1))
        try write("port-0", "outOfRange", "an address without a port", changed { $0.address.port = 0 })
        try write(
            "families", "inconsistent", "two IPv4 addresses",
            changed { $0.secondAddress = PeerAddress(ipv4: 0xC000_0208, port: 1) })
        try write(
            "signature-flipped", "badSignature", "decodes; the key did not sign it",
            changed(at: 145, to: sample().encoded[145] ^ 1))
    }
}

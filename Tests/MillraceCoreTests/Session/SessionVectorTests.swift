import Foundation
import MillraceBase
import MillraceCrypto
import MillraceTestSupport
import Testing

@testable import MillraceCore

/// The datagrams of chapter 50, each made here from the fields of its vector and compared, then handed to a table.
/// `MILLRACE_WRITE_VECTORS=1` writes the files anew.
@Suite struct `Session vectors` {
    static func key(_ name: String) -> Hash32 { Blake2b.hash(Array("millrace vector \(name)".utf8)) }
    static let initiator = StaticKeyPair(privateKey: key("initiator"))
    static let responder = StaticKeyPair(privateKey: key("responder"))
    static let initiatorEphemeral = StaticKeyPair(privateKey: key("initiator ephemeral"))
    static let responderEphemeral = StaticKeyPair(privateKey: key("responder ephemeral"))
    static let chainID: UInt64 = 4_326
    static let prologue = SessionConfig.prologue(chainID: chainID)
    static let (initiatorID, responderID): (UInt32, UInt32) = (0xABCD_0000, 0x1234_0005)
    static let timestamp: UInt64 = 1_790_000_000_000_000

    /// Both handshakes played through, as datagrams, and the keys of IK.
    static func play(_ pattern: NoiseHandshake.Pattern) throws -> ([[UInt8]], SealingKey, NoiseHandshake) {
        let isIK = pattern == .ik
        var a = NoiseHandshake(
            pattern: pattern, role: .initiator, prologue: prologue, identity: initiator,
            remoteStatic: isIK ? responder.publicKey : nil, ephemeral: initiatorEphemeral)
        var b = NoiseHandshake(
            pattern: pattern, role: .responder, prologue: prologue, identity: responder,
            ephemeral: responderEphemeral)
        let toResponder = HandshakeWire.mac1Key(to: responder.publicKey, prologue: prologue)
        let toInitiator = HandshakeWire.mac1Key(to: initiator.publicKey, prologue: prologue)
        let toNobody = HandshakeWire.mac1Key(to: .unknown, prologue: prologue)
        let said = InitPayload(timestamp: timestamp, replaces: 0).bytes
        var datagrams: [[UInt8]] = []
        let first = try a.write(payload: isIK ? said : HandshakeWire.xxInitPadding)
        datagrams.append(
            HandshakeWire.datagram(
                isIK ? .ikInit : .xxInit, sender: initiatorID, receiver: nil, noise: first,
                mac1Key: isIK ? toResponder : toNobody))
        _ = try b.read(first)
        let second = try b.write(payload: ResponsePayload(isContinued: false).bytes)
        datagrams.append(
            HandshakeWire.datagram(
                isIK ? .ikResponse : .xxResponse, sender: responderID, receiver: initiatorID, noise: second,
                mac1Key: isIK ? toInitiator : toNobody))
        _ = try a.read(second)
        if !isIK {
            let third = try a.write(payload: said)
            datagrams.append(
                HandshakeWire.datagram(
                    .xxFinal, sender: initiatorID, receiver: responderID, noise: third, mac1Key: toResponder))
            _ = try b.read(third)
        }
        return (datagrams, a.transportKeys().sending, a)
    }

    static func data(_ key: SealingKey, counter: UInt64, _ plaintext: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(responderID)
        bytes.appendLittleEndian(UInt32(truncatingIfNeeded: counter))
        let header = bytes
        bytes += plaintext + [UInt8](repeating: 0, count: 16)
        bytes.withUnsafeMutableBytes { body in
            header.withUnsafeBytes { ad in
                key.seal(
                    body.baseAddress! + 8, count: plaintext.count, counter: counter, ad: ad.baseAddress!,
                    adCount: 8)
            }
        }
        return bytes
    }

    /// The bytes with a new, right mac1: what is broken inside stays broken.
    static func remade(_ bytes: [UInt8], key: Hash32, change: (inout [UInt8]) -> Void) throws -> [UInt8] {
        let type = try #require(HandshakeType(rawValue: HandshakeWire.word(bytes, 0)))
        var changed = bytes
        change(&changed)
        return HandshakeWire.datagram(
            type, sender: HandshakeWire.word(changed, 4),
            receiver: type.noiseOffset == 12 ? HandshakeWire.word(changed, 8) : nil,
            noise: HandshakeWire.noise(changed, type), mac1Key: key)
    }

    static func vectors() throws -> [VectorFile] {
        let (ik, sending, hashed) = try play(.ik)
        let (xx, _, xxHashed) = try play(.xx)
        let keys: [(name: String, value: String)] = [
            ("prologue", Hex.encode(prologue)),
            ("initiatorStatic", Hex.encode(initiator.privateKeyBytes)),
            ("initiatorEphemeral", Hex.encode(initiatorEphemeral.privateKeyBytes)),
            ("responderStatic", Hex.encode(responder.privateKeyBytes)),
            ("responderEphemeral", Hex.encode(responderEphemeral.privateKeyBytes)),
            ("initiatorConnectionID", String(initiatorID)), ("responderConnectionID", String(responderID)),
            ("timestamp", String(timestamp)), ("replaces", "0"),
        ]
        func file(
            _ name: String, _ expect: String, _ why: String, _ bytes: [UInt8],
            _ extra: [(name: String, value: String)] = []
        ) -> VectorFile {
            VectorFile(name: name, fields: [("expect", expect), ("why", why)] + keys + extra, bytes: bytes)
        }
        let toResponder = HandshakeWire.mac1Key(to: responder.publicKey, prologue: prologue)
        var flippedMac = ik[0]
        flippedMac[120] ^= 1
        let elsewhere = HandshakeWire.mac1Key(
            to: responder.publicKey, prologue: SessionConfig.prologue(chainID: chainID + 1))
        let plaintext = (0..<32).map { UInt8($0) }
        let sample = data(sending, counter: 7, plaintext)
        var badTag = sample
        badTag[badTag.count - 1] ^= 1
        var badHeader = sample
        badHeader[4] ^= 1
        let macs = ("mac1Key", Hex.encode(toResponder.bytes))
        let ikHash = ("handshakeHash", Hex.encode(hashed.handshakeHash.bytes))
        // What a responder under load answers to the init above, and the init that its sender sends then.
        let cookie = key("cookie")
        let nonce = Array(key("cookie nonce").bytes.prefix(24))
        let cookieKey = HandshakeWire.cookieKey(of: responder.publicKey, prologue: prologue)
        let reply = HandshakeWire.cookieReply(
            to: initiatorID, nonce: nonce,
            sealed: CookieSeal.seal(cookie, key: cookieKey, nonce: nonce, ad: Array(ik[0][120..<136])))
        var shown = ik[0]
        HandshakeWire.show(cookie, in: &shown)
        let cookieFields = [
            ("cookieKey", Hex.encode(cookieKey.bytes)), ("cookie", Hex.encode(cookie.bytes)),
            ("nonce", Hex.encode(nonce)),
        ]
        return [
            file("cookie", "ok", "the answer to ik-init under load", reply, cookieFields),
            file("cookie-short", "badLength", "a cookie without its last byte", reply.dropLast()),
            file(
                "cookie-unknown", "unknownConnection", "a cookie for a connection id that nobody has", reply),
            file("ik-init-again", "ok", "ik-init with mac2 made with the cookie", shown, cookieFields),
            file("ik-init", "ok", "the first message of IK", ik[0], [macs]),
            file("ik-response", "ok", "the second message of IK", ik[1], [ikHash]),
            file("xx-init", "ok", "the first message of XX, padded to the length of IK's", xx[0]),
            file("xx-response", "ok", "the second message of XX", xx[1]),
            file(
                "xx-final", "ok", "the third message of XX", xx[2],
                [macs, ("handshakeHash", Hex.encode(xxHashed.handshakeHash.bytes))]),
            file(
                "data", "ok", "the eighth datagram under IK's keys, initiator to responder", sample,
                [ikHash, ("counter", "7"), ("plaintext", Hex.encode(plaintext))]),
            file("ik-init-short", "badLength", "an IK init without its last byte", ik[0].dropLast()),
            file("ik-init-mac1-flipped", "badMac1", "one bit of mac1", flippedMac),
            file(
                "ik-init-other-chain", "badMac1", "mac1 made with the prologue of another chain",
                try remade(ik[0], key: elsewhere) { _ in }),
            file(
                "ik-init-tag-flipped", "notGenuine", "mac1 right, one bit of the static key's tag flipped",
                try remade(ik[0], key: toResponder) { $0[87] ^= 1 }),
            file(
                "ik-init-small-order", "notGenuine", "mac1 right, an ephemeral key of order 1",
                try remade(ik[0], key: toResponder) { bytes in
                    for i in 8..<40 { bytes[i] = 0 }
                }),
            file(
                "ik-init-low-sender", "notGenuine", "a sender's connection id that is a handshake type",
                try remade(ik[0], key: toResponder) { $0.replaceSubrange(4..<8, with: [1, 0, 0, 0]) }),
            file(
                "unknown-type", "unknownConnection", "a handshake type that does not exist",
                [7] + ik[0].dropFirst()),
            file("data-short", "badLength", "no room for header and tag", Array(sample.prefix(23))),
            file("data-unknown", "unknownConnection", "a connection id that nobody has", sample),
            file("data-tag-flipped", "notGenuine", "one bit of the tag", badTag, [ikHash]),
            file("data-counter-flipped", "notGenuine", "one bit of the counter", badHeader, [ikHash]),
        ]
    }

    @Test func `every vector is what the code makes`() throws {
        let made = try Self.vectors()
        if ProcessInfo.processInfo.environment["MILLRACE_WRITE_VECTORS"] != nil {
            for vector in made { try vector.write(area: "session") }
        }
        let stored = try VectorFile.all("session")
        #expect(stored.map(\.name).sorted() == made.map(\.name).sorted())
        for vector in made {
            #expect(stored.first { $0.name == vector.name } == vector, "\(vector.name)")
        }
    }

    @Test func `a fresh table judges every init and stray as its vector says`() throws {
        for vector in try VectorFile.all("session") {
            // Responses, finals and data need the other half of their own handshake.
            let isStray = vector.name.hasPrefix("data") && vector.expect == "notGenuine"
            if vector.expect == "ok", !vector.name.hasSuffix("init") || isStray { continue }
            if isStray { continue }
            let world = SessionWorld()
            let config = SessionConfig(
                identity: Self.responder, prologue: Self.prologue, startMicroseconds: 0)
            let node = SessionWorld.Node(
                table: SessionTable(config: config, seed: Seed(1), now: world.now),
                address: .loopback(port: 1))
            let received = world.deliver(vector.bytes, to: node, from: .loopback(port: 2))
            if vector.expect == "ok" {
                #expect(received == .handshake, "\(vector.name)")
            } else {
                let reason = try #require(IgnoreReason(rawValue: vector.expect), "\(vector.name)")
                #expect(received == .ignored(reason), "\(vector.name)")
            }
            #expect(node.events.isEmpty)
        }
    }

    @Test func `data opens with the keys of its vector and not when a bit is flipped`() throws {
        let (_, sending, _) = try Self.play(.ik)
        for vector in try VectorFile.all("session") where vector.name.hasPrefix("data") {
            guard vector.expect == "ok" || vector.expect == "notGenuine" else { continue }
            var bytes = vector.bytes
            let header = Array(bytes.prefix(8))
            let counter = UInt64(HandshakeWire.word(header, 4))
            let count = bytes.count - 8
            let isGenuine = bytes.withUnsafeMutableBytes { body in
                header.withUnsafeBytes { ad in
                    sending.open(
                        body.baseAddress! + 8, count: count, counter: counter, ad: ad.baseAddress!, adCount: 8
                    )
                }
            }
            #expect(isGenuine == (vector.expect == "ok"), "\(vector.name)")
            if isGenuine { #expect(Array(bytes[8..<(bytes.count - 16)]) == vector.hex("plaintext")) }
        }
    }
}

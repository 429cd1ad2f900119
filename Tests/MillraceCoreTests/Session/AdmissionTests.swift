/// What strangers can do to a table, and what it costs: floods of inits from forged addresses, replays, many sessions from
/// one place, answers to addresses that nobody has proven.

import MillraceBase
import MillraceCrypto
import Testing

@testable import MillraceCore

@Suite struct `Admission` {
    static let prologue = SessionConfig.prologue(chainID: 1)

    /// An init that passes mac1 and is otherwise noise: what anybody can send from any address.
    static func forgedInit(_ random: inout SeededGenerator, to key: PublicKey, isIK: Bool) -> [UInt8] {
        let noise = (0..<112).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        return HandshakeWire.datagram(
            isIK ? .ikInit : .xxInit, sender: UInt32(truncatingIfNeeded: random.next()) | 1 << 16,
            receiver: nil,
            noise: noise, mac1Key: HandshakeWire.mac1Key(to: isIK ? key : .unknown, prologue: prologue))
    }

    static func address(_ random: inout SeededGenerator) -> PeerAddress {
        // Public addresses only: 1.0.0.0 to 9.255.255.255.
        PeerAddress(
            ipv4: 0x0100_0000 + UInt32(random.below(0x0900_0000)), port: UInt16(1 + random.below(60_000)))
    }

    @Test(arguments: [true, false], [UInt64(1), 2])
    func `a client connects through a flood of inits from forged addresses`(_ knowing: Bool, _ seed: UInt64)
        throws
    {
        let world = SessionWorld(seed: seed)
        let b = world.add(2)
        var random = Seed(seed).generator("flood")
        var (bytesIn, bytesOut) = (0, 0)
        let client = PeerAddress(ipv4: 0x0B01_0203, port: 4_000)
        world.tap = { flight in
            if flight.from == b.address, flight.to != client { bytesOut += flight.bytes.count }
            // What goes to forged addresses arrives nowhere.
            return flight.to == client || flight.to == b.address
        }
        func flood(_ milliseconds: Int) {
            for _ in 0..<milliseconds {
                for _ in 0..<20 {
                    let bytes = Self.forgedInit(&random, to: b.table.publicKey, isIK: random.below(2) == 0)
                    bytesIn += bytes.count
                    world.deliver(bytes, to: b, from: Self.address(&random))
                }
                world.run(.milliseconds(1))
            }
        }
        // 20,000 a second: a hundred times what is answered.
        flood(500)
        let a = world.add(1)
        a.address = client
        let id = world.connect(a, b, knowing: knowing)
        flood(700)
        #expect(a.table.isEstablished(id), "seed \(seed)")
        #expect(b.established.count == 1)
        #expect(b.table.counters.cookiesSent > 10_000)
        // Of some 24,000 only those before the first cookie and the proven one reached Diffie-Hellman.
        #expect(b.outcomes.count { $0 == .ignored(.notGenuine) || $0 == .handshake } < 260)
        #expect(bytesOut <= bytesIn, "\(bytesOut) bytes out for \(bytesIn) in")
        #expect(b.table.sessionCount <= 257)
        world.run(.seconds(10))
        #expect(b.table.sessionCount == 1)
    }

    @Test func `a cookie is good for the address it was sent to and for no other`() throws {
        let world = SessionWorld()
        let b = world.add(2) { $0.handshakesPerSecondMax = 1 }
        // One handshake a second: the first puts the table under load.
        let (a, c) = (world.add(1), world.add(3))
        let first = world.connect(a, b)
        world.run(.milliseconds(200))
        #expect(a.table.isEstablished(first))
        var shown: [[UInt8]] = []
        world.tap = { flight in
            if flight.bytes.count == 152, flight.bytes.suffix(16).contains(where: { $0 != 0 }) {
                shown.append(flight.bytes)
                return false
            }
            return true
        }
        _ = world.connect(c, b)
        world.run(.milliseconds(100))
        let proven = try #require(shown.first)
        #expect(c.outcomes.last == .handshake)
        #expect(
            world.deliver(proven, to: b, from: PeerAddress(ipv4: 0x0101_0101, port: 5))
                == .ignored(.cookieSent))
        // From its own address it passes the cookie, and the budget decides.
        let received = world.deliver(proven, to: b, from: c.address)
        #expect(received == .ignored(.rateLimited) || received == .handshake)
    }

    @Test func `a repeated cookie makes no second init, a forged one none at all`() throws {
        let world = SessionWorld()
        let b = world.add(2) { $0.handshakesPerSecondMax = 1 }
        let (a, c) = (world.add(1), world.add(3))
        _ = world.connect(a, b)
        world.run(.milliseconds(200))
        var cookies: [[UInt8]] = []
        var inits = 0
        world.tap = { flight in
            if flight.bytes.count == 80 { cookies.append(flight.bytes) }
            if flight.bytes.count == 152, flight.from == c.address { inits += 1 }
            return flight.bytes.count != 80
        }
        _ = world.connect(c, b)
        world.run(.milliseconds(100))
        let cookie = try #require(cookies.first)
        for bit in 0..<(80 * 8) {
            var bad = cookie
            bad[bit / 8] ^= 1 << UInt8(bit % 8)
            if case .ignored = world.deliver(bad, to: c, from: b.address) { continue }
            Issue.record("bit \(bit) made no difference")
        }
        #expect(inits == 1)
        #expect(world.deliver(cookie, to: c, from: b.address) == .handshake)
        #expect(world.deliver(cookie, to: c, from: b.address) == .ignored(.rateLimited))
        #expect(inits == 2)
    }

    @Test func `one host under load gets its share and another still gets in`() {
        let world = SessionWorld()
        let b = world.add(2) { $0.handshakesPerSecondMax = 200 }
        var random = Seed(9).generator("flood")
        // The strain is kept up by forged addresses.
        func strain() {
            for _ in 0..<260 {
                world.deliver(
                    Self.forgedInit(&random, to: b.table.publicKey, isIK: true), to: b,
                    from: Self.address(&random))
            }
        }
        world.tap = { $0.to.ipv4.map { $0 >> 24 == 11 } ?? false || $0.to == b.address }
        strain()
        for n in 100..<160 {
            let peer = world.add(UInt64(n))
            peer.address = PeerAddress(ipv4: 0x0B01_0101, port: UInt16(n))
            _ = world.connect(peer, b)
        }
        world.run(.milliseconds(300))
        // Ten at once and ten a second.
        let before = b.established.count
        #expect(before >= 8 && before <= 16, "\(before)")
        strain()
        let other = world.add(999)
        other.address = PeerAddress(ipv4: 0x0B02_0101, port: 9)
        let id = world.connect(other, b)
        world.run(.milliseconds(300))
        #expect(other.table.isEstablished(id))
    }

    @Test func `a host and a neighbourhood have so many sessions and no more`() {
        let world = SessionWorld()
        let b = world.add(2) {
            $0.sessionsPerHostMax = 3
            $0.sessionsPerNeighbourhoodMax = 5
            $0.knownPeers = [SessionWorld.key(500).publicKey]
        }
        func connect(_ n: UInt64, _ ipv4: UInt32) -> Bool {
            let peer = world.add(n)
            peer.address = PeerAddress(ipv4: ipv4, port: UInt16(n))
            let id = world.connect(peer, b, knowing: n % 2 == 0)
            world.run(.milliseconds(300))
            let isUp =
                peer.table.isEstablished(id)
                && b.established.contains { b.table.peerKey(of: $0) == peer.table.publicKey }
            return isUp
        }
        #expect((100..<106).map { connect($0, 0x0B01_0101) } == [true, true, true, false, false, false])
        #expect((200..<204).map { connect($0, 0x0B01_0102) } == [true, true, false, false])
        // The next neighbourhood, a known peer, and nodes on this machine are not concerned.
        #expect(connect(300, 0x0B01_0201))
        #expect(connect(500, 0x0B01_0101))
        #expect((400..<406).allSatisfy { connect($0, 0x7F00_0001) })
        #expect(b.table.counters.sessionsCrowdedOut >= 5)
    }

    @Test(arguments: 0..<12 as Range<UInt64>)
    func `to addresses that are not proven no more goes out than came in`(_ seed: UInt64) throws {
        let world = SessionWorld(seed: seed)
        let (a, b) = (world.add(1), world.add(2))
        var captured: [[UInt8]] = []
        world.tap = { flight in
            if flight.to == b.address { captured.append(flight.bytes) }
            return true
        }
        let id = world.connect(a, b, knowing: seed % 2 == 0)
        world.run(.seconds(1))
        for n in 0..<20 { world.send([UInt8(n)], on: id, from: a) }
        world.run(.seconds(1))
        var random = Seed(seed).generator("spoofed")
        var bytesIn: [PeerAddress: Int] = [:]
        var bytesOut: [PeerAddress: Int] = [:]
        world.tap = { flight in
            bytesOut[flight.to, default: 0] += flight.bytes.count
            return flight.to == a.address || flight.to == b.address
        }
        let victims = (0..<8).map { _ in Self.address(&random) }
        for _ in 0..<3_000 {
            let victim = victims[Int(random.below(8))]
            var bytes: [UInt8]
            switch random.below(6) {
            case 0: bytes = captured[Int(random.below(UInt64(captured.count)))]
            case 1:
                bytes = captured[Int(random.below(UInt64(captured.count)))]
                bytes[Int(random.below(UInt64(bytes.count)))] ^= UInt8(1 + random.below(255))
            case 2: bytes = (0..<Int(random.below(400))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            case 3: bytes = world.sealed([7], on: id, from: a) ?? []
            default: bytes = Self.forgedInit(&random, to: b.table.publicKey, isIK: random.below(2) == 0)
            }
            bytesIn[victim, default: 0] += bytes.count
            world.deliver(bytes, to: b, from: victim)
            if random.below(20) == 0 { world.run(.milliseconds(Int64(random.below(100)))) }
        }
        world.run(.seconds(6))
        for victim in victims {
            let (sent, got) = (bytesOut[victim, default: 0], bytesIn[victim, default: 0])
            #expect(sent <= got, "seed \(seed): \(sent) bytes to \(victim) for \(got) from it")
        }
        // Genuine datagrams from elsewhere were read; the session did not move.
        #expect(b.established.first.flatMap { b.table.address(of: $0) } == a.address)
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `of a hundred thousand forged datagrams none is accepted`(_ seed: UInt64) throws {
        let world = SessionWorld(seed: seed)
        let (a, b) = (world.add(1), world.add(2))
        var captured: [[UInt8]] = []
        world.tap = { flight in
            if flight.to == b.address, flight.bytes.count < 96 { captured.append(flight.bytes) }
            return true
        }
        let id = world.connect(a, b)
        world.run(.seconds(1))
        for n in 0..<50 { world.send([UInt8(n), 1, 2, 3], on: id, from: a) }
        world.run(.seconds(1))
        let opened = b.table.counters.datagramsOpened
        var random = Seed(seed).generator("forgeries")
        var accepted = 0
        for _ in 0..<33_334 {
            // A genuine datagram with another counter, another ciphertext, another tag, or all of it.
            var bytes = captured[Int(random.below(UInt64(captured.count)))]
            let kind = random.below(4)
            if kind == 0 || kind == 3 {
                for i in 4..<8 { bytes[i] = UInt8(truncatingIfNeeded: random.next()) }
            }
            if kind == 1 || kind == 3 {
                bytes[8 + Int(random.below(UInt64(bytes.count - 8)))] ^= UInt8(1 + random.below(255))
            }
            if kind == 2 {
                for i in (bytes.count - 16)..<bytes.count {
                    bytes[i] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            var copy = bytes
            let received = copy.withUnsafeMutableBytes {
                b.table.receive($0, from: a.address, now: world.now)
            }
            if case .ignored = received { continue }
            accepted += 1
        }
        #expect(accepted == 0, "seed \(seed)")
        #expect(b.table.counters.datagramsOpened == opened)
        #expect(world.send([9], on: id, from: a))
        world.run(.seconds(1))
        #expect(b.texts.last == [9])
    }

    @Test func `an init is answered where it came from first and nowhere else`() throws {
        let world = SessionWorld()
        let (a, b) = (world.add(1), world.add(2))
        var first: [UInt8]?
        var answers: [PeerAddress] = []
        world.tap = { flight in
            if flight.bytes.count == 152 { first = first ?? flight.bytes }
            if flight.from == b.address { answers.append(flight.to) }
            // Nothing arrives: the handshake stays half done.
            return flight.to == b.address && flight.bytes.count == 152
        }
        _ = world.connect(a, b)
        world.run(.milliseconds(50))
        let captured = try #require(first)
        let victim = PeerAddress(ipv4: 0x0102_0304, port: 53)
        for _ in 0..<50 { #expect(world.deliver(captured, to: b, from: victim) == .ignored(.otherAddress)) }
        #expect(!answers.contains(victim))
        #expect(world.deliver(captured, to: b, from: a.address) == .handshake)
    }

    @Test func `a refused key gets no answer until its time is over`() {
        let world = SessionWorld()
        let (a, b) = (world.add(1), world.add(2))
        b.table.refuse(a.table.publicKey, until: world.now + .seconds(60))
        let early = world.connect(a, b)
        world.run(.seconds(10))
        #expect(!a.table.isEstablished(early))
        world.run(.seconds(55))
        let late = world.connect(a, b)
        world.run(.seconds(1))
        #expect(a.table.isEstablished(late))
    }

    @Test func `lost datagrams show as numbers that did not come`() throws {
        let world = SessionWorld(seed: 3)
        let (a, b) = (world.add(1), world.add(2))
        let id = world.connect(a, b)
        world.run(.seconds(1))
        let back = try #require(b.established.first)
        let before = try #require(b.table.arrivals(of: back))
        #expect(before.expected == before.genuine)
        var held: [[UInt8]] = []
        for n in 0..<1_000 {
            let bytes = try #require(world.sealed([1], on: id, from: a))
            if n % 10 == 3 { continue }
            if n % 10 == 5, n < 900 {
                held.append(bytes)
            } else {
                world.deliver(bytes, to: b, from: a.address)
            }
        }
        let during = try #require(b.table.arrivals(of: back))
        #expect(during.expected - before.expected == 1_000)
        #expect(during.genuine - before.genuine == 1_000 - 100 - 90)
        // What was only late fills its gap.
        for bytes in held { world.deliver(bytes, to: b, from: a.address) }
        #expect(b.table.arrivals(of: back).map { $0.expected - $0.genuine } == 100)
    }

    @Test func `addresses that do not come through the internet are told apart`() {
        let local = [
            "127.0.0.1:1", "10.1.2.3:1", "172.31.0.1:1", "192.168.1.1:1", "169.254.1.1:1", "100.64.0.1:1",
            "[::1]:1", "[fd00::1]:1", "[fe80::1]:1",
        ]
        let far = [
            "11.0.0.1:1", "172.32.0.1:1", "192.169.0.1:1", "100.128.0.1:1", "8.8.8.8:1", "[2001:db8::1]:1",
        ]
        for text in local { #expect(PeerAddress(text).map { AddressGroup.isLocal($0) } == true, "\(text)") }
        for text in far { #expect(PeerAddress(text).map { AddressGroup.isLocal($0) } == false, "\(text)") }
        let (a, b) = (PeerAddress(ipv4: 0x0102_0304, port: 1), PeerAddress(ipv4: 0x0102_03FF, port: 2))
        #expect(AddressGroup.neighbourhood(a) == AddressGroup.neighbourhood(b))
        #expect(AddressGroup.host(a) != AddressGroup.host(b))
        let (c, d) = (PeerAddress("[2001:db8:1:2::1]:1"), PeerAddress("[2001:db8:1:3::1]:1"))
        if let c, let d {
            #expect(AddressGroup.neighbourhood(c) == AddressGroup.neighbourhood(d))
            #expect(AddressGroup.host(c) != AddressGroup.host(d))
        }
    }
}

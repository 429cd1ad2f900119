/// The tables of known peers: bounded shares for few subnets and few sources, nothing that works displaced by what is unknown.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

/// A peer that exists in tests of tables only: its record is not signed, which tables do not look at.
struct TablePeer {
    let key: PublicKey
    let record: PeerRecord
    var address: PeerAddress { record.address }
    var group: SubnetGroup { SubnetGroup(record.address) }

    init(_ number: UInt64, subnet: UInt32, wall: UInt64 = TablePeer.wall) {
        key = PublicKey(Hash32(word: U256(number, 1, 2, 3)))
        record = PeerRecord(
            key: VerifyingKey(Hash32(word: U256(number))),
            address: PeerAddress(
                ipv4: subnet << 16 | UInt32(truncatingIfNeeded: number & 0xFFFF),
                port: UInt16(1_024 + number % 60_000)),
            chainID: 7, epoch: 0, issuedAtMicroseconds: wall, lifetimeSeconds: 3_600)
    }

    static let wall: UInt64 = 1_700_000_000_000_000
    /// 20.0.0.0/16 and on.
    static func subnet(_ i: Int) -> UInt32 { 20 << 8 + UInt32(i) }
}

extension PeerTables {
    mutating func learn(_ peer: TablePeer, from source: SubnetGroup, wall: UInt64 = TablePeer.wall) -> Learned
    {
        learn(peer.key, at: peer.address, record: peer.record, from: source, wallMicroseconds: wall)
    }
    mutating func reached(_ peer: TablePeer, from source: SubnetGroup, now: Instant) {
        reached(peer.record, key: peer.key, from: source, now: now, wallMicroseconds: TablePeer.wall)
    }
}

private let start = Instant(nanoseconds: 1_000_000_000)

@Suite struct PeerTablesTests {
    @Test(arguments: [UInt64(1), 2, 3])
    func `who speaks from one subnet fills at most four buckets of new`(seed: UInt64) {
        var tables = PeerTables(seed: Seed(seed))
        let source = TablePeer(0, subnet: TablePeer.subnet(900)).group
        // Of a thousand subnets, as an attacker may claim who passes on what it likes.
        for i in 1...20_000 as ClosedRange<UInt64> {
            _ = tables.learn(TablePeer(i, subnet: TablePeer.subnet(Int(i % 800))), from: source)
        }
        #expect(tables.newCount <= PeerTables.newBucketsPerSource * PeerTables.newSlots)
        #expect(tables.newCount >= 32)
    }

    @Test(arguments: [UInt64(4), 5, 6])
    func `one subnet fills at most two buckets of tried, though every one of its peers answers`(seed: UInt64)
    {
        var tables = PeerTables(seed: Seed(seed))
        for i in 1...5_000 as ClosedRange<UInt64> {
            let peer = TablePeer(i, subnet: TablePeer.subnet(3))
            tables.reached(peer, from: peer.group, now: start)
        }
        #expect(tables.triedCount <= PeerTables.triedBucketsPerGroup * PeerTables.triedSlots)
        #expect(tables.triedCount >= 8)
    }

    @Test(arguments: [UInt64(7), 8, 9])
    func `four attackers for each honest node in four subnets hold at most their buckets`(seed: UInt64) {
        var tables = PeerTables(seed: Seed(seed))
        let (honestCount, subnets) = (100, 4)
        // The attackers come first, all of them reached, then the honest ones of a subnet each.
        for i in 0..<(4 * honestCount) {
            let peer = TablePeer(UInt64(100_000 + i), subnet: TablePeer.subnet(500 + i % subnets))
            tables.reached(peer, from: peer.group, now: start)
        }
        let attackers = tables.triedCount
        #expect(attackers <= subnets * PeerTables.triedBucketsPerGroup * PeerTables.triedSlots)
        for i in 0..<honestCount {
            let peer = TablePeer(UInt64(i), subnet: TablePeer.subnet(i))
            tables.reached(peer, from: peer.group, now: start)
        }
        let honest = tables.triedCount - attackers
        #expect(honest >= honestCount * 2 / 3, "\(honest) of \(honestCount)")
        // Drawn by bucket, the attackers are drawn in proportion to the buckets they reach: at most 8 of 64, and not 4 in 5.
        var secrets = SecretStream(Seed(seed), purpose: "test")
        var drawn = 0
        for _ in 0..<1_000 {
            let entry = tables.draw(tried: true, &secrets) { _ in true }
            if let entry, entry.address.ipv4.map({ $0 >> 16 >= TablePeer.subnet(500) }) ?? false {
                drawn += 1
            }
        }
        #expect(drawn <= 250, "\(drawn) of 1,000")
    }

    @Test func `what answers keeps its place and what does not gives way, after a test`() throws {
        var tables = PeerTables(seed: Seed(10))
        // All of one subnet, until one meets a taken place.
        var peers: [TablePeer] = []
        while tables.collisions.isEmpty {
            let peer = TablePeer(UInt64(peers.count), subnet: TablePeer.subnet(1))
            peers.append(peer)
            tables.reached(peer, from: peer.group, now: start)
            if peers.count > 1_000 { break }
        }
        let collision = try #require(tables.collisions.first)
        let tried = tables.triedCount
        // It answers.
        let incumbent = try #require(peers.first { $0.key == collision.incumbent })
        tables.reached(incumbent, from: incumbent.group, now: start)
        #expect(tables.collisions.isEmpty)
        #expect(tables[collision.incumbent]?.isTried == true)
        #expect(tables[collision.candidate]?.isTried == false)
        // The candidate is reached again; now the other does not answer.
        let candidate = try #require(peers.first { $0.key == collision.candidate })
        tables.reached(candidate, from: candidate.group, now: start)
        #expect(tables.collisions == [collision])
        tables.failed(collision.incumbent, now: start + .seconds(60))
        #expect(tables[collision.candidate]?.isTried == true)
        #expect(tables[collision.incumbent]?.isTried == false)
        #expect(tables.triedCount == tried)
    }

    @Test func `an address told displaces only what is expired or has failed`() {
        var tables = PeerTables(seed: Seed(11))
        let source = TablePeer(0, subnet: TablePeer.subnet(900)).group
        var held: [TablePeer] = []
        var refused: [TablePeer] = []
        for i in 1...3_000 as ClosedRange<UInt64> {
            let peer = TablePeer(i, subnet: TablePeer.subnet(Int(i % 50)))
            if tables.learn(peer, from: source) == .added { held.append(peer) } else { refused.append(peer) }
        }
        for peer in held { #expect(tables[peer.key] != nil) }
        // An hour later all have expired.
        let later = TablePeer.wall + 3_600_000_000
        var added = 0
        for peer in refused.suffix(1_000) {
            let fresh = TablePeer(
                UInt64(peer.address.ipv4! & 0xFFFF), subnet: TablePeer.subnet(60 + added), wall: later)
            if tables.learn(fresh, from: source, wall: later) == .added { added += 1 }
        }
        #expect(added > 20)
        #expect(tables.newCount <= PeerTables.newBucketsPerSource * PeerTables.newSlots)
    }

    @Test func `the newest record wins and another address has to be reached again`() {
        var tables = PeerTables(seed: Seed(12))
        let old = TablePeer(5, subnet: TablePeer.subnet(1))
        tables.reached(old, from: old.group, now: start)
        #expect(tables[old.key]?.isTried == true)
        let older = TablePeer(5, subnet: TablePeer.subnet(2), wall: TablePeer.wall - 1)
        #expect(tables.learn(older, from: old.group) == .known)
        #expect(tables[old.key]?.address == old.address)
        let newer = TablePeer(5, subnet: TablePeer.subnet(2), wall: TablePeer.wall + 1)
        #expect(tables.learn(newer, from: old.group) == .renewed)
        #expect(tables[old.key]?.address == newer.address)
        #expect(tables[old.key]?.isTried == false)
        #expect(tables[old.key]?.group == newer.group)
        #expect(tables.triedCount + tables.newCount == 1)
    }

    @Test func `an address that never answers is given up and left alone in between`() {
        var tables = PeerTables(seed: Seed(13))
        let peer = TablePeer(5, subnet: TablePeer.subnet(1))
        _ = tables.learn(peer, from: peer.group)
        var now = start
        for failure in 1...3 {
            #expect(tables[peer.key]?.mayBeDialled(now: now) == true)
            tables.dialled(peer.key, now: now)
            #expect(tables[peer.key]?.mayBeDialled(now: now + .seconds(9)) == false)
            tables.failed(peer.key, now: now)
            now = now + .seconds(Int64(10 << failure))
        }
        #expect(tables[peer.key] == nil)
        #expect(tables.newCount == 0)
    }

    @Test(arguments: [UInt64(14), 15, 16, 17])
    func `counts and places agree after any calls, and equal calls give equal tables`(seed: UInt64) {
        func run() -> [PublicKey] {
            var tables = PeerTables(seed: Seed(seed))
            var generator = Seed(seed).generator("calls")
            var secrets = SecretStream(Seed(seed), purpose: "test")
            var now = start
            var order: [PublicKey] = []
            for _ in 0..<5_000 {
                let peer = TablePeer(
                    generator.below(600), subnet: TablePeer.subnet(Int(generator.below(20))),
                    wall: TablePeer.wall + generator.below(4))
                let source = TablePeer(0, subnet: TablePeer.subnet(Int(generator.below(5)))).group
                switch generator.below(6) {
                case 0, 1: _ = tables.learn(peer, from: source)
                case 2: tables.reached(peer, from: source, now: now)
                case 3: tables.failed(peer.key, now: now)
                case 4: tables.remove(peer.key)
                default:
                    let fromTried = generator.below(2) == 0
                    if let drawn = tables.draw(tried: fromTried, &secrets, where: { _ in true }) {
                        #expect(drawn.isTried == fromTried)
                        order.append(drawn.key)
                    }
                }
                now = now + .milliseconds(10)
                var tried = 0
                tables.forEachTried { _ in tried += 1 }
                #expect(tried == tables.triedCount)
                #expect(tables.collisions.count <= PeerTables.collisionsMax)
            }
            return order
        }
        let order = run()
        #expect(order.count > 100)
        #expect(order == run())
    }
}

@Suite struct SubnetGroupTests {
    private func address(_ text: String) throws -> PeerAddress { try #require(PeerAddress(text), "\(text)") }

    @Test func `global addresses are grouped by prefix, those of a site stand alone`() throws {
        func same(_ a: String, _ b: String) throws -> Bool {
            try SubnetGroup(address(a)) == SubnetGroup(address(b))
        }
        #expect(try same("20.1.2.3:1", "20.1.200.9:2"))
        #expect(try !same("20.1.2.3:1", "20.2.2.3:1"))
        #expect(try same("[2001:db8::1]:1", "[2001:db8:ffff::2]:2"))
        #expect(try !same("[2001:db8::1]:1", "[2001:db9::1]:1"))
        #expect(try !same("127.0.0.1:1", "127.0.0.1:2"))
        #expect(try !same("10.0.0.1:1", "10.0.0.2:1"))
        #expect(try same("10.0.0.1:1", "10.0.0.1:2"))
        #expect(try !same("[fd00::1]:1", "[fd00::2]:1"))
    }

    @Test func `scopes are told apart and nobody's addresses are none`() throws {
        let scopes: [(String, AddressScope?)] = [
            ("127.0.0.1:1", .loopback), ("[::1]:1", .loopback), ("10.1.2.3:1", .site),
            ("172.16.0.1:1", .site), ("172.31.0.1:1", .site), ("172.32.0.1:1", .global),
            ("192.168.1.1:1", .site), ("100.64.0.1:1", .site), ("100.128.0.1:1", .global),
            ("169.254.1.1:1", .site), ("[fe80::1]:1", .site), ("[fd12::1]:1", .site),
            ("[2001:db8::1]:1", .global), ("8.8.8.8:53", .global), ("8.8.8.8:0", nil),
            ("0.0.0.0:1", nil), ("224.0.0.1:1", nil), ("255.255.255.255:1", nil), ("[::]:1", nil),
            ("[ff02::1]:1", nil),
        ]
        for (text, scope) in scopes { #expect(AddressScope(try address(text)) == scope, "\(text)") }
        #expect(AddressScope.global.isCredible(from: .loopback))
        #expect(AddressScope.site.isCredible(from: .site))
        #expect(!AddressScope.site.isCredible(from: .global))
        #expect(!AddressScope.loopback.isCredible(from: .site))
    }
}

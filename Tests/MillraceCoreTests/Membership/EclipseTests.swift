/// Attackers at the level of cores: many identities in few subnets, records nobody signed, questions without end.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct EclipseTests {
    /// Eight honest relays in eight subnets; four attackers for each in two subnets, all correct relays, all told of, all of them
    /// there before the victim. They follow the sequencer so that nothing but their subnets speaks against them.
    @Test func `four attackers for each honest relay in two subnets get no more than their share of parents`()
    {
        let mesh = Mesh(seed: 31)
        let sequencer = mesh.addSequencer { $0.serving.childrenMax = 200 }
        let seed = mesh.addListedRelay("seed", parents: [sequencer], at: mesh.address(subnet: 0, host: 1))
        var honest: [Mesh.Node] = [seed]
        var attackers: [Mesh.Node] = []
        for i in 1..<8 {
            honest.append(
                mesh.addListedRelay(
                    "honest-\(i)", parents: [sequencer], bootstrap: [seed],
                    at: mesh.address(subnet: i, host: 1)))
        }
        for i in 0..<32 {
            attackers.append(
                mesh.addListedRelay(
                    "attacker-\(i)", parents: [sequencer], bootstrap: [seed],
                    at: mesh.address(subnet: 100 + i % 2, host: i + 1)))
        }
        mesh.run(for: .seconds(4))
        let replica = mesh.addSeekingReplica(
            "victim", bootstrap: [seed], at: mesh.address(subnet: 50, host: 1))
        mesh.run(for: .seconds(12))
        let bad = Set(attackers.map(\.address))
        let parents = replica.parentAddresses
        let taken = parents.intersection(bad).count
        // A quarter of eight seats for each of two subnets.
        #expect(taken <= 4, "\(taken) of \(parents.count)")
        #expect(parents.count == 8)
        // No more than two of one subnet.
        let groups = parents.map { SubnetGroup($0) }
        for group in Set(groups) { #expect(groups.count { $0 == group } <= 2) }
        // Of the seed's table, at most the buckets of two subnets.
        let tables = (seed.core as? RelayCore)?.membershipTables
        var held = 0
        for subnet in 0..<2 {
            held += tables?.triedCount(of: SubnetGroup(mesh.address(subnet: 100 + subnet, host: 1))) ?? 0
        }
        #expect(held <= 2 * PeerTables.triedBucketsPerGroup * PeerTables.triedSlots)
        for node in honest { #expect(node.core.statistics.offences == 0) }
    }

    @Test func `a record in another's name is an offence and moves nobody`() throws {
        let mesh = Mesh(seed: 32)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addListedRelay("relay", parents: [sequencer])
        let victim = mesh.addListedRelay("victim", parents: [sequencer], bootstrap: [relay])
        let liar = MembershipLiar(mesh, "liar", meets: relay)
        mesh.run(for: .seconds(1))
        let before = (relay.core as? RelayCore)?.membershipTables[victim.keys.publicKey]
        #expect(before?.isTried == true)
        // A record that the liar signs for itself but says is the victim's cannot be made; this is a genuine one of the victim's
        // key from long ago, and one of the liar's key at the victim's address with a changed byte.
        var forged = liar.record(at: victim.address, issuedAt: mesh.wallClock)
        forged.childrenFree += 1
        liar.say { writer in
            forged.encoded.withUnsafeBytes { writer.appendRecord($0) }
        }
        mesh.run(for: .milliseconds(200))
        #expect(relay.core.statistics.offences == 1)
        #expect(relay.count { if case .offence(_, .invalidRecord) = $0 { true } else { false } } == 1)
        #expect(
            (relay.core as? RelayCore)?.membershipTables[victim.keys.publicKey]?.address == victim.address)
    }

    @Test func `one that asks without end is answered at the budget's rate and then cut off`() throws {
        let mesh = Mesh(seed: 33)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addListedRelay("relay", parents: [sequencer])
        _ = mesh.addListedRelay("other", parents: [sequencer], bootstrap: [relay])
        let liar = MembershipLiar(mesh, "liar", meets: relay)
        mesh.run(for: .seconds(1))
        var asked = 0
        for i in 0..<300 as Range<UInt16> {
            asked += 1
            liar.say { $0.append(.getPeers(request: i, count: 6)) }
            mesh.run(for: .milliseconds(20))
            if !liar.isUp { break }
        }
        #expect(asked < 200)
        #expect(!liar.isUp)
        #expect(relay.count { if case .offence(_, .flood) = $0 { true } else { false } } == 3)
        #expect(liar.answers <= MembershipLimits.answersMax + 2)
        #expect(liar.answers >= MembershipLimits.answersMax)
    }

    @Test func `an answer nobody asked for is an offence, and one that holds a forgery too`() throws {
        let mesh = Mesh(seed: 34)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addListedRelay("relay", parents: [sequencer])
        let liar = MembershipLiar(mesh, "liar", meets: relay)
        mesh.run(for: .seconds(1))
        // It has not said who it is, so it was not asked.
        liar.say { writer in [].withUnsafeBytes { writer.appendPeers($0, count: 0, answering: 1) } }
        mesh.run(for: .milliseconds(100))
        #expect(relay.core.statistics.offences == 1)
        let own = liar.record(at: liar.node.address, issuedAt: mesh.wallClock)
        liar.say { writer in own.encoded.withUnsafeBytes { writer.appendRecord($0) } }
        mesh.run(for: .seconds(1))
        let request = try #require(liar.request)
        var forged = own
        forged.childrenFree &+= 1
        liar.say { writer in
            forged.encoded.withUnsafeBytes { writer.appendPeers($0, count: 1, answering: request) }
        }
        mesh.run(for: .milliseconds(100))
        #expect(relay.core.statistics.offences == 2)
        // The second answer to the same question is ignored.
        liar.say { writer in
            forged.encoded.withUnsafeBytes { writer.appendPeers($0, count: 1, answering: request) }
        }
        mesh.run(for: .milliseconds(100))
        #expect(relay.core.statistics.offences == 2)
    }

    @Test func `addresses told are dialled within bounds and never become parents without an answer`() throws
    {
        let mesh = Mesh(seed: 35)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addListedRelay("relay", parents: [sequencer])
        let liar = MembershipLiar(mesh, "liar", meets: relay)
        mesh.run(for: .seconds(1))
        let own = liar.record(at: liar.node.address, issuedAt: mesh.wallClock)
        liar.say { writer in own.encoded.withUnsafeBytes { writer.appendRecord($0) } }
        let seeker = mesh.addSeekingReplica("seeker", bootstrap: [liar.node, relay])
        mesh.run(for: .seconds(1))
        // Six genuine records of nodes that are not there, told whenever it asks.
        var told = 0
        for _ in 0..<40 {
            if let request = liar.request {
                liar.request = nil
                var bytes: [UInt8] = []
                for _ in 0..<6 {
                    told += 1
                    let key = SigningKey(seed: Hash32(word: U256(UInt64(5_000 + told))))
                    var ghost = PeerRecord(
                        key: key.verifyingKey,
                        address: PeerAddress(ipv4: 0x3000_0000 | UInt32(told) << 16, port: 9),
                        chainID: Mesh.chainID, epoch: 0, issuedAtMicroseconds: mesh.wallClock,
                        lifetimeSeconds: 3_600)
                    ghost.childrenFree = 9
                    ghost.sign(with: key)
                    ghost.encode(into: &bytes)
                }
                liar.say { writer in
                    bytes.withUnsafeBytes { writer.appendPeers($0, count: 6, answering: request) }
                }
            }
            mesh.run(for: .milliseconds(500))
        }
        #expect(told >= 6)
        #expect(seeker.parentAddresses == [relay.address])
        let statistics = seeker.core.statistics
        #expect(statistics.peersReached <= 2)
        #expect(statistics.offences == 0)
        // Each address got at most two dials of a handshake's few datagrams: 152 bytes each.
        let wasted = mesh.bytesToNobody(from: seeker)
        #expect(wasted <= UInt64(told) * 10 * 180, "\(wasted) bytes to \(told) addresses")
    }
}

/// Nodes that know one or two others find parents, follow, and replace what is lost, on virtual time.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct DiscoveryTests {
    @Test func `a replica that knows one of two relays ends with both as parents`() throws {
        let mesh = Mesh(seed: 21)
        let sequencer = mesh.addSequencer()
        let first = mesh.addListedRelay("first", parents: [sequencer])
        let second = mesh.addListedRelay("second", parents: [sequencer], bootstrap: [first])
        mesh.run(for: .seconds(1))
        let replica = mesh.addSeekingReplica("replica", bootstrap: [first])
        mesh.run(for: .seconds(2))
        #expect(replica.parentAddresses == [first.address, second.address])
        try mesh.run(heights: 120)
        try mesh.finish()
        #expect(replica.replica.isFinished)
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        for node in mesh.nodes { #expect(node.core.statistics.offences == 0, "\(node.name)") }
        let statistics = replica.core.statistics
        #expect(statistics.parentsFound == 2)
        #expect(statistics.peersReached == 2)
    }

    @Test(arguments: [UInt64(22), 23])
    func `a dead parent is replaced by one that was found, and nothing is lost`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer()
        let first = mesh.addListedRelay("relay-0", parents: [sequencer])
        var relays = [first]
        for i in 1..<6 {
            relays.append(mesh.addListedRelay("relay-\(i)", parents: [sequencer], bootstrap: [first]))
        }
        mesh.run(for: .seconds(1))
        let replica = mesh.addSeekingReplica("replica", bootstrap: [first]) {
            $0.membership.parentsWanted = 3
        }
        mesh.run(for: .seconds(3))
        #expect(replica.parentAddresses.count == 3)
        try mesh.run(heights: 50)
        // All its parents but one end without a word.
        let before = replica.parentAddresses
        for relay in relays.filter({ before.contains($0.address) }).prefix(2) { relay.isAlive = false }
        try mesh.run(heights: 300, transactions: 3)
        try mesh.finish()
        #expect(replica.replica.isFinished, "\(replica.core.statistics)")
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        let alive = Set(relays.filter(\.isAlive).map(\.address))
        #expect(replica.parentAddresses.count == 3)
        #expect(replica.parentAddresses.isSubset(of: alive))
        #expect(replica.core.statistics.offences == 0)
    }

    @Test func `standbys are neighbours until a parent is lost, and parents then`() throws {
        let mesh = Mesh(seed: 24)
        let sequencer = mesh.addSequencer()
        let first = mesh.addListedRelay("relay-0", parents: [sequencer])
        var relays = [first]
        for i in 1..<7 {
            relays.append(mesh.addListedRelay("relay-\(i)", parents: [sequencer], bootstrap: [first]))
        }
        try mesh.run(heights: 100)
        let replica = mesh.addSeekingReplica("replica", bootstrap: [first]) {
            $0.membership.parentsWanted = 2
        }
        mesh.run(for: .seconds(3))
        try mesh.run(heights: 50)
        func neighbours() -> [PeerReport] { replica.core.peers.filter { $0.isNeighbour && $0.isDiscovered } }
        let before = neighbours()
        #expect(before.count == 2)
        for neighbour in before {
            #expect(neighbour.completeThrough > 40 && neighbour.stripesFrom == 0 && !neighbour.isSilent)
        }
        // Both parents end without a word. Those beside them need no dial and no handshake.
        let parents = replica.parentAddresses
        for relay in relays where parents.contains(relay.address) { relay.isAlive = false }
        try mesh.run(heights: 250)
        #expect(replica.parentAddresses == Set(before.map(\.address)))
        let after = Set(neighbours().map(\.address))
        let taken = parents.union(replica.parentAddresses)
        // The next stand beside them already, or are being dialled.
        #expect(!after.isEmpty && after.isDisjoint(with: taken))
        try mesh.finish()
        #expect(replica.replica.isFinished)
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        for node in mesh.nodes where node.isAlive {
            #expect(node.core.statistics.offences == 0, "\(node.name)")
        }
    }

    @Test func `a full parent names others, and those are found`() throws {
        let mesh = Mesh(seed: 25)
        let sequencer = mesh.addSequencer()
        let full = mesh.addListedRelay("full", parents: [sequencer]) { $0.serving.childrenMax = 1 }
        let other = mesh.addListedRelay("other", parents: [sequencer], bootstrap: [full])
        mesh.run(for: .seconds(2))
        // The only place is taken by a replica that was configured so.
        let configured = mesh.addReplica("configured", parents: [full])
        mesh.run(for: .seconds(2))
        // One that knows `full` alone, and takes no part in the network, is refused and told of the other.
        let plain = mesh.addReplica("plain", parents: [full])
        let seeker = mesh.addReplica("seeker", parents: [full]) {
            $0.membership.findsParents = true
            $0.membership.parentsWanted = 2
        }
        mesh.run(for: .seconds(4))
        #expect(configured.parentAddresses == [full.address])
        #expect(plain.parentAddresses.isEmpty)
        #expect(plain.count { if case .refused = $0 { true } else { false } } >= 1)
        #expect(seeker.parentAddresses == [other.address])
        try mesh.run(heights: 50)
        try mesh.finish()
        #expect(seeker.replica.isFinished)
    }

    @Test(arguments: [UInt64(26), 27])
    func `relays that know one another form no circle and all of them get the stream`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer()
        let root = mesh.addListedRelay("root", parents: [sequencer]) { $0.serving.childrenMax = 3 }
        // Two children fit below the root, two below each of the others.
        let relays = (0..<7).map { i in
            mesh.addListedRelay("relay-\(i)", bootstrap: [root]) {
                $0.membership.parentsWanted = 2
                $0.serving.childrenMax = 3
            }
        }
        mesh.run(for: .seconds(30))
        try mesh.run(heights: 200, transactions: 10)
        try mesh.finish()
        var hops: [UInt64] = []
        for relay in relays {
            let statistics = relay.core.statistics
            hops.append(statistics.hops)
            #expect(statistics.hops >= 2 && statistics.hops <= 8, "\(relay.name): \(statistics.hops)")
            #expect(statistics.completeThrough == 201, "\(relay.name): \(statistics.completeThrough)")
            #expect(!relay.parentAddresses.isEmpty, "\(relay.name)")
            #expect(statistics.offences == 0)
        }
        #expect(hops.contains(2))
    }

    @Test func `anchors of one run are whom the next asks, though the bootstrap peer is gone`() throws {
        let mesh = Mesh(seed: 28)
        let sequencer = mesh.addSequencer()
        let first = mesh.addListedRelay("first", parents: [sequencer])
        let others = (0..<3).map {
            mesh.addListedRelay("relay-\($0)", parents: [sequencer], bootstrap: [first])
        }
        let replica = mesh.addSeekingReplica("replica", bootstrap: [first])
        mesh.run(for: .seconds(12))
        #expect(replica.count { if case .anchorsChanged = $0 { true } else { false } } >= 1)
        let anchors = replica.core.anchors
        #expect(anchors.count >= 3 && anchors.count <= MembershipLimits.anchorsMax)
        first.isAlive = false
        replica.isAlive = false
        var kept = try anchors.map { try PeerRecord.decode($0.encoded.span.bytes) }
        // One that was tampered with on the disk is not believed.
        kept[0].address.port &+= 1
        let again = mesh.addSeekingReplica("again", bootstrap: [first]) { $0.membership.anchors = kept }
        mesh.run(for: .seconds(8))
        #expect(again.parentAddresses == Set(others.map(\.address)))
    }

    @Test func `equal seeds find equal parents in equal order`() throws {
        func run() -> [PeerAddress] {
            let mesh = Mesh(seed: 29)
            let sequencer = mesh.addSequencer()
            let first = mesh.addListedRelay("first", parents: [sequencer])
            for i in 0..<12 {
                _ = mesh.addListedRelay("relay-\(i)", parents: [sequencer], bootstrap: [first])
            }
            let replica = mesh.addSeekingReplica("replica", bootstrap: [first])
            mesh.run(for: .seconds(5))
            return replica.events.compactMap { if case .peerUp(let address, _) = $0 { address } else { nil } }
        }
        let order = run()
        #expect(order.count > 5)
        #expect(order == run())
    }
}

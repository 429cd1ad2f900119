/// Scores in the cores: who is found out, how soon, and who must never be punished.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct ScoringMeshTests {
    /// A sequencer, four relays and a replica that follows them all. Some of the relays leave out a share of what they owe.
    struct Net {
        let mesh: Mesh
        let relays: [Mesh.Node]
        let replica: Mesh.Node

        init(
            seed: UInt64, withheldPerMille: [Int] = [0, 0, 0, 0], parityStripes: Int? = nil,
            line: WireParameters = WireParameters()
        ) {
            let mesh = Mesh(seed: seed)
            self.mesh = mesh
            // One shred fills a datagram, as it does at full size.
            let sequencer = mesh.addSequencer { $0.symbolBytesMax = 620 }
            relays = withheldPerMille.enumerated().map { i, share in
                mesh.addRelay("relay\(i)", parents: [sequencer]) { $0.serving.withheldPerMille = share }
            }
            replica = mesh.addReplica("replica", parents: relays) {
                if let parityStripes { $0.following.parityStripes = parityStripes }
            }
            for relay in relays {
                mesh.link(relay, replica, line)
                mesh.link(replica, relay, line)
            }
        }

        func report(_ relay: Int) -> ScoreReport? {
            replica.core.peers.first { $0.address == relays[relay].address }?.score
        }

        /// It has lost its share for what it left out.
        func isFound(_ relay: Int) -> Bool {
            if suspended.contains(relay) { return true }
            guard let report = report(relay) else { return false }
            return report.standing != .good
                && max(report.withheldFast.points, report.withheldSlow.points) >= PeerScore.deferredUntil
        }

        /// Relays that were ever suspended or banned, by place.
        var suspended: Set<Int> {
            Set(
                replica.events.compactMap { event in
                    guard case .parentSilent(let address) = event else { return nil }
                    return relays.firstIndex { $0.address == address }
                })
        }
        var banned: UInt64 { replica.core.statistics.peersBanned }
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `a relay that leaves out 30 percent at 5 percent loss loses its share within 2.5 seconds`(
        _ seed: UInt64
    )
        throws
    {
        let net = Net(
            seed: seed, withheldPerMille: [0, 300, 0, 0],
            line: WireParameters(delay: .milliseconds(15), jitter: .milliseconds(1), lossPerMille: 50))
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 250, transactions: 120)
        #expect(net.isFound(1), "seed \(seed): \(String(describing: net.report(1)))")
        try net.mesh.run(heights: 150, transactions: 120)
        // Others were never suspended, and the stream is whole.
        #expect(net.suspended.isSubset(of: [1]), "seed \(seed)")
        for honest in [0, 2, 3] {
            #expect((net.report(honest)?.withheldSlow.points ?? 0) == 0, "seed \(seed): \(honest)")
        }
        try net.mesh.finish()
        #expect(net.replica.replica.isFinished)
        #expect(net.replica.replica.stateCommitment() == net.mesh.sequencer.stateCommitment())
    }

    @Test(
        arguments: [
            WireParameters(delay: .milliseconds(20), jitter: .milliseconds(2), lossPerMille: 50),
            WireParameters(delay: .milliseconds(60), jitter: .milliseconds(30), lossPerMille: 100),
            WireParameters(delay: .milliseconds(5), megabitsPerSecond: 3, queue: .milliseconds(300)),
        ])
    func `honest relays behind a lossy, a jittery or a full line are never punished`(_ line: WireParameters)
        throws
    {
        let net = Net(seed: 11, line: line)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 300)
        for i in 0..<4 {
            let report = net.report(i)
            #expect(report?.withheldSlow.points == 0, "\(i): \(String(describing: report))")
            #expect((report?.standing ?? .good).rawValue <= PeerStanding.deferred.rawValue)
        }
        #expect(net.banned == 0)
    }

    /// What parents refuse for want of room, and all the time in which heights are pulled.
    @Test func `a line that carries half of the stream is held against nobody, then or later`() throws {
        let net = Net(
            seed: 14, parityStripes: 4, line: WireParameters(delay: .milliseconds(20), megabitsPerSecond: 1))
        net.mesh.run(for: .milliseconds(300))
        func isJust(_ when: String) {
            for i in 0..<4 {
                let report = net.report(i)
                #expect(report?.standing == .good, "\(when), \(i): \(String(describing: report))")
                #expect(report?.withheldSlow.points == 0, "\(when), \(i): \(String(describing: report))")
            }
        }
        for part in 1...4 {
            try net.mesh.run(heights: 100, transactions: 240)
            isJust("second \(part)")
        }
        let counted = net.relays.map { $0.core.statistics }
        #expect(counted.contains { $0.shredsDropped > 0 })
        let wide = WireParameters(delay: .milliseconds(20), megabitsPerSecond: 50)
        for relay in net.relays { net.mesh.link(relay, net.replica, wide) }
        try net.mesh.run(heights: 300, transactions: 60)
        isJust("after it")
        #expect(net.banned == 0)
        try net.mesh.finish()
        #expect(net.replica.replica.isFinished)
    }

    @Test func `an outage of our own line punishes nobody`() throws {
        let net = Net(seed: 12)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 200)
        for length in [30, 100, 250] {
            for relay in net.relays {
                net.mesh.cut(relay, net.replica)
                net.mesh.cut(net.replica, relay)
            }
            try net.mesh.run(heights: length)
            for relay in net.relays {
                net.mesh.cut(relay, net.replica, false)
                net.mesh.cut(net.replica, relay, false)
            }
            try net.mesh.run(heights: 200)
            for i in 0..<4 {
                #expect(
                    net.report(i)?.withheldSlow.points == 0,
                    "after \(length): \(String(describing: net.report(i)))")
                #expect(
                    net.report(i)?.standing == .good, "after \(length): \(String(describing: net.report(i)))")
            }
        }
        #expect(net.banned == 0)
    }

    @Test(arguments: [(true, 20), (false, 200), (true, 200), (true, 1_200)] as [(Bool, Int)])
    func `a pause of our own process punishes nobody`(_ timersFirst: Bool, _ heights: Int) throws {
        let net = Net(seed: 13)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 200)
        net.mesh.pause(net.replica)
        try net.mesh.run(heights: heights, transactions: heights > 1_000 ? 8 : 40)
        net.mesh.resume(net.replica, timersFirst: timersFirst)
        try net.mesh.run(heights: 250)
        for i in 0..<4 {
            let report = net.report(i)
            #expect(report?.withheldSlow.points == 0, "\(i): \(String(describing: report))")
            #expect(report?.standing == .good, "\(i): \(String(describing: report))")
        }
        #expect(net.banned == 0)
        #expect(net.replica.core.statistics.localFaults >= (heights > 30 ? 1 : 0))
    }

    @Test(arguments: [2_000, -2_000] as [Int64])
    func `a step of our own clock punishes nobody`(_ milliseconds: Int64) throws {
        let net = Net(seed: 14)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 200)
        net.replica.clockOffset = .milliseconds(milliseconds)
        try net.mesh.run(heights: 450)
        for i in 0..<4 {
            #expect(net.report(i)?.withheldSlow.points == 0, "\(i): \(String(describing: net.report(i)))")
            #expect(net.report(i)?.standing == .good, "\(i): \(String(describing: net.report(i)))")
        }
        #expect(net.banned == 0)
    }

    @Test func `a relay whose own parent withholds is not taken for the withholder`() throws {
        let mesh = Mesh(seed: 15)
        let line = WireParameters(delay: .milliseconds(15), jitter: .milliseconds(1))
        mesh.parameters = line
        let sequencer = mesh.addSequencer { $0.symbolBytesMax = 200 }
        let cheat = mesh.addRelay("cheat", parents: [sequencer]) { $0.serving.withheldPerMille = 300 }
        let victim = mesh.addRelay("victim", parents: [cheat])
        let honest = mesh.addRelay("honest", parents: [sequencer])
        let replica = mesh.addReplica("replica", parents: [victim, honest])
        mesh.run(for: .milliseconds(500))
        try mesh.run(heights: 400)
        let report = replica.core.peers.first { $0.address == victim.address }?.score
        #expect(report?.withheldSlow.points == 0, "\(String(describing: report))")
        #expect((report?.standing ?? .banned).rawValue <= PeerStanding.deferred.rawValue)
        // Its parent is what it is, though there is no other to go to.
        let above = victim.core.peers.first { $0.address == cheat.address }?.score
        #expect((above?.withheldSlow.value ?? 0) > 200, "\(String(describing: above))")
    }

    @Test func `a relay that behaved for long is found as soon as it defects`() throws {
        let net = Net(seed: 16)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 1_000, transactions: 20)
        #expect(net.suspended.isEmpty)
        (net.relays[2].core as? RelayCore)?.withhold(perMille: 300)
        try net.mesh.run(heights: 200, transactions: 120)
        #expect(net.suspended == [2], "\(String(describing: net.report(2)))")
    }

    @Test func `three forgeries ban the key for a minute, whatever session it comes with`() throws {
        let mesh = Mesh(seed: 17)
        let sequencer = mesh.addSequencer()
        let (_, liar) = HostilePeerTests().addLiar(mesh, "liar", parent: sequencer)
        var left = 0
        liar.say = {
            if left == 0 { return nil }
            left -= 1
            return [0xFF, 1, 2, 3]
        }
        mesh.run(for: .milliseconds(300))
        #expect(sequencer.core.peers.count == 1)
        left = 2
        mesh.run(for: .milliseconds(100))
        let scored = sequencer.core.peers.first?.score
        #expect(scored?.forged.value ?? 0 > 1_900)
        // It leaves and comes back under the same key: what it did is not forgotten.
        liar.reconnect(now: mesh.now)
        mesh.run(for: .milliseconds(500))
        #expect(sequencer.core.peers.first?.score.forged.value ?? 0 > 1_900)
        left = 1
        mesh.run(for: .milliseconds(100))
        #expect(sequencer.core.peers.isEmpty)
        #expect(sequencer.core.statistics.peersBanned == 1)
        liar.reconnect(now: mesh.now)
        mesh.run(for: .seconds(10))
        #expect(sequencer.core.peers.isEmpty)
    }

    @Test func `a flood of control frames is dropped unread and ends the session`() throws {
        let mesh = Mesh(seed: 18)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        let (liarNode, liar) = HostilePeerTests().addLiar(mesh, "liar", parent: sequencer)
        var left = 0
        liar.say = {
            if left == 0 { return nil }
            left -= 1
            // 200 PING frames in a datagram.
            return (0..<200).flatMap { [0x0C, UInt8($0), 0, 0, 0] }
        }
        mesh.run(for: .milliseconds(300))
        let before = mesh.wire(sequencer, liarNode)?.bytes ?? 0
        for _ in 0..<100 {
            left = 2
            try mesh.run(heights: 1)
        }
        #expect(sequencer.core.statistics.framesRefused > 3_000)
        #expect(sequencer.core.statistics.peersBanned == 1)
        #expect(sequencer.core.peers.count == 1)
        let answered = (mesh.wire(sequencer, liarNode)?.bytes ?? 0) - before
        // Four thousand and a second's allowance of PONGs, of 5 bytes each.
        #expect(answered < 80_000)
        try mesh.finish()
        #expect(replica.replica.isFinished)
    }

    // MARK: Paths

    @Test func `a replica that moves to another address is followed there after one round trip`() throws {
        let mesh = Mesh(seed: 19)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 100)
        replica.movedTo = PeerAddress(ipv4: 0x0505_0505, port: 7)
        try mesh.run(heights: 100)
        #expect(sequencer.core.peers.first?.address == replica.movedTo)
        #expect(sequencer.core.statistics.pathsMoved == 1)
        try mesh.finish()
        #expect(replica.replica.isFinished)
    }

    @Test func `datagrams passed on from a forged address move nothing, and little goes there`() throws {
        let mesh = Mesh(seed: 20)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 100)
        // All that the replica says seems to come from somebody else's address, where nobody answers.
        let victim = PeerAddress(ipv4: 0x0606_0606, port: 53)
        replica.pretendsToBeAt = victim
        try mesh.run(heights: 200)
        #expect(sequencer.core.peers.first?.address == replica.address)
        #expect(sequencer.core.statistics.pathsMoved == 0)
        // Probes of 29 bytes, and not one more.
        let sent = mesh.sentTo[victim] ?? 0
        #expect(sent > 0 && sent <= 29 * AdmissionLimits.pathProbesMax, "\(sent) bytes")
        try mesh.finish()
        #expect(replica.replica.isFinished)
    }
}

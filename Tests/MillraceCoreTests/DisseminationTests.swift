/// Sequencer, relays and replicas over lossy wires on virtual time.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct DisseminationTests {
    /// Every replica has finished, with the sequencer's commitment.
    func expectAllEqual(
        _ mesh: Mesh, _ replicas: [Mesh.Node], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let expected = mesh.sequencer.stateCommitment()
        for node in replicas {
            #expect(node.stops.isEmpty, "\(node.name) stopped", sourceLocation: sourceLocation)
            #expect(
                node.replica.isFinished,
                "\(node.name) is at \(node.replica.appliedHeight): \(node.core.statistics)",
                sourceLocation: sourceLocation)
            #expect(
                node.replica.stateCommitment() == expected, "\(node.name)", sourceLocation: sourceLocation)
        }
    }

    @Test func `a replica follows a sequencer over a clean wire without asking for anything`() throws {
        let mesh = Mesh(seed: 1)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(200))
        try mesh.run(heights: 150)
        try mesh.finish()
        expectAllEqual(mesh, [replica])
        let counted = replica.core.statistics
        #expect(counted.repairsAsked == 0)
        #expect(counted.shredsDuplicate == 0)
        #expect(counted.shredsInvalid == 0)
        #expect(counted.commitmentsChecked == 2)
        #expect(mesh.sequencer.isDelivered)
        // Ten milliseconds of wire, and what pacing adds.
        #expect(replica.lags.dropFirst(20).allSatisfy { $0 < 25 })
    }

    @Test func `datagrams leave and mini-blocks are told of before their share of the commitment is hashed`()
        throws
    {
        let mesh = Mesh(seed: 1)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(200))
        try mesh.run(heights: 210)
        try mesh.finish()
        expectAllEqual(mesh, [replica])
        #expect(replica.core.statistics.commitmentsChecked == 3)
        for node in [sequencer, replica] {
            // Once for each height, but for the empty ones at the end.
            #expect(node.flushes >= 205, "\(node.name)")
            #expect(node.urgentAfterFlush == 0, "\(node.name)")
        }
    }

    @Test(arguments: [UInt64(2), 3])
    func `replicas behind relays keep up over lossy wires`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        mesh.parameters = WireParameters(delay: .milliseconds(5))
        let sequencer = mesh.addSequencer()
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let replicas = (1...3).map { mesh.addReplica("replica\($0)", parents: relays) }
        for (i, replica) in replicas.enumerated() {
            for relay in relays {
                let lossy = WireParameters(
                    delay: .milliseconds(20), jitter: .milliseconds(2), lossPerMille: [10, 30, 50][i],
                    megabitsPerSecond: 50)
                mesh.link(relay, replica, lossy)
                mesh.link(replica, relay, lossy)
            }
        }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 220)
        try mesh.finish()
        expectAllEqual(mesh, replicas)
        var (asked, useful) = (UInt64(0), UInt64(0))
        for replica in replicas {
            let counted = replica.core.statistics
            print(
                "seed \(seed) \(replica.name): asked \(counted.repairsAsked) useful \(counted.repairsUseful) wasted",
                "\(counted.repairsWasted) timed out \(counted.repairsTimedOut) missed \(counted.missesReceived)",
                "stored \(counted.shredsStored) duplicates \(counted.shredsDuplicate)",
                "lag p50 \(percentile(replica.lags, 50)) p99 \(percentile(replica.lags, 99))")
            // The last empty mini-blocks may be asked for as heights.
            asked += counted.repairsAsked - min(counted.heightsCaughtUp, counted.repairsAsked)
            useful += counted.repairsUseful
            #expect(counted.shredsDuplicate * 20 < counted.shredsStored)
        }
        // Parity leaves little to ask for (most runs: under thirty shreds), and may bring some of it after all: two to spare.
        #expect((useful + 2) * 10 >= asked * 8)
    }

    @Test(arguments: [UInt64(11), 12])
    func `a relay that is killed leaves replicas with two parents in step`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        mesh.parameters = WireParameters(delay: .milliseconds(10), jitter: .milliseconds(1), lossPerMille: 10)
        let sequencer = mesh.addSequencer()
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let replicas = (1...2).map { mesh.addReplica("replica\($0)", parents: relays) }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 100)
        relays[0].isAlive = false
        let before = replicas.map(\.lags.count)
        try mesh.run(heights: 200)
        for (i, replica) in replicas.enumerated() {
            #expect(replica.replica.appliedHeight + 10 >= mesh.sequencer.nextHeight)
            #expect(replica.count { if case .parentSilent = $0 { true } else { false } } == 1)
            let after = replica.lags[(before[i] + 5)...]
            print(
                "\(seed) \(replica.name): longest lag after the kill \(after.max() ?? 0), p99 \(percentile(Array(after), 99))"
            )
            // The silence is noticed after 30 ms and repaired within a few round trips of 40 ms.
            #expect(after.allSatisfy { $0 < 400 })
            #expect(after.suffix(100).allSatisfy { $0 < 200 })
        }
        try mesh.finish()
        expectAllEqual(mesh, replicas)
    }

    @Test func `a relay that comes back is a parent again`() throws {
        let mesh = Mesh(seed: 13)
        let sequencer = mesh.addSequencer()
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let replica = mesh.addReplica("replica", parents: relays)
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 50)
        for relay in relays.prefix(1) {
            mesh.link(relay, replica, mesh.parameters)
            mesh.link(replica, relay, mesh.parameters)
            mesh.cut(relay, replica)
            mesh.cut(replica, relay)
        }
        try mesh.run(heights: 250)
        #expect(replica.core.peers.count == 1)
        mesh.cut(relays[0], replica, false)
        mesh.cut(replica, relays[0], false)
        try mesh.run(heights: 700, transactions: 2)
        #expect(replica.core.peers.filter { $0.stripesFrom > 0 && !$0.isSilent }.count == 2)
        try mesh.finish()
        expectAllEqual(mesh, [replica])
    }

    @Test(arguments: [UInt64(21), 22])
    func `a replica that comes late catches up without flooding its link`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer()
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let first = mesh.addReplica("first", parents: relays)
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 300)
        let late = mesh.addReplica("late", parents: relays)
        let link = WireParameters(delay: .milliseconds(40), lossPerMille: 10, megabitsPerSecond: 6)
        for relay in relays {
            mesh.link(relay, late, link)
            mesh.link(late, relay, link)
        }
        try mesh.run(heights: 400)
        let counted = late.core.statistics
        print(
            "late: applied \(late.replica.appliedHeight) of \(mesh.sequencer.nextHeight - 1),",
            "caught up \(counted.heightsCaughtUp)",
            "asked \(counted.repairsAsked) useful \(counted.repairsUseful) wasted \(counted.repairsWasted)",
            "timed out \(counted.repairsTimedOut) duplicates \(counted.shredsDuplicate)",
            "queue drops \(relays.map { mesh.wire($0, late)?.dropped ?? 0 })")
        #expect(late.replica.appliedHeight + 20 >= mesh.sequencer.nextHeight)
        try mesh.finish()
        expectAllEqual(mesh, [first, late])
        #expect(relays.allSatisfy { mesh.wire($0, late)?.dropped ?? 0 < 50 })
    }

    @Test func `an outage of three seconds is caught up`() throws {
        let mesh = Mesh(seed: 31)
        let sequencer = mesh.addSequencer()
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let replica = mesh.addReplica("replica", parents: relays)
        let link = WireParameters(delay: .milliseconds(50), megabitsPerSecond: 6)
        for relay in relays {
            mesh.link(relay, replica, link)
            mesh.link(replica, relay, link)
        }
        mesh.run(for: .milliseconds(500))
        try mesh.run(heights: 100)
        for relay in relays {
            mesh.cut(relay, replica)
            mesh.cut(replica, relay)
        }
        try mesh.run(heights: 300)
        for relay in relays {
            mesh.cut(relay, replica, false)
            mesh.cut(replica, relay, false)
        }
        try mesh.run(heights: 500)
        #expect(replica.replica.appliedHeight + 20 >= mesh.sequencer.nextHeight, "\(replica.core.statistics)")
        try mesh.finish()
        expectAllEqual(mesh, [replica])
    }

    @Test
    func `who does not know the stream yet is sent a third of parity on a long way, whatever slices are`()
        throws
    {
        let mesh = Mesh(seed: 43)
        mesh.parameters = WireParameters(delay: .milliseconds(150))
        let sequencer = mesh.addSequencer(parityCount: 8)
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .seconds(2))
        // Losses are known 24 heights after the first has come, and what follows from them a round trip later.
        try mesh.run(heights: 40)
        mesh.run(for: .milliseconds(200))
        let received = replica.core.statistics.received
        #expect(received.payload > 0)
        #expect(received.parity * 100 >= received.payload * 33)
        // Slices are of few shreds, and a third is rounded up.
        #expect(received.parity * 100 <= received.payload * 55)
        try mesh.finish(settle: .seconds(5))
        expectAllEqual(mesh, [replica])
    }

    @Test func `long and lossy: 300 ms of round trip and 5 % loss`() throws {
        let mesh = Mesh(seed: 41)
        let sequencer = mesh.addSequencer(parityCount: 12)
        let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
        let replica = mesh.addReplica("replica", parents: relays) { $0.following.parityStripes = 4 }
        let link = WireParameters(
            delay: .milliseconds(150), jitter: .milliseconds(5), lossPerMille: 50, megabitsPerSecond: 50)
        for relay in relays {
            mesh.link(relay, replica, link)
            mesh.link(replica, relay, link)
        }
        mesh.run(for: .seconds(2))
        try mesh.run(heights: 400, transactions: 100)
        #expect(replica.replica.appliedHeight + 120 >= mesh.sequencer.nextHeight)
        try mesh.finish(settle: .seconds(5))
        expectAllEqual(mesh, [replica])
        let counted = replica.core.statistics
        print(
            "300 ms, 5 %: lag p50 \(percentile(replica.lags, 50)) p99 \(percentile(replica.lags, 99))",
            "asked \(counted.repairsAsked) useful \(counted.repairsUseful) wasted \(counted.repairsWasted)",
            "timed out \(counted.repairsTimedOut) headers \(counted.headersAccepted) \(counted.headersDuplicate)",
            "recovered \(counted.headersRecovered)")
        // One header in twenty is lost, and sums bring nearly all of them back.
        #expect(counted.headersRecovered >= 10)
    }

    @Test func `an idle stream costs little and still checks its commitments`() throws {
        let mesh = Mesh(seed: 51)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 20)
        let before = mesh.wire(sequencer, replica)?.bytes ?? 0
        try mesh.run(heights: 1_000, transactions: 0)
        let idle = (mesh.wire(sequencer, replica)?.bytes ?? 0) - before
        print("idle: \(idle * 8 / 10) bit/s")
        #expect(idle * 8 / 10 < 100_000)
        #expect(replica.replica.appliedHeight + 15 >= mesh.sequencer.nextHeight)
        try mesh.run(heights: 30)
        try mesh.finish()
        expectAllEqual(mesh, [replica])
        #expect(replica.core.statistics.commitmentsChecked == 11)
    }

    @Test func `a mini-block that ends a run of empty ones keeps its payload`() throws {
        let mesh = Mesh(seed: 52)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        for (empty, full) in [(0, 3), (4, 1), (7, 2), (13, 1), (1, 1), (29, 5), (64, 1)] {
            try mesh.run(heights: empty, transactions: 0)
            try mesh.run(heights: full)
        }
        try mesh.finish()
        expectAllEqual(mesh, [replica])
    }

    @Test func `a mini-block of many slices arrives over a lossy wire`() throws {
        let mesh = Mesh(seed: 61)
        mesh.parameters = WireParameters(delay: .milliseconds(10), lossPerMille: 20)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 10)
        try mesh.run(heights: 2, transactions: 1_500)
        try mesh.run(heights: 100)
        try mesh.finish()
        expectAllEqual(mesh, [replica])
        #expect(
            replica.events.contains {
                if case .applied(let block) = $0 { block.payloadBytes > 40_000 } else { false }
            })
    }

    @Test func `equal seeds give equal runs`() throws {
        func run() throws -> [Double] {
            let mesh = Mesh(seed: 71)
            mesh.parameters = WireParameters(
                delay: .milliseconds(15), jitter: .milliseconds(4), lossPerMille: 40)
            let sequencer = mesh.addSequencer()
            let relays = [1, 2].map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
            let replica = mesh.addReplica("replica", parents: relays)
            mesh.run(for: .milliseconds(300))
            try mesh.run(heights: 120)
            try mesh.finish()
            return replica.lags + [Double(replica.core.statistics.datagramsReceived)]
        }
        #expect(try run() == run())
    }

    func percentile(_ values: [Double], _ percent: Int) -> Double {
        if values.isEmpty { return 0 }
        return values.sorted()[min(values.count - 1, values.count * percent / 100)]
    }
}

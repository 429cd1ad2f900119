/// Replicas whose line cannot carry the stream, or was gone, or that come late: they go on by windows of coarser cadences and
/// return, and their state is the one of everybody else.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceWire
import Testing

@testable import MillraceCore

/// A sequencer that makes windows, two relays, replicas behind them, and a workload whose keys are hot: a second of it is
/// much smaller than its mini-blocks.
private struct Network {
    let mesh: Mesh
    let sequencer: Mesh.Node
    let relays: [Mesh.Node]

    init(seed: UInt64, relays count: Int = 2) {
        mesh = Mesh(seed: seed)
        mesh.parameters = WireParameters(delay: .milliseconds(5))
        sequencer = mesh.addSequencer {
            $0.windows = .inline
            $0.symbolBytesMax = 400
        }
        mesh.workload.isHot = true
        relays = (0..<count).map { [mesh, sequencer] in mesh.addRelay("relay\($0)", parents: [sequencer]) }
    }

    func replica(_ name: String, _ wire: WireParameters, cadence: Cadence? = nil) -> Mesh.Node {
        let replica = mesh.addReplica(name, parents: relays) { $0.following.cadence = cadence }
        link(replica, wire)
        return replica
    }

    /// The line of a replica: what comes down it is slow, what goes up is not.
    func link(_ replica: Mesh.Node, _ wire: WireParameters) {
        for relay in relays {
            mesh.link(relay, replica, wire)
            mesh.link(replica, relay, WireParameters(delay: wire.delay))
        }
    }

    func cut(_ replica: Mesh.Node, _ isCut: Bool) {
        for relay in relays {
            mesh.cut(relay, replica, isCut)
            mesh.cut(replica, relay, isCut)
        }
    }

    /// How far the state is behind, in heights.
    func behind(_ replica: Mesh.Node) -> UInt64 {
        mesh.sequencer.nextHeight - 1 - replica.replica.appliedHeight
    }
}

extension Mesh.Node {
    var cadences: [Cadence] {
        events.compactMap { if case .cadence(_, let to, _) = $0 { to } else { nil } }
    }

    /// Every height was applied once, in order.
    func expectContiguous(sourceLocation: SourceLocation = #_sourceLocation) {
        var next: UInt64 = 1
        for event in events {
            guard case .applied(let block) = event else { continue }
            #expect(block.firstHeight == next, "\(name)", sourceLocation: sourceLocation)
            next = block.lastHeight + 1
        }
        #expect(next == replica.appliedHeight + 1, sourceLocation: sourceLocation)
    }
}

@Suite(.serialized) struct CadenceFollowingTests {
    private func expectSame(
        _ network: Network, _ replicas: [Mesh.Node], sourceLocation: SourceLocation = #_sourceLocation
    ) {
        let expected = network.mesh.sequencer.stateCommitment()
        for node in replicas {
            #expect(node.stops.isEmpty, "\(node.name): \(node.stops)", sourceLocation: sourceLocation)
            #expect(
                node.replica.isFinished, "\(node.name) is at \(node.replica.appliedHeight)",
                sourceLocation: sourceLocation)
            #expect(
                node.replica.stateCommitment() == expected, "\(node.name)", sourceLocation: sourceLocation)
            node.expectContiguous(sourceLocation: sourceLocation)
        }
    }

    @Test func `a line too slow for the stream is left for windows, and the stream taken up again`() throws {
        let network = Network(seed: 1)
        let mesh = network.mesh
        let fast = WireParameters(delay: .milliseconds(20), megabitsPerSecond: 3)
        let replica = network.replica("replica", fast)
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 200, transactions: 10)
        #expect(replica.core.statistics.cadence == .c0)
        #expect(network.behind(replica) < 10)
        var slow = fast
        slow.kilobitsPerSecond = 150
        network.link(replica, slow)
        try mesh.run(heights: 1_200, transactions: 10)
        #expect(replica.core.statistics.cadence.rawValue >= Cadence.c2.rawValue)
        #expect(network.behind(replica) < 600)
        network.link(replica, fast)
        try mesh.run(heights: 500, transactions: 10)
        #expect(replica.core.statistics.cadence == .c0)
        #expect(network.behind(replica) < 20)
        #expect(replica.count { if case .peerDown = $0 { true } else { false } } == 0)
        try mesh.finish()
        expectSame(network, [replica])
        #expect(replica.cadences.last == .c0)
    }

    @Test func `after an outage the gap is taken in windows, and the stream goes on meanwhile`() throws {
        let network = Network(seed: 2)
        let mesh = network.mesh
        let line = WireParameters(delay: .milliseconds(20), megabitsPerSecond: 1)
        let replica = network.replica("replica", line)
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 250, transactions: 10)
        network.cut(replica, true)
        try mesh.run(heights: 1_000, transactions: 10)
        network.cut(replica, false)
        try mesh.run(heights: 500, transactions: 10)
        #expect(network.behind(replica) < 20)
        #expect(replica.core.statistics.cadence == .c0)
        #expect(replica.core.statistics.windowsApplied > 0)
        try mesh.finish()
        expectSame(network, [replica])
    }

    @Test func `one who is told its cadence follows that one, whatever its line carries`() throws {
        let network = Network(seed: 5)
        let mesh = network.mesh
        let line = WireParameters(delay: .milliseconds(20), megabitsPerSecond: 5)
        let told = [Cadence.c1, .c2, .c3]
        let replicas = told.map { network.replica("\($0)", line, cadence: $0) }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 2_345, transactions: 6)
        for (replica, told) in zip(replicas, told) {
            #expect(network.behind(replica) <= told.heights + 30)
            #expect(replica.core.statistics.cadence == told)
            let finer = replica.events.count {
                if case .applied(let block) = $0 {
                    block.cadence < told && block.lastHeight > told.heights
                } else {
                    false
                }
            }
            #expect(finer == 0)
        }
        try mesh.finish()
        expectSame(network, replicas)
    }

    @Test func `relays make windows of what they carried, and the sequencer sends only their headers`() throws
    {
        let network = Network(seed: 14)
        let mesh = network.mesh
        let line = WireParameters(delay: .milliseconds(10), megabitsPerSecond: 10)
        let told: [Cadence] = [.c1, .c2]
        let replicas = told.map { network.replica("\($0)", line, cadence: $0) }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 500, transactions: 20)
        for (replica, cadence) in zip(replicas, told) {
            #expect(replica.core.statistics.cadence == cadence)
            #expect(network.behind(replica) < 30 + cadence.heights * 2)
        }
        let relays = network.relays.map { $0.core.statistics }
        let sent = network.sequencer.core.statistics.sent
        #expect(replicas.allSatisfy { $0.core.statistics.received.repair > 10_000 })
        let answered = replicas.reduce(0) { $0 + $1.core.statistics.received.repair }
        #expect(sent.repair < answered / 4, "\(sent.repair) of \(answered)")
        #expect(relays.allSatisfy { $0.shredsInvalid == 0 && $0.offences == 0 })
        try mesh.finish()
        expectSame(network, replicas)
    }

    @Test func `one who comes late takes seconds of history, then tenths, then mini-blocks`() throws {
        let network = Network(seed: 3)
        let mesh = network.mesh
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 1_234, transactions: 10)
        let line = WireParameters(delay: .milliseconds(20), lossPerMille: 20, megabitsPerSecond: 1)
        let late = network.replica("late", line)
        let other = network.replica("other", line)
        try mesh.run(heights: 800, transactions: 10)
        for node in [late, other] {
            #expect(network.behind(node) < 20)
            #expect(node.core.statistics.cadence == .c0)
            // One c3 window stands for a thousand heights.
            #expect(node.core.statistics.miniBlocks == node.replica.appliedHeight)
            #expect(node.core.statistics.windowsApplied > 2)
        }
        // The relays fetched each slice once.
        for relay in network.relays { #expect(relay.core.statistics.shredsDuplicate < 200) }
        try mesh.finish()
        expectSame(network, [late, other])
    }

    @Test(arguments: [UInt64(11), 12])
    func `whatever the line does, the state is that of the sequencer`(seed: UInt64) throws {
        let network = Network(seed: seed)
        let mesh = network.mesh
        var random = Seed(seed).generator("lines")
        let replicas = (0..<3).map { network.replica("replica\($0)", WireParameters(megabitsPerSecond: 3)) }
        mesh.run(for: .milliseconds(300))
        for _ in 0..<7 {
            for replica in replicas {
                switch random.below(4) {
                case 0: network.cut(replica, true)
                case 1:
                    network.cut(replica, false)
                    network.link(
                        replica,
                        WireParameters(
                            delay: .milliseconds(Int64(random.below(100))), jitter: .milliseconds(3),
                            lossPerMille: random.below(50), kilobitsPerSecond: Int64(100 + random.below(300)))
                    )
                default:
                    network.cut(replica, false)
                    network.link(
                        replica,
                        WireParameters(
                            delay: .milliseconds(Int64(random.below(100))), lossPerMille: random.below(20),
                            megabitsPerSecond: 5))
                }
            }
            try mesh.run(heights: Int(50 + random.below(250)), transactions: 6)
        }
        for replica in replicas {
            network.link(replica, WireParameters(megabitsPerSecond: 5))
            network.cut(replica, false)
        }
        try mesh.finish(settle: .seconds(20))
        expectSame(network, replicas)
        #expect(replicas.contains { $0.core.statistics.windowsApplied > 0 })
    }
}

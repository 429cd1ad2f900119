/// Whole runs: equal seeds, both fidelities, books that balance, verdicts that any line forces.

import MillraceBase
import MillraceCore
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct SimulationTests {
    static func workload(_ text: String) throws -> WorkloadSpec { try WorkloadSpec(text) }

    static func line(_ text: String) throws -> AccessLink {
        AccessLink(
            text: text, down: try LinkParameters(text: text, direction: .down),
            up: try LinkParameters(text: text, direction: .up))
    }

    /// Payloads of 9,400 bytes, a thousand transactions each: swaps, about.
    static func steady(_ workload: WorkloadSpec) -> PayloadSizes {
        PayloadSizes(
            workload: workload, payloadBytes: (0..<100).map { 9_300 + $0 * 2 },
            transactions: Array(repeating: 1_000, count: 100))
    }

    static func run(
        _ link: String, seconds: Int = 3, replicas: Int = 1, seed: UInt64 = 1, parity: Int = 4
    ) throws -> SimulationResult {
        let workload = WorkloadSpec(.swap)
        let scenario = Scenario.link(
            try line(link), workload: workload, seconds: seconds, fidelity: .network, replicas: replicas,
            parityCount: parity)
        let simulation = try Simulation(scenario, seed: seed, sizes: steady(workload))
        try simulation.run()
        return simulation.result(wallSeconds: 1)
    }

    @Test func `equal seeds give equal traces, other seeds others`() throws {
        let link = "rate=25,rtt=50,jitter=2,loss=1%,burst=2,duplicate=1%,reorder=1%,corrupt=0.1%"
        let one = try SimulationTests.run(link, replicas: 2)
        let two = try SimulationTests.run(link, replicas: 2)
        let other = try SimulationTests.run(link, replicas: 2, seed: 2)
        #expect(one.traceHash == two.traceHash)
        #expect(one.traceHash != other.traceHash)
        #expect(one.verdict == .keepsUp)
    }

    @Test func `a line with room keeps up, with the lag that it must have`() throws {
        let result = try SimulationTests.run("rate=25,rtt=100")
        let replica = try #require(result.nodes.last)
        #expect(result.verdict == .keepsUp)
        // 50 ms of way, 3.3 ms for a mini-block at 25 Mbit/s, and processing; never less than the way.
        #expect(replica.lagMsP50 > 50 && replica.lagMsP50 < 65)
        #expect(replica.heightsBehind == 0)
    }

    @Test func `a line that is too slow falls behind, and the answer says by how much`() throws {
        let result = try SimulationTests.run("rate=6,rtt=50", seconds: 5)
        #expect(result.verdict == .fallsBehind)
        let shortage = try #require(result.nodes.last?.shortage)
        #expect(shortage.resource == .link)
        // The stream is some 8.2 Mbit/s on the wire.
        #expect(shortage.mbitPerSec > 1.5 && shortage.mbitPerSec < 3.5)
    }

    @Test func `a core is told of every datagram that its line has marked`() throws {
        let workload = WorkloadSpec(.swap)
        let scenario = Scenario.link(
            try SimulationTests.line("rate=5,rtt=30,aqm=codel,ecn=on,queue=400000"), workload: workload,
            seconds: 1,
            fidelity: .network)
        let simulation = try Simulation(scenario, seed: 1, sizes: SimulationTests.steady(workload))
        try simulation.run()
        let replica = try #require(simulation.nodes.last)
        #expect(replica.down.model.counters.marked > 0)
        #expect(replica.statistics.datagramsMarked == replica.down.model.counters.marked)
    }

    @Test func `a slow processor is told from a slow line`() throws {
        let workload = WorkloadSpec(.swap)
        var scenario = Scenario.link(
            try SimulationTests.line("rate=100,rtt=20"), workload: workload, seconds: 4, fidelity: .network)
        scenario.groups[2].processor.applyNanoseconds = 15_000
        let simulation = try Simulation(scenario, seed: 1, sizes: SimulationTests.steady(workload))
        try simulation.run()
        let result = simulation.result(wallSeconds: 1)
        #expect(result.verdict == .fallsBehind)
        #expect(result.nodes.last?.shortage?.resource == .processor)
    }

    @Test func `both fidelities tell the same lags of fifty nodes`() throws {
        // A small stream: the debug build encodes, encrypts and decodes every byte of one of the two runs. `fifty.toml` is the
        // larger one, for release builds.
        let workload = try SimulationTests.workload("erc20?tps=500&accounts=200&tokens=5")
        var lags: [[Double]] = []
        for fidelity in [Fidelity.full, .network] {
            var scenario = Scenario.link(
                try SimulationTests.line("rate=3,rtt=60,loss=1%,burst=2"), workload: workload, seconds: 2,
                fidelity: fidelity, replicas: 44, parityCount: 2)
            scenario.groups[1].count = 5
            #expect(scenario.nodeCount == 50)
            let sizes = fidelity == .network ? try PayloadSizes(measuring: workload, seconds: 2) : nil
            let simulation = try Simulation(scenario, seed: 7, sizes: sizes)
            try simulation.run()
            let result = simulation.result(wallSeconds: 1)
            let replicas = result.nodes.filter { $0.role == .replica }
            lags.append(replicas.flatMap { [$0.lagMsP50, $0.lagMsP99] })
        }
        for (full, network) in zip(lags[0], lags[1]) { #expect(abs(full - network) <= 0.05 * full) }
    }

    @Test(arguments: [
        "rate=16,rtt=40,loss=1%,burst=2", "rate=9,rtt=100,jitter=4,loss=3%,reorder=1%,reorderby=9",
    ])
    func `nodes that take turns do what they would do event by event`(line: String) throws {
        let workload = WorkloadSpec(.swap)
        var scenario = Scenario.link(
            try SimulationTests.line(line), workload: workload, seconds: 3, fidelity: .network, replicas: 3)
        scenario.groups[2].driftPPM = 100
        // A processor that is free again at the very nanosecond of a timer leaves open which is first.
        scenario.groups[2].processor = .unlimited
        let replica = NodeSelector(group: "replica", share: .one(1))
        scenario.faults = [
            Fault(.pause, replica, at: .microseconds(1_003_001), lasts: .milliseconds(171)),
            Fault(.partition, replica, at: .milliseconds(2_000), lasts: .milliseconds(303)),
        ]
        func run(byTurns: Bool) throws -> SimulationResult {
            let simulation = try Simulation(scenario, seed: 5, sizes: SimulationTests.steady(workload))
            simulation.allowsTurns = byTurns
            try simulation.run()
            #expect(simulation.ledgerFault == nil)
            #expect(simulation.turnGroups.reduce(0) { $0 + $1.nodes.count } == (byTurns ? 3 : 0))
            return simulation.result(wallSeconds: 1)
        }
        let (turns, events) = (try run(byTurns: true), try run(byTurns: false))
        for (one, other) in zip(turns.nodes, events.nodes) {
            #expect(one.appliedHeight == other.appliedHeight)
            let isEqual = one.lagsMicroseconds == other.lagsMicroseconds
            #expect(isEqual, "\(one.name)")
            #expect(one.received == other.received && one.sent == other.sent)
        }
    }

    @Test func `nodes behind one line share it`() throws {
        let workload = WorkloadSpec(.swap)
        func run(_ behind: String?, _ text: String) throws -> SimulationResult {
            var scenario = Scenario.link(
                try SimulationTests.line("rate=100,rtt=20"), workload: workload, seconds: 3,
                fidelity: .network, replicas: 4)
            scenario.sharedLines = [
                SharedLineGroup(name: "street", link: try SimulationTests.line(text), nodesPerLine: 2)
            ]
            scenario.groups[2].behind = behind
            let simulation = try Simulation(scenario, seed: 1, sizes: SimulationTests.steady(workload))
            try simulation.run()
            #expect(simulation.ledgerFault == nil)
            return simulation.result(wallSeconds: 1)
        }
        // Two streams of some 10 Mbit/s: 15 is enough for one, and 40 for both.
        #expect(try run(nil, "rate=15").verdict == .keepsUp)
        #expect(try run("street", "rate=15").verdict == .fallsBehind)
        for queue in ["rate=40,delay=5", "rate=40,delay=5,aqm=fq-codel"] {
            let result = try run("street", queue)
            #expect(result.verdict == .keepsUp)
            let lines = result.links.filter { $0.node.hasPrefix("street") && $0.direction == "down" }
            #expect(lines.map(\.node) == ["street-0", "street-1"])
            #expect(lines.allSatisfy { $0.counters.deliveredDatagrams > 1_000 })
            let replica = try #require(result.nodes.last)
            #expect(replica.lagMsP50 > 15)
        }
    }

    @Test func `churn ends and begins processes, and all of them converge`() throws {
        let workload = try SimulationTests.workload("erc20?tps=2000&accounts=500&tokens=5")
        var scenario = Scenario.link(
            try SimulationTests.line("rate=10,rtt=40"), workload: workload, seconds: 5, fidelity: .network,
            replicas: 6, parityCount: 2)
        scenario.faults = [
            Fault(
                .churn(up: .milliseconds(700), down: .milliseconds(200)), NodeSelector(group: "replica"),
                at: .milliseconds(500), lasts: .seconds(3))
        ]
        let sizes = PayloadSizes(
            workload: workload, payloadBytes: Array(repeating: 300, count: 100),
            transactions: Array(repeating: 20, count: 100))
        let simulation = try Simulation(scenario, seed: 2, sizes: sizes)
        #expect(simulation.faults.count > 6)
        try simulation.run()
        #expect(simulation.ledgerFault == nil)
        for node in simulation.replicas {
            #expect(node.core != nil && node.appliedHeight == UInt64(simulation.sealedAt.count))
        }
        #expect(simulation.replicas.contains { $0.upTimes > 2 })
    }
}

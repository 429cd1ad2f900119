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

    @Test func `both fidelities tell the same lags`() throws {
        // A small stream: the debug build encodes, encrypts and decodes every byte of one of the two runs.
        let workload = try SimulationTests.workload("erc20?tps=2000&accounts=500&tokens=5")
        let link = try SimulationTests.line("rate=3,rtt=40,loss=1%,burst=2")
        var lags: [[Double]] = []
        for fidelity in [Fidelity.full, .network] {
            var scenario = Scenario.link(
                link, workload: workload, seconds: 2, fidelity: fidelity, replicas: 3, parityCount: 2)
            scenario.groups[1].count = 2
            let sizes = fidelity == .network ? try PayloadSizes(measuring: workload, seconds: 2) : nil
            let simulation = try Simulation(scenario, seed: 7, sizes: sizes)
            try simulation.run()
            let result = simulation.result(wallSeconds: 1)
            #expect(result.verdict == .keepsUp)
            let replicas = result.nodes.filter { $0.role == .replica }
            lags.append(replicas.flatMap { [$0.lagMsP50, $0.lagMsP99] })
        }
        for (full, network) in zip(lags[0], lags[1]) { #expect(abs(full - network) <= 0.05 * full) }
    }
}

/// Networks whose nodes find each other, under virtual time.

import MillraceBase
import MillraceCore
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct OpenMembershipTests {
    @Test(arguments: [UInt64(1), 2])
    func `nodes that know two relays find their parents, keep up, and equal seeds do it equally`(seed: UInt64)
        throws
    {
        let scenario = try Scenario(
            toml: """
                name = "open"
                load = { workload = "swap?pools=50", tps = 2_000, seconds = 4 }
                [nodes]
                sequencer = {}
                seed = { role = "relay", count = 2, link = "rate=1G,delay=1" }
                relay = { count = 6, link = "rate=1G,delay=2", bootstrap = ["seed"] }
                replica = { count = 10, link = "rate=25,rtt=40,loss=0.5%", bootstrap = ["seed"] }
                """, file: "open.toml")
        let first = try run(scenario, seed: seed)
        for node in first.nodes where node.role == .replica {
            #expect(node.verdict == .keepsUp, "\(node.name): \(node.verdict)")
            #expect(node.heightsBehind == 0)
            #expect(node.parentsFound == 8, "\(node.name) has found \(node.parentsFound) parents")
            // At any moment one of them may give nothing: its handshake was lost, or its stripes are with others for now.
            #expect(node.parents >= 7, "\(node.name) has \(node.parents) parents")
        }
        for node in first.nodes where node.name.hasPrefix("relay") {
            #expect(node.parentsFound >= 2, "\(node.name)")
        }
        #expect(try run(scenario, seed: seed).traceHash == first.traceHash)
    }

    private func run(_ scenario: Scenario, seed: UInt64) throws -> SimulationResult {
        let simulation = try Simulation(
            scenario, seed: seed, sizes: SimulationTests.steady(scenario.workload))
        try simulation.run()
        #expect(simulation.ledgerFault == nil)
        return simulation.result(wallSeconds: 1)
    }
}

/// Runs a scenario that a seed draws under the oracles, and makes a failure small.

import MillraceBase
import MillraceLink
public import MillraceWorkload

public struct SwarmFailure: Sendable {
    public var seed: UInt64
    public var sentence: String
    public var scenario: Scenario
}

/// Payload sizes of the swarm's loads, measured when first asked for.
public final class SwarmLoads {
    private var known: [WorkloadSpec: PayloadSizes] = [:]
    public init() {}

    public func sizes(_ scenario: Scenario) throws(WorkloadError) -> PayloadSizes? {
        guard scenario.fidelity == .network else { return nil }
        if let sizes = known[scenario.workload] { return sizes }
        let sizes = try PayloadSizes(measuring: scenario.workload, seconds: PayloadSizes.sampleSeconds)
        known[scenario.workload] = sizes
        return sizes
    }
}

public enum Swarm {
    public static func scenario(_ seed: UInt64) -> Scenario { SwarmDraw.scenario(seed) }

    /// What went wrong, or nil. The seed is that of the run; the scenario need not be the one it draws.
    public static func check(_ scenario: Scenario, seed: UInt64, loads: SwarmLoads) throws(WorkloadError)
        -> String?
    {
        let simulation = try Simulation(scenario, seed: seed, sizes: try loads.sizes(scenario))
        let oracles = Oracles(simulation)
        oracles.watch(simulation)
        try simulation.run()
        if let broken = simulation.brokenOff { return broken }
        if let broken = simulation.ledgerFault { return broken }
        oracles.conclude(simulation)
        return oracles.failure
    }

    /// The smallest scenario found that still fails, by leaving things out for as long as that helps. At most `runsMax` runs.
    public static func shrink(
        _ scenario: Scenario, seed: UInt64, loads: SwarmLoads, runsMax: Int = 200
    ) throws(WorkloadError) -> (scenario: Scenario, sentence: String, runs: Int) {
        var best = scenario
        var sentence = try check(best, seed: seed, loads: loads) ?? ""
        var runs = 1
        var improved = true
        while improved, runs < runsMax {
            improved = false
            for smaller in candidates(best) where runs < runsMax {
                runs += 1
                guard let told = try check(smaller, seed: seed, loads: loads) else { continue }
                best = smaller
                sentence = told
                improved = true
                break
            }
        }
        return (best, sentence, runs)
    }

    /// Each a step simpler than `scenario`.
    private static func candidates(_ scenario: Scenario) -> [Scenario] {
        var all: [Scenario] = []
        func add(_ change: (inout Scenario) -> Void) {
            var next = scenario
            change(&next)
            if next != scenario { all.append(next) }
        }
        for i in scenario.faults.indices { add { $0.faults.remove(at: i) } }
        for (i, group) in scenario.groups.enumerated() {
            let isNeeded =
                group.role == .sequencer
                || scenario.groups.contains {
                    $0.parents.contains(group.name) || $0.neighbours.contains(group.name)
                }
            let isFaulted = scenario.faults.contains { $0.nodes.group == group.name }
            if !isNeeded, !isFaulted, scenario.groups.count(where: { $0.role == group.role }) > 1 {
                add { $0.groups.remove(at: i) }
            }
            // A tier that loses a relay keeps another: less would fail for a reason of its own.
            let least = isFaulted && group.role == .relay ? 2 : 1
            if group.count > least { add { $0.groups[i].count = least } }
            if group.count > least + 1 { add { $0.groups[i].count -= 1 } }
            add {
                $0.groups[i].link.down.jitter = .zero; $0.groups[i].link.up.jitter = .zero
            }
            add {
                $0.groups[i].link.down.loss = .zero; $0.groups[i].link.up.loss = .zero
                $0.groups[i].link.down.lossStates = nil; $0.groups[i].link.up.lossStates = nil
            }
            add {
                $0.groups[i].link.down.reorder = .zero; $0.groups[i].link.up.reorder = .zero
            }
            add {
                $0.groups[i].link.down.duplicate = .zero; $0.groups[i].link.up.duplicate = .zero
            }
            add {
                $0.groups[i].link.down.corrupt = .zero; $0.groups[i].link.up.corrupt = .zero
            }
            add {
                $0.groups[i].link.down.lossBurstThousandths = 1_000;
                $0.groups[i].link.up.lossBurstThousandths = 1_000
            }
            add {
                $0.groups[i].link.down.management = .dropTail; $0.groups[i].link.up.management = .dropTail
            }
            add {
                $0.groups[i].driftPPM = 0; $0.groups[i].skewMilliseconds = 0
            }
            add { $0.groups[i].processor = .unlimited }
        }
        if scenario.latency != nil {
            add {
                $0.latency = nil; for i in $0.groups.indices { $0.groups[i].regions = [] }
            }
        }
        // As drawn, faults end a second before the stream.
        let faults = scenario.faults.map { ($0.at + $0.lasts).milliseconds }.max() ?? 0
        if Int64(scenario.seconds) * 1_000 - 2_000 >= faults { add { $0.seconds -= 1 } }
        for i in scenario.sharedLines.indices {
            let name = scenario.sharedLines[i].name
            add {
                $0.sharedLines.remove(at: i)
                for g in $0.groups.indices where $0.groups[g].behind == name { $0.groups[g].behind = nil }
            }
        }
        return all
    }
}

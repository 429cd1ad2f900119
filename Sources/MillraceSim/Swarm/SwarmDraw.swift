/// Whole scenarios from a seed: topology, lines, load and faults, each drawn within what the protocol promises to survive. So
/// every run must end with every replica at the end of the stream, and a run that does not is a fault of ours.
///
/// What is left out, because the protocol does not promise it yet: every relay of a tier gone at once (a relay that begins
/// anew has no history to give), and lines with less than twice the stream's rate.

import MillraceBase
import MillraceLink
import MillraceWorkload

enum SwarmDraw {
    /// The loads: their payload sizes are measured once per process.
    static let networkLoads = [
        "idle", "erc20?tps=2000&accounts=500&tokens=5", "mixed?tps=20000&accounts=2000", "swap?accounts=5000",
    ]
    static let fullLoads = [
        "idle?accounts=50", "erc20?tps=300&accounts=60&tokens=3", "mixed?tps=200&accounts=60&pools=3",
    ]
    /// Mbit/s on the wire of each load, rounded up, parity and all.
    private static let networkRates = [1.0, 1.5, 5.0, 14.0]
    private static let fullRates = [1.0, 1.0, 1.0]

    static func scenario(_ seed: UInt64) -> Scenario {
        var draws = Seed(seed).generator("swarm")
        func below(_ n: UInt64) -> UInt64 { draws.below(n) }
        func chance(_ percent: UInt64) -> Bool { draws.below(100) < percent }

        var scenario = Scenario(name: "swarm \(seed)")
        scenario.fidelity = chance(15) ? .full : .network
        let loads = scenario.fidelity == .full ? fullLoads : networkLoads
        let load = Int(below(UInt64(loads.count)))
        scenario.workload = (try? WorkloadSpec(loads[load])) ?? WorkloadSpec(.idle)
        let rate = scenario.fidelity == .full ? fullRates[load] : networkRates[load]
        scenario.seconds = 3 + Int(below(3))
        scenario.parityCount = Int(below(5))

        let regions = chance(40) ? ["here", "there"] : []
        if !regions.isEmpty {
            let far = Interval.milliseconds(Int64(5 + below(140)))
            let near = Interval.milliseconds(1)
            scenario.latency = RegionLatency(names: regions, oneWay: [near, far, far, near])
        }
        func line(_ rate: Double) -> AccessLink {
            var down = LinkParameters()
            let factor = 2 + Double(below(80)) / 10
            down.rateBitsPerSecond = UInt64(rate * factor * 1e6)
            down.queue = .time(.milliseconds(Int64(30 + below(300))))
            down.delay = .microseconds(Int64(below(chance(20) ? 150_000 : 30_000)))
            if chance(40) { down.jitter = .microseconds(Int64(below(10_000))) }
            if chance(60) { down.loss = .partsPerMillion(below(chance(20) ? 80_000 : 20_000)) }
            if chance(40) { down.makeBursts(ofDatagrams: 1_000 + below(4_000)) }
            if chance(20) {
                down.reorder = .partsPerMillion(below(30_000))
                down.reorderBy = .microseconds(Int64(1 + below(12_000)))
            }
            if chance(20) { down.duplicate = .partsPerMillion(below(20_000)) }
            if chance(20) { down.corrupt = .partsPerMillion(below(5_000)) }
            if chance(20) { down.management = .coDel }
            var up = down
            up.rateBitsPerSecond = UInt64(1e6 + Double(below(5_000_000)))
            return AccessLink(text: "drawn", down: down, up: up)
        }
        func clocks(_ group: inout NodeGroup) {
            if chance(50) { group.driftPPM = Int64(below(200)) }
            if chance(50) { group.skewMilliseconds = Int64(below(5_000)) }
            if chance(30) { group.processor = .unlimited }
            if !regions.isEmpty { group.regions = regions }
        }

        var sequencer = NodeGroup(name: "sequencer", role: .sequencer)
        sequencer.link = .dataCentre
        clocks(&sequencer)
        scenario.groups = [sequencer]
        let tiers = 1 + Int(below(2))
        var above = "sequencer"
        var relays: [NodeGroup] = []
        for tier in 0..<tiers {
            var group = NodeGroup(name: tier == 0 ? "root" : "relay", role: .relay)
            group.count = 1 + Int(below(3))
            // A relay forwards what it gets to several: its line is a server's.
            group.link = chance(50) ? .dataCentre : serverLine(&draws)
            group.parents = [above]
            group.parentCount = 2
            group.parityStripes = min(Int(below(3)), scenario.parityCount)
            clocks(&group)
            above = group.name
            relays.append(group)
        }
        scenario.groups += relays
        for number in 0..<(1 + below(2)) {
            var group = NodeGroup(name: number == 0 ? "replica" : "poor", role: .replica)
            group.count = 1 + Int(below(3))
            group.link = line(rate)
            group.parents = [above]
            group.parentCount = 1 + Int(below(3))
            group.parityStripes = min(Int(below(3)), scenario.parityCount)
            clocks(&group)
            scenario.groups.append(group)
        }
        scenario.sortGroups()
        scenario.faults = faults(scenario, relays, &draws)
        addSharing(to: &scenario, seed: seed, rate: rate)
        return scenario
    }

    /// Fair queues, shared lines and churn, from draws of their own: what was drawn before does not move.
    private static func addSharing(to scenario: inout Scenario, seed: UInt64, rate: Double) {
        var draws = Seed(seed).generator("swarm sharing")
        let isFair = draws.below(100) < 10
        let isShared = draws.below(100) < 10
        let churns = draws.below(100) < 8
        let factor = 2 + Double(draws.below(40)) / 10
        let delay = Interval.microseconds(Int64(draws.below(20_000)))
        let (up, down) = (600 + draws.below(1_400), 50 + draws.below(600))
        let at = Int64(draws.below(1_000))
        let replicas = scenario.groups.indices.filter { scenario.groups[$0].role == .replica }
        if isFair {
            for i in replicas {
                scenario.groups[i].link.down.management = .fairCoDel
                scenario.groups[i].link.up.management = .fairCoDel
            }
        }
        if isShared {
            // As much for each that stands behind it as its own line has at the least.
            let count = replicas.reduce(0) { $0 + scenario.groups[$1].count }
            var line = LinkParameters()
            line.rateBitsPerSecond = UInt64(rate * factor * Double(count) * 1e6)
            line.delay = delay
            line.management = draws.below(2) == 0 ? .fairCoDel : .dropTail
            scenario.sharedLines = [
                SharedLineGroup(name: "street", link: AccessLink(text: "street", down: line, up: line))
            ]
            for i in replicas { scenario.groups[i].behind = "street" }
        }
        let hasCrash = scenario.faults.contains { $0.kind == .crash }
        let lasts = Int64(scenario.seconds) * 1_000 - 1_000 - at
        if churns, !hasCrash, let group = replicas.first {
            let kind = Fault.Kind.churn(
                up: .milliseconds(Int64(up)), down: .milliseconds(Int64(down)))
            let who = NodeSelector(group: scenario.groups[group].name)
            scenario.faults.append(Fault(kind, who, at: .milliseconds(at), lasts: .milliseconds(lasts)))
        }
    }

    /// One mini-block's datagrams follow each other at about this distance.
    static let burstStep = Interval.milliseconds(2)

    private static func serverLine(_ draws: inout SeededGenerator) -> AccessLink {
        var down = LinkParameters()
        down.rateBitsPerSecond = 1_000_000_000
        down.delay = .microseconds(Int64(draws.below(20_000)))
        down.loss = .partsPerMillion(draws.below(5_000))
        return AccessLink(text: "server", down: down, up: down)
    }

    /// None, one or several, all over a second before the stream ends.
    private static func faults(
        _ scenario: Scenario, _ relays: [NodeGroup], _ draws: inout SeededGenerator
    ) -> [Fault] {
        var faults: [Fault] = []
        let count = draws.below(4)
        var hasCrash = false
        for _ in 0..<count {
            let lasts = Interval.milliseconds(Int64(50 + draws.below(1_200)))
            let latest = Int64(scenario.seconds) * 1_000 - 1_000 - lasts.milliseconds
            let at = Interval.milliseconds(Int64(draws.below(UInt64(max(latest, 1)))))
            let replicas = scenario.groups.filter { $0.role == .replica }
            let who = replicas[Int(draws.below(UInt64(replicas.count)))].name
            switch draws.below(8) {
            case 0: faults.append(Fault(.partition, NodeSelector(group: who), at: at, lasts: lasts))
            case 1: faults.append(Fault(.muted, NodeSelector(group: who), at: at, lasts: lasts))
            case 2: faults.append(Fault(.deafened, NodeSelector(group: who), at: at, lasts: lasts))
            case 3: faults.append(Fault(.pause, NodeSelector(group: who), at: at, lasts: lasts))
            case 4: faults.append(Fault(.rebind, NodeSelector(group: who), at: at))
            case 5:
                let step = Int64(draws.below(4_000)) - 2_000
                faults.append(Fault(.clockStep(milliseconds: step), NodeSelector(group: who), at: at))
            default:
                // One relay of a tier that has others, or a replica that begins anew; not both in one run.
                guard !hasCrash else { continue }
                hasCrash = true
                let tiers = relays.filter { $0.count > 1 }
                if let tier = tiers.first, replicas.allSatisfy({ $0.parentCount > 1 }) {
                    let which = Int(draws.below(UInt64(tier.count)))
                    faults.append(
                        Fault(
                            .crash, NodeSelector(group: tier.name, share: .one(which)), at: at, lasts: lasts))
                } else {
                    faults.append(
                        Fault(.crash, NodeSelector(group: who, share: .one(0)), at: at, lasts: lasts))
                }
            }
        }
        return faults
    }
}

extension LinkParameters {
    /// Turns independent losses into bursts of so many thousandths of a datagram of the stream on average, told in time. A
    /// burst is a thing of the medium: it is over after milliseconds, whoever sends. Counted in datagrams, one that meets a
    /// handshake would last until the fourth or tenth repetition, seconds later, and no protocol could hold a promise on such a
    /// line.
    fileprivate mutating func makeBursts(ofDatagrams thousandths: UInt64) {
        let p = loss.partsPerTrillion
        let bad = UInt64(SwarmDraw.burstStep.nanoseconds) * thousandths / 1_000
        guard p > 0 else { return }
        // Below 2^24 × 2^40; a share of a millionth has states of hours, and the bound is one.
        let good = min(bad * (Probability.scale - p) / p, UInt64(LossStates.timeMax.nanoseconds))
        lossStates = LossStates(
            .time(good: .nanoseconds(Int64(good)), bad: .nanoseconds(Int64(bad))), lossGood: .zero,
            lossBad: .one)
        if lossStates != nil { loss = .zero }
    }
}

/// What goes wrong, when its time comes.

import MillraceBase

extension Simulation {
    /// Puts every fault's beginning and end into the queue.
    func scheduleFaults() {
        for (i, fault) in faults.enumerated() {
            let begins = (Instant(nanoseconds: streamBegins) + fault.at).nanoseconds
            queue.push(Event(at: begins, item: UInt32(i), node: 0, kind: .fault))
            if fault.lasts > .zero {
                let ends = (Instant(nanoseconds: begins) + fault.lasts).nanoseconds
                queue.push(Event(at: ends, item: UInt32(i), node: 1, kind: .fault))
            }
        }
    }

    func fault(_ index: Int, begins: Bool) {
        if index >= faults.count { return strike(attacks[index - faults.count], begins: begins) }
        let fault = faults[index]
        let chosen = select(fault.nodes, for: index)
        switch fault.kind {
        case .partition:
            for node in chosen { side[Int(node.index)] = begins ? UInt32(index) + 1 : 0 }
        case .muted:
            for node in chosen { outgoingCut[Int(node.index)] = begins }
        case .deafened:
            for node in chosen { incomingCut[Int(node.index)] = begins }
        case .crash:
            for node in chosen where node !== sequencer {
                if begins {
                    crash(node)
                } else if node.core == nil {
                    // The genesis applied once already.
                    do { try start(node) } catch { brokenOff = "\(node.name) does not start again: \(error)" }
                    drain(node, at: now)
                }
            }
        case .pause:
            for node in chosen where node !== sequencer {
                node.isPaused = begins
                if !begins {
                    node.timerAt = now
                    queue.push(Event(at: now, node: node.index, kind: .processor))
                    queue.push(Event(at: now, node: node.index, kind: .timer))
                }
            }
        case .clockStep(let milliseconds):
            if begins {
                for node in chosen { node.clock.skew = node.clock.skew + .milliseconds(milliseconds) }
            }
        case .churn: preconditionFailure("churn is made of crashes")
        case .rebind:
            guard begins else { return }
            for node in chosen where node !== sequencer {
                // Port 0 is no port; nodes that others dial by address keep theirs.
                let port = node.address.port &+ 1
                node.address.port = port == 0 ? SimNode.firstPort : port
            }
        }
    }

    /// The scenario's faults, with every churn told as the crashes it is made of: times up and down are drawn between nothing and
    /// twice their mean.
    static func faults(_ scenario: Scenario, _ nodes: [SimNode], seed: UInt64) -> [Fault] {
        var faults = scenario.faults
        var crashes: [Fault] = []
        for (i, fault) in scenario.faults.enumerated() {
            guard case .churn(let up, let down) = fault.kind else { continue }
            let ends = fault.at + fault.lasts
            for node in select(fault.nodes, for: i, among: nodes, scenario, seed: seed) {
                var draws = Seed(seed).generator("sim churn", UInt64(i) << 32 | UInt64(node.index))
                func length(_ mean: Interval) -> Interval {
                    .nanoseconds(1_000_000 + Int64(draws.below(UInt64(max(mean.nanoseconds, 1)) * 2)))
                }
                let first = nodes.first { $0.group == node.group }?.index ?? node.index
                let who = NodeSelector(
                    group: scenario.groups[node.group].name, share: .one(Int(node.index - first)))
                var at = fault.at + length(up)
                while at < ends, crashes.count < ScenarioLimits.churnCrashesMax {
                    let lasts = min(length(down), ends - at)
                    crashes.append(Fault(.crash, who, at: at, lasts: lasts))
                    at = at + lasts + length(up)
                }
            }
        }
        faults.removeAll { if case .churn = $0.kind { true } else { false } }
        // Those who come late to a cold boot are down until then.
        if scenario.attacks.contains(where: { $0.kind == .coldBoot }) {
            for group in scenario.groups where group.attack == nil && !group.bootstrap.isEmpty {
                crashes.append(
                    Fault(
                        .crash, NodeSelector(group: group.name), at: .zero - scenario.warmUp,
                        lasts: scenario.warmUp + Simulation.lateStart))
            }
        }
        return faults + crashes
    }

    /// The nodes that a selector names; the same ones at a fault's beginning and at its end.
    func select(_ selector: NodeSelector, for fault: Int) -> [SimNode] {
        Simulation.select(selector, for: fault, among: nodes, scenario, seed: seed)
    }

    private static func select(
        _ selector: NodeSelector, for fault: Int, among nodes: [SimNode], _ scenario: Scenario, seed: UInt64
    ) -> [SimNode] {
        select(selector, among: nodes, scenario, Seed(seed).generator("sim fault", UInt64(fault)))
    }

    static func select(
        _ selector: NodeSelector, among nodes: [SimNode], _ scenario: Scenario, _ generator: SeededGenerator
    ) -> [SimNode] {
        let all = nodes.filter { scenario.groups[$0.group].name == selector.group }
        let count: Int
        switch selector.share {
        case .all: return all
        case .one(let i): return all.indices.contains(i) ? [all[i]] : []
        case .some(let n): count = min(n, all.count)
        case .permille(let share):
            count = min(all.count, (all.count * min(max(share, 0), 1_000) + 999) / 1_000)
        }
        var draws = generator
        let lots = all.map { _ in draws.next() }
        let order = all.indices.sorted { lots[$0] < lots[$1] }
        return order.prefix(count).sorted().map { all[$0] }
    }
}

/// Where a node stands in the network that ran, for the report's topology and for the least lag that its way allows.

import MillraceBase
import MillraceLink

struct NodePlace: Sendable {
    var group: Int
    var parents: [UInt32]
    /// The sum of the delays on the shortest way from the sequencer: no lag is below it.
    var leastDelay: Interval
}

extension Simulation {
    /// By node.
    func places() -> [NodePlace] {
        var places = nodes.map {
            NodePlace(group: $0.group, parents: $0.parents, leastDelay: .seconds(3_600))
        }
        places[Int(sequencer.index)].leastDelay = .zero
        // Parents may stand behind their children in the list; a way has as many hops as there are groups at most.
        for _ in 0...scenario.groups.count {
            var changed = false
            for (i, node) in nodes.enumerated() where node !== sequencer {
                for parent in node.parents {
                    let hop = Simulation.hop(nodes[Int(parent)], node, scenario) {
                        max($0.delay - $0.jitter, .zero)
                    }
                    let least = places[Int(parent)].leastDelay + hop
                    if least < places[i].leastDelay {
                        places[i].leastDelay = least
                        changed = true
                    }
                }
            }
            if !changed { break }
        }
        return places
    }

    /// To the sequencer and back, on the longest way that a node may have to take, jitter and all.
    static func longestRoundTrip(_ scenario: Scenario, _ nodes: [SimNode], to sequencer: SimNode) -> Interval
    {
        var known: [Interval?] = Array(repeating: nil, count: nodes.count)
        known[Int(sequencer.index)] = .zero
        for _ in 0...scenario.groups.count {
            for (i, node) in nodes.enumerated() where node !== sequencer {
                for parent in node.parents {
                    guard let above = known[Int(parent)] else { continue }
                    let other = nodes[Int(parent)]
                    let most: (LinkParameters) -> Interval = { $0.delay + $0.jitter }
                    let there = hop(node, other, scenario, most) + hop(other, node, scenario, most)
                    known[i] = max(known[i] ?? .zero, above + there)
                }
            }
        }
        return known.reduce(.zero) { max($0, $1 ?? .zero) }
    }

    /// The sum over the lines from one node to another of what `time` says of each, and the way between the regions.
    static func hop(
        _ from: SimNode, _ to: SimNode, _ scenario: Scenario, _ time: (LinkParameters) -> Interval
    ) -> Interval {
        let out = from.sharedLine(towards: to)?.up
        let home = to.sharedLine(towards: from)?.down
        var sum = Interval.zero
        for line in [from.up, out, home, to.down] {
            if let line { sum = sum + time(line.model.parameters) }
        }
        guard let latency = scenario.latency else { return sum }
        return sum + latency.oneWay[from.region * latency.names.count + to.region]
    }
}

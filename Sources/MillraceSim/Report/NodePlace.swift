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
                    let other = nodes[Int(parent)]
                    let hop =
                        Simulation.least(other.up.parameters) + way(other, node)
                        + Simulation.least(node.down.parameters)
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

    private static func least(_ link: LinkParameters) -> Interval { max(link.delay - link.jitter, .zero) }

    private func way(_ from: SimNode, _ to: SimNode) -> Interval {
        guard let latency = scenario.latency else { return .zero }
        return latency.oneWay[from.region * latency.names.count + to.region]
    }
}

/// A scenario made from a link alone: does a replica behind this line keep up?
///
///     sequencer ──▶ two relays, in the same data centre ──▶ replicas, each behind a line of its own

import MillraceBase
import MillraceLink
public import MillraceWorkload

extension Scenario {
    public static func link(
        _ link: AccessLink, workload: WorkloadSpec, seconds: Int, fidelity: Fidelity, replicas: Int = 1,
        parityCount: Int = 4
    ) -> Scenario {
        var scenario = Scenario(name: link.text)
        scenario.workload = workload
        scenario.seconds = seconds
        scenario.fidelity = fidelity
        scenario.parityCount = parityCount
        var sequencer = NodeGroup(name: "sequencer", role: .sequencer)
        sequencer.link = .dataCentre
        var relays = NodeGroup(name: "relay", role: .relay)
        relays.count = 2
        relays.link = .dataCentre
        relays.parents = ["sequencer"]
        relays.parentCount = 1
        var followers = NodeGroup(name: "replica", role: .replica)
        followers.count = replicas
        followers.link = link
        followers.parents = ["relay"]
        followers.parityStripes = min(followers.parityStripes, parityCount)
        scenario.groups = [sequencer, relays, followers]
        return scenario
    }
}

extension AccessLink {
    /// 10 Gbit/s and 0.1 ms each way: a machine in a data centre beside the sequencer.
    public static let dataCentre: AccessLink = {
        var line = LinkParameters()
        line.rateBitsPerSecond = 10_000_000_000
        line.delay = .microseconds(100)
        return AccessLink(text: "rate=10G,delay=0.1", down: line, up: line)
    }()
}

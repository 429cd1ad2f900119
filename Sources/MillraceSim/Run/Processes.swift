/// Nodes' processes: what begins with a node's core, and what a crash ends without a word to anybody. Called at the start,
/// and by faults and churn.

import MillraceBase
import MillraceCodec
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLink
import MillraceWorkload

extension Simulation {
    /// Starts a node's process: at the beginning, and after a crash. Nothing is kept from before.
    func start(_ node: SimNode) throws(WorkloadError) {
        let stream = Simulation.identity(node, scenario, at: now)
        let group = scenario.groups[node.group]
        func endpoints(_ indices: [UInt32]) -> [PeerEndpoint] {
            indices.map {
                let peer = nodes[Int($0)]
                return PeerEndpoint(key: peer.keys.publicKey, address: peer.address)
            }
        }
        var following = FollowingConfig(parents: endpoints(node.parents))
        following.neighbours = endpoints(node.neighbours)
        following.parityStripes = group.parityStripes
        following.linkKilobitsPerSecond = group.linkKilobitsPerSecond
        following.takesWindows = scenario.hasWindows
        following.cadence = group.cadence
        let coreSeed = Simulation.seed(node, seed &+ UInt64(node.upTimes) &* 0x9E37)
        let local = node.clock.local(now)
        node.upTimes += 1
        node.startedAt = now
        node.timerAt = .max
        if node.role == .replica {
            let state = State(seed: Seed(seed))
            for part in genesis { try Simulation.apply(part, to: state) }
            var config = ReplicaConfig(
                stream: stream, sequencerKey: signingKey.verifyingKey, following: following)
            config.membership = Simulation.membership(node, scenario, nodes)
            let core = ReplicaCore(config: config, state: state, seed: coreSeed, now: local)
            if scenario.fidelity == .network { core.share(headers) }
            node.replica = core
            node.core = core
        } else if let attack = node.attack.map({ attacks[$0] }), node.role == .relay,
            attack.attack.kind.family != .turned, attack.attack.kind.family != .strangers
        {
            node.core = try hostileCore(node, attack, stream, seed: coreSeed, now: local)
        } else {
            var config = RelayConfig(
                stream: stream, sequencerKey: signingKey.verifyingKey, following: following)
            config.serving = Simulation.serving(node, scenario, nodes)
            config.membership = Simulation.membership(node, scenario, nodes)
            let core = RelayCore(config: config, seed: coreSeed, now: local)
            if scenario.fidelity == .network { core.share(headers) }
            node.core = core
        }
        if let attack = node.attack { turn(node, attacks[attack]) }
    }

    /// What stands for a process of those who are no relays.
    func hostileCore(
        _ node: SimNode, _ state: AttackState, _ stream: StreamIdentity, seed coreSeed: Seed,
        now local: Instant
    ) throws(WorkloadError) -> (any StreamCore)? {
        switch state.attack.kind {
        case .repairAbuse:
            let place = state.nodes.firstIndex { $0 === node } ?? 0
            let target = state.targets[place % state.targets.count]
            return Requester(
                identity: node.keys, chainID: Simulation.chainID, startMicroseconds: stream.startMicroseconds,
                target: PeerEndpoint(key: target.keys.publicKey, address: target.address),
                perSecond: state.attack.perSecond, isOpen: scenario.fidelity == .network, seed: coreSeed,
                now: local)
        case .equivocate:
            let state = State(seed: Seed(seed))
            for part in genesis { try Simulation.apply(part, to: state) }
            var config = SequencerConfig(stream: stream, signingKey: signingKey)
            config.parityCount = scenario.parityCount
            config.serving = Simulation.serving(node, scenario, nodes)
            return SequencerCore(config: config, state: state, seed: coreSeed, now: local)
        default: return nil
        }
    }

    /// Ends a node's process without a word to anybody.
    func crash(_ node: SimNode) {
        guard node !== sequencer, node.core != nil else { return }
        node.pastStatistics = node.statistics
        node.core = nil
        node.replica = nil
        node.timerAt = .max
        while let item = node.socket.popFirst() {
            node.ledger.unreceived &+= UInt64(flights[item].wireBytes)
            flights.give(item)
        }
        node.socketBytes = 0
    }
}

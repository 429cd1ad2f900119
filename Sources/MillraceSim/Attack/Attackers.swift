/// Who the attackers are: the nodes that attacks bring, those that turn, where they all stand.
///
/// In a scenario with attacks every node has an address of the internet, so that shares and caps by subnet hold: an honest node
/// has a /16 of its own, attackers share as many as they can pay for.

import MillraceBase
import MillraceCore

/// One attack of a run: whom it has, whom it is aimed at, and what came of it.
final class AttackState {
    let index: Int
    let attack: Attack
    var nodes: [SimNode] = []
    var targets: [SimNode] = []
    var isStriking = false
    /// What acts by itself while the attack lasts.
    var sender: (any AttackSender)?

    // What it did.

    /// Places of parents, and those of them that attackers held.
    var seatsAtStrike = Seats()
    var seatsAtEnd = Seats()
    var datagrams: UInt64 = 0
    var bytes: UInt64 = 0
    /// That reached a core, and that a core took as genuine.
    var arrived: UInt64 = 0
    var accepted: UInt64 = 0
    /// From addresses that are nobody's, and to them.
    var forgedBytesArrived: UInt64 = 0
    var forgedBytesBack: UInt64 = 0
    /// Of its nodes, those that an honest node banned.
    var banned: Set<UInt32> = []

    struct Seats {
        var taken = 0
        var all = 0
    }

    init(index: Int, attack: Attack) {
        self.index = index
        self.attack = attack
    }

    /// What its relays do while it strikes.
    var misconduct: Misconduct? {
        var misconduct = Misconduct()
        switch attack.kind {
        case .eclipse, .coldBoot, .covertFlash, .dawn, .colocation: return .mute
        case .censor: misconduct.censorsOneOf = UInt64(attack.oneOf)
        case .degrade:
            misconduct.withheldPerMille = attack.perMille
            misconduct.ignoresRequests = true
        case .withhold, .stealth: misconduct.withheldPerMille = attack.perMille
        case .forge:
            misconduct.forges = true
            misconduct.copies = attack.copies
        case .silence, .replay, .spoof, .flood, .repairAbuse, .equivocate: return nil
        }
        return misconduct
    }
}

extension Scenario {
    /// The same without attacks: what they are measured against.
    public var withoutAttacks: Scenario {
        var calm = self
        calm.attacks = []
        return calm
    }

    /// With the nodes that attacks bring, behind all others.
    func withAttackers() -> Scenario {
        var all = self
        let honest = nodeCount
        for (i, attack) in attacks.enumerated() {
            let count = attack.count(honest: honest)
            if count == 0 { continue }
            let earlier = attacks.prefix(i).count { $0.kind == attack.kind }
            var group = NodeGroup(
                name: "\(attack.kind.rawValue)-attacker" + (earlier > 0 ? "-\(earlier + 1)" : ""),
                role: .relay)
            group.count = count
            group.attack = i
            group.link = attack.link
            group.processor = .unlimited
            group.parentCount = 2
            if attack.kind.family == .strangers {
                group.bootstrap = groups.flatMap(\.bootstrap).reduce(into: []) {
                    if !$0.contains($1) { $0.append($1) }
                }
                if let target = attack.target,
                    groups.contains(where: { $0.name == target.group && $0.role == .sequencer })
                {
                    group.parents = [target.group]
                    group.parentCount = 1
                }
            }
            all.groups.append(group)
        }
        return all
    }

    /// So many times as large: relays, replicas and those who attack them by number.
    public func scaled(by factor: Int) -> Scenario {
        var large = self
        for i in large.groups.indices where groups[i].role != .sequencer { large.groups[i].count *= factor }
        for i in large.attacks.indices {
            if case .count(let count) = attacks[i].force, attacks[i].kind.family != .twin {
                large.attacks[i].force = .count(count * factor)
            }
        }
        return large
    }
}

extension Simulation {
    /// Asks for nodes that have no peers yet; gives everyone an address, and says who will attack whom.
    static func muster(_ scenario: Scenario, _ nodes: [SimNode], seed: UInt64) -> [AttackState] {
        let states = scenario.attacks.enumerated().map { AttackState(index: $0, attack: $1) }
        if states.isEmpty { return [] }
        var subnet: UInt32 = 0
        for state in states {
            let brought = nodes.filter { scenario.groups[$0.group].attack == state.index }
            let subnets = UInt32(min(state.attack.subnets, max(brought.count, 1)))
            for (j, node) in brought.enumerated() {
                node.attack = state.index
                node.address = PeerAddress(
                    ipv4: 0x8000_0000 | (subnet + UInt32(j) % subnets) << 16 | (UInt32(j) / subnets + 1),
                    port: SimNode.firstPort)
            }
            subnet += brought.isEmpty ? 0 : subnets
            state.nodes = brought
            if case .turned(let who) = state.attack.force {
                state.nodes = select(
                    who, among: nodes, scenario, Seed(seed).generator("sim attack", UInt64(state.index)))
                for node in state.nodes { node.attack = state.index }
            }
            if let target = state.attack.target {
                state.targets = select(
                    target, among: nodes, scenario, Seed(seed).generator("sim target", UInt64(state.index)))
            }
        }
        for node in nodes where scenario.groups[node.group].attack == nil {
            node.address = PeerAddress(ipv4: (20 << 24) + node.index << 16 | 1, port: SimNode.firstPort)
        }
        return states
    }

    /// After everybody has peers: those who seek out a target know it, and a false sequencer's followers have it as a parent.
    static func aim(_ states: [AttackState], sequencer: SimNode) {
        for state in states where !state.targets.isEmpty {
            switch state.attack.kind {
            case .eclipse:
                for (j, node) in state.nodes.enumerated() {
                    let target = state.targets[j % state.targets.count]
                    if target !== sequencer {
                        node.bootstrap = [target.index] + node.bootstrap.prefix(bootstrapPeers - 1)
                    }
                }
            case .equivocate:
                guard let twin = state.nodes.first else { continue }
                for node in state.targets {
                    node.parents = node.parents.map { $0 == sequencer.index ? twin.index : $0 }
                }
            default: break
            }
        }
    }

    /// When a node's process begins: those who look for parents come late to a cold boot, which the attackers await.
    static func beginsLate(_ node: SimNode, _ states: [AttackState]) -> Bool {
        node.attack == nil && !node.bootstrap.isEmpty && states.contains { $0.attack.kind == .coldBoot }
    }
    /// Of the two seconds before the stream, what is left for those who come late.
    static let lateStart = Interval.milliseconds(-500)

    /// The node with this address.
    func host(_ address: PeerAddress) -> UInt32? {
        if attacks.isEmpty { return SimNode.index(of: address) }
        return address.ipv4.flatMap { hosts[$0] }
    }

    /// Where a datagram seems to come from.
    func source(of flight: Flight, _ item: UInt32) -> PeerAddress {
        if attacks.isEmpty { return SimNode.address(of: flight.from, port: flight.fromPort) }
        if let forged = forgedSources[item] { return forged }
        var address = nodes[Int(flight.from)].address
        address.port = flight.fromPort
        return address
    }

    func isHostile(_ address: PeerAddress) -> Bool {
        host(address).map { nodes[Int($0)].attack != nil } ?? true
    }
}

/// An attack begins and ends, and what is noted of it.

import MillraceBase
import MillraceCore

extension Simulation {
    /// Beginnings and ends of attacks, behind those of faults.
    func scheduleAttacks() {
        for state in attacks {
            let begins = (Instant(nanoseconds: streamBegins) + state.attack.at).nanoseconds
            let item = UInt32(faults.count + state.index)
            queue.push(Event(at: begins, item: item, node: 0, kind: .fault))
            if let ends = state.attack.ends {
                let at = (Instant(nanoseconds: streamBegins) + ends).nanoseconds
                queue.push(Event(at: at, item: item, node: 1, kind: .fault))
            }
        }
    }

    func strike(_ state: AttackState, begins: Bool) {
        state.isStriking = begins
        if begins { state.seatsAtStrike = seats(of: state) }
        for node in state.nodes { turn(node, state) }
        if state.sender != nil, begins {
            queue.push(Event(at: now, item: UInt32(state.index), kind: .attack))
        }
    }

    /// Makes a node do what its attack does now: when it begins or ends, and when the node's process begins anew.
    func turn(_ node: SimNode, _ state: AttackState) {
        if state.attack.kind == .silence { outgoingCut[Int(node.index)] = state.isStriking }
        (node.core as? Requester)?.isStriking = state.isStriking
        (node.core as? RelayCore)?.misbehave(state.isStriking ? state.misconduct : nil)
    }

    /// Places of honest nodes' parents, and those that this attack's nodes hold.
    func seats(of state: AttackState) -> AttackState.Seats {
        var seats = AttackState.Seats()
        for node in nodes where node.attack == nil {
            for peer in node.core?.peers ?? [] {
                if peer.isParent, peer.stripesFrom > 0, !peer.isSilent {
                    seats.all += 1
                    if let other = host(peer.address), nodes[Int(other)].attack == state.index {
                        seats.taken += 1
                    }
                }
            }
        }
        return seats
    }

    /// An honest node has banned a peer.
    func noteBan(of address: PeerAddress, by node: SimNode) {
        guard node.attack == nil else { return }
        guard let other = host(address), let attack = nodes[Int(other)].attack else {
            honestBans.append((by: node.index, whom: host(address)))
            return
        }
        attacks[attack].banned.insert(other)
    }
}

/// What sends datagrams of its own making, once every millisecond while its attack lasts.
protocol AttackSender: AnyObject {
    func act(_ simulation: Simulation, _ state: AttackState)
    /// A datagram came through a target's line.
    func overheard(
        _ simulation: Simulation, _ state: AttackState, _ node: SimNode, _ flight: Flight, from: PeerAddress)
}

extension AttackSender {
    func overheard(
        _ simulation: Simulation, _ state: AttackState, _ node: SimNode, _ flight: Flight, from: PeerAddress
    ) {}
}

extension Simulation {
    static let attackInterval = Interval.milliseconds(1)

    func attack(_ index: UInt32) {
        let state = attacks[Int(index)]
        guard state.isStriking, let sender = state.sender else { return }
        sender.act(self, state)
        let next = now + UInt64(Simulation.attackInterval.nanoseconds)
        if next < runEnds { queue.push(Event(at: next, item: index, kind: .attack)) }
    }

    /// Puts a datagram of an attacker on its line, with any address as its sender's.
    func inject(
        _ bytes: [UInt8], from attacker: SimNode, as source: PeerAddress?, to target: SimNode,
        _ state: AttackState
    ) {
        guard isOpen(attacker.index, target.index) else { return }
        state.datagrams &+= 1
        state.bytes &+= UInt64(bytes.count)
        let item = bytes.withUnsafeBytes {
            flights.take(
                from: attacker.index, to: target.index, fromPort: attacker.address.port,
                toPort: target.address.port, wireBytes: UInt16(clamping: bytes.count), $0)
        }
        forgedSources[item] = source
        enter(item, attacker.up, at: now)
    }

    func sendsByItself(_ node: UInt32) -> Bool {
        attacks.isEmpty ? false : nodes[Int(node)].attack.map { attacks[$0].sender != nil } ?? false
    }

    /// A core takes a datagram that an attacker put on its line.
    func noteTaken(_ flight: Flight, from source: PeerAddress, by node: SimNode, ignoredBefore: UInt64) {
        guard let index = nodes[Int(flight.from)].attack else { return }
        let state = attacks[index]
        state.arrived &+= 1
        if host(source) == nil { state.forgedBytesArrived &+= UInt64(flight.wireBytes) }
        if node.core?.statistics.datagramsIgnored == ignoredBefore { state.accepted &+= 1 }
    }

    /// A core answers an address that is nobody's.
    func noteNobody(_ address: PeerAddress, bytes: Int) {
        guard let ipv4 = address.ipv4, ipv4 >> 24 == ForgedAddress.network else { return }
        for state in attacks where state.attack.kind == .spoof || state.attack.kind == .flood {
            state.forgedBytesBack &+= UInt64(bytes)
            return
        }
    }
}

/// Addresses of nobody: 200.0.0.0/8.
enum ForgedAddress {
    static let network: UInt32 = 200
    static func draw(_ draws: inout SeededGenerator) -> PeerAddress {
        PeerAddress(
            ipv4: network << 24 | UInt32(draws.below(1 << 24)), port: UInt16(1_024 + draws.below(60_000)))
    }
}

/// From a scenario's groups to nodes with names, keys, clocks, links and parents: all of it from the seed.

import MillraceBase
import MillraceCore
import MillraceCrypto

extension Simulation {
    static func makeNodes(_ scenario: Scenario, seed: UInt64) -> [SimNode] {
        var nodes: [SimNode] = []
        let linkSeed = Seed(seed)
        let origin = NodeClock.start + scenario.warmUp
        for (g, group) in scenario.groups.enumerated() {
            for i in 0..<group.count {
                let index = UInt32(nodes.count)
                let name = group.count == 1 ? group.name : "\(group.name)-\(i)"
                var draws = Seed(seed).generator("sim clock", UInt64(index))
                func within(_ limit: Int64) -> Int64 {
                    limit <= 0 ? 0 : Int64(draws.below(UInt64(limit) * 2 + 1)) - limit
                }
                let clock = NodeClock(
                    driftPPM: within(min(group.driftPPM, 10_000)),
                    skew: .milliseconds(within(min(group.skewMilliseconds, 3_600_000))))
                let region =
                    group.regions.isEmpty
                    ? 0
                    : group.regions[i % group.regions.count]
                        .regionIndex(in: scenario.latency)
                let secret = Blake2b.hash(Array("\(name) \(seed)".utf8))
                let recordKey = scenario.isOpen ? SigningKey(seed: secret) : nil
                let node = SimNode(
                    index: index, name: name, group: g, role: group.role, region: region,
                    keys: recordKey?.agreementKeys ?? StaticKeyPair(privateKey: secret), recordKey: recordKey,
                    processor: group.processor, clock: clock, link: group.link, origin: origin,
                    seed: linkSeed)
                nodes.append(node)
            }
        }
        return nodes
    }

    /// Contracts that a node has room for beside another's: what it may give, and, of two that both have room, the one whose line
    /// is used by less. Where nothing is said of lines, all are alike.
    private struct Room {
        var taken: Int
        var childrenMax: Int
        /// Mbit/s of its line up; 1 where it is not said.
        var line: Int

        var isFull: Bool { taken >= childrenMax }

        /// Whether less of this one's room is used: taken / line, without division.
        func isLessUsed(than other: Room) -> Bool { taken * other.line < other.taken * line }
    }

    /// Gives every node its parents: from the groups it names, those that have room, the least burdened for what they carry,
    /// and of equals the nearest. One that is near and full is worse than one further away with room: a round trip more is
    /// milliseconds, and a line that is full is a stream that does not come.
    static func choosePeers(_ scenario: Scenario, _ nodes: [SimNode], seed: UInt64) {
        var taken = Array(repeating: 0, count: nodes.count)
        for node in nodes {
            let group = scenario.groups[node.group]
            var draws = Seed(seed).generator("sim parents", UInt64(node.index))
            var candidates = nodes.filter { other in
                other !== node && other.role != .replica
                    && group.parents.contains(scenario.groups[other.group].name)
            }
            let count = min(group.parentCount, candidates.count)
            let lots = candidates.map { _ in draws.next() }
            let rooms = candidates.map { other in
                Room(
                    taken: taken[Int(other.index)],
                    childrenMax: scenario.groups[other.group].childrenMax ?? NodeGroup.childrenLimit,
                    line: max(scenario.groups[other.group].uplinkMbit, 1))
            }
            let keyed = candidates.indices.sorted { a, b in
                let (x, y) = (candidates[a], candidates[b])
                if rooms[a].isFull != rooms[b].isFull { return rooms[b].isFull }
                if rooms[a].isLessUsed(than: rooms[b]) { return true }
                if rooms[b].isLessUsed(than: rooms[a]) { return false }
                let (nearX, nearY) = (x.region == node.region, y.region == node.region)
                if nearX != nearY { return nearX }
                return lots[a] < lots[b]
            }
            candidates = keyed.prefix(count).map { candidates[$0] }
            node.parents = candidates.map(\.index)
            for parent in candidates { taken[Int(parent.index)] += 1 }
            var known = nodes.filter {
                $0 !== node && group.bootstrap.contains(scenario.groups[$0.group].name)
            }
            while node.bootstrap.count < Simulation.bootstrapPeers, !known.isEmpty {
                node.bootstrap.append(known.remove(at: Int(draws.below(UInt64(known.count)))).index)
            }
        }
    }

    static let bootstrapPeers = 2

    /// Gives every node its neighbours: of the groups it names those nearest, of these the least asked, and none of its parents.
    static func chooseNeighbours(_ scenario: Scenario, _ nodes: [SimNode], seed: UInt64) {
        var taken = Array(repeating: 0, count: nodes.count)
        for node in nodes where !scenario.groups[node.group].neighbours.isEmpty {
            let group = scenario.groups[node.group]
            var draws = Seed(seed).generator("sim neighbours", UInt64(node.index))
            let candidates = nodes.filter {
                $0 !== node && group.neighbours.contains(scenario.groups[$0.group].name)
                    && !node.parents.contains($0.index)
            }
            let lots = candidates.map { _ in draws.next() }
            let order = candidates.indices.sorted { a, b in
                let (x, y) = (candidates[a], candidates[b])
                let (nearX, nearY) = (x.region == node.region, y.region == node.region)
                if nearX != nearY { return nearX }
                let (loadX, loadY) = (taken[Int(x.index)], taken[Int(y.index)])
                return loadX != loadY ? loadX < loadY : lots[a] < lots[b]
            }
            node.neighbours = order.prefix(group.neighbourCount).map { candidates[$0].index }
            for neighbour in node.neighbours { taken[Int(neighbour)] += 1 }
        }
    }

    /// A node's part in an open network; in others none.
    static func membership(_ node: SimNode, _ scenario: Scenario, _ nodes: [SimNode]) -> MembershipConfig {
        var membership = MembershipConfig()
        guard scenario.isOpen else { return membership }
        if node.role != .replica {
            membership.recordKey = node.recordKey
            membership.addresses = [node.address]
        }
        membership.bootstrap = node.bootstrap.map {
            PeerEndpoint(key: nodes[Int($0)].keys.publicKey, address: nodes[Int($0)].address)
        }
        membership.findsParents = !node.bootstrap.isEmpty
        membership.parentsWanted = scenario.groups[node.group].parentCount
        return membership
    }

    static func seed(_ node: SimNode, _ seed: UInt64) -> Seed {
        var draws = Seed(seed).generator("sim core", UInt64(node.index))
        return Seed(draws.next())
    }

    static func identity(_ node: SimNode, _ scenario: Scenario, at truth: UInt64) -> StreamIdentity {
        var stream = StreamIdentity(
            identity: node.keys, chainID: Simulation.chainID,
            startMicroseconds: node.clock.wallMicroseconds(truth))
        stream.payloads = scenario.fidelity == .network ? .byReference : .carried
        return stream
    }

    static func serving(_ node: SimNode, _ scenario: Scenario, _ nodes: [SimNode]) -> ServingConfig {
        var serving = ServingConfig()
        // A thousand relays that keep minutes would not fit; what repair needs lies within seconds.
        serving.retentionBytesMax = (scenario.nodeCount > 50 ? 16 : 64) << 20
        serving.childrenMax = scenario.groups[node.group].childrenMax ?? NodeGroup.childrenLimit
        serving.uplinkKilobitsPerSecond = UInt32(scenario.groups[node.group].uplinkMbit) * 1_000
        serving.datagramBytesMax = scenario.groups[node.group].datagramBytes
        // An operator knows whom it has told of its sequencer.
        if node.role == .sequencer, scenario.groups[node.group].childrenMax != nil {
            serving.knownChildren = nodes.filter { $0.attack == nil && $0.parents.contains(node.index) }
                .map(\.keys.publicKey)
        }
        return serving
    }
}

extension String {
    fileprivate func regionIndex(in latency: RegionLatency?) -> Int {
        latency?.names.firstIndex(of: self) ?? 0
    }
}

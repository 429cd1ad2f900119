/// Cores wired to each other on virtual time: one queue of datagrams in flight, one clock, everything from one seed.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceWire

@testable import MillraceCore

final class Mesh {
    final class Node {
        let name: String
        let core: any StreamCore
        let address: PeerAddress
        let keys: StaticKeyPair
        var isAlive = true
        /// Events in order.
        var events: [CoreEvent] = []
        /// Lags of applied mini-blocks in milliseconds of virtual time.
        var lags: [Double] = []
        /// How often it said that the rest can wait, and what came after all the same: datagrams and applied mini-blocks.
        fileprivate(set) var flushes = 0
        fileprivate(set) var urgentAfterFlush = 0
        /// Its clock stands so far from the mesh's.
        var clockOffset = Interval.zero
        /// It does not run: datagrams wait for it, and its timers.
        fileprivate(set) var isPaused = false
        fileprivate var held: [(bytes: [UInt8], from: PeerAddress)] = []
        /// Where its datagrams come from now; what goes there reaches it as well.
        var movedTo: PeerAddress?
        /// What its datagrams give as their sender: a forged address.
        var pretendsToBeAt: PeerAddress?
        /// Changes what it sends (a cheating relay).
        var tamper: ((inout [UInt8]) -> Void)?

        init(name: String, core: any StreamCore, address: PeerAddress, keys: StaticKeyPair) {
            self.name = name
            self.core = core
            self.address = address
            self.keys = keys
        }

        var replica: ReplicaCore { core as! ReplicaCore }
        var stops: [StopReason] {
            events.compactMap { if case .stopped(let reason) = $0 { reason } else { nil } }
        }
        func count(where matches: (CoreEvent) -> Bool) -> Int { events.count(where: matches) }
    }

    private struct Flight {
        var at: Instant
        var order: UInt64
        var to: PeerAddress
        var from: PeerAddress
        var bytes: [UInt8]
    }

    static let chainID: UInt64 = 7
    static let start = Instant(nanoseconds: 1_000_000_000)
    /// The wall clock at virtual time zero.
    static let epochMicroseconds: UInt64 = 1_700_000_000_000_000

    let seed: UInt64
    private(set) var now = Mesh.start
    private(set) var nodes: [Node] = []
    private var wires: [Int: Wire] = [:]
    private var flights: [Flight] = []
    private var order: UInt64 = 0
    /// Bytes sent to each address, by anybody.
    private(set) var sentTo: [PeerAddress: Int] = [:]
    var parameters = WireParameters()
    let signingKey: SigningKey
    private(set) var sequencer: SequencerCore!
    private(set) var workload: MeshWorkload!
    private var twin: SequencerCore!
    private var twinWorkload: MeshWorkload!

    init(seed: UInt64) {
        self.seed = seed
        signingKey = SigningKey(seed: Blake2b.hash(Array("signing \(seed)".utf8)))
    }

    func keys(_ name: String) -> StaticKeyPair { recordKey(name).agreementKeys }

    /// The identity of a node: signs its peer record, and makes its session keys.
    func recordKey(_ name: String) -> SigningKey {
        SigningKey(seed: Blake2b.hash(Array("\(name) \(seed)".utf8)))
    }

    /// Where the next node will be.
    var nextAddress: PeerAddress { .loopback(port: UInt16(10_000 + nodes.count)) }

    func stream(_ name: String) -> StreamIdentity {
        StreamIdentity(
            identity: keys(name), chainID: Mesh.chainID,
            startMicroseconds: Mesh.epochMicroseconds + UInt64(now.nanoseconds / 1_000))
    }

    func add(_ name: String, _ core: any StreamCore, at address: PeerAddress? = nil) -> Node {
        let node = Node(name: name, core: core, address: address ?? nextAddress, keys: keys(name))
        nodes.append(node)
        return node
    }

    func addSequencer(parityCount: Int = 4, _ adjust: (inout SequencerConfig) -> Void = { _ in }) -> Node {
        workload = MeshWorkload(seed: seed)
        var config = SequencerConfig(stream: stream("sequencer"), signingKey: signingKey)
        config.parityCount = parityCount
        // Small symbols make slices of many shreds out of payloads that a debug build encodes quickly.
        config.symbolBytesMax = 160
        adjust(&config)
        sequencer = SequencerCore(config: config, state: workload.state, seed: Seed(seed &+ 1), now: now)
        return add("sequencer", sequencer)
    }

    /// A second sequencer with the first one's signing key, and a history of its own from the same genesis.
    func addTwinSequencer() -> Node {
        twinWorkload = MeshWorkload(seed: seed)
        var config = SequencerConfig(stream: stream("twin"), signingKey: signingKey)
        config.symbolBytesMax = 160
        twin = SequencerCore(config: config, state: twinWorkload.state, seed: Seed(seed &+ 2), now: now)
        return add("twin", twin)
    }

    /// Both sequencers seal; what they seal differs.
    func runTwins(heights: Int) throws {
        for _ in 0..<heights {
            let diff = twinWorkload.next(
                height: twin.nextHeight, transactions: 30, sealedAtMicroseconds: wallClock)
            try twin.seal(diff, now: now)
            try run(heights: 1)
        }
    }

    func endpoints(_ parents: [Node]) -> [PeerEndpoint] {
        parents.map { PeerEndpoint(key: $0.keys.publicKey, address: $0.address) }
    }

    func addRelay(
        _ name: String, parents: [Node], at address: PeerAddress? = nil,
        _ adjust: (inout RelayConfig) -> Void = { _ in }
    ) -> Node {
        var config = RelayConfig(
            stream: stream(name), sequencerKey: signingKey.verifyingKey,
            following: FollowingConfig(parents: endpoints(parents)))
        adjust(&config)
        return add(
            name, RelayCore(config: config, seed: Seed(seed &+ UInt64(nodes.count) &* 97), now: now),
            at: address)
    }

    func addReplica(
        _ name: String, parents: [Node], genesisSeed: UInt64? = nil, at address: PeerAddress? = nil,
        _ adjust: (inout ReplicaConfig) -> Void = { _ in }
    ) -> Node {
        var config = ReplicaConfig(
            stream: stream(name), sequencerKey: signingKey.verifyingKey,
            following: FollowingConfig(parents: endpoints(parents)))
        adjust(&config)
        let state = MeshWorkload(seed: genesisSeed ?? seed).state
        return add(
            name,
            ReplicaCore(
                config: config, state: state, seed: Seed(seed &+ UInt64(nodes.count) &* 97), now: now),
            at: address)
    }

    /// Sets the wire between two nodes, one way.
    func link(_ from: Node, _ to: Node, _ parameters: WireParameters) {
        wires[key(from.address, to.address)] = Wire(
            parameters, seed: seed &+ UInt64(key(from.address, to.address)))
    }

    /// What a node sent to addresses where nobody is.
    func bytesToNobody(from node: Node) -> UInt64 {
        let ports = Set(nodes.map { Int($0.address.port) })
        return wires.reduce(0) { sum, wire in
            wire.key >> 16 == Int(node.address.port) && !ports.contains(wire.key & 0xFFFF)
                ? sum + wire.value.bytes : sum
        }
    }

    func wire(_ from: Node, _ to: Node) -> Wire? { wires[key(from.address, to.address)] }
    func cut(_ from: Node, _ to: Node, _ isCut: Bool = true) {
        wires[key(from.address, to.address)]?.isCut = isCut
    }

    /// Ports tell nodes apart, whatever their addresses.
    private func key(_ from: PeerAddress, _ to: PeerAddress) -> Int { Int(from.port) << 16 | Int(to.port) }

    // MARK: Time

    /// Runs `heights` mini-blocks of `transactions` each, and lets the wires work meanwhile.
    func run(heights: Int, transactions: Int = 40) throws {
        for _ in 0..<heights {
            let diff = workload.next(
                height: sequencer.nextHeight, transactions: transactions, sealedAtMicroseconds: wallClock)
            try sequencer.seal(diff, now: now)
            run(for: .milliseconds(10))
        }
    }

    func finish(settle: Interval = .seconds(3)) throws {
        try sequencer.finish(sealedAtMicroseconds: wallClock, now: now)
        run(for: settle)
    }

    var wallClock: UInt64 { Mesh.epochMicroseconds + UInt64(now.nanoseconds / 1_000) }

    func run(for interval: Interval) {
        let end = now + interval
        while true {
            for node in nodes where node.isAlive { drain(node) }
            var next = end
            if let flight = flights.first { next = min(next, flight.at) }
            for node in nodes where node.isAlive && !node.isPaused {
                if let deadline = node.core.nextDeadline {
                    next = min(next, max(deadline - node.clockOffset, now))
                }
            }
            if next >= end {
                now = end
                break
            }
            // Shells have timers of a millisecond: a deadline that has passed costs at least a little time.
            now = max(next, now)
            var hasArrived = false
            while let flight = flights.first, flight.at <= now {
                popFlight()
                guard
                    let node = nodes.first(where: { $0.address == flight.to || $0.movedTo == flight.to }),
                    node.isAlive
                else { continue }
                if node.isPaused {
                    // A socket's buffer: what does not fit is lost.
                    if node.held.count < 1_000 { node.held.append((flight.bytes, flight.from)) }
                    continue
                }
                var bytes = flight.bytes
                bytes.withUnsafeMutableBytes {
                    node.core.receive($0, from: flight.from, now: now + node.clockOffset)
                }
                hasArrived = true
            }
            var hasFired = false
            for node in nodes where node.isAlive && !node.isPaused {
                if let deadline = node.core.nextDeadline, deadline - node.clockOffset <= now {
                    node.core.handleTimeout(now: now + node.clockOffset)
                    hasFired = true
                }
            }
            if !hasArrived, !hasFired { now = now + .microseconds(100) }
        }
        for node in nodes where node.isAlive { drain(node) }
    }

    /// Stops a node as SIGSTOP would, and lets it run again.
    func pause(_ node: Node) { node.isPaused = true }

    func resume(_ node: Node, timersFirst: Bool) {
        node.isPaused = false
        let held = node.held
        node.held = []
        if timersFirst { node.core.handleTimeout(now: now + node.clockOffset) }
        for (bytes, from) in held {
            var copy = bytes
            copy.withUnsafeMutableBytes { node.core.receive($0, from: from, now: now + node.clockOffset) }
        }
        drain(node)
    }

    private func drain(_ node: Node) {
        if node.isPaused { return }
        var hasFlushed = false
        while let output = node.core.nextOutput() {
            switch output {
            case .send(let datagram):
                if hasFlushed { node.urgentAfterFlush += 1 }
                var bytes = Array(node.core.bytes(of: datagram.buffer).prefix(datagram.count))
                node.core.release(datagram.buffer)
                node.tamper?(&bytes)
                send(bytes, from: node.pretendsToBeAt ?? node.movedTo ?? node.address, to: datagram.to)
            case .event(let event):
                node.events.append(event)
                if case .applied(let block) = event {
                    if hasFlushed { node.urgentAfterFlush += 1 }
                    node.lags.append(Double(wallClock - block.sealedAtMicroseconds) / 1_000)
                }
            case .flush:
                node.flushes += 1
                hasFlushed = true
            }
        }
    }

    /// Puts a datagram on the wire.
    func send(_ bytes: [UInt8], from: PeerAddress, to: PeerAddress) {
        sentTo[to, default: 0] += bytes.count
        let key = key(from, to)
        var wire = wires[key] ?? Wire(parameters, seed: seed &+ UInt64(key))
        let arrival = wire.send(bytes.count, now: now)
        var bytes = bytes
        wire.corrupt(&bytes)
        wires[key] = wire
        guard let arrival else { return }
        order += 1
        pushFlight(Flight(at: arrival, order: order, to: to, from: from, bytes: bytes))
    }

    // A binary heap: earliest first, then in the order of sending.

    private func isBefore(_ a: Flight, _ b: Flight) -> Bool { a.at != b.at ? a.at < b.at : a.order < b.order }

    private func pushFlight(_ flight: Flight) {
        flights.append(flight)
        var i = flights.count - 1
        while i > 0, isBefore(flights[i], flights[(i - 1) / 2]) {
            flights.swapAt(i, (i - 1) / 2)
            i = (i - 1) / 2
        }
    }

    private func popFlight() {
        flights.swapAt(0, flights.count - 1)
        flights.removeLast()
        var i = 0
        while true {
            var least = i
            for child in [2 * i + 1, 2 * i + 2]
            where child < flights.count && isBefore(flights[child], flights[least]) {
                least = child
            }
            if least == i { return }
            flights.swapAt(i, least)
            i = least
        }
    }
}

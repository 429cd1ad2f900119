import MillraceBase
import MillraceCore
import MillraceCrypto

/// Session tables at named addresses, a wire between them that loses, delays and repeats by a seed, and one virtual clock.
final class SessionWorld {
    struct Flight {
        var at: Instant
        var order: Int
        var from: PeerAddress
        var to: PeerAddress
        var bytes: [UInt8]
    }

    final class Node {
        let table: SessionTable
        var address: PeerAddress
        var events: [SessionEvent] = []
        var texts: [[UInt8]] = []
        var outcomes: [Received] = []

        init(table: SessionTable, address: PeerAddress) {
            self.table = table
            self.address = address
        }

        var established: [SessionID] {
            events.compactMap { if case .established(let id, _, _) = $0 { id } else { nil } }
        }
        var closings: [SessionCloseReason] {
            events.compactMap { if case .closed(_, let reason) = $0 { reason } else { nil } }
        }
    }

    var now = Instant(nanoseconds: 1_000_000_000)
    var nodes: [Node] = []
    private var flights: [Flight] = []
    private var order = 0
    private var random: SeededGenerator
    var lossPermille: UInt64 = 0
    var duplicatePermille: UInt64 = 0
    var delay = Interval.milliseconds(20)
    var jitter = Interval.zero
    /// New addresses at which a node stands are proven at once.
    var provesPaths = false
    /// Sees every datagram sent; answers whether it may travel.
    var tap: (Flight) -> Bool = { _ in true }

    init(seed: UInt64 = 1) { random = Seed(seed).generator("wire") }

    static func key(_ n: UInt64) -> StaticKeyPair {
        StaticKeyPair(privateKey: Blake2b.hash(Array("node \(n)".utf8)))
    }

    func add(
        _ n: UInt64, chain: UInt64 = 1, change: (inout SessionConfig) -> Void = { _ in }
    ) -> Node {
        var config = SessionConfig(
            identity: Self.key(n), prologue: SessionConfig.prologue(chainID: chain),
            startMicroseconds: now.nanoseconds / 1_000)
        change(&config)
        let node = Node(
            table: SessionTable(config: config, seed: Seed(n &* 1_000_003 &+ now.nanoseconds), now: now),
            address: .loopback(port: UInt16(9_000 + n)))
        nodes.append(node)
        return node
    }

    func send(_ bytes: [UInt8], from: PeerAddress, to: PeerAddress) {
        let copies = random.below(1_000) < duplicatePermille ? 2 : 1
        for _ in 0..<copies {
            let extra = jitter.nanoseconds > 0 ? Int64(random.below(UInt64(jitter.nanoseconds))) : 0
            order += 1
            let flight = Flight(
                at: now + delay + .nanoseconds(extra), order: order, from: from, to: to, bytes: bytes)
            let isLost = random.below(1_000) < lossPermille
            if tap(flight), !isLost { flights.append(flight) }
        }
    }

    @discardableResult
    func send(_ text: [UInt8], on id: SessionID, from node: Node) -> Bool {
        guard let to = node.table.address(of: id), let bytes = sealed(text, on: id, from: node) else {
            return false
        }
        send(bytes, from: node.address, to: to)
        return true
    }

    func sealed(_ text: [UInt8], on id: SessionID, from node: Node) -> [UInt8]? {
        var buffer = [UInt8](repeating: 0, count: 8) + text + [UInt8](repeating: 0, count: 16)
        let count = buffer.withUnsafeMutableBytes {
            node.table.seal($0, plaintextCount: text.count, for: id, now: now)
        }
        drain(node)
        return count.map { Array(buffer[..<$0]) }
    }

    @discardableResult
    func deliver(_ bytes: [UInt8], to node: Node, from: PeerAddress) -> Received {
        var copy = bytes
        let received = copy.withUnsafeMutableBytes { node.table.receive($0, from: from, now: now) }
        if case .frames(_, let range) = received, !range.isEmpty { node.texts.append(Array(copy[range])) }
        node.outcomes.append(received)
        drain(node)
        return received
    }

    func drain(_ node: Node) {
        while let event = node.table.nextEvent() {
            node.events.append(event)
            // What a caller does with a token: only who receives there can answer it.
            if provesPaths, case .pathSeen(let id, let address) = event,
                nodes.contains(where: { $0.address == address })
            {
                node.table.move(id, to: address, now: now)
            }
        }
        var buffer = [UInt8](repeating: 0, count: 152)
        while let (count, to) = buffer.withUnsafeMutableBytes({ node.table.nextDatagram(into: $0) }) {
            send(Array(buffer[..<count]), from: node.address, to: to)
        }
    }

    func connect(_ a: Node, _ b: Node, knowing: Bool = true) -> SessionID {
        let id = a.table.connect(to: knowing ? b.table.publicKey : nil, at: b.address, now: now)
        drain(a)
        return id ?? SessionID(index: .max, generation: .max)
    }

    /// Lets time pass, doing everything that falls due on the way.
    func run(_ interval: Interval) {
        let end = now + interval
        while true {
            let arrival = flights.map(\.at).min()
            let deadline = nodes.compactMap(\.table.nextDeadline).min().map { max($0, now) }
            guard let next = [arrival, deadline].compactMap({ $0 }).min(), next <= end else { break }
            now = max(now, next)
            let due = flights.filter { $0.at <= now }.sorted { ($0.at, $0.order) < ($1.at, $1.order) }
            flights.removeAll { $0.at <= now }
            for flight in due {
                if let node = nodes.first(where: { $0.address == flight.to }) {
                    deliver(flight.bytes, to: node, from: flight.from)
                }
            }
            for node in nodes {
                node.table.handleTimeout(now: now)
                drain(node)
            }
        }
        now = end
    }
}

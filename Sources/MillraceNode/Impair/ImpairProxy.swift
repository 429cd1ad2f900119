/// A UDP proxy that does to datagrams what a link would: `millrace impair`, and the lines of the demo.
///
///     client ──▶ listen socket ══ up ══▶ one socket per client ──▶ upstream
///     client ◀── listen socket ◀═ down ══ one socket per client ◀── upstream
///
/// Like a household's router it gives each client a port of its own towards the upstream, so that an upstream tells clients
/// apart and nobody else can answer. All routes and clients share one link each way, as a household's devices do.
///
/// Promises: the link is `MillraceLink`'s, the simulator's own; a datagram leaves no earlier than the link says and at most
/// `granularity` later (a timer per datagram would cost more than the datagrams); no datagram can end it. Bounds: clients,
/// bytes under way, datagrams per turn. What does not fit is dropped and counted.

public import MillraceBase
public import MillraceLink
public import MillraceLoop

public struct ImpairOptions: Sendable {
    /// Where one route comes in and goes to.
    public struct Route: Sendable, Equatable {
        public var listen: PeerAddress
        public var upstream: PeerAddress
        public init(listen: PeerAddress, upstream: PeerAddress) {
            self.listen = listen
            self.upstream = upstream
        }
    }

    public var routes: [Route]
    /// From clients to upstreams, and back.
    public var up = LinkParameters()
    public var down = LinkParameters()
    public var seed = Seed(1)
    /// Which of the lines that share the seed. A simulated node's line has the node's number: the same losses and jitter.
    public var line: UInt64 = 0
    /// Datagrams that arrive within this time leave together.
    public var granularity = Interval.microseconds(500)
    public var clientsMax = 256
    /// A client not heard from for this long gives its port back when another wants one.
    public var clientIdle = Interval.seconds(60)
    public var bytesUnderWayMax = 64 << 20

    public init(routes: [Route]) { self.routes = routes }
}

/// What went through the proxy. The links' own counters say what each link did.
public struct ImpairCounters: Sendable {
    public var up = LinkCounters()
    public var down = LinkCounters()
    /// Bytes on the wire, IP and UDP headers included, that came from clients and that left for upstreams; and back.
    public var upWireBytesIn: UInt64 = 0
    public var upWireBytesOut: UInt64 = 0
    public var downWireBytesIn: UInt64 = 0
    public var downWireBytesOut: UInt64 = 0
    public var clients = 0
    /// Datagrams from clients beyond `clientsMax`, from others than the upstream, too long for a slot, beyond the bytes
    /// that may be under way, or refused by a full socket.
    public var clientsRefused: UInt64 = 0
    public var strangers: UInt64 = 0
    public var oversized: UInt64 = 0
    public var overflowed: UInt64 = 0
    public var sendQueueFull: UInt64 = 0
    /// Datagrams the kernel lost before the proxy read them: when this is not zero, the machine was too slow.
    public var kernelDrops: UInt64 = 0
}

public final class ImpairProxy {
    /// IPv4 and UDP headers.
    static let headerBytes: UInt64 = 28

    private struct Entrance {
        var socket: UDPSocket
        var upstream: PeerAddress
        /// Clients by address; looked up only, never walked.
        var clients: [PeerAddress: Int] = [:]
    }

    private struct Client {
        var socket: UDPSocket
        var address: PeerAddress
        var route: Int
        var lastHeard: Instant
        /// Distinguishes users of one place in `clients`.
        var generation: UInt32
    }

    /// What is under way in a slot of the store.
    private struct Load: BitwiseCopyable {
        var count: UInt32 = 0
        var client: UInt32 = 0
        var generation: UInt32 = 0
        /// Its ECN bits.
        var bits: UInt8 = 0
    }

    private let loop: EventLoop
    private let options: ImpairOptions
    private var entrances: [Entrance] = []
    private var clients: [Client?] = []
    private var generation: UInt32 = 0
    private var up: LinkPipe
    private var down: LinkPipe
    private var store: DatagramStore
    private var loads: [Load] = []
    private var timer: LoopTimer?
    /// The links' time 0: traces and outages count from the proxy's start.
    private let origin = Machine.now
    private var counted = ImpairCounters()
    private var closedKernelDrops: UInt64 = 0

    /// Opens every route's entrance; `listeningAddresses` has the ports taken for port 0.
    public init(on loop: EventLoop, _ options: ImpairOptions) throws(LoopError) {
        self.loop = loop
        self.options = options
        up = LinkPipe(options.up, seed: options.seed, index: options.line &* 2)
        down = LinkPipe(options.down, seed: options.seed, index: options.line &* 2 &+ 1)
        store = DatagramStore(bytesMax: options.bytesUnderWayMax)
        timer = try LoopTimer(on: loop) { [unowned self] in deliver(now: Machine.now) }
        do {
            for (index, route) in options.routes.enumerated() {
                let socket = try UDPSocket(on: loop, bind: route.listen)
                entrances.append(Entrance(socket: socket, upstream: route.upstream))
                socket.start(
                    onDatagram: { [unowned self] in fromClient($0, $1, route: index) },
                    onBatchEnd: { [unowned self] in schedule() })
            }
        } catch {
            close()
            throw error
        }
    }

    public var listeningAddresses: [PeerAddress] { entrances.map(\.socket.localAddress) }

    public var counters: ImpairCounters {
        var all = counted
        all.up = up.model.counters
        all.down = down.model.counters
        all.overflowed += up.overflowed + down.overflowed
        all.clients = clients.reduce(0) { $0 + ($1 == nil ? 0 : 1) }
        all.kernelDrops = closedKernelDrops
        for entrance in entrances { all.kernelDrops += entrance.socket.counters.kernelDrops }
        for client in clients { all.kernelDrops += client?.socket.counters.kernelDrops ?? 0 }
        return all
    }

    /// Closes every socket; what is under way is lost.
    public func close() {
        timer?.close()
        timer = nil
        for entrance in entrances { entrance.socket.close() }
        for client in clients { client?.socket.close() }
    }

    // MARK: In

    private func fromClient(_ bytes: UnsafeMutableRawBufferPointer, _ from: PeerAddress, route: Int) {
        let now = Machine.now
        guard let client = client(at: from, route: route, now: now) else {
            counted.clientsRefused &+= 1
            return
        }
        clients[client]?.lastHeard = now
        counted.upWireBytesIn &+= UInt64(bytes.count) + ImpairProxy.headerBytes
        enter(bytes, client: client, isUp: true, bits: entrances[route].socket.congestionBits, now: now)
    }

    private func fromUpstream(_ bytes: UnsafeMutableRawBufferPointer, _ from: PeerAddress, client: Int) {
        guard let known = clients[client], from == entrances[known.route].upstream else {
            counted.strangers &+= 1
            return
        }
        counted.downWireBytesIn &+= UInt64(bytes.count) + ImpairProxy.headerBytes
        enter(bytes, client: client, isUp: false, bits: known.socket.congestionBits, now: Machine.now)
    }

    /// `bits`: what it says of itself to routers; it says the same when it leaves, or that it was marked.
    private func enter(
        _ bytes: UnsafeMutableRawBufferPointer, client: Int, isUp: Bool, bits: UInt8, now: Instant
    ) {
        guard bytes.count <= DatagramStore.slotBytes else {
            counted.oversized &+= 1
            return
        }
        guard let slot = store.take() else {
            counted.overflowed &+= 1
            return
        }
        // Each client is a flow of its own to a fair queue.
        let flow = UInt64(client)
        let fate =
            isUp
            ? up.send(bytes: bytes.count, token: UInt64(slot), flow: flow, now: linkTime(now))
            : down.send(bytes: bytes.count, token: UInt64(slot), flow: flow, now: linkTime(now))
        guard fate == .delivered else {
            store.give(slot)
            return
        }
        if let from = bytes.baseAddress { store.bytes(slot).copyMemory(from: from, byteCount: bytes.count) }
        while loads.count <= Int(slot) { loads.append(Load()) }
        loads[Int(slot)] = Load(
            count: UInt32(bytes.count), client: UInt32(client), generation: clients[client]?.generation ?? 0,
            bits: bits)
    }

    // MARK: Out

    private func schedule() {
        guard let next = [up.nextDeadline, down.nextDeadline].compactMap({ $0 }).min() else {
            timer?.cancel()
            return
        }
        let now = Machine.now
        if next <= linkTime(now) {
            deliver(now: now)
            return
        }
        // The next multiple of the granularity.
        let grain = UInt64(max(options.granularity.nanoseconds, 1))
        let (sum, over) = next.nanoseconds.addingReportingOverflow(grain - 1)
        let due = Instant(nanoseconds: over ? next.nanoseconds : sum / grain * grain)
        timer?.set(origin + (due - .zero))
    }

    private func linkTime(_ now: Instant) -> Instant { .zero + (now - origin) }

    private func deliver(now: Instant) {
        while let arrival = up.popDelivered(now: linkTime(now)) {
            let load = loads[Int(arrival.token)]
            if !arrival.isDropped, let client = clients[Int(load.client)],
                client.generation == load.generation
            {
                let sent = send(arrival, load, through: client.socket, to: entrances[client.route].upstream)
                if sent { counted.upWireBytesOut &+= UInt64(load.count) + ImpairProxy.headerBytes }
            }
            if arrival.isLast { store.give(UInt32(arrival.token)) }
        }
        while let arrival = down.popDelivered(now: linkTime(now)) {
            let load = loads[Int(arrival.token)]
            if !arrival.isDropped, let client = clients[Int(load.client)],
                client.generation == load.generation
            {
                let sent = send(arrival, load, through: entrances[client.route].socket, to: client.address)
                if sent { counted.downWireBytesOut &+= UInt64(load.count) + ImpairProxy.headerBytes }
            }
            if arrival.isLast { store.give(UInt32(arrival.token)) }
        }
        schedule()
    }

    private func send(
        _ arrival: LinkArrival, _ load: Load, through socket: UDPSocket, to address: PeerAddress
    ) -> Bool {
        guard let slot = socket.nextSlot(), let bytes = slot.baseAddress else {
            counted.sendQueueFull &+= 1
            return false
        }
        let count = Int(load.count)
        bytes.copyMemory(from: store.bytes(UInt32(arrival.token)), byteCount: count)
        // In the copy that leaves: a duplicate has its own errors.
        if arrival.flippedBit != Passage.noBit, Int(arrival.flippedBit / 8) < count {
            slot[Int(arrival.flippedBit / 8)] ^= 1 << UInt8(arrival.flippedBit % 8)
        }
        // Only a sender that said so may be marked.
        let isMarked = arrival.isMarked && load.bits != 0
        socket.commit(
            count: count, to: address, congestionBits: isMarked ? UDPSocket.congestionMark : load.bits)
        return true
    }

    // MARK: Clients

    private func client(at address: PeerAddress, route: Int, now: Instant) -> Int? {
        if let known = entrances[route].clients[address] { return known }
        guard let place = freePlace(now: now) else { return nil }
        var socketOptions = UDPSocketOptions()
        socketOptions.queueSlots = 256
        let upstream = entrances[route].upstream
        let any = upstream.ipv4 == nil ? PeerAddress.unspecified : PeerAddress(ipv4: 0, port: 0)
        guard let socket = try? UDPSocket(on: loop, bind: any, options: socketOptions) else { return nil }
        generation &+= 1
        clients[place] = Client(
            socket: socket, address: address, route: route, lastHeard: now, generation: generation)
        entrances[route].clients[address] = place
        socket.start(
            onDatagram: { [unowned self] in fromUpstream($0, $1, client: place) },
            onBatchEnd: { [unowned self] in schedule() })
        return place
    }

    /// A place nobody has, or that of the client silent for longest, if it has been so long enough.
    private func freePlace(now: Instant) -> Int? {
        var oldest: (place: Int, at: Instant)?
        for (place, client) in clients.enumerated() {
            guard let client else { return place }
            if client.lastHeard < oldest?.at ?? .distantFuture { oldest = (place, client.lastHeard) }
        }
        if clients.count < options.clientsMax {
            clients.append(nil)
            return clients.count - 1
        }
        guard let oldest, now - oldest.at >= options.clientIdle, let client = clients[oldest.place] else {
            return nil
        }
        closedKernelDrops += client.socket.counters.kernelDrops
        client.socket.close()
        entrances[client.route].clients[client.address] = nil
        clients[oldest.place] = nil
        return oldest.place
    }
}

@available(*, unavailable)
extension ImpairProxy: Sendable {}

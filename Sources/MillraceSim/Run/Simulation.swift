/// A whole network under virtual time: the cores that the node runs on sockets, here on one queue of events, from one seed.
///
///     seal ─▶ sequencer's core ─▶ datagram ─▶ sender's link up ─▶ way between regions ─▶ receiver's link down ─▶ core
///                                              (queue, loss, …)     (constant delay)       (queue, loss, …)
///
/// A run is a function of (scenario, seed, load): one thread, integer time, no clock, draws keyed by seed, entity, purpose
/// and counter. Every event is folded into `trace`. After the last event every node's byte ledger is compared with its
/// link's counters, and a run in which they differ has no result: a simulator that loses bytes proves nothing.
///
/// Order of processing: a node handles one datagram or timer at a time, its work takes `ProcessorModel`'s time, and what
/// it sends leaves when that work is done. While it is busy, datagrams wait in its socket.

public import MillraceBase
import MillraceCodec
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLink
public import MillraceWorkload

public final class Simulation {
    /// After the end of the stream and of the last fault, how long what is under way may take: so long, and `settleRoundTrips`
    /// of the longest way to the sequencer.
    static let settle = Interval.seconds(5)
    /// How long a run goes on after every node has everything: a multiple of the samples' interval.
    static let quiet = Interval.milliseconds(500)
    /// A node that begins anew needs a handshake (1), a contract (1), catch-up with a window that doubles with every round trip
    /// from 32 shreds to 4,096 (7), and a repair (1), however fast its line is.
    static let settleRoundTrips: Int64 = 10
    static let sealInterval = Interval.milliseconds(10)
    static let sampleInterval = Interval.milliseconds(100)
    /// Datagrams that a node takes from its socket in one go.
    static let batch = 32
    /// Mini-blocks sealed so soon after a process began anew are not counted as delivered.
    static let restartTime = Interval.seconds(2)
    static let chainID: UInt64 = 1

    public let scenario: Scenario
    public let seed: UInt64
    let sizes: PayloadSizes?
    var endedWindows: [EndedWindow] = []
    let stream: WorkloadStream?

    var now: UInt64 = NodeClock.start.nanoseconds
    var queue = EventQueue()
    var flights = FlightPool()
    /// What honest nodes have decoded of headers; at network fidelity.
    let headers = HeaderMemo()
    var trace: TraceHash
    var nodes: [SimNode] = []
    /// By node: whether it takes turns; by their length, when the latest ends; and what is on the way to those that take them.
    var takesTurns: [Bool]
    var turnEnds: [UInt64]
    var post: Post
    /// False: every node is served by the queue of events (tests compare the two).
    var allowsTurns = true
    /// Those that take turns.
    var turnNodes: [UInt32] = []
    var faultBoundaries: [UInt64] = []
    var nextFault = 0
    let sharedLines: [SharedLine]
    let hasSharedLines: Bool
    let sequencer: SimNode
    let replicas: [SimNode]
    let sequencerCore: SequencerCore
    let signingKey: SigningKey
    /// A genesis state for a replica that begins anew; nil by reference.
    var genesis: [StateDiff] = []
    var diff = StateDiff()

    /// Sides of the partitions in force: datagrams pass only between nodes of equal sides.
    var outgoingCut: [Bool]
    var incomingCut: [Bool]
    var side: [UInt32]

    /// When the first mini-block is sealed; faults, traces and outages count from here.
    let streamBegins: UInt64
    /// What goes wrong, one by one: churn is many crashes.
    let faults: [Fault]
    /// Who means harm. Nodes' addresses by IPv4 address, where some do; and what datagrams under way pretend to come from.
    let attacks: [AttackState]
    let hosts: [UInt32: UInt32]
    var forgedSources: [UInt32: PeerAddress] = [:]
    /// Honest nodes, banned by honest nodes.
    var honestBans: [(by: UInt32, whom: UInt32?)] = []
    /// How long mini-blocks took, and how long beyond the way straight from the sequencer.
    var lagBook = DeliveryBook()
    var overDirectBook = DeliveryBook()
    /// The mini-block that a false sequencer seals next; nil as long as it has the true history.
    var lastDiff: StateDiff?
    let streamEnds: UInt64
    private(set) var runEnds: UInt64
    /// When the stream and the last fault have ended.
    private let settlesFrom: UInt64
    /// When each height was sealed, virtual time; index 0 is height 1.
    var sealedAt: [UInt64] = []
    /// How long this run goes on after everything, unless every node has all of it before.
    let settlingTime: Interval
    public private(set) var eventCount: UInt64 = 0
    /// Events that waited, summed over the samples of the time line.
    private(set) var pendingSum: UInt64 = 0
    private(set) var samples: UInt64 = 0
    var timeline = Timeline()
    /// Whose datagrams are written to a file, and where.
    var capture: (node: UInt32, file: PacketCapture)?
    /// Measures what the work of the cores takes in reality (full fidelity).
    public var meter: WorkMeter?
    /// Called after every event by the swarm's checks.
    var oracle: ((Simulation, Event) -> Void)?
    /// A byte that is not accounted for: a fault of the simulator or of the core, never of a scenario.
    public internal(set) var ledgerFault: String?
    /// Why the run was broken off by an oracle.
    var brokenOff: String?
    /// Every applied height, told to the oracles.
    var onApplied: ((SimNode, AppliedMiniBlock) -> Void)?
    /// Every datagram that came through its receiver's link, told at that time.
    var onDelivered: ((SimNode, Flight) -> Void)?

    /// `sizes` is the load at `network` fidelity; at `full` the stream is generated as it goes.
    public init(_ scenario: Scenario, seed: UInt64, sizes: PayloadSizes?) throws(WorkloadError) {
        let scenario = scenario.withAttackers()
        self.scenario = scenario
        self.seed = seed
        self.sizes = scenario.fidelity == .network ? sizes : nil
        precondition(scenario.fidelity == .full || sizes != nil, "network fidelity needs payload sizes")
        trace = TraceHash(seed: seed)
        signingKey = SigningKey(seed: Blake2b.hash(Array("signing \(seed)".utf8)))
        streamBegins = (NodeClock.start + scenario.warmUp).nanoseconds
        streamEnds = streamBegins + UInt64(Interval.seconds(Int64(scenario.seconds)).nanoseconds)
        let count = scenario.nodeCount
        outgoingCut = Array(repeating: false, count: count)
        incomingCut = Array(repeating: false, count: count)
        side = Array(repeating: 0, count: count)
        takesTurns = Array(repeating: false, count: count)
        turnEnds = Array(repeating: 0, count: Simulation.turnLengths.count)
        post = Post(nodes: count)

        nodes = Simulation.makeNodes(scenario, seed: seed)
        attacks = Simulation.muster(scenario, nodes, seed: seed)
        hosts =
            attacks.isEmpty
            ? [:]
            : Dictionary(
                nodes.compactMap { node in node.address.ipv4.map { ($0, node.index) } },
                uniquingKeysWith: { first, _ in first })
        faults = Simulation.faults(scenario, nodes, seed: seed)
        sharedLines = Simulation.makeSharedLines(scenario, nodes, seed: Seed(seed))
        hasSharedLines = !sharedLines.isEmpty
        guard let sequencer = nodes.first(where: { $0.role == .sequencer }) else {
            preconditionFailure("a scenario has a sequencer")
        }
        self.sequencer = sequencer
        replicas = nodes.filter { $0.role == .replica }
        Simulation.choosePeers(scenario, nodes, seed: seed)
        Simulation.aim(attacks, sequencer: sequencer)
        settlingTime =
            Simulation.settle
            + Simulation.longestRoundTrip(scenario, nodes, to: sequencer) * Simulation.settleRoundTrips
        let lastFault =
            (faults.map { ($0.at + $0.lasts).nanoseconds }
            + attacks.compactMap { $0.attack.ends?.nanoseconds })
            .max() ?? 0
        settlesFrom = max(streamEnds, streamBegins + UInt64(max(lastFault, 0)))
        runEnds = settlesFrom + UInt64(settlingTime.nanoseconds)

        // The load, and the state before it.
        let state = State(seed: Seed(seed))
        if scenario.fidelity == .full {
            let stream = WorkloadStream(GeneratedWorkload(scenario.workload), seed: Seed(seed))
            while try stream.nextGenesis(into: &diff) {
                genesis.append(diff)
                try Simulation.apply(diff, to: state)
            }
            self.stream = stream
        } else {
            stream = nil
        }
        var config = SequencerConfig(
            stream: Simulation.identity(sequencer, scenario, at: NodeClock.start.nanoseconds),
            signingKey: signingKey)
        config.parityCount = scenario.parityCount
        if scenario.hasWindows { config.windows = .inline }
        config.serving = Simulation.serving(sequencer, scenario, nodes)
        config.membership = Simulation.membership(sequencer, scenario, nodes)
        sequencerCore = SequencerCore(
            config: config, state: state, seed: Simulation.seed(sequencer, seed),
            now: sequencer.clock.local(now))
        sequencer.core = sequencerCore
        for node in nodes where node !== sequencer && !Simulation.beginsLate(node, attacks) {
            try start(node)
        }
        for node in nodes { node.direct = direct(to: node) }
        for state in attacks {
            switch state.attack.kind {
            case .spoof: state.sender = Spoofer(state.attack, seed: Seed(seed))
            case .flood: state.sender = Flooder(state.attack, seed: Seed(seed))
            case .replay: state.sender = Replayer(state.attack)
            default: break
            }
        }
    }

    static func apply(_ diff: StateDiff, to state: State) throws(WorkloadError) {
        do throws(DiffError) {
            try state.apply(diff)
        } catch {
            throw WorkloadError("a sealed diff does not apply: \(error)")
        }
    }

    // MARK: Running

    /// Runs to the end, or until `isCancelled` answers true, asked once per simulated 100 ms with the time passed since
    /// the stream began.
    public func run(isCancelled: (Interval) -> Bool = { _ in false }) throws(WorkloadError) {
        chooseTurns()
        for node in nodes { drain(node, at: now) }
        queue.push(Event(at: streamBegins, node: sequencer.index, kind: .seal))
        queue.push(Event(at: NodeClock.start.nanoseconds, kind: .sample))
        scheduleFaults()
        scheduleAttacks()
        var (boundary, isWatched) = (now, false)
        while boundary <= runEnds {
            // Everything before the boundary; then, where somebody looks, what reached lines before it; then the boundary itself.
            guard try handleEvents(through: boundary - 1, isCancelled) else { return }
            if isWatched { takeArrivals(through: boundary - 1) }
            guard try handleEvents(through: boundary, isCancelled) else { return }
            let next = self.boundary(after: boundary)
            takeTurns(from: boundary)
            if brokenOff != nil { return }
            (boundary, isWatched) = next
        }
        guard try handleEvents(through: runEnds, isCancelled) else { return }
        now = runEnds
        capture?.file.flush(through: .max)
        // Senders of their own and hostile cores keep no books.
        ledgerFault =
            nodes.lazy.filter { $0.attack.map { self.attacks[$0].attack.kind.keepsBooks } ?? true }
            .compactMap { self.ledgerFault(of: $0) }.first
    }

    /// One event of a node happens now.
    @inline(__always)
    func count(_ kind: Event.Kind, _ node: SimNode) {
        eventCount &+= 1
        trace.fold(now)
        trace.fold(UInt64(kind.rawValue) << 32 | UInt64(node.index))
    }

    /// Events up to and at `end`. False when the run is broken off or cancelled.
    private func handleEvents(
        through end: UInt64, _ isCancelled: (Interval) -> Bool
    ) throws(WorkloadError) -> Bool {
        while let event = queue.pop(through: end) {
            now = event.at
            eventCount &+= 1
            trace.fold(event.at)
            trace.fold(UInt64(event.kind.rawValue) << 32 | UInt64(event.node))
            switch event.kind {
            case .arrive: arrive(event.item)
            case .deliver:
                let node = nodes[Int(flights[event.item].to)]
                deliver(event.item, to: node, node.core)
            case .share: share(event.item)
            case .enter: enterLast(event.item, nodes[Int(flights[event.item].to)])
            case .serve: serve(line(event.item))
            case .timer: timer(nodes[Int(event.node)])
            case .processor: processorFree(nodes[Int(event.node)])
            case .seal: try seal()
            case .fault: fault(Int(event.item), begins: event.node == 0)
            case .attack: attack(event.item)
            case .sample:
                sample()
                endWhenSettled()
                pendingSum &+= UInt64(queue.count)
                samples &+= 1
                if isCancelled(Instant(nanoseconds: now) - Instant(nanoseconds: streamBegins)) {
                    return false
                }
            }
            if let oracle {
                oracle(self, event)
                if brokenOff != nil { return false }
            }
        }
        return true
    }

    /// Nothing is left to happen once every node has all of the stream: then the run ends as soon as what is under way has come.
    /// Not where nodes look for parents, somebody does harm or an oracle looks: those are about what nodes do all the same.
    private func endWhenSettled() {
        guard now >= settlesFrom, now + UInt64(Simulation.quiet.nanoseconds) < runEnds,
            attacks.isEmpty, !scenario.isOpen, oracle == nil,
            nodes.allSatisfy({ $0.core?.statistics.streamEnded ?? false })
        else { return }
        runEnds = now + UInt64(Simulation.quiet.nanoseconds)
    }

    /// Virtual seconds from the first mini-block to the end.
    var streamSeconds: Double { Double(streamEnds - streamBegins) / 1e9 }

    // MARK: Datagrams

    /// Sends one datagram of `node` at `time`.
    func send(_ datagram: OutgoingDatagram, of node: SimNode, _ core: any StreamCore, at time: UInt64) {
        defer { core.release(datagram.buffer) }
        let bytes = UnsafeRawBufferPointer(rebasing: core.bytes(of: datagram.buffer)[..<datagram.count])
        let wireBytes = datagram.count + datagram.leftOutBytes
        node.ledger.sentByCore &+= UInt64(wireBytes)
        node.ledger.sentDatagrams &+= 1
        guard let to = host(datagram.to), Int(to) < nodes.count, isOpen(node.index, to) else {
            if !attacks.isEmpty { noteNobody(datagram.to, bytes: wireBytes) }
            node.ledger.partitioned &+= UInt64(wireBytes)
            return
        }
        if capture != nil { captureSent(node, to: datagram.to, bytes, wireBytes: wireBytes, at: time) }
        let item = flights.take(
            from: node.index, to: to, fromPort: node.address.port, toPort: datagram.to.port,
            wireBytes: UInt16(clamping: wireBytes), bytes)
        if !forgedSources.isEmpty { forgedSources[item] = nil }
        enter(item, node.up, at: time)
    }

    /// A datagram reaches the line that its sender shares with others.
    func share(_ item: UInt32) {
        let flight = flights[item]
        guard let shared = sharedLine(of: flight.from, towards: flight.to) else { return flights.give(item) }
        enter(item, shared.up, at: now)
    }

    /// A datagram reaches the far side of its receiver's link.
    func arrive(_ item: UInt32) {
        let flight = flights[item]
        // A partition that began while it was under way stops it here.
        guard isOpen(flight.from, flight.to) else { return flights.give(item) }
        if hasSharedLines, let shared = sharedLine(of: flight.to, towards: flight.from) {
            return enter(item, shared.down, at: now)
        }
        enterLast(item, nodes[Int(flight.to)])
    }

    /// A datagram reaches its receiver's own line.
    func enterLast(_ item: UInt32, _ node: SimNode) {
        guard node.hasDown else { return deliver(item, to: node, node.core) }
        if !node.isPlainDown {
            enter(item, node.down, at: now)
        } else if let time = node.arrivalDown(bytes: Int(flights[item].wireBytes), at: now) {
            comesThrough(item, node, at: time)
        } else {
            flights.give(item)
        }
        node.noteQueue(at: now)
    }

    /// A datagram has come through the link. `core` is the node's: one that takes turns holds it for a whole turn.
    func deliver(_ item: UInt32, to node: SimNode, _ core: (any StreamCore)?) {
        let flight = flights[item]
        node.arrived(flight.wireBytes)
        if capture != nil { captureArrived(flight, node, from: source(of: flight, item)) }
        if !attacks.isEmpty {
            for state in attacks where state.isStriking {
                state.sender?.overheard(self, state, node, flight, from: source(of: flight, item))
            }
        }
        onDelivered?(node, flight)
        trace.fold(UInt64(flight.wireBytes))
        guard let core, flight.toPort == node.address.port else {
            node.ledger.unreceived &+= UInt64(flight.wireBytes)
            return flights.give(item)
        }
        if node.busyUntil > now || node.isPaused {
            if node.socketBytes + Int(flight.wireBytes) > ProcessorModel.socketBytesMax {
                node.ledger.socketDropped &+= UInt64(flight.wireBytes)
                return flights.give(item)
            }
            node.socket.append(item)
            node.socketBytes += Int(flight.wireBytes)
            wakeProcessor(node)
            return
        }
        receive(item, by: node, core)
        drain(node, core, at: work(node, node.processor.receiveNanoseconds))
    }

    func receive(_ item: UInt32, by node: SimNode, _ core: any StreamCore) {
        let flight = flights[item]
        defer { flights.give(item) }
        node.ledger.handedToCore &+= UInt64(flight.wireBytes)
        node.ledger.handedDatagrams &+= 1
        let bytes = flights.bytes(of: flight)
        if flight.flippedBit != Passage.noBit {
            let byte = Int(flight.flippedBit / 8)
            if byte < bytes.count {
                bytes[byte] ^= 1 << (flight.flippedBit % 8)
            } else if let last = bytes.indices.last {
                bytes[last] ^= 1
            }
            if sizes != nil {
                // Nothing is encrypted, so nothing would notice: this is what authentication would do.
                node.ledger.corrupted &+= UInt64(flight.wireBytes)
                return
            }
        }
        node.ledger.leftOutToCore &+= UInt64(flight.wireBytes) &- UInt64(flight.count)
        let begin = meter?.now
        defer { if let begin { meter?.noteReceived(since: begin, by: node.role) } }
        let source = source(of: flight, item)
        let before = sendsByItself(flight.from) ? core.statistics.datagramsIgnored : nil
        core.receive(bytes, from: source, isMarked: flight.isMarked, now: node.clock.local(now))
        if let before { noteTaken(flight, from: source, by: node, ignoredBefore: before) }
    }

    // MARK: Nodes' turns

    /// The processor is free, and datagrams wait.
    func processorFree(_ node: SimNode) {
        node.isProcessorDue = false
        if node.isPaused { return }
        if node.busyUntil > now { return wakeProcessor(node) }
        // What waits in the socket of a process that ended went with it.
        guard let core = node.core else { return }
        var taken: Int64 = 0
        while taken < Int64(Simulation.batch), let item = node.socket.popFirst() {
            node.socketBytes -= Int(flights[item].wireBytes)
            receive(item, by: node, core)
            taken += 1
        }
        drain(node, core, at: work(node, taken * node.processor.receiveNanoseconds))
        if !node.socket.isEmpty { wakeProcessor(node) }
    }

    func wakeProcessor(_ node: SimNode) {
        if node.isProcessorDue { return }
        node.isProcessorDue = true
        if takesTurns[Int(node.index)] {
            node.processorAt = max(node.busyUntil, now)
        } else {
            queue.push(Event(at: max(node.busyUntil, now), node: node.index, kind: .processor))
        }
    }

    func timer(_ node: SimNode) {
        // An event that was put in before an earlier one, or for a process that is gone.
        guard node.timerAt <= now else { return }
        node.timerAt = .max
        guard let core = node.core, !node.isPaused else { return }
        if node.busyUntil > now {
            schedule(node, at: node.busyUntil)
            return
        }
        core.handleTimeout(now: node.clock.local(now))
        drain(node, core, at: now)
    }

    func schedule(_ node: SimNode, at time: UInt64) {
        guard time < node.timerAt else { return }
        node.timerAt = time
        if time <= runEnds, !takesTurns[Int(node.index)] {
            queue.push(Event(at: time, node: node.index, kind: .timer))
        }
    }

    /// Charges work to a node's processor; answers when it is done.
    func work(_ node: SimNode, _ nanoseconds: Int64) -> UInt64 {
        let begins = max(now, node.busyUntil)
        let cost = UInt64(max(nanoseconds, 0))
        node.busyNanoseconds &+= cost
        node.busyUntil = begins + cost
        return node.busyUntil
    }

    /// Takes what the core has to say, and looks when it wants to be called next. Datagrams leave at `time` or, when there
    /// is much to send, one after the other.
    func drain(_ node: SimNode, at time: UInt64) {
        if let core = node.core { drain(node, core, at: time) }
    }

    private func drain(_ node: SimNode, _ core: any StreamCore, at time: UInt64) {
        let begin = meter?.now
        var upkeepBegins: UInt64?
        var sent: Int64 = 0
        var applied: Int64 = 0
        while true {
            if let datagram = core.nextDatagram() {
                send(datagram, of: node, core, at: time + UInt64(sent * node.processor.sendNanoseconds))
                sent += 1
                continue
            }
            guard let output = core.nextOutput() else { break }
            switch output {
            case .send(let datagram):
                send(datagram, of: node, core, at: time + UInt64(sent * node.processor.sendNanoseconds))
                sent += 1
            case .event(let event):
                note(event, of: node, at: time, &applied)
            case .flush: upkeepBegins = meter?.now
            }
        }
        if let begin {
            meter?.noteDrained(
                since: begin, upkeepSince: upkeepBegins, by: node.role, sent: sent, transactions: applied)
        }
        if sent > 0 || applied > 0 {
            // The processor is taken until the last of it has left.
            let each = node.processor.applyNanoseconds + node.processor.upkeepNanoseconds
            let cost = sent * node.processor.sendNanoseconds + applied * each
            node.busyUntil = max(node.busyUntil, time) + UInt64(cost)
            node.busyNanoseconds &+= UInt64(cost)
        }
        if let deadline = core.nextDeadline {
            // A deadline that has passed costs a little time all the same.
            schedule(node, at: max(node.clock.truth(deadline), now + 1_000))
        }
    }

    private func note(_ event: CoreEvent, of node: SimNode, at time: UInt64, _ applied: inout Int64) {
        switch event {
        case .applied(let block):
            var count: Int64 = 0
            for height in block.firstHeight...block.lastHeight { count += transactions(at: height) }
            let isByValues =
                sizes?.isByValues(block.cadence, endingAt: block.lastHeight) ?? (block.cadence >= .quarter)
            // The upkeep of those before comes first.
            let upkeep = applied * node.processor.upkeepNanoseconds
            applied += isByValues ? count / ProcessorModel.valuesShare : count
            node.appliedHeight = block.lastHeight
            let done = time + UInt64(applied * node.processor.applyNanoseconds + upkeep)
            let sealed =
                Int(block.lastHeight) - 1 < sealedAt.count ? sealedAt[Int(block.lastHeight) - 1] : now
            let lag = Int64(clamping: done) - Int64(clamping: sealed)
            // Finer ones only lead to the first window of the cadence it was told.
            if block.cadence >= scenario.groups[node.group].cadence ?? .c0 {
                node.noteLag(sealedAt: sealed, lagNanoseconds: lag)
            }
            noteDelivery(of: node, sealedAt: sealed, took: .nanoseconds(lag))
            trace.fold(block.lastHeight)
            trace.fold(UInt64(bitPattern: lag))
            onApplied?(node, block)
        case .stopped(let reason):
            node.stops.append(reason)
            node.stoppedAt = node.stoppedAt ?? now
        case .cadence(_, let cadence, _): node.noteCadence(cadence, at: time, until: streamEnds)
        case .peerDown: if time < streamEnds, time > streamBegins { node.sessionsLost += 1 }
        case .offence(let address, _):
            // What attackers do is no fault of ours.
            if attacks.isEmpty || !isHostile(address) { node.offences += 1 }
        case .banned(let address, _): noteBan(of: address, by: node)
        default:
            break
        }
    }

    func transactions(at height: UInt64) -> Int64 {
        if let sizes { return Int64(sizes.transactions(at: height)) }
        return Int64(scenario.workload.transactions(atHeight: height))
    }

    func noteDelivery(of node: SimNode, sealedAt: UInt64, took: Interval) {
        // A process that began anew fetches what it missed: that is no delivery.
        if node.upTimes > 1, sealedAt < node.startedAt + UInt64(Simulation.restartTime.nanoseconds) { return }
        let after = Instant(nanoseconds: sealedAt) - Instant(nanoseconds: streamBegins)
        lagBook.note(sealedAfter: after, took: took)
        overDirectBook.note(sealedAfter: after, took: took - node.direct)
    }

    /// The delays of the lines and of the way between, straight from the sequencer.
    func direct(to node: SimNode) -> Interval {
        Simulation.hop(sequencer, node, scenario) { $0.delay }
    }

    // MARK: The way between

    func delay(_ from: Int, _ to: Int) -> UInt64 {
        guard let latency = scenario.latency else { return 0 }
        return UInt64(max(latency.oneWay[from * latency.names.count + to].nanoseconds, 0))
    }

    func isOpen(_ from: UInt32, _ to: UInt32) -> Bool {
        let (a, b) = (Int(from), Int(to))
        return side[a] == side[b] && !outgoingCut[a] && !incomingCut[b]
    }
}

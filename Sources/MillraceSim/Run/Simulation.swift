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
    /// By node: whether it takes turns; those that take them together; and what is on the way to them.
    var takesTurns: [Bool]
    var turnGroups: [TurnGroup] = []
    var post: Post
    /// False: every node is served by the queue of events (tests compare the two).
    var allowsTurns = true
    /// When all nodes are looked at or changed, samples aside; and which is the next.
    var watchedTimes: [UInt64] = []
    var nextWatch = 0
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
        Simulation.chooseNeighbours(scenario, nodes, seed: seed)
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
            // Everything before the boundary; where somebody looks, what is late, and what reached lines before it; then the
            // boundary itself.
            guard try handleEvents(through: boundary - 1, isCancelled) else { return }
            if isWatched {
                catchUp(to: boundary)
                takeArrivals(through: boundary - 1)
            }
            guard try handleEvents(through: boundary, isCancelled) else { return }
            let next = self.boundary(after: boundary)
            takeTurns(from: boundary, next: next.at)
            if brokenOff != nil { return }
            (boundary, isWatched) = next
        }
        guard try handleEvents(through: runEnds, isCancelled) else { return }
        catchUp(to: runEnds + 1)
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
}

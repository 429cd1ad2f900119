/// What a run says: per node the verdict, lags and bytes, per link what it did, and the hash of everything that happened.
/// `resultJSON` has the field names of Protocol-Spec/cli.md; they are a contract.

public import MillraceBase
public import MillraceCore
public import MillraceLink

public struct NodeResult: Sendable {
    public var name: String
    public var role: NodeRole
    public var verdict: LinkVerdict
    public var lagMsP50 = 0.0
    public var lagMsP99 = 0.0
    public var lagMsP999 = 0.0
    public var lagMsMax = 0.0
    public var slopeMsPerSec = 0.0
    public var stalls = 0
    public var longestStallMs = 0.0
    public var appliedHeight: UInt64 = 0
    public var heightsBehind: UInt64 = 0
    /// How far it was when the last mini-block was sealed.
    public var heightAtStreamEnd: UInt64 = 0
    /// Which cadence it followed when the stream ended, which one longest, and how often it changed.
    public var cadence = Cadence.c0
    public var settledCadence = Cadence.c0
    public var cadenceChanges = 0
    public var windowsApplied: UInt64 = 0
    /// Sessions that ended while the stream ran.
    public var sessionsLost = 0
    /// The last second of the stream in which the newest state was older than a second.
    public var staleUntilSecond = 0.0
    /// Why it stopped for good, if it did.
    public var stopped: String?
    public var received = ByteLedger()
    public var datagramsReceived: UInt64 = 0
    public var sent = ByteLedger()
    public var repairs = Repairs()
    /// Peers that sent it stripes at the end, and how many of them it had found itself.
    public var parents = 0
    public var parentsFound = 0
    /// Share of the run in which its processor worked.
    public var processorShare = 0.0
    public var shortage: Shortage?
    /// Lag samples in microseconds, for the report; empty for what is no replica.
    public var lagsMicroseconds: [UInt32] = []
}

extension NodeResult {
    /// Shreds and headers asked for, and what came of it.
    public struct Repairs: Sendable {
        public var asked: UInt64 = 0
        public var useful: UInt64 = 0
        public var wasted: UInt64 = 0
        public var timedOut: UInt64 = 0
        public var heightsCaughtUp: UInt64 = 0
        /// Slices that parity completed.
        public var slicesRecovered: UInt64 = 0
    }
}

/// What was short when a node fell behind.
public struct Shortage: Sendable {
    public enum Resource: String, Sendable { case link, processor, protocolItself = "protocol" }
    public var resource: Resource
    /// What was missing, as a rate of the stream.
    public var mbitPerSec: Double

    public var sentence: String {
        let amount = JSON.number(mbitPerSec, decimals: 2).text()
        switch resource {
        case .link: return "its link is short by \(amount) Mbit/s"
        case .processor: return "its processor is short by \(amount) Mbit/s of stream"
        case .protocolItself:
            return
                "link and processor had room, and \(amount) Mbit/s of stream did not arrive: the protocol's own doing"
        }
    }
}

public struct LinkResult: Sendable {
    public var node: String
    /// `down` or `up`, seen from the node (or from the nodes behind a shared line, whose name `node` then is).
    public var direction: String
    public var rateMbitPerSec: Double?
    public var counters: LinkCounters
    /// Share of the rate used while the stream ran.
    public var utilisation: Double
}

public struct SimulationResult: Sendable {
    public var scenario: String
    public var seed: UInt64
    public var fidelity: Fidelity
    public var traceHash: TraceHash
    public var seconds: Double
    public var wallSeconds: Double
    /// Of processor time, all threads together; nil when it was not asked.
    public var processorSeconds: Double?
    public var nodeCount: Int
    public var events: UInt64
    /// Events that waited in the queue, on average.
    public var eventsPending: Int
    /// Events a second of the queue alone, with as many waiting, measured beside the run; nil when it was not.
    public var queueEventsPerSecond: Double?
    /// The most memory this process ever held; nil when it was not asked.
    public var peakMemoryMiB: Double?
    /// Bits per second of payload sealed, and of the datagrams that carry it without parity, loss and repair.
    public var payloadMbitPerSec: Double
    public var streamMbitPerSec: Double
    public var transactionsPerSecond: Double
    public var verdict: LinkVerdict
    public var nodes: [NodeResult]
    public var links: [LinkResult]
    /// Sentences about expectations that do not hold.
    public var failures: [String]
    /// Sequencer's bytes out over the stream's.
    public var sequencerUplinkRatio: Double
    /// What came through replicas' lines while the stream ran, on average, packets and all: the load at which the speed was
    /// reached.
    public var mbitPerSecPerNode: Double
    /// Figures of all replicas together, and of attacks where there are any.
    public var network = NetworkResult()
    public var attacks: AttackFigures?
    let timeline: Timeline
    var timelineNames: [String]
    /// What ran and where everyone stood, for the report.
    let plan: Scenario
    let places: [NodePlace]

    /// Nodes times seconds of stream, over what the whole run took of a processor: the seconds before and after the stream, in
    /// which little happens, are not counted in its favour. Of a processor, because a run uses one thread and what others do on
    /// the machine meanwhile says nothing of it; of the wall's clock, where nobody looked.
    public var nodeSecondsPerSecond: Double {
        let taken = processorSeconds ?? wallSeconds
        return taken > 0 ? Double(nodeCount) * Double(plan.seconds) / taken : 0
    }

    public var eventsPerSecond: Double { wallSeconds > 0 ? Double(events) / wallSeconds : 0 }
}

extension Simulation {
    /// The result of a run that took so many seconds by the clock and of a processor. `baselineLagMsP99`: of the same scenario
    /// without attacks, where something is measured against it.
    public func result(
        wallSeconds: Double, processorSeconds: Double? = nil, baselineLagMsP99: Double? = nil
    ) -> SimulationResult {
        let stream = streamRates()
        var final = trace
        let results: [NodeResult] = nodes.map { summary(of: $0, stream) }
        for node in nodes { final.fold(node.appliedHeight) }
        let replicas = results.filter { $0.role == .replica }
        let timeline = timeline.drawn(results)
        let judged = replicas.isEmpty ? results : replicas
        let verdict = judged.map(\.verdict).reduce(LinkVerdict.keepsUp) { $0.worse(than: $1) }
        let sequencerSent = sequencer.statistics.sent.total + 28 * sequencer.ledger.sentDatagrams
        let streamBytes = stream.wireBits / 8 * streamSeconds
        var told = SimulationResult(
            scenario: scenario.name, seed: seed, fidelity: scenario.fidelity, traceHash: final,
            seconds: Double(runEnds - NodeClock.start.nanoseconds) / 1e9, wallSeconds: wallSeconds,
            processorSeconds: processorSeconds, nodeCount: nodes.count, events: eventCount,
            eventsPending: Int(pendingSum / max(samples, 1)), payloadMbitPerSec: stream.payloadBits / 1e6,
            streamMbitPerSec: stream.wireBits / 1e6, transactionsPerSecond: stream.transactions,
            verdict: verdict, nodes: results,
            links: nodes.flatMap { lines(of: $0) } + sharedLines.flatMap { lines(of: $0) },
            failures: [],
            sequencerUplinkRatio: streamBytes > 0 ? Double(sequencerSent) / streamBytes : 0,
            mbitPerSecPerNode: mbitPerSecPerNode(), timeline: timeline,
            timelineNames: timeline.nodes.map { nodes[Int($0)].name },
            plan: scenario, places: places())
        told.network = networkResult(stream)
        if !attacks.isEmpty { told.attacks = attackFigures(baselineLagMsP99: baselineLagMsP99) }
        told.failures = ExpectationCheck(scenario: scenario, result: told).failures
        return told
    }

    private func mbitPerSecPerNode() -> Double {
        guard !replicas.isEmpty else { return 0 }
        let bytes = replicas.reduce(0) {
            $0 + $1.passedAtStreamEnd.bytes
                + UInt64($1.down.model.parameters.overheadBytes) * $1.passedAtStreamEnd.datagrams
        }
        return Double(bytes) * 8 / max(streamSeconds, 0.01) / Double(replicas.count) / 1e6
    }

    struct StreamRates {
        var payloadBits: Double
        var wireBits: Double
        var transactions: Double
    }

    /// What the stream is, by its sizes: payload, and with shred frames, sessions, headers, UDP and IPv4.
    func streamRates() -> StreamRates {
        let statistics = sequencer.statistics
        let seconds = max(streamSeconds, 0.01)
        let payload = Double(statistics.payloadBytes)
        let count = max(Double(statistics.miniBlocks), 1)
        let wire = count * Double(WireCost.bytes(payload: Int(payload / count), parity: scenario.parityCount))
        return StreamRates(
            payloadBits: payload * 8 / seconds, wireBits: wire * 8 / seconds,
            transactions: Double(statistics.transactions) / seconds)
    }

    private func summary(of node: SimNode, _ stream: StreamRates) -> NodeResult {
        let statistics = node.statistics
        var result = NodeResult(name: node.name, role: node.role, verdict: .keepsUp)
        result.received = statistics.received
        result.received.ignored &+= node.ledger.corrupted &+ node.leftOutIgnored
        result.sent = statistics.sent
        result.repairs = NodeResult.Repairs(
            asked: statistics.repairsAsked, useful: statistics.repairsUseful,
            wasted: statistics.repairsWasted,
            timedOut: statistics.repairsTimedOut, heightsCaughtUp: statistics.heightsCaughtUp,
            slicesRecovered: statistics.slicesRecovered)
        result.datagramsReceived = node.ledger.handedDatagrams
        result.parents = node.core?.peers.count { $0.isParent && $0.stripesFrom > 0 } ?? 0
        result.parentsFound = Int(clamping: statistics.parentsFound)
        result.processorShare = Double(node.busyNanoseconds) / Double(runEnds - NodeClock.start.nanoseconds)
        result.stopped = node.stops.first.map { "\($0)" }
        let tip = UInt64(sealedAt.count)
        guard node.role == .replica else {
            result.appliedHeight = statistics.completeThrough
            result.heightsBehind = tip > result.appliedHeight ? tip - result.appliedHeight : 0
            if node.role == .relay, result.heightsBehind > 300 { result.verdict = .fallsBehind }
            return result
        }
        let points = node.lag.percentiles(permille: [500, 990, 999])
        (result.lagMsP50, result.lagMsP99, result.lagMsP999) = (points[0], points[1], points[2])
        result.lagMsMax = node.lag.maximum
        result.appliedHeight = node.appliedHeight
        result.heightAtStreamEnd = node.appliedAtStreamEnd
        result.cadence = node.cadenceAtStreamEnd
        result.settledCadence = node.settledCadence
        result.cadenceChanges = node.cadenceChanges
        result.windowsApplied = statistics.windowsApplied
        result.sessionsLost = node.sessionsLost
        result.staleUntilSecond = node.staleUntilSecond
        result.heightsBehind = tip > node.appliedHeight ? tip - node.appliedHeight : 0
        // How old the state is goes up and down with every window; how late windows come does not.
        let told = scenario.groups[node.group].cadence
        let left = told.map { LagSeries.heightsBehindMax($0) } ?? 0
        let judgement = (told == nil ? node.staleness : node.lag).judge(
            heightsBehind: node.behindAtStreamEnd,
            complete: result.heightsBehind <= left && node.stops.isEmpty, cadence: told ?? .c0)
        result.verdict = judgement.verdict
        result.slopeMsPerSec = judgement.slopeMsPerSec
        result.stalls = judgement.stalls
        result.longestStallMs = judgement.longestStallMs
        result.lagsMicroseconds = node.lag.lagsMicroseconds
        if result.verdict == .fallsBehind { result.shortage = shortage(node, stream) }
        return result
    }

    /// Link, processor or protocol, and by how much.
    private func shortage(_ node: SimNode, _ stream: StreamRates) -> Shortage {
        let sealed = Double(max(sealedAt.count, 1))
        let share = min(Double(node.appliedAtStreamEnd) / sealed, 1)
        let missing = (1 - share) * stream.payloadBits / 1e6
        let busy = Double(node.busyNanoseconds) / Double(max(streamEnds - streamBegins, 1))
        if let rate = node.down.model.parameters.meanRateBitsPerSecond {
            let capacity = Double(rate) / 1e6
            let loss = node.down.model.parameters.loss.asDouble
            let floor = stream.wireBits / 1e6 / max(1 - loss, 0.000_001)
            if let trace = node.down.model.parameters.trace,
                let short = Simulation.shortage(of: trace, floor: floor, seconds: streamSeconds)
            {
                return Shortage(resource: .link, mbitPerSec: short)
            }
            if floor > capacity { return Shortage(resource: .link, mbitPerSec: floor - capacity) }
            // Enough for the stream alone, not for what was sent with it: parity, repairs, duplicates.
            let offered = offeredMbitPerSec(node)
            if utilisation(node) > 0.9, offered > capacity {
                return Shortage(resource: .link, mbitPerSec: offered - capacity)
            }
        }
        if busy > 0.95 { return Shortage(resource: .processor, mbitPerSec: missing) }
        return Shortage(resource: .protocolItself, mbitPerSec: missing)
    }

    /// How much a recorded rate was short of `floor` Mbit/s over the stretch, up to the stream's end, in which it was short of
    /// most bits: what was missing before was made up for. Nil when no stretch lacks half a second of stream.
    private static func shortage(of trace: RateTrace, floor: Double, seconds: Double) -> Double? {
        let step = max(0.1, seconds / 1_000)
        var (carried, lasts) = (0.0, 0.0)
        var (worst, over) = (0.0, 1.0)
        var time = seconds
        while time > step / 2 {
            let from = max(0, time - step)
            carried += trace.mean(from: from, to: time) / 1e6 * (time - from)
            lasts += time - from
            if floor * lasts - carried > worst { (worst, over) = (floor * lasts - carried, lasts) }
            time = from
        }
        return worst > floor / 2 ? worst / over : nil
    }

    /// Of the link down, while the stream ran.
    private func utilisation(_ node: SimNode) -> Double {
        guard let rate = node.down.model.parameters.meanRateBitsPerSecond, rate > 0 else { return 0 }
        let overhead = UInt64(node.down.model.parameters.overheadBytes)
        let bits = (node.passedAtStreamEnd.bytes + overhead * node.passedAtStreamEnd.datagrams) * 8
        return Double(bits) / (Double(rate) * Double(streamEnds - NodeClock.start.nanoseconds) / 1e9)
    }

    /// What was sent towards a node's link down while the stream ran, packets and all.
    private func offeredMbitPerSec(_ node: SimNode) -> Double {
        let overhead = UInt64(node.down.model.parameters.overheadBytes)
        let bits = (node.offeredAtStreamEnd.bytes + overhead * node.offeredAtStreamEnd.datagrams) * 8
        return Double(bits) / (Double(streamEnds - streamBegins) / 1e9) / 1e6
    }

    private func lines(of node: SimNode) -> [LinkResult] {
        var results: [LinkResult] = []
        for (direction, line, exists) in [("down", node.down, node.hasDown), ("up", node.up, node.hasUp)]
        where exists {
            var result = told(line, of: node.name, direction)
            if direction == "down" { result.utilisation = utilisation(node) }
            results.append(result)
        }
        return results
    }

    private func lines(of shared: SharedLine) -> [LinkResult] {
        [told(shared.down, of: shared.name, "down"), told(shared.up, of: shared.name, "up")]
    }

    private func told(_ line: Line, of name: String, _ direction: String) -> LinkResult {
        let link = line.model
        let counters = link.counters
        let rate = link.parameters.meanRateBitsPerSecond.map { Double($0) / 1e6 }
        let bytes =
            counters.offeredBytes + UInt64(link.parameters.overheadBytes) * counters.offeredDatagrams
        let seconds = Double(runEnds - NodeClock.start.nanoseconds) / 1e9
        return LinkResult(
            node: name, direction: direction, rateMbitPerSec: rate, counters: counters,
            utilisation: rate.map { Double(bytes * 8) / ($0 * 1e6 * seconds) } ?? 0)
    }
}

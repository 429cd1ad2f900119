/// One simulated node: a core, and what a machine and a process are around it. `Simulation` owns it and drives it.

import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceLink

final class SimNode {
    let index: UInt32
    let name: String
    let group: Int
    let role: NodeRole
    let region: Int
    let keys: StaticKeyPair
    /// Signs its peer record, where nodes find each other; the session keys follow from it.
    let recordKey: SigningKey?
    let processor: ProcessorModel
    var clock: NodeClock

    /// Nil while the process is down.
    var core: (any StreamCore)?
    var replica: ReplicaCore?
    var parents: [UInt32] = []
    /// Whom it asks for others.
    var bootstrap: [UInt32] = []
    var neighbours: [UInt32] = []

    let up: Line
    let down: Line
    /// The shared line it stands behind, if any.
    var shared: SharedLine?
    /// Both directions have a link at all: without one a datagram skips it.
    let hasDown: Bool
    let hasUp: Bool
    /// The line down is plain (`LinkModel.isPlain`).
    let isPlainDown: Bool

    /// The address others see; the port changes when a NAT forgets.
    var address: PeerAddress
    /// The attack that it is part of; nil: it is honest.
    var attack: Int?
    /// The delays of the way straight from the sequencer.
    var direct = Interval.zero

    /// No event for the core's timer is due before this.
    var timerAt = UInt64.max
    var busyUntil: UInt64 = 0
    var busyNanoseconds: UInt64 = 0
    var isProcessorDue = false
    /// Of a node that takes turns: what will come through its line, and when its processor is free for what waits.
    var deliveries = DeliveryList()
    var processorAt = UInt64.max
    var isPaused = false
    /// Datagrams that came while the processor was busy.
    var socket = FlightQueue()
    var socketBytes = 0

    // What is noted about it.

    var ledger = NodeLedger()
    /// When each mini-block was applied, less when it was sealed.
    var lag = LagSeries()
    /// How old the newest state was, every 10 ms while the stream ran: what the verdict is about. A node that gets
    /// nothing for a minute and then everything shows few large lags, and a minute of growing age.
    var staleness = LagSeries()
    /// The seal at which that is noted next.
    var staleAt: UInt64
    /// Since the last sample.
    var peakLagMicroseconds: UInt32 = 0
    var peakQueueBytes = 0
    /// The time line has it.
    var isOnTimeline = false
    /// Bytes that came through the link down, whatever became of them.
    var arrivedBytes: UInt64 = 0
    var appliedHeight: UInt64 = 0
    /// As they were when the stream ended.
    var appliedAtStreamEnd: UInt64 = 0
    var behindAtStreamEnd: UInt64 = 0
    var offeredAtStreamEnd: (bytes: UInt64, datagrams: UInt64) = (0, 0)
    var passedAtStreamEnd: (bytes: UInt64, datagrams: UInt64) = (0, 0)
    var receivedAtStreamEnd = ByteLedger()
    var sumBytesAtStreamEnd: UInt64 = 0
    var stops: [StopReason] = []
    var stoppedAt: UInt64?
    /// Which cadence it follows, since when, how long it has followed each, and how often it changed.
    var cadence = Cadence.c0
    var cadenceSince = NodeClock.start.nanoseconds
    var followed: [UInt64] = [0, 0, 0, 0]
    var cadenceChanges = 0
    /// When the stream ended.
    var cadenceAtStreamEnd = Cadence.c0
    var sessionsLost = 0
    /// The last second of the stream in which the newest state was older than a second.
    var staleUntilSecond = 0.0
    var upTimes = 0
    var startedAt: UInt64 = 0
    var offences = 0
    /// Of cores that ended in a crash.
    var pastStatistics = CoreStatistics()

    init(
        index: UInt32, name: String, group: Int, role: NodeRole, region: Int, keys: StaticKeyPair,
        recordKey: SigningKey?, processor: ProcessorModel, clock: NodeClock, link: AccessLink,
        origin: Instant, seed: Seed
    ) {
        self.index = index
        self.name = name
        self.group = group
        self.role = role
        self.region = region
        self.keys = keys
        self.recordKey = recordKey
        self.processor = processor
        self.clock = clock
        staleAt = origin.nanoseconds
        up = Line(index: index * 2, leg: .nodeUp, link.up, origin: origin, seed: seed)
        down = Line(index: index * 2 + 1, leg: .nodeDown, link.down, origin: origin, seed: seed)
        hasUp = link.up != LinkParameters()
        hasDown = link.down != LinkParameters()
        isPlainDown = down.model.isPlain
        address = SimNode.address(of: index, port: SimNode.firstPort)
    }

    /// The shared line between this node and another; nil when there is none, or when both stand behind it.
    func sharedLine(towards other: SimNode) -> SharedLine? {
        guard let shared, other.shared !== shared else { return nil }
        return shared
    }

    /// When a datagram that enters the line down now is through; nil: never. Asks for a plain line. Not inlined: only from here
    /// does the compiler see that the line need not be counted up and down for each datagram.
    @inline(never)
    func arrivalDown(bytes: Int, at now: UInt64) -> UInt64? {
        down.model.arrival(bytes: bytes, now: Instant(nanoseconds: now))?.nanoseconds
    }

    static let firstPort: UInt16 = 4_000

    /// It goes on with another cadence.
    func noteCadence(_ new: Cadence, at time: UInt64, until end: UInt64) {
        let time = min(time, end)
        followed[Int(cadence.rawValue)] &+= time - min(cadenceSince, time)
        cadenceSince = time
        cadence = new
        cadenceChanges += 1
    }

    /// The cadence it followed longest while the stream ran.
    var settledCadence: Cadence {
        Cadence.followed.max { followed[Int($0.rawValue)] < followed[Int($1.rawValue)] } ?? .c0
    }

    /// 10.0.0.0/8, by number.
    static func address(of index: UInt32, port: UInt16) -> PeerAddress {
        PeerAddress(ipv4: 0x0A00_0000 | index, port: port)
    }

    /// The node that an address names, whatever the port.
    static func index(of address: PeerAddress) -> UInt32? {
        guard let ipv4 = address.ipv4, ipv4 >> 24 == 10 else { return nil }
        return ipv4 & 0x00FF_FFFF
    }

    /// Symbols by reference in datagrams that the core ignored: it cannot know of them.
    var leftOutIgnored: UInt64 { ledger.leftOutToCore &- statistics.leftOutBytesRead }

    /// Bytes by purpose over all the node's incarnations.
    var statistics: CoreStatistics {
        var all = core?.statistics ?? pastStatistics
        if core != nil { all.add(pastStatistics) }
        return all
    }
}

/// What passed a node's link and what became of it, counted by the simulator and not by the core: the two must agree.
struct NodeLedger: BitwiseCopyable {
    var handedToCore: UInt64 = 0
    var handedDatagrams: UInt64 = 0
    /// Came through the link to a process that was down, or to an address that was given away.
    var unreceived: UInt64 = 0
    /// Of `handedToCore`: symbols by reference.
    var leftOutToCore: UInt64 = 0
    /// The socket was full.
    var socketDropped: UInt64 = 0
    var sentByCore: UInt64 = 0
    var sentDatagrams: UInt64 = 0
    /// Sent by the core and stopped by a partition before the link.
    var partitioned: UInt64 = 0
    /// Garbled under way, and dropped as authentication would have (by reference only).
    var corrupted: UInt64 = 0
}

/// First in, first out; grows by doubling. The owner bounds it by bytes.
struct FlightQueue {
    private var storage: [UInt32] = []
    private var head = 0

    var isEmpty: Bool { head == storage.count }

    mutating func append(_ flight: UInt32) { storage.append(flight) }

    mutating func popFirst() -> UInt32? {
        if isEmpty { return nil }
        defer {
            head += 1
            if head == storage.count {
                storage.removeAll(keepingCapacity: true)
                head = 0
            } else if head > 4_096 {
                storage.removeFirst(head)
                head = 0
            }
        }
        return storage[head]
    }
}

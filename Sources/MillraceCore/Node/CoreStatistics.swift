/// Counters of a core: what went over its sessions and what became of it. Counts only grow; a shell that wants rates
/// takes differences.

public import MillraceBase

/// Bytes by what they were for. Frame headers count with their frame; `session` is the 24 bytes around each datagram's
/// frames and the handshakes. `total` is what the sockets carried, without UDP and IP headers.
public struct ByteLedger: Hashable, Sendable, BitwiseCopyable {
    public var payload: UInt64 = 0
    public var parity: UInt64 = 0
    public var header: UInt64 = 0
    /// Shreds and headers that answered a request.
    public var repair: UInt64 = 0
    /// Requests, contracts, status, pings.
    public var control: UInt64 = 0
    public var session: UInt64 = 0
    /// Received and not read: datagrams of no session, forged ones, and what follows a malformed frame or a goodbye.
    public var ignored: UInt64 = 0
    /// Received shreds and headers that were here already: what the other kinds do not count.
    public var duplicate: UInt64 = 0
    public init() {}
    public var total: UInt64 {
        payload &+ parity &+ header &+ repair &+ control &+ session &+ ignored &+ duplicate
    }
}

public struct CoreStatistics: Hashable, Sendable, BitwiseCopyable {
    public var sent = ByteLedger()
    public var received = ByteLedger()
    public var datagramsSent: UInt64 = 0
    public var datagramsReceived: UInt64 = 0
    /// Of those received, marked by a router with a queue (Spec 55.3).
    public var datagramsMarked: UInt64 = 0
    /// Of those sent, longer than every path carries (Spec 55.8).
    public var datagramsLong: UInt64 = 0
    /// Datagrams that belonged to no session or did not authenticate.
    public var datagramsIgnored: UInt64 = 0

    /// Of what was received: symbols by reference, in frames that were read (simulation only).
    package var leftOutBytesRead: UInt64 = 0

    public var shredsStored: UInt64 = 0
    /// Shreds that were here already.
    public var shredsDuplicate: UInt64 = 0
    /// Shreds that came first but after their slice was complete: parity that was not needed, and data it replaced.
    public var shredsSurplus: UInt64 = 0
    public var shredsInvalid: UInt64 = 0
    /// Shreds that came before their header and found no room to wait.
    public var shredsUnplaced: UInt64 = 0
    public var headersAccepted: UInt64 = 0
    public var headersDuplicate: UInt64 = 0
    /// Lost ones that sums of headers gave.
    public var headersRecovered: UInt64 = 0
    /// Of what was received as headers: sums of them, the parity of headers.
    public var headerSumBytes: UInt64 = 0
    public var headersInvalid: UInt64 = 0
    public var slicesCompleted: UInt64 = 0
    /// Slices that needed parity: fewer than K data shreds came.
    public var slicesRecovered: UInt64 = 0

    /// Shreds and headers asked for, answered usefully, answered when no longer needed, never answered in time.
    public var repairsAsked: UInt64 = 0
    public var repairsUseful: UInt64 = 0
    public var repairsWasted: UInt64 = 0
    public var repairsTimedOut: UInt64 = 0
    public var missesReceived: UInt64 = 0
    public var missesSent: UInt64 = 0
    /// Heights fetched by catch-up.
    public var heightsCaughtUp: UInt64 = 0
    /// Shreds not sent because a child's queue was full.
    public var shredsDropped: UInt64 = 0
    /// Parity shreds not sent because the link had no idle slot for them in time.
    public var parityDropped: UInt64 = 0
    public var stripesMoved: UInt64 = 0
    /// Contracts refused and ended for want of room on this node's own line.
    public var contractsRefused: UInt64 = 0
    public var contractsEnded: UInt64 = 0
    public var offences: UInt64 = 0
    public var peersBanned: UInt64 = 0
    /// Control frames over a peer's allowance, dropped unread.
    public var framesRefused: UInt64 = 0
    /// Sessions that moved to an address after it was proven.
    public var pathsMoved: UInt64 = 0
    /// Pauses of this node itself (a stopped process, a busy machine): nobody was judged by them.
    public var localFaults: UInt64 = 0
    /// Under load: cookies sent instead of answers; and sessions refused because their host or neighbourhood had its share.
    public var cookiesSent: UInt64 = 0
    public var sessionsCrowdedOut: UInt64 = 0

    /// Every height up to here is complete (for a sequencer: sealed).
    public var completeThrough: UInt64 = 0
    /// The highest height known to exist.
    public var tip: UInt64 = 0
    /// The lowest height still held.
    public var retentionFloor: UInt64 = 0
    public var retainedBytes: UInt64 = 0
    /// Replica: the last height applied. Sequencer: the last height sealed.
    public var appliedHeight: UInt64 = 0
    public var miniBlocks: UInt64 = 0
    public var transactions: UInt64 = 0
    public var payloadBytes: UInt64 = 0
    /// Replica: the cadence followed, how often it changed, and windows of coarser cadences applied.
    public var cadence = Cadence.c0
    public var cadenceChanges: UInt64 = 0
    public var windowsApplied: UInt64 = 0
    public var commitmentsChecked: UInt64 = 0
    public var streamEnded = false

    /// Peers known by name, of them those reached at their address, and the parents that were found and not configured.
    public var peersKnown: UInt64 = 0
    public var peersReached: UInt64 = 0
    public var parentsFound: UInt64 = 0
    /// Hops from the sequencer; 0 for the sequencer, and while there is no stream.
    public var hops: UInt64 = 0
    /// Questions for peers that were beyond the asker's budget.
    public var peerRequestsRefused: UInt64 = 0
    public init() {}
}

/// One peer, as `top`, `status` and metrics show it.
public struct PeerReport: Hashable, Sendable, BitwiseCopyable {
    public var address: PeerAddress
    public var key: Hash32
    public var isParent: Bool
    /// It has no contract with us and is asked for what parents do not give.
    public var isNeighbour: Bool
    public var isChild: Bool
    /// Stripes it sends us, and stripes we send it.
    public var stripesFrom: Int
    public var stripesTo: Int
    /// Zero until measured.
    public var roundTripMicroseconds: Int64
    public var completeThrough: UInt64
    public var bytesReceived: UInt64
    public var bytesSent: UInt64
    public var shredsQueued: Int
    public var shredsDropped: UInt64
    public var offences: Int
    public var isSilent: Bool
    /// A parent or neighbour that was found and not configured.
    public var isDiscovered: Bool
    /// Every term of its score, and what it leads to.
    public var score: ScoreReport
}

extension CoreStatistics {
    /// Adds the counts of another core: of the same node before a restart. What is a height or a state stays.
    package mutating func add(_ other: CoreStatistics) {
        sent.add(other.sent)
        received.add(other.received)
        datagramsSent &+= other.datagramsSent
        datagramsReceived &+= other.datagramsReceived
        datagramsLong &+= other.datagramsLong
        datagramsIgnored &+= other.datagramsIgnored
        datagramsMarked &+= other.datagramsMarked
        leftOutBytesRead &+= other.leftOutBytesRead
        shredsStored &+= other.shredsStored
        shredsDuplicate &+= other.shredsDuplicate
        shredsSurplus &+= other.shredsSurplus
        headersDuplicate &+= other.headersDuplicate
        headersRecovered &+= other.headersRecovered
        headerSumBytes &+= other.headerSumBytes
        slicesCompleted &+= other.slicesCompleted
        slicesRecovered &+= other.slicesRecovered
        repairsAsked &+= other.repairsAsked
        repairsUseful &+= other.repairsUseful
        repairsWasted &+= other.repairsWasted
        repairsTimedOut &+= other.repairsTimedOut
        shredsDropped &+= other.shredsDropped
        parityDropped &+= other.parityDropped
        contractsRefused &+= other.contractsRefused
        contractsEnded &+= other.contractsEnded
        offences &+= other.offences
        peersBanned &+= other.peersBanned
        framesRefused &+= other.framesRefused
        pathsMoved &+= other.pathsMoved
    }
}

extension ByteLedger {
    /// Bytes counted as `kind` turn out to be a duplicate's.
    mutating func noteDuplicate(_ bytes: Int, among kind: WritableKeyPath<ByteLedger, UInt64>) {
        self[keyPath: kind] &-= UInt64(bytes)
        duplicate &+= UInt64(bytes)
    }

    mutating func add(_ other: ByteLedger) {
        payload &+= other.payload
        parity &+= other.parity
        header &+= other.header
        repair &+= other.repair
        control &+= other.control
        session &+= other.session
        ignored &+= other.ignored
        duplicate &+= other.duplicate
    }
}

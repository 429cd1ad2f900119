/// The child's half of the protocol: links to parents, contracts for stripes, admission of headers and shreds, repair
/// and catch-up (Spec 60.4–60.7). Relays and replicas have one.
///
///     header ─▶ signature ─▶ SliceRecord ◀─ hash ◀─ shred          owner takes complete heights in order
///                  │              │ missing, and nobody owes it any more
///                  │              ▼
///               gap in heights ─▶ request (numbered, windowed, timed) ─▶ parent
///
/// Promises: nothing enters the store before it was verified against the sequencer's signature. Requests ask for the
/// deficit only: what K needs beyond what is here, asked for, or still owed by contract. No more than the window is asked
/// for at once, so an answer cannot flood the link. A parent that is silent on its stripes loses them.
///
/// The files: this one has the state and takes shreds; `FollowingLinks` has the parents, `FollowingHeaders` admission,
/// `FollowingRepair` timers and answers, `FollowingRequests` what is asked for, `FollowingLosses` what parity is bought for,
/// `FollowingCadences` what is left to windows, `FollowingIntake` heights pulled where the line is too slow, `ParentWatch`
/// silence.
///
/// Why gaps are noticed by order and not by a timer: a parent sends in stream order, so what it sent later proves what
/// is missing, within a reordering tolerance, at any round-trip time. A timer alone must assume the worst jitter.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class Following {
    /// What became of a frame, for the owner.
    struct News {
        /// A header was admitted: forward it.
        var headerOf: SliceRecord?
        /// These shreds are new and verified: forward them.
        var record: SliceRecord?
        var shreds = StripeSet.empty
    }

    let config: FollowingConfig
    let chainID: UInt64
    let epoch: UInt32
    let sequencerKey: VerifyingKey
    let endpoint: Endpoint
    let store: SliceStore
    /// A relay re-creates what its children are owed; a replica does not.
    let recreates: Bool
    /// The stripes that any child is owed (a relay sets it).
    var stripesWanted: () -> StripeSet = { .empty }
    /// A relay gives up on what nobody has; a replica never does.
    let givesUpAfter: Interval?

    var parents: [ParentLink]
    var plan: StripePlan
    var requests = RequestTable()
    var window: RepairWindow
    let early: EarlyShreds
    var parity: ParityController
    /// Parity in hand of slices from `next` on: while there is none, there is nothing to solve.
    var equations = 0
    var solver = WindowSolver()
    /// Slices in a row before `next` that are whole: so many as a window has at most.
    var wholeRun = 0
    /// With what the oldest gap was last tried, in vain.
    struct Tried: Equatable {
        var next: UInt64 = 0
        var equations = 0
        var missing = 0
    }
    var lastTried = Tried()
    /// Lost headers, from sums of headers; and how often a sum is bought.
    var headers = HeaderRecovery()
    var sumEvery: UInt8 = 2
    /// Which parent sends headers, in turn, and what it left out lately.
    var headerTurn = 0
    var headersMissed = 0
    var headerTurnIsDue = false
    /// Headers since a sum last came from the parent that owes them.
    var headersSinceSum = 0
    /// The fewest data shreds of late slices, and the parity made of them.
    var leastDataCount = 0
    var parityMade = 0
    /// When a header last came.
    var lastHeaderAt: Instant = .zero
    /// When anything last came from a parent, and since when that has been so without a hole.
    var lastFlowAt: Instant = .zero
    var flowsSince: Instant = .zero
    /// Parents that give nothing of what they owe, by index: their shreds are not waited for.
    var late: UInt64 = 0
    var intake = Intake.live
    /// How long heights are pulled at least, and when they last were.
    var pulling = Pulling()
    /// What our own line brings.
    var line = LineMeter()
    /// Since when parents have said that it is full.
    var fullSince: Instant?
    /// Loss is counted from this height on: slices from before a change of plan tell nothing. And it was, through this one.
    var countLossFrom: UInt64 = 0
    var lossCountedThrough: UInt64 = 0

    /// The lowest height that is not complete; 0 until known (a relay starts where the stream is).
    var next: UInt64
    /// The highest height known to exist, from headers and from STATUS, and when it grew.
    var headerTip: UInt64 = 0
    var statusTip: UInt64 = 0
    /// The tips as they were one tolerance ago: below these, what is missing is lost, not late.
    var settledTip: UInt64 = 0
    var headerCheckpoint: UInt64 = 0
    var statusCheckpoint: UInt64 = 0
    var headerCheckpointAt: Instant = .zero
    var statusCheckpointAt: Instant = .zero
    /// The request that covers a height, by height modulo the ring; valid while that request is out.
    var askedBy: [UInt16]
    var nextTick: Instant
    /// Since when `next` has been the lowest gap.
    var nextSince: Instant
    /// When this process last went on after it had stood still. What was asked for before was answered while nobody listened, and
    /// its delay tells nothing of the link.
    var stoodStillUntil: Instant = .zero
    /// It was at other work until shortly before this.
    var busyUntil: Instant = .zero
    /// Shreds per mini-block, smoothed, times 16: what a catch-up request of so many heights will bring. The guess before
    /// the first is the stream of 100,000 TPS; it is soon forgotten.
    var shredsPerHeight16 = 9 * 16
    /// The stream ends at this height; nil while it goes on.
    var endHeight: UInt64?
    /// Two signed headers that contradict each other were seen.
    var equivocationAt: UInt64?
    /// They are told here, for all the world to know.
    var onProof: ((EquivocationProof) -> Void)?
    /// A height that no parent holds, since when, and the least of their floors.
    struct Lacked: BitwiseCopyable {
        var height: UInt64
        var since: Instant
        var floor: UInt64
    }
    /// As of the last look at the gaps (`reviewAvailability`).
    var lacked: Lacked?
    /// The lowest height that is missing is one that no parent holds.
    var unavailable: Lacked? { lacked.flatMap { $0.height == next ? $0 : nil } }

    // Coarser cadences (`WindowFollowing`).

    /// Fetches slices of windows.
    var fetch: WindowFetch?
    /// Whether contracts for c0 are wanted.
    var isSubscribed = true
    /// Where the contract took up again after a gap; all ones until it has.
    var liveFrom: UInt64 = 0
    /// Heights that come as windows, and the last one that is asked for otherwise.
    var byWindows: (first: UInt64, last: UInt64)?
    var gapLimit = UInt64.max

    /// Called in place of a return value so that one datagram's early shreds can all be forwarded.
    var onNews: ((News) -> Void)?

    init(
        config: FollowingConfig, stream: StreamIdentity, sequencerKey: VerifyingKey, endpoint: Endpoint,
        store: SliceStore, firstHeight: UInt64, recreates: Bool, givesUpAfter: Interval?, now: Instant
    ) {
        self.config = config
        chainID = stream.chainID
        epoch = stream.epoch
        self.sequencerKey = sequencerKey
        self.endpoint = endpoint
        self.store = store
        self.recreates = recreates
        self.givesUpAfter = givesUpAfter
        early = EarlyShreds(payloads: stream.payloads)
        parents = config.parents.prefix(Following.parentsMax).map { ParentLink(endpoint: $0) }
        for neighbour in config.neighbours.prefix(FollowingConfig.neighboursMax)
        where parents.count < Following.parentsMax {
            parents.append(ParentLink(endpoint: neighbour))
            parents[parents.count - 1].isNeighbour = true
        }
        plan = StripePlan(
            Array(repeating: .unusable, count: parents.count), parityStripes: config.parityStripes)
        window = RepairWindow(shredsMax: config.windowShredsMax)
        parity = ParityController(floor: config.parityStripes)
        next = firstHeight
        askedBy = Array(repeating: .max, count: Int(SliceStore.heightsMax))
        nextTick = now
        nextSince = now
        if firstHeight > 0 { store.begin(at: firstHeight) }
        connect(now: now)
    }

    /// Every height from the first to here is complete.
    var completeThrough: UInt64 { next > 0 ? next - 1 : 0 }
    var tip: UInt64 { max(headerTip, statusTip) }

    // MARK: Shreds

    /// A SHRED or REPAIRED frame from a parent.
    func shred(
        _ key: SliceKey, index: Int, symbol: UnsafeRawBufferPointer, request: UInt16?, from peer: Peer,
        now: Instant
    ) {
        guard let i = peer.parentIndex else {
            if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
            return
        }
        guard equivocationAt == nil else { return }
        if key.cadence != .c0 {
            // Windows come as answers only.
            if let request {
                parents[i].lastAnswerAt = now
                fetch?.shred(key, index: index, symbol: symbol, request: request, from: peer, now: now)
            }
            return
        }
        if let request {
            parents[i].answeredAt = now
            answered(request, key, index: index, by: i, now: now)
        } else {
            // It answers and does nothing else.
            if parents[i].isNeighbour {
                if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
                return
            }
            let isOnTrial = parents[i].delivered(StreamPosition(key, shred: index), now: now)
            noteArrival(i, of: key.firstHeight, now: now)
            if isOnTrial { triedShred(i, now: now) }
        }
        if let record = store.record(key) {
            keep(symbol, index: index, in: record, from: peer, now: now, isRepair: request != nil)
            return
        }
        if next > 0, key.firstHeight < next {
            duplicate(symbol.count, index: index, isRepair: request != nil)
            return
        }
        // Heights we could not hold are not worth waiting for; nor are those beyond any header's reach.
        guard store.mayHold(key.firstHeight),
            headerTip == 0 || key.firstHeight <= headerTip + Following.earlyHeightsMax
        else {
            endpoint.statistics.shredsUnplaced &+= 1
            peer.score.excuse(datagrams: 1, now: now)
            return
        }
        let tolerance = peer.roundTrip.reorderTolerance
        if let evicted = early.insert(
            key, index: index, symbol: symbol, parent: i, now: now, askAfter: tolerance)
        {
            endpoint.statistics.shredsUnplaced &+= 1
            self.peer(evicted)?.score.excuse(datagrams: 1, now: now)
        }
        nextTick = min(nextTick, now + tolerance)
    }

    /// Heights ahead of the newest header that anything is kept of.
    static let earlyHeightsMax: UInt64 = 1_024

    private func duplicate(_ bytes: Int, index: Int, isRepair: Bool) {
        endpoint.statistics.shredsDuplicate &+= 1
        let isData = index < WireLimits.firstParityStripe
        endpoint.statistics.received.noteDuplicate(
            bytes, among: isRepair ? \.repair : isData ? \.payload : \.parity)
        if isRepair { endpoint.statistics.repairsWasted &+= 1 }
    }

    /// A shred of a slice that is complete. Each is counted once as surplus, then as a duplicate.
    private func surplus(_ bytes: Int, index: Int, of record: SliceRecord, isRepair: Bool) {
        if record.arrived.contains(index) || isRepair {
            duplicate(bytes, index: index, isRepair: isRepair)
        } else {
            record.arrived.insert(index)
            endpoint.statistics.shredsSurplus &+= 1
        }
    }

    func keep(
        _ symbol: UnsafeRawBufferPointer, index: Int, in record: SliceRecord, from peer: Peer, now: Instant,
        isRepair: Bool = false
    ) {
        // Parity of a complete slice is worth something as long as a slice before it is not, and to a relay whose children are
        // owed it: taking it costs a hash, making it costs as much as all else a relay does.
        if record.isComplete,
            index < WireLimits.firstParityStripe || record.have.contains(index)
                || record.key.firstHeight < next && !(recreates && stripesWanted().contains(index))
        {
            surplus(symbol.count, index: index, of: record, isRepair: isRepair)
            return
        }
        switch record.assembler.insert(symbol, stripe: index) {
        case .stored:
            if isRepair { peer.score.helped(shreds: 1, now: now) }
            stored(index, in: record, now: now, isRepair: isRepair)
            // Parity of what lies behind, for children, says nothing of what is missing.
            if record.key.firstHeight >= next { recover(around: record, now: now) }
        case .completed:
            if isRepair { peer.score.helped(shreds: 1, now: now) }
            stored(index, in: record, now: now, isRepair: isRepair)
            finish(record, now: now)
            recover(around: record, now: now)
        case .duplicate:
            if !isRepair { record.arrived.insert(index) }
            duplicate(symbol.count, index: index, isRepair: isRepair)
        case .forged:
            endpoint.statistics.shredsInvalid &+= 1
            if !dispute(record, with: peer, now: now) { offend(peer, .invalidShred, bytes: symbol.count) }
        }
    }

    private func stored(_ index: Int, in record: SliceRecord, now: Instant, isRepair: Bool) {
        endpoint.statistics.shredsStored &+= 1
        if isRepair { endpoint.statistics.repairsUseful &+= 1 }
        record.lastShredAt = now
        if !isRepair { record.arrived.insert(index) }
        if index >= WireLimits.firstParityStripe, record.key.firstHeight >= next {
            record.equations += 1
            equations += 1
        }
        var shreds = StripeSet.empty
        shreds.insert(index)
        record.told.insert(index)
        onNews?(News(record: record, shreds: shreds))
    }

    /// The data is here, or determined by the slice's own parity: verify the payload, and let it be used.
    func finish(_ record: SliceRecord, now: Instant) {
        // A relay uses no payload: each symbol has its own signed hash, and a replica compares the whole.
        let state = recreates ? record.assembler.recover() : record.assembler.verify()
        guard state == .verified || recreates && state == .whole else {
            // Every shred had its signed hash, so the sequencer signed what does not belong together.
            equivocationAt = record.key.firstHeight
            return
        }
        if record.told.data != record.shreds.data { endpoint.statistics.slicesRecovered &+= 1 }
        endpoint.statistics.slicesCompleted &+= 1
        store.entry(record.key.firstHeight)?.markComplete(record)
        if recreates {
            tellNew(of: record)
            recreate(from: record)
        }
        advance(now: now)
    }

    /// Moves `next` over complete heights.
    func advance(now: Instant) {
        let before = next
        while next > 0, let entry = store.entry(next), entry.isComplete {
            // Headers are not counted: they answer no request by number.
            let shreds = entry.slices.reduce(0) { $0 + ($1?.dataCount ?? 0) }
            let heights = Int(entry.lastHeight - entry.firstHeight + 1)
            shredsPerHeight16 += (shreds * 16 / heights - shredsPerHeight16) / 4
            for record in entry.slices { equations -= record?.equations ?? 0 }
            wholeRun = min(wholeRun + entry.slices.count, WireLimits.windowSpanMax - 1)
            next = entry.lastHeight + 1
        }
        if next != before {
            nextSince = now
            early.dropBelow(next)
            headers.dropBelow(next)
        }
    }

    /// Notes an offence; `StreamNode` closes the session of a peer that goes on.
    func offend(_ peer: Peer, _ offence: Offence, bytes: Int = 0) {
        endpoint.note(offence, of: peer, bytes: bytes)
    }
}

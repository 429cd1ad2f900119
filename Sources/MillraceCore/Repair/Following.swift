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
/// The files: this one has state, links and admission; `FollowingRepair` the timers and what they ask for.
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
    private var headers = HeaderRecovery()
    private var sumEvery: UInt8 = 2
    /// Which parent sends headers, in turn, and what it left out lately.
    private var headerTurn = 0
    private var headersMissed = 0
    private var headerTurnIsDue = false
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
    /// Loss is counted from this height on: slices from before a change of plan tell nothing. And it was, through this one.
    private var countLossFrom: UInt64 = 0
    private var lossCountedThrough: UInt64 = 0

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
    /// No parent has this height any more, since then.
    var unavailableSince: Instant?
    var unavailableFloor: UInt64 = 0

    // Coarser cadences (`WindowFollowing`).

    /// Fetches slices of windows.
    var fetch: WindowFetch?
    /// Whether contracts for c0 are wanted.
    private(set) var isSubscribed = true
    /// Where the contract took up again after a gap; all ones until it has.
    private(set) var liveFrom: UInt64 = 0
    /// Heights that come as windows, and the last one that is asked for otherwise.
    private(set) var byWindows: (first: UInt64, last: UInt64)?
    private(set) var gapLimit = UInt64.max

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

    // MARK: Links

    /// Starts handshakes with parents whose time has come.
    func connect(now: Instant) {
        for i in parents.indices {
            if case .down(let until) = parents[i].state, now >= until {
                let parent = parents[i].endpoint
                // A full table frees itself in time.
                guard let session = endpoint.sessions.connect(to: parent.key, at: parent.address, now: now)
                else { continue }
                parents[i].session = session
                parents[i].state = .connecting(since: now)
                // It may have come to us first; then no event follows.
                if let peer = endpoint.peer(session) { _ = established(peer, now: now) }
            }
        }
    }

    /// Parents in all that `missedBy`'s words have a bit for.
    static let parentsMax = 64
    /// A retired place is not given to another before this: shreds and requests that name it have gone by then.
    static let placeQuarantine = Interval.seconds(15)

    /// Takes a parent in at run time, and dials it unless it has a session already. Its index; nil when all places are taken.
    func addParent(_ endpoint: PeerEndpoint, now: Instant) -> Int? {
        var link = ParentLink(endpoint: endpoint)
        link.isDiscovered = true
        let freed = parents.firstIndex { $0.retiredAt.map { now - $0 >= Following.placeQuarantine } ?? false }
        let place = freed ?? parents.count
        guard place < Following.parentsMax else { return nil }
        if freed == nil { parents.append(link) } else { parents[place] = link }
        replan(now: now)
        connect(now: now)
        return place
    }

    /// Ends the contract with a parent. Its session stays: the peer may be a child, or be taken again.
    func removeParent(_ i: Int, now: Instant) {
        guard parents.indices.contains(i), !parents[i].isRetired else { return }
        parents[i].retiredAt = now
        // The plan without it says so to the parent, too.
        replan(now: now)
        if let peer = peer(i) {
            peer.parentIndex = nil
            // What it sent before it heard of that, or until the lease ends if it never does, is no offence.
            peer.wasParentUntil = now + .milliseconds(Int64(ParentLink.leaseMilliseconds) + 5_000)
        }
        settleRequests(of: i, now: now)
        parents[i].session = nil
        parents[i].state = .down(until: .distantFuture)
    }

    /// A session is up. Answers whether it is one of our parents'.
    func established(_ peer: Peer, now: Instant) -> Bool {
        guard let i = parents.firstIndex(where: { $0.session == peer.session }) else { return false }
        peer.parentIndex = i
        peer.judging = Judging()
        parents[i].state = .up
        parents[i].connectFailures = 0
        parents[i].resetDebt()
        parents[i].dispute = nil
        parents[i].isDisputed = false
        parents[i].serial &+= 1
        parents[i].acceptedSerial = 0
        parents[i].subscribeAttempts = 0
        parents[i].graceUntil = now + .milliseconds(500)
        beginTrial(i, now: now)
        parity.begin(roundTrip: peer.roundTrip.current)
        if parity.isPrudent { sumEvery = 1 }
        replan(now: now)
        return true
    }

    func disconnected(_ peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else { return }
        lost(i, now: now)
    }

    /// A handshake that never finished.
    func failed(_ session: SessionID, now: Instant) {
        guard let i = parents.firstIndex(where: { $0.session == session }) else { return }
        lost(i, now: now)
    }

    func lost(_ i: Int, now: Instant) {
        parents[i].session = nil
        parents[i].connectFailures = min(parents[i].connectFailures + 1, 16)
        parents[i].state = .down(until: now + parents[i].backoff)
        settleRequests(of: i, now: now)
        replan(now: now)
    }

    func settleRequests(of parent: Int, now: Instant) {
        for slot in requests.active.reversed() {
            let number = requests.number(slot: slot)
            if requests[number]?.parent == parent { settle(number, now: now) }
        }
    }

    func peer(_ parent: Int) -> Peer? {
        guard parents.indices.contains(parent), let session = parents[parent].session else { return nil }
        return endpoint.peer(session)
    }

    /// What is asked of a parent's peer; nil when it has no session. The peer is lent for the question.
    @inline(__always)
    func ask<Answer>(_ parent: Int, _ question: (Peer) -> Answer) -> Answer? {
        guard let session = parents[parent].session else { return nil }
        return endpoint.ask(session, question)
    }

    /// Deals the stripes anew over the usable parents and asks each whose share changed.
    func replan(now: Instant) {
        let fresh = StripePlan(
            standings(now: now), parityStripes: parity.stripes, turn: headerTurn, sumEvery: sumEvery,
            after: plan, movesSums: sumsAreMissing)
        if fresh.sumsBy != plan.sumsBy { headersSinceSum = 0 }
        // Until all have heard that nothing is wanted, what they owe is under way.
        if case .ending = intake {} else { plan = fresh }
        let roundTrip = parents.indices.reduce(Interval.zero) {
            max($0, peer($1)?.roundTrip.current ?? .zero)
        }
        countLossFrom =
            max(headerTip, next) + 10
            + UInt64(max(roundTrip.nanoseconds / Limits.miniBlockInterval.nanoseconds, 0))
        for i in parents.indices {
            let stripes = stripes(of: i, under: fresh)
            if parents[i].stripes == stripes, parents[i].headers == fresh.headers[i],
                parents[i].acceptedSerial == parents[i].serial || !parents[i].isConnected
            {
                continue
            }
            parents[i].stripes = stripes
            parents[i].headers = fresh.headers[i]
            parents[i].serial &+= 1
            parents[i].subscribeAttempts = 0
            parents[i].resetDebt()
            parents[i].graceUntil = max(
                parents[i].graceUntil,
                now + (peer(i)?.roundTrip.timeout ?? .milliseconds(500)) + .milliseconds(100))
            if parents[i].isConnected { subscribe(i, now: now) }
        }
    }

    /// Sends the contract wanted of parent `i`.
    func subscribe(_ i: Int, now: Instant) {
        guard let peer = peer(i) else { return }
        let terms = ContractTerms(
            serial: parents[i].serial, stripes: parents[i].stripes, headers: parents[i].headers,
            leaseMilliseconds: ParentLink.leaseMilliseconds,
            budgetKilobitsPerSecond: budget(of: i, now: now))
        endpoint.send(.subscribe(terms), to: peer)
        parents[i].askedAt = now
        parents[i].subscribeAttempts = min(parents[i].subscribeAttempts + 1, 16)
        parents[i].renewAt =
            now + peer.roundTrip.timeout * Int64(1 << min(parents[i].subscribeAttempts - 1, 4))
    }

    func accepted(_ terms: ContractTerms, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex, terms.serial == parents[i].serial else { return }
        if parents[i].acceptedSerial != terms.serial {
            parents[i].acceptedAt = now
            // What went before the parent had heard of it is not owed.
            if parents[i].owesShredsSince != nil {
                parents[i].owesFrom = max(parents[i].owesFrom, furthest())
            }
        }
        parents[i].acceptedSerial = terms.serial
        parents[i].subscribeAttempts = 0
        parents[i].renewAt = now + .milliseconds(Int64(max(terms.leaseMilliseconds, 1_000)) / 2)
    }

    func refused(
        serial: UInt32, _ reason: RefusalReason, retryAfterMilliseconds: UInt32, from peer: Peer, now: Instant
    ) {
        guard let i = peer.parentIndex, serial == parents[i].serial else { return }
        endpoint.emit(.refused(peer.address, reason))
        parents[i].state = .silent(
            until: now + .milliseconds(Int64(min(max(retryAfterMilliseconds, 250), 60_000))))
        replan(now: now)
    }

    func status(_ status: StreamStatus, from peer: Peer, now: Instant) {
        // Spec 60.8, rule 2: a peer may say any tip; it is believed as far as a day ahead of what is signed, and only moves
        // requests, which are bounded.
        guard let i = peer.parentIndex else { return }
        let dropped = peer.status.dropped
        peer.status = status
        if status.dropped > dropped { refused(by: i, now: now) }
        let believed = min(status.tip, max(headerTip, next) + 8_640_000)
        if believed > statusTip { statusTip = believed }
    }

    // MARK: Headers

    /// A HEADER frame from a parent.
    func header(_ bytes: RawSpan, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else {
            if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
            return
        }
        take(bytes, from: peer, parent: i, now: now)
        takeRecovered(now: now)
    }

    /// A HEADERSUM frame from a parent (Spec 60.12).
    func headerSum(_ bytes: RawSpan, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else {
            if now >= peer.wasParentUntil { offend(peer, .unexpectedFrame) }
            return
        }
        guard equivocationAt == nil else { return }
        let sum: HeaderSum
        do throws(FrameError) {
            sum = try HeaderSum.decode(bytes)
        } catch {
            offend(peer, .malformedFrame)
            return
        }
        if i == plan.sumsBy { headersSinceSum = 0 }
        guard let newest = sum.slices.first, newest.cadence == .c0, store.mayHold(newest.firstHeight),
            headerTip == 0 || newest.firstHeight <= headerTip + Following.earlyHeightsMax,
            sum.slices.contains(where: { $0.firstHeight >= next && store.record($0) == nil })
        else { return }
        headers.add(sum, from: i) { store.record($0)?.assembler.headerBytes }
        takeRecovered(now: now)
    }

    /// Headers that sums gave: as good as their signatures, and nobody's offence if they are not.
    private func takeRecovered(now: Instant) {
        while let (key, header) = headers.next() {
            guard let found = try? SliceHeader.decode(header.span.bytes), found.key == key,
                store.record(key) == nil
            else { continue }
            endpoint.statistics.headersRecovered &+= 1
            take(header.span.bytes, from: nil, parent: nil, now: now)
        }
    }

    /// A header: from parent `i`, or recovered from sums, which then have no offence to answer for.
    private func take(_ bytes: RawSpan, from peer: Peer?, parent i: Int?, now: Instant) {
        // The stream is over: whatever comes now belongs to one history or the other.
        guard equivocationAt == nil else { return }
        let header: SliceHeader
        do {
            header = try SliceHeader.decode(bytes)
        } catch {
            invalidHeader(peer)
            return
        }
        guard header.chainID == chainID, header.epoch == epoch else {
            invalidHeader(peer)
            return
        }
        guard header.cadence == .c0 else {
            if let peer { fetch?.header(header, bytes, from: peer, now: now) }
            return
        }
        if let i {
            parents[i].lastHeaderAt = now
            parents[i].headersUnheard = 0
        }
        if let held = store.record(header.key) {
            endpoint.statistics.headersDuplicate &+= 1
            endpoint.statistics.received.noteDuplicate(bytes.byteCount, among: \.header)
            // The same slice from another parent: equal bytes cost no second signature check.
            if isEqual(held.assembler.headerBytes, bytes) {
                if let i { vouched(i, for: held, now: now) }
                return
            }
            let hash = SliceHeader.hash(encoded: bytes)
            guard hash != held.assembler.headerHash else { return }
            if header.isSigned(by: sequencerKey, hash: hash) {
                equivocated(held, bytes, at: header.firstHeight)
            } else {
                invalidHeader(peer)
            }
            return
        }
        // Old news, or too far ahead of what is still missing.
        if next > 0, header.lastHeight < next || !store.mayHold(header.lastHeight) {
            if header.lastHeight < next {
                endpoint.statistics.headersDuplicate &+= 1
                endpoint.statistics.received.noteDuplicate(bytes.byteCount, among: \.header)
            }
            return
        }
        let hash = SliceHeader.hash(encoded: bytes)
        guard endpoint.payloads == .byReference || header.isSigned(by: sequencerKey, hash: hash) else {
            invalidHeader(peer)
            return
        }
        if let other = contradiction(header, hash: hash) {
            equivocated(other, bytes, at: header.firstHeight)
            return
        }
        admit(header, hash: hash, bytes: bytes, parent: i, now: now)
    }

    /// A parent sent the header that is held: what it sends of that slice is judged by it.
    private func vouched(_ i: Int, for record: SliceRecord, now: Instant) {
        record.headerFrom |= 1 << UInt64(i)
        if let dispute = parents[i].dispute, dispute.key == record.key {
            headerCame(record.key)
            settleDispute(i)
        }
    }

    func equivocated(_ held: SliceRecord, _ bytes: RawSpan, at height: UInt64) {
        equivocationAt = height
        let other = held.assembler.headerBytes
        if let proof = EquivocationProof(other.span.bytes, bytes) { onProof?(proof) }
    }

    private func invalidHeader(_ peer: Peer?) {
        guard let peer else { return }
        endpoint.statistics.headersInvalid &+= 1
        offend(peer, .invalidHeader)
    }

    /// Spec 40.3: each header names the one before it. Checked against whichever neighbours are held; answers the one that
    /// contradicts it.
    private func contradiction(_ header: SliceHeader, hash: Hash32) -> SliceRecord? {
        if header.sliceIndex > 0 {
            let before = SliceKey(firstHeight: header.firstHeight, index: header.sliceIndex - 1)
            if let record = store.record(before), record.assembler.headerHash != header.previousHeaderHash {
                return record
            }
        } else if header.firstHeight > 1, let entry = store.entry(header.firstHeight - 1),
            let last = entry.slices.last,
            let record = last, record.assembler.headerHash != header.previousHeaderHash
        {
            return record
        }
        let after =
            header.isLastSlice
            ? SliceKey(firstHeight: header.lastHeight + 1, index: 0)
            : SliceKey(firstHeight: header.firstHeight, index: header.sliceIndex + 1)
        if let record = store.record(after), record.assembler.header.previousHeaderHash != hash {
            return record
        }
        if let entry = store.entry(header.firstHeight),
            let sibling = entry.slices.lazy.compactMap({ $0 }).first,
            !sibling.assembler.header.agrees(with: header)
        {
            return sibling
        }
        return nil
    }

    private func admit(_ header: SliceHeader, hash: Hash32, bytes: RawSpan, parent: Int?, now: Instant) {
        guard let record = store.admit(header, hash: hash, encoded: bytes, now: now) else { return }
        endpoint.statistics.headersAccepted &+= 1
        if let parent { record.headerFrom = 1 << UInt64(parent) }
        headers.learned(record.key, record.assembler.headerBytes)
        headerCame(record.key)
        noteSlice(header)
        if next == 0 {
            next = joinHeight(header.firstHeight)
            nextSince = now
        }
        if header.isEndOfStream { endHeight = header.lastHeight }
        // A height that a request covers comes by that request, and no contract owes it.
        let asked = askedBy[Int(header.firstHeight % SliceStore.heightsMax)]
        if let request = requests[asked], case .catchUp = request.kind {
            record.isBacklog = true
        } else if header.lastHeight > headerTip || header.lastHeight + 256 > headerTip {
            owe(record, now: now)
            if header.firstHeight > headerTip + Following.liveGap { liveFrom = header.firstHeight }
        }
        if header.lastHeight > headerTip {
            headerTip = header.lastHeight
            lastHeaderAt = now
            countLosses()
        }
        nextTick = min(nextTick, now + Following.gapInterval)
        onNews?(News(headerOf: record))
        if record.shreds.isEmpty { finish(record, now: now) }
        early.drain(header.key) { index, symbol, parent in
            guard let peer = self.peer(parent) else { return }
            self.store(symbol, index: index, in: record, from: peer, now: now)
        }
        // Parity of later slices may have waited for this header.
        recover(around: record, now: now)
    }

    // MARK: Coarser cadences

    enum WindowService {
        case served
        case unserved
        /// No parent is connected, or none has told yet.
        case unknown
    }

    /// Whether any parent says that windows may be asked of it.
    var windowService: WindowService {
        var told = WindowService.unknown
        for i in parents.indices where parents[i].isConnected {
            guard let status = peer(i)?.status, status != StreamStatus() else { continue }
            if status.servesWindows { return .served }
            told = .unserved
        }
        return told
    }

    /// Whether windows may be asked of this parent.
    func servesWindows(_ parent: Int) -> Bool {
        parents[parent].isConnected && peer(parent)?.status.servesWindows ?? false
    }

    /// A header so far ahead of the last is the contract's first after a gap, not one that overtook.
    static let liveGap: UInt64 = 20

    /// Holds contracts for c0, or lets go of them.
    func setSubscribed(_ isSubscribed: Bool, now: Instant) {
        if self.isSubscribed == isSubscribed { return }
        self.isSubscribed = isSubscribed
        if isSubscribed { liveFrom = .max }
        // Without contracts there is nothing to be pulled instead.
        liveAgain(now: now)
        replan(now: now)
    }

    /// Heights `byWindows` and those above `limit` are not asked for.
    func leave(_ byWindows: (first: UInt64, last: UInt64)?, limit: UInt64) {
        self.byWindows = byWindows
        gapLimit = limit
        if let byWindows, byWindows.first <= next { unavailableSince = nil }
    }

    /// A window was applied: everything up to `height` is behind us.
    func pass(through height: UInt64, now: Instant) {
        guard height >= next else { return }
        next = height + 1
        wholeRun = 0
        nextSince = now
        unavailableSince = nil
        early.dropBelow(next)
        advance(now: now)
    }

    /// Where a relay begins that sees its first header: a little before it, if a parent still holds that. Otherwise what was
    /// lost in front of the first header would be lost to all its children.
    private func joinHeight(_ first: UInt64) -> UInt64 {
        var floor = first
        for i in parents.indices where parents[i].isConnected {
            // A parent that has told of no floor yet had nothing when it last spoke: it holds all that came since.
            if let status = peer(i)?.status { floor = min(floor, max(status.floor, 1)) }
        }
        let wanted = first > Following.joinHeightsMax ? first - Following.joinHeightsMax : 1
        let begin = max(floor, wanted)
        return store.lowerFloor(to: begin) ? begin : first
    }

    /// A second of stream.
    static let joinHeightsMax: UInt64 = 100

    /// Notes what each parent owes of a new slice.
    private func owe(_ record: SliceRecord, now: Instant) {
        for i in parents.indices where parents[i].isUsable {
            let owed = parents[i].stripes.intersection(record.shreds.data).count
            if owed == 0 || now < parents[i].graceUntil { continue }
            parents[i].owedSlices += 1
            parents[i].owedShreds += owed
            if parents[i].owedSince == nil { parents[i].owedSince = now }
        }
    }

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
            answered(request, key, index: index, now: now)
        } else {
            let isOnTrial = parents[i].delivered(StreamPosition(key, shred: index), now: now)
            noteArrival(i, of: key.firstHeight, now: now)
            if isOnTrial { triedShred(i, now: now) }
        }
        if let record = store.record(key) {
            store(symbol, index: index, in: record, from: peer, now: now, isRepair: request != nil)
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

    private func store(
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

    // MARK: Disputes

    /// A shred does not have the hash that a header gives it, and the header came from others: the peer may be honest and follow
    /// another history. It is asked for its own header. If that is the same, or does not come, its shreds were forged; if it is
    /// another, signed as well, the sequencer is found out. False when there is nothing to ask any more.
    private func dispute(_ record: SliceRecord, with peer: Peer, now: Instant) -> Bool {
        guard let i = peer.parentIndex, record.headerFrom >> UInt64(i) & 1 == 0 else { return false }
        if let dispute = parents[i].dispute {
            parents[i].dispute?.shreds += 1
            if now < dispute.until, dispute.shreds < ParentLink.disputedMax { return true }
            settleDispute(i)
            return true
        }
        guard !parents[i].isDisputed, !requests.isFull else { return false }
        let until = now + peer.roundTrip.timeout * 2
        let request = RepairRequest(
            kind: .header, key: record.key, shreds: .empty, parent: i, sentAt: now, deadline: until,
            outstanding: 1)
        guard let number = requests.open(request) else { return false }
        parents[i].isDisputed = true
        parents[i].dispute = .init(key: record.key, until: until, shreds: 1)
        endpoint.send(.repair(request: number, record.key, .empty, withHeader: true), to: peer)
        return true
    }

    /// It was the peer's fault after all.
    private func settleDispute(_ i: Int) {
        guard let dispute = parents[i].dispute, let peer = peer(i) else { return }
        parents[i].dispute = nil
        for _ in 0..<min(dispute.shreds, 3) { offend(peer, .invalidShred) }
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

    /// Shreds that have not come this many heights later do not come.
    static let lossDelay: UInt64 = 24

    /// At most so many heights at once: after a gap, what lies further back came by catch-up.
    static let lossCountMax: UInt64 = 64

    /// What became of the contract's shreds at heights that lie behind, whether or not those are complete: while the stream
    /// stands still for want of parity, that is what there is to be learned.
    private func countLosses() {
        guard headerTip > Following.lossDelay else { return }
        let through = headerTip - Following.lossDelay
        var height = max(
            lossCountedThrough + 1, countLossFrom, through - min(through, Following.lossCountMax) + 1)
        lossCountedThrough = max(lossCountedThrough, through)
        if height > through { return }
        let subscribed = plan.stripes.reduce(StripeSet.empty) { $0.union($1) }
        let headersBy = plan.headers.firstIndex { $0.atOnce }
        while height <= through {
            if let entry = store.entry(height) {
                countLoss(of: entry, subscribed: subscribed, headersBy: headersBy)
                height = entry.lastHeight
            }
            height += 1
        }
    }

    private func countLoss(of entry: HeightEntry, subscribed: StripeSet, headersBy: Int?) {
        for record in entry.slices {
            guard let record, !record.isBacklog, record.dataCount > 0 else { continue }
            if let headersBy { noteHeader(of: record, by: headersBy) }
            // Data only: parity that did not come may have found no idle slot (Spec 55.6, rule 2), which is no loss.
            let owed = subscribed.intersection(record.shreds.data)
            parity.note(
                expected: owed.count, missing: owed.subtracting(record.arrived).count,
                dataCount: record.dataCount)
        }
    }

    /// Five sums in a row are not lost by chance.
    private var sumsAreMissing: Bool { sumEvery > 0 && headersSinceSum >= 5 * Int(sumEvery) }

    /// Each header that did not come counts four, each that came takes one off; at so many, another parent has to send them.
    static let headersMissedMax = 40

    private func noteHeader(of record: SliceRecord, by parent: Int) {
        let came = record.headerFrom >> UInt64(parent) & 1 == 1
        headersMissed = max(headersMissed + (came ? -1 : 4), 0)
        if headersMissed >= Following.headersMissedMax {
            headersMissed = 0
            headerTurn = parent + 1
            headerTurnIsDue = true
        }
    }

    static let longRoundTrip = Interval.milliseconds(200)
    /// What parents say of a line that answers have filled is old news so much later.
    static let heightsFill = Interval.seconds(1)
    /// One in a hundred: as often, a header is lost.
    static let muchLoss65536 = 655

    /// Buys more or less parity when the measured loss says so.
    func reviewParity(now: Instant) {
        guard next > 0, let record = store.entry(next - 1)?.firstRecord, record.dataCount > 0 else { return }
        var roundTrip = Interval.zero
        var queued = Interval.zero
        for i in parents.indices where parents[i].isUsable {
            guard let measured = ask(i, { $0.roundTrip }) else { continue }
            roundTrip = max(roundTrip, measured.current)
            queued = max(queued, measured.queued)
        }
        // Heights that were asked for fill any line while they come: that says nothing of what it carries beside the stream.
        let isOwnDoing = parents.contains { now - $0.broughtHeightsAt < Following.heightsFill }
        var isChanged = parity.decide(
            roundTrip: roundTrip, queued: isOwnDoing ? .zero : queued, isFull: isLineFull && !isOwnDoing,
            ceiling: record.parityCount, now: now)
        // The oftener, the dearer: it pays where a header asked for takes long, and losses take several at once; and where
        // parents are so near that the wait for the next slice's sum is what delivery takes longest for.
        let isNear = roundTrip < ParityController.nearRoundTrip
        let isMuch = parity.loss65536 >= Following.muchLoss65536 / (sumEvery == 1 ? 2 : 1)
        let often: UInt8 =
            parity.isPrudent || parity.isBursty && roundTrip >= Following.longRoundTrip || isNear && isMuch
            ? 1 : parity.isLossy ? 2 : parents.count(where: \.isUsable) > 1 ? 4 : 0
        if parity.isDecided, sumEvery != often || headerTurnIsDue || sumsAreMissing {
            sumEvery = often
            headerTurnIsDue = false
            isChanged = true
        }
        if isChanged { replan(now: now) }
    }

    /// Notes an offence; `StreamNode` closes the session of a peer that goes on.
    func offend(_ peer: Peer, _ offence: Offence, bytes: Int = 0) {
        endpoint.note(offence, of: peer, bytes: bytes)
    }
}

private func isEqual(_ a: [UInt8], _ b: RawSpan) -> Bool {
    guard a.count == b.byteCount else { return false }
    return a.withUnsafeBytes { a in b.withUnsafeBytes { b in a.elementsEqual(b) } }
}

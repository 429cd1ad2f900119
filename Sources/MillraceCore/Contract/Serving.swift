/// The parent's half of the protocol: grants contracts, forwards what they owe, sends (Spec 60.4, 60.5). Requests are answered in
/// `ServingRequests`. The sequencer and the relays have one.
///
/// Promises: a child is sent what its contract says, as its way carries it: repair first, then heights that are missing, then
/// the stream in order, then windows. Nothing is sent that was not verified (it comes from the store, where nothing else is).
/// Queues are bounded; what does not fit is dropped, counted, and told to the child in STATUS.
///
/// Asks: `pump()` when the shell drains outputs and at `nextDeadline`.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class Serving {
    static let statusInterval = Interval.milliseconds(50)

    private let config: ServingConfig
    /// A relay that cheats, in tests and simulations.
    var misconduct: Misconduct?
    let endpoint: Endpoint
    let store: SliceStore
    let windows: WindowStore?
    /// Peers with a child contract, in the order of their session slots.
    private(set) var children: [Peer] = []
    /// What every shred looks at of each child, in the same order and side by side.
    private var places: [ChildPlace] = []
    /// The slice of the latest shred sent: the next child wants it too. Neither counted nor kept beyond a turn of `pump`, within
    /// which no slice leaves the store.
    private var latest: (key: SliceKey, record: Unmanaged<SliceRecord>)?
    /// Alternatives named in refusals.
    var alternatives: [AlternativePeer] = []
    /// Shreds are dealt out child by child; the first child changes, so that none is always last.
    private var firstChild = 0
    private var sums = HeaderSumMaker()
    /// What all children share.
    var uplink: Uplink
    /// Takes over the answer to a request for a slice of a coarser cadence that is not here (a relay fetches it). False when
    /// it does not.
    var demand: ((SliceKey, StripeSet, _ withHeader: Bool, _ request: UInt16, Peer) -> Bool)?
    /// Which status the children are told.
    var status = StreamStatus()

    init(config: ServingConfig, endpoint: Endpoint, store: SliceStore, windows: WindowStore? = nil) {
        self.config = config
        self.endpoint = endpoint
        self.store = store
        misconduct = config.misconduct
        uplink = Uplink(kilobitsPerSecond: config.uplinkKilobitsPerSecond, now: endpoint.now)
        self.windows = windows
    }

    func record(_ key: SliceKey) -> SliceRecord? {
        key.cadence == .c0 ? store.record(key) : windows?.record(key)
    }

    // MARK: Contracts

    func subscribe(_ terms: ContractTerms, from peer: Peer) {
        guard terms.cadence == .c0 else {
            refuse(terms, .cadence, peer)
            return
        }
        guard let child = child(of: peer) else {
            refuse(terms, .full, peer)
            return
        }
        // Spec 60.4, rule 3: an older serial is a datagram that came late.
        if terms.serial < child.terms.serial { return }
        guard hasRoom(for: terms, of: peer) else {
            endpoint.statistics.contractsRefused &+= 1
            child.refusedNeed = max(child.refusedNeed, uplink.need(terms))
            refuse(terms, .uplink, peer)
            return
        }
        if !terms.stripes.isEmpty { child.refusedNeed = 0 }
        child.grant(terms, pacingKilobitsPerSecond: pace(terms), now: endpoint.now)
        if let place = place(of: peer) { places[place].take(child) }
        endpoint.send(.accept(terms), to: peer)
    }

    func unsubscribe(serial: UInt32, from peer: Peer) {
        guard let child = peer.child, serial >= child.terms.serial else { return }
        child.end(serial: serial)
        if let place = place(of: peer) { places[place].take(child) }
    }

    func disconnected(_ peer: Peer) {
        if let place = place(of: peer) {
            children.remove(at: place)
            places.remove(at: place)
        }
        peer.child = nil
    }

    private func place(of peer: Peer) -> Int? { children.firstIndex { $0 === peer } }

    /// Something waits for the child now, or its place says what is not so any more.
    func renew(_ peer: Peer) {
        if let child = peer.child, let place = place(of: peer) { places[place].take(child) }
    }

    var childrenFree: Int { min(max(config.childrenMax - children.count, 0), childrenWithRoom) }

    func child(of peer: Peer) -> Child? {
        if let child = peer.child { return child }
        guard hasPlace(for: peer) else { return nil }
        let child = Child(pacingKilobitsPerSecond: config.pacingKilobitsPerSecond, now: endpoint.now)
        peer.child = child
        let place = children.firstIndex { $0.session.index > peer.session.index } ?? children.count
        children.insert(peer, at: place)
        places.insert(ChildPlace(peer, child), at: place)
        return child
    }

    /// Places of known children are kept for them.
    private func hasPlace(for peer: Peer) -> Bool {
        if children.count >= config.childrenMax { return false }
        if config.knownChildren.isEmpty || isKnown(peer) { return true }
        let absent = config.knownChildren.count - children.count(where: isKnown)
        return children.count + absent < config.childrenMax
    }

    func isKnown(_ peer: Peer) -> Bool {
        config.knownChildren.contains { $0.bytes32 == peer.key }
    }

    func refuse(_ terms: ContractTerms, _ reason: RefusalReason, _ peer: Peer) {
        endpoint.sendRefusal(
            serial: terms.serial, cadence: terms.cadence, reason: reason,
            retryAfterMilliseconds: reason == .uplink ? Serving.roomRetryMilliseconds : 1_000,
            alternatives: alternatives, to: peer)
    }

    private func pace(_ terms: ContractTerms) -> UInt32 {
        let budget = terms.budgetKilobitsPerSecond
        return budget == 0 ? config.pacingKilobitsPerSecond : min(budget, config.pacingKilobitsPerSecond)
    }

    // MARK: The stream

    /// Every stripe that some child's contract has.
    var stripesOwed: StripeSet {
        var owed = StripeSet.empty
        for i in places.indices { owed = owed.union(places[i].stripes) }
        return owed
    }

    /// A slice's header was verified (or made): owed to the children that take headers.
    func forwardHeader(_ record: SliceRecord) {
        forward(record, .empty, withHeader: true)
    }

    /// Shreds that were verified (or made, or re-created).
    func forward(_ record: SliceRecord, _ shreds: StripeSet, withHeader: Bool = false) {
        let given = misconduct?.given(shreds, of: record.key) ?? shreds
        let withHeader = withHeader && misconduct?.givesHeader(of: record.key) ?? true
        if withHeader, uplink.isKnown {
            uplink.note(record.assembler.header, headerBytes: record.assembler.headerBytes.count)
        }
        let isPastMiddle = isPastMiddle(shreds, of: record)
        for i in places.indices {
            let owed = given.intersection(places[i].stripes)
            if owed.isEmpty, !withHeader, !(places[i].owesSum && isPastMiddle) { continue }
            if places[i].child._withUnsafeGuaranteedRef({
                queue(owed, of: record, withHeader: withHeader, isPastMiddle: isPastMiddle, for: $0)
            }) {
                places[i].isIdle = false
            }
            places[i].owesSum = places[i].child._withUnsafeGuaranteedRef { $0.sumOwed != nil }
        }
    }

    /// Answers whether anything was queued.
    private func queue(
        _ owed: StripeSet, of record: SliceRecord, withHeader: Bool, isPastMiddle: Bool, for child: Child
    ) -> Bool {
        guard child.isOwed(now: endpoint.now) else { return false }
        var isQueued = false
        if withHeader, child.owesSum() {
            // Overdue when the slice before had no shred for it to follow.
            if let before = child.sumOwed {
                queue(
                    Work(key: before, shreds: .empty, withHeader: false, withSum: true, request: nil),
                    for: child)
                isQueued = true
            }
            child.sumOwed = record.key
        }
        let withSum = isPastMiddle && child.sumOwed == record.key
        if withSum { child.sumOwed = nil }
        let work = Work(
            key: record.key, shreds: owed.data, withHeader: withHeader && child.terms.headers.atOnce,
            withSum: withSum && misconduct?.givesHeader(of: record.key) ?? true, request: nil)
        for _ in 0..<(misconduct?.copies ?? 1) { queue(work, for: child) }
        let spare =
            child.terms.sparesParity
            ? owed.parity.intersection(.sparing(dataCount: record.dataCount)) : owed.parity
        if !spare.isEmpty { queueParity(spare, of: record.key, for: child) }
        return isQueued || work.count > 0 || !spare.isEmpty
    }

    /// Of a slice whose data found no room, parity is of no use.
    private func queueParity(_ shreds: StripeSet, of key: SliceKey, for child: Child) {
        let spare = Work(key: key, shreds: shreds, withHeader: false, request: nil)
        if child.refuses(height: key.firstHeight) || !child.parity.append(spare) {
            endpoint.statistics.parityDropped &+= UInt64(spare.count)
            child.parityDropped = true
        }
    }

    /// A sum of headers goes with the second half of its slice's shreds: far enough from the header for another burst of
    /// losses, and before the slice could be complete.
    private func isPastMiddle(_ shreds: StripeSet, of record: SliceRecord) -> Bool {
        record.dataCount == 0 || (shreds.bits >> UInt64(record.dataCount / 2)) != 0
    }

    private func queue(_ owed: Work, for child: Child) {
        if owed.count == 0 { return }
        var work = owed
        work.queuedAt = endpoint.now
        let height = work.key.firstHeight
        if child.admits(
            height: height, count: work.count, most: config.queuedShredsMax, now: endpoint.now),
            child.live.append(work)
        {
            child.latestHeight = max(child.latestHeight, height)
        } else {
            child.dropped &+= UInt64(work.count)
            endpoint.statistics.shredsDropped &+= UInt64(work.count)
        }
    }

    /// What a child says of the datagrams sent to it.
    func feedback(_ told: LinkFeedback, from peer: Peer) {
        peer.child?.link.feedback(told, now: endpoint.now)
    }

    // MARK: Sending

    /// Sends as much as pace and buffers allow, child by child, so that equal datagrams to one address follow each other.
    func pump() {
        let count = places.count
        if count == 0 { return }
        firstChild = (firstChild + 1) % count
        if uplink.isKnown {
            reviewUplink()
            uplink.fill(now: endpoint.now)
            pumpAll(.owed)
            pumpAll(.heights)
            pumpAll(.spare)
        } else {
            pumpAll(.all)
        }
        latest = nil
    }

    /// What is sent in one round over all children. Where they share a line that is known, what contracts owe to anybody goes
    /// before what others catch up with, and that before anybody's parity and windows.
    private enum Part { case all, owed, heights, spare }

    private func pumpAll(_ part: Part) {
        let count = places.count
        for turn in 0..<count {
            let i = firstChild + turn < count ? firstChild + turn : firstChild + turn - count
            if places[i].isIdle, endpoint.now < places[i].nextStatusAt { continue }
            let place = places[i]
            place.child._withUnsafeGuaranteedRef { child in
                place.peer._withUnsafeGuaranteedRef { peer in pump(child, peer, part) }
                places[i].take(child)
            }
        }
    }

    private func pump(_ child: Child, _ peer: Peer, _ part: Part) {
        if endpoint.now >= child.nextStatusAt {
            child.nextStatusAt = endpoint.now + Serving.statusInterval
            var told = status
            told.dropped = child.dropped
            // What still waits here is not to be asked for.
            if child.isOwed(now: endpoint.now), let through = child.sentThrough {
                told.tip = min(told.tip, through)
            }
            told.isFull = child.isFull(
                ownLineIsFull: uplink.isKnown && !uplink.maySend, now: endpoint.now)
            child.parityDropped = false
            endpoint.send(.status(told), to: peer)
        }
        if child.isIdle { return child.link.noteIdle() }
        child.link.handleTimeout(now: endpoint.now)
        child.setPace(now: endpoint.now)
        let isAll = part == .all
        // Feedback alone changes it.
        let inFlightMax = child.link.bytesInFlightMax
        while child.pacer.maySend, child.link.bytesInFlight < inFlightMax, uplink.maySend,
            endpoint.hasRoomForShreds
        {
            let sent: Int?
            if isAll || part == .owed, child.mayRepair(now: endpoint.now) {
                sent = send(&child.repairs, peer)
                if sent ?? 0 > 0 { child.noteRepaired() }
            } else if isAll || part == .heights, !child.heights.isEmpty {
                sent = send(&child.heights, peer)
            } else if isAll || part == .owed, !child.live.isEmpty {
                sent = send(&child.live, peer)
            } else if isAll || part == .spare, !child.parity.isEmpty {
                sent = sendParity(child, peer)
            } else if isAll || part == .spare, !child.bulk.isEmpty {
                sent = send(&child.bulk, peer)
            } else {
                break
            }
            guard let sent else { break }
            if sent > 0 {
                child.pacer.spend(bytes: sent + WireLimits.sessionBytes)
                uplink.spend(bytes: sent + WireLimits.sessionBytes)
            }
        }
        // What waits for an allowance or for our own line says nothing of the way.
        if child.isIdle || child.isHeldBack || !uplink.maySend { child.link.noteIdle() }
    }

    /// Parity that waited for more than a slice would come after it was needed, and delay what follows (Spec 55.6).
    static let parityAgeMax: UInt64 = 2

    /// A slot is idle only if the way's queue is short as well: nothing waits here, but parity put into a long queue delays what
    /// the other parents of this child send, which have no parity to leave out and only the stream to hold back.
    private func sendParity(_ child: Child, _ peer: Peer) -> Int? {
        if let work = child.parity.next(),
            child.link.isQueueLong || work.key.firstHeight + Serving.parityAgeMax < child.latestHeight
        {
            endpoint.statistics.parityDropped &+= UInt64(work.count)
            child.parityDropped = true
            child.parity.dropFront()
            return 0
        }
        return send(&child.parity, peer)
    }

    /// Sends one shred or header of the queue's front. 0 when that was not in the store any more; nil without a buffer.
    private func send(_ queue: inout WorkQueue, _ peer: Peer) -> Int? {
        // `nil` of the inner answer: no buffer.
        let sent: Int?? = queue.serveFirst { work in
            if latest?.key != work.key {
                latest = record(work.key).map { (work.key, Unmanaged.passUnretained($0)) }
            }
            guard let found = latest?.record else {
                work.clear()
                return 0
            }
            return found._withUnsafeGuaranteedRef { send(&work, of: $0, peer) }
        }
        return sent ?? 0
    }

    private func send(_ work: inout Work, of record: SliceRecord, _ peer: Peer) -> Int? {
        if work.withHeader {
            guard
                let count = endpoint.sendHeader(
                    record.assembler.headerBytes, isRepair: work.request != nil, to: peer)
            else { return nil }
            work.withHeader = false
            return count
        }
        if work.shreds.isEmpty, work.withSum {
            guard let count = endpoint.sendHeaderSum(sums.sum(endingAt: record, in: store), to: peer) else {
                return nil
            }
            work.withSum = false
            return count
        }
        guard let index = work.shreds.first else { return 0 }
        guard let symbol = record.assembler.symbol(ofStripe: index) else {
            work.shreds.remove(index)
            return 0
        }
        guard let count = send(symbol, index, of: record.key, answering: work.request, peer) else {
            return nil
        }
        work.shreds.remove(index)
        return count
    }

    private func send(
        _ symbol: UnsafeRawBufferPointer, _ index: Int, of key: SliceKey, answering request: UInt16?,
        _ peer: Peer
    ) -> Int? {
        guard misconduct?.forges ?? false else {
            return endpoint.sendShred(key, index: index, symbol: symbol, answering: request, to: peer)
        }
        return Misconduct.forgedSymbol.withUnsafeBytes {
            endpoint.sendShred(
                key, index: index,
                symbol: UnsafeRawBufferPointer(rebasing: $0[..<min(symbol.count, $0.count)]),
                answering: request, to: peer)
        }
    }

    // MARK: Time

    var nextDeadline: Instant? {
        if places.isEmpty { return nil }
        var deadline = Instant.distantFuture
        let line = uplink.nextSend
        for i in places.indices {
            deadline = min(deadline, places[i].nextStatusAt)
            if !places[i].isIdle {
                let next = places[i].child._withUnsafeGuaranteedRef { $0.nextSend }
                deadline = min(deadline, max(next, line))
            }
        }
        return deadline
    }
}

/// A child as the stream's way sees it: what every shred has to know of every child, on one line of memory. Not counted:
/// `Serving.children` holds the peer, and the peer the child.
private struct ChildPlace {
    let peer: Unmanaged<Peer>
    let child: Unmanaged<Child>
    /// Of its contract.
    private(set) var stripes = StripeSet.empty
    private(set) var nextStatusAt = Instant.zero
    /// Nothing waits for it.
    var isIdle = true
    /// A sum of headers waits for the second half of its slice.
    var owesSum = false

    init(_ peer: Peer, _ child: Child) {
        self.peer = Unmanaged.passUnretained(peer)
        self.child = Unmanaged.passUnretained(child)
        take(child)
    }

    mutating func take(_ child: Child) {
        stripes = child.terms.stripes
        nextStatusAt = child.nextStatusAt
        isIdle = child.isIdle
        owesSum = child.sumOwed != nil
    }
}

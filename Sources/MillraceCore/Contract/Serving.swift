/// The parent's half of the protocol: grants contracts, forwards what they owe, answers repair and catch-up (Spec 60.4,
/// 60.6, 60.7). The sequencer and the relays have one.
///
/// Promises: a child is sent what its contract says, at its pace, in stream order: repair first, then the stream, then
/// catch-up. Nothing is sent that was not verified (it comes from the store, where nothing else is). Queues are bounded;
/// what does not fit is dropped, counted, and told to the child in STATUS.
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
    private let endpoint: Endpoint
    private let store: SliceStore
    private let windows: WindowStore?
    /// Peers with a child contract, in the order of their session slots.
    private(set) var children: [Peer] = []
    /// Alternatives named in refusals.
    var alternatives: [AlternativePeer] = []
    /// Shreds are dealt out child by child; the first child changes, so that none is always last.
    private var firstChild = 0
    private var sums = HeaderSumMaker()
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
        self.windows = windows
    }

    private func record(_ key: SliceKey) -> SliceRecord? {
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
        child.grant(terms, pacingKilobitsPerSecond: pace(terms), now: endpoint.now)
        endpoint.send(.accept(terms), to: peer)
    }

    func unsubscribe(serial: UInt32, from peer: Peer) {
        guard let child = peer.child, serial >= child.terms.serial else { return }
        child.end(serial: serial)
    }

    func disconnected(_ peer: Peer) {
        children.removeAll { $0 === peer }
        peer.child = nil
    }

    var childrenFree: Int { max(config.childrenMax - children.count, 0) }

    private func child(of peer: Peer) -> Child? {
        if let child = peer.child { return child }
        guard hasPlace(for: peer) else { return nil }
        let child = Child(pacingKilobitsPerSecond: config.pacingKilobitsPerSecond, now: endpoint.now)
        peer.child = child
        let place = children.firstIndex { $0.session.index > peer.session.index } ?? children.count
        children.insert(peer, at: place)
        return child
    }

    /// Places of known children are kept for them.
    private func hasPlace(for peer: Peer) -> Bool {
        if children.count >= config.childrenMax { return false }
        if config.knownChildren.isEmpty || isKnown(peer) { return true }
        let absent = config.knownChildren.count - children.count(where: isKnown)
        return children.count + absent < config.childrenMax
    }

    private func isKnown(_ peer: Peer) -> Bool {
        config.knownChildren.contains { $0.bytes32 == peer.key }
    }

    private func refuse(_ terms: ContractTerms, _ reason: RefusalReason, _ peer: Peer) {
        endpoint.sendRefusal(
            serial: terms.serial, cadence: terms.cadence, reason: reason, retryAfterMilliseconds: 1_000,
            alternatives: alternatives, to: peer)
    }

    private func pace(_ terms: ContractTerms) -> UInt32 {
        let budget = terms.budgetKilobitsPerSecond
        return budget == 0 ? config.pacingKilobitsPerSecond : min(budget, config.pacingKilobitsPerSecond)
    }

    // MARK: The stream

    /// Every stripe that some child's contract has.
    var stripesOwed: StripeSet {
        children.reduce(.empty) { $0.union($1.child?.terms.stripes ?? .empty) }
    }

    /// A slice's header was verified (or made): owed to the children that take headers.
    func forwardHeader(_ record: SliceRecord) {
        forward(record, .empty, withHeader: true)
    }

    /// Shreds that were verified (or made, or re-created).
    func forward(_ record: SliceRecord, _ shreds: StripeSet, withHeader: Bool = false) {
        let given = misconduct?.given(shreds, of: record.key) ?? shreds
        let withHeader = withHeader && misconduct?.givesHeader(of: record.key) ?? true
        for peer in children {
            guard let child = peer.child, child.isOwed(now: endpoint.now) else { continue }
            if withHeader, child.owesSum() {
                // Overdue when the slice before had no shred for it to follow.
                if let before = child.sumOwed {
                    queue(
                        Work(key: before, shreds: .empty, withHeader: false, withSum: true, request: nil),
                        for: child)
                }
                child.sumOwed = record.key
            }
            let withSum = child.sumOwed == record.key && isPastMiddle(shreds, of: record)
            if withSum { child.sumOwed = nil }
            let work = Work(
                key: record.key, shreds: given.intersection(child.terms.stripes),
                withHeader: withHeader && child.terms.headers.atOnce,
                withSum: withSum && misconduct?.givesHeader(of: record.key) ?? true, request: nil)
            for _ in 0..<(misconduct?.copies ?? 1) { queue(work, for: child) }
        }
    }

    /// A sum of headers goes with the second half of its slice's shreds: far enough from the header for another burst of
    /// losses, and before the slice could be complete.
    private func isPastMiddle(_ shreds: StripeSet, of record: SliceRecord) -> Bool {
        record.dataCount == 0 || (shreds.bits >> UInt64(record.dataCount / 2)) != 0
    }

    private func queue(_ work: Work, for child: Child) {
        if work.count == 0 { return }
        if child.live.waiting + work.count > config.queuedShredsMax || !child.live.append(work) {
            child.dropped &+= UInt64(work.count)
            endpoint.statistics.shredsDropped &+= UInt64(work.count)
        }
    }

    // MARK: Requests

    func repair(request: UInt16, _ key: SliceKey, _ shreds: StripeSet, withHeader: Bool, from peer: Peer) {
        if let misconduct, !misconduct.answers(key.firstHeight) { return }
        guard let child = child(of: peer), let record = record(key) else {
            if key.cadence != .c0, peer.child != nil,
                demand?(key, shreds, withHeader, request, peer) ?? false
            {
                return
            }
            miss(request, shreds, header: withHeader, peer)
            return
        }
        if key.cadence != .c0 { windows?.entry(key.cadence, key.firstHeight)?.usedAt = endpoint.now }
        let asked = shreds.intersection(record.shreds)
        let held = asked.intersection(record.have)
        let missing = asked.subtracting(held)
        // A run of empty mini-blocks is named by its first height, whatever height was asked for.
        let work = Work(key: record.key, shreds: held, withHeader: withHeader, request: request)
        // A slice of a coarser window is wanted next; a shred of c0 holds a replica up.
        let isQueued = key.cadence == .c0 ? child.repairs.append(work) : child.bulk.append(work)
        if !isQueued {
            miss(request, asked, header: withHeader, peer)
        } else if !missing.isEmpty {
            if key.cadence != .c0, demand?(key, missing, false, request, peer) ?? false { return }
            miss(request, missing, header: false, peer)
        }
    }

    func catchUp(request: UInt16, cadence: Cadence, first: UInt64, count: Int, from peer: Peer) {
        if let misconduct, !misconduct.answers(first) { return }
        guard cadence == .c0, let child = child(of: peer), store.entry(first) != nil else {
            miss(request, .empty, header: true, peer)
            return
        }
        var height = first
        // The frame's bound keeps `count` at 256 and heights below 2^48.
        let end = first + UInt64(count)
        while height < end {
            guard let entry = store.entry(height) else { break }
            for record in entry.slices {
                guard let record else { continue }
                let work = Work(
                    key: record.key, shreds: record.have.data, withHeader: true, request: request)
                // What does not fit is asked for again when the request's timer fires.
                if !child.bulk.append(work) { return }
            }
            height = entry.lastHeight + 1
        }
    }

    /// More of an answer that was begun: what a relay has fetched for a child.
    func answer(
        _ record: SliceRecord, _ shreds: StripeSet, withHeader: Bool, request: UInt16, to peer: Peer
    ) {
        guard let child = peer.child else { return }
        // What does not fit is asked for again.
        _ = child.bulk.append(
            Work(key: record.key, shreds: shreds, withHeader: withHeader, request: request))
    }

    func miss(_ request: UInt16, _ shreds: StripeSet, header: Bool, _ peer: Peer) {
        endpoint.statistics.missesSent &+= 1
        endpoint.send(.miss(request: request, shreds, header: header), to: peer)
    }

    // MARK: Sending

    /// Sends as much as pace and buffers allow, child by child, so that equal datagrams to one address follow each other.
    func pump() {
        if children.isEmpty { return }
        firstChild = (firstChild + 1) % children.count
        for i in 0..<children.count {
            let peer = children[(firstChild + i) % children.count]
            guard let child = peer.child else { continue }
            pump(child, peer)
        }
    }

    private func pump(_ child: Child, _ peer: Peer) {
        if endpoint.now >= child.nextStatusAt {
            child.nextStatusAt = endpoint.now + Serving.statusInterval
            var told = status
            told.dropped = child.dropped
            endpoint.send(.status(told), to: peer)
        }
        if child.isIdle { return }
        child.pacer.fill(now: endpoint.now)
        while child.pacer.maySend, endpoint.hasRoomForShreds {
            let sent: Int?
            if !child.repairs.isEmpty {
                sent = send(&child.repairs, peer)
            } else if !child.live.isEmpty {
                sent = send(&child.live, peer)
            } else if !child.bulk.isEmpty {
                sent = send(&child.bulk, peer)
            } else {
                return
            }
            guard let sent else { return }
            if sent > 0 { child.pacer.spend(bytes: sent + WireLimits.sessionBytes) }
        }
    }

    /// Sends one shred or header of the queue's front. 0 when that was not in the store any more; nil without a buffer.
    private func send(_ queue: inout WorkQueue, _ peer: Peer) -> Int? {
        guard var work = queue.next() else { return 0 }
        guard let record = record(work.key) else {
            queue.dropFront()
            return 0
        }
        var sent = 0
        if work.withHeader {
            guard
                let count = endpoint.sendHeader(
                    record.assembler.headerBytes, isRepair: work.request != nil, to: peer)
            else { return nil }
            work.withHeader = false
            sent = count
        } else if work.shreds.isEmpty, work.withSum {
            let sum = sums.sum(endingAt: record, in: store)
            guard let count = endpoint.sendHeaderSum(sum, to: peer) else { return nil }
            work.withSum = false
            sent = count
        } else if let index = work.shreds.first {
            if let symbol = record.assembler.symbol(ofStripe: index) {
                let count =
                    misconduct?.forges ?? false
                    ? Misconduct.forgedSymbol.withUnsafeBytes {
                        endpoint.sendShred(
                            record.key, index: index,
                            symbol: UnsafeRawBufferPointer(rebasing: $0[..<min(symbol.count, $0.count)]),
                            answering: work.request, to: peer)
                    }
                    : endpoint.sendShred(
                        record.key, index: index, symbol: symbol, answering: work.request, to: peer)
                guard let count else { return nil }
                sent = count
            }
            work.shreds.remove(index)
        }
        queue.replaceFront(work)
        return sent
    }

    // MARK: Time

    var nextDeadline: Instant? {
        var deadline: Instant?
        for peer in children {
            guard let child = peer.child else { continue }
            var next = child.nextStatusAt
            if !child.isIdle { next = min(next, child.pacer.nextSend) }
            deadline = min(deadline ?? next, next)
        }
        return deadline
    }
}

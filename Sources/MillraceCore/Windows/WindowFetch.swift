/// Fetches slices of the coarser cadences from parents, one request per slice, verified like any other slice. A replica asks
/// for the windows it is to apply, a relay for what its children ask of it.
///
///     want ─▶ waiting ─▶ asked ─▶ complete: told to the owner
///                │ ▲        │
///                │ └────────┴─ late, or overtaken by a later answer: the next parent, for what is still missing
///                └─ every parent answered MISS: told to the owner
///
/// Promises: nothing is stored that was not verified; no more shreds are asked for than `FetchPace` allows, but for the least
/// of eight; a slice is asked of one parent at a time, so that two copies of it come only when one was taken for lost.
/// Slices are asked of who answers soonest; what has to be asked for again, of the others in turn.
///
/// Bounds: `wantsMax` slices wanted, `requestsMax` requests out. Shreds that come before their header wait in a small pool.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class WindowFetch {
    static let wantsMax = 1_024
    static let requestsMax = 128
    /// Request numbers share their 16 bits with `RequestTable`, which has the slots below these: a MISS names no cadence.
    static let firstSlot = 384
    /// A parent may have to fetch the slice itself first.
    static let patience = Interval.milliseconds(250)
    /// Beside twice the nearest one's round trip: a parent of a relay so far away is as good as that one.
    static let nearMax = Interval.milliseconds(10)

    struct Want {
        var key: SliceKey
        var attempts = 0
        /// Parents that answered MISS, by index.
        var missedBy: UInt64 = 0
        var isAsked = false
    }

    private unowned let following: Following
    private let endpoint: Endpoint
    private let store: WindowStore
    private(set) var wants: [Want] = []
    private var requests: [WindowRequest?] = Array(repeating: nil, count: requestsMax)
    private var generations: [UInt16] = Array(repeating: 0, count: requestsMax)
    private var order: UInt64 = 0
    private(set) var outstanding = 0
    /// Requests that are out.
    private var openCount = 0
    private(set) var pace: FetchPace
    private var early: EarlyShreds?
    private var nextTick: Instant = .zero
    /// When the process began to apply something, until it is heard of again.
    private var pausedAt: Instant?

    /// Bytes of a shred that was wanted came.
    var onBytes: ((Int) -> Void)?
    /// A slice is complete.
    var onComplete: ((SliceRecord) -> Void)?
    /// No parent has it.
    var onMissed: ((SliceKey) -> Void)?
    /// A relay's: what it can make itself, where nothing but the header is asked for; and then of all relays beside it the same
    /// parent is asked for the same slice.
    var parts: WindowParts?
    /// A header, or shreds, that were verified: for a relay's children.
    var onNews: ((SliceRecord, StripeSet, _ withHeader: Bool) -> Void)?

    init(following: Following, endpoint: Endpoint, store: WindowStore, shredsMax: Int) {
        self.following = following
        self.endpoint = endpoint
        self.store = store
        pace = FetchPace(shredsMax: shredsMax)
    }

    // MARK: Wants

    /// Wants a slice; false when there is no room, or nothing to do because it is complete.
    @discardableResult
    func want(_ key: SliceKey, now: Instant) -> Bool {
        if wants.contains(where: { $0.key == key }) { return true }
        if let record = store.record(key), record.isComplete { return false }
        guard wants.count < WindowFetch.wantsMax else { return false }
        wants.append(Want(key: key))
        nextTick = min(nextTick, now)
        return true
    }

    /// Wants these slices, in this order, and no others. Answers to requests that are out are still taken.
    func want(only keys: [SliceKey], now: Instant) {
        let before = wants
        wants = keys.prefix(WindowFetch.wantsMax).map { key in
            before.first { $0.key == key } ?? Want(key: key)
        }
        for at in wants.indices {
            wants[at].isAsked = requests.contains { $0?.key == wants[at].key }
        }
        if !wants.isEmpty { nextTick = min(nextTick, now) }
    }

    /// What was asked for and is wanted no more is paid for already, and may be wanted again.
    private func isExpected(_ key: SliceKey) -> Bool {
        wants.contains { $0.key == key } || requests.contains { $0?.key == key }
    }

    /// Shreds that are under way, by window.
    var underWay: [(cadence: Cadence, firstHeight: UInt64, shreds: Int)] {
        var sums: [(cadence: Cadence, firstHeight: UInt64, shreds: Int)] = []
        for case let request? in requests {
            let key = request.key
            if let at = sums.firstIndex(where: { $0 == (key.cadence, key.firstHeight, $0.shreds) }) {
                sums[at].shreds += request.outstanding
            } else {
                sums.append((key.cadence, key.firstHeight, request.outstanding))
            }
        }
        return sums
    }

    // MARK: Answers

    /// A header of a coarser cadence, parsed. The caller has compared chain, epoch and window span.
    func header(_ header: SliceHeader, _ bytes: RawSpan, from peer: Peer, now: Instant) {
        let key = header.key
        let hash = SliceHeader.hash(encoded: bytes)
        let held = store.record(key)
        if held.map({ $0.assembler.headerHash == hash }) ?? !isExpected(key) {
            endpoint.statistics.headersDuplicate &+= 1
            endpoint.statistics.received.noteDuplicate(bytes.byteCount, among: \.header)
            return
        }
        guard endpoint.payloads == .byReference || header.isSigned(by: following.sequencerKey, hash: hash)
        else {
            endpoint.statistics.headersInvalid &+= 1
            following.offend(peer, .invalidHeader)
            return
        }
        if let other = held ?? contradiction(header, hash: hash) {
            following.equivocated(other, bytes, at: header.firstHeight)
            return
        }
        guard let record = store.admit(header, hash: hash, encoded: bytes, now: now) else { return }
        endpoint.statistics.headersAccepted &+= 1
        // What was asked for the header alone has its answer, which has no number.
        for slot in requests.indices {
            if let request = requests[slot], request.key == key, request.shreds.isEmpty { close(slot) }
        }
        onNews?(record, .empty, true)
        if record.shreds.isEmpty { finish(record) }
        early?.drain(key) { index, symbol, parent in
            guard let peer = following.peer(parent) else { return }
            insert(symbol, index: index, in: record, from: peer, now: now)
        }
        if let parts, !record.isComplete {
            let own = parts.fill(record)
            if own.isEmpty { return }
            onNews?(record, own, false)
            if record.assembler.missingCount == 0 { finish(record) }
        }
    }

    /// Spec 40.3: each header names the one before it in its cadence, and those of one window agree. Answers the one held that
    /// contradicts it.
    private func contradiction(_ header: SliceHeader, hash: Hash32) -> SliceRecord? {
        guard let window = store.entry(header.cadence, header.firstHeight) else { return nil }
        if let sibling = window.slices.lazy.compactMap({ $0 }).first,
            !sibling.assembler.header.agrees(with: header)
        {
            return sibling
        }
        let index = Int(header.sliceIndex)
        if index > 0, let before = window.slices[index - 1],
            before.assembler.headerHash != header.previousHeaderHash
        {
            return before
        }
        if !header.isLastSlice, let after = window.slices[index + 1],
            after.assembler.header.previousHeaderHash != hash
        {
            return after
        }
        return nil
    }

    /// A shred of a coarser cadence. These only come as answers.
    func shred(
        _ key: SliceKey, index: Int, symbol: UnsafeRawBufferPointer, request: UInt16, from peer: Peer,
        now: Instant
    ) {
        guard let parent = peer.parentIndex else { return }
        answered(request, index: index, parent: parent, now: now)
        if let record = store.record(key) {
            insert(symbol, index: index, in: record, from: peer, now: now)
            return
        }
        guard isExpected(key) else {
            endpoint.statistics.shredsUnplaced &+= 1
            return
        }
        let pool = early ?? EarlyShreds(payloads: endpoint.payloads)
        early = pool
        if let evicted = pool.insert(
            key, index: index, symbol: symbol, parent: parent, now: now, askAfter: .seconds(3_600))
        {
            endpoint.statistics.shredsUnplaced &+= 1
            following.peer(evicted)?.score.excuse(datagrams: 1, now: now)
        }
    }

    private func insert(
        _ symbol: UnsafeRawBufferPointer, index: Int, in record: SliceRecord, from peer: Peer, now: Instant
    ) {
        if record.isComplete { return duplicate(symbol.count) }
        switch record.assembler.insert(symbol, stripe: index) {
        case .stored, .completed:
            endpoint.statistics.shredsStored &+= 1
            endpoint.statistics.repairsUseful &+= 1
            record.lastShredAt = now
            onBytes?(symbol.count)
            var shreds = StripeSet.empty
            shreds.insert(index)
            onNews?(record, shreds, false)
            if record.assembler.missingCount == 0 { finish(record) }
        case .duplicate:
            duplicate(symbol.count)
        case .forged:
            endpoint.statistics.shredsInvalid &+= 1
            following.offend(peer, .invalidShred)
        }
    }

    private func duplicate(_ bytes: Int) {
        endpoint.statistics.shredsDuplicate &+= 1
        endpoint.statistics.repairsWasted &+= 1
        endpoint.statistics.received.noteDuplicate(bytes, among: \.repair)
    }

    private func finish(_ record: SliceRecord) {
        guard record.assembler.verify() == .verified else {
            following.equivocationAt = record.key.firstHeight
            return
        }
        endpoint.statistics.slicesCompleted &+= 1
        store.entry(record.key.cadence, record.key.firstHeight)?.markComplete(record)
        wants.removeAll { $0.key == record.key }
        for slot in requests.indices where requests[slot]?.key == record.key { close(slot) }
        onComplete?(record)
    }

    /// A shred that answers `number` came, useful or not.
    private func answered(_ number: UInt16, index: Int, parent: Int, now: Instant) {
        resumed(now: now)
        guard let slot = slot(number), var request = requests[slot], request.parent == parent else { return }
        // Where nothing is lost by chance, what is missing was too much for the line, and is not asked for again at once.
        let isLossy = following.parity.isLossy
        let missing = isLossy ? store.record(request.key).map { $0.shreds.subtracting($0.have) } : nil
        outstanding -= request.outstanding
        let isFirst = request.answered(index, missing: missing, now: now)
        outstanding += request.outstanding
        requests[slot] = request
        if isFirst { pace.measured(delay: now - request.sentAt, now: now) }
        pace.answered()
        let patience = patience(parent)
        let pause =
            isLossy
            ? max(following.peer(parent)?.roundTrip.timeout ?? .zero, Following.answerPauseMax) : patience
        for other in requests.indices where requests[other]?.parent == parent {
            requests[other]?.hears(of: request, patience: patience, pause: pause, now: now)
        }
        // Of a slice asked for in parts, the next part.
        if request.shreds.isEmpty { close(slot) }
        if outstanding <= pace.shreds / 2 { nextTick = min(nextTick, now) }
    }

    /// Whether the number is of a request made here.
    static func owns(_ number: UInt16) -> Bool { Int(number & 0x1FF) >= firstSlot }

    func missed(_ number: UInt16, from peer: Peer, now: Instant) {
        guard let slot = slot(number), let request = requests[slot], request.parent == peer.parentIndex,
            request.parent < 64
        else { return }
        endpoint.statistics.missesReceived &+= 1
        close(slot)
        if let at = wants.firstIndex(where: { $0.key == request.key }) {
            wants[at].missedBy |= 1 << UInt64(request.parent)
        }
        nextTick = min(nextTick, now)
    }

    // MARK: Timers

    var nextDeadline: Instant? { wants.isEmpty && outstanding == 0 ? nil : nextTick }

    /// A window of so many heights is being applied, which takes a while.
    func pause(heights: UInt64, now: Instant) {
        pace.paused(heights: heights, now: now)
        if pausedAt == nil { pausedAt = now }
    }

    /// It was: what came meanwhile is still to be taken from the socket.
    private func resumed(now: Instant) {
        pace.resumed(now: now)
        guard let began = pausedAt else { return }
        pausedAt = nil
        let stood = max(now - began, .zero)
        for slot in requests.indices {
            requests[slot]?.stoodStill(for: stood)
        }
    }

    /// The line is taken to carry so much.
    func expect(bytesPerSecond: UInt64) {
        pace.expect(bytesPerSecond: bytesPerSecond, roundTrip: following.roundTrip())
    }

    /// A large one is about to be, of so many heights: what comes meanwhile is asked for now.
    func foresee(heights: UInt64, now: Instant) {
        pace.foresee(heights: heights)
        nextTick = min(nextTick, now)
    }

    func handleTimeout(now: Instant) {
        resumed(now: now)
        if now < nextTick { return }
        nextTick = now + Following.tickInterval
        expire(now: now)
        if following.parity.isLossy { repeatRequests(now: now) }
        ask(now: now)
    }

    private func patience(_ parent: Int) -> Interval {
        (following.peer(parent)?.roundTrip.timeout ?? RoundTrip.assumed) + WindowFetch.patience
    }

    private func expire(now: Instant) {
        if openCount == 0 { return }
        for slot in requests.indices {
            guard let request = requests[slot] else { continue }
            let isLost =
                request.isLost(latest: pace.latest, now: now)
                || request.overtakenAt == nil && following.peer(request.parent) == nil
            if !isLost { continue }
            endpoint.statistics.repairsTimedOut &+= UInt64(max(request.outstanding, 1))
            if request.overtakenAt == nil { pace.timedOut(now: now) }
            close(slot)
        }
    }

    /// A lost request costs the time of its answer and a patience besides; its repetition some sixty bytes.
    private func repeatRequests(now: Instant) {
        if openCount == 0 { return }
        for slot in requests.indices {
            guard requests[slot]?.repeats(now: now) ?? false, let request = requests[slot],
                let peer = following.peer(request.parent)
            else { continue }
            endpoint.send(
                .repair(
                    request: number(slot), request.key, request.shreds, withHeader: request.withHeader),
                to: peer)
        }
    }

    private func number(_ slot: Int) -> UInt16 {
        UInt16(WindowFetch.firstSlot + slot) | generations[slot] << 9
    }

    // MARK: Asking

    private func ask(now: Instant) {
        var isMissed = false
        for at in wants.indices where !wants[at].isAsked {
            if outstanding > 0, outstanding >= pace.shreds { break }
            guard let slot = requests.firstIndex(where: { $0 == nil }) else { break }
            switch choose(wants[at]) {
            case .nobody: break
            case .missed: isMissed = true
            case .parent(let parent): send(at, to: parent, slot: slot, now: now)
            }
        }
        if !isMissed { return }
        let missed = wants.filter {
            if case .missed = choose($0) { !$0.isAsked } else { false }
        }
        wants.removeAll { want in missed.contains { $0.key == want.key } }
        for want in missed { onMissed?(want.key) }
    }

    private enum Choice {
        case parent(Int)
        case missed
        /// Nobody is known to serve windows, or not to.
        case nobody
    }

    private func choose(_ want: Want) -> Choice {
        var candidates = 0
        for i in following.parents.indices where following.servesWindows(i) {
            if want.missedBy >> UInt64(i) & 1 == 0 { candidates += 1 }
        }
        if candidates == 0 { return following.windowService == .unknown ? .nobody : .missed }
        if want.attempts == 0 {
            if let parent = parts == nil ? soonest(want, among: candidates) : common(want) {
                return .parent(parent)
            }
        }
        var skip = (Int(want.key.index) + want.attempts) % candidates
        for i in following.parents.indices
        where following.servesWindows(i) && want.missedBy >> UInt64(i) & 1 == 0 {
            if skip == 0 { return .parent(i) }
            skip -= 1
        }
        return .nobody
    }

    /// Of equals, by turns.
    private func soonest(_ want: Want, among candidates: Int) -> Int? {
        var soonest = SoonestParent(
            lineBytesPerSecond: following.line.bytesPerSecond, among: candidates)
        for turn in following.parents.indices {
            let i = (turn + Int(want.key.index)) % following.parents.count
            guard following.servesWindows(i), want.missedBy >> UInt64(i) & 1 == 0,
                let peer = following.peer(i)
            else { continue }
            soonest.consider(
                i, roundTrip: peer.roundTrip.current, bytesPerSecond: peer.arrivals.bytesPerSecond,
                shredsAsked: requests.reduce(0) { $0 + ($1.map { $0.parent == i ? $0.outstanding : 0 } ?? 0) }
            )
        }
        return soonest.parent
    }

    /// Whoever has the same parents asks the same one for a slice, so that it comes to them all once: of those nearly as near as
    /// the nearest, by a hash of both names (Thaler and Ravishankar's rendezvous, 1998).
    private func common(_ want: Want) -> Int? {
        func isAsked(_ i: Int) -> Bool {
            following.servesWindows(i) && want.missedBy >> UInt64(i) & 1 == 0
        }
        var nearest: Interval?
        for i in following.parents.indices where isAsked(i) {
            guard let roundTrip = following.peer(i)?.roundTrip.current else { continue }
            nearest = min(nearest ?? roundTrip, roundTrip)
        }
        guard let nearest else { return nil }
        let most = nearest + nearest + WindowFetch.nearMax
        var best: (parent: Int, rank: UInt64)?
        for i in following.parents.indices where isAsked(i) {
            guard let peer = following.peer(i), peer.roundTrip.current <= most else { continue }
            let rank = WindowFetch.rank(want.key, of: peer.key)
            if best.map({ rank < $0.rank }) ?? true { best = (i, rank) }
        }
        return best?.parent
    }

    /// A parent that chooses its key for its rank is asked first, and missed like any other.
    private static func rank(_ slice: SliceKey, of peer: Hash32) -> UInt64 {
        let name = SipHash24(slice.firstHeight, UInt64(slice.cadence.rawValue) << 16 | UInt64(slice.index))
        return peer.bytes.withUnsafeBytes { name.hash($0) }
    }

    private func send(_ at: Int, to parent: Int, slot: Int, now: Instant) {
        guard let peer = following.peer(parent) else { return }
        let key = wants[at].key
        var wanted = StripeSet.allData
        var withHeader = true
        var expected = StripeSet.dataStripesMax
        if let record = store.record(key) {
            wanted = record.shreds.subtracting(record.have).data
            withHeader = false
            expected = wanted.count
        } else if let early, early.orphans.contains(where: { $0.key == key }) {
            // Its shreds are here, only the header was lost.
            wanted = .empty
            expected = 1
        } else if parts?.canMake(key) ?? false {
            wanted = .empty
            expected = 1
        } else if let sibling = store.entry(key.cadence, key.firstHeight)?.firstHeader {
            // Slices of one payload are of even size.
            expected = Int(sibling.dataCount)
        }
        // On a slow line a slice is a long time. Elsewhere a part of one, asked for last of all, would be what is waited for.
        let room = max(pace.shreds - outstanding, FetchPace.shredsMin)
        if expected > room, pace.shreds < StripeSet.dataStripesMax * 2 {
            wanted = wanted.prefix(room)
            expected = room
        }
        order += 1
        generations[slot] = (generations[slot] + 1) & 0x7F
        let number = number(slot)
        let backoff = Int64(1 << min(wants[at].attempts / 2, 3))
        requests[slot] = WindowRequest(
            key, wanted, withHeader: withHeader, of: parent, outstanding: expected, order: order, sentAt: now,
            deadline: now + patience(parent) * backoff)
        outstanding += expected
        openCount += 1
        wants[at].isAsked = true
        wants[at].attempts = min(wants[at].attempts + 1, 1_000)
        endpoint.statistics.repairsAsked &+= UInt64(expected)
        endpoint.send(.repair(request: number, key, wanted, withHeader: withHeader), to: peer)
    }

    private func slot(_ number: UInt16) -> Int? {
        let slot = Int(number & 0x1FF) - WindowFetch.firstSlot
        guard slot >= 0, generations[slot] == number >> 9, requests[slot] != nil else { return nil }
        return slot
    }

    private func close(_ slot: Int) {
        guard let request = requests[slot] else { return }
        outstanding -= request.outstanding
        openCount -= 1
        requests[slot] = nil
        if let at = wants.firstIndex(where: { $0.key == request.key }) { wants[at].isAsked = false }
    }
}

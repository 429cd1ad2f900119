/// A replica's way over gaps: which windows it takes from where it stands, of whatever cadence, and when it leaves the
/// stream for them and returns.
///
///     complete   window's start                      contract's first height       tip
///     ─────┤ c0 │ c1 … c1 │ c2 … c2 │ c3 │ c2 │ c1 … │ c0 c0 c0 c0 c0 c0 c0 c0 c0 ▶
///           └─── to the next start ──┘└── largest that fits, then smaller ──┘
///
/// A window is taken where it starts and is over; the largest first. What lies before a window's start and behind the last
/// whole one is fetched at finer cadences, and at the live edge the contract goes on. The contract is asked for while
/// windows are still being fetched, and windows are fetched until they meet what it brings: make before break. A window is
/// applied whole or not at all, and only where the state is at its start, so nothing is applied twice.
///
/// A follower that is told its cadence takes windows of that one only, and finer ones where it is not at the start of one
/// yet, or where one will not be made.
///
/// Bounds: `wantsAhead` slices are wanted at once.

import MillraceBase
import MillraceWire

final class WindowFollowing {
    static let wantsAhead = 96
    /// Behind by less, the stream itself repairs faster.
    static let gapMin: UInt64 = 100
    static let planInterval = Interval.milliseconds(20)
    static let idleInterval = Interval.milliseconds(100)
    /// A window that no parent had is asked for again after this.
    static let retryInterval = Interval.milliseconds(100)
    /// Likewise one that takes longer to be encoded: meanwhile the two that it is made of are the shorter way.
    static func retryInterval(_ cadence: Cadence) -> Interval {
        cadence == .c3 ? .seconds(1) : retryInterval
    }
    /// A coarser window that is over within so many heights is what will be taken.
    static let soonMax: UInt64 = 30
    /// One that is over for so many heights and that no parent has will not be made: encoding and cutting it takes less.
    static func patience(_ cadence: Cadence) -> UInt64 { cadence >= .quarter ? 400 : 100 }
    /// Nobody serves windows: not asked for any for so long.
    static let unservedInterval = Interval.seconds(30)
    /// Parents say that they serve windows: so long the first one is waited for, as if they had.
    static let trial = Interval.milliseconds(500)
    /// The stream was seen far ahead: planned again at most so often for that.
    static let noticeInterval = Interval.milliseconds(50)

    let fetch: WindowFetch
    let store: WindowStore
    private(set) var control: CadenceControl
    private let following: Following
    private let endpoint: Endpoint

    /// A window that no parent had, and until when it is not asked for.
    private struct Missed {
        var cadence: Cadence
        var first: UInt64
        var until: Instant
        /// It is over for so long that it will not be made.
        var isFinal: Bool
    }

    private var missed: [Missed] = []
    /// The coarsest window applied since the stream was last followed without.
    private var coarsest = Cadence.c0
    /// What was told last.
    private(set) var cadence = Cadence.c0
    private var nextPlanAt: Instant
    /// The parents have served a window.
    private var isServed = false
    private var unservedUntil: Instant
    /// Until when they are believed that they do.
    private var trialUntil: Instant?
    private var noticedAt = Instant.zero
    /// Payload bytes of the latest window applied, by cadence.
    private var latestBytes: [UInt64?] = Array(repeating: nil, count: Cadence.allCases.count)
    /// Slices of it.
    private var latestSlices = Array(repeating: 0, count: Cadence.allCases.count)
    /// The state waits here for a window that is not over yet, of this cadence.
    private(set) var heldAt: UInt64?
    private var heldFor = Cadence.c3
    /// How far the stream was when a parent last said so.
    private var latestTip: UInt64 = 0

    init(
        following: Following, endpoint: Endpoint, store: WindowStore, shredsMax: Int, cadence: Cadence?,
        now: Instant
    ) {
        self.following = following
        self.endpoint = endpoint
        self.store = store
        control = CadenceControl(told: cadence, now: now)
        fetch = WindowFetch(following: following, endpoint: endpoint, store: store, shredsMax: shredsMax)
        nextPlanAt = now
        unservedUntil = now
        fetch.onBytes = { [unowned self] in control.came($0, now: endpoint.now) }
        // A line too full to bring a whole slice still brings a header or a shred.
        fetch.onNews = { [unowned self] _, _, _ in isServed = true }
        fetch.onComplete = { [unowned self] _ in nextPlanAt = endpoint.now }
        fetch.onMissed = { [unowned self] key in miss(key) }
        if control.mode == .steps { following.setSubscribed(false, now: now) }
    }

    // MARK: Applying

    /// The complete window that begins where the state stands, the largest if there are several.
    func window(after height: UInt64) -> WindowEntry? {
        for cadence in WindowMaker.cadences.reversed() where height % cadence.heights == 0 {
            if height == heldAt, cadence < heldFor { return nil }
            if let entry = store.entry(cadence, height + 1), entry.isComplete { return entry }
        }
        return nil
    }

    /// Before what is complete is applied: what comes meanwhile is asked for first.
    func prepare(for window: WindowEntry?, now: Instant) {
        if let window, window.cadence >= .quarter { fetch.foresee(now: now) }
        if nextDeadline <= now { handleTimeout(now: now) }
    }

    /// A datagram came. If it shows that the stream is far ahead, that is looked at now and not at the next interval.
    func noticed(now: Instant) {
        guard control.mode == .follows,
            following.headerTip > following.completeThrough + CadenceControl.jumpMin,
            now >= noticedAt + WindowFollowing.noticeInterval
        else { return }
        noticedAt = now
        nextPlanAt = min(nextPlanAt, now)
    }

    /// A window was applied.
    func applied(_ window: WindowEntry, now: Instant) {
        control.note(
            windowBytes: window.payloadBytes, heights: window.lastHeight - window.firstHeight + 1)
        latestBytes[Int(window.cadence.rawValue)] = UInt64(window.payloadBytes)
        latestSlices[Int(window.cadence.rawValue)] = window.slices.count
        heldAt = nil
        // Nobody follows quarters and halves: they are as stale as c3 at most.
        coarsest = max(coarsest, window.cadence > .c2 ? .c3 : window.cadence)
        store.evictableThrough = window.lastHeight
        store.dropBelow(window.lastHeight + 1)
        // Decoding took a while; what waits in the socket comes all at once and says nothing of the line.
        control.pause(now: now)
        fetch.pause(now: now)
        following.pass(through: window.lastHeight, now: now)
        nextPlanAt = now
    }

    /// Heights were applied at c0.
    func applied(payloadBytes: Int, heights: UInt64, through height: UInt64, now: Instant) {
        control.note(payloadBytes: payloadBytes, heights: heights)
        store.evictableThrough = height
        store.dropBelow(height + 1)
    }

    // MARK: Time

    var nextDeadline: Instant {
        min(min(nextPlanAt, control.nextDeadline), fetch.nextDeadline ?? control.nextDeadline)
    }

    func handleTimeout(now: Instant) {
        let behind = behind
        let isServed = isOffered(now: now) && !hasEnded
        if control.jump(behind: behind, isServed: isServed, now: now)
            || control.review(
                received: endpoint.statistics.received.total, behind: behind,
                isPulling: fetch.outstanding > 0, isServed: isServed, now: now)
        {
            follow(now: now)
        }
        if now >= nextPlanAt { plan(now: now) }
        fetch.handleTimeout(now: now)
    }

    /// Heights that are known to exist and not complete.
    private var behind: UInt64 {
        let tip = tip
        return tip > following.completeThrough ? tip - following.completeThrough : 0
    }

    /// How far the stream is: what is signed, or what at least half of the parents say, so that one that lies moves nothing.
    private var tip: UInt64 {
        var told: [UInt64] = []
        for i in following.parents.indices where following.parents[i].isConnected {
            if let status = following.peer(i)?.status, status.tip > 0 { told.append(status.tip) }
        }
        told.sort()
        // Without a parent nothing is known, and least of all that there is no more.
        if !told.isEmpty { latestTip = told[(told.count - 1) / 2] }
        return max(following.headerTip, latestTip)
    }

    private func isOffered(now: Instant) -> Bool {
        now >= unservedUntil && following.windowService == .served
    }

    private func follow(now: Instant) {
        following.setSubscribed(control.mode == .follows, now: now)
        nextPlanAt = now
    }

    /// Says which cadence is followed: that of the windows being applied, or c0 once the stream is at hand again.
    func tell() {
        let isAtHand = control.mode == .follows && behind < WindowFollowing.gapMin
        if isAtHand { coarsest = .c0 }
        let now = control.mode == .steps ? control.told ?? max(coarsest, .c1) : coarsest
        if now == cadence { return }
        let before = cadence
        cadence = now
        endpoint.statistics.cadenceChanges &+= 1
        endpoint.emit(.cadence(from: before, to: now, height: following.completeThrough))
    }

    // MARK: Planning

    private func plan(now: Instant) {
        nextPlanAt = now + WindowFollowing.planInterval
        missed.removeAll { $0.until <= now }
        let complete = following.completeThrough
        // Nothing more will be over.
        let start = (complete + 9) / 10 * 10
        if hasEnded, control.told == nil || window(from: start, through: tip) == nil, control.rise(now: now) {
            follow(now: now)
        }
        tell()
        heldAt = nil
        if following.windowService == .unserved, control.windowsAreMissing(now: now) { follow(now: now) }
        guard following.next > 0, isOffered(now: now),
            control.mode == .steps || behind >= WindowFollowing.gapMin
        else {
            following.leave(nil, limit: .max)
            fetch.want(only: [], now: now)
            trialUntil = nil
            nextPlanAt = now + WindowFollowing.idleInterval
            return
        }
        let tip = tip
        trialUntil = trialUntil ?? now + WindowFollowing.trial
        let isTrusted = isServed || control.told != nil || now < trialUntil ?? now
        if let cadence = waitedFor(at: start, tip) {
            (heldAt, heldFor) = (start, cadence)
        } else if isTrusted, let (cadence, _) = window(from: start, through: tip), cadence >= .quarter {
            // Mini-blocks that are here already would only lead past its start.
            (heldAt, heldFor) = (start, cadence)
        }
        // Twice what is asked for at once: slices that are known before they are needed.
        let ahead = min(max(fetch.pace.shreds / 12, 12), WindowFollowing.wantsAhead)
        var keys: [SliceKey] = []
        var at = start
        while keys.count < ahead, let (cadence, last) = window(from: at, through: tip) {
            if at > start, isSoonOver(coarserThan: cadence, from: at, tip) { break }
            want(cadence, at + 1, &keys, atMost: ahead)
            at = last
        }
        // Until a window has come, nobody is known to make any, and mini-blocks are fetched meanwhile; not by one that is told
        // its cadence, which would always be ahead of its first window.
        fetch.want(only: isTrusted ? keys : Array(keys.prefix(2)), now: now)
        guard isTrusted else { return following.leave(nil, limit: .max) }
        // Windows that are not wanted yet are not asked for otherwise.
        var covered = at
        while covered < at + 100_000, let (_, last) = window(from: covered, through: tip) { covered = last }
        following.leave(
            covered > start ? (start + 1, covered) : nil, limit: control.mode == .follows ? .max : start)
    }

    /// Whose window the state waits for at `start`, though it is not here.
    private func waitedFor(at start: UInt64, _ tip: UInt64) -> Cadence? {
        guard control.mode == .steps else { return nil }
        guard let told = control.told else { return worthWaiting(at: start, tip) }
        return start % told.heights == 0 && !isMissed(told, at: start, finally: true) ? told : nil
    }

    private func isMissed(_ cadence: Cadence, at start: UInt64, finally: Bool) -> Bool {
        missed.contains { $0.cadence == cadence && $0.first == start + 1 && ($0.isFinal || !finally) }
    }

    /// A window told by values that is not over yet and will still be here before the finer ones it is made of: where the line
    /// is too slow for these. Then the state stays at its start. The finer ones come meanwhile, in case the line is better than
    /// it was.
    private func worthWaiting(at start: UInt64, _ tip: UInt64) -> Cadence? {
        guard start % Cadence.quarter.heights == 0, control.bytesPerSecond > 0,
            !control.isFast(now: endpoint.now),
            var finer = latestBytes[Int(Cadence.c2.rawValue)].map({ $0 * 5 / 2 })
        else { return nil }
        var worth: Cadence?
        for cadence in [Cadence.quarter, .half, .c3] where start % cadence.heights == 0 {
            // Not seen yet: about three quarters of the finer ones.
            let bytes = latestBytes[Int(cadence.rawValue)] ?? finer * 3 / 4
            let last = start + cadence.heights
            if last > tip {
                let wait = (last - tip) * UInt64(Limits.miniBlockInterval.milliseconds)
                if wait + control.milliseconds(for: bytes) < control.milliseconds(for: finer) {
                    worth = cadence
                }
            }
            finer = bytes * 2
        }
        return worth
    }

    private func isSoonOver(coarserThan cadence: Cadence, from at: UInt64, _ tip: UInt64) -> Bool {
        if control.mode == .follows || control.told != nil { return false }
        for coarser in [Cadence.quarter, .half, .c3] where coarser > cadence && at % coarser.heights == 0 {
            let last = at + coarser.heights
            if last > tip, last <= tip + WindowFollowing.soonMax { return true }
        }
        return false
    }

    /// The next finer cadence told by values.
    private func half(of cadence: Cadence) -> Cadence? {
        cadence == .c3 ? .half : cadence == .half ? .quarter : nil
    }

    /// So much of a window is here that it is the shorter way, though one of twice its length has come to its end.
    private func isMostlyHere(_ cadence: Cadence, at start: UInt64) -> Bool {
        guard let entry = store.entry(cadence, start + 1), let header = entry.firstHeader else {
            return false
        }
        // By shreds, since many slices are under way at once.
        var here = 0
        for case let record? in entry.slices {
            here += Int(record.assembler.header.dataCount) - record.assembler.missingCount
        }
        return here * 3 >= entry.slices.count * Int(header.dataCount)
    }

    /// The largest window that begins after `at`, is over by `tip`, and does not lie where the contract delivers.
    private func window(from at: UInt64, through tip: UInt64) -> (Cadence, last: UInt64)? {
        let told = control.mode == .steps ? control.told : nil
        for cadence in WindowMaker.cadences.reversed()
        where at % cadence.heights == 0 && cadence <= told ?? .c3 {
            let last = at + cadence.heights
            if last <= tip, told != nil || isUseful(cadence, from: at),
                !isMissed(cadence, at: at, finally: false)
            {
                if let finer = half(of: cadence), isMostlyHere(finer, at: at) {
                    return (finer, at + finer.heights)
                }
                return (cadence, last)
            }
            if cadence == told, !isMissed(cadence, at: at, finally: true) { return nil }
        }
        return nil
    }

    private func isUseful(_ cadence: Cadence, from at: UInt64) -> Bool {
        switch control.mode {
        // Half of it would come by contract anyway.
        case .follows:
            (following.liveFrom == .max || at + cadence.heights / 2 <= following.liveFrom)
                && (cadence != .c2 || isQuick(.c2, from: at))
        // Tenths of a second cost nearly what mini-blocks cost: on a slow line they only lead to the next whole one. On a fast
        // one the processor is what counts: while it applies a whole second, nothing is asked for.
        case .steps:
            switch cadence {
            case .c0, .quarter, .half, .c3: true
            case .c2: isQuick(.c2, from: at)
            case .c1: control.isTakenForFast(now: endpoint.now) || at % Cadence.c2.heights != 0
            }
        }
    }

    /// The line takes longer than the processor, or it has begun to come.
    private func isQuick(_ cadence: Cadence, from at: UInt64) -> Bool {
        !control.isTakenForFast(now: endpoint.now) || store.entry(cadence, at + 1) != nil
    }

    private var hasEnded: Bool {
        following.parents.indices.contains { following.peer($0)?.status.ended ?? false }
    }

    /// The window's slices that are not complete; until a header says how many there are, as many as it surely has.
    private func want(_ cadence: Cadence, _ first: UInt64, _ keys: inout [SliceKey], atMost limit: Int) {
        guard let entry = store.entry(cadence, first) else {
            for index in 0..<guessedSlices(cadence) where keys.count < limit {
                keys.append(SliceKey(firstHeight: first, cadence: cadence, index: UInt16(index)))
            }
            return
        }
        if entry.isComplete { return }
        for index in entry.slices.indices where entry.slices[index]?.isComplete != true {
            if keys.count >= limit { return }
            keys.append(SliceKey(firstHeight: first, cadence: cadence, index: UInt16(index)))
        }
    }

    private func guessedSlices(_ cadence: Cadence) -> Int {
        let latest = latestSlices[Int(cadence.rawValue)]
        if latest > 1 { return latest - 1 }
        // A third of what its mini-blocks take: no window was ever smaller at a full stream.
        let bytes = min(control.bytesPerHeight256 * cadence.heights / 256 / 3, UInt64(Limits.payloadBytesMax))
        return max(Int(bytes) / WireLimits.sliceBytesMax, 1)
    }

    private func miss(_ key: SliceKey) {
        // It was a guess that there is such a slice.
        if let entry = store.entry(key.cadence, key.firstHeight), Int(key.index) >= entry.slices.count {
            return
        }
        let now = endpoint.now
        let last = key.firstHeight + key.cadence.heights - 1
        let isOver = last + WindowFollowing.patience(key.cadence) < tip
        let retry =
            control.told == nil ? WindowFollowing.retryInterval(key.cadence) : WindowFollowing.retryInterval
        missed.removeAll { $0.cadence == key.cadence && $0.first == key.firstHeight }
        if missed.count == 64 { missed.removeFirst() }
        missed.append(
            Missed(
                cadence: key.cadence, first: key.firstHeight,
                until: now + (isOver ? .seconds(10) : retry), isFinal: isOver))
        if !isServed, isOver || key.cadence < .quarter && control.told == nil {
            unservedUntil = now + WindowFollowing.unservedInterval
            if control.windowsAreMissing(now: now) { follow(now: now) }
        }
        nextPlanAt = min(nextPlanAt, now + retry)
    }
}

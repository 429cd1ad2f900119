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
    /// One that is over for so many heights and that no parent has will not be made: encoding and cutting it takes less.
    static func patience(_ cadence: Cadence) -> UInt64 { cadence == .c3 ? 400 : 100 }
    /// Nobody serves windows: not asked for any for so long.
    static let unservedInterval = Interval.seconds(30)

    let fetch: WindowFetch
    let store: WindowStore
    private(set) var control: CadenceControl
    private let following: Following
    private let endpoint: Endpoint

    /// Windows that no parent had, and until when they are not asked for.
    private var missed: [(cadence: Cadence, first: UInt64, until: Instant)] = []
    /// The coarsest window applied since the stream was last followed without.
    private var coarsest = Cadence.c0
    /// What was told last.
    private(set) var cadence = Cadence.c0
    private var nextPlanAt: Instant
    /// The parents have served a window.
    private var isServed = false
    private var unservedUntil: Instant
    /// Payload bytes of the latest window applied, by cadence.
    private var latestBytes: [UInt64?] = [nil, nil, nil, nil]
    /// The state waits here for a window that is not over yet.
    private(set) var heldAt: UInt64?
    /// How far the stream was when a parent last said so.
    private var latestTip: UInt64 = 0

    init(following: Following, endpoint: Endpoint, store: WindowStore, shredsMax: Int, now: Instant) {
        self.following = following
        self.endpoint = endpoint
        self.store = store
        control = CadenceControl(now: now)
        fetch = WindowFetch(following: following, endpoint: endpoint, store: store, shredsMax: shredsMax)
        nextPlanAt = now
        unservedUntil = now
        fetch.onBytes = { [unowned self] in control.came($0, now: endpoint.now) }
        // A line too full to bring a whole slice still brings a header or a shred.
        fetch.onNews = { [unowned self] _, _, _ in isServed = true }
        fetch.onComplete = { [unowned self] _ in nextPlanAt = endpoint.now }
        fetch.onMissed = { [unowned self] key in miss(key) }
    }

    // MARK: Applying

    /// The complete window that begins where the state stands, the largest if there are several.
    func window(after height: UInt64) -> WindowEntry? {
        for cadence in WindowMaker.cadences.reversed() where height % cadence.heights == 0 {
            if height == heldAt, cadence != .c3 { return nil }
            if let entry = store.entry(cadence, height + 1), entry.isComplete { return entry }
        }
        return nil
    }

    /// A window was applied.
    func applied(_ window: WindowEntry, now: Instant) {
        control.note(
            windowBytes: window.payloadBytes, heights: window.lastHeight - window.firstHeight + 1)
        latestBytes[Int(window.cadence.rawValue)] = UInt64(window.payloadBytes)
        heldAt = nil
        if window.cadence.rawValue > coarsest.rawValue { coarsest = window.cadence }
        store.evictableThrough = window.lastHeight
        store.dropBelow(window.lastHeight + 1)
        // Decoding took a while; what waits in the socket comes all at once and says nothing of the line.
        control.pause(now: now)
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
        if control.review(
            received: endpoint.statistics.received.total, behind: behind, isPulling: fetch.outstanding > 0,
            isServed: isOffered(now: now) && !hasEnded, now: now)
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
        let now: Cadence =
            control.mode == .steps ? Cadence(rawValue: max(coarsest.rawValue, 1)) ?? .c1 : coarsest
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
        if hasEnded, control.rise(now: now) { follow(now: now) }
        tell()
        heldAt = nil
        if following.windowService == .unserved, control.windowsAreMissing(now: now) { follow(now: now) }
        guard following.next > 0, isOffered(now: now),
            control.mode == .steps || behind >= WindowFollowing.gapMin
        else {
            following.leave(nil, limit: .max)
            fetch.want(only: [], now: now)
            nextPlanAt = now + WindowFollowing.idleInterval
            return
        }
        // Mini-blocks lead to the next start of a window.
        let start = (complete + 9) / 10 * 10
        let tip = tip
        if control.mode == .steps, isWorthWaiting(at: start, tip) { heldAt = start }
        // Twice what is asked for at once: slices that are known before they are needed.
        let ahead = min(max(fetch.pace.shreds / 12, 12), WindowFollowing.wantsAhead)
        var keys: [SliceKey] = []
        var at = start
        while keys.count < ahead, let (cadence, last) = window(from: at, through: tip) {
            want(cadence, at + 1, &keys, atMost: ahead)
            at = last
        }
        // Until a window has come, nobody is known to make any, and mini-blocks are fetched meanwhile.
        fetch.want(only: isServed ? keys : Array(keys.prefix(2)), now: now)
        guard isServed else { return following.leave(nil, limit: .max) }
        // Windows that are not wanted yet are not asked for otherwise.
        var covered = at
        while covered < at + 100_000, let (_, last) = window(from: covered, through: tip) { covered = last }
        following.leave(
            covered > start ? (start + 1, covered) : nil, limit: control.mode == .follows ? .max : start)
    }

    /// Whether a c3 window that is not over yet will still be here before the c2 windows it is made of: where the line is too
    /// slow for these, and c3 is told by values. Then the state stays at its start. The c2 windows come meanwhile, in case the
    /// line is better than it was.
    private func isWorthWaiting(at start: UInt64, _ tip: UInt64) -> Bool {
        let last = start + Cadence.c3.heights
        guard start % Cadence.c3.heights == 0, tip < last, control.bytesPerSecond > 0,
            let seconds = latestBytes[Int(Cadence.c2.rawValue)]
        else { return false }
        // Not seen yet: about six tenths (`millrace measure codec` prints both).
        let whole = latestBytes[Int(Cadence.c3.rawValue)] ?? seconds * 6
        let wait = (last - tip) * UInt64(Limits.miniBlockInterval.milliseconds)
        return wait + control.milliseconds(for: whole) < control.milliseconds(for: seconds * 10)
    }

    /// The largest window that begins after `at`, is over by `tip`, and does not lie where the contract delivers.
    private func window(from at: UInt64, through tip: UInt64) -> (Cadence, last: UInt64)? {
        for cadence in WindowMaker.cadences.reversed() where at % cadence.heights == 0 {
            let last = at + cadence.heights
            if last <= tip, isUseful(cadence, from: at),
                !missed.contains(where: { $0.cadence == cadence && $0.first == at + 1 })
            {
                return (cadence, last)
            }
        }
        return nil
    }

    private func isUseful(_ cadence: Cadence, from at: UInt64) -> Bool {
        switch control.mode {
        // Half of it would come by contract anyway.
        case .follows:
            following.liveFrom == .max || at + cadence.heights / 2 <= following.liveFrom
        // Tenths of a second cost nearly what mini-blocks cost: on a slow line they only lead to the next whole one. On a fast
        // one the processor is what counts: while it applies a whole second, nothing is asked for.
        case .steps:
            switch cadence {
            case .c0, .c3: true
            case .c2: !control.isFast(now: endpoint.now) || store.entry(.c2, at + 1) != nil
            case .c1: control.isFast(now: endpoint.now) || at % Cadence.c2.heights != 0
            }
        }
    }

    private var hasEnded: Bool {
        following.parents.indices.contains { following.peer($0)?.status.ended ?? false }
    }

    /// The window's slices that are not complete; only the first until its header says how many there are.
    private func want(_ cadence: Cadence, _ first: UInt64, _ keys: inout [SliceKey], atMost limit: Int) {
        guard let entry = store.entry(cadence, first) else {
            keys.append(SliceKey(firstHeight: first, cadence: cadence, index: 0))
            return
        }
        if entry.isComplete { return }
        for index in entry.slices.indices where entry.slices[index]?.isComplete != true {
            if keys.count >= limit { return }
            keys.append(SliceKey(firstHeight: first, cadence: cadence, index: UInt16(index)))
        }
    }

    private func miss(_ key: SliceKey) {
        let now = endpoint.now
        let last = key.firstHeight + key.cadence.heights - 1
        let isOver = last + WindowFollowing.patience(key.cadence) < tip
        missed.removeAll { $0.cadence == key.cadence && $0.first == key.firstHeight }
        if missed.count == 64 { missed.removeFirst() }
        missed.append(
            (
                key.cadence, key.firstHeight,
                now + (isOver ? .seconds(10) : WindowFollowing.retryInterval)
            ))
        if !isServed, isOver || key.cadence != .c3 {
            unservedUntil = now + WindowFollowing.unservedInterval
            if control.windowsAreMissing(now: now) { follow(now: now) }
        }
        nextPlanAt = min(nextPlanAt, now + WindowFollowing.retryInterval)
    }
}

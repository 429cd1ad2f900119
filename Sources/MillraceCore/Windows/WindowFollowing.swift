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
    /// The stream was seen far ahead: planned again at most so often for that.
    static let noticeInterval = Interval.milliseconds(50)

    let fetch: WindowFetch
    let store: WindowStore
    private(set) var control: CadenceControl
    let following: Following
    let endpoint: Endpoint

    /// A window that no parent had, and until when it is not asked for.
    struct Missed {
        var cadence: Cadence
        var first: UInt64
        var until: Instant
        /// It is over for so long that it will not be made.
        var isFinal: Bool
    }

    var missed: [Missed] = []
    /// The coarsest window applied since the stream was last followed without.
    private var coarsest = Cadence.c0
    /// What was told last.
    private(set) var cadence = Cadence.c0
    private var nextPlanAt: Instant
    /// The parents have served a window.
    var isServed = false
    private var unservedUntil: Instant
    /// Whether they are believed that they do.
    private var trial = WindowTrial()
    private var noticedAt = Instant.zero
    /// How long nothing can be asked for from now on, in milliseconds: a window is about to be applied.
    var pauseAhead: Int64 = 0
    /// Payload bytes of the latest window applied, by cadence.
    var latestBytes: [UInt64?] = Array(repeating: nil, count: Cadence.allCases.count)
    /// Slices of it.
    var latestSlices = Array(repeating: 0, count: Cadence.allCases.count)
    /// The state waits here for a window that is not over yet, of this cadence.
    var heldAt: UInt64?
    var heldFor = Cadence.c3
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
        if let window, window.cadence >= .quarter {
            pauseAhead = Int64(window.cadence.heights) * fetch.pace.perHeight.values / 1_000
            nextPlanAt = now
            fetch.foresee(heights: window.cadence.heights, now: now)
        }
        if nextDeadline <= now { handleTimeout(now: now) }
        pauseAhead = 0
    }

    /// A datagram came. If it shows that the stream is far ahead, that is looked at now and not at the next interval.
    func noticed(now: Instant) {
        guard control.mode == .follows,
            following.tip > following.completeThrough + CadenceControl.jumpMin,
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
        fetch.pause(heights: window.lastHeight - window.firstHeight + 1, now: now)
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
        let carried = control.needed
        if control.jump(behind: behind, isServed: isServed, now: now) {
            // What the line carried before it was gone it is taken to carry again.
            fetch.expect(bytesPerSecond: carried)
            follow(now: now)
        } else if control.review(
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
        // Without a parent nothing is known, and least of all that there is no more.
        if let told = following.tipTold(place: { ($0 - 1) / 2 }) { latestTip = told }
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
                || following.next < following.liveFrom
        else {
            following.leave(nil, limit: .max)
            fetch.want(only: [], now: now)
            trial.end()
            nextPlanAt = now + WindowFollowing.idleInterval
            return
        }
        let tip = tip
        let isTrusted =
            isServed || control.told != nil
            || trial.isOn(isBehindOthers: following.requests.outstanding > 0, now: now)
        let route = isTrusted ? route(tip) : nil
        if let cadence = waitedFor(at: start, tip) {
            (heldAt, heldFor) = (start, cadence)
        } else if isTrusted, route == nil, let (cadence, _) = window(from: start, through: tip),
            cadence >= .quarter
        {
            // Mini-blocks that are here already would only lead past its start.
            (heldAt, heldFor) = (start, cadence)
        }
        // Twice what is asked for at once: slices that are known before they are needed.
        let ahead = min(max(fetch.pace.shreds / 12, 12), WindowFollowing.wantsAhead)
        var keys: [SliceKey] = []
        var at = start
        if let route { at = follow(route, from: start, &keys, atMost: ahead) }
        while route == nil, keys.count < ahead, let (cadence, last) = window(from: at, through: tip) {
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
        let limit = control.mode == .follows ? .max : start
        following.leave(
            covered > start ? (start + 1, covered) : nil, limit: covered > start ? limit : ledOn(start, limit)
        )
    }

    /// No parent has the next tenth of a second any more: mini-blocks lead to the next second.
    private func ledOn(_ start: UInt64, _ limit: UInt64) -> UInt64 {
        isMissed(.c1, at: start, finally: true)
            ? max(limit, (start / Cadence.c2.heights + 1) * Cadence.c2.heights) : limit
    }

    private var hasEnded: Bool {
        following.parents.indices.contains { following.peer($0)?.status.ended ?? false }
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
            control.told == nil && !control.isTakenForFast(now: now)
            ? WindowFollowing.retryInterval(key.cadence) : WindowFollowing.retryInterval
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

/// What a follower asks for, and when: the deficit of each slice, headers that did not come, whole heights.

import MillraceBase
import MillraceWire

extension Following {
    /// While something is missing, gaps are looked at this often.
    static let tickInterval = Interval.milliseconds(4)
    /// A slice is looked at so long after its header: what has not come by then may be lost.
    static let gapInterval = Interval.milliseconds(6)
    /// Without gaps, links and contracts are.
    static let idleInterval = Interval.milliseconds(20)
    /// How far ahead of the first gap heights are asked for.
    static let heightsAheadMax: UInt64 = 2_048
    /// Three mini-blocks without a shred of a parent's stripes (Spec 60.4, rule 7), and eight shreds, so that a parent that
    /// owes one shred per slice is not judged by three losses.
    static let silentSlices = 3
    static let silentShreds = 8
    /// An answer of many shreds may pause so long for what goes first, and still be on its way.
    static let answerPauseMax = Interval.milliseconds(100)
    static let busyInterval = Interval.milliseconds(300)
    /// The stream waits 400 ms at most for a way that is full (Spec 55.6).
    static let fullInterval = Interval.milliseconds(500)
    static let silentInterval = Interval.milliseconds(30)
    /// When every parent has said for so long that it does not hold a height, a relay goes on without it.
    static let unavailableInterval = Interval.milliseconds(500)
    /// A timer of ours that is overdue by so much was not late: the process stood still (paused, swapped out, asleep).
    static let standstillInterval = Interval.milliseconds(50)
    /// One that is late by so much had to wait for other work.
    static let lateInterval = Interval.milliseconds(10)
    /// What came meanwhile is taken in this time.
    static let busyAfter = Interval.milliseconds(5)
    /// A parent sends STATUS every 50 ms, so a second of nothing means that it, or the way to it, is gone.
    static let deadInterval = Interval.milliseconds(1_500)

    // MARK: Answers

    /// A shred that answers `number` came, useful or not.
    func answered(_ number: UInt16, _ key: SliceKey, index: Int, now: Instant) {
        guard var request = requests[number] else { return }
        noticeStandstill(now: now)
        if !request.isAnswered {
            request.isAnswered = true
            if request.sentAt >= stoodStillUntil, let peer = peer(request.parent) {
                let delay = now - request.sentAt
                // The first sample of all has nothing to be compared with, and any will do: a handshake that had to be
                // repeated, as every one is beyond 250 ms, gave none.
                if peer.roundTrip.isMeasured {
                    window.measured(delay: delay, minimum: peer.roundTrip.minimum, now: now)
                    if case .shreds = request.kind { peer.roundTrip.add(delay) }
                } else {
                    peer.roundTrip.add(delay)
                }
            }
        }
        window.answered()
        noteAnswered(request.parent, now: now)
        request.outstanding = max(0, request.outstanding - 1)
        switch request.kind {
        case .shreds, .header:
            if let peer = peer(request.parent), request.shreds.contains(index) {
                peer.score.answered(shreds: 1, claimed: hasClaimed(peer, key.firstHeight), now: now)
            }
            request.shreds.remove(index)
            if let record = store.record(key) { record.inFlight.remove(index) }
            requests.update(number, request)
            if request.shreds.isEmpty { requests.close(number) }
        case .catchUp:
            // A long answer is on its way as long as it goes on.
            if let peer = peer(request.parent) {
                parents[request.parent].broughtHeightsAt = now
                request.deadline = max(
                    request.deadline, now + max(peer.roundTrip.timeout, Following.answerPauseMax))
            }
            request.progress = max(request.progress, key.firstHeight)
            requests.update(number, request)
        }
        // Room in the window is used at once.
        if requests.outstanding <= windowShreds / 2, next < settledTip { nextTick = min(nextTick, now) }
    }

    /// The header of `key` is here: whoever was asked for it need not be waited for.
    func headerCame(_ key: SliceKey) {
        for slot in requests.active.reversed() {
            let number = requests.number(slot: slot)
            guard let request = requests[number], case .header = request.kind, request.key == key else {
                continue
            }
            endpoint.statistics.repairsUseful &+= 1
            requests.close(number)
        }
    }

    func missed(_ number: UInt16, _ shreds: StripeSet, header: Bool, from peer: Peer, now: Instant) {
        if WindowFetch.owns(number) {
            fetch?.missed(number, from: peer, now: now)
            return
        }
        guard let request = requests[number], request.parent == peer.parentIndex else { return }
        endpoint.statistics.missesReceived &+= 1
        noteAnswered(request.parent, now: now)
        peer.roundTrip.add(now - request.sentAt)
        switch request.kind {
        case .shreds:
            peer.score.missed(
                shreds: request.shreds.intersection(shreds).count,
                claimed: hasClaimed(peer, request.key.firstHeight), now: now)
            if let record = store.record(request.key) {
                record.missedBy |= 1 << UInt64(request.parent)
                record.inFlight = record.inFlight.subtracting(shreds)
            }
            var rest = request
            rest.shreds = request.shreds.subtracting(shreds)
            rest.outstanding = rest.shreds.count
            if rest.shreds.isEmpty || header {
                settle(number, now: now)
            } else {
                requests.update(number, rest)
            }
        case .header:
            settle(number, now: now)
        case .catchUp(let first, _):
            // Another parent may have it; which, their STATUS says.
            peer.status.floor = max(peer.status.floor, first + 1)
            settle(number, now: now)
        }
        nextTick = min(nextTick, now)
    }

    /// Ends a request: what did not come is free to be asked for again.
    func settle(_ number: UInt16, now: Instant) {
        guard let request = requests[number] else { return }
        if case .shreds = request.kind, let record = store.record(request.key) {
            record.inFlight = record.inFlight.subtracting(request.shreds)
        }
        requests.close(number)
    }

    // MARK: Timers

    func handleTimeout(now: Instant) {
        if now < nextTick { return }
        noticeStandstill(now: now)
        watchLinks(now: now)
        moveCheckpoints(now: now)
        expireRequests(now: now)
        giveUp(now: now)
        reviewParity(now: now)
        reviewIntake(now: now)
        askForHeaders(now: now)
        let isBehind = askForGaps(now: now)
        nextTick =
            now
            + (isBehind || !requests.active.isEmpty || !early.orphans.isEmpty
                ? Following.tickInterval : Following.idleInterval)
    }

    var nextDeadline: Instant { nextTick }

    private func noticeStandstill(now: Instant) {
        if now - nextTick > Following.standstillInterval { stoodStillUntil = now }
        if now - nextTick > Following.lateInterval { busyUntil = now + Following.busyAfter }
    }

    /// Datagrams that come now may have waited for this node to have time for them: a timer is late, or was a moment ago.
    func isBusy(now: Instant) -> Bool { now < busyUntil || now - nextTick > Following.lateInterval }

    private func watchLinks(now: Instant) {
        noteDebts(now: now)
        var changed = watchTrials(now: now)
        for i in parents.indices {
            switch parents[i].state {
            case .down:
                break
            case .connecting(let since):
                if now - since > ParentLink.connectTimeout * 3 { lost(i, now: now) }
            case .silent(let until):
                if heardNothing(i, now: now) {
                    drop(i, now: now)
                } else if now >= until {
                    parents[i].state = .up
                    parents[i].resetDebt()
                    parents[i].graceUntil = now + .milliseconds(500)
                    beginTrial(i, now: now)
                    changed = true
                    if let peer = peer(i) { endpoint.emit(.parentRestored(peer.address)) }
                }
            case .up:
                if heardNothing(i, now: now) {
                    drop(i, now: now)
                } else if isSilent(i, now: now) || isQuiet(i, now: now) {
                    silence(i, now: now)
                    changed = true
                }
            }
            if parents[i].isConnected, now >= parents[i].renewAt { subscribe(i, now: now) }
        }
        if changed || takesStream && isPlanDoubtful(now: now) { replan(now: now) }
        connect(now: now)
    }

    private func heardNothing(_ i: Int, now: Instant) -> Bool {
        ask(i) { now - $0.lastReceivedAt > max(Following.deadInterval, $0.roundTrip.timeout * 4) } ?? true
    }

    /// The parent's process or path is gone: start over with a handshake.
    private func drop(_ i: Int, now: Instant) {
        if let peer = peer(i) {
            endpoint.emit(.peerDown(peer.address))
            endpoint.sessions.close(peer.session, now: now)
            endpoint.remove(peer)
        }
        lost(i, now: now)
    }

    private func isSilent(_ i: Int, now: Instant) -> Bool {
        guard parents[i].isUsable, let since = parents[i].owedSince,
            parents[i].owedSlices >= Following.silentSlices,
            parents[i].owedShreds >= Following.silentShreds
        else { return false }
        // With one parent there is nobody to move the stripes to.
        guard parents.count(where: { $0.isUsable }) > 1 else { return false }
        return now - since >= patience(i)
    }

    /// What was true one tolerance ago is settled: anything older and still missing did not merely overtake.
    private func moveCheckpoints(now: Instant) {
        for i in parents.indices where parents[i].isConnected {
            let tolerance = ask(i) { $0.roundTrip.reorderTolerance } ?? .milliseconds(5)
            if now - parents[i].checkpointAt >= tolerance {
                parents[i].passed = parents[i].checkpoint
                parents[i].checkpoint = parents[i].progress
                parents[i].checkpointAt = now
            }
        }
        if now - headerCheckpointAt >= .milliseconds(6) {
            settledTip = max(settledTip, headerCheckpoint)
            headerCheckpoint = headerTip
            headerCheckpointAt = now
        }
        if now - statusCheckpointAt >= .milliseconds(40) {
            settledTip = max(settledTip, statusCheckpoint)
            statusCheckpoint = statusTip
            statusCheckpointAt = now
        }
    }

    private func expireRequests(now: Instant) {
        if requests.active.isEmpty { return }
        for slot in requests.active.reversed() {
            let number = requests.number(slot: slot)
            guard let request = requests[number] else { continue }
            if case .catchUp(let first, let last) = request.kind, isComplete(first, last) {
                endpoint.statistics.heightsCaughtUp &+= last - first + 1
                requests.close(number)
                continue
            }
            guard now >= request.deadline else { continue }
            if waitsItsTurn(request, now: now) { continue }
            endpoint.statistics.repairsTimedOut &+= UInt64(max(request.shreds.count, 1))
            noteIgnored(request, now: now)
            noteUnanswered(request, now: now)
            if request.isStarved, request.sentAt >= stoodStillUntil, let peer = peer(request.parent) {
                if peer.lastReceivedAt <= request.sentAt {
                    // Nothing at all came meanwhile: the way was gone, not full. It begins anew, as a way not known.
                    window.restart()
                } else if request.isAnswered {
                    window.timedOut(roundTrip: peer.roundTrip.current, now: now)
                }
                // Not a shred of it, but other things: the request itself was lost, by chance.
            }
            settle(number, now: now)
        }
    }

    private func isComplete(_ first: UInt64, _ last: UInt64) -> Bool {
        if next > last { return true }
        var height = max(first, next)
        while height <= last {
            guard let entry = store.entry(height), entry.isComplete else { return false }
            height = entry.lastHeight + 1
        }
        return true
    }

    /// A relay skips what nobody has sent for so long; its children will ask elsewhere.
    private func giveUp(now: Instant) {
        guard let givesUpAfter, next > 0, next <= settledTip else { return }
        if let since = unavailableSince, now - since > Following.unavailableInterval {
            // A floor is a claim; how far the stream has come is signed.
            let floor = min(unavailableFloor, headerTip + 1)
            if floor > next { return skip(to: floor, now: now) }
        }
        guard now - nextSince > givesUpAfter else { return }
        var height = next
        while height <= settledTip {
            if let entry = store.entry(height), entry.isComplete { break }
            height = (store.entry(height)?.lastHeight ?? height) + 1
        }
        skip(to: height, now: now)
    }

    private func skip(to height: UInt64, now: Instant) {
        while next < height {
            guard let entry = store.entry(next) else {
                next += 1
                continue
            }
            for record in entry.slices { equations -= record?.equations ?? 0 }
            next = entry.lastHeight + 1
        }
        wholeRun = 0
        nextSince = now
        unavailableSince = nil
        early.dropBelow(next)
        advance(now: now)
    }

    // MARK: Asking

    /// Which parent to ask: one that is connected and has not said that it misses this; of those from whom most is to be hoped
    /// for the nearest at first, then another with every attempt. For old heights, one that holds them.
    private func parentToAsk(attempt: Int, missedBy: UInt64, height: UInt64, isOld: Bool) -> Int? {
        let now = endpoint.now
        var least = Int.max
        var candidates = 0
        for i in parents.indices where mayAsk(i, missedBy: missedBy, height: height, isOld: isOld) {
            let reluctance = reluctance(i, now: now)
            if reluctance < least { (least, candidates) = (reluctance, 0) }
            if reluctance == least { candidates += 1 }
        }
        if candidates == 0 { return nil }
        var best: Int?
        var bestTime = Interval.zero
        var skip = attempt % candidates
        for i in parents.indices
        where mayAsk(i, missedBy: missedBy, height: height, isOld: isOld) && reluctance(i, now: now) == least
        {
            if attempt > 0 {
                if skip == 0 { return i }
                skip -= 1
            } else if let time = peer(i)?.roundTrip.current, best == nil || time < bestTime {
                best = i
                bestTime = time
            }
        }
        return best
    }

    func mayAsk(_ i: Int, missedBy: UInt64, height: UInt64, isOld: Bool) -> Bool {
        guard parents[i].isConnected, missedBy >> UInt64(i) & 1 == 0, let peer = peer(i) else { return false }
        if !isOld { return true }
        // A parent that has said nothing yet is asked and may answer MISS.
        if peer.status == StreamStatus() { return true }
        return peer.status.floor > 0 && peer.status.floor <= height && peer.status.completeThrough >= height
    }

    private func deadline(_ parent: Int, attempts: Int, now: Instant) -> Instant {
        let timeout = peer(parent)?.roundTrip.timeout ?? RoundTrip.assumed
        // Three tries at the same pace: on a lossy link chance takes an answer now and then. Then it backs off.
        return now + min(timeout * Int64(1 << min(max(attempts - 2, 0), 4)), RoundTrip.timeoutMax)
    }

    /// Asks for headers of slices whose shreds are waiting.
    private func askForHeaders(now: Instant) {
        for (place, orphan) in early.orphans.enumerated() where now >= orphan.askAt {
            guard !requests.isFull,
                let parent = parentToAsk(
                    attempt: orphan.attempts, missedBy: 0, height: orphan.key.firstHeight, isOld: false),
                let peer = peer(parent)
            else { continue }
            var waiting = orphan
            waiting.askAt = deadline(parent, attempts: orphan.attempts, now: now)
            waiting.attempts = min(orphan.attempts + 1, 16)
            early.update(place, waiting)
            let request = RepairRequest(
                kind: .header, key: orphan.key, shreds: .empty, parent: parent, sentAt: now,
                deadline: waiting.askAt,
                outstanding: 1)
            guard let number = requests.open(request) else { return }
            endpoint.statistics.repairsAsked &+= 1
            endpoint.send(.repair(request: number, orphan.key, .empty, withHeader: true), to: peer)
        }
    }

    /// Looks at every height from the first gap to the settled tip, oldest first. Answers whether any is incomplete.
    private func askForGaps(now: Instant) -> Bool {
        guard next > 0 else { return joinBacklog(now: now) }
        recoverOldest(now: now)
        balance(now: now)
        let last = min(max(settledTip, headerTip), next + Following.heightsAheadMax, gapLimit)
        var height = next
        var isBehind = false
        while height <= last {
            if let byWindows, height >= byWindows.first, height <= byWindows.last {
                height = byWindows.last + 1
                continue
            }
            guard let entry = store.entry(height) else {
                isBehind = true
                if height > settledTip { break }
                guard let asked = askForHeights(from: height, through: min(last, settledTip), now: now) else {
                    break
                }
                height = asked + 1
                continue
            }
            if !entry.isComplete {
                isBehind = true
                for index in entry.slices.indices {
                    if let record = entry.slices[index] {
                        if !record.isComplete { askForDeficit(record, now: now) }
                    } else {
                        askForSlice(
                            SliceKey(firstHeight: entry.firstHeight, index: UInt16(index)), entry: entry,
                            now: now)
                    }
                }
            }
            height = entry.lastHeight + 1
        }
        return isBehind
    }

    /// A relay that has seen nothing yet has nothing to ask for; it starts with the first header that comes.
    private func joinBacklog(now: Instant) -> Bool { false }

    /// Asks for the data that neither comes by contract nor follows from parity (`balance`).
    private func askForDeficit(_ record: SliceRecord, now: Instant) {
        if record.short <= 0 { return }
        var wanted = record.lost.prefix(record.short)
        if wanted.isEmpty || requests.isFull { return }
        // Repair has the whole cap: the slice at hand blocks everything behind it.
        let room = max(windowShreds, RepairWindow.shredsAtStart * 2) - requests.outstanding
        if room <= 0, record.key.firstHeight != next { return }
        wanted = wanted.prefix(max(room, 8))
        let isOld = record.key.firstHeight + 100 < headerTip
        var parent = parentToAsk(
            attempt: record.attempts, missedBy: record.missedBy, height: record.key.firstHeight, isOld: isOld)
        if parent == nil, record.missedBy != 0 {
            // Everybody missed it once; a relay may have it by now. Ask again after a while.
            if now - record.lastShredAt < .milliseconds(50) { return }
            record.missedBy = 0
            record.lastShredAt = now
            parent = parentToAsk(
                attempt: record.attempts, missedBy: 0, height: record.key.firstHeight, isOld: false)
        }
        guard let parent, let peer = peer(parent) else { return }
        let request = RepairRequest(
            kind: .shreds, key: record.key, shreds: wanted, parent: parent, sentAt: now,
            deadline: deadline(parent, attempts: record.attempts, now: now), outstanding: wanted.count)
        guard let number = requests.open(request) else { return }
        record.attempts = min(record.attempts + 1, 16)
        record.inFlight = record.inFlight.union(wanted)
        endpoint.statistics.repairsAsked &+= UInt64(wanted.count)
        endpoint.send(.repair(request: number, record.key, wanted, withHeader: false), to: peer)
    }

    /// A slice of a mini-block of several, none of which has come but others have: header and all its data.
    private func askForSlice(_ key: SliceKey, entry: HeightEntry, now: Instant) {
        // Its header may be on its way, or asked for already because shreds wait for it.
        if now - entry.createdAt < .milliseconds(15) || early.orphans.contains(where: { $0.key == key }) {
            return
        }
        for slot in requests.active {
            if let request = requests[requests.number(slot: slot)], request.key == key { return }
        }
        guard !requests.isFull, requests.outstanding < windowShreds,
            let parent = parentToAsk(
                attempt: Int(now.nanoseconds >> 24 & 7), missedBy: 0, height: key.firstHeight, isOld: false),
            let peer = peer(parent)
        else { return }
        let request = RepairRequest(
            kind: .shreds, key: key, shreds: .allData, parent: parent, sentAt: now,
            deadline: deadline(parent, attempts: 0, now: now) + .milliseconds(20),
            outstanding: StripeSet.dataStripesMax)
        guard let number = requests.open(request) else { return }
        endpoint.statistics.repairsAsked &+= 1
        endpoint.send(.repair(request: number, key, .allData, withHeader: true), to: peer)
    }

    /// Asks for whole heights from `first` on, of which nothing is here: as many as the window holds, in one request.
    /// Answers the last height that is now covered by a request; nil when nothing can be asked for now.
    private func askForHeights(from first: UInt64, through limit: UInt64, now: Instant) -> UInt64? {
        if let request = requests[askedBy[Int(first % SliceStore.heightsMax)]],
            case .catchUp(let from, let last) = request.kind,
            from <= first, first <= last
        {
            return last
        }
        guard !requests.isFull, store.mayHold(first) else { return nil }
        // Shreds that wait for their header need only that.
        if early.orphans.contains(where: { $0.key.firstHeight == first }) { return first }
        let room = windowShreds - requests.outstanding
        // One height may always be asked for, whatever its size: otherwise a large mini-block would never come.
        if room <= 0, requests.outstanding > 0 { return nil }
        var fits = max(1, room * 16 / max(shredsPerHeight16, 16))
        // Small requests, so that all parents have some, and that one which is lost delays little.
        if !takesStream { fits = min(fits, Following.pulledHeightsMax) }
        var last = first
        while last < limit, last - first + 1 < UInt64(min(fits, FrameLimits.catchUpHeightsMax)),
            store.entry(last + 1) == nil, store.mayHold(last + 1), last + 1 != byWindows?.first
        {
            last += 1
        }
        let attempt = Int(
            truncatingIfNeeded: nextSince < now ? (now - nextSince).nanoseconds / 500_000_000 : 0)
        let chosen =
            if case .pulling = intake, attempt == 0 {
                parentToPull(height: first)
            } else {
                parentToAsk(attempt: attempt, missedBy: 0, height: first, isOld: true)
            }
        guard let parent = chosen, let peer = peer(parent) else {
            noteUnavailable(first, now: now)
            return nil
        }
        unavailableSince = nil
        if peer.status != StreamStatus() { last = max(first, min(last, peer.status.completeThrough)) }
        let count = Int(last - first) + 1
        // On a full line, what was asked for before comes first.
        let isFull = if case .pulling = intake { true } else { isLineFull }
        let ahead =
            isFull ? line.time(for: requests.outstanding * Limits.datagramBytesMax) : .zero
        let request = RepairRequest(
            kind: .catchUp(first: first, last: last), key: SliceKey(firstHeight: first, index: 0),
            shreds: .empty,
            parent: parent, sentAt: now,
            deadline: deadline(parent, attempts: count > Following.shortCatchUp ? 3 : 0, now: now) + ahead,
            outstanding: max(1, count * shredsPerHeight16 / 16))
        guard let number = requests.open(request) else { return nil }
        for height in first...last { askedBy[Int(height % SliceStore.heightsMax)] = number }
        endpoint.statistics.repairsAsked &+= UInt64(count)
        endpoint.send(.catchUp(request: number, cadence: .c0, first: first, count: count), to: peer)
        return last
    }

    /// Every connected parent has told its floor, and all are above `height`: after five seconds the owner is told.
    private func noteUnavailable(_ height: UInt64, now: Instant) {
        var floor = UInt64.max
        for i in parents.indices where parents[i].isConnected {
            guard let peer = peer(i), peer.status.floor > 0 else {
                unavailableSince = nil
                return
            }
            floor = min(floor, peer.status.floor)
        }
        guard floor != .max, floor > height else {
            unavailableSince = nil
            return
        }
        unavailableFloor = floor
        if unavailableSince == nil { unavailableSince = now }
    }
}

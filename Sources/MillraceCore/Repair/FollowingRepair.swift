/// Answers to requests, and a follower's timers: what it looks at and when (`FollowingRequests` asks).

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

    /// A shred that answers `number` came from parent `i`, useful or not. Whoever was not asked, or sends another slice's, has
    /// answered nothing.
    func answered(_ number: UInt16, _ key: SliceKey, index: Int, by i: Int, now: Instant) {
        guard var request = requests[number], request.parent == i, request.concerns(key) else { return }
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
                parents[request.parent].noteBrought(key.firstHeight, askedAt: request.sentAt, now: now)
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
            early.missed(request.key, by: request.parent, now: now)
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
        repeatRequests(now: now)
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
            parents[i].owedShreds >= max(shredsInARow(i, now: now), Following.silentShreds)
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
            if isOvertaken(number, request, now: now) {
                settle(number, now: now)
                continue
            }
            guard now >= request.deadline else { continue }
            if waitsItsTurn(request, now: now) { continue }
            endpoint.statistics.repairsTimedOut &+= UInt64(max(request.shreds.count, 1))
            if case .shreds = request.kind { store.record(request.key)?.attempts += 1 }
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
        if let unavailable, now - unavailable.since > Following.unavailableInterval {
            // A floor is a claim; how far the stream has come is signed.
            let floor = min(unavailable.floor, headerTip + 1)
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
        early.dropBelow(next)
        advance(now: now)
    }
}

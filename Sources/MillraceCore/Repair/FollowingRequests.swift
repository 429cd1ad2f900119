/// Asking: which parent, for which shreds, headers or heights, and how long the answer may take (Spec 60.6, 60.7).
///
/// Only what parity leaves undetermined is asked for (`Following.balance`), the oldest first, within the window; heights of
/// which not even a header is here are asked for as a whole. Called at every look at the gaps (`handleTimeout`).

import MillraceBase
import MillraceWire

extension Following {
    /// Which parent or neighbour to ask: one that is connected and has not said that it misses this; of those from whom most is
    /// to be hoped for the nearest at first, then another with every attempt. For old heights, one that holds them.
    func parentToAsk(attempt: Int, missedBy: UInt64, height: UInt64, isOld: Bool) -> Int? {
        let now = endpoint.now
        var least = Int.max
        var candidates = 0
        for i in parents.indices where mayAsk(i, missedBy: missedBy, height: height, isOld: isOld) {
            let doubt = doubt(i, height: height, now: now)
            if doubt < least { (least, candidates) = (doubt, 0) }
            if doubt == least { candidates += 1 }
        }
        if candidates == 0 { return nil }
        var best: Int?
        var bestTime = Interval.zero
        var skip = attempt % candidates
        for i in parents.indices
        where mayAsk(i, missedBy: missedBy, height: height, isOld: isOld)
            && doubt(i, height: height, now: now) == least
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

    /// How doubtful it is that asking parent `i` for this height brings it: its reluctance, and one more if it says itself that
    /// there are holes up to there. Who has not spoken of the height yet may have it.
    private func doubt(_ i: Int, height: UInt64, now: Instant) -> Int {
        let saysHoles = ask(i) { $0.status.tip >= height && $0.status.completeThrough < height } ?? false
        return reluctance(i, now: now) + (saysHoles ? 1 : 0)
    }

    func mayAsk(_ i: Int, missedBy: UInt64, height: UInt64, isOld: Bool) -> Bool {
        guard parents[i].isConnected, missedBy >> UInt64(i) & 1 == 0, let peer = peer(i) else { return false }
        let holds =
            peer.status.floor > 0 && peer.status.floor <= height && peer.status.completeThrough >= height
        // A neighbour owes nothing: it is asked for what it says it holds, or for what it is past, and for little at once.
        if parents[i].isNeighbour {
            let isPast = !isOld && peer.status.floor <= height && peer.status.tip > height
            return (holds || isPast) && parents[i].allowance.hasRoom
        }
        if !isOld { return true }
        // A parent that has said nothing yet is asked and may answer MISS.
        return holds || peer.status == StreamStatus()
    }

    /// What neighbours may be asked for now.
    private func fillAllowances(now: Instant) {
        for i in parents.indices where parents[i].isNeighbour {
            parents[i].allowance.fill(.neighbour, now: now)
        }
    }

    /// A neighbour is asked for little at once (Spec 60.6, rule 7): so much of `wanted` as it may be asked for now. It counts.
    private func allowed(_ wanted: StripeSet, of parent: Int) -> StripeSet {
        guard parents[parent].isNeighbour else { return wanted }
        let part = wanted.prefix(parents[parent].allowance.shreds)
        spend(part.count, of: parent)
        return part
    }

    private func spend(_ shreds: Int, of parent: Int) {
        if parents[parent].isNeighbour { parents[parent].allowance.take(shreds) }
    }

    func deadline(_ parent: Int, attempts: Int, isShort: Bool = false, now: Instant) -> Instant {
        let roundTrip = peer(parent)?.roundTrip
        let timeout = (isShort ? roundTrip?.timeoutShort : roundTrip?.timeout) ?? RoundTrip.assumed
        // Three tries at the same pace: on a lossy link chance takes an answer now and then. Then it backs off.
        return now + min(timeout * Int64(1 << min(max(attempts - 2, 0), 4)), RoundTrip.timeoutMax)
    }

    /// Asks for headers of slices whose shreds are waiting.
    func askForHeaders(now: Instant) {
        for (place, orphan) in early.orphans.enumerated() where now >= orphan.askAt {
            guard !requests.isFull else { return }
            var waiting = orphan
            guard
                let parent = parentToAsk(
                    attempt: orphan.attempts, missedBy: orphan.missedBy, height: orphan.key.firstHeight,
                    isOld: false),
                let peer = peer(parent)
            else {
                // Everybody missed it once; a relay may have it by now.
                waiting.missedBy = 0
                waiting.askAt = now + Following.missedHeaderPause
                early.update(place, waiting)
                continue
            }
            waiting.askAt = deadline(parent, attempts: orphan.attempts, isShort: true, now: now)
            waiting.attempts += 1
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
    func askForGaps(now: Instant) -> Bool {
        // Who has seen nothing yet starts with the first header that comes.
        guard next > 0 else { return false }
        fillAllowances(now: now)
        recoverOldest(now: now)
        balance(now: now)
        let last = min(max(settledTip, headerTip), next + Following.heightsAheadMax, gapLimit)
        reviewAvailability(through: min(last, settledTip), now: now)
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

    /// Asks for the data that neither comes by contract nor follows from parity (`balance`).
    func askForDeficit(_ record: SliceRecord, now: Instant) {
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
            if now - record.lastShredAt < Following.missedPause { return }
            record.missedBy = 0
            record.lastShredAt = now
            parent = parentToAsk(
                attempt: record.attempts, missedBy: 0, height: record.key.firstHeight, isOld: false)
        }
        guard let parent, let peer = peer(parent) else { return }
        wanted = allowed(wanted, of: parent)
        var request = RepairRequest(
            kind: .shreds, key: record.key, shreds: wanted, parent: parent, sentAt: now,
            deadline: deadline(parent, attempts: record.attempts, isShort: true, now: now),
            outstanding: wanted.count)
        // While heights are pulled nothing is in a hurry, and the line is full.
        let isDear =
            takesStream && parity.isLossy && peer.roundTrip.current >= Following.longRoundTrip
        if record.attempts > 0 || isDear { request.repeatsAt = now + Following.repeatAfter }
        guard let number = requests.open(request) else { return }
        record.inFlight = record.inFlight.union(wanted)
        endpoint.statistics.repairsAsked &+= UInt64(wanted.count)
        endpoint.send(.repair(request: number, record.key, wanted, withHeader: false), to: peer)
    }

    /// What nobody had is asked for again after so long.
    static let missedPause = Interval.milliseconds(50)
    /// A header is one datagram, and nothing of its slice can be used without it.
    static let missedHeaderPause = Interval.milliseconds(15)

    /// Longer than a usual burst of losses lasts, and short beside the round trip that a third attempt would cost.
    static let repeatAfter = Interval.milliseconds(16)

    /// What was asked for in vain once is asked for twice from then on, the second time of another parent: a slice that waits for
    /// a third attempt holds up all behind it for longer than anything else on a lossy line. Where 2 % are lost each way, one
    /// answer in 25 fails, and 4 % more is sent than repairs take. On a long way, where a second attempt holds up as much, that
    /// goes for the first one too: parity leaves few of them.
    func repeatRequests(now: Instant) {
        for slot in requests.active {
            let number = requests.number(slot: slot)
            guard var request = requests[number], now >= request.repeatsAt else { continue }
            request.repeatsAt = .distantFuture
            requests.update(number, request)
            guard let record = store.record(request.key), !record.isComplete,
                let parent = parentToAsk(
                    attempt: record.attempts + 1, missedBy: record.missedBy,
                    height: request.key.firstHeight, isOld: false),
                let peer = peer(parent)
            else { continue }
            let wanted = allowed(request.shreds.intersection(record.missingData), of: parent)
            if wanted.isEmpty { continue }
            let copy = RepairRequest(
                kind: .shreds, key: request.key, shreds: wanted, parent: parent, sentAt: now,
                deadline: max(request.deadline, now), outstanding: wanted.count)
            guard let other = requests.open(copy) else { return }
            endpoint.statistics.repairsAsked &+= UInt64(wanted.count)
            endpoint.send(.repair(request: other, request.key, wanted, withHeader: false), to: peer)
        }
    }

    /// A slice of a mini-block of several, none of which has come but others have: header and all its data.
    func askForSlice(_ key: SliceKey, entry: HeightEntry, now: Instant) {
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
        spend(request.outstanding, of: parent)
        guard let number = requests.open(request) else { return }
        endpoint.statistics.repairsAsked &+= 1
        endpoint.send(.repair(request: number, key, .allData, withHeader: true), to: peer)
    }

    /// Asks for whole heights from `first` on, of which nothing is here: as many as the window holds, in one request.
    /// Answers the last height that is now covered by a request; nil when nothing can be asked for now.
    func askForHeights(from first: UInt64, through limit: UInt64, now: Instant) -> UInt64? {
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
        guard let parent = chosen, let peer = peer(parent) else { return nil }
        if peer.status != StreamStatus() { last = max(first, min(last, peer.status.completeThrough)) }
        if parents[parent].isNeighbour {
            let heights = max(parents[parent].allowance.shreds * 16 / max(shredsPerHeight16, 16), 1)
            last = min(last, first + UInt64(heights) - 1)
        }
        let count = Int(last - first) + 1
        spend(max(count * shredsPerHeight16 / 16, 1), of: parent)
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

    /// Whether every connected parent says that it does not hold the lowest height that is asked for: the owner acts on that
    /// when it has lasted. It is a question of this height at this moment, so it is asked anew at every look at the gaps:
    /// whatever brings the height, or somebody who holds it, or a window in its place, ends it.
    private func reviewAvailability(through last: UInt64, now: Instant) {
        var floor = UInt64.max
        let comesAsWindow = byWindows.map { next >= $0.first && next <= $0.last } ?? false
        if next <= last, !comesAsWindow {
            for i in parents.indices where parents[i].isConnected {
                floor = min(floor, peer(i)?.status.floor ?? 0)
            }
        }
        // None told its floor, or none is connected.
        guard floor > next, floor != .max else {
            lacked = nil
            return
        }
        lacked = Lacked(height: next, since: unavailable?.since ?? now, floor: floor)
    }
}

/// Where a follower's observations become events of its parents' scores, and scores become decisions (Spec 66.4 to 66.7).
///
/// What a parent owed is judged when the stream's headers are 24 heights further on, if the parent has sent something later
/// by then (what it sends goes in order), and at 124 heights at the latest. Only what it owed under one contract all the
/// while counts.

import MillraceBase
import MillraceWire

/// Since when a parent's contract has stood, and what it has claimed.
struct Judging: BitwiseCopyable {
    /// The data stripes it gives; parity may come and go beside them.
    var stripes = StripeSet.empty
    var leaseEnds = Instant.zero
    var fromHeight = UInt64.max
    /// `complete through` at the last turn, and at the one before: a claim 100 ms old or older.
    var claim: UInt64 = 0
    var settledClaim: UInt64 = 0
    var rekeys: UInt64 = 0
    /// Shreds asked for in vain that are not yet held against it, and since when there are any.
    var unanswered = 0
    var unansweredSince = Instant.zero
}

extension Following {
    static let judgeAfter: UInt64 = 24
    static let judgeAtLast: UInt64 = 124
    /// Heights looked at in one turn; more are only there after an outage, and not judged.
    static let judgeAtOnce: UInt64 = 512
    /// A slice that has waited longer than gaps are remembered for is not judged.
    static let judgeWithin = Interval.seconds(3)
    /// A new contract counts from so many heights on.
    static let contractSettles: UInt64 = 50
    /// Datagrams that may have been lost unseen with the last of old keys.
    static let rekeyExcuse = 64
    /// How far above a parent's floor a height must be for a MISS to break its word: floors rise.
    static let floorSlack: UInt64 = 128

    // MARK: Observations

    /// Judges every height that the stream has left far enough behind. Whether it is complete does not matter: what a parent sent
    /// of it is known. What could not be judged then is judged for good a second of stream later.
    private func judgeHeights(now: Instant) {
        let passed = headerTip > Following.judgeAfter ? headerTip - Following.judgeAfter : 0
        var height = max(endpoint.scores.judgedTo + 1, store.floor)
        if passed > Following.judgeAtOnce { height = max(height, passed - Following.judgeAtOnce) }
        while height <= passed {
            if !judge(height, isLast: false, now: now) { endpoint.scores.leaveOpen(height) }
            height += 1
        }
        endpoint.scores.judgedTo = max(endpoint.scores.judgedTo, passed)
        let old = headerTip > Following.judgeAtLast ? headerTip - Following.judgeAtLast : 0
        while let height = endpoint.scores.nextOpen(through: old) {
            _ = judge(height, isLast: true, now: now)
        }
    }

    /// Answers whether all that is to be judged of this height has been.
    private func judge(_ height: UInt64, isLast: Bool, now: Instant) -> Bool {
        guard !endpoint.scores.isFaulty(now: now), let entry = store.entry(height) else { return false }
        var isJudged = true
        for record in entry.slices {
            guard let record else {
                isJudged = false
                continue
            }
            guard !record.isBacklog, record.dataCount > 0, now - record.firstSeenAt < Following.judgeWithin
            else { continue }
            for i in parents.indices where parents[i].isConnected && record.judgedOf >> UInt64(i) & 1 == 0 {
                guard let peer = peer(i), height >= peer.judging.fromHeight else { continue }
                let owed = parents[i].stripes.intersection(record.shreds.data)
                if owed.isEmpty { continue }
                let missing = owed.subtracting(record.arrived)
                if !isLast, !missing.isEmpty, parents[i].passed.height <= height {
                    isJudged = false
                    continue
                }
                record.judgedOf |= 1 << UInt64(i)
                noteArrivals(of: peer, now: now)
                let admits =
                    peer.judging.settledClaim < record.assembler.header.lastHeight
                    || record.missedBy >> UInt64(i) & 1 == 1
                peer.score.judged(
                    owed: owed.count, missing: missing.count,
                    symbolBytes: Int(record.assembler.header.symbolBytes), admitted: admits, now: now)
            }
        }
        return isJudged
    }

    /// A contract shred came: who was first, and who so much later.
    func noteArrival(_ i: Int, of height: UInt64, now: Instant) {
        guard takesStream, !waitsForLine(i), now - parents[i].broughtHeightsAt >= Following.busyInterval,
            let delay = endpoint.scores.race.arrived(parent: i, height: height, now: now)
        else { return }
        _ = ask(i) { $0.score.arrived(behindFirst: delay, now: now) }
    }

    /// What the session's numbers say about the wire.
    func noteArrivals(of peer: Peer, now: Instant) {
        guard let arrivals = endpoint.sessions.arrivals(of: peer.session) else { return }
        if arrivals.rekeys != peer.judging.rekeys {
            peer.judging.rekeys = arrivals.rekeys
            peer.score.excuse(datagrams: Following.rekeyExcuse, now: now)
        }
        peer.score.arrivals(
            expected: arrivals.expected, genuine: arrivals.genuine, isMeasured: takesStream, now: now)
        peer.score.dropped(peer.status.dropped)
    }

    /// Whether the peer's have-map, not later than the request, says that it holds this height.
    func hasClaimed(_ peer: Peer, _ height: UInt64) -> Bool {
        peer.status.floor > 0 && height >= peer.status.floor + Following.floorSlack
            && height <= peer.judging.settledClaim
    }

    /// What goes unanswered waits so long before it counts: it may be the first sign that our own line is full.
    static let unansweredSettles = Interval.seconds(1)

    /// A request went unanswered although other datagrams came meanwhile, and although this node was awake.
    func noteIgnored(_ request: RepairRequest, now: Instant) {
        guard !endpoint.scores.isFaulty(now: now), takesStream, !isLineFull, case .shreds = request.kind,
            let peer = peer(request.parent), peer.lastReceivedAt > request.sentAt
        else { return }
        if peer.judging.unanswered == 0 { peer.judging.unansweredSince = now }
        // Shreds of one second's requests: far from overflow.
        peer.judging.unanswered += request.shreds.count
    }

    private func countUnanswered(_ peer: Peer, now: Instant) {
        guard peer.judging.unanswered > 0 else { return }
        if !takesStream {
            peer.judging.unanswered = 0
        } else if now - peer.judging.unansweredSince >= Following.unansweredSettles {
            peer.score.ignored(shreds: peer.judging.unanswered, now: now)
            peer.judging.unanswered = 0
        }
    }

    // MARK: Decisions

    /// Brings parents' scores up to date and moves stripes as they say. Answers parents to be banned.
    func takeScoreTurn(now: Instant) -> [Peer] {
        let isFaulty = endpoint.scores.isFaulty(now: now)
        for i in parents.indices {
            guard let peer = peer(i), parents[i].isConnected else { continue }
            noteArrivals(of: peer, now: now)
            countUnanswered(peer, now: now)
            peer.judging.settledClaim = peer.judging.claim
            peer.judging.claim = peer.status.completeThrough
            if peer.judging.stripes != parents[i].stripes.data {
                peer.judging.stripes = parents[i].stripes.data
                peer.judging.leaseEnds = .zero
                peer.judging.fromHeight = max(headerTip, next) + Following.contractSettles
            }
            if parents[i].acceptedSerial == parents[i].serial {
                peer.judging.leaseEnds =
                    parents[i].askedAt + .milliseconds(Int64(ParentLink.leaseMilliseconds))
            }
            if isFaulty || !takesStream || now >= peer.judging.leaseEnds || !parents[i].isUsable {
                peer.judging.fromHeight = max(headerTip, next) + Following.contractSettles
            }
            // Gaps of before the first height that counts explain nothing; a little before it they might.
            if max(headerTip, next) + Following.judgeAfter < peer.judging.fromHeight {
                peer.score.beginContract()
            }
        }
        judgeHeights(now: now)
        let usable = parents.indices.filter { parents[$0].isUsable }
        let forgives = !usable.contains { peer($0)?.score.isWithholding == false }
        var banned: [Peer] = []
        var changed = false
        for i in parents.indices {
            guard let peer = peer(i), parents[i].isConnected else { continue }
            let standing = peer.score.review(
                comparison(for: i), forgivesWithholding: forgives || isFaulty, now: now)
            let isDeferred = standing != .good
            if isDeferred != parents[i].isDeferred {
                parents[i].isDeferred = isDeferred
                changed = true
            }
            switch standing {
            case .good, .deferred: break
            case .banned: banned.append(peer)
            case .probation: if suspend(i, peer, now: now) { changed = true }
            }
        }
        if changed { replan(now: now) }
        return banned
    }

    /// Owes it nothing while its score stands. The only usable parent is kept.
    private func suspend(_ i: Int, _ peer: Peer, now: Instant) -> Bool {
        switch parents[i].state {
        case .up:
            guard parents.count(where: { $0.isUsable }) > 1 else { return false }
            parents[i].state = .silent(until: now + parents[i].probation)
            parents[i].lapses = min(parents[i].lapses + 1, 16)
            endpoint.statistics.stripesMoved &+= UInt64(parents[i].stripes.count)
            endpoint.emit(.parentSilent(peer.address))
            return true
        case .silent(let until):
            // As long as its score stands, if somebody else is there.
            if parents.contains(where: { $0.isUsable }) {
                parents[i].state = .silent(until: max(until, now + ScoreBoard.turnInterval * 2))
            }
            return false
        case .down, .connecting: return false
        }
    }

    /// Usable parents that are deferred are given no stripes, if enough others are left.
    var passesOverDeferred: Bool {
        var (all, kept) = (0, 0)
        for i in parents.indices where parents[i].isUsable {
            all += 1
            if !parents[i].isDeferred { kept += 1 }
        }
        // A few good ones are not made to carry what many did: half of them stay at least.
        return kept > 0 && kept * 2 >= all
    }

    /// What parent `i`'s quality is measured against.
    func comparison(for i: Int) -> PeerScore.Comparison {
        var best = PeerScore.Comparison()
        var loss = Int.max
        var late = Interval(nanoseconds: .max)
        var nearest = Interval(nanoseconds: .max)
        for j in parents.indices where parents[j].isParent {
            guard let other = peer(j) else { continue }
            if other.score.isLossMeasured { loss = min(loss, other.score.lossPerMille) }
            if other.score.isTimed { late = min(late, other.score.lateness) }
            if other.roundTrip.isMeasured { nearest = min(nearest, other.roundTrip.smoothed) }
            if j != i, let own = peer(i), !AddressGroup.isLocal(own.address),
                AddressGroup.neighbourhood(other.address) == AddressGroup.neighbourhood(own.address)
            {
                best.colocated += 1
            }
        }
        if loss != .max { best.lossPerMille = loss }
        if late.nanoseconds != .max { best.late = late }
        if let own = peer(i), own.roundTrip.isMeasured { best.fartherBy = own.roundTrip.smoothed - nearest }
        return best
    }
}

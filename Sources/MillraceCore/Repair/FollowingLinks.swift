/// A follower's parents: who is one, what each is asked for, and what it says of itself (Spec 60.4).
///
///     added ──established──▶ subscribed ──accepted──▶ owes what the contract says
///
/// Whenever what is wanted of a parent changes, the whole plan is made anew, and asked of those whose part is another. Sixty-four
/// parents at most. Called by `StreamNode` for sessions and control frames, by the other halves of `Following` to plan anew.

import MillraceBase
import MillraceWire

extension Following {
    /// Starts handshakes with parents whose time has come.
    func connect(now: Instant) {
        for i in parents.indices {
            if case .down(let until) = parents[i].state, now >= until {
                let parent = parents[i].endpoint
                // A full table frees itself in time.
                guard let session = endpoint.sessions.connect(to: parent.key, at: parent.address, now: now)
                else { continue }
                parents[i].session = session
                parents[i].state = .connecting(since: now)
                // It may have come to us first; then no event follows.
                if let peer = endpoint.peer(session) { _ = established(peer, now: now) }
            }
        }
    }

    /// Parents in all that `missedBy`'s words have a bit for.
    static let parentsMax = 64
    /// A retired place is not given to another before this: shreds and requests that name it have gone by then.
    static let placeQuarantine = Interval.seconds(15)

    /// Takes a parent or a neighbour in at run time, and dials it unless it has a session already. Its index; nil when all places
    /// are taken.
    func addParent(_ endpoint: PeerEndpoint, asNeighbour: Bool = false, now: Instant) -> Int? {
        var link = ParentLink(endpoint: endpoint)
        link.isDiscovered = true
        link.isNeighbour = asNeighbour
        let freed = parents.firstIndex { $0.retiredAt.map { now - $0 >= Following.placeQuarantine } ?? false }
        let place = freed ?? parents.count
        guard place < Following.parentsMax else { return nil }
        if freed == nil { parents.append(link) } else { parents[place] = link }
        replan(now: now)
        connect(now: now)
        return place
    }

    /// A neighbour is to be a parent: from here on it is one that has just come.
    func promote(_ i: Int, now: Instant) {
        guard parents[i].isNeighbour, !parents[i].isRetired else { return }
        parents[i].isNeighbour = false
        if let peer = peer(i), parents[i].isConnected {
            _ = established(peer, now: now)
        } else {
            replan(now: now)
        }
    }

    /// Ends the contract with a parent. Its session stays: the peer may be a child, or be taken again.
    func removeParent(_ i: Int, now: Instant) {
        guard parents.indices.contains(i), !parents[i].isRetired else { return }
        parents[i].retiredAt = now
        // The plan without it says so to the parent, too.
        replan(now: now)
        if let peer = peer(i) {
            peer.parentIndex = nil
            // What it sent before it heard of that, or until the lease ends if it never does, is no offence.
            peer.wasParentUntil = now + .milliseconds(Int64(ParentLink.leaseMilliseconds) + 5_000)
        }
        settleRequests(of: i, now: now)
        parents[i].session = nil
        parents[i].state = .down(until: .distantFuture)
    }

    /// A session is up. Answers whether it is one of our parents'.
    func established(_ peer: Peer, now: Instant) -> Bool {
        guard let i = parents.firstIndex(where: { $0.session == peer.session }) else { return false }
        peer.parentIndex = i
        peer.judging = Judging()
        parents[i].state = .up
        parents[i].connectFailures = 0
        parents[i].resetDebt()
        parents[i].dispute = nil
        parents[i].isDisputed = false
        parents[i].serial &+= 1
        parents[i].acceptedSerial = 0
        parents[i].subscribeAttempts = 0
        parents[i].graceUntil = now + .milliseconds(500)
        if !parents[i].isNeighbour {
            beginTrial(i, now: now)
            let roundTrip = peer.roundTrip.current
            parity.begin(roundTrip: roundTrip)
            // Parity is promised to nobody, but sums are: a line up that is short has no room for them on suspicion.
            if parity.isPrudent, roundTrip >= ParityController.prudentRoundTrip { sumEvery = 1 }
        }
        replan(now: now)
        return true
    }

    func disconnected(_ peer: Peer, now: Instant) {
        guard let i = peer.parentIndex else { return }
        lost(i, now: now)
    }

    /// A handshake that never finished.
    func failed(_ session: SessionID, now: Instant) {
        guard let i = parents.firstIndex(where: { $0.session == session }) else { return }
        lost(i, now: now)
    }

    func lost(_ i: Int, now: Instant) {
        parents[i].session = nil
        parents[i].connectFailures = min(parents[i].connectFailures + 1, 16)
        parents[i].state = .down(until: now + parents[i].backoff)
        settleRequests(of: i, now: now)
        replan(now: now)
    }

    func settleRequests(of parent: Int, now: Instant) {
        for slot in requests.active.reversed() {
            let number = requests.number(slot: slot)
            if requests[number]?.parent == parent { settle(number, now: now) }
        }
    }

    func peer(_ parent: Int) -> Peer? {
        guard parents.indices.contains(parent), let session = parents[parent].session else { return nil }
        return endpoint.peer(session)
    }

    /// What is asked of a parent's peer; nil when it has no session. The peer is lent for the question.
    @inline(__always)
    func ask<Answer>(_ parent: Int, _ question: (Peer) -> Answer) -> Answer? {
        guard let session = parents[parent].session else { return nil }
        return endpoint.ask(session, question)
    }

    /// Deals the stripes anew over the usable parents and asks each whose share changed.
    func replan(now: Instant) {
        let fresh = StripePlan(
            standings(now: now), parityStripes: parity.stripes, turn: headerTurn, sumEvery: sumEvery,
            after: plan, movesSums: sumsAreMissing)
        if fresh.sumsBy != plan.sumsBy { headersSinceSum = 0 }
        // Until all have heard that nothing is wanted, what they owe is under way.
        if case .ending = intake {} else { plan = fresh }
        let roundTrip = parents.indices.reduce(Interval.zero) {
            parents[$1].isNeighbour ? $0 : max($0, peer($1)?.roundTrip.current ?? .zero)
        }
        countLossFrom =
            max(headerTip, next) + 10
            + UInt64(max(roundTrip.nanoseconds / Limits.miniBlockInterval.nanoseconds, 0))
        for i in parents.indices {
            let stripes = stripes(of: i, under: fresh)
            let sparesParity = parity.sparesParity && !parents[i].isOnTrial
            if parents[i].stripes == stripes, parents[i].headers == fresh.headers[i],
                parents[i].sparesParity == sparesParity,
                parents[i].acceptedSerial == parents[i].serial || !parents[i].isConnected
            {
                continue
            }
            parents[i].stripes = stripes
            parents[i].headers = fresh.headers[i]
            parents[i].sparesParity = sparesParity
            parents[i].serial &+= 1
            parents[i].subscribeAttempts = 0
            parents[i].resetDebt()
            parents[i].graceUntil = max(
                parents[i].graceUntil,
                now + (peer(i)?.roundTrip.timeout ?? .milliseconds(500)) + .milliseconds(100))
            if parents[i].isConnected { subscribe(i, now: now) }
        }
    }

    /// Sends the contract wanted of parent `i`.
    func subscribe(_ i: Int, now: Instant) {
        guard let peer = peer(i) else { return }
        let terms = ContractTerms(
            serial: parents[i].serial, stripes: parents[i].stripes, headers: parents[i].headers,
            leaseMilliseconds: ParentLink.leaseMilliseconds,
            budgetKilobitsPerSecond: budget(of: i, now: now), sparesParity: parents[i].sparesParity)
        endpoint.send(.subscribe(terms), to: peer)
        parents[i].askedAt = now
        parents[i].subscribeAttempts = min(parents[i].subscribeAttempts + 1, 16)
        parents[i].renewAt =
            now + peer.roundTrip.timeout * Int64(1 << min(parents[i].subscribeAttempts - 1, 4))
    }

    func accepted(_ terms: ContractTerms, from peer: Peer, now: Instant) {
        guard let i = peer.parentIndex, terms.serial == parents[i].serial else { return }
        if parents[i].acceptedSerial != terms.serial {
            parents[i].acceptedAt = now
            // What went before the parent had heard of it is not owed.
            if parents[i].owesShredsSince != nil {
                parents[i].owesFrom = max(parents[i].owesFrom, furthest())
            }
        }
        parents[i].acceptedSerial = terms.serial
        parents[i].subscribeAttempts = 0
        parents[i].renewAt = now + .milliseconds(Int64(max(terms.leaseMilliseconds, 1_000)) / 2)
    }

    func refused(
        serial: UInt32, _ reason: RefusalReason, retryAfterMilliseconds: UInt32, from peer: Peer, now: Instant
    ) {
        guard let i = peer.parentIndex, serial == parents[i].serial else { return }
        endpoint.emit(.refused(peer.address, reason))
        var pause = Interval.milliseconds(Int64(min(max(retryAfterMilliseconds, 250), 60_000)))
        // Others came before us, and will be there in a moment, too.
        if reason == .uplink {
            pause = max(pause, parents[i].probation)
            parents[i].lapses = min(parents[i].lapses + 1, 16)
        }
        parents[i].state = .silent(until: now + pause)
        replan(now: now)
    }

    func status(_ status: StreamStatus, from peer: Peer, now: Instant) {
        // Spec 60.8, rule 2: a peer may say any tip; it is believed as far as a day ahead of what is signed, and only moves
        // requests, which are bounded.
        guard let i = peer.parentIndex else { return }
        let dropped = peer.status.dropped
        peer.status = status
        if status.dropped > dropped { refused(by: i, now: now) }
        let believed = min(status.tip, max(headerTip, next) + 8_640_000)
        if believed > statusTip { statusTip = believed }
    }
}

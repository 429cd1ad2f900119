/// What membership does as time passes: look after our own record and place, let contacts go, take and drop parents, ask, dial.

import MillraceBase
import MillraceCrypto
import MillraceWire

extension Membership {
    func handleTimeout() {
        let now = endpoint.now
        guard config.isOn, now >= nextTurn else { return }
        renewOwnRecord()
        ownHops = hopsNow()
        if config.findsParents {
            dropParents()
            takeParents()
            takeNeighbours()
            letContactsGo()
            dial()
        }
        ask()
        for peer in endpoint.connected { introduce(to: peer) }
        nameAlternatives()
        if now >= nextAnchorsAt { chooseAnchors() }
        nextTurn =
            now + (isHungry ? MembershipLimits.hungryTurnInterval : MembershipLimits.turnInterval)
    }

    // MARK: Ourselves

    private func renewOwnRecord() {
        guard let key = config.recordKey, let address = config.addresses.first else { return }
        let wall = wallMicroseconds
        if let ownRecord {
            let age = Interval.microseconds(Int64(clamping: wall - min(ownRecord.issuedAtMicroseconds, wall)))
            let hasChanged = (ownRecord.childrenFree == 0) != ((childrenFree ?? 0) == 0)
            guard
                age >= MembershipLimits.renewInterval
                    || (hasChanged && age >= MembershipLimits.changeInterval)
            else { return }
        }
        var record = PeerRecord(
            key: key.verifyingKey, address: address, chainID: chainID, epoch: epoch,
            issuedAtMicroseconds: wall, lifetimeSeconds: MembershipLimits.lifetimeSeconds)
        record.role = role
        record.childrenFree = childrenFree ?? 0
        if config.addresses.count > 1, address.ipv4 != nil, config.addresses[1].ipv4 == nil {
            record.secondAddress = config.addresses[1]
        }
        record.sign(with: key)
        ownRecord = record
    }

    /// One more than the farthest parent in use. A configured parent that says nothing is taken for the sequencer.
    private func hopsNow() -> UInt8? {
        guard let following else { return 0 }
        var farthest: UInt8?
        for i in following.parents.indices where following.parents[i].isUsable {
            guard let peer = following.peer(i) else { continue }
            let said = peer.gossip.hasToldPlace ? peer.gossip.hops : 0
            guard let said else { continue }
            farthest = max(farthest ?? 0, said)
        }
        guard let farthest, farthest < FrameLimits.hopsMax else { return nil }
        return farthest + 1
    }

    // MARK: Parents

    /// A found parent goes when it has no stream, is gone, was silent twice, or has never given anything. When no parent is left
    /// at all, it may be our own line: then those we had are dialled for as long as any other would be, and others beside them.
    private func dropParents() {
        guard let following else { return }
        let usable = following.parents.count { $0.isUsable }
        for i in following.parents.indices {
            let link = following.parents[i]
            guard link.isDiscovered, !link.isRetired else { continue }
            var isLost = false
            switch link.state {
            case .down, .connecting:
                isLost = link.connectFailures >= (usable > 0 ? 1 : MembershipLimits.patience)
            case .silent:
                isLost = link.lapses >= (link.hasDelivered ? 2 : 1)
                // Others first.
                if isLost, let peer = following.peer(i) {
                    peer.gossip.refusedUntil = endpoint.now + MembershipLimits.silencePause
                }
            case .up: break
            }
            if isLost, let key = link.endpoint.key { tables.failed(key, now: endpoint.now) }
            if let peer = following.peer(i), peer.gossip.hasToldPlace {
                // Without a stream, or further than a parent may be.
                if peer.gossip.hops.map({ $0 >= FrameLimits.hopsMax }) ?? true { isLost = true }
                if isLost, !link.isNeighbour { peer.gossip.refusedUntil = endpoint.now + .seconds(30) }
            }
            if isLost { following.removeParent(i, now: endpoint.now) }
        }
    }

    /// The seats as they are taken.
    func seats(_ following: Following) -> ParentSelection {
        var groups: [SubnetGroup] = []
        var taken = 0
        for link in following.parents where !link.isRetired && !link.isNeighbour {
            // One that is gone has its seat no more, though it may come back to it.
            if link.connectFailures > 0, !link.isConnected { continue }
            if link.isDiscovered { groups.append(SubnetGroup(link.endpoint.address)) }
            taken += 1
        }
        return ParentSelection(
            wanted: config.parentsWanted, ownHops: ownHops, isRelay: serving != nil, ownKey: ownKey,
            groups: groups, taken: taken)
    }

    /// No parent: a session for the tables' sake, or a standby.
    private func isContact(_ peer: Peer) -> Bool {
        guard let following, let i = peer.parentIndex else { return true }
        return following.parents[i].isStandby
    }

    /// Connected peers that could be asked for a contract at once. A neighbour has its place there already.
    func candidates() -> [ParentCandidate] {
        endpoint.connected.compactMap { peer in
            let gossip = peer.gossip
            guard isContact(peer), gossip.isReached, gossip.recordIssuedAt > 0,
                let hops = gossip.hops,
                gossip.childrenFree > 0 || peer.parentIndex != nil,
                gossip.refusedUntil <= endpoint.now,
                let entry = tables[PublicKey(peer.key)], let record = entry.record,
                record.role == .relay, record.carries(.c0)
            else { return nil }
            // One that follows us is no parent of ours.
            if let child = peer.child, child.isOwed(now: endpoint.now) { return nil }
            return ParentCandidate(
                key: entry.key, group: entry.group, hops: hops, isNeighbour: peer.parentIndex != nil)
        }
    }

    private func takeParents() {
        guard let following else { return }
        var open = candidates()
        // Neighbours first: they were drawn once, and need no handshake.
        func next() -> ParentCandidate? {
            let seats = seats(following)
            return seats.next(of: open.filter(\.isNeighbour), &secrets) ?? seats.next(of: open, &secrets)
        }
        while let chosen = next() {
            open.removeAll { $0.key == chosen.key }
            guard let entry = tables[chosen.key] else { continue }
            if let i = following.parents.firstIndex(where: { $0.isStandby && $0.endpoint.key == chosen.key })
            {
                following.promote(i, now: endpoint.now)
            } else if following.addParent(
                PeerEndpoint(key: chosen.key, address: entry.address), now: endpoint.now) == nil
            {
                break
            }
            ownHops = hopsNow()
        }
        let standby = seats(following)
        isHungry =
            standby.taken < standby.wanted
            || open.count { standby.hasShare($0.group) } < config.standbyWanted
    }

    /// Standbys are of use before the day a parent is lost: as neighbours they are asked for what parents do not give.
    private func takeNeighbours() {
        guard let following else { return }
        let selection = seats(following)
        guard selection.taken >= selection.wanted else { return }
        var open = candidates()
        var missing = config.standbyWanted - following.parents.count(where: \.isStandby)
        open.removeAll { $0.isNeighbour || !selection.hasShare($0.group) || isDialled($0.key) }
        while missing > 0, !open.isEmpty {
            let chosen = open.remove(at: Int(secrets.next() % UInt64(open.count)))
            guard let entry = tables[chosen.key] else { continue }
            let peer = PeerEndpoint(key: chosen.key, address: entry.address)
            guard following.addParent(peer, asNeighbour: true, now: endpoint.now) != nil else { return }
            missing -= 1
        }
    }

    // MARK: Contacts

    /// Sessions that were begun for the tables' sake: those of no use end, but for the standbys.
    private func letContactsGo() {
        guard let following else { return }
        let selection = seats(following)
        let open = candidates()
        var kept = following.parents.count(where: \.isStandby)
        for peer in endpoint.connected {
            guard let since = peer.gossip.dialledAt, peer.parentIndex == nil, peer.child == nil,
                endpoint.now - since >= MembershipLimits.contactTime
            else { continue }
            let isStandby = open.contains {
                $0.key.bytes32 == peer.key && selection.hasShare($0.group)
            }
            if isStandby, kept < config.standbyWanted {
                kept += 1
                continue
            }
            onClose?(peer)
        }
    }

    /// Dials who is to be tested, and, while something is missing, who might be a parent.
    private func dial() {
        guard let following else { return }
        let now = endpoint.now
        var contacts = endpoint.connected.count { $0.gossip.dialledAt != nil && isContact($0) }
        func mayDial() -> Bool {
            dials.count < MembershipLimits.dialsMax && contacts + dials.count < MembershipLimits.contactsMax
        }
        for collision in tables.collisions where mayDial() {
            guard let entry = tables[collision.incumbent], entry.mayBeDialled(now: now) else { continue }
            if isConnected(entry.key) {
                // It stands before us: tested.
                if let record = entry.record {
                    tables.reached(
                        record, key: entry.key, from: entry.source, now: now,
                        wallMicroseconds: wallMicroseconds)
                }
            } else {
                begin(entry)
            }
        }
        let isDue = now >= nextFeelerAt
        guard isHungry || isDue else { return }
        if isDue { nextFeelerAt = now + MembershipLimits.feelerInterval }
        let selection = seats(following)
        let isHome = SubnetGroupCount(endpoint.connected.filter(isContact).map(\.address))
        func fits(_ entry: PeerTables.Entry) -> Bool {
            entry.mayBeDialled(now: now) && entry.record?.role ?? .relay == .relay
                && selection.hasShare(entry.group) && isHome[entry.group] < selection.perGroup
                && !isConnected(entry.key) && !isDialled(entry.key) && !isShunned(entry.key)
        }
        while mayDial() {
            // One draw in four is for those nobody has reached yet, though enough others are known.
            let prefersTried = isHungry && secrets.next() % 4 != 0
            guard
                let entry = tables.draw(tried: prefersTried, &secrets, where: fits)
                    ?? (isHungry ? tables.draw(tried: !prefersTried, &secrets, where: fits) : nil)
            else { break }
            begin(entry)
            if !isHungry { break }
        }
        // Cut off from everybody: begin as at first.
        if tables.newCount + tables.triedCount == 0, dials.isEmpty {
            learnFirst()
            contacts = 0
        }
    }

    private func begin(_ entry: PeerTables.Entry) {
        guard let session = endpoint.sessions.connect(to: entry.key, at: entry.address, now: endpoint.now)
        else { return }
        tables.dialled(entry.key, now: endpoint.now)
        dials.append((session, entry.key))
    }

    private func isConnected(_ key: PublicKey) -> Bool {
        endpoint.connected.contains { $0.key == key.bytes32 }
    }

    private func isDialled(_ key: PublicKey) -> Bool {
        dials.contains { $0.key == key }
            || following?.parents.contains { !$0.isRetired && $0.endpoint.key == key } ?? false
    }

    // MARK: Asking

    private func ask() {
        guard config.findsParents || serving != nil else { return }
        let now = endpoint.now
        for peer in endpoint.connected where now >= peer.gossip.nextAskAt {
            // Whoever neither was dialled by us nor has said who it is has nothing to tell.
            guard peer.parentIndex != nil || peer.gossip.recordIssuedAt > 0 else { continue }
            let request = UInt16(truncatingIfNeeded: secrets.next())
            guard endpoint.send(.getPeers(request: request, count: FrameLimits.peersMax), to: peer) else {
                return
            }
            peer.gossip.request = request
            peer.gossip.hasEverAsked = true
            peer.gossip.nextAskAt =
                now + (isHungry ? MembershipLimits.hungryAskInterval : MembershipLimits.askInterval)
        }
    }

    // MARK: Telling

    /// While we are full, those who are refused are told where else to ask.
    private func nameAlternatives() {
        guard let serving, serving.childrenFree == 0 else { return }
        let (now, wall) = (endpoint.now, wallMicroseconds)
        var chosen: [PeerTables.Entry] = []
        func fits(_ entry: PeerTables.Entry) -> Bool {
            guard let record = entry.record, record.role == .relay, record.childrenFree > 0,
                !entry.isExpired(wallMicroseconds: wall), entry.failures == 0,
                let reached = entry.lastSuccess, now - reached < MembershipLimits.freshness
            else { return false }
            return !chosen.contains { $0.key == entry.key }
                && chosen.count { $0.group == entry.group } < MembershipLimits.perGroupInAnswer
        }
        while chosen.count < FrameLimits.alternativesMax,
            let entry = tables.draw(tried: true, &secrets, where: fits)
        {
            chosen.append(entry)
        }
        serving.alternatives = chosen.map { AlternativePeer(key: $0.key.bytes32, address: $0.address) }
    }

    /// Whom a restarted node should ask first: parents in use, then others reached, few of one subnet.
    private func chooseAnchors() {
        nextAnchorsAt = endpoint.now + MembershipLimits.anchorInterval
        var chosen: [PeerTables.Entry] = []
        func add(_ entry: PeerTables.Entry) {
            guard entry.record != nil, entry.lastSuccess != nil, chosen.count < MembershipLimits.anchorsMax,
                !chosen.contains(where: { $0.key == entry.key }),
                chosen.count(where: { $0.group == entry.group })
                    < MembershipLimits.parentsPerGroup(of: MembershipLimits.anchorsMax)
            else { return }
            chosen.append(entry)
        }
        for link in following?.parents ?? [] where link.isUsable {
            if let key = link.endpoint.key, let entry = tables[key] { add(entry) }
        }
        for anchor in anchors { if let key = anchor.sessionKey, let entry = tables[key] { add(entry) } }
        tables.forEachTried { if $0.failures == 0 { add($0) } }
        let records = chosen.compactMap(\.record)
        guard records.map(\.key) != anchors.map(\.key) else { return }
        anchors = records
        endpoint.emit(.anchorsChanged(count: records.count))
    }
}

/// How many of a few addresses fall into each group. For short lists: a look is linear.
private struct SubnetGroupCount {
    private let groups: [SubnetGroup]
    init(_ addresses: [PeerAddress]) { groups = addresses.map { SubnetGroup($0) } }
    subscript(group: SubnetGroup) -> Int { groups.count { $0 == group } }
}

/// A node's part in the network of strangers: whom it knows, whom it asks, whom it takes as a parent, what it tells of itself
/// (Spec 65).
///
///     RECORD, PEERS, REFUSE ─▶ new ──dial, handshake, RECORD──▶ tried ──PLACE──▶ candidates ──selection──▶ Following.addParent
///                               ▲                                 │
///                        bootstrap, anchors                       └─▶ answers to GETPEERS, alternatives in REFUSE, anchors
///
/// Promises: an address that others told is neither used nor passed on before a session proved it and its owner's signed record
/// came through that session. No subnet holds more than its share of the tables, of an answer, or of the parents. Everything is
/// bounded (`MembershipLimits`) and follows from the seed.
///
/// The files: this one has state, time and what is heard; `MembershipTurn` what is done in turn. `PeerTables`, `ParentSelection`
/// and `PeerGossip` decide and hold; they know no session.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class Membership {
    let config: MembershipConfig
    let role: PeerRole
    let chainID: UInt64
    let epoch: UInt32
    let endpoint: Endpoint
    let following: Following?
    let serving: Serving?
    let ownKey: PublicKey

    var tables: PeerTables
    /// Draws that an attacker must not guess: whom to dial, take, tell of.
    var secrets: SecretStream
    /// Handshakes under way, in the order of their beginning.
    var dials: [(session: SessionID, key: PublicKey)] = []
    /// What is said of ourselves; nil when we are not listed.
    var ownRecord: PeerRecord?
    var ownHops: UInt8?
    /// Peers that were cut off, and until when they are not learned again.
    var shunned: [(key: PublicKey, until: Instant)] = []
    var anchors: [PeerRecord] = []
    var nextTurn: Instant
    var nextFeelerAt: Instant
    var nextAnchorsAt: Instant
    /// Whether parents or standbys are missing.
    var isHungry = false
    /// Ends a session: the node's business.
    var onClose: ((Peer) -> Void)?
    private let startedAt: Instant
    private let startMicroseconds: UInt64

    init(
        config: MembershipConfig, role: PeerRole, stream: StreamIdentity, endpoint: Endpoint,
        following: Following?, serving: Serving?, seed: Seed, now: Instant
    ) {
        if let key = config.recordKey {
            precondition(
                key.agreementKeys.publicKey == stream.identity.publicKey,
                "a record's key and the session key belong together")
        }
        self.config = config
        self.role = role
        chainID = stream.chainID
        epoch = stream.epoch
        self.endpoint = endpoint
        self.following = following
        self.serving = serving
        ownKey = stream.identity.publicKey
        tables = PeerTables(seed: seed)
        secrets = SecretStream(seed, purpose: "membership")
        startedAt = now
        startMicroseconds = stream.startMicroseconds
        nextTurn = now
        nextFeelerAt = now + MembershipLimits.feelerInterval
        nextAnchorsAt = now + MembershipLimits.anchorInterval
        learnFirst()
    }

    /// Bootstrap peers and anchors stand in *new* like anybody else's word, each as a source of its own.
    func learnFirst() {
        for seed in config.bootstrap {
            guard let key = seed.key, key != ownKey else { continue }
            _ = tables.learn(
                key, at: seed.address, record: nil, from: SubnetGroup(seed.address),
                wallMicroseconds: wallMicroseconds)
        }
        for record in config.anchors.prefix(MembershipLimits.anchorsMax) {
            guard isOurs(record), record.isGenuine, let key = record.sessionKey, key != ownKey else {
                continue
            }
            _ = tables.learn(
                key, at: record.address, record: record, from: SubnetGroup(record.address),
                wallMicroseconds: wallMicroseconds)
        }
    }

    /// Unix microseconds by our clock.
    var wallMicroseconds: UInt64 {
        let passed = UInt64(clamping: (endpoint.now - startedAt).microseconds)
        return min(startMicroseconds &+ passed, WireLimits.microsecondsMax)
    }

    /// Of this stream, and of a time that counts.
    func isOurs(_ record: PeerRecord) -> Bool {
        let wall = wallMicroseconds
        return record.chainID == chainID && record.epoch == epoch && record.expiresAtMicroseconds > wall
            && record.issuedAtMicroseconds <= wall + MembershipLimits.clockToleranceMicroseconds
    }

    // MARK: Sessions

    func established(_ peer: Peer) {
        guard config.isOn else { return }
        if let at = dials.firstIndex(where: { $0.session == peer.session }) {
            dials.remove(at: at)
            peer.gossip.dialledAt = endpoint.now
            peer.gossip.isReached = true
        }
        // A parent was dialled at the address that was configured or found.
        if peer.parentIndex != nil { peer.gossip.isReached = true }
        // A peer that was just met is worth a question, whoever began.
        peer.gossip.nextAskAt = endpoint.now
        introduce(to: peer)
        nextTurn = min(nextTurn, endpoint.now + MembershipLimits.hungryTurnInterval)
    }

    /// A handshake that never finished.
    func failed(_ session: SessionID) {
        guard let at = dials.firstIndex(where: { $0.session == session }) else { return }
        let key = dials.remove(at: at).key
        // Unless its own handshake came first and took the place of ours.
        if !endpoint.connected.contains(where: { $0.key == key.bytes32 }) {
            tables.failed(key, now: endpoint.now)
        }
    }

    /// A peer that broke the rules too often: forgotten, and not learned again soon.
    func shun(_ key: Hash32) {
        let key = PublicKey(key)
        tables.remove(key)
        shunned.removeAll { $0.until <= endpoint.now || $0.key == key }
        if shunned.count == MembershipLimits.shunnedMax { shunned.removeFirst() }
        shunned.append((key, endpoint.now + MembershipLimits.shunInterval))
    }

    func isShunned(_ key: PublicKey) -> Bool {
        shunned.contains { $0.key == key && $0.until > endpoint.now }
    }

    // MARK: Frames

    /// RECORD: the peer's own. Answers what is wrong with it.
    func record(_ bytes: RawSpan, from peer: Peer) -> Offence? {
        guard config.isOn else { return nil }
        let record: PeerRecord
        do throws(WireError) {
            record = try PeerRecord.decode(bytes)
        } catch { return error == .unknownVersion ? nil : .malformedFrame }
        guard isOurs(record), record.issuedAtMicroseconds > peer.gossip.recordIssuedAt else { return nil }
        guard peer.gossip.records.take(now: endpoint.now) else { return nil }
        // Nobody may speak for another here: what others say of themselves comes in PEERS.
        guard let key = record.sessionKey, key.bytes32 == peer.key, record.isGenuine else {
            return .invalidRecord
        }
        peer.gossip.recordIssuedAt = record.issuedAtMicroseconds
        peer.gossip.childrenFree = record.childrenFree
        if record.address == peer.address || record.secondAddress == peer.address {
            peer.gossip.isReached = true
        }
        note(record, of: peer)
        nextTurn = min(nextTurn, endpoint.now + MembershipLimits.hungryTurnInterval)
        return nil
    }

    /// What a peer said of itself counts as tried when its address is proven, and else as told.
    private func note(_ record: PeerRecord, of peer: Peer) {
        guard record.role != .replica, !isShunned(PublicKey(peer.key)) else { return }
        guard let scope = AddressScope(record.address), let heard = AddressScope(peer.address),
            scope.isCredible(from: heard)
        else { return }
        let source = SubnetGroup(peer.address)
        let key = PublicKey(peer.key)
        if peer.gossip.isReached {
            tables.reached(
                record, key: key, from: source, now: endpoint.now, wallMicroseconds: wallMicroseconds)
        } else {
            _ = tables.learn(
                key, at: record.address, record: record, from: source, wallMicroseconds: wallMicroseconds)
        }
    }

    func place(hops: UInt8?, childrenFree: UInt16, from peer: Peer) {
        peer.gossip.hops = hops
        peer.gossip.childrenFree = childrenFree
        peer.gossip.hasToldPlace = true
        nextTurn = min(nextTurn, endpoint.now + MembershipLimits.hungryTurnInterval)
    }

    /// GETPEERS. Answers what is wrong with it.
    func getPeers(request: UInt16, count: Int, from peer: Peer) -> Offence? {
        guard config.isOn else { return nil }
        guard peer.gossip.answers.take(now: endpoint.now) else {
            peer.gossip.surplus += 1
            endpoint.statistics.peerRequestsRefused &+= 1
            if peer.gossip.surplus < MembershipLimits.surplusMax { return nil }
            peer.gossip.surplus = 0
            return .flood
        }
        var bytes: [UInt8] = []
        let records = sample(min(count, FrameLimits.peersMax), for: peer)
        for record in records { record.encode(into: &bytes) }
        endpoint.sendControl(room: FrameWriter.peersOverhead + bytes.count, to: peer) { writer in
            bytes.withUnsafeBytes { writer.appendPeers($0, count: records.count, answering: request) }
        }
        return nil
    }

    /// Verified relays drawn for somebody who asks: newcomers first for their places, then by bucket, few of one subnet.
    func sample(_ count: Int, for peer: Peer) -> [PeerRecord] {
        guard let scope = AddressScope(peer.address) else { return [] }
        let (now, wall, asker) = (endpoint.now, wallMicroseconds, PublicKey(peer.key))
        var chosen: [PeerTables.Entry] = []
        func fits(_ entry: PeerTables.Entry) -> Bool {
            guard let record = entry.record, record.role == .relay, entry.key != asker,
                !entry.isExpired(wallMicroseconds: wall), entry.failures == 0,
                let reached = entry.lastSuccess, now - reached < MembershipLimits.freshness,
                let reach = AddressScope(entry.address), reach.isCredible(from: scope)
            else { return false }
            return !chosen.contains { $0.key == entry.key }
                && chosen.count { $0.group == entry.group } < MembershipLimits.perGroupInAnswer
        }
        while chosen.count < min(count, MembershipLimits.newcomersInAnswer),
            let entry = tables.draw(
                tried: true, &secrets,
                where: { fits($0) && now - ($0.reachedAt ?? now) < MembershipLimits.newcomerAge })
        {
            chosen.append(entry)
        }
        while chosen.count < count, let entry = tables.draw(tried: true, &secrets, where: fits) {
            chosen.append(entry)
        }
        return chosen.compactMap(\.record)
    }

    /// PEERS. Answers what is wrong with it.
    func peers(request: UInt16, count: Int, _ bytes: RawSpan, from peer: Peer) -> Offence? {
        guard config.isOn, peer.gossip.hasEverAsked else { return .unexpectedFrame }
        // A late answer to an earlier question, or a second one to the same.
        guard peer.gossip.request == request else { return nil }
        peer.gossip.request = nil
        let records: [PeerRecord]
        do throws(WireError) {
            records = try PeerRecord.decodeAll(bytes, count: count)
        } catch { return error == .unknownVersion ? nil : .malformedFrame }
        guard let heard = AddressScope(peer.address) else { return nil }
        for record in records {
            guard isOurs(record), record.role != .replica, let scope = AddressScope(record.address),
                scope.isCredible(from: heard)
            else { continue }
            // Whoever passes a record on has verified it.
            guard let key = record.sessionKey, record.isGenuine else { return .invalidRecord }
            if key == ownKey || isShunned(key) { continue }
            let learned = tables.learn(
                key, at: record.address, record: record, from: SubnetGroup(peer.address),
                wallMicroseconds: wallMicroseconds)
            if learned == .added { nextTurn = min(nextTurn, endpoint.now) }
        }
        return nil
    }

    /// A parent has no room: those it names are tried as any others that were told, and it is left alone for a while.
    func refused(alternatives: [AlternativePeer], retryAfterMilliseconds: UInt32, by peer: Peer) {
        guard config.findsParents else { return }
        let pause = Int64(min(max(retryAfterMilliseconds, 5_000), 60_000))
        peer.gossip.refusedUntil = endpoint.now + .milliseconds(pause)
        guard let heard = AddressScope(peer.address) else { return }
        for alternative in alternatives.prefix(FrameLimits.alternativesMax) {
            let key = PublicKey(alternative.key)
            guard key != ownKey, !isShunned(key), let scope = AddressScope(alternative.address),
                scope.isCredible(from: heard)
            else { continue }
            _ = tables.learn(
                key, at: alternative.address, record: nil, from: SubnetGroup(peer.address),
                wallMicroseconds: wallMicroseconds)
        }
        if let following, let i = peer.parentIndex, following.parents[i].isDiscovered {
            following.removeParent(i, now: endpoint.now)
        }
        nextTurn = min(nextTurn, endpoint.now)
    }

    // MARK: Telling

    /// Tells a peer what it has not been told yet: our record, and our place in the stream.
    func introduce(to peer: Peer) {
        if let ownRecord, peer.gossip.toldRecordIssuedAt < ownRecord.issuedAtMicroseconds {
            let bytes = ownRecord.encoded
            let isSent = endpoint.sendControl(room: 2 + bytes.count, to: peer) { writer in
                bytes.withUnsafeBytes { writer.appendRecord($0) }
            }
            if isSent { peer.gossip.toldRecordIssuedAt = ownRecord.issuedAtMicroseconds }
        }
        guard let childrenFree else { return }
        // A few children more or less are no news; none, or some again, are.
        let isNews =
            peer.gossip.toldChildrenFree.map { ($0 == 0) != (childrenFree == 0) } ?? true
        guard isNews || peer.gossip.toldHops != ownHops else { return }
        if endpoint.send(.place(hops: ownHops, childrenFree: childrenFree), to: peer) {
            peer.gossip.toldHops = ownHops
            peer.gossip.toldChildrenFree = childrenFree
        }
    }

    /// How many more children we would take; nil when we serve none.
    var childrenFree: UInt16? { serving.map { UInt16(clamping: $0.childrenFree) } }

    var nextDeadline: Instant { config.isOn ? nextTurn : .distantFuture }

    func count(into statistics: inout CoreStatistics) {
        statistics.peersKnown = UInt64(tables.newCount + tables.triedCount)
        statistics.peersReached = UInt64(tables.triedCount)
        statistics.parentsFound = UInt64(
            following?.parents.count { $0.isDiscovered && $0.isUsable } ?? 0)
        statistics.hops = UInt64(ownHops ?? 0)
    }
}

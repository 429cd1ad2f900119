/// What the three cores share: sessions in, frames to the parent's half (`Serving`) and the child's half (`Following`),
/// outputs and deadlines out. A sequencer has no `Following`, a replica no `Serving`, a relay both, over one store.
///
///                    ┌──────────────── StreamNode ────────────────┐
///     datagram ─▶ SessionTable ─▶ frames ─┬─▶ Serving ─▶ children  │
///                    │                    └─▶ Following ─▶ parents │ ─▶ datagrams, events
///                    └─────────── SliceStore in common ───────────┘
///
/// Frames are dealt out in `StreamNodeFrames`. Drives time: `handleTimeout` gives every part its turn; `pump`, called when the
/// shell drains outputs, turns queued shreds into datagrams.

import MillraceBase
import MillraceCrypto
import MillraceWire

final class StreamNode {
    static let pingInterval = Interval.seconds(1)
    static let quickPings = 4
    static let quickPingInterval = Interval.milliseconds(100)
    static let statusInterval = Interval.milliseconds(200)

    let endpoint: Endpoint
    let store: SliceStore
    /// Windows of the coarser cadences; nil where none are kept.
    let windows: WindowStore?
    let serving: Serving?
    let following: Following?
    let membership: Membership
    let evidence: EvidenceFlood
    var nextPeerTurn: Instant
    private var nextStatusAt: Instant
    /// Tokens that nobody can guess.
    private var pathTokens: SecretStream
    /// Where the datagram at hand came from.
    private var source = PeerAddress.unspecified
    /// A router marked it.
    private var isMarked = false

    init(
        stream: StreamIdentity, store: SliceStore, windows: WindowStore? = nil, seed: Seed, now: Instant,
        sequencerKey: VerifyingKey, serving: ServingConfig?, membership: MembershipConfig,
        following: (Endpoint) -> Following?
    ) {
        var config = SessionConfig(
            identity: stream.identity, prologue: SessionConfig.prologue(chainID: stream.chainID),
            startMicroseconds: stream.startMicroseconds)
        config.handshakeTimeout = ParentLink.connectTimeout * 2
        config.leavesDatagramsOpen = stream.payloads == .byReference
        endpoint = Endpoint(
            sessions: SessionTable(config: config, seed: seed, now: now), payloads: stream.payloads,
            datagramBytesMax: serving?.datagramBytesMax ?? Limits.datagramBytesMax, now: now)
        self.store = store
        self.windows = windows
        self.serving = serving.map { [endpoint] in
            Serving(config: $0, endpoint: endpoint, store: store, windows: windows)
        }
        self.following = following(endpoint)
        let role: PeerRole = self.following == nil ? .sequencer : serving == nil ? .replica : .relay
        self.membership = Membership(
            config: membership, role: role, stream: stream, endpoint: endpoint, following: self.following,
            serving: self.serving, seed: seed, now: now)
        pathTokens = SecretStream(seed, purpose: "paths")
        nextPeerTurn = now
        nextStatusAt = now
        evidence = EvidenceFlood(endpoint: endpoint, stream: stream, sequencerKey: sequencerKey)
        self.following?.onProof = { [evidence] in evidence.found($0) }
        self.membership.onClose = { [unowned self] in close($0, with: .shuttingDown) }
        if let serving = self.serving, let following = self.following {
            following.stripesWanted = { serving.stripesOwed }
            following.onNews = { news in
                if let record = news.headerOf { serving.forwardHeader(record) }
                if let record = news.record { serving.forward(record, news.shreds) }
            }
        }
    }

    // MARK: In

    func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, isMarked: Bool = false,
        now: Instant
    ) {
        endpoint.advance(to: now)
        endpoint.statistics.datagramsReceived &+= 1
        if isMarked { endpoint.statistics.datagramsMarked &+= 1 }
        let received = endpoint.open(datagram, from: address)
        drainSessionEvents()
        switch received {
        case .handshake:
            endpoint.statistics.received.session &+= UInt64(datagram.count)
        case .ignored:
            endpoint.statistics.datagramsIgnored &+= 1
            endpoint.statistics.received.ignored &+= UInt64(datagram.count)
        case .frames(let session, let range):
            source = address
            self.isMarked = isMarked
            let isTaken: Void? = endpoint.ask(session) { take(datagram, range, from: $0) }
            if isTaken == nil { endpoint.statistics.received.ignored &+= UInt64(datagram.count) }
        }
    }

    /// A genuine datagram, its frames at `range`.
    private func take(_ datagram: UnsafeMutableRawBufferPointer, _ range: Range<Int>, from peer: Peer) {
        let number = endpoint.sessions.lastOpened
        let before = peer.bytesReceived
        peer.lastReceivedAt = endpoint.now
        if peer.parentIndex != nil { following?.noteFlow(now: endpoint.now) }
        peer.bytesReceived &+= UInt64(datagram.count)
        endpoint.statistics.received.session &+= UInt64(datagram.count - range.count)
        frames(UnsafeRawBufferPointer(rebasing: datagram[range]), from: peer)
        // Symbols by reference count too.
        if peer.parentIndex != nil {
            arrived(number, bytes: Int(peer.bytesReceived &- before), from: peer)
        }
    }

    /// A parent is told what came of what it sends (Spec 55.3).
    private func arrived(_ number: DatagramNumber, bytes: Int, from peer: Peer) {
        peer.arrivals.came(
            key: number.key, counter: number.counter, bytes: bytes,
            isBusy: following?.isBusy(now: endpoint.now) ?? false, isMarked: isMarked, now: endpoint.now)
        following?.line.came(bytes: bytes, now: endpoint.now)
        if peer.arrivals.isDue(now: endpoint.now) {
            endpoint.send(.feedback(peer.arrivals.feedback(now: endpoint.now)), to: peer)
        }
    }

    // MARK: Paths

    /// The peer's datagrams come from another address. Nothing but a question goes there before it is answered.
    private func probe(_ peer: Peer, at address: PeerAddress) {
        guard endpoint.now >= peer.pathBlockedUntil else { return }
        var path = peer.path ?? PathProbe(address: address, token: pathToken())
        if path.address != address { path = PathProbe(address: address, token: pathToken()) }
        guard endpoint.now >= path.nextAt, path.attempts < AdmissionLimits.pathProbesMax else { return }
        path.attempts += 1
        path.nextAt = endpoint.now + AdmissionLimits.pathProbeInterval
        peer.path = path
        endpoint.sendProbe(path.token, to: peer, at: address)
    }

    private func pathToken() -> UInt32 { UInt32(truncatingIfNeeded: pathTokens.next()) }

    /// PONG with a token that no PING to the peer's own address has.
    func answeredProbe(_ token: UInt32, _ peer: Peer) {
        guard let path = peer.path, source == path.address else { return }
        peer.path = nil
        if token == path.token {
            endpoint.statistics.pathsMoved &+= 1
            endpoint.sessions.move(peer.session, to: path.address, now: endpoint.now)
            drainSessionEvents()
        } else {
            // A guess. One in a second finds the token in a hundred years.
            peer.pathBlockedUntil = endpoint.now + .seconds(1)
        }
    }

    // MARK: Sessions

    func drainSessionEvents() {
        while let event = endpoint.sessions.nextEvent() {
            switch event {
            case .established(let id, let key, let address):
                established(id, key, address)
            case .closed(let id, _):
                if let peer = endpoint.peer(id) {
                    disconnected(peer)
                } else {
                    following?.failed(id, now: endpoint.now)
                    membership.failed(id)
                }
            case .pathSeen(let id, let address):
                if let peer = endpoint.peer(id) { probe(peer, at: address) }
            case .addressChanged(let id, let address):
                guard let peer = endpoint.peer(id) else { break }
                peer.address = address
                peer.mtu.pathChanged(now: endpoint.now)
                endpoint.setDatagramBytes(peer.mtu.size, for: peer)
            }
        }
    }

    private func established(_ id: SessionID, _ key: PublicKey, _ address: PeerAddress) {
        if endpoint.scores.isBanned(key.bytes32, now: endpoint.now) {
            endpoint.sessions.close(id, now: endpoint.now)
            following?.failed(id, now: endpoint.now)
            membership.failed(id)
            return
        }
        let score = endpoint.scores.score(of: key.bytes32, now: endpoint.now)
        let peer = Peer(
            session: id, key: key.bytes32, address: address, score: score,
            datagramBytesMax: endpoint.datagramBytesMax, now: endpoint.now)
        if let sample = endpoint.sessions.rttEstimate(of: id) { peer.roundTrip.add(sample) }
        endpoint.add(peer)
        endpoint.emit(.peerUp(address, key: key.bytes32))
        _ = following?.established(peer, now: endpoint.now)
        membership.established(peer)
        evidence.established(peer)
        nextPeerTurn = min(nextPeerTurn, endpoint.now)
    }

    private func disconnected(_ peer: Peer) {
        endpoint.remove(peer)
        serving?.disconnected(peer)
        following?.disconnected(peer, now: endpoint.now)
        endpoint.emit(.peerDown(peer.address))
    }

    func close(_ peer: Peer, with code: CloseCode?) {
        if let code {
            endpoint.send(.close(code), to: peer)
            endpoint.flush()
        }
        endpoint.sessions.close(peer.session, now: endpoint.now)
        disconnected(peer)
    }

    func closeAll(now: Instant) {
        endpoint.advance(to: now)
        for peer in endpoint.connected { endpoint.send(.close(.shuttingDown), to: peer) }
        endpoint.flush()
    }

    // MARK: Time

    func handleTimeout(now: Instant) {
        endpoint.advance(to: now)
        if following != nil { endpoint.scores.called(now: endpoint.now) }
        endpoint.sessions.handleTimeout(now: endpoint.now)
        drainSessionEvents()
        following?.handleTimeout(now: endpoint.now)
        membership.handleTimeout()
        evidence.handleTimeout()
        if endpoint.scores.isDue(now: endpoint.now) { takeScoreTurn() }
        if endpoint.now >= nextPeerTurn { takePeerTurn() }
        if endpoint.now >= nextStatusAt { tellParents() }
    }

    /// Brings scores up to date; those that say so end a session.
    private func takeScoreTurn() {
        for peer in following?.takeScoreTurn(now: endpoint.now) ?? [] { ban(peer) }
        for peer in endpoint.connected where peer.isFlooding { peer.isFlooding = false }
    }

    /// Pings whose time has come.
    private func takePeerTurn() {
        var next = endpoint.now + StreamNode.pingInterval
        for peer in endpoint.connected {
            if endpoint.now >= peer.nextPingAt {
                peer.pingToken &+= 1
                peer.pingSentAt = endpoint.now
                peer.pingsSent = min(peer.pingsSent + 1, 1_000)
                let isQuick = peer.pingsSent < StreamNode.quickPings
                peer.nextPingAt =
                    endpoint.now
                    + (isQuick
                        ? max(StreamNode.quickPingInterval, peer.roundTrip.current) : StreamNode.pingInterval)
                endpoint.send(.ping(peer.pingToken), to: peer)
            }
            next = min(next, peer.nextPingAt)
            if peer.child != nil { next = min(next, lookFurther(peer)) }
        }
        nextPeerTurn = next
    }

    /// Asks whether the way to a child carries longer datagrams, when that is due; answers when it is next.
    private func lookFurther(_ peer: Peer) -> Instant {
        guard endpoint.now >= peer.mtu.nextAt else { return peer.mtu.nextAt }
        let token = pathToken()
        let bytes = peer.mtu.question(token: token, timeout: peer.roundTrip.timeout, now: endpoint.now)
        endpoint.setDatagramBytes(peer.mtu.size, for: peer)
        if let bytes { endpoint.sendLong(token, bytes: bytes, to: peer) }
        return peer.mtu.nextAt
    }

    /// A follower tells its parents how far it is: the sequencer knows when everything has arrived.
    func tellParents() {
        guard let following else {
            nextStatusAt = endpoint.now + .seconds(3_600)
            return
        }
        nextStatusAt = endpoint.now + StreamNode.statusInterval
        for i in following.parents.indices where following.parents[i].isConnected {
            if let peer = following.peer(i) { endpoint.send(.status(status), to: peer) }
        }
    }

    /// What this node tells of itself.
    var status: StreamStatus {
        guard let following else { return StreamStatus() }
        return StreamStatus(
            tip: following.headerTip, completeThrough: following.completeThrough, floor: store.floor,
            ended: following.endHeight != nil,
            servesWindows: windows != nil && following.windowService == .served)
    }

    var nextDeadline: Instant? {
        var deadline = min(nextPeerTurn, nextStatusAt)
        if let sessions = endpoint.sessions.nextDeadline { deadline = min(deadline, sessions) }
        if let serving = serving?.nextDeadline { deadline = min(deadline, serving) }
        if let following { deadline = min(deadline, following.nextDeadline) }
        return min(min(deadline, membership.nextDeadline), evidence.nextDeadline)
    }

    // MARK: Out

    /// Turns what is queued into datagrams.
    func pump() {
        if let serving {
            if following != nil { serving.status = status }
            serving.pump()
        }
        endpoint.flush()
        endpoint.flushSessions()
    }

    var statistics: CoreStatistics {
        var all = endpoint.statistics
        all.retentionFloor = store.floor
        all.retainedBytes = UInt64(store.bytes)
        membership.count(into: &all)
        all.localFaults = UInt64(endpoint.scores.faults)
        all.cookiesSent = endpoint.sessions.counters.cookiesSent
        all.sessionsCrowdedOut = endpoint.sessions.counters.sessionsCrowdedOut
        if let following {
            all.completeThrough = following.completeThrough
            all.tip = following.tip
        }
        return all
    }

    private func report(of peer: Peer) -> ScoreReport {
        var score = peer.score
        score.advance(to: endpoint.now)
        return score.report(peer.parentIndex.flatMap { following?.comparison(for: $0) } ?? .init())
    }

    var peers: [PeerReport] {
        endpoint.connected.map { peer in
            let link = peer.parentIndex.flatMap { following?.parents[$0] }
            return PeerReport(
                address: peer.address, key: peer.key, isParent: link.map { !$0.isNeighbour } ?? false,
                isNeighbour: link?.isNeighbour ?? false,
                isChild: peer.child != nil,
                stripesFrom: link?.stripes.count ?? 0, stripesTo: peer.child?.terms.stripes.count ?? 0,
                roundTripMicroseconds: peer.roundTrip.isMeasured ? peer.roundTrip.smoothed.microseconds : 0,
                completeThrough: peer.status.completeThrough, bytesReceived: peer.bytesReceived,
                bytesSent: peer.bytesSent,
                shredsQueued: peer.child?.waiting ?? 0, shredsDropped: peer.child?.dropped ?? 0,
                offences: peer.offences,
                isSilent: link.map { !$0.isUsable && !$0.isNeighbour } ?? false,
                isDiscovered: link?.isDiscovered ?? false,
                score: report(of: peer))
        }
    }
}

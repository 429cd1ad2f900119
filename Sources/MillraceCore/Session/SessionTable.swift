/// All sessions of a node over one UDP socket: handshakes, keys, replay windows, addresses, timers. Sans-IO: datagrams and
/// time come in, datagrams, events and deadlines go out. (Spec 50)
///
/// Mutate once (`connect`, `receive`, `seal`, `handleTimeout`, `close`), then drain `nextEvent()` and `nextDatagram(into:)`,
/// then look at `nextDeadline`.
///
/// - Data is decrypted where the caller's bytes lie and encrypted where they lie; neither path allocates.
/// - Any datagram from anywhere gives a `Received`; none traps, and none that is not genuine changes a session.
/// - Bounds: `sessionsMax` slots, three keys each, one pending handshake each, `halfOpenMax` of them begun by strangers,
///   `handshakesPerSecondMax` answered, so many sessions per host and neighbourhood. `AdmissionLimits` adds up the memory.
/// - Each key has its own connection id, so a datagram names its key and nothing is tried twice.
///
/// Handshakes scan the slots for a peer's key (10 µs at 4,096) beside Diffie-Hellman's 200 µs; a map would be one more thing
/// to keep in step.

public import MillraceBase
public import MillraceCrypto

public final class SessionTable {
    /// In front of the plaintext: the receiver's connection id and the counter's low half.
    public static let headerBytes = 8
    /// Behind it.
    public static let tagBytes = SealingKey.tagBytes
    public static let overheadBytes = headerBytes + tagBytes

    let config: SessionConfig
    let startedAt: Instant
    /// The latest `now`.
    var clock: Instant
    var secrets: SecretStream
    var sessions: [Session] = []
    var pending: [PendingHandshake?] = []
    var freeSlots: [Int] = []
    /// Slots whose handshake a stranger began, oldest first.
    var halfOpen: [Int] = []
    var store = SessionKeyStore()
    var budget: HandshakeBudget
    var seen: SeenTimestamps
    var cookies: CookieGuard
    /// Keys that are refused until then, the oldest first.
    var refused: [(key: PublicKey, until: Instant)] = []
    var lastTimestamp: UInt64 = 0
    let mac1KeyOfOurs: Hash32
    let mac1KeyOfNobody: Hash32
    /// No timer is due before this. May be early, never late.
    var soonest = Instant.distantFuture
    private var events: Ring<SessionEvent>
    private var work: Ring<UInt32>
    public internal(set) var counters = SessionCounters()
    /// The connection id and counter of the last data datagram taken, and of the last one sealed: the link layer counts
    /// datagrams by them (Spec 55.2).
    private(set) var lastOpened = DatagramNumber()
    private(set) var lastSealed = DatagramNumber()

    public init(config: SessionConfig, seed: Seed, now: Instant) {
        precondition(config.sessionsMax > 0 && config.sessionsMax <= 16_384, "sessionsMax is 1…16,384")
        precondition(config.halfOpenMax > 0, "halfOpenMax is at least 1")
        self.config = config
        startedAt = now
        clock = now
        secrets = SecretStream(seed, purpose: "sessions")
        budget = HandshakeBudget(perSecond: config.handshakesPerSecondMax, now: now)
        seen = SeenTimestamps(key: SipHash24(secrets.next(), secrets.next()))
        cookies = CookieGuard(config: config, key: SipHash24(secrets.next(), secrets.next()), now: now)
        mac1KeyOfOurs = HandshakeWire.mac1Key(to: config.identity.publicKey, prologue: config.prologue)
        mac1KeyOfNobody = HandshakeWire.mac1Key(to: .unknown, prologue: config.prologue)
        events = Ring(minimumCapacity: 64 + 2 * config.sessionsMax)
        work = Ring(minimumCapacity: config.sessionsMax)
    }

    // MARK: Asking

    /// The place of an established session's name, or nil.
    func slot(of id: SessionID) -> Int? {
        let slot = Int(id.index)
        guard slot < sessions.count, sessions[slot].state != .free, sessions[slot].generation == id.generation
        else {
            return nil
        }
        return slot
    }

    func id(of slot: Int) -> SessionID {
        SessionID(index: UInt32(slot), generation: sessions[slot].generation)
    }

    public var publicKey: PublicKey { config.identity.publicKey }
    public func isEstablished(_ id: SessionID) -> Bool {
        slot(of: id).map { sessions[$0].state == .established } ?? false
    }
    public func address(of id: SessionID) -> PeerAddress? { slot(of: id).map { sessions[$0].address } }
    public func peerKey(of id: SessionID) -> PublicKey? {
        slot(of: id).flatMap { sessions[$0].peer == .unknown ? nil : sessions[$0].peer }
    }
    /// The round trip of the handshake, when it needed no retry.
    public func rttEstimate(of id: SessionID) -> Interval? {
        slot(of: id).flatMap { sessions[$0].handshakeRTT }
    }
    /// Which of the peer's datagrams came, by their numbers.
    public func arrivals(of id: SessionID) -> SessionArrivals? { slot(of: id).map { sessions[$0].arrivals } }
    public var sessionCount: Int { sessions.count - freeSlots.count }
    public var establishedCount: Int { sessions.count { $0.state == .established } }

    // MARK: Data

    /// Takes a datagram, decrypting it in place. Drain events before looking at frames: the datagram that establishes a
    /// session may carry the first of them. Bytes of a datagram that was ignored may be gone.
    public func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from: PeerAddress, now: Instant
    ) -> Received {
        clock = max(clock, now)
        let received = take(datagram, from: from)
        if case .ignored(let reason) = received {
            counters.ignored += 1
            if reason == .replay { counters.ignoredAsReplay += 1 }
            if reason == .notGenuine { counters.ignoredAsNotGenuine += 1 }
        }
        return received
    }

    private func take(_ datagram: UnsafeMutableRawBufferPointer, from: PeerAddress) -> Received {
        guard datagram.count >= Self.overheadBytes, let base = datagram.baseAddress else {
            return .ignored(.badLength)
        }
        guard eventRoom > 8 else { return .ignored(.backlog) }
        let receiver = UInt32(littleEndian: base.loadUnaligned(as: UInt32.self))
        if receiver < 1 << 16 {
            guard datagram.count <= HandshakeWire.datagramBytesMax else { return .ignored(.badLength) }
            return takeHandshake(Array(datagram), from: from)
        }
        guard let place = store.place(of: receiver) else { return .ignored(.unknownConnection) }
        guard store[place].state == .live else { return .ignored(.notReady) }
        guard clock - store[place].createdAt < config.keyLifetime else { return .ignored(.expiredKeys) }
        let low = UInt32(littleEndian: base.loadUnaligned(fromByteOffset: 4, as: UInt32.self))
        let counter = store[place].window.counter(fromLow: low)
        guard store.isNew(counter, at: place) else { return .ignored(.replay) }
        let sealedBytes = datagram.count - Self.headerBytes
        guard
            config.leavesDatagramsOpen
                || store[place].receiving.open(
                    base + Self.headerBytes, count: sealedBytes, counter: counter, ad: base,
                    adCount: Self.headerBytes)
        else { return .ignored(.notGenuine) }
        let before = store[place].window.next
        let isGreatest = store.mark(counter, at: place)
        counters.datagramsOpened += 1
        lastOpened = DatagramNumber(key: receiver, counter: counter)
        let slot = Int(store[place].slot)
        let isSettled = sessions[slot].came(
            expected: store[place].window.next - before, under: place, from: from, at: clock)
        guard isSettled || noteGenuine(slot: slot, place: place, from: from, isGreatest: isGreatest) else {
            return .ignored(.crowded)
        }
        return .frames(id(of: slot), range: Self.headerBytes..<(datagram.count - Self.tagBytes))
    }

    /// A genuine datagram came under the keys at `place`. False when its session is one too many and gone.
    private func noteGenuine(slot: Int, place: Int, from: PeerAddress, isGreatest: Bool) -> Bool {
        if sessions[slot].next == place {
            // The initiator uses the new keys, so we may too. The old ones stay for what is under way.
            if let old = sessions[slot].previous { store.release(old) }
            sessions[slot].previous = sessions[slot].current
            sessions[slot].current = place
            sessions[slot].next = nil
            sessions[slot].isRekeyDue = false
            sessions[slot].isConfirmed = true
            dropPending(slot)
            counters.rekeys += 1
            sessions[slot].arrivals.rekeys &+= 1
            want(keepalive: slot)
        } else if sessions[slot].current == place, !sessions[slot].isConfirmed {
            sessions[slot].isConfirmed = true
            dropPending(slot)
            if sessions[slot].state == .answering {
                // The response went to `address`, and whoever has the keys has received it there. `from` proves nothing.
                if isCrowded(slot) {
                    counters.sessionsCrowdedOut += 1
                    release(slot)
                    return false
                }
                establish(slot)
                want(keepalive: slot)
            }
        }
        if isGreatest, sessions[slot].current == place, sessions[slot].address != from,
            clock >= sessions[slot].pathNewsAt
        {
            sessions[slot].pathNewsAt = clock + Self.pathNewsInterval
            emit(.pathSeen(id(of: slot), from))
        }
        return true
    }

    /// An address that is not proven makes news this often: a probe of some 30 bytes for every ten a second.
    static let pathNewsInterval = Interval.milliseconds(100)

    /// The peer has shown that it receives at `address`: the session moves there.
    public func move(_ id: SessionID, to address: PeerAddress, now: Instant) {
        clock = max(clock, now)
        guard let slot = slot(of: id), sessions[slot].state == .established,
            sessions[slot].address != address
        else { return }
        sessions[slot].address = address
        emit(.addressChanged(id, address))
    }

    /// Refuses handshakes of this key until then. Sessions that stand are the caller's to close.
    public func refuse(_ key: PublicKey, until: Instant) {
        refused.removeAll { $0.key == key || $0.until <= clock }
        if refused.count == AdmissionLimits.refusedKeysMax { refused.removeFirst() }
        refused.append((key, until))
    }

    /// Whether one more session at this slot's address would be too many of one host or neighbourhood.
    func isCrowded(_ slot: Int) -> Bool {
        let (address, peer) = (sessions[slot].address, sessions[slot].peer)
        if AddressGroup.isLocal(address) || config.knownPeers.contains(peer) { return false }
        let (host, neighbourhood) = (AddressGroup.host(address), AddressGroup.neighbourhood(address))
        var (hosts, neighbours) = (0, 0)
        for other in sessions.indices
        where other != slot && sessions[other].state == .established && sessions[other].peer != peer {
            guard AddressGroup.neighbourhood(sessions[other].address) == neighbourhood else { continue }
            neighbours += 1
            if AddressGroup.host(sessions[other].address) == host { hosts += 1 }
        }
        return hosts >= config.sessionsPerHostMax || neighbours >= config.sessionsPerNeighbourhoodMax
    }

    /// Encrypts `plaintextCount` bytes that lie at `headerBytes` of the buffer and gives the datagram's length. Nil when
    /// the session is gone or not established, or the buffer is too small.
    public func seal(
        _ buffer: UnsafeMutableRawBufferPointer, plaintextCount: Int, for id: SessionID, now: Instant
    ) -> Int? {
        clock = max(clock, now)
        guard let slot = slot(of: id), sessions[slot].state == .established else { return nil }
        return seal(buffer, plaintextCount: plaintextCount, slot: slot)
    }

    func seal(_ buffer: UnsafeMutableRawBufferPointer, plaintextCount: Int, slot: Int) -> Int? {
        guard plaintextCount >= 0, plaintextCount <= buffer.count - Self.overheadBytes,
            let base = buffer.baseAddress,
            let place = sessions[slot].current, clock - store[place].createdAt < config.keyLifetime
        else { return nil }
        let counter = store[place].nextCounter
        guard counter < ReplayWindow.counterLimit else { return nil }
        store[place].nextCounter = counter + 1
        lastSealed = DatagramNumber(key: store[place].remoteID, counter: counter)
        base.storeBytes(of: store[place].remoteID.littleEndian, as: UInt32.self)
        base.storeBytes(
            of: UInt32(truncatingIfNeeded: counter).littleEndian, toByteOffset: 4, as: UInt32.self)
        if !config.leavesDatagramsOpen {
            store[place].sending.seal(
                base + Self.headerBytes, count: plaintextCount, counter: counter, ad: base,
                adCount: Self.headerBytes)
        }
        sessions[slot].lastSent = clock
        if counter == config.rekeyAfterDatagrams {
            sessions[slot].isRekeyDue = true
            schedule(clock)
        }
        counters.datagramsSealed += 1
        counters.overheadBytesSent += UInt64(Self.overheadBytes)
        return plaintextCount + Self.overheadBytes
    }

    // MARK: Outputs

    public func nextEvent() -> SessionEvent? { events.popFirst() }

    /// Whether `nextDatagram` may have something.
    var hasDatagrams: Bool { !work.isEmpty || cookies.hasReplies }

    /// The next handshake message or keepalive, written to `buffer`, which must hold 152 bytes.
    public func nextDatagram(into buffer: UnsafeMutableRawBufferPointer) -> (count: Int, to: PeerAddress)? {
        precondition(
            buffer.count >= HandshakeWire.datagramBytesMax, "a handshake datagram has up to 152 bytes")
        if let reply = cookies.popReply() {
            buffer.copyBytes(from: reply.bytes)
            counters.cookiesSent += 1
            counters.overheadBytesSent += UInt64(reply.bytes.count)
            return (reply.bytes.count, reply.to)
        }
        while let entry = work.popFirst() {
            let slot = Int(entry)
            sessions[slot].isQueued = false
            if sessions[slot].wantsHandshake {
                sessions[slot].wantsHandshake = false
                if sessions[slot].wantsKeepalive { enqueue(slot) }
                guard let handshake = pending[slot] else { continue }
                buffer.copyBytes(from: handshake.datagram)
                counters.overheadBytesSent += UInt64(handshake.datagram.count)
                return (handshake.datagram.count, handshake.address)
            }
            if sessions[slot].wantsKeepalive {
                sessions[slot].wantsKeepalive = false
                guard sessions[slot].state == .established else { continue }
                guard let count = seal(buffer, plaintextCount: 0, slot: slot) else { continue }
                return (count, sessions[slot].address)
            }
        }
        return nil
    }

    /// When `handleTimeout` has something to do; nil when never. May be early.
    public var nextDeadline: Instant? { soonest == .distantFuture ? nil : soonest }

    func emit(_ event: SessionEvent) {
        // `receive` leaves room for its events and `handleTimeout` stops when there is none, so this holds.
        let hasRoom = events.append(event)
        assert(hasRoom, "session events were not drained")
    }

    var eventRoom: Int { events.capacity - events.count }

    func want(keepalive slot: Int) {
        sessions[slot].wantsKeepalive = true
        enqueue(slot)
    }

    func want(handshake slot: Int) {
        sessions[slot].wantsHandshake = true
        enqueue(slot)
    }

    /// Each slot stands in the queue once at most, so the queue holds.
    private func enqueue(_ slot: Int) {
        if sessions[slot].isQueued { return }
        sessions[slot].isQueued = work.append(UInt32(slot))
    }

    func schedule(_ at: Instant) { soonest = min(soonest, at) }

    // MARK: Slots

    /// A fresh slot, or nil when the table is full.
    func takeSlot() -> Int? {
        if let slot = freeSlots.popLast() { return slot }
        guard sessions.count < config.sessionsMax else { return nil }
        sessions.append(Session())
        pending.append(nil)
        return sessions.count - 1
    }

    /// Forgets everything about a slot but its generation and its place in the queue.
    func release(_ slot: Int) {
        let old = sessions[slot]
        for place in [old.current, old.previous, old.next] {
            if let place { store.release(place) }
        }
        dropPending(slot)
        halfOpen.removeAll { $0 == slot }
        sessions[slot] = Session()
        sessions[slot].generation = old.generation &+ 1
        sessions[slot].isQueued = old.isQueued
        freeSlots.append(slot)
    }

    /// Forgets a handshake, and the connection id promised to it if it has made no keys.
    func dropPending(_ slot: Int) {
        guard let handshake = pending[slot] else { return }
        let keys = store[handshake.place]
        if keys.state == .promised, keys.slot == UInt32(slot) { store.release(handshake.place) }
        pending[slot] = nil
    }

    /// Ends a session and says so to a caller that knows it.
    func end(_ slot: Int, _ reason: SessionCloseReason) {
        if sessions[slot].isAnnounced { emit(.closed(id(of: slot), reason)) }
        release(slot)
    }

    /// Forgets a session at the caller's wish: no event, nothing sent.
    public func close(_ id: SessionID, now: Instant) {
        clock = max(clock, now)
        if let slot = slot(of: id) { release(slot) }
    }

    /// The session is up: the caller may use it, and an older one with the same peer goes.
    func establish(_ slot: Int) {
        let peer = sessions[slot].peer
        for other in sessions.indices
        where other != slot && sessions[other].state != .free && sessions[other].peer == peer {
            end(other, .replaced)
        }
        halfOpen.removeAll { $0 == slot }
        sessions[slot].state = .established
        sessions[slot].isAnnounced = true
        sessions[slot].lastReceived = clock
        sessions[slot].lastSent = clock
        counters.handshakesCompleted += 1
        schedule(clock + config.keepalive)
        schedule(clock + config.rekeyAfter)
        emit(.established(id(of: slot), peer, sessions[slot].address))
    }
}

/// The session table's handshakes: beginning them, answering them, completing them. (Spec 50.4)
///
///     initiator                                 responder
///     connect ── IK init ─────────────────────▶ answering, keys made
///     established ◀──────────────── IK response ─┘
///       └── empty datagram, until one comes back ─▶ established
///
/// A lost message is sent again with the same bytes, and the same init gets the same response, so a round trip longer than the
/// retry interval does no harm. After four tries an initiator begins anew, for a responder that has lost its half.
/// When both begin at once, the init of the smaller public key wins and the other side gives up its own.

public import MillraceBase
public import MillraceCrypto

extension SessionTable {
    // MARK: Beginning

    /// Begins a session with the peer at an address: IK when its key is known, XX when not. A session with that key that
    /// stands or begins already is given instead. Nil when the table is full.
    public func connect(to key: PublicKey?, at address: PeerAddress, now: Instant) -> SessionID? {
        clock = max(clock, now)
        if let key,
            let slot = sessions.indices.first(where: {
                sessions[$0].state != .free && sessions[$0].peer == key
            })
        {
            sessions[slot].isAnnounced = true
            return id(of: slot)
        }
        guard let slot = takeSlot() else { return nil }
        sessions[slot].state = .connecting
        sessions[slot].isAnnounced = true
        sessions[slot].peer = key ?? .unknown
        sessions[slot].address = address
        guard begin(slot, giveUpAt: clock + config.handshakeTimeout, attempts: 1, startedAt: clock) else {
            release(slot)
            return nil
        }
        return id(of: slot)
    }

    private func freshKeys() -> StaticKeyPair {
        let secret = secrets.next32()
        return config.agreement == .standIn
            ? StaticKeyPair(standIn: secret) : StaticKeyPair(privateKey: secret)
    }

    /// Makes a fresh init for a connecting session or for the rekey of an established one. False when it cannot.
    func begin(_ slot: Int, giveUpAt: Instant, attempts: Int, startedAt: Instant) -> Bool {
        if let old = pending[slot] {
            if case .answered = old.role { return false }
            dropPending(slot)
        }
        guard let place = store.promise(slot: slot, secrets: &secrets) else { return false }
        let session = sessions[slot]
        let isIK = session.peer != .unknown
        var noise = NoiseHandshake(
            pattern: isIK ? .ik : .xx, role: .initiator, prologue: config.prologue, identity: config.identity,
            remoteStatic: isIK ? session.peer : nil, ephemeral: freshKeys(), agreement: config.agreement)
        let replaces = session.state == .established ? session.current.map { store[$0].remoteID } ?? 0 : 0
        let payload =
            isIK
            ? InitPayload(timestamp: nextTimestamp(), replaces: replaces).bytes : HandshakeWire.xxInitPadding
        guard let message = try? noise.write(payload: payload) else {
            // The peer's key is of small order: nobody has it.
            store.release(place)
            return false
        }
        var datagram = HandshakeWire.datagram(
            isIK ? .ikInit : .xxInit, sender: store[place].localID, receiver: nil, noise: message,
            mac1Key: HandshakeWire.mac1Key(to: session.peer, prologue: config.prologue))
        if let cookie = session.cookie, clock - session.cookieAt < CookieGuard.cookieLifetime {
            HandshakeWire.show(cookie, in: &datagram)
        }
        pending[slot] = PendingHandshake(
            role: .initiator(noise), place: place, datagram: datagram, address: session.address,
            attempts: attempts,
            startedAt: startedAt, retryAt: clock + config.handshakeRetry,
            giveUpAt: giveUpAt)
        want(handshake: slot)
        schedule(clock + config.handshakeRetry)
        return true
    }

    /// Unix microseconds by our clock, never the same twice.
    private func nextTimestamp() -> UInt64 {
        let passed = UInt64(clamping: (clock - startedAt).microseconds)
        let (stamp, over) = config.startMicroseconds.addingReportingOverflow(passed)
        lastTimestamp = max(lastTimestamp &+ 1, over ? .max : stamp)
        return lastTimestamp
    }

    // MARK: Taking messages

    func takeHandshake(_ datagram: [UInt8], from: PeerAddress) -> Received {
        if HandshakeWire.word(datagram, 0) == HandshakeType.cookie.rawValue { return takeCookie(datagram) }
        let checked = HandshakeWire.check(datagram) { type in
            // In XX the first two messages are written by sides that do not know each other yet.
            switch type {
            case .ikInit, .ikResponse, .xxFinal: mac1KeyOfOurs
            case .xxInit, .xxResponse, .cookie: mac1KeyOfNobody
            }
        }
        switch checked {
        case .failure(let refusal): return .ignored(refusal.reason)
        case .success(.ikInit): return takeInit(datagram, .ikInit, from: from)
        case .success(.xxInit): return takeInit(datagram, .xxInit, from: from)
        case .success(.ikResponse): return takeResponse(datagram, .ikResponse, from: from)
        case .success(.xxResponse): return takeResponse(datagram, .xxResponse, from: from)
        case .success(.xxFinal): return takeFinal(datagram, from: from)
        case .success(.cookie): return .ignored(.unknownConnection)
        }
    }

    private func takeInit(_ datagram: [UInt8], _ type: HandshakeType, from: PeerAddress) -> Received {
        let mac = Array(
            datagram[
                (type.byteCount - 2 * HandshakeWire.macBytes)..<(type.byteCount - HandshakeWire.macBytes)])
        if halfOpen.count > config.halfOpenMax / 2 { cookies.strain(now: clock) }
        if cookies.isStrained(now: clock) {
            guard cookies.isProven(datagram, from: from, secrets: &secrets, now: clock) else {
                let isOffered = cookies.offer(to: datagram, type, from: from, secrets: &secrets, now: clock)
                return .ignored(isOffered ? .cookieSent : .rateLimited)
            }
            guard cookies.admit(from, now: clock) else { return .ignored(.rateLimited) }
        }
        if let slot = answered(mac) {
            // Another address may be a third party's, that is to be sent an answer.
            guard pending[slot]?.address == from else { return .ignored(.otherAddress) }
            want(handshake: slot)
            return .handshake
        }
        let isTaken = budget.take(now: clock)
        if budget.isLow { cookies.strain(now: clock) }
        guard isTaken else { return .ignored(.rateLimited) }
        var noise = NoiseHandshake(
            pattern: type == .ikInit ? .ik : .xx, role: .responder, prologue: config.prologue,
            identity: config.identity, remoteStatic: nil, ephemeral: freshKeys(),
            agreement: config.agreement)
        guard let payload = try? noise.read(HandshakeWire.noise(datagram, type)) else {
            return .ignored(.notGenuine)
        }
        let remoteID = HandshakeWire.word(datagram, 4)
        guard remoteID >= 1 << 16 else { return .ignored(.notGenuine) }
        return type == .ikInit
            ? answerIK(noise, payload, remoteID: remoteID, mac: mac, from: from)
            : answerXX(noise, remoteID: remoteID, mac: mac, from: from)
    }

    /// The slot that has answered this very init and may have to do so again.
    private func answered(_ mac: [UInt8]) -> Int? {
        sessions.indices.first { slot in
            sessions[slot].state != .free && pending[slot].map { $0.initMac == mac } ?? false
        }
    }

    private func isWelcome(_ peer: PublicKey) -> Bool {
        if peer == config.identity.publicKey || peer == .unknown { return false }
        if refused.contains(where: { $0.key == peer && clock < $0.until }) { return false }
        return config.allowsUnknownPeers || config.knownPeers.contains(peer)
    }

    private func answerIK(
        _ handshake: NoiseHandshake, _ payload: [UInt8], remoteID: UInt32, mac: [UInt8], from: PeerAddress
    ) -> Received {
        var noise = handshake
        guard let peer = noise.remoteStatic, let said = InitPayload(payload) else {
            return .ignored(.notGenuine)
        }
        guard isWelcome(peer) else { return .ignored(.refusedPeer) }
        guard seen.admit(peer, said.timestamp, now: clock) else { return .ignored(.oldTimestamp) }

        // Which session is meant: the one it names, our own attempt to reach the same peer, or a new one.
        let rekeyed = store.place(of: said.replaces).map { Int(store[$0].slot) }
            .flatMap { sessions[$0].state == .established && sessions[$0].peer == peer ? $0 : nil }
        let crossing = sessions.indices.first {
            sessions[$0].state == .connecting && sessions[$0].peer == peer
        }
        if let slot = rekeyed ?? crossing, case .initiator? = pending[slot]?.role {
            guard peer < config.identity.publicKey else { return .ignored(.crossing) }
            dropPending(slot)
        }
        guard let slot = rekeyed ?? crossing ?? takeHalfOpenSlot(replacing: peer) else {
            return .ignored(.tableFull)
        }
        guard let place = store.promise(slot: slot, secrets: &secrets) else {
            if rekeyed == nil { end(slot, .handshakeTimeout) }
            return .ignored(.tableFull)
        }
        guard let message = try? noise.write(payload: ResponsePayload(isContinued: rekeyed != nil).bytes)
        else {
            store.release(place)
            if rekeyed == nil { end(slot, .handshakeTimeout) }
            return .ignored(.notGenuine)
        }
        install(noise, place: place, remoteID: remoteID, isInitiator: false)
        if rekeyed != nil {
            if let old = sessions[slot].next { store.release(old) }
            sessions[slot].next = place
        } else {
            sessions[slot].state = .answering
            sessions[slot].peer = peer
            sessions[slot].address = from
            sessions[slot].current = place
            sessions[slot].isConfirmed = false
        }
        respond(
            slot, .answered, .ikResponse, place: place, receiver: remoteID, noise: message,
            mac1Key: HandshakeWire.mac1Key(to: peer, prologue: config.prologue), mac: mac, to: from)
        return .handshake
    }

    private func answerXX(
        _ handshake: NoiseHandshake, remoteID: UInt32, mac: [UInt8], from: PeerAddress
    ) -> Received {
        var noise = handshake
        guard config.allowsUnknownPeers || !config.knownPeers.isEmpty else { return .ignored(.refusedPeer) }
        guard let slot = takeHalfOpenSlot(replacing: nil) else { return .ignored(.tableFull) }
        guard let place = store.promise(slot: slot, secrets: &secrets),
            let message = try? noise.write(payload: ResponsePayload(isContinued: false).bytes)
        else {
            release(slot)
            return .ignored(.tableFull)
        }
        sessions[slot].state = .answering
        sessions[slot].address = from
        store[place].remoteID = remoteID
        respond(
            slot, .responder(noise), .xxResponse, place: place, receiver: remoteID, noise: message,
            mac1Key: mac1KeyOfNobody, mac: mac, to: from)
        return .handshake
    }

    /// A slot for a stranger. The oldest half-open session makes room when there are too many; a peer has one at most.
    private func takeHalfOpenSlot(replacing peer: PublicKey?) -> Int? {
        if let peer,
            let slot = halfOpen.first(where: { sessions[$0].peer == peer && !sessions[$0].isAnnounced })
        {
            release(slot)
        }
        if halfOpen.count >= config.halfOpenMax || (freeSlots.isEmpty && sessions.count >= config.sessionsMax)
        {
            if let oldest = halfOpen.first(where: { !sessions[$0].isAnnounced }) { release(oldest) }
        }
        guard let slot = takeSlot() else { return nil }
        sessions[slot].state = .answering
        halfOpen.append(slot)
        return slot
    }

    private func respond(
        _ slot: Int, _ role: PendingHandshake.Role, _ type: HandshakeType, place: Int, receiver: UInt32,
        noise: [UInt8], mac1Key: Hash32, mac: [UInt8], to address: PeerAddress
    ) {
        let datagram = HandshakeWire.datagram(
            type, sender: store[place].localID, receiver: receiver, noise: noise, mac1Key: mac1Key)
        let giveUpAt = clock + config.handshakeTimeout
        pending[slot] = PendingHandshake(
            role: role, place: place, datagram: datagram, address: address, initMac: mac, startedAt: clock,
            retryAt: .distantFuture, giveUpAt: giveUpAt)
        counters.handshakesAnswered += 1
        want(handshake: slot)
        schedule(giveUpAt)
    }

    /// The peer is under load and asks us to show that we receive at our address: the same init again, with mac2.
    private func takeCookie(_ datagram: [UInt8]) -> Received {
        guard datagram.count == HandshakeType.cookie.byteCount else { return .ignored(.badLength) }
        guard let place = store.place(of: HandshakeWire.word(datagram, 4)) else {
            return .ignored(.unknownConnection)
        }
        let slot = Int(store[place].slot)
        guard let handshake = pending[slot], handshake.place == place, case .initiator = handshake.role else {
            return .ignored(.unknownConnection)
        }
        // A repeated cookie brings one more init in a retry's time at most.
        if sessions[slot].cookie != nil, clock - sessions[slot].cookieAt < config.handshakeRetry {
            return .ignored(.rateLimited)
        }
        let key = HandshakeWire.cookieKey(of: sessions[slot].peer, prologue: config.prologue)
        guard let cookie = HandshakeWire.cookie(in: datagram, answering: handshake.datagram, key: key) else {
            return .ignored(.notGenuine)
        }
        sessions[slot].cookie = cookie
        sessions[slot].cookieAt = clock
        var shown = handshake.datagram
        HandshakeWire.show(cookie, in: &shown)
        pending[slot]?.datagram = shown
        want(handshake: slot)
        return .handshake
    }

    private func takeResponse(_ datagram: [UInt8], _ type: HandshakeType, from: PeerAddress) -> Received {
        guard let place = store.place(of: HandshakeWire.word(datagram, 8)) else {
            return .ignored(.unknownConnection)
        }
        let slot = Int(store[place].slot)
        guard let handshake = pending[slot], handshake.place == place,
            case .initiator(var noise) = handshake.role,
            noise.pattern == (type == .ikResponse ? .ik : .xx)
        else { return .ignored(.unknownConnection) }
        let remoteID = HandshakeWire.word(datagram, 4)
        guard remoteID >= 1 << 16, let payload = try? noise.read(HandshakeWire.noise(datagram, type)),
            let said = ResponsePayload(payload), let peer = noise.remoteStatic
        else { return .ignored(.notGenuine) }
        guard isWelcome(peer) || peer == sessions[slot].peer else { return .ignored(.refusedPeer) }

        var lastWord: PendingHandshake?
        if type == .xxResponse {
            let payload = InitPayload(timestamp: nextTimestamp(), replaces: 0)
            guard let message = try? noise.write(payload: payload.bytes) else { return .ignored(.notGenuine) }
            let final = HandshakeWire.datagram(
                .xxFinal, sender: store[place].localID, receiver: remoteID, noise: message,
                mac1Key: HandshakeWire.mac1Key(to: peer, prologue: config.prologue))
            lastWord = PendingHandshake(
                role: .answered, place: place, datagram: final, address: handshake.address, startedAt: clock,
                retryAt: .distantFuture, giveUpAt: .distantFuture)
        }
        install(noise, place: place, remoteID: remoteID, isInitiator: true)
        pending[slot] = lastWord

        let isRekey = sessions[slot].state == .established
        if isRekey, said.isContinued {
            if let old = sessions[slot].previous { store.release(old) }
            sessions[slot].previous = sessions[slot].current
            sessions[slot].isRekeyDue = false
            counters.rekeys += 1
            sessions[slot].arrivals.rekeys &+= 1
        } else if isRekey {
            // The peer does not know the session: what we believed about it is void. The slot goes on under a new name.
            emit(.closed(id(of: slot), .peerRestarted))
            for old in [sessions[slot].current, sessions[slot].previous, sessions[slot].next] {
                if let old { store.release(old) }
            }
            sessions[slot].previous = nil
            sessions[slot].next = nil
            sessions[slot].isRekeyDue = false
            sessions[slot].arrivals = SessionArrivals()
            sessions[slot].generation &+= 1
        }
        // The address stays the one our init went to: where the response came from is a claim.
        sessions[slot].current = place
        sessions[slot].peer = peer
        sessions[slot].isConfirmed = false
        sessions[slot].confirmInterval = config.handshakeRetry
        sessions[slot].confirmAt = clock + config.handshakeRetry
        schedule(sessions[slot].confirmAt)
        if handshake.attempts == 1 { sessions[slot].handshakeRTT = clock - handshake.startedAt }
        if !isRekey || !said.isContinued { establish(slot) }
        // Show the responder that we have the keys: XX by its last message, IK by any datagram.
        if lastWord != nil { want(handshake: slot) } else { want(keepalive: slot) }
        return .handshake
    }

    private func takeFinal(_ datagram: [UInt8], from: PeerAddress) -> Received {
        guard let place = store.place(of: HandshakeWire.word(datagram, 8)),
            store[place].remoteID == HandshakeWire.word(datagram, 4)
        else { return .ignored(.unknownConnection) }
        let slot = Int(store[place].slot)
        if store[place].state == .live, sessions[slot].state == .established, sessions[slot].current == place
        {
            // Our datagram that would have ended the repetition was lost.
            want(keepalive: slot)
            return .handshake
        }
        guard let handshake = pending[slot], handshake.place == place,
            case .responder(var noise) = handshake.role
        else {
            return .ignored(.unknownConnection)
        }
        guard let payload = try? noise.read(HandshakeWire.noise(datagram, .xxFinal)),
            let peer = noise.remoteStatic,
            let said = InitPayload(payload)
        else { return .ignored(.notGenuine) }
        guard isWelcome(peer) else { return .ignored(.refusedPeer) }
        _ = seen.admit(peer, said.timestamp, now: clock)
        install(noise, place: place, remoteID: store[place].remoteID, isInitiator: false)
        pending[slot] = nil
        sessions[slot].peer = peer
        sessions[slot].current = place
        sessions[slot].isConfirmed = true
        if isCrowded(slot) {
            counters.sessionsCrowdedOut += 1
            release(slot)
            return .ignored(.crowded)
        }
        establish(slot)
        want(keepalive: slot)
        return .handshake
    }

    /// Puts the keys of a complete handshake where its connection id was promised.
    private func install(_ noise: NoiseHandshake, place: Int, remoteID: UInt32, isInitiator: Bool) {
        let keys = noise.transportKeys()
        store[place].sending = keys.sending
        store[place].receiving = keys.receiving
        store[place].remoteID = remoteID
        store[place].isInitiator = isInitiator
        store[place].createdAt = clock
        store[place].state = .live
    }
}

/// The session table's clockwork. One deadline for all sessions, kept as the earliest that may be due: cheap while datagrams
/// flow, and a scan of the slots (a few ns each) when it comes. (Spec 50.7)

public import MillraceBase

extension SessionTable {
    public func handleTimeout(now: Instant) {
        clock = max(clock, now)
        guard clock >= soonest else { return }
        soonest = .distantFuture
        for slot in sessions.indices where sessions[slot].state != .free {
            // Each slot closes one session at most; when the caller has not drained, the rest waits.
            guard eventRoom > 8 else {
                schedule(clock)
                return
            }
            service(slot)
        }
    }

    private func service(_ slot: Int) {
        switch sessions[slot].state {
        case .free: return
        case .connecting: serviceInitiator(slot, gaveUp: { self.end(slot, .handshakeTimeout) })
        case .answering:
            guard let handshake = pending[slot], clock < handshake.giveUpAt else {
                return end(slot, .handshakeTimeout)
            }
            schedule(handshake.giveUpAt)
        case .established: serviceEstablished(slot)
        }
    }

    /// Sends an init again, a fresh one at every twelfth attempt, or gives up. Always after the same time: a burst of losses may
    /// last as many datagrams as it likes, and inits are few.
    private func serviceInitiator(_ slot: Int, gaveUp: () -> Void) {
        guard let handshake = pending[slot], clock < handshake.giveUpAt else { return gaveUp() }
        if clock >= handshake.retryAt {
            let attempts = handshake.attempts + 1
            if handshake.attempts % SessionConfig.initRepeats == 0 {
                let isBegun = begin(
                    slot, giveUpAt: handshake.giveUpAt, attempts: attempts, startedAt: handshake.startedAt)
                guard isBegun else { return gaveUp() }
            } else {
                pending[slot]?.attempts = attempts
                pending[slot]?.retryAt = clock + config.handshakeRetry
                want(handshake: slot)
            }
        }
        if let handshake = pending[slot] { schedule(min(handshake.retryAt, handshake.giveUpAt)) }
    }

    private func serviceEstablished(_ slot: Int) {
        let idleAt = sessions[slot].lastReceived + config.idleTimeout
        if clock >= idleAt { return end(slot, .idle) }
        guard let current = sessions[slot].current else { return end(slot, .keysExpired) }
        let expiresAt = store[current].createdAt + config.keyLifetime
        if clock >= expiresAt { return end(slot, .keysExpired) }
        schedule(min(idleAt, expiresAt))

        retire(\.previous, of: slot)
        retire(\.next, of: slot)

        if !sessions[slot].isConfirmed {
            if clock >= sessions[slot].confirmAt {
                let interval = min(sessions[slot].confirmInterval * 2, config.handshakeRetry * 4)
                sessions[slot].confirmInterval = interval
                sessions[slot].confirmAt = clock + interval
                if pending[slot] != nil { want(handshake: slot) } else { want(keepalive: slot) }
            }
            schedule(sessions[slot].confirmAt)
        }

        if clock >= sessions[slot].lastSent + config.keepalive {
            // The datagram itself moves `lastSent` when it is taken; until then do not ask again.
            sessions[slot].lastSent = clock
            want(keepalive: slot)
        }
        schedule(sessions[slot].lastSent + config.keepalive)
        serviceRekey(slot, current: current)
    }

    /// Forgets keys past their lifetime.
    private func retire(_ keys: WritableKeyPath<Session, Int?>, of slot: Int) {
        guard let place = sessions[slot][keyPath: keys] else { return }
        let goneAt = store[place].createdAt + config.keyLifetime
        if clock >= goneAt {
            store.release(place)
            sessions[slot][keyPath: keys] = nil
        } else {
            schedule(goneAt)
        }
    }

    private func serviceRekey(_ slot: Int, current: Int) {
        switch pending[slot]?.role {
        case .initiator:
            serviceInitiator(slot) {
                self.dropPending(slot)
                self.sessions[slot].rekeyNotBefore = self.clock + self.config.handshakeTimeout
                self.schedule(self.sessions[slot].rekeyNotBefore)
            }
        case .answered, .responder:
            // The last message is kept for a while; the keys it promised are kept until they are too old.
            guard let handshake = pending[slot], handshake.giveUpAt < .distantFuture else { return }
            if clock >= handshake.giveUpAt {
                pending[slot] = nil
            } else {
                schedule(handshake.giveUpAt)
            }
        case nil:
            guard sessions[slot].isConfirmed else { return }
            let patience = store[current].isInitiator ? Interval.zero : config.rekeyPatience
            let dueAt =
                sessions[slot].isRekeyDue ? clock : store[current].createdAt + config.rekeyAfter + patience
            let beginAt = max(dueAt, sessions[slot].rekeyNotBefore)
            if clock < beginAt { return schedule(beginAt) }
            let isBegun = begin(
                slot, giveUpAt: clock + config.handshakeTimeout, attempts: 1, startedAt: clock)
            if !isBegun {
                sessions[slot].rekeyNotBefore = clock + config.handshakeTimeout
                schedule(sessions[slot].rekeyNotBefore)
            }
        }
    }
}

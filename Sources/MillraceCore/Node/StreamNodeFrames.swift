/// A genuine datagram's frames, to whom they concern; and what becomes of a peer that breaks the rules (Spec 60.8).
///
///     SHRED ─▶ Following          SUBSCRIBE, REPAIR, CATCHUP ─▶ Serving
///     HEADER, HEADERSUM ─▶ ″      RECORD, PLACE, PEERS … ─▶ Membership       PROOF ─▶ EvidenceFlood
///
/// Promises: every byte is a frame that is taken, or counted as ignored with an offence of its sender. What costs its sender
/// nothing is read within an allowance only.

import MillraceBase
import MillraceCrypto
import MillraceWire

extension StreamNode {
    func frames(_ plaintext: UnsafeRawBufferPointer, from peer: Peer) {
        var reader = FrameReader(
            RawSpan(_unsafeBytes: plaintext), leavesOutSymbols: endpoint.payloads == .byReference)
        var leftOut = 0
        while true {
            let start = reader.offset
            if let frame = reader.nextShred() {
                let left = reader.leftOutBytes - leftOut
                noteLeftOut(left, of: peer)
                leftOut += left
                shred(
                    frame.key, index: frame.index, symbol: frame.symbol, request: nil,
                    count: reader.offset - start + left, in: plaintext, from: peer)
            } else {
                do throws(FrameError) {
                    guard let frame = try reader.next() else { return }
                    let left = reader.leftOutBytes - leftOut
                    noteLeftOut(left, of: peer)
                    leftOut += left
                    handle(frame, count: reader.offset - start + left, in: plaintext, from: peer)
                } catch {
                    endpoint.statistics.received.ignored &+= UInt64(plaintext.count - start)
                    offend(peer, .malformedFrame)
                    return
                }
            }
            // A frame may have ended the session.
            guard !peer.isGone else {
                endpoint.statistics.received.ignored &+= UInt64(plaintext.count - reader.offset)
                return
            }
        }
    }

    /// Symbols by reference count as if they were there.
    @inline(__always)
    private func noteLeftOut(_ bytes: Int, of peer: Peer) {
        peer.bytesReceived &+= UInt64(bytes)
        endpoint.statistics.leftOutBytesRead &+= UInt64(bytes)
    }

    /// A SHRED or REPAIRED frame. Not inlined: only from here does the compiler see that `following` need not be counted up and
    /// down for each.
    @inline(never)
    private func shred(
        _ key: SliceKey, index: Int, symbol: ByteRange, request: UInt16?, count: Int,
        in plaintext: UnsafeRawBufferPointer, from peer: Peer
    ) {
        if request != nil {
            endpoint.statistics.received.repair &+= UInt64(count)
        } else if index < WireLimits.firstParityStripe {
            endpoint.statistics.received.payload &+= UInt64(count)
        } else {
            endpoint.statistics.received.parity &+= UInt64(count)
        }
        guard let following else { return offend(peer, .unexpectedFrame) }
        let before = peer.offences
        following.shred(
            key, index: index, symbol: self.symbol(symbol, in: plaintext), request: request, from: peer,
            now: endpoint.now)
        if peer.offences > before { punish(peer) }
    }

    /// A shred's symbol: lent from the datagram, or, by reference, zeroes of its length.
    private func symbol(_ range: ByteRange, in plaintext: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        switch endpoint.payloads {
        case .carried: UnsafeRawBufferPointer(rebasing: plaintext[range.range])
        case .byReference: UnsafeRawBufferPointer(start: SliceAssembler.absentSymbol, count: range.count)
        }
    }

    private func handle(_ frame: Frame, count: Int, in plaintext: UnsafeRawBufferPointer, from peer: Peer) {
        let now = endpoint.now
        let before = peer.offences
        var isControl = true
        switch frame {
        case .header, .shred, .close: break
        default:
            // Spec 60.8, rule 4: what is over the allowance is not read.
            guard peer.allowance.take(now: now) else {
                endpoint.statistics.received.control &+= UInt64(count)
                endpoint.statistics.framesRefused &+= 1
                return flooded(peer)
            }
        }
        switch frame {
        case .header(let bytes):
            isControl = false
            endpoint.statistics.received.header &+= UInt64(count)
            guard let following else { return offend(peer, .unexpectedFrame) }
            following.header(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: plaintext[bytes.range])), from: peer,
                now: now)
        case .headerSum(let bytes):
            isControl = false
            endpoint.statistics.received.header &+= UInt64(count)
            guard let following else { return offend(peer, .unexpectedFrame) }
            endpoint.statistics.headerSumBytes &+= UInt64(count)
            following.headerSum(
                RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: plaintext[bytes.range])), from: peer,
                now: now)
        case .shred(let key, let index, let symbol, let request):
            shred(
                key, index: index, symbol: symbol, request: request, count: count, in: plaintext, from: peer)
            return
        case .subscribe(let terms):
            if let serving {
                serving.subscribe(terms, from: peer)
            } else {
                endpoint.sendRefusal(
                    serial: terms.serial, cadence: terms.cadence, reason: .full,
                    retryAfterMilliseconds: 60_000,
                    alternatives: [], to: peer)
            }
        case .unsubscribe(let serial, _):
            serving?.unsubscribe(serial: serial, from: peer)
        case .repair(let request, let key, let shreds, let withHeader):
            guard let serving else { return offend(peer, .unexpectedFrame) }
            serving.repair(request: request, key, shreds, withHeader: withHeader, from: peer)
        case .catchUp(let request, let cadence, let first, let count):
            guard let serving else { return offend(peer, .unexpectedFrame) }
            serving.catchUp(request: request, cadence: cadence, first: first, count: count, from: peer)
        case .accept(let terms):
            following?.accepted(terms, from: peer, now: now)
        case .refuse(let serial, _, let reason, let retryAfter, let alternatives):
            following?.refused(
                serial: serial, reason, retryAfterMilliseconds: retryAfter, from: peer, now: now)
            if peer.parentIndex != nil {
                membership.refused(
                    alternatives: FrameReader.alternatives(
                        RawSpan(_unsafeBytes: part(alternatives, of: plaintext))),
                    retryAfterMilliseconds: retryAfter, by: peer)
            }
        case .miss(let request, let shreds, let header):
            following?.missed(request, shreds, header: header, from: peer, now: now)
        case .status(let status):
            if peer.parentIndex != nil {
                following?.status(status, from: peer, now: now)
            } else {
                peer.status = status
            }
        case .feedback(let told):
            serving?.feedback(told, from: peer)
        case .padding: break
        case .ping(let token):
            endpoint.send(.pong(token), to: peer)
        case .pong(let token):
            if let sentAt = peer.pingSentAt, token == peer.pingToken {
                peer.roundTrip.add(now - sentAt)
                peer.pingSentAt = nil
            } else if peer.mtu.answered(token, now: now) {
                endpoint.setDatagramBytes(peer.mtu.size, for: peer)
                nextPeerTurn = min(nextPeerTurn, peer.mtu.nextAt)
            } else {
                answeredProbe(token, peer)
            }
        case .record(let bytes):
            judge(membership.record(RawSpan(_unsafeBytes: part(bytes, of: plaintext)), from: peer), of: peer)
        case .getPeers(let request, let count):
            judge(membership.getPeers(request: request, count: count, from: peer), of: peer)
        case .peers(let request, let count, let bytes):
            judge(
                membership.peers(
                    request: request, count: count, RawSpan(_unsafeBytes: part(bytes, of: plaintext)),
                    from: peer), of: peer)
        case .place(let hops, let childrenFree):
            membership.place(hops: hops, childrenFree: childrenFree, from: peer)
        case .evidence(let bytes):
            judge(evidence.heard(RawSpan(_unsafeBytes: part(bytes, of: plaintext)), from: peer), of: peer)
            if let height = evidence.proof?.height, following?.equivocationAt == nil {
                following?.equivocationAt = height
            }
        case .close:
            endpoint.statistics.received.control &+= UInt64(count)
            close(peer, with: nil)
            return
        }
        if isControl { endpoint.statistics.received.control &+= UInt64(count) }
        if peer.offences > before { punish(peer) }
    }

    /// The bytes of a frame, lent from the datagram.
    private func part(_ range: ByteRange, of plaintext: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
        UnsafeRawBufferPointer(rebasing: plaintext[range.range])
    }

    /// Notes an offence, if there was one; `handle` punishes.
    func judge(_ offence: Offence?, of peer: Peer) {
        if let offence { endpoint.note(offence, of: peer) }
    }

    func offend(_ peer: Peer, _ offence: Offence) {
        endpoint.note(offence, of: peer)
        punish(peer)
    }

    /// A control frame over the allowance. The first of each burst is reported.
    func flooded(_ peer: Peer) {
        peer.score.flooded(frames: 1, now: endpoint.now)
        if !peer.isFlooding {
            peer.isFlooding = true
            endpoint.statistics.offences &+= 1
            peer.offences += 1
            endpoint.emit(.offence(peer.address, .flood))
        }
        punish(peer)
    }

    /// Bans a peer whose score says so.
    func punish(_ peer: Peer) {
        if peer.score.isBanDue { ban(peer) }
    }

    func ban(_ peer: Peer) {
        let until = peer.score.ban(now: endpoint.now)
        endpoint.statistics.peersBanned &+= 1
        endpoint.emit(.banned(peer.address, key: peer.key))
        endpoint.sessions.refuse(PublicKey(peer.key), until: until)
        let parent = peer.parentIndex
        membership.shun(peer.key)
        close(peer, with: .invalidShreds)
        // A parent that cheats is not asked again soon.
        if let parent, let following { following.parents[parent].state = .down(until: until) }
    }
}

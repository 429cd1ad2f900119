/// The plumbing under the three cores: sessions, the buffer pool, outputs, and the packing of frames into datagrams.
///
/// Promises: frames for one peer keep their order; frames are packed into as few datagrams as they fit in; no allocation
/// per datagram. Asks: `flush()` after every batch of sends; the shell releases each buffer it was handed.
///
/// Bounds: `buffersMax` datagrams are out at once. Shreds leave `controlReserve` of them for control frames; when even
/// those are gone a control frame is dropped, and its timer sends it again.

import MillraceBase
import MillraceWire

final class Endpoint {
    static let buffersMax = 1_024
    static let controlReserve = 64
    static let eventsMax = 4_096

    let sessions: SessionTable
    let payloads: PayloadForm
    let datagramBytesMax: Int
    /// Nodes of one simulation share it.
    var headers: HeaderMemo?
    var statistics = CoreStatistics()
    var scores: ScoreBoard
    /// The latest time the shell told.
    private(set) var now: Instant
    /// By the session's slot; and the same, lent and not counted.
    private(set) var peers: [Peer?] = []
    private var lent: [Unmanaged<Peer>?] = []
    /// Removed since the shell last called: whoever was lent one of them may still be at it.
    private var departed: [Peer] = []
    /// Slots in use, ascending: iteration order does not depend on hashing.
    private(set) var connected: [Peer] = []

    private var pool: BufferPool
    private var datagrams = Ring<OutgoingDatagram>(minimumCapacity: Endpoint.buffersMax)
    private var events = Ring<CoreEvent>(minimumCapacity: Endpoint.eventsMax)
    /// Not counted: `remove` takes out who goes.
    private var withOpenDatagram: [Unmanaged<Peer>] = []

    /// `datagramBytesMax`: the longest that `setDatagramBytes` may say.
    init(
        sessions: SessionTable, payloads: PayloadForm, datagramBytesMax: Int = Limits.datagramBytesMax,
        now: Instant
    ) {
        let slotBytes = max(datagramBytesMax, Limits.datagramBytesMax)
        pool = BufferPool(slots: Endpoint.buffersMax, slotBytes: slotBytes)
        self.datagramBytesMax = slotBytes
        self.sessions = sessions
        self.payloads = payloads
        self.now = now
        scores = ScoreBoard(now: now)
        withOpenDatagram.reserveCapacity(128)
    }

    /// Time never runs backwards inside a core, whatever the shell says.
    func advance(to instant: Instant) {
        if instant > now { now = instant }
        if !departed.isEmpty { departed.removeAll() }
    }

    // MARK: Outputs

    func emit(_ event: CoreEvent) { _ = events.append(event) }

    /// Counts an offence, holds it against the peer's score, and reports it. `bytes`: of a forged shred or header.
    func note(_ offence: Offence, of peer: Peer, bytes: Int = 0) {
        statistics.offences &+= 1
        peer.offences += 1
        peer.score.offended(bytes: bytes, now: now)
        emit(.offence(peer.address, offence))
    }

    func popOutput() -> CoreOutput? {
        if let event = events.popFirst() { return .event(event) }
        if let datagram = datagrams.popFirst() { return .send(datagram) }
        return nil
    }

    /// The next output, when that is a datagram.
    func popDatagram() -> OutgoingDatagram? { events.isEmpty ? datagrams.popFirst() : nil }

    var hasOutputs: Bool { !events.isEmpty || !datagrams.isEmpty }

    /// Room to report what happens to `count` mini-blocks.
    func hasRoomForEvents(_ count: Int) -> Bool { events.count + count <= events.capacity }

    func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer { pool.bytes(of: handle) }
    func release(_ handle: BufferHandle) { pool.release(handle) }

    /// Whether a shred may take a buffer.
    var hasRoomForShreds: Bool { pool.available > Endpoint.controlReserve }

    // MARK: Peers

    func peer(_ id: SessionID) -> Peer? {
        let index = Int(id.index)
        guard index < peers.count, let peer = peers[index], peer.session == id else { return nil }
        return peer
    }

    /// What is asked of a session's peer, which is lent for the question: some are asked several times for every datagram, and to
    /// count a peer up and down costs more than most answers.
    @inline(__always)
    func ask<Answer>(_ id: SessionID, _ question: (Peer) -> Answer) -> Answer? {
        let index = Int(id.index)
        guard index < lent.count, let peer = lent[index] else { return nil }
        return peer._withUnsafeGuaranteedRef { $0.session == id ? question($0) : nil }
    }

    func add(_ peer: Peer) {
        let index = Int(peer.session.index)
        while peers.count <= index {
            peers.append(nil)
            lent.append(nil)
        }
        if let old = peers[index] { remove(old) }
        peers[index] = peer
        lent[index] = Unmanaged.passUnretained(peer)
        let place = connected.firstIndex { $0.session.index > peer.session.index } ?? connected.count
        connected.insert(peer, at: place)
    }

    func remove(_ peer: Peer) {
        let index = Int(peer.session.index)
        departed.append(peer)
        if index < peers.count, peers[index] === peer {
            peers[index] = nil
            lent[index] = nil
        }
        connected.removeAll { $0 === peer }
        peer.isGone = true
        scores.remember(peer.key, peer.score, now: now)
        forgetOpenDatagram(of: peer)
        if let open = peer.open {
            uncount(pool.bytes(of: open), count: peer.openCount)
            pool.release(open)
        }
        peer.open = nil
    }

    /// Frames of a datagram that is not sent after all were counted when they were written.
    private func uncount(_ datagram: UnsafeMutableRawBufferPointer, count: Int) {
        let first = SessionTable.headerBytes
        let plaintext = UnsafeRawBufferPointer(rebasing: datagram[first..<first + count])
        var reader = FrameReader(
            RawSpan(_unsafeBytes: plaintext), leavesOutSymbols: payloads == .byReference)
        while true {
            let start = reader.offset + reader.leftOutBytes
            guard let frame = try? reader.next() else { return }
            let bytes = UInt64(reader.offset + reader.leftOutBytes - start)
            switch frame {
            case .header, .headerSum: statistics.sent.header &-= bytes
            case .shred(_, _, _, .some): statistics.sent.repair &-= bytes
            case .shred(_, let index, _, nil):
                if index < WireLimits.firstParityStripe {
                    statistics.sent.payload &-= bytes
                } else {
                    statistics.sent.parity &-= bytes
                }
            default: statistics.sent.control &-= bytes
            }
        }
    }

    func decode(header bytes: RawSpan) throws(WireError) -> DecodedHeader {
        if let headers { return try headers.decode(bytes) }
        return DecodedHeader(header: try SliceHeader.decode(bytes))
    }

    /// What came from `address`, for the sessions to open.
    func open(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress) -> Received {
        sessions.receive(datagram, from: address, now: now)
    }

    // MARK: Packing

    /// Sends a control frame. False when no buffer was free.
    @discardableResult
    func send(_ frame: Frame, to peer: Peer) -> Bool {
        // 64 bytes bound every control frame `FrameWriter.append` writes.
        guard prepare(peer, room: 64) else { return false }
        var writer = writer(peer)
        let before = writer.count
        guard writer.append(frame) else { return false }
        peer.openCount = writer.count
        statistics.sent.control &+= UInt64(writer.count - before)
        return true
    }

    /// Sends a control frame of up to `room` bytes that has bytes of its own. False when no buffer was free.
    @discardableResult
    func sendControl(room: Int, to peer: Peer, _ write: (inout FrameWriter) -> Bool) -> Bool {
        guard prepare(peer, room: room) else { return false }
        var writer = writer(peer)
        let before = writer.count
        guard write(&writer) else { return false }
        peer.openCount = writer.count
        statistics.sent.control &+= UInt64(writer.count - before)
        return true
    }

    /// Sends PING to an address that the peer has been seen at and not proven, in a datagram of its own: 29 bytes, and nothing
    /// else goes there.
    func sendProbe(_ token: UInt32, to peer: Peer, at address: PeerAddress) {
        guard let handle = pool.take() else { return }
        let buffer = pool.bytes(of: handle)
        guard let base = buffer.baseAddress else { return pool.release(handle) }
        var writer = FrameWriter(
            base: base + SessionTable.headerBytes, capacity: WireLimits.framesBytesMax, count: 0)
        guard writer.append(.ping(token)),
            let count = sessions.seal(buffer, plaintextCount: writer.count, for: peer.session, now: now)
        else { return pool.release(handle) }
        statistics.sent.control &+= UInt64(writer.count)
        statistics.sent.session &+= UInt64(count - writer.count)
        statistics.datagramsSent &+= 1
        peer.bytesSent &+= UInt64(count)
        let stored = datagrams.append(OutgoingDatagram(buffer: handle, count: count, to: address))
        precondition(stored, "more datagrams than buffers")
    }

    /// Sends PING in a datagram of `bytes` bytes: who answers shows that the way carries such a one.
    func sendLong(_ token: UInt32, bytes: Int, to peer: Peer) {
        guard hasRoomForShreds, bytes <= datagramBytesMax, let handle = pool.take() else { return }
        let buffer = pool.bytes(of: handle)
        guard let base = buffer.baseAddress else { return pool.release(handle) }
        var writer = FrameWriter(
            base: base + SessionTable.headerBytes, capacity: bytes - SessionTable.overheadBytes, count: 0)
        guard writer.append(.ping(token)) else { return pool.release(handle) }
        let padding = writer.remaining - FrameWriter.paddingOverhead
        let leftOut = payloads == .byReference ? padding : 0
        guard writer.appendPadding(padding, isLeftOut: leftOut > 0),
            let count = sessions.seal(buffer, plaintextCount: writer.count, for: peer.session, now: now)
        else { return pool.release(handle) }
        statistics.sent.control &+= UInt64(writer.count + leftOut)
        statistics.sent.session &+= UInt64(count - writer.count)
        statistics.datagramsSent &+= 1
        peer.bytesSent &+= UInt64(count + leftOut)
        let stored = datagrams.append(
            OutgoingDatagram(buffer: handle, count: count, to: peer.address, leftOutBytes: leftOut))
        precondition(stored, "more datagrams than buffers")
    }

    /// From now on datagrams to the peer have up to so many bytes.
    func setDatagramBytes(_ bytes: Int, for peer: Peer) {
        let most = min(bytes, datagramBytesMax) - SessionTable.overheadBytes
        if most == peer.framesBytesMax { return }
        if peer.open != nil, peer.openCount + peer.openLeftOut > most {
            close(peer)
            forgetOpenDatagram(of: peer)
        }
        peer.framesBytesMax = most
    }

    func sendRefusal(
        serial: UInt32, cadence: Cadence, reason: RefusalReason, retryAfterMilliseconds: UInt32,
        alternatives: [AlternativePeer], to peer: Peer
    ) {
        guard prepare(peer, room: 512) else { return }
        var writer = writer(peer)
        let before = writer.count
        guard
            writer.appendRefuse(
                serial: serial, cadence: cadence, reason: reason,
                retryAfterMilliseconds: retryAfterMilliseconds,
                alternatives: alternatives)
        else { return }
        peer.openCount = writer.count
        statistics.sent.control &+= UInt64(writer.count - before)
    }

    /// Sends a slice header; answers the bytes it took, or nil when no buffer was free.
    func sendHeader(_ header: [UInt8], isRepair: Bool, to peer: Peer) -> Int? {
        guard prepare(peer, room: header.count + 3) else { return nil }
        var writer = writer(peer)
        let before = writer.count
        guard header.withUnsafeBytes({ writer.appendHeader($0) }) else { return nil }
        peer.openCount = writer.count
        let count = writer.count - before
        if isRepair {
            statistics.sent.repair &+= UInt64(count)
        } else {
            statistics.sent.header &+= UInt64(count)
        }
        return count
    }

    /// Sends an encoded sum of headers; answers the bytes it took, or nil when no buffer was free.
    func sendHeaderSum(_ sum: [UInt8], to peer: Peer) -> Int? {
        guard prepare(peer, room: sum.count + 3) else { return nil }
        var writer = writer(peer)
        let before = writer.count
        guard sum.withUnsafeBytes({ writer.appendHeaderSum($0) }) else { return nil }
        peer.openCount = writer.count
        let count = writer.count - before
        statistics.sent.header &+= UInt64(count)
        return count
    }

    /// Sends a shred; answers the bytes it took, or nil when no buffer was free.
    func sendShred(
        _ key: SliceKey, index: Int, symbol: UnsafeRawBufferPointer, answering request: UInt16?, to peer: Peer
    ) -> Int? {
        let overhead = FrameWriter.shredOverhead(key, answering: request)
        guard prepare(peer, room: overhead + symbol.count) else { return nil }
        var writer = writer(peer)
        switch payloads {
        case .carried:
            guard writer.appendShred(key, index: index, symbol: symbol, answering: request) else {
                return nil
            }
        case .byReference:
            guard
                writer.appendShred(key, index: index, leavingOut: symbol.count, answering: request)
            else { return nil }
            peer.openLeftOut += symbol.count
        }
        peer.openCount = writer.count
        let count = overhead + symbol.count
        if request != nil {
            statistics.sent.repair &+= UInt64(count)
        } else if index < WireLimits.firstParityStripe {
            statistics.sent.payload &+= UInt64(count)
        } else {
            statistics.sent.parity &+= UInt64(count)
        }
        return count
    }

    private func writer(_ peer: Peer) -> FrameWriter {
        guard let open = peer.open, let base = pool.bytes(of: open).baseAddress else {
            preconditionFailure("no datagram is open")
        }
        return FrameWriter(
            base: base + SessionTable.headerBytes, capacity: peer.framesBytesMax - peer.openLeftOut,
            count: peer.openCount)
    }

    private func forgetOpenDatagram(of peer: Peer) {
        withOpenDatagram.removeAll { $0.toOpaque() == Unmanaged.passUnretained(peer).toOpaque() }
    }

    /// Opens a datagram with at least `room` bytes free; closes the current one if it is too full.
    private func prepare(_ peer: Peer, room: Int) -> Bool {
        if peer.open != nil {
            if peer.openCount + peer.openLeftOut + room <= peer.framesBytesMax { return true }
            close(peer)
            // It keeps its place among those with an open datagram.
            guard let handle = pool.take() else {
                forgetOpenDatagram(of: peer)
                return false
            }
            peer.open = handle
            peer.openCount = 0
            peer.openLeftOut = 0
            return true
        }
        // Nothing is sent to who has gone, and nobody would keep it alive until then.
        guard !peer.isGone, let handle = pool.take() else { return false }
        peer.open = handle
        peer.openCount = 0
        peer.openLeftOut = 0
        withOpenDatagram.append(Unmanaged.passUnretained(peer))
        return true
    }

    /// Seals the peer's open datagram and hands it out.
    private func close(_ peer: Peer) {
        guard let handle = peer.open else { return }
        peer.open = nil
        let plaintextCount = peer.openCount
        guard plaintextCount > 0,
            let count = sessions.seal(
                pool.bytes(of: handle), plaintextCount: plaintextCount, for: peer.session, now: now)
        else {
            uncount(pool.bytes(of: handle), count: plaintextCount)
            pool.release(handle)
            return
        }
        statistics.sent.session &+= UInt64(count - plaintextCount)
        statistics.datagramsSent &+= 1
        peer.bytesSent &+= UInt64(count + peer.openLeftOut)
        if count + peer.openLeftOut > Limits.datagramBytesMax {
            peer.mtu.sent(bytes: count + peer.openLeftOut)
            statistics.datagramsLong &+= 1
        }
        if let child = peer.child {
            let number = sessions.lastSealed
            child.link.sent(
                key: number.key, counter: number.counter, bytes: count + peer.openLeftOut, now: now)
        }
        // There are as many places as buffers, so this cannot fail.
        let stored = datagrams.append(
            OutgoingDatagram(
                buffer: handle, count: count, to: peer.address, leftOutBytes: peer.openLeftOut))
        precondition(stored, "more datagrams than buffers")
    }

    /// Hands out every datagram being filled.
    func flush() {
        if withOpenDatagram.isEmpty { return }
        for i in withOpenDatagram.indices { withOpenDatagram[i]._withUnsafeGuaranteedRef { close($0) } }
        withOpenDatagram.removeAll(keepingCapacity: true)
    }

    /// Hands out what the sessions themselves have to say: handshakes and keepalives.
    func flushSessions() {
        while sessions.hasDatagrams, let handle = pool.take() {
            guard let (count, address) = sessions.nextDatagram(into: pool.bytes(of: handle)) else {
                pool.release(handle)
                return
            }
            statistics.sent.session &+= UInt64(count)
            statistics.datagramsSent &+= 1
            let stored = datagrams.append(OutgoingDatagram(buffer: handle, count: count, to: address))
            precondition(stored, "more datagrams than buffers")
        }
    }
}

/// A child that wants everything again: it opens a session as any replica does, and then asks for repair and catch-up of recent
/// heights as fast as it is told to, needing nothing. A hostile core without clock or socket, driven as the others are.

import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceWire

final class Requester: StreamCore {
    private static let interval = Interval.milliseconds(1)
    private static let buffers = 256

    private let sessions: SessionTable
    private let target: PeerEndpoint
    private let leavesOutSymbols: Bool
    private var rate: SendRate
    private var session: SessionID?
    private var now: Instant
    private var nextTurn: Instant
    private var tip: UInt64 = 0
    private var request: UInt16 = 0
    private var pool = BufferPool(slots: Requester.buffers)
    private var outgoing: [OutgoingDatagram] = []
    private var first = 0
    /// Set while its attack lasts.
    var isStriking = false
    private(set) var asked: UInt64 = 0

    init(
        identity: StaticKeyPair, chainID: UInt64, startMicroseconds: UInt64, target: PeerEndpoint,
        perSecond: Int,
        isOpen: Bool, seed: Seed, now: Instant
    ) {
        var config = SessionConfig(
            identity: identity, prologue: SessionConfig.prologue(chainID: chainID),
            startMicroseconds: startMicroseconds)
        config.sessionsMax = 4
        config.leavesDatagramsOpen = isOpen
        sessions = SessionTable(config: config, seed: seed, now: now)
        self.target = target
        leavesOutSymbols = isOpen
        rate = SendRate(perSecond: perSecond)
        self.now = now
        nextTurn = now
    }

    func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        self.now = max(self.now, now)
        let received = sessions.receive(datagram, from: address, now: self.now)
        takeEvents()
        guard case .frames(_, let range) = received else { return }
        var reader = FrameReader(
            RawSpan(_unsafeBytes: UnsafeRawBufferPointer(rebasing: datagram[range])),
            leavesOutSymbols: leavesOutSymbols)
        while let frame = try? reader.next() {
            switch frame {
            case .status(let status): tip = max(tip, status.completeThrough)
            case .ping(let token): send { $0.append(.pong(token)) }
            default: break
            }
        }
    }

    private func takeEvents() {
        while let event = sessions.nextEvent() {
            switch event {
            case .established(let id, _, _): session = id
            case .closed(let id, _): if session == id { session = nil }
            case .pathSeen, .addressChanged: break
            }
        }
    }

    func handleTimeout(now: Instant) {
        self.now = max(self.now, now)
        sessions.handleTimeout(now: self.now)
        takeEvents()
        guard self.now >= nextTurn else { return }
        nextTurn = self.now + Requester.interval
        if session == nil { _ = sessions.connect(to: target.key, at: target.address, now: self.now) }
        guard session != nil, isStriking else { return }
        // A first request makes it a child, whose STATUS says how far the stream is.
        for _ in 0..<rate.due() {
            request &+= 1
            asked += 1
            let back = UInt64(request % 64)
            let height = tip > back ? tip - back : 1
            if request % 4 == 0 {
                let from = height > 256 ? height - 256 : 1
                send { $0.append(.catchUp(request: request, cadence: .c0, first: from, count: 256)) }
            } else {
                let key = SliceKey(firstHeight: height, index: 0)
                send { $0.append(.repair(request: request, key, .allData, withHeader: true)) }
            }
        }
    }

    private func send(_ write: (inout FrameWriter) -> Bool) {
        guard let session, let handle = pool.take() else { return }
        let buffer = pool.bytes(of: handle)
        guard let base = buffer.baseAddress else { return pool.release(handle) }
        var writer = FrameWriter(
            base: base + SessionTable.headerBytes, capacity: WireLimits.framesBytesMax, count: 0)
        guard write(&writer),
            let count = sessions.seal(buffer, plaintextCount: writer.count, for: session, now: now),
            let address = sessions.address(of: session)
        else { return pool.release(handle) }
        outgoing.append(OutgoingDatagram(buffer: handle, count: count, to: address))
    }

    func nextOutput() -> CoreOutput? {
        if first < outgoing.count {
            first += 1
            return .send(outgoing[first - 1])
        }
        outgoing.removeAll(keepingCapacity: true)
        first = 0
        guard let handle = pool.take() else { return nil }
        guard let (count, address) = sessions.nextDatagram(into: pool.bytes(of: handle)) else {
            pool.release(handle)
            return nil
        }
        return .send(OutgoingDatagram(buffer: handle, count: count, to: address))
    }

    var nextDeadline: Instant? { min(nextTurn, sessions.nextDeadline ?? nextTurn) }
    func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer { pool.bytes(of: handle) }
    func release(_ handle: BufferHandle) { pool.release(handle) }
    var statistics: CoreStatistics { CoreStatistics() }
    var peers: [PeerReport] { [] }
    func close(now: Instant) {}
}

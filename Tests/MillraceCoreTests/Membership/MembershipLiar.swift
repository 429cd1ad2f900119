/// A peer with a real session and a real identity that says whatever a test wants about membership.

import MillraceBase
import MillraceCrypto
import MillraceWire

@testable import MillraceCore

final class MembershipLiar: StreamCore {
    private let sessions: SessionTable
    private let key: SigningKey
    private var session: SessionID?
    private var pool = BufferPool(slots: 64)
    private var now: Instant
    private var queue: [[UInt8]] = []
    private(set) var node: Mesh.Node!
    /// PEERS frames that came, and the latest GETPEERS.
    private(set) var answers = 0
    var request: UInt16?

    /// It dials `meets` at once.
    init(_ mesh: Mesh, _ name: String, meets: Mesh.Node) {
        key = mesh.recordKey(name)
        let identity = mesh.stream(name)
        now = mesh.now
        sessions = SessionTable(
            config: SessionConfig(
                identity: identity.identity, prologue: SessionConfig.prologue(chainID: identity.chainID),
                startMicroseconds: identity.startMicroseconds), seed: Seed(77), now: now)
        _ = sessions.connect(to: meets.keys.publicKey, at: meets.address, now: now)
        node = mesh.add(name, self)
    }

    var isUp: Bool { session.map { sessions.isEstablished($0) } ?? false }

    func record(at address: PeerAddress, issuedAt: UInt64) -> PeerRecord {
        var record = PeerRecord(
            key: key.verifyingKey, address: address, chainID: Mesh.chainID, epoch: 0,
            issuedAtMicroseconds: issuedAt, lifetimeSeconds: 3_600)
        record.childrenFree = 5
        record.sign(with: key)
        return record
    }

    func say(_ body: (inout FrameWriter) -> Bool) {
        var room = [UInt8](repeating: 0, count: WireLimits.framesBytesMax)
        let count = room.withUnsafeMutableBytes { room -> Int in
            guard let base = room.baseAddress else { return 0 }
            var writer = FrameWriter(base: base, capacity: room.count)
            return body(&writer) ? writer.count : 0
        }
        queue.append(Array(room.prefix(count)))
    }

    // MARK: StreamCore

    func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        self.now = now
        let received = sessions.receive(datagram, from: address, now: now)
        while let event = sessions.nextEvent() {
            switch event {
            case .established(let id, _, _): session = id
            case .closed(let id, _): if session == id { session = nil }
            case .pathSeen, .addressChanged: break
            }
        }
        guard case .frames(let id, let range) = received else { return }
        // It speaks to whoever spoke last.
        session = id
        let bytes = UnsafeRawBufferPointer(rebasing: datagram[range])
        var reader = FrameReader(RawSpan(_unsafeBytes: bytes))
        while let frame = try? reader.next() {
            switch frame {
            case .getPeers(let request, _): self.request = request
            case .peers: answers += 1
            case .close: session = nil
            default: break
            }
        }
    }

    func handleTimeout(now: Instant) {
        self.now = now
        sessions.handleTimeout(now: now)
        while sessions.nextEvent() != nil {}
    }

    var nextDeadline: Instant? {
        queue.isEmpty || session == nil ? sessions.nextDeadline : min(sessions.nextDeadline ?? now, now)
    }

    func nextOutput() -> CoreOutput? {
        guard let handle = pool.take() else { return nil }
        let buffer = pool.bytes(of: handle)
        if let (count, address) = sessions.nextDatagram(into: buffer) {
            return .send(OutgoingDatagram(buffer: handle, count: count, to: address))
        }
        if let session, let address = sessions.address(of: session), !queue.isEmpty {
            let bytes = queue.removeFirst()
            for (i, byte) in bytes.enumerated() { buffer[SessionTable.headerBytes + i] = byte }
            if let count = sessions.seal(buffer, plaintextCount: bytes.count, for: session, now: now) {
                return .send(OutgoingDatagram(buffer: handle, count: count, to: address))
            }
        }
        pool.release(handle)
        return nil
    }

    func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer { pool.bytes(of: handle) }
    func release(_ handle: BufferHandle) { pool.release(handle) }
    var statistics: CoreStatistics { CoreStatistics() }
    var peers: [PeerReport] { [] }
    func close(now: Instant) {}
}

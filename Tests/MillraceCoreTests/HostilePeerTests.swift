/// What a hostile peer can do to the cores: garbage, forged shreds and headers, another sequencer, floods of requests.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceWire
import Testing

@testable import MillraceCore

/// A peer with a real session that says whatever it likes.
final class Liar: StreamCore {
    let sessions: SessionTable
    var peer: SessionID?
    var say: (() -> [UInt8]?)?
    private var pool = BufferPool(slots: 64)
    private var now: Instant
    private(set) var heard = 0
    private let parent: PeerEndpoint?

    init(_ identity: StreamIdentity, seed: Seed, now: Instant, parent: PeerEndpoint?) {
        let config = SessionConfig(
            identity: identity.identity, prologue: SessionConfig.prologue(chainID: identity.chainID),
            startMicroseconds: identity.startMicroseconds)
        sessions = SessionTable(config: config, seed: seed, now: now)
        self.now = now
        self.parent = parent
        if let parent { _ = sessions.connect(to: parent.key, at: parent.address, now: now) }
    }

    /// Forgets its session and begins another.
    func reconnect(now: Instant) {
        if let peer { sessions.close(peer, now: now) }
        peer = nil
        if let parent { _ = sessions.connect(to: parent.key, at: parent.address, now: now) }
    }

    func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        self.now = now
        if case .frames = sessions.receive(datagram, from: address, now: now) { heard += 1 }
        while let event = sessions.nextEvent() {
            if case .established(let id, _, _) = event { peer = id }
            if case .closed = event { peer = nil }
        }
    }

    func handleTimeout(now: Instant) {
        self.now = now
        sessions.handleTimeout(now: now)
    }

    var nextDeadline: Instant? { min(sessions.nextDeadline ?? .distantFuture, now + .milliseconds(5)) }

    func nextOutput() -> CoreOutput? {
        guard let handle = pool.take() else { return nil }
        let buffer = pool.bytes(of: handle)
        if let (count, address) = sessions.nextDatagram(into: buffer) {
            return .send(OutgoingDatagram(buffer: handle, count: count, to: address))
        }
        if let peer, let address = sessions.address(of: peer), let bytes = say?() {
            for (i, byte) in bytes.enumerated() { buffer[SessionTable.headerBytes + i] = byte }
            if let count = sessions.seal(buffer, plaintextCount: bytes.count, for: peer, now: now) {
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

@Suite(.serialized) struct HostilePeerTests {
    func addLiar(_ mesh: Mesh, _ name: String, parent: Mesh.Node?) -> (Mesh.Node, Liar) {
        let liar = Liar(
            mesh.stream(name), seed: Seed(99), now: mesh.now,
            parent: parent.map { PeerEndpoint(key: $0.keys.publicKey, address: $0.address) })
        return (mesh.add(name, liar), liar)
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `garbage datagrams change nothing`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        mesh.parameters = WireParameters(delay: .milliseconds(5), corruptPerMille: 20)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addRelay("relay", parents: [sequencer])
        let replica = mesh.addReplica("replica", parents: [relay])
        mesh.run(for: .milliseconds(500))
        var generator = Seed(seed).generator("garbage")
        for _ in 0..<150 {
            for node in [sequencer, relay, replica] {
                let bytes = (0..<Int(generator.below(1_300))).map { _ in
                    UInt8(truncatingIfNeeded: generator.next())
                }
                mesh.send(
                    bytes, from: .loopback(port: UInt16(20_000 + generator.below(100))), to: node.address)
            }
            try mesh.run(heights: 1)
        }
        try mesh.finish()
        #expect(replica.replica.isFinished)
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        #expect(replica.core.statistics.offences == 0)
    }

    @Test(arguments: [UInt64(4), 5, 6])
    func `a child that sends any bytes as frames is cut off, and the others are served`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        var generator = Seed(seed).generator("frames")
        let (_, liar) = addLiar(mesh, "liar", parent: sequencer)
        var left = 0
        liar.say = {
            if left == 0 { return nil }
            left -= 1
            var bytes = (0..<Int(generator.below(200) + 1)).map { _ in
                UInt8(truncatingIfNeeded: generator.next())
            }
            bytes[0] = UInt8(generator.below(16))
            return bytes
        }
        mesh.run(for: .milliseconds(300))
        for _ in 0..<100 {
            left = 20
            try mesh.run(heights: 1)
        }
        try mesh.finish()
        #expect(replica.replica.isFinished)
        #expect(sequencer.core.statistics.offences >= 3)
        #expect(sequencer.core.peers.count == 1)
    }

    @Test func `a parent that sends forged shreds and headers is cut off, and the other parent carries on`()
        throws
    {
        let mesh = Mesh(seed: 7)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addRelay("relay", parents: [sequencer])
        let (liarNode, liar) = addLiar(mesh, "liar", parent: nil)
        let replica = mesh.addReplica("replica", parents: [relay, liarNode])
        var generator = Seed(7).generator("forgeries")
        var left = 0
        liar.say = {
            if left == 0 { return nil }
            left -= 1
            var bytes = [UInt8](repeating: 0, count: 1_200)
            let count = bytes.withUnsafeMutableBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                var writer = FrameWriter(base: base, capacity: buffer.count)
                let symbol = (0..<500).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
                let key = SliceKey(firstHeight: mesh.sequencer.nextHeight - 1, index: 0)
                _ = symbol.withUnsafeBytes {
                    writer.appendShred(key, index: Int(generator.below(8)), symbol: $0)
                }
                _ = symbol.withUnsafeBytes { writer.appendHeader($0) }
                return writer.count
            }
            return Array(bytes.prefix(count))
        }
        mesh.run(for: .milliseconds(500))
        for _ in 0..<200 {
            left = 2
            try mesh.run(heights: 1)
        }
        try mesh.finish()
        #expect(replica.stops.isEmpty)
        #expect(replica.replica.isFinished)
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        #expect(replica.core.statistics.offences >= 3)
        #expect(replica.core.statistics.headersInvalid + replica.core.statistics.shredsInvalid >= 3)
        #expect(replica.core.peers.count == 1)
    }

    @Test func `a stream that another key signs is not followed`() throws {
        let mesh = Mesh(seed: 8)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer]) {
            $0.sequencerKey = SigningKey(seed: Hash32(word: U256(5))).verifyingKey
        }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 50)
        #expect(replica.replica.appliedHeight == 0)
        #expect(replica.core.statistics.headersInvalid >= 3)
        #expect(replica.count { if case .offence(_, .invalidHeader) = $0 { true } else { false } } >= 3)
    }

    @Test func `another genesis is refused before anything is applied`() throws {
        let mesh = Mesh(seed: 9)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer], genesisSeed: 10)
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 20)
        #expect(replica.replica.appliedHeight == 0)
        guard case .commitmentMismatch(height: 0, let signed, let computed) = replica.stops.first else {
            Issue.record("it did not stop")
            return
        }
        #expect(signed != computed)
        #expect(replica.stops.count == 1)
    }

    @Test func `a state that has gone wrong stops at the next EVM block, with both hashes`() throws {
        let mesh = Mesh(seed: 14)
        let sequencer = mesh.addSequencer()
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 120)
        #expect(replica.replica.appliedHeight >= 110)
        // A cosmic ray.
        let state = replica.replica.state
        let builder = DiffBuilder(state: state)
        builder.setBalance(
            MeshWorkload.address(5), to: builder.balance(of: MeshWorkload.address(5)) &+ U256(1))
        var diff = StateDiff()
        builder.seal(
            kind: .transactions, firstHeight: state.height, lastHeight: state.height, sealedAtMicroseconds: 0,
            into: &diff)
        try state.apply(diff)
        try mesh.run(heights: 180)
        guard case .commitmentMismatch(height: 200, let signed, let computed) = replica.stops.first else {
            Issue.record("it did not stop: \(replica.stops)")
            return
        }
        #expect(signed != computed)
        // The signed commitment comes at most 95 mini-blocks after its height.
        #expect(replica.replica.appliedHeight < 300)
        let stoppedAt = replica.replica.appliedHeight
        try mesh.run(heights: 20)
        #expect(replica.replica.appliedHeight == stoppedAt)
        #expect(replica.stops.count == 1)
    }

    @Test func `a replica that needs what nobody holds says so`() throws {
        let mesh = Mesh(seed: 15)
        let sequencer = mesh.addSequencer { $0.serving.retentionBytesMax = 1 << 20 }
        mesh.run(for: .milliseconds(100))
        try mesh.run(heights: 60, transactions: 300)
        let replica = mesh.addReplica("replica", parents: [sequencer])
        try mesh.run(heights: 800, transactions: 10)
        guard case .beyondRetention(height: 1, let floor) = replica.stops.first else {
            Issue.record("it did not stop: \(replica.stops) \(replica.core.statistics)")
            return
        }
        #expect(floor > 1)
    }

    @Test func `what nobody held for a moment, and came, stops nobody later`() throws {
        let mesh = Mesh(seed: 21)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addRelay("relay", parents: [sequencer])
        for (from, to) in [(sequencer, relay), (relay, sequencer)] {
            mesh.link(from, to, WireParameters(delay: .milliseconds(13)))
        }
        mesh.run(for: .milliseconds(400))
        let replica = mesh.addReplica("replica", parents: [relay])
        mesh.run(for: .milliseconds(300))
        // The relay first hears of a later height; what it asks for takes a round trip, and the replica asks meanwhile.
        mesh.cut(sequencer, relay)
        try mesh.run(heights: 5, transactions: 1)
        mesh.cut(sequencer, relay, false)
        try mesh.run(heights: 40, transactions: 1)
        #expect(replica.core.statistics.missesReceived > 0)
        #expect(replica.replica.appliedHeight > 5)
        mesh.run(for: .seconds(6))
        try mesh.run(heights: 5, transactions: 1)
        #expect(replica.stops.isEmpty)
    }

    @Test func `a child that asks without end, and says nothing of what came, gets what may be under way`()
        throws
    {
        let mesh = Mesh(seed: 16)
        let sequencer = mesh.addSequencer { $0.serving.pacingKilobitsPerSecond = 8_000 }
        let (liarNode, liar) = addLiar(mesh, "liar", parent: sequencer)
        var left = 0
        var request: UInt16 = 0
        liar.say = {
            if left == 0 { return nil }
            left -= 1
            request &+= 1
            var bytes = [UInt8](repeating: 0, count: 64)
            let count = bytes.withUnsafeMutableBytes { buffer -> Int in
                guard let base = buffer.baseAddress else { return 0 }
                var writer = FrameWriter(base: base, capacity: buffer.count)
                _ = writer.append(.catchUp(request: request, cadence: .c0, first: 1, count: 256))
                return writer.count
            }
            return Array(bytes.prefix(count))
        }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 100, transactions: 100)
        let before = mesh.wire(sequencer, liarNode)?.bytes ?? 0
        for _ in 0..<100 {
            left = 10
            try mesh.run(heights: 1, transactions: 100)
        }
        let bytes = (mesh.wire(sequencer, liarNode)?.bytes ?? 0) - before
        // Without FEEDBACK what may be under way is given up once a second (Spec 55.4, rule 9). MISS and STATUS come beside it.
        let underWay = Int(RateController.inFlightMin) + 65_536
        #expect(bytes > UInt64(underWay * 3 / 4))
        #expect(bytes < UInt64(underWay * 2))
    }
}

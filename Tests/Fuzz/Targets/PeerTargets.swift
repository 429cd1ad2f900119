/// An authenticated peer that says anything: frames of its own making, genuine headers and shreds in any order, headers a
/// sequencer gone wrong has signed, raw datagrams, silence. A core must neither trap nor answer without bound, and a
/// replica must end in a state the sequencer had.

import MillraceBase
import MillraceCodec
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceWire

private let chainID: UInt64 = 7
private let signingKey = SigningKey(seed: Hash32(word: U256(42)))
private let coreKeys = StaticKeyPair(privateKey: Hash32(word: U256(1)))
private let peerKeys = StaticKeyPair(privateKey: Hash32(word: U256(2)))
private let coreAddress = PeerAddress(ipv4: 0x7F00_0001, port: 1)
private let peerAddress = PeerAddress(ipv4: 0x7F00_0001, port: 2)
private let start = Instant(nanoseconds: 1_000_000_000)

/// The genuine stream: headers, and symbols by slice and stripe.
private struct GenuineStream: Sendable {
    var headers: [SliceHeader] = []
    var headerBytes: [[UInt8]] = []
    var symbols: [[Int: [UInt8]]] = []

    init() {
        let state = State(seed: Seed(1))
        let codec = Codec()
        var encoder = SliceEncoder(
            chainID: chainID, epoch: 0, codecID: Codec.id,
            originHash: StateCommitment(of: state).commitmentNow(),
            key: signingKey, symbolBytesMax: 48)
        let pool = SlicePool(bytesMax: 1 << 20)
        for diff in sampleDiffs() {
            var payload: [UInt8] = []
            codec.encode(diff, base: state, into: &payload)
            guard (try? state.apply(diff)) != nil else { preconditionFailure("a sealed diff was refused") }
            codec.advance(past: diff, state: state)
            let seal = SliceSeal(height: diff.firstHeight, sealedAtMicroseconds: 1)
            for slice in encoder.encode(payload, seal: seal, parityCount: 2, pool: pool) ?? [] {
                headers.append(slice.header)
                headerBytes.append(slice.headerBytes)
                var all: [Int: [UInt8]] = [:]
                for stripe in 0..<48 {
                    if let symbol = slice.symbol(ofStripe: stripe) { all[stripe] = Array(symbol) }
                }
                symbols.append(all)
            }
        }
    }
}

private let stream = GenuineStream()

final class HostilePeer {
    let core: any StreamCore
    /// Datagrams of the core that went elsewhere: strangers it tries to reach.
    private(set) var sentElsewhere = 0
    private let table: SessionTable
    private var session: SessionID?
    private var now = start

    /// `own` and `other` are the keys of the peer and of the core.
    init(
        _ core: any StreamCore, connects: Bool, own: StaticKeyPair? = nil, other: StaticKeyPair? = nil
    ) {
        self.core = core
        var config = SessionConfig(
            identity: own ?? peerKeys, prologue: SessionConfig.prologue(chainID: chainID),
            startMicroseconds: 1)
        config.sessionsMax = 4
        table = SessionTable(config: config, seed: Seed(9), now: start)
        if connects { _ = table.connect(to: (other ?? coreKeys).publicKey, at: coreAddress, now: now) }
        for _ in 0..<6 { exchange() }
    }

    /// Carries what both want to say, once.
    func exchange() {
        var room = [UInt8](repeating: 0, count: 1_232)
        while let (count, _) = room.withUnsafeMutableBytes({ table.nextDatagram(into: $0) }) {
            give(Array(room.prefix(count)))
        }
        var outputs = 0
        while let output = core.nextOutput() {
            outputs += 1
            promise(outputs < 100_000, "a core that never falls silent")
            guard case .send(let datagram) = output else { continue }
            var bytes = Array(core.bytes(of: datagram.buffer).prefix(datagram.count))
            core.release(datagram.buffer)
            promise(datagram.count <= Limits.datagramBytesMax, "a datagram larger than the largest")
            guard datagram.to == peerAddress else {
                sentElsewhere += 1
                continue
            }
            _ = bytes.withUnsafeMutableBytes { table.receive($0, from: coreAddress, now: now) }
        }
        while let event = table.nextEvent() {
            switch event {
            case .established(let id, _, _): session = id
            case .closed(let id, _): if session == id { session = nil }
            case .pathSeen, .addressChanged: break
            }
        }
    }

    func give(_ datagram: [UInt8]) {
        var copy = datagram
        copy.withUnsafeMutableBytes { core.receive($0, from: peerAddress, now: now) }
    }

    /// Frames of the peer's choice, under its session.
    func say(_ frames: [UInt8]) {
        guard let session, !frames.isEmpty, frames.count <= WireLimits.framesBytesMax else { return }
        var buffer = [UInt8](repeating: 0, count: 8) + frames + [UInt8](repeating: 0, count: 16)
        let count = buffer.withUnsafeMutableBytes {
            table.seal($0, plaintextCount: frames.count, for: session, now: now)
        }
        guard let count else { return }
        give(Array(buffer.prefix(count)))
    }

    func wait(milliseconds: Int64) {
        now = now + Interval.milliseconds(milliseconds)
        table.handleTimeout(now: now)
        core.handleTimeout(now: now)
    }

    func step(_ input: inout FuzzInput) {
        switch input.u8() % 8 {
        case 0: say(input.bytes(Int(input.u8())))
        case 1:
            // A frame as it should be, with a byte or two changed.
            let samples = frameSamples()
            var frame = samples[input.below(samples.count)]
            for _ in 0..<(input.u8() % 3) where !frame.isEmpty {
                frame[input.below(frame.count)] = input.u8()
            }
            say(frame)
        case 2:
            let header = stream.headerBytes[input.below(stream.headers.count)]
            say(framed { writer in header.withUnsafeBytes { writer.appendHeader($0) } })
        case 3:
            let slice = input.below(stream.headers.count)
            let stripe = Int(input.u8() % 48)
            guard var symbol = stream.symbols[slice][stripe], !symbol.isEmpty else { return }
            let (change, request) = (input.u8(), input.u8())
            if change & 7 == 7 { symbol[Int(change) % symbol.count] ^= 1 }
            say(
                framed { writer in
                    symbol.withUnsafeBytes {
                        writer.appendShred(
                            stream.headers[slice].key, index: stripe, symbol: $0,
                            answering: request & 3 == 0 ? UInt16(request) : nil)
                    }
                })
        case 4:
            // What the sequencer should never have signed.
            var header = stream.headers[input.below(stream.headers.count)]
            switch input.u8() % 6 {
            case 0: header.lastHeight &+= UInt64(input.u8())
            case 1: (header.firstHeight, header.lastHeight) = (UInt64(input.u16()), UInt64(input.u16()))
            case 2: header.commitment = SliceCommitment(height: UInt64(input.u8()) * 100, hash: .zero)
            case 3: header.isEndOfStream = true
            case 4: header.previousHeaderHash = .zero
            default: header.payloadHash = .zero
            }
            header.sign(with: signingKey)
            let bytes = header.encoded
            say(framed { writer in bytes.withUnsafeBytes { writer.appendHeader($0) } })
        case 5: give(input.bytes(Int(input.u8())))
        case 6:
            let time = Int64(input.u8())
            wait(milliseconds: time * time / 8)
        default: exchange()
        }
    }

    func framed(_ body: (inout FrameWriter) -> Bool) -> [UInt8] {
        var room = [UInt8](repeating: 0, count: WireLimits.framesBytesMax)
        let count = room.withUnsafeMutableBytes { room in
            guard let base = room.baseAddress else { return 0 }
            var writer = FrameWriter(base: base, capacity: room.count)
            return body(&writer) ? writer.count : 0
        }
        return Array(room.prefix(count))
    }
}

private func identity() -> StreamIdentity {
    StreamIdentity(identity: coreKeys, chainID: chainID, startMicroseconds: 1)
}

private func following() -> FollowingConfig {
    var config = FollowingConfig(parents: [PeerEndpoint(key: peerKeys.publicKey, address: peerAddress)])
    config.waitingBytesMax = 1 << 20
    return config
}

private func serving() -> ServingConfig {
    var config = ServingConfig()
    config.retentionBytesMax = 1 << 20
    return config
}

private func attack(_ core: any StreamCore, connects: Bool, _ bytes: UnsafeRawBufferPointer) {
    var input = FuzzInput(bytes)
    let peer = HostilePeer(core, connects: connects)
    var steps = 0
    while !input.isAtEnd, steps < 200 {
        peer.step(&input)
        peer.exchange()
        steps += 1
    }
}

/// Headers and all shreds of the stream in order; then the same with losses, changes and waits.
private let attackSeeds: @Sendable () -> [[UInt8]] = {
    var all: [UInt8] = []
    for slice in 0..<UInt8(clamping: stream.headers.count) {
        all += [2, slice, 0]
        for stripe in stream.symbols[Int(slice)].keys.sorted() { all += [3, slice, 0, UInt8(stripe), 0, 1] }
        all += [6, 9, 7]
    }
    let frames: [UInt8] = (0..<13 as Range<UInt8>).flatMap { [1, $0, 0, 0, 6, 30] }
    return [
        all, frames, [4, 1, 0, 2, 1, 6, 40] + all, [5, 30] + [UInt8](repeating: 7, count: 30) + frames + all,
    ]
}

extension FuzzTarget {
    static let relayPeer = FuzzTarget("relay-peer", bytesMax: 1_024, seeds: attackSeeds) { bytes in
        var config = RelayConfig(
            stream: identity(), sequencerKey: signingKey.verifyingKey, following: following())
        config.serving = serving()
        attack(RelayCore(config: config, seed: Seed(3), now: start), connects: false, bytes)
    }

    static let replicaPeer = FuzzTarget("replica-peer", bytesMax: 1_024, seeds: attackSeeds) { bytes in
        let core = replica(after: bytes)
        guard core.stopReason == nil else { return }
        // The state is one the sequencer had.
        let expected = State(seed: Seed(1))
        for diff in sampleDiffs() where diff.lastHeight <= core.appliedHeight {
            _ = try? expected.apply(diff)
        }
        promise(
            StateCommitment(of: expected).commitmentNow() == core.stateCommitment(),
            "a state the sequencer never had, at height \(core.appliedHeight)")
    }

    private static func replica(after bytes: UnsafeRawBufferPointer) -> ReplicaCore {
        let config = ReplicaConfig(
            stream: identity(), sequencerKey: signingKey.verifyingKey, following: following())
        let core = ReplicaCore(config: config, state: State(seed: Seed(1)), seed: Seed(3), now: start)
        attack(core, connects: false, bytes)
        return core
    }

    /// How far an input takes a replica: a test that asks this of the honest seed shows that the target reaches the depths
    /// it is meant to.
    public static func replicaHeight(after input: [UInt8]) -> UInt64 {
        input.withUnsafeBytes { replica(after: $0).appliedHeight }
    }

    static let sequencerPeer = FuzzTarget("sequencer-peer", bytesMax: 1_024, seeds: attackSeeds) { bytes in
        var config = SequencerConfig(stream: identity(), signingKey: signingKey)
        config.serving = serving()
        let core = SequencerCore(config: config, state: State(seed: Seed(1)), seed: Seed(3), now: start)
        for diff in sampleDiffs() where (try? core.seal(diff, now: start)) == nil {
            preconditionFailure("a sealed diff was refused")
        }
        attack(core, connects: true, bytes)
    }
}

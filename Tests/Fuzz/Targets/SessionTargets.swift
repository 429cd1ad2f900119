/// Two session tables and a wire between them that does what the bytes say: deliver, lose, repeat, flip, forge, wait.
/// Whatever comes out must have gone in, once.

import MillraceBase
import MillraceCore
import MillraceCrypto

private let keys = (
    StaticKeyPair(privateKey: Hash32(word: U256(1))), StaticKeyPair(privateKey: Hash32(word: U256(2)))
)
private let addresses = [
    PeerAddress(ipv4: 0x7F00_0001, port: 1), PeerAddress(ipv4: 0x7F00_0001, port: 2),
    PeerAddress(ipv4: 0x0A00_0001, port: 3),
]

private final class Wire {
    private var tables: [SessionTable]
    private var now = Instant(nanoseconds: 1_000_000_000)
    /// Datagrams under way or seen, with the side they go to.
    private var datagrams: [(to: Int, bytes: [UInt8], isTrue: Bool)] = []
    private var established: [[SessionID]] = [[], []]
    private var sent: UInt32 = 0
    private var arrived: Set<UInt32> = []

    init(seed: UInt64) {
        tables = [keys.0, keys.1].enumerated().map { side, pair in
            var config = SessionConfig(
                identity: pair, prologue: SessionConfig.prologue(chainID: 1), startMicroseconds: 1)
            config.sessionsMax = 8
            config.halfOpenMax = 4
            return SessionTable(
                config: config, seed: Seed(seed + UInt64(side)), now: Instant(nanoseconds: 1_000_000_000))
        }
    }

    private func drain(_ side: Int) {
        while let event = tables[side].nextEvent() {
            switch event {
            case .established(let id, _, _): established[side].append(id)
            case .closed(let id, _): established[side].removeAll { $0 == id }
            case .pathSeen(let id, let address): tables[side].move(id, to: address, now: now)
            case .addressChanged: break
            }
        }
        promise(tables[side].sessionCount <= 8, "more sessions than allowed")
        var room = [UInt8](repeating: 0, count: 1_232)
        while datagrams.count < 256 {
            guard let (count, _) = room.withUnsafeMutableBytes({ tables[side].nextDatagram(into: $0) }) else {
                break
            }
            datagrams.append((1 - side, Array(room.prefix(count)), true))
        }
    }

    private func give(_ bytes: [UInt8], to side: Int, from address: PeerAddress, isTrue: Bool) {
        var copy = bytes
        let received = copy.withUnsafeMutableBytes { tables[side].receive($0, from: address, now: now) }
        if case .frames(_, let range) = received {
            promise(isTrue, "a forged datagram was opened")
            promise(range.lowerBound >= 0 && range.upperBound <= copy.count, "frames outside of the datagram")
            if range.count >= 4 {
                let number = copy[range].prefix(4).reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
                promise(number < sent, "a datagram that was never sent")
                promise(
                    copy[range].dropFirst(4).allSatisfy { $0 == UInt8(truncatingIfNeeded: number) },
                    "other bytes")
                promise(arrived.insert(number).inserted, "a datagram was opened twice")
            }
        }
        drain(side)
    }

    func step(_ input: inout FuzzInput) {
        let (kind, choice) = (input.u8() % 9, input.u8())
        let side = Int(choice & 1)
        switch kind {
        case 0:
            let key = choice & 2 == 0 ? tables[1 - side].publicKey : nil
            _ = tables[side].connect(to: key, at: addresses[1 - side], now: now)
            drain(side)
        case 1, 2:
            // Deliver the oldest, or any one again.
            guard !datagrams.isEmpty else { return }
            let index = kind == 1 ? 0 : Int(choice) % datagrams.count
            let datagram = datagrams[index]
            if kind == 1 { datagrams.removeFirst() }
            give(datagram.bytes, to: datagram.to, from: addresses[1 - datagram.to], isTrue: datagram.isTrue)
        case 3:
            guard !datagrams.isEmpty else { return }
            datagrams.remove(at: Int(choice) % datagrams.count)
        case 4:
            // A flipped bit: never opened, whatever else it does.
            guard !datagrams.isEmpty else { return }
            var datagram = datagrams[Int(choice) % datagrams.count]
            guard !datagram.bytes.isEmpty else { return }
            datagram.bytes[input.below(datagram.bytes.count)] ^= 1 << (input.u8() % 8)
            give(datagram.bytes, to: datagram.to, from: addresses[2], isTrue: false)
        case 5:
            give(input.bytes(Int(input.u8())), to: side, from: addresses[2], isTrue: false)
        case 6:
            guard let id = established[side].last, datagrams.count < 256 else { return }
            let count = 4 + Int(input.u8())
            var buffer = [UInt8](repeating: UInt8(truncatingIfNeeded: sent), count: 8 + count + 16)
            for byte in 0..<4 { buffer[8 + byte] = UInt8(truncatingIfNeeded: sent >> UInt32(8 * byte)) }
            let length = buffer.withUnsafeMutableBytes {
                tables[side].seal($0, plaintextCount: count, for: id, now: now)
            }
            guard let length else { return }
            sent += 1
            datagrams.append((1 - side, Array(buffer.prefix(length)), true))
        case 7:
            now = now + Interval.milliseconds(Int64(choice) * Int64(choice))
            for side in 0..<2 {
                tables[side].handleTimeout(now: now)
                drain(side)
            }
        default:
            guard choice & 0xF0 == 0xF0, let id = established[side].last else { return }
            tables[side].close(id, now: now)
            drain(side)
        }
    }
}

extension FuzzTarget {
    static let sessions = FuzzTarget(
        "sessions", bytesMax: 1_024,
        seeds: {
            // Connect, three handshake messages or two, data both ways, a repeat, a flip, time, a rekey.
            let begin: [UInt8] = [0, 0, 1, 0, 1, 0, 1, 0, 1, 0]
            let data: [UInt8] = [6, 0, 20, 6, 1, 200, 2, 0, 1, 0, 1, 0, 6, 0, 9, 4, 0, 12, 0, 3, 1, 0]
            return [
                begin + data, [0, 2] + begin.dropFirst(2) + data,
                begin + data + [7, 255, 7, 255, 1, 0, 1, 0] + data,
                [0, 0, 0, 1] + begin.dropFirst(2) + data, [5, 0, 40] + [UInt8](repeating: 1, count: 40),
                begin + [8, 0xF0, 6, 0, 5, 1, 0],
            ]
        },
        run: { bytes in
            var input = FuzzInput(bytes)
            let wire = Wire(seed: UInt64(input.u8()))
            var steps = 0
            while !input.isAtEnd, steps < 400 {
                wire.step(&input)
                steps += 1
            }
        })
}

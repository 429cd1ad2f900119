/// Attackers without a core: they put datagrams on their lines and await no answer.

import MillraceBase
import MillraceCore
import MillraceCrypto

/// How many are due in each millisecond at so many a second.
struct SendRate {
    private let perSecond: Int
    private var owed = 0

    init(perSecond: Int) { self.perSecond = perSecond }

    mutating func due() -> Int {
        owed += perSecond
        defer { owed %= 1_000 }
        return owed / 1_000
    }
}

/// Handshakes from addresses that never answer, each of another key and another address. A table that began one forgets it at
/// once, so that the next is new.
final class Spoofer: AttackSender {
    /// As many keys as there are half-open places to take.
    static let identities = 512
    private var tables: [SessionTable] = []
    private var next = 0
    private var rate: SendRate
    private var draws: SeededGenerator
    private var buffer = [UInt8](repeating: 0, count: 256)

    init(_ attack: Attack, seed: Seed) {
        rate = SendRate(perSecond: attack.perSecond)
        draws = seed.generator("sim spoof")
    }

    func act(_ simulation: Simulation, _ state: AttackState) {
        let now = Instant(nanoseconds: simulation.now)
        for attacker in state.nodes {
            for _ in 0..<rate.due() {
                let target = state.targets[Int(draws.below(UInt64(state.targets.count)))]
                let table = table(isOpen: simulation.scenario.fidelity == .network, now: now)
                guard let session = table.connect(to: target.keys.publicKey, at: target.address, now: now)
                else { continue }
                let told = buffer.withUnsafeMutableBytes { table.nextDatagram(into: $0) }
                table.close(session, now: now)
                while table.nextEvent() != nil {}
                guard let told else { continue }
                simulation.inject(
                    Array(buffer.prefix(told.count)), from: attacker, as: ForgedAddress.draw(&draws),
                    to: target,
                    state)
            }
        }
    }

    /// `isOpen`: sessions by reference, which agree on keys in a way of their own.
    private func table(isOpen: Bool, now: Instant) -> SessionTable {
        next = (next + 1) % Spoofer.identities
        if next < tables.count { return tables[next] }
        var config = SessionConfig(
            identity: StaticKeyPair(privateKey: Blake2b.hash(Array("spoofed \(tables.count)".utf8))),
            prologue: SessionConfig.prologue(chainID: Simulation.chainID),
            startMicroseconds: NodeClock.epochMicroseconds + now.nanoseconds / 1_000)
        config.sessionsMax = 4
        config.leavesDatagramsOpen = isOpen
        let table = SessionTable(config: config, seed: Seed(draws.next()), now: now)
        tables.append(table)
        next = tables.count - 1
        return table
    }
}

/// Nonsense of a datagram's length, to session numbers that may be somebody's.
final class Flooder: AttackSender {
    static let datagramBytes = 1_232
    private var rate: SendRate
    private var draws: SeededGenerator

    init(_ attack: Attack, seed: Seed) {
        rate = SendRate(perSecond: attack.perSecond)
        draws = seed.generator("sim flood")
    }

    func act(_ simulation: Simulation, _ state: AttackState) {
        for attacker in state.nodes {
            for _ in 0..<rate.due() {
                let target = state.targets[Int(draws.below(UInt64(state.targets.count)))]
                var bytes: [UInt8] = []
                while bytes.count < Flooder.datagramBytes {
                    withUnsafeBytes(of: draws.next().littleEndian) { bytes += $0 }
                }
                // Not a handshake: those are Spoofer's.
                bytes[2] |= 1
                simulation.inject(bytes, from: attacker, as: ForgedAddress.draw(&draws), to: target, state)
            }
        }
    }
}

/// Hears what reaches the targets, and sends it again as if from the same sender.
final class Replayer: AttackSender {
    /// Of what it heard last: two seconds of the stream.
    static let heldMax = 8_192
    private static let delay = Interval.milliseconds(50)
    private struct Heard {
        var due: UInt64
        var source: PeerAddress
        var target: SimNode
        var bytes: [UInt8]
    }
    private var heard: [Heard] = []
    private var first = 0
    private let copies: Int

    init(_ attack: Attack) { copies = attack.copies }

    func overheard(
        _ simulation: Simulation, _ state: AttackState, _ node: SimNode, _ flight: Flight,
        from source: PeerAddress
    ) {
        guard node.attack == nil, nodesOwn(flight, simulation),
            state.targets.contains(where: { $0 === node }),
            heard.count - first < Replayer.heldMax
        else { return }
        let bytes = Array(simulation.flights.bytes(of: flight))
        // Handshakes have rules of their own; what is asked here is whether a session takes a datagram twice.
        guard bytes.count >= 4, bytes[2] | bytes[3] != 0 else { return }
        heard.append(
            Heard(
                due: simulation.now + UInt64(Replayer.delay.nanoseconds), source: source, target: node,
                bytes: bytes))
    }

    /// What attackers sent is not heard again.
    private func nodesOwn(_ flight: Flight, _ simulation: Simulation) -> Bool {
        simulation.nodes[Int(flight.from)].attack == nil
    }

    func act(_ simulation: Simulation, _ state: AttackState) {
        while first < heard.count, heard[first].due <= simulation.now {
            let one = heard[first]
            first += 1
            for attacker in state.nodes {
                for _ in 0..<copies {
                    simulation.inject(one.bytes, from: attacker, as: one.source, to: one.target, state)
                }
            }
        }
        if first > 1_024 {
            heard.removeFirst(first)
            first = 0
        }
    }
}

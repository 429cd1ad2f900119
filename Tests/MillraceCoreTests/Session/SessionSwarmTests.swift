import MillraceBase
import MillraceCrypto
import Testing

@testable import MillraceCore

/// Random lives of a few nodes: they connect, speak, forget each other, lose datagrams, restart, move and grow old. After every
/// step the tables add up; at the end the wire is healed and everybody can speak.
@Suite struct `Session swarm` {
    /// What must hold in a table at any time.
    static func check(_ table: SessionTable, _ context: String) {
        var places: [Int] = []
        for slot in table.sessions.indices {
            let session = table.sessions[slot]
            let pending = table.pending[slot]
            let own = [session.current, session.previous, session.next].compactMap { $0 }
            if session.state == .free {
                #expect(own.isEmpty && pending == nil && table.freeSlots.contains(slot), "\(context)")
                continue
            }
            places += own
            for place in own {
                #expect(
                    table.store[place].state == .live && table.store[place].slot == UInt32(slot), "\(context)"
                )
            }
            if let place = pending?.place, table.store[place].state == .promised { places.append(place) }
            #expect(
                (session.state == .established) == (session.state == .established && session.current != nil),
                "\(context)")
            if session.state == .established {
                #expect(session.isAnnounced && session.peer != .unknown, "\(context)")
            }
        }
        #expect(Set(places).count == places.count, "\(context)")
        let used = table.store.keys.count { $0.state != .free }
        #expect(used == places.count, "\(context): \(used) places used, \(places.count) known")
        for slot in table.halfOpen { #expect(table.sessions[slot].state == .answering, "\(context)") }
        let established = table.sessions.filter { $0.state == .established }.map(\.peer)
        #expect(Set(established).count == established.count, "\(context): two sessions with one peer")
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func `tables add up through any life and heal`(_ seed: UInt64) {
        let world = SessionWorld(seed: seed)
        var random = Seed(seed).generator("swarm")
        world.jitter = .milliseconds(50)
        world.provesPaths = true
        func fresh(_ n: UInt64) -> SessionWorld.Node {
            world.add(n) {
                $0.sessionsMax = 6
                $0.halfOpenMax = 3
                $0.rekeyAfter = .seconds(20)
                $0.rekeyPatience = .seconds(3)
                $0.keyLifetime = .seconds(40)
                $0.idleTimeout = .seconds(15)
            }
        }
        var nodes = (1...4).map { fresh($0) }
        func anySession(_ node: SessionWorld.Node) -> SessionID? {
            let open = node.established.filter { node.table.isEstablished($0) }
            return open.isEmpty ? nil : open[Int(random.below(UInt64(open.count)))]
        }
        for step in 0..<250 {
            let i = Int(random.below(4))
            let j = (i + 1 + Int(random.below(3))) % 4
            switch random.below(12) {
            case 0, 1: _ = world.connect(nodes[i], nodes[j], knowing: random.below(3) != 0)
            case 2:
                if random.below(4) == 0 {
                    world.nodes.removeAll { $0 === nodes[i] }
                    world.run(.milliseconds(10))
                    nodes[i] = fresh(UInt64(i + 1))
                }
            case 3:
                if random.below(3) == 0, let id = anySession(nodes[i]) {
                    nodes[i].table.close(id, now: world.now)
                }
            case 4: nodes[i].address.port = UInt16(9_000 + i * 100 + Int(random.below(50)))
            case 5: world.lossPermille = [0, 100, 300, 900][Int(random.below(4))]
            case 6: world.run(.seconds(Int64(random.below(12))))
            default:
                if let id = anySession(nodes[i]) {
                    world.send([UInt8(truncatingIfNeeded: step)], on: id, from: nodes[i])
                }
                world.run(.milliseconds(Int64(random.below(400))))
            }
            for node in nodes { Self.check(node.table, "seed \(seed), step \(step)") }
        }
        world.lossPermille = 0
        world.run(.seconds(60))
        for i in 0..<4 {
            for j in 0..<4 where i != j {
                let id = world.connect(nodes[i], nodes[j])
                world.run(.seconds(6))
                // A session with the peer may have stood already, at an address the peer has left.
                let stands = nodes[i].table.isEstablished(id) ? id : world.connect(nodes[i], nodes[j])
                world.run(.seconds(6))
                let text: [UInt8] = [200, UInt8(i), UInt8(j)]
                #expect(world.send(text, on: stands, from: nodes[i]), "seed \(seed): \(i) to \(j)")
                world.run(.seconds(1))
                #expect(nodes[j].texts.last == text, "seed \(seed): \(i) to \(j)")
            }
        }
        for node in nodes { Self.check(node.table, "seed \(seed), at the end") }
    }
}

/// One direction of a line in a simulation: the link's model, and where a datagram goes that has come through it. A node has two
/// of its own; several nodes may stand behind a shared one besides, as a street behind its cabinet does.
///
///     sender's line ─▶ sender's shared line ─▶ way between regions ─▶ receiver's shared line ─▶ receiver's line ─▶ core
///
/// Nodes behind the same shared line reach each other without it. Shared lines come first in, first out, like any other: who
/// takes what share of one is its queue's doing (`aqm=fq-codel` serves senders in turn).

import MillraceBase
import MillraceLink

final class Line {
    enum Leg: UInt8 { case nodeUp, sharedUp, sharedDown, nodeDown }

    let index: UInt32
    let leg: Leg
    var model: LinkModel
    /// When the event that serves a fair queue is due; `.max` when there is none.
    var serviceAt = UInt64.max

    /// Traces and outages count from `origin`, the first mini-block.
    init(index: UInt32, leg: Leg, _ parameters: LinkParameters, origin: Instant, seed: Seed) {
        self.index = index
        self.leg = leg
        model = LinkModel(parameters, seed: seed, index: UInt64(index), origin: origin)
    }
}

/// A line that several nodes stand behind.
final class SharedLine {
    let name: String
    let up: Line
    let down: Line

    init(name: String, up: Line, down: Line) {
        self.name = name
        self.up = up
        self.down = down
    }
}

extension Simulation {
    /// A datagram enters a line at `time`.
    @inline(__always)
    func enter(_ item: UInt32, _ line: Line, at time: UInt64) {
        let flight = flights[item]
        if line.model.isPlain {
            let now = Instant(nanoseconds: time)
            guard let at = line.model.arrival(bytes: Int(flight.wireBytes), now: now) else {
                return flights.give(item)
            }
            return goOn(item, line.leg, from: at.nanoseconds)
        }
        if line.model.isFair { return offer(item, flight, line, at: time) }
        let passage = line.model.pass(bytes: Int(flight.wireBytes), now: Instant(nanoseconds: time))
        follow(item, passage, line.leg)
    }

    /// To a line that serves flows in turn: a flow is who sends to whom, ports and all.
    private func offer(_ item: UInt32, _ flight: Flight, _ line: Line, at time: UInt64) {
        let flow =
            UInt64(flight.from) << 48 ^ UInt64(flight.to) << 32 ^ UInt64(flight.fromPort) << 16
            ^ UInt64(flight.toPort)
        let refusal = line.model.offer(
            bytes: Int(flight.wireBytes), flow: flow, token: UInt64(item), now: Instant(nanoseconds: time))
        if refusal != nil { flights.give(item) }
        settle(line)
    }

    /// The wire of a fair line is free.
    func serve(_ line: Line) {
        guard line.serviceAt <= now else { return }
        line.serviceAt = .max
        line.model.advance(to: Instant(nanoseconds: now))
        settle(line)
    }

    private func settle(_ line: Line) {
        while let outcome = line.model.nextOutcome() {
            follow(UInt32(outcome.token), outcome.passage, line.leg)
        }
        guard let next = line.model.nextService, next.nanoseconds < line.serviceAt else { return }
        line.serviceAt = next.nanoseconds
        queue.push(Event(at: next.nanoseconds, item: line.index, kind: .serve))
    }

    /// What became of a datagram in a line, and where it goes from there.
    @inline(__always)
    func follow(_ item: UInt32, _ passage: Passage, _ leg: Line.Leg) {
        guard passage.isDelivered else { return flights.give(item) }
        if passage.isMarked { flights[item].isMarked = true }
        if passage.isDuplicated {
            let flight = flights[item]
            let isFlipped = passage.duplicateFlippedBit != Passage.noBit
            let twin = flights.take(
                from: flight.from, to: flight.to, fromPort: flight.fromPort, toPort: flight.toPort,
                wireBytes: flight.wireBytes,
                flippedBit: isFlipped ? passage.duplicateFlippedBit : flight.flippedBit,
                UnsafeRawBufferPointer(flights.bytes(of: flight)))
            flights[twin].isMarked = flight.isMarked
            goOn(twin, leg, from: passage.duplicateAt.nanoseconds)
        }
        if passage.flippedBit != Passage.noBit { flights[item].flippedBit = passage.flippedBit }
        goOn(item, leg, from: passage.at.nanoseconds)
    }

    @inline(__always)
    private func goOn(_ item: UInt32, _ leg: Line.Leg, from time: UInt64) {
        let flight = flights[item]
        switch leg {
        case .nodeUp:
            if hasSharedLines, sharedLine(of: flight.from, towards: flight.to) != nil {
                queue.push(Event(at: time, item: item, node: flight.from, kind: .share))
            } else {
                setOut(item, flight, at: time)
            }
        case .sharedUp: setOut(item, flight, at: time)
        case .sharedDown: queue.push(Event(at: time, item: item, node: flight.to, kind: .enter))
        case .nodeDown: comesThrough(item, nodes[Int(flight.to)], at: time)
        }
    }

    /// A datagram will have come through its receiver's line at `time`.
    @inline(__always)
    func comesThrough(_ item: UInt32, _ node: SimNode, at time: UInt64) {
        if takesTurns[Int(node.index)] {
            node.deliveries.insert(item, at: time)
        } else {
            queue.push(Event(at: time, item: item, node: node.index, kind: .deliver))
        }
    }

    /// On the way between the regions.
    @inline(__always)
    func setOut(_ item: UInt32, _ flight: Flight, at time: UInt64) {
        var time = time
        if scenario.latency != nil {
            time += delay(nodes[Int(flight.from)].region, nodes[Int(flight.to)].region)
        }
        if takesTurns[Int(flight.to)] { return post.send(item, to: flight.to, at: time) }
        queue.push(Event(at: time, item: item, node: flight.to, kind: .arrive))
    }

    /// The shared line that a datagram between two nodes takes at the first one's end; nil for none.
    func sharedLine(of node: UInt32, towards other: UInt32) -> SharedLine? {
        nodes[Int(node)].sharedLine(towards: nodes[Int(other)])
    }

    /// Puts every node that stands behind a shared line behind one, so many nodes to each.
    static func makeSharedLines(_ scenario: Scenario, _ nodes: [SimNode], seed: Seed) -> [SharedLine] {
        var lines: [SharedLine] = []
        let origin = NodeClock.start + scenario.warmUp
        for shared in scenario.sharedLines {
            var count = 0
            for node in nodes where scenario.groups[node.group].behind == shared.name {
                if count == 0 || (shared.nodesPerLine > 0 && count % shared.nodesPerLine == 0) {
                    let first = UInt32(nodes.count * 2 + lines.count * 2)
                    let number = shared.nodesPerLine > 0 ? "-\(count / shared.nodesPerLine)" : ""
                    lines.append(
                        SharedLine(
                            name: shared.name + number,
                            up: Line(
                                index: first, leg: .sharedUp, shared.link.up, origin: origin, seed: seed),
                            down: Line(
                                index: first + 1, leg: .sharedDown, shared.link.down, origin: origin,
                                seed: seed)))
                }
                node.shared = lines.last
                count += 1
            }
        }
        return lines
    }

    /// By the index that events carry.
    func line(_ index: UInt32) -> Line {
        let i = Int(index)
        if i < nodes.count * 2 { return i % 2 == 0 ? nodes[i / 2].up : nodes[i / 2].down }
        let shared = sharedLines[(i - nodes.count * 2) / 2]
        return i % 2 == 0 ? shared.up : shared.down
    }
}

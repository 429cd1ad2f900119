/// A datagram's way through a simulation: out of its sender's core, through both nodes' lines and what lies between, and into
/// its receiver's core. Who asks: `Processors` for what cores send, the queue of events and `Turns` for what arrives.

import MillraceBase
import MillraceCore
import MillraceLink

extension Simulation {
    /// Sends one datagram of `node` at `time`.
    func send(_ datagram: OutgoingDatagram, of node: SimNode, _ core: any StreamCore, at time: UInt64) {
        defer { core.release(datagram.buffer) }
        let bytes = UnsafeRawBufferPointer(rebasing: core.bytes(of: datagram.buffer)[..<datagram.count])
        let wireBytes = datagram.count + datagram.leftOutBytes
        node.ledger.sentByCore &+= UInt64(wireBytes)
        node.ledger.sentDatagrams &+= 1
        guard let to = host(datagram.to), Int(to) < nodes.count, isOpen(node.index, to) else {
            if !attacks.isEmpty { noteNobody(datagram.to, bytes: wireBytes) }
            node.ledger.partitioned &+= UInt64(wireBytes)
            return
        }
        if capture != nil { captureSent(node, to: datagram.to, bytes, wireBytes: wireBytes, at: time) }
        let item = flights.take(
            from: node.index, to: to, fromPort: node.address.port, toPort: datagram.to.port,
            wireBytes: UInt16(clamping: wireBytes), bytes)
        if !forgedSources.isEmpty { forgedSources[item] = nil }
        enter(item, node.up, at: time)
    }

    /// A datagram reaches the line that its sender shares with others.
    func share(_ item: UInt32) {
        let flight = flights[item]
        guard let shared = sharedLine(of: flight.from, towards: flight.to) else { return flights.give(item) }
        enter(item, shared.up, at: now)
    }

    /// A datagram reaches the far side of its receiver's link.
    func arrive(_ item: UInt32) {
        let flight = flights[item]
        // A partition that began while it was under way stops it here.
        guard isOpen(flight.from, flight.to) else { return flights.give(item) }
        if hasSharedLines, let shared = sharedLine(of: flight.to, towards: flight.from) {
            return enter(item, shared.down, at: now)
        }
        enterLast(item, nodes[Int(flight.to)])
    }

    /// A datagram reaches its receiver's own line.
    func enterLast(_ item: UInt32, _ node: SimNode) {
        guard node.hasDown else { return deliver(item, to: node, node.core) }
        if !node.isPlainDown {
            enter(item, node.down, at: now)
        } else if let time = node.arrivalDown(bytes: Int(flights[item].wireBytes), at: now) {
            comesThrough(item, node, at: time)
        } else {
            flights.give(item)
        }
        node.noteQueue(at: now)
    }

    /// A datagram has come through the link. `core` is the node's: one that takes turns holds it for a whole turn.
    func deliver(_ item: UInt32, to node: SimNode, _ core: (any StreamCore)?) {
        let flight = flights[item]
        node.arrived(flight.wireBytes)
        if capture != nil { captureArrived(flight, node, from: source(of: flight, item)) }
        if !attacks.isEmpty {
            for state in attacks where state.isStriking {
                state.sender?.overheard(self, state, node, flight, from: source(of: flight, item))
            }
        }
        onDelivered?(node, flight)
        trace.fold(UInt64(flight.wireBytes))
        guard let core, flight.toPort == node.address.port else {
            node.ledger.unreceived &+= UInt64(flight.wireBytes)
            return flights.give(item)
        }
        if node.busyUntil > now || node.isPaused {
            if node.socketBytes + Int(flight.wireBytes) > ProcessorModel.socketBytesMax {
                node.ledger.socketDropped &+= UInt64(flight.wireBytes)
                return flights.give(item)
            }
            node.socket.append(item)
            node.socketBytes += Int(flight.wireBytes)
            wakeProcessor(node)
            return
        }
        receive(item, by: node, core)
        drain(node, core, at: work(node, node.processor.receiveNanoseconds))
    }

    func receive(_ item: UInt32, by node: SimNode, _ core: any StreamCore) {
        let flight = flights[item]
        defer { flights.give(item) }
        node.ledger.handedToCore &+= UInt64(flight.wireBytes)
        node.ledger.handedDatagrams &+= 1
        let bytes = flights.bytes(of: flight)
        if flight.flippedBit != Passage.noBit {
            let byte = Int(flight.flippedBit / 8)
            if byte < bytes.count {
                bytes[byte] ^= 1 << (flight.flippedBit % 8)
            } else if let last = bytes.indices.last {
                bytes[last] ^= 1
            }
            if sizes != nil {
                // Nothing is encrypted, so nothing would notice: this is what authentication would do.
                node.ledger.corrupted &+= UInt64(flight.wireBytes)
                return
            }
        }
        node.ledger.leftOutToCore &+= UInt64(flight.wireBytes) &- UInt64(flight.count)
        let begin = meter?.now
        defer { if let begin { meter?.noteReceived(since: begin, by: node.role) } }
        let source = source(of: flight, item)
        let before = sendsByItself(flight.from) ? core.statistics.datagramsIgnored : nil
        core.receive(bytes, from: source, isMarked: flight.isMarked, now: node.clock.local(now))
        if let before { noteTaken(flight, from: source, by: node, ignoredBefore: before) }
    }

    // MARK: The way between

    func delay(_ from: Int, _ to: Int) -> UInt64 {
        guard let latency = scenario.latency else { return 0 }
        return UInt64(max(latency.oneWay[from * latency.names.count + to].nanoseconds, 0))
    }

    func isOpen(_ from: UInt32, _ to: UInt32) -> Bool {
        let (a, b) = (Int(from), Int(to))
        return side[a] == side[b] && !outgoingCut[a] && !incomingCut[b]
    }
}

/// A node's processor under virtual time: one datagram or timer at a time, each takes `ProcessorModel`'s time, and what a core
/// has to say leaves when that work is done. While it is busy, datagrams wait in the node's socket.

import MillraceBase
import MillraceCore
import MillraceLink
import MillraceWorkload

extension Simulation {
    /// The processor is free, and datagrams wait.
    func processorFree(_ node: SimNode) {
        node.isProcessorDue = false
        if node.isPaused { return }
        if node.busyUntil > now { return wakeProcessor(node) }
        // What waits in the socket of a process that ended went with it.
        guard let core = node.core else { return }
        var taken: Int64 = 0
        while taken < Int64(Simulation.batch), let item = node.socket.popFirst() {
            node.socketBytes -= Int(flights[item].wireBytes)
            receive(item, by: node, core)
            taken += 1
        }
        drain(node, core, at: work(node, taken * node.processor.receiveNanoseconds))
        if !node.socket.isEmpty { wakeProcessor(node) }
    }

    func wakeProcessor(_ node: SimNode) {
        if node.isProcessorDue { return }
        node.isProcessorDue = true
        if takesTurns[Int(node.index)] {
            node.processorAt = max(node.busyUntil, now)
        } else {
            queue.push(Event(at: max(node.busyUntil, now), node: node.index, kind: .processor))
        }
    }

    func timer(_ node: SimNode) {
        // An event that was put in before an earlier one, or for a process that is gone.
        guard node.timerAt <= now else { return }
        node.timerAt = .max
        guard let core = node.core, !node.isPaused else { return }
        if node.busyUntil > now {
            schedule(node, at: node.busyUntil)
            return
        }
        core.handleTimeout(now: node.clock.local(now))
        drain(node, core, at: now)
    }

    func schedule(_ node: SimNode, at time: UInt64) {
        guard time < node.timerAt else { return }
        node.timerAt = time
        if time <= runEnds, !takesTurns[Int(node.index)] {
            queue.push(Event(at: time, node: node.index, kind: .timer))
        }
    }

    /// Charges work to a node's processor; answers when it is done.
    func work(_ node: SimNode, _ nanoseconds: Int64) -> UInt64 {
        let begins = max(now, node.busyUntil)
        let cost = UInt64(max(nanoseconds, 0))
        node.busyNanoseconds &+= cost
        node.busyUntil = begins + cost
        return node.busyUntil
    }

    /// Takes what the core has to say, and looks when it wants to be called next. Datagrams leave at `time` or, when there
    /// is much to send, one after the other.
    func drain(_ node: SimNode, at time: UInt64) {
        if let core = node.core { drain(node, core, at: time) }
    }

    func drain(_ node: SimNode, _ core: any StreamCore, at time: UInt64) {
        let begin = meter?.now
        var upkeepBegins: UInt64?
        var sent: Int64 = 0
        var applied: Int64 = 0
        while true {
            if let datagram = core.nextDatagram() {
                send(datagram, of: node, core, at: time + UInt64(sent * node.processor.sendNanoseconds))
                sent += 1
                continue
            }
            guard let output = core.nextOutput() else { break }
            switch output {
            case .send(let datagram):
                send(datagram, of: node, core, at: time + UInt64(sent * node.processor.sendNanoseconds))
                sent += 1
            case .event(let event):
                note(event, of: node, at: time, &applied)
            case .flush: upkeepBegins = meter?.now
            }
        }
        if let begin {
            meter?.noteDrained(
                since: begin, upkeepSince: upkeepBegins, by: node.role, sent: sent, transactions: applied)
        }
        if sent > 0 || applied > 0 {
            // The processor is taken until the last of it has left.
            let each = node.processor.applyNanoseconds + node.processor.upkeepNanoseconds
            let cost = sent * node.processor.sendNanoseconds + applied * each
            node.busyUntil = max(node.busyUntil, time) + UInt64(cost)
            node.busyNanoseconds &+= UInt64(cost)
        }
        if let deadline = core.nextDeadline {
            // A deadline that has passed costs a little time all the same.
            schedule(node, at: max(node.clock.truth(deadline), now + 1_000))
        }
    }

    private func note(_ event: CoreEvent, of node: SimNode, at time: UInt64, _ applied: inout Int64) {
        switch event {
        case .applied(let block):
            var count: Int64 = 0
            for height in block.firstHeight...block.lastHeight { count += transactions(at: height) }
            let isByValues =
                sizes?.isByValues(block.cadence, endingAt: block.lastHeight) ?? (block.cadence >= .quarter)
            // The upkeep of those before comes first.
            let upkeep = applied * node.processor.upkeepNanoseconds
            applied += isByValues ? count / ProcessorModel.valuesShare : count
            node.appliedHeight = block.lastHeight
            let done = time + UInt64(applied * node.processor.applyNanoseconds + upkeep)
            let sealed =
                Int(block.lastHeight) - 1 < sealedAt.count ? sealedAt[Int(block.lastHeight) - 1] : now
            let lag = Int64(clamping: done) - Int64(clamping: sealed)
            // Finer ones only lead to the first window of the cadence it was told.
            if block.cadence >= scenario.groups[node.group].cadence ?? .c0 {
                node.noteLag(sealedAt: sealed, lagNanoseconds: lag)
            }
            noteDelivery(of: node, sealedAt: sealed, took: .nanoseconds(lag))
            trace.fold(block.lastHeight)
            trace.fold(UInt64(bitPattern: lag))
            onApplied?(node, block)
        case .stopped(let reason):
            node.stops.append(reason)
            node.stoppedAt = node.stoppedAt ?? now
        case .cadence(_, let cadence, _): node.noteCadence(cadence, at: time, until: streamEnds)
        case .peerDown: if time < streamEnds, time > streamBegins { node.sessionsLost += 1 }
        case .offence(let address, _):
            // What attackers do is no fault of ours.
            if attacks.isEmpty || !isHostile(address) { node.offences += 1 }
        case .banned(let address, _): noteBan(of: address, by: node)
        default:
            break
        }
    }

    func transactions(at height: UInt64) -> Int64 {
        if let sizes { return Int64(sizes.transactions(at: height)) }
        return Int64(scenario.workload.transactions(atHeight: height))
    }

    func noteDelivery(of node: SimNode, sealedAt: UInt64, took: Interval) {
        // A process that began anew fetches what it missed: that is no delivery.
        if node.upTimes > 1, sealedAt < node.startedAt + UInt64(Simulation.restartTime.nanoseconds) { return }
        let after = Instant(nanoseconds: sealedAt) - Instant(nanoseconds: streamBegins)
        lagBook.note(sealedAfter: after, took: took)
        overDirectBook.note(sealedAfter: after, took: took - node.direct)
    }

    /// The delays of the lines and of the way between, straight from the sequencer.
    func direct(to node: SimNode) -> Interval {
        Simulation.hop(sequencer, node, scenario) { $0.delay }
    }
}

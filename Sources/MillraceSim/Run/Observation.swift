/// What a run notes as it goes: lags, a time line for the report, and the books that must balance.

import MillraceBase
import MillraceCore
import MillraceLink

/// A sample of everything every 100 ms of virtual time.
public struct Timeline: Sendable {
    struct Point: BitwiseCopyable, Sendable {
        /// Milliseconds since the first mini-block; negative before.
        var atMilliseconds: Int32
        /// How old a replica's newest state was at most since the last sample, in microseconds: the largest lag of what was
        /// applied, or the wait for what was not. 0 when there was nothing to wait for.
        var lagMicroseconds: UInt32
        /// Through the link down since the last sample.
        var downBytes: UInt32
        /// The most that waited before the link down since the last sample.
        var queuedBytes: UInt32
        var isCut: Bool
    }
    /// Of at most `nodesMax` nodes, the replicas first; a result keeps the `drawnMax` that have most to show.
    static let nodesMax = 128
    static let drawnMax = 16
    static let pointsMax = 20_000
    var nodes: [UInt32] = []
    var points: [[Point]] = []
    var lastDown: [UInt64] = []
}

extension Timeline {
    /// What of it is drawn: the worst replicas and the best one, in the order of nodes.
    func drawn(_ results: [NodeResult]) -> Timeline {
        guard nodes.count > Timeline.drawnMax else { return self }
        let ranked = nodes.indices.sorted { a, b in
            let (x, y) = (results[Int(nodes[a])], results[Int(nodes[b])])
            if x.role != y.role { return x.role == .replica }
            let (p, q) = (SimulationPage.badness(x), SimulationPage.badness(y))
            return p == q ? a < b : p > q
        }
        var chosen = Array(ranked.prefix(Timeline.drawnMax))
        if let best = ranked.last(where: { results[Int(nodes[$0])].role == .replica }), !chosen.contains(best)
        {
            chosen[chosen.count - 1] = best
        }
        chosen.sort()
        return Timeline(
            nodes: chosen.map { nodes[$0] }, points: chosen.map { points[$0] },
            lastDown: chosen.map { lastDown[$0] })
    }
}

extension SimNode {
    func noteLag(sealedAt: UInt64, lagNanoseconds: Int64) {
        let begin = NodeClock.start.nanoseconds
        lag.append(
            sealedAtMicroseconds: NodeClock.epochMicroseconds &+ (sealedAt &- begin) / 1_000,
            lagMicroseconds: lagNanoseconds / 1_000)
        peakLagMicroseconds = max(peakLagMicroseconds, UInt32(clamping: lagNanoseconds / 1_000))
    }

    /// After a datagram went into the link down: sampling alone would look between mini-blocks, when nothing waits.
    func noteQueue(at now: UInt64) {
        if !isOnTimeline { return }
        peakQueueBytes = max(peakQueueBytes, down.model.queuedBytes(now: Instant(nanoseconds: now)))
    }

    /// An outage of the link down is under way.
    func isLineDown(at now: UInt64) -> Bool {
        down.model.isDown(at: Instant(nanoseconds: now))
    }

    func arrived(_ wireBytes: UInt16) { arrivedBytes &+= UInt64(wireBytes) }
}

extension Simulation {
    func sample() {
        if timeline.nodes.isEmpty {
            let replicas = nodes.filter { $0.role == .replica }
            let others = nodes.filter { $0.role != .replica }
            timeline.nodes = (replicas + others).prefix(Timeline.nodesMax).map(\.index)
            timeline.points = Array(repeating: [], count: timeline.nodes.count)
            timeline.lastDown = Array(repeating: 0, count: timeline.nodes.count)
            for index in timeline.nodes { nodes[Int(index)].isOnTimeline = true }
        }
        let at = (Instant(nanoseconds: now) - Instant(nanoseconds: streamBegins)).milliseconds
        for (i, index) in timeline.nodes.enumerated() where timeline.points[i].count < Timeline.pointsMax {
            let node = nodes[Int(index)]
            if node.hasDown { node.noteQueue(at: now) }
            let lag = max(node.peakLagMicroseconds, ageMicroseconds(node))
            timeline.points[i].append(
                Timeline.Point(
                    atMilliseconds: Int32(clamping: at), lagMicroseconds: lag,
                    downBytes: UInt32(clamping: node.arrivedBytes - timeline.lastDown[i]),
                    queuedBytes: UInt32(clamping: node.peakQueueBytes),
                    isCut: side[Int(index)] != 0 || incomingCut[Int(index)] || node.core == nil
                        || node.isPaused || node.isLineDown(at: now)))
            timeline.lastDown[i] = node.arrivedBytes
            node.peakLagMicroseconds = 0
            node.peakQueueBytes = 0
        }
        let next = now + UInt64(Simulation.sampleInterval.nanoseconds)
        if next <= runEnds { queue.push(Event(at: next, kind: .sample)) }
    }

    /// How old a replica's newest state is, as long as there is a newer one to have.
    private func ageMicroseconds(_ node: SimNode) -> UInt32 {
        guard node.role == .replica, now > streamBegins, node.appliedHeight < UInt64(sealedAt.count) else {
            return 0
        }
        let newest = node.appliedHeight == 0 ? streamBegins : sealedAt[Int(node.appliedHeight) - 1]
        return UInt32(clamping: (now - newest) / 1_000)
    }

    /// How old a replica's state is at every seal up to and at `time` that has not been noted: called before anything that
    /// happens to it at such a time.
    func noteStaleness(of node: SimNode, before time: UInt64) {
        guard node.role == .replica else {
            node.staleAt = .max
            return
        }
        let begin = NodeClock.start.nanoseconds
        let newest = node.appliedHeight == 0 ? streamBegins : sealedAt[Int(node.appliedHeight) - 1]
        while node.staleAt <= min(time, streamEnds) {
            let at = node.staleAt
            node.staleAt += UInt64(Simulation.sealInterval.nanoseconds)
            node.staleness.append(
                sealedAtMicroseconds: NodeClock.epochMicroseconds &+ (at &- begin) / 1_000,
                lagMicroseconds: Int64(clamping: at - min(newest, at)) / 1_000)
            if at - min(newest, at) > 1_000_000_000 {
                node.staleUntilSecond = Double(at - streamBegins) / 1e9
            }
        }
        if node.staleAt > streamEnds { node.staleAt = .max }
    }

    /// What is judged is judged by what was so when the last mini-block was sealed.
    func noteStreamEnd(_ node: SimNode) {
        let sealed = UInt64(sealedAt.count)
        node.appliedAtStreamEnd = node.appliedHeight
        node.cadenceAtStreamEnd = node.cadence
        node.followed[Int(node.cadence.rawValue)] &+= now - min(node.cadenceSince, now)
        node.cadenceSince = now
        node.behindAtStreamEnd = sealed > node.appliedHeight ? sealed - node.appliedHeight : 0
        let counters = node.down.model.counters
        node.offeredAtStreamEnd = (counters.offeredBytes, counters.offeredDatagrams)
        node.passedAtStreamEnd = (counters.deliveredBytes, counters.deliveredDatagrams)
        node.receivedAtStreamEnd = node.statistics.received
        node.sumBytesAtStreamEnd = node.statistics.headerSumBytes
    }

    /// Every byte that came through a node's link is in its core's ledger or has another named place; every byte its core
    /// sent went into its link. The sentence that says where that does not hold.
    func ledgerFault(of node: SimNode) -> String? {
        let statistics = node.statistics
        let ledger = node.ledger
        if node.leftOutIgnored > 0, statistics.datagramsIgnored == 0 {
            return
                "\(node.name): \(node.leftOutIgnored) bytes by reference were not read, and no datagram was ignored"
        }
        let received = statistics.received.total &+ ledger.corrupted &+ node.leftOutIgnored
        if ledger.handedToCore != received {
            return
                "\(node.name): \(ledger.handedToCore) bytes were handed to the core, whose ledger has \(received)"
        }
        let named =
            ledger.handedToCore &+ ledger.unreceived &+ ledger.socketDropped &+ UInt64(node.socketBytes)
        if node.arrivedBytes != named {
            return
                "\(node.name): \(node.arrivedBytes) bytes came through the link, \(named) were accounted for"
        }
        if ledger.sentByCore != statistics.sent.total {
            return
                "\(node.name): \(ledger.sentByCore) bytes were sent, the core's ledger has \(statistics.sent.total)"
        }
        if node.hasUp, node.up.model.counters.offeredBytes != ledger.sentByCore &- ledger.partitioned {
            return "\(node.name): its link up was offered other bytes than were sent"
        }
        return nil
    }
}

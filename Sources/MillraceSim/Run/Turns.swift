/// Nodes' turns: a node whose line down takes five milliseconds or longer is not woken for every datagram. Whatever it can
/// receive before the next boundary is under way already when the boundary before has passed, so all of it is handled in one go,
/// in order of time, while the node's memory is at hand.
///
///     boundary T                             T + 5 ms, or 10, or 20 where the line is as long
///        │ datagrams that reached its line until T are put through it
///        │ ◀──────── deliveries, timers ────────▶ handled in order, at their own times
///
/// It is the same simulation: what a node does depends on nothing but what it receives and on its timers, and what it sends
/// reaches others after the boundary T that has passed. With a thousand nodes one event after the other meant that
/// nearly every line of memory touched was cold; the longer the turn, the fewer. Boundaries are every `turnInterval` and wherever
/// something looks at or changes all nodes: samples, faults, the end of the stream. How old a node's state is at a seal within
/// its turn, it notes itself.
///
/// Left out, and served by the queue of events: nodes with faster lines, with shared lines or fair queues, and the node whose
/// datagrams are captured.

import MillraceBase
import MillraceLink

/// A datagram or time that a node handles in its turn.
struct PendingDelivery: BitwiseCopyable {
    var at: UInt64
    var item: UInt32
}

/// A node's datagrams that will come through its line, by time; few are out of order.
struct DeliveryList {
    private var entries: [PendingDelivery] = []
    private var head = 0

    @inline(__always)
    var nextAt: UInt64 { head < entries.count ? entries[head].at : .max }

    @inline(__always)
    mutating func insert(_ item: UInt32, at time: UInt64) {
        var place = entries.count
        while place > head, entries[place - 1].at > time { place -= 1 }
        let entry = PendingDelivery(at: time, item: item)
        if place == entries.count { entries.append(entry) } else { entries.insert(entry, at: place) }
    }

    /// Asks for the memory of what comes before `end`.
    @inline(__always)
    func foresee(_ flights: borrowing FlightPool, until end: UInt64) {
        var i = head
        while i < entries.count, entries[i].at < end {
            flights.foresee(entries[i].item)
            i += 1
        }
    }

    /// Asks for `nextAt < .max`.
    @inline(__always)
    mutating func removeFirst() -> UInt32 {
        let item = entries[head].item
        head += 1
        if head == entries.count {
            entries.removeAll(keepingCapacity: true)
            head = 0
        } else if head >= 256 {
            entries.removeFirst(head)
            head = 0
        }
        return item
    }
}

/// Datagrams on their way to the lines of nodes that take turns. Put in as they are sent, one behind the other; sorted by
/// receiver and time when a boundary has passed, so that a thousand receivers' lists cost no jump through memory for each
/// datagram.
struct Post {
    struct Letter: BitwiseCopyable {
        var at: UInt64
        var node: UInt32
        var item: UInt32
    }

    /// Apart by how long their receivers' turns are: all turns of one length end together.
    private var sent: [[Letter]]
    private var later: [Letter] = []
    private var sorted: [Letter] = []
    /// By node: where its letters begin in `sorted` and where they end.
    private var begins: [Int]
    private var ends: [Int]
    /// By node: which length its turns have.
    private var lengths: [UInt8]

    init(nodes: Int) {
        begins = Array(repeating: 0, count: nodes)
        ends = begins
        lengths = Array(repeating: 0, count: nodes)
        sent = Array(repeating: [], count: Simulation.turnLengths.count)
    }

    /// Turns of `node` have the length at this place of `turnLengths`.
    mutating func setLength(_ length: Int, of node: UInt32) { lengths[Int(node)] = UInt8(length) }

    func length(of node: UInt32) -> Int { Int(lengths[Int(node)]) }

    @inline(__always)
    mutating func send(_ item: UInt32, to node: UInt32, at time: UInt64) {
        sent[Int(lengths[Int(node)])].append(Letter(at: time, node: node, item: item))
    }

    /// Takes every letter due until `time`: those of a node lie side by side in order of time, equal times in order of sending.
    /// Letters to nodes whose turns end later (by length, `turnEnds`) wait for their next one.
    mutating func sort(through time: UInt64, turnEnds: [UInt64]) {
        for i in ends.indices { ends[i] = 0 }
        for length in sent.indices where turnEnds[length] <= time + 1 {
            for letter in sent[length] where letter.at <= time { ends[Int(letter.node)] += 1 }
        }
        var count = 0
        for i in begins.indices {
            begins[i] = count
            count += ends[i]
            ends[i] = begins[i]
        }
        if sorted.count < count {
            sorted = Array(repeating: Letter(at: 0, node: 0, item: 0), count: count + count / 2)
        }
        for length in sent.indices where turnEnds[length] <= time + 1 {
            later.removeAll(keepingCapacity: true)
            Post.put(
                sent[length], through: time, into: &sorted, from: begins, &ends, later: &later)
            swap(&sent[length], &later)
        }
    }

    /// Puts letters in their places among their nodes', which lie from `begins` to `ends`; those that are not due, into `later`.
    private static func put(
        _ letters: [Letter], through time: UInt64, into sorted: inout [Letter], from begins: [Int],
        _ ends: inout [Int], later: inout [Letter]
    ) {
        var sorted = sorted.mutableSpan
        var ends = ends.mutableSpan
        for letter in letters {
            if letter.at > time {
                later.append(letter)
                continue
            }
            let node = Int(letter.node)
            var place = ends[node]
            ends[node] += 1
            // Nearly in order: senders differ by their ways.
            while place > begins[node], sorted[place - 1].at > letter.at {
                sorted[place] = sorted[place - 1]
                place -= 1
            }
            sorted[place] = letter
        }
    }

    /// Where a node's letters lie.
    @inline(__always)
    func range(of node: UInt32) -> Range<Int> { begins[Int(node)]..<ends[Int(node)] }

    @inline(__always)
    subscript(i: Int) -> Letter { sorted[i] }
}

extension Simulation {
    /// A divisor of the seals' and samples' intervals.
    static let turnInterval = Interval.milliseconds(5)
    /// What a turn may last, the longest first: divisors of the samples' interval, and of a second.
    static let turnLengths = [Interval.milliseconds(20), .milliseconds(10), turnInterval]

    /// Chooses the nodes that take turns. Asks to be called once, before the run begins.
    func chooseTurns() {
        for node in nodes {
            let line = node.down.model.parameters
            guard allowsTurns, !hasSharedLines, node.hasDown, !node.down.model.isFair,
                capture?.node != node.index,
                let length = Simulation.turnLengths.firstIndex(where: { line.delay - line.jitter >= $0 })
            else { continue }
            takesTurns[Int(node.index)] = true
            post.setLength(length, of: node.index)
            turnNodes.append(node.index)
        }
        let faultTimes = faults.flatMap { fault -> [UInt64] in
            let begins = (Instant(nanoseconds: streamBegins) + fault.at).nanoseconds
            return fault.lasts > .zero
                ? [begins, (Instant(nanoseconds: begins) + fault.lasts).nanoseconds] : [begins]
        }
        let strikes = attacks.flatMap { state in
            [state.attack.at, state.attack.ends].compactMap { $0 }.map {
                (Instant(nanoseconds: streamBegins) + $0).nanoseconds
            }
        }
        faultBoundaries = (faultTimes + strikes).sorted()
    }

    /// The boundary after `time`, and whether something looks at all nodes there.
    func boundary(after time: UInt64) -> (at: UInt64, isWatched: Bool) {
        let step = UInt64(Simulation.turnInterval.nanoseconds)
        let origin = NodeClock.start.nanoseconds
        let regular = origin + ((time - origin) / step + 1) * step
        while nextFault < faultBoundaries.count, faultBoundaries[nextFault] <= time { nextFault += 1 }
        let fault = nextFault < faultBoundaries.count ? faultBoundaries[nextFault] : .max
        let sampleStep = UInt64(Simulation.sampleInterval.nanoseconds)
        return (min(regular, fault), fault <= regular || (regular - origin) % sampleStep == 0)
    }

    /// When a turn of this length that begins at the boundary `time` ends: at the next boundary of its length, or where something
    /// looks at all nodes.
    private func turnEnd(_ length: Interval, from time: UInt64) -> UInt64 {
        let origin = NodeClock.start.nanoseconds
        let step = UInt64(length.nanoseconds)
        let regular = origin + ((time - origin) / step + 1) * step
        // `boundary(after:)` has passed over those up to now.
        let fault = nextFault < faultBoundaries.count ? faultBoundaries[nextFault] : .max
        return min(regular, fault, runEnds + 1)
    }

    /// What has reached the lines of all nodes that take turns until `time` is put through them.
    func takeArrivals(through time: UInt64) {
        post.sort(through: time, turnEnds: turnEnds)
        for index in turnNodes { takeArrivals(of: nodes[Int(index)]) }
    }

    /// Asks for sorted post.
    private func takeArrivals(of node: SimNode) {
        let range = post.range(of: node.index)
        for i in range {
            if i + Simulation.foresight < range.upperBound {
                flights.foresee(post[i + Simulation.foresight].item)
            }
            let due = post[i]
            now = due.at
            count(.arrive, node)
            // Nodes that take turns stand behind no shared line.
            if isOpen(flights[due.item].from, node.index) {
                enterLast(due.item, node)
            } else {
                flights.give(due.item)
            }
        }
    }

    /// How many datagrams ahead memory is asked for.
    private static let foresight = 4

    /// Every node whose turn it is does what it has to do until just before its turn ends.
    func takeTurns(from begin: UInt64) {
        post.sort(through: begin, turnEnds: turnEnds)
        let ends = turnEnds.indices.map {
            turnEnds[$0] <= begin ? turnEnd(Simulation.turnLengths[$0], from: begin) : turnEnds[$0]
        }
        for index in turnNodes where turnEnds[post.length(of: index)] <= begin {
            if brokenOff != nil { break }
            takeTurn(nodes[Int(index)], from: begin, until: ends[post.length(of: index)])
        }
        if brokenOff == nil { turnEnds = ends }
        now = begin
    }

    private func takeTurn(_ node: SimNode, from begin: UInt64, until end: UInt64) {
        takeArrivals(of: node)
        node.deliveries.foresee(flights, until: end)
        // Processes begin and end at boundaries, so it has this core for all of its turn.
        let core = node.core
        while true {
            let delivery = node.deliveries.nextAt
            let processor = node.processorAt
            let next = min(delivery, min(processor, node.timerAt))
            if next >= end { break }
            now = max(next, begin)
            if now >= node.staleAt { noteStaleness(of: node, before: now) }
            let kind: Event.Kind
            if delivery == next {
                kind = .deliver
                count(kind, node)
                deliver(node.deliveries.removeFirst(), to: node, core)
            } else if processor == next {
                kind = .processor
                count(kind, node)
                node.processorAt = .max
                processorFree(node)
            } else {
                kind = .timer
                count(kind, node)
                timer(node)
            }
            if let oracle {
                oracle(self, Event(at: now, node: node.index, kind: kind))
                if brokenOff != nil { break }
            }
        }
        if end > node.staleAt { noteStaleness(of: node, before: end - 1) }
    }
}

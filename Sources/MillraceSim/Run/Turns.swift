/// Nodes' turns: a node whose line down takes five milliseconds or longer is not woken for every datagram. Whatever it can
/// receive so soon after a boundary is under way already when that boundary has passed. And nobody hears of what it does before
/// its line up has taken its time, so it may come as late with its turn. All of a turn is handled in one go, in order of time,
/// while the node's memory is at hand.
///
///        end of its last turn            boundary T                      end of this turn
///                 │ ◀── lag: its line up ──▶ │ ◀── lead: its line down ──▶ │
///                 │ ◀──── deliveries, timers: handled in order, at their own times ────▶ │
///
/// It is the same simulation: what a node does depends on nothing but what it receives and on its timers, and what it sends
/// reaches others after the boundary T that has passed. With a thousand nodes one event after the other meant that
/// nearly every line of memory touched was cold; the longer the turn, the fewer. Boundaries are every `turnInterval` and where
/// something looks at or changes all nodes: samples, faults, the end of the stream. No turn goes beyond those, and before
/// those nobody is behind. How old a node's state is at a seal within its turn, it notes itself.
///
/// Left out, and served by the queue of events: nodes with faster lines, with shared lines or fair queues, and the node whose
/// datagrams are captured. Nobody's turn comes late where attackers listen or an oracle looks: those want all nodes at one time.

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

    /// By group of the receiver: all turns of a group end together.
    private var sent: [[Letter]] = []
    private var later: [Letter] = []
    private var sorted: [Letter] = []
    /// By node: where its letters begin in `sorted` and where they end.
    private var begins: [Int]
    private var ends: [Int]
    /// By node: which group it is in.
    private var groups: [UInt8]

    init(nodes: Int) {
        begins = Array(repeating: 0, count: nodes)
        ends = begins
        groups = Array(repeating: 0, count: nodes)
    }

    /// `node` takes its turns with this group.
    mutating func put(_ node: UInt32, into group: Int) {
        while sent.count <= group { sent.append([]) }
        groups[Int(node)] = UInt8(group)
    }

    @inline(__always)
    mutating func send(_ item: UInt32, to node: UInt32, at time: UInt64) {
        sent[Int(groups[Int(node)])].append(Letter(at: time, node: node, item: item))
    }

    /// Takes every letter due until `time` to the nodes of some groups: those of a node lie side by side in order of time, equal
    /// times in order of sending. Other letters wait.
    mutating func sort(through time: UInt64, of isDue: (Int) -> Bool) {
        for i in ends.indices { ends[i] = 0 }
        for group in sent.indices where isDue(group) {
            for letter in sent[group] where letter.at <= time { ends[Int(letter.node)] += 1 }
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
        for group in sent.indices where isDue(group) {
            later.removeAll(keepingCapacity: true)
            Post.put(
                sent[group], through: time, into: &sorted, from: begins, &ends, later: &later)
            swap(&sent[group], &later)
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

/// Nodes whose turns begin and end together.
struct TurnGroup {
    /// What their lines down take at the least.
    let lead: UInt64
    /// What their lines up take at the least; 0 where nobody may be late.
    let lag: UInt64
    /// Until when its nodes have done everything.
    var end = NodeClock.start.nanoseconds
    var nodes: [UInt32] = []
}

extension Simulation {
    /// A divisor of the seals' and samples' intervals.
    static let turnInterval = Interval.milliseconds(5)
    /// What a turn may lead or lag, the longest first: whatever a line takes is rounded down to one of these, so that there are
    /// few groups.
    static let turnLengths = [Interval.milliseconds(50), .milliseconds(20), .milliseconds(10), turnInterval]

    /// Chooses the nodes that take turns. Asks to be called once, before the run begins.
    func chooseTurns() {
        let mayBeLate = attacks.isEmpty && oracle == nil && onDelivered == nil && onApplied == nil
        for node in nodes {
            guard allowsTurns, !hasSharedLines, node.hasDown, !node.down.model.isFair,
                capture?.node != node.index,
                let lead = Simulation.turnLength(of: node.down)
            else { continue }
            let isHeardLate = mayBeLate && node.hasUp && !node.up.model.isFair
            let lag = isHeardLate ? Simulation.turnLength(of: node.up) ?? 0 : 0
            let group =
                turnGroups.firstIndex { $0.lead == lead && $0.lag == lag } ?? turnGroups.count
            if group == turnGroups.count { turnGroups.append(TurnGroup(lead: lead, lag: lag)) }
            turnGroups[group].nodes.append(node.index)
            takesTurns[Int(node.index)] = true
            post.put(node.index, into: group)
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
        watchedTimes = (faultTimes + strikes + [streamEnds]).sorted()
    }

    /// What a line takes at the least, rounded down to one of `turnLengths`; nil when that is less than all of them.
    private static func turnLength(of line: Line) -> UInt64? {
        let least = line.model.parameters.delay - line.model.parameters.jitter
        return turnLengths.first { least >= $0 }.map { UInt64($0.nanoseconds) }
    }

    /// The boundary after `time`, and whether something looks at all nodes there.
    func boundary(after time: UInt64) -> (at: UInt64, isWatched: Bool) {
        let regular = Simulation.multiple(of: Simulation.turnInterval, after: time)
        let watched = nextWatched(after: time)
        return (min(regular, watched), watched <= regular)
    }

    /// When something looks at all nodes next: a sample, a fault, the end of the stream.
    private func nextWatched(after time: UInt64) -> UInt64 {
        while nextWatch < watchedTimes.count, watchedTimes[nextWatch] <= time { nextWatch += 1 }
        let sample = Simulation.multiple(of: Simulation.sampleInterval, after: time)
        return nextWatch < watchedTimes.count ? min(watchedTimes[nextWatch], sample) : sample
    }

    private static func multiple(of interval: Interval, after time: UInt64) -> UInt64 {
        let origin = NodeClock.start.nanoseconds
        let step = UInt64(interval.nanoseconds)
        return origin + ((time - origin) / step + 1) * step
    }

    /// What has reached the lines of all nodes that take turns until `time` is put through them. Nobody's turn goes on.
    func takeArrivals(through time: UInt64) {
        post.sort(through: time) { _ in true }
        for group in turnGroups {
            for index in group.nodes { takeArrivals(of: nodes[Int(index)]) }
        }
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

    /// Turns that cannot wait for the boundary after `begin`, which is `next`: others would hear of them by then.
    func takeTurns(from begin: UInt64, next: UInt64) {
        takeTurns(at: begin, until: min(nextWatched(after: begin), runEnds + 1)) { $0.end + $0.lag < next }
    }

    /// Everybody does what there is to do until just before `time`. Asks that events before have been handled.
    func catchUp(to time: UInt64) {
        takeTurns(at: time - 1, until: time) { $0.end < time }
    }

    /// The nodes of some groups do what they have to do until their lead after `boundary` is over, at most until `limit`.
    private func takeTurns(at boundary: UInt64, until limit: UInt64, where isDue: (TurnGroup) -> Bool) {
        let due = turnGroups.map(isDue)
        guard due.contains(true) else { return }
        let before = now
        post.sort(through: boundary) { due[$0] }
        for i in turnGroups.indices where due[i] {
            let group = turnGroups[i]
            let end = min(boundary + group.lead, limit)
            for index in group.nodes {
                takeTurn(nodes[Int(index)], from: group.end, until: end)
                if brokenOff != nil { return }
            }
            turnGroups[i].end = end
        }
        now = before
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

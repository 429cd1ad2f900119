internal import MillraceBase

/// FQ-CoDel (RFC 8290) in integers: flows are hashed into queues of their own, served in turn by bytes (deficit round robin,
/// new flows first), and each is kept short by a CoDel of its own. When all together hold too much, the fattest queue loses its
/// head.
///
///     offer ─▶ hash ─▶ [queue of a flow] ─▶ new flows ─▶ serve: deficit > 0 ? head, unless its CoDel drops it
///                                           old flows ◀─ deficit spent, or emptied once
///
/// Here RFC 8289's exception holds as written (never drop when less than a packet waits), because what waits is known. Called
/// by `LinkModel`. Bounds: `flowsMax` queues, made when first hashed to; `LinkLimits.datagramsMax` datagrams.
struct FairQueue: Sendable {
    /// RFC 8290, 4.1.3: 1,024 queues; a hundred flows then share a queue with another with a probability of a tenth each.
    static let flowsMax = 1_024
    /// RFC 8290, 5.2: one packet of the usual length and its Ethernet header.
    static let quantum = 1_514
    /// RFC 8290, 5.2.4: half of the fattest queue goes at once, but no more than so many.
    static let dropBatchMax = 64
    private static let none = UInt32.max

    struct Packet: BitwiseCopyable {
        var token: UInt64
        /// Of payload, and with the link's overhead.
        var bytes: Int
        var wireBytes: Int
        var since: Instant
        /// Marked instead of dropped.
        var isMarked = false
    }

    private struct Link: BitwiseCopyable {
        var packet: Packet
        var next: UInt32
    }

    private enum Place: UInt8, BitwiseCopyable { case idle, new, old }

    private struct Flow {
        var head = FairQueue.none
        var tail = FairQueue.none
        var bytes = 0
        var deficit = 0
        var place = Place.idle
        /// The next one in its list.
        var next = FairQueue.none
        var coDel: CoDel
    }

    /// First in, first out, linked through `Flow.next`.
    private struct List: BitwiseCopyable {
        var head = FairQueue.none
        var tail = FairQueue.none
    }

    private let coDel: CoDel
    private let marks: Bool
    private let draws: CounterDraws
    /// By hash: the flow's place in `flows`, or `none`.
    private var buckets: [UInt32]
    private var flows: [Flow] = []
    private var links: [Link] = []
    private var free = FairQueue.none
    private var newFlows = List()
    private var oldFlows = List()
    private(set) var bytes = 0
    private(set) var count = 0

    init(_ parameters: LinkParameters, _ draws: CounterDraws) {
        coDel = CoDel(parameters)
        marks = parameters.marksECN
        self.draws = draws
        buckets = Array(repeating: FairQueue.none, count: FairQueue.flowsMax)
    }

    /// Puts a datagram at the end of its flow's queue.
    mutating func append(_ packet: Packet, flow: UInt64) {
        let bucket = Int(draws.below(UInt64(FairQueue.flowsMax), at: flow))
        if buckets[bucket] == FairQueue.none {
            buckets[bucket] = UInt32(flows.count)
            flows.append(Flow(coDel: coDel))
        }
        let index = buckets[bucket]
        let slot = take(packet)
        let at = Int(index)
        if flows[at].head == FairQueue.none {
            flows[at].head = slot
        } else {
            links[Int(flows[at].tail)].next = slot
        }
        flows[at].tail = slot
        flows[at].bytes += packet.wireBytes
        bytes += packet.wireBytes
        count += 1
        if flows[at].place == .idle {
            flows[at].deficit = FairQueue.quantum
            append(index, isNew: true)
        }
    }

    /// Takes the head of the queue with the most bytes, half of what it holds, at most `dropBatchMax`: each told to `dropped`.
    mutating func dropFromFattest(_ dropped: (Packet) -> Void) {
        var fattest = 0
        for i in flows.indices where flows[i].bytes > flows[fattest].bytes { fattest = i }
        guard flows.indices.contains(fattest), flows[fattest].bytes > 0 else { return }
        let enough = flows[fattest].bytes - flows[fattest].bytes / 2
        var gone = 0
        for _ in 0..<FairQueue.dropBatchMax where gone < enough {
            guard let packet = removeHead(fattest) else { return }
            gone += packet.wireBytes
            dropped(packet)
        }
    }

    /// The datagram whose turn it is at `now`; those that CoDel drops before it are told to `dropped`.
    mutating func next(now: Instant, _ dropped: (Packet) -> Void) -> Packet? {
        while true {
            let isNew = newFlows.head != FairQueue.none
            let index = isNew ? newFlows.head : oldFlows.head
            if index == FairQueue.none { return nil }
            let at = Int(index)
            if flows[at].deficit <= 0 {
                flows[at].deficit += FairQueue.quantum
                append(removeFirst(isNew: isNew), isNew: false)
                continue
            }
            guard let packet = headAfterCoDel(at, now, dropped) else {
                // A new flow that is empty goes to the old ones once, so that it does not come back as new at once (4.2).
                removeFirst(isNew: isNew)
                if isNew { append(index, isNew: false) } else { flows[at].place = .idle }
                continue
            }
            flows[at].deficit -= packet.wireBytes
            return packet
        }
    }

    private mutating func headAfterCoDel(_ at: Int, _ now: Instant, _ dropped: (Packet) -> Void) -> Packet? {
        while var packet = removeHead(at) {
            let isDropped = flows[at].coDel.drops(
                sojourn: now - packet.since, now: now, leftBytes: flows[at].bytes)
            if !isDropped { return packet }
            if marks {
                packet.isMarked = true
                return packet
            }
            dropped(packet)
        }
        return nil
    }

    // MARK: Queues and lists

    private mutating func take(_ packet: Packet) -> UInt32 {
        let link = Link(packet: packet, next: FairQueue.none)
        if free != FairQueue.none {
            let slot = free
            free = links[Int(slot)].next
            links[Int(slot)] = link
            return slot
        }
        links.append(link)
        return UInt32(links.count - 1)
    }

    private mutating func removeHead(_ at: Int) -> Packet? {
        let slot = flows[at].head
        if slot == FairQueue.none { return nil }
        let link = links[Int(slot)]
        flows[at].head = link.next
        if link.next == FairQueue.none { flows[at].tail = FairQueue.none }
        links[Int(slot)].next = free
        free = slot
        flows[at].bytes -= link.packet.wireBytes
        bytes -= link.packet.wireBytes
        count -= 1
        return link.packet
    }

    private mutating func append(_ index: UInt32, isNew: Bool) {
        flows[Int(index)].place = isNew ? .new : .old
        flows[Int(index)].next = FairQueue.none
        var list = isNew ? newFlows : oldFlows
        if list.head == FairQueue.none {
            list.head = index
        } else {
            flows[Int(list.tail)].next = index
        }
        list.tail = index
        if isNew { newFlows = list } else { oldFlows = list }
    }

    @discardableResult
    private mutating func removeFirst(isNew: Bool) -> UInt32 {
        var list = isNew ? newFlows : oldFlows
        let index = list.head
        list.head = flows[Int(index)].next
        if list.head == FairQueue.none { list.tail = FairQueue.none }
        if isNew { newFlows = list } else { oldFlows = list }
        return index
    }
}

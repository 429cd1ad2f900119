public import MillraceBase

/// A datagram that came out at the far end of a link.
public struct LinkArrival: Equatable, Sendable, BitwiseCopyable {
    /// What the sender called it.
    public var token: UInt64
    public var at: Instant
    /// Which bit of it is flipped, or `Passage.noBit`.
    public var flippedBit: UInt32
    /// Marked *congestion experienced* on the way.
    public var isMarked: Bool
    /// False for the first of two copies: the token's bytes are needed once more.
    public var isLast: Bool
    /// It did not arrive: a fair queue dropped it, or it was lost behind one. Its bytes are free.
    public var isDropped = false
}

/// A link and the datagrams under way on it: for shells and tests that have no event queue of their own.
///
/// The caller keeps the bytes and names them with a token; the pipe says when each arrives. A token whose `send` answers
/// anything but `.delivered` will not come out; any other comes out, the last time with `isLast`; from a fair link perhaps
/// with `isDropped`, because there a datagram that waits may still be dropped. Arrivals are in order of time, then of sending (of
/// serving, on a fair link).
public struct LinkPipe: Sendable {
    public private(set) var model: LinkModel

    private struct UnderWay: BitwiseCopyable {
        var at: Instant
        var number: UInt64
        var token: UInt64
        var flippedBit: UInt32
        var isMarked: Bool
        var isLast: Bool
        var isDropped = false

        @inline(__always)
        func isBefore(_ other: UnderWay) -> Bool { at != other.at ? at < other.at : number < other.number }
    }

    /// A binary heap: almost sorted already, since only reordering breaks the order of sending.
    private var heap: [UnderWay] = []
    private var number: UInt64 = 0
    /// Datagrams refused because too many were under way.
    public private(set) var overflowed: UInt64 = 0

    public init(_ model: LinkModel) { self.model = model }

    public init(_ parameters: LinkParameters, seed: Seed, index: UInt64 = 0) {
        model = LinkModel(parameters, seed: seed, index: index)
    }

    /// Datagrams that wait in a fair queue.
    private var waiting = 0

    /// Datagrams under way, copies included.
    public var count: Int { heap.count + waiting }

    /// `flow` tells apart what a fair queue serves in turn.
    public mutating func send(bytes: Int, token: UInt64, flow: UInt64 = 0, now: Instant) -> Passage.Fate {
        guard count + 2 <= LinkLimits.datagramsMax else {
            overflowed &+= 1
            return .queueFull
        }
        if model.isFair {
            let fate = model.offer(bytes: bytes, flow: flow, token: token, now: now)
            if fate == nil { waiting += 1 }
            collect()
            return fate ?? .delivered
        }
        let passage = model.pass(bytes: bytes, now: now)
        guard passage.isDelivered else { return passage.fate }
        push(passage, token)
        return .delivered
    }

    private mutating func push(_ passage: Passage, _ token: UInt64) {
        let isMarked = passage.isMarked
        push(passage.at, token, passage.flippedBit, isMarked, isLast: !passage.isDuplicated)
        if passage.isDuplicated {
            push(passage.duplicateAt, token, passage.duplicateFlippedBit, isMarked, isLast: true)
        }
    }

    /// Takes what a fair queue has decided.
    private mutating func collect() {
        while let outcome = model.nextOutcome() {
            waiting -= 1
            if outcome.passage.isDelivered {
                push(outcome.passage, outcome.token)
            } else {
                push(
                    outcome.passage.at, outcome.token, Passage.noBit, false, isLast: true, isDropped: true)
            }
        }
    }

    /// When the next datagram arrives, or the link is to be asked again.
    public var nextDeadline: Instant? {
        guard let service = model.nextService else { return heap.first?.at }
        return min(heap.first?.at ?? service, service)
    }

    /// The next datagram that has arrived by `now`.
    public mutating func popDelivered(now: Instant) -> LinkArrival? {
        if model.isFair {
            model.advance(to: now)
            collect()
        }
        guard let first = heap.first, first.at <= now else { return nil }
        let last = heap.removeLast()
        if !heap.isEmpty { sink(last) }
        return LinkArrival(
            token: first.token, at: first.at, flippedBit: first.flippedBit, isMarked: first.isMarked,
            isLast: first.isLast, isDropped: first.isDropped)
    }

    private mutating func push(
        _ at: Instant, _ token: UInt64, _ flippedBit: UInt32, _ isMarked: Bool, isLast: Bool,
        isDropped: Bool = false
    ) {
        let entry = UnderWay(
            at: at, number: number, token: token, flippedBit: flippedBit, isMarked: isMarked, isLast: isLast,
            isDropped: isDropped)
        number &+= 1
        heap.append(entry)
        var hole = heap.count - 1
        while hole > 0 {
            let parent = (hole - 1) / 2
            if !entry.isBefore(heap[parent]) { break }
            heap[hole] = heap[parent]
            hole = parent
        }
        heap[hole] = entry
    }

    /// Puts `entry` into the place of the root and lets it sink.
    private mutating func sink(_ entry: UnderWay) {
        var hole = 0
        while true {
            var child = 2 * hole + 1
            if child >= heap.count { break }
            if child + 1 < heap.count, heap[child + 1].isBefore(heap[child]) { child += 1 }
            if !heap[child].isBefore(entry) { break }
            heap[hole] = heap[child]
            hole = child
        }
        heap[hole] = entry
    }
}

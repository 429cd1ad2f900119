/// What happens next: the one queue of a simulation. Events leave in order of time; events of equal time in the order in
/// which they were put in, so a run is a function of its inputs.
///
///     [ heap of the bucket that is now ][ buckets of 32.8 µs, 268 ms ahead, unordered ][ heap of what is later ]
///
/// A calendar (Brown, "Calendar queues", CACM 31, 1988) and not one heap, because nearly every event lies within a round
/// trip of now: putting one in costs a link in a list, taking one out a step in a heap of one bucket's events, whether
/// two nodes are simulated or two thousand. The alternative with a ring and a heap entry for each link needs every link
/// to be first in, first out, which reordering and shared paths are not.
///
/// Bounds: grows with the events put in; the owner bounds those. Nothing is freed before the queue is.

import MillraceBase

/// One event: when, what, and on whom. 32 bytes, trivial.
struct Event: BitwiseCopyable {
    enum Kind: UInt8, BitwiseCopyable {
        /// A datagram reaches its receiver's side of the network. `item` is the flight.
        case arrive
        /// A datagram reaches the shared line that its sender stands behind. `item` is the flight.
        case share
        /// A datagram has come through the shared line in front of its receiver's. `item` is the flight.
        case enter
        /// A line that serves flows in turn is free. `item` is the line.
        case serve
        /// A datagram has come through its receiver's link. `item` is the flight.
        case deliver
        /// A node's core asked for the time.
        case timer
        /// A node's processor is free again and datagrams wait.
        case processor
        /// The sequencer seals.
        case seal
        /// A fault begins or ends. `item` tells which.
        case fault
        /// A sample of everything for the time line.
        case sample
        /// An attack's sender acts. `item` is the attack.
        case attack
    }

    /// Nanoseconds of virtual time.
    var at: UInt64
    var order: UInt64 = 0
    var item: UInt32 = 0
    var node: UInt32 = 0
    var kind: Kind

    @inline(__always)
    static func < (a: Event, b: Event) -> Bool { a.at != b.at ? a.at < b.at : a.order < b.order }
}

/// The bare queue's speed, for whoever has a clock.
public enum QueueExercise {
    /// Events that leave and are replaced: a quarter of a second's work.
    public static let events = 1_000_000
    /// How far ahead an event is put at most: a line's delay and queue.
    static let spread: UInt64 = 40_000_000

    /// With as many events waiting as `result`'s run had on average.
    public static func run(like result: SimulationResult) -> UInt64 {
        EventQueue.exercise(events: events, pending: result.eventsPending, spread: spread)
    }
}

struct EventQueue: ~Copyable {
    /// 2^15 ns.
    private static let bucketShift: UInt64 = 15
    private static let bucketCount: UInt64 = 8_192
    private static let none = UInt32.max

    private struct Link: BitwiseCopyable {
        var event: Event
        var next: UInt32
    }

    private(set) var count = 0
    /// Events put in so far: the order of the next one.
    private(set) var total: UInt64 = 0
    /// Events before the end of this bucket are in `current`.
    private var bucket: UInt64 = 0
    private var current: [Event] = []
    private var later: [Event] = []
    private var heads: [UInt32]
    /// One bit for each bucket that has events.
    private var occupied: [UInt64]
    private var links: [Link] = []
    private var free = EventQueue.none

    init() {
        heads = Array(repeating: EventQueue.none, count: Int(EventQueue.bucketCount))
        occupied = Array(repeating: 0, count: Int(EventQueue.bucketCount / 64))
        current.reserveCapacity(4_096)
    }

    /// Puts an event in. A time that has passed counts as now: it leaves before anything later.
    mutating func push(_ event: Event) {
        var event = event
        event.order = total
        total &+= 1
        count += 1
        let place = event.at >> EventQueue.bucketShift
        if place <= bucket {
            EventQueue.push(event, on: &current)
        } else if place - bucket < EventQueue.bucketCount {
            link(event, place)
        } else {
            EventQueue.push(event, on: &later)
        }
    }

    /// The next event, if it is no later than `end`.
    mutating func pop(through end: UInt64) -> Event? {
        while current.isEmpty {
            guard count > 0, moveOn() else { return nil }
        }
        guard current[0].at <= end else { return nil }
        count -= 1
        return EventQueue.pop(from: &current)
    }

    /// The queue alone, as a run uses it: `pending` events wait, and each that leaves puts in another, up to `spread` nanoseconds
    /// later. What a run's speed is told beside. The answer depends on every event, so that none can be left out.
    static func exercise(events: Int, pending: Int, spread: UInt64) -> UInt64 {
        var queue = EventQueue()
        var draws = Seed(1).generator("queue exercise")
        for _ in 0..<max(pending, 1) { queue.push(Event(at: draws.below(max(spread, 1)), kind: .arrive)) }
        var sum: UInt64 = 0
        for _ in 0..<events {
            guard let event = queue.pop(through: .max) else { break }
            sum &+= event.at
            queue.push(Event(at: event.at + draws.below(max(spread, 1)), kind: .arrive))
        }
        return sum
    }

    private mutating func link(_ event: Event, _ place: UInt64) {
        let slot = Int(place & (EventQueue.bucketCount - 1))
        let entry = Link(event: event, next: heads[slot])
        if free != EventQueue.none {
            let index = free
            free = links[Int(index)].next
            links[Int(index)] = entry
            heads[slot] = index
        } else {
            heads[slot] = UInt32(links.count)
            links.append(entry)
        }
        occupied[slot >> 6] |= 1 << UInt64(slot & 63)
    }

    /// Makes the next bucket with events the current one. False when there is none.
    private mutating func moveOn() -> Bool {
        if let next = nextOccupied() {
            // What lies beyond the calendar may still be earlier than what was put in after the calendar moved.
            if let first = later.first, first.at >> EventQueue.bucketShift < next {
                bucket = first.at >> EventQueue.bucketShift
            } else {
                bucket = next
            }
        } else if let first = later.first {
            bucket = first.at >> EventQueue.bucketShift
        } else {
            return false
        }
        let slot = Int(bucket & (EventQueue.bucketCount - 1))
        var index = heads[slot]
        // The slot may hold nothing: then `later` brought us here.
        while index != EventQueue.none {
            let entry = links[Int(index)]
            EventQueue.push(entry.event, on: &current)
            links[Int(index)].next = free
            free = index
            index = entry.next
        }
        heads[slot] = EventQueue.none
        occupied[slot >> 6] &= ~(1 << UInt64(slot & 63))
        while let first = later.first, first.at >> EventQueue.bucketShift <= bucket {
            EventQueue.push(EventQueue.pop(from: &later), on: &current)
        }
        return true
    }

    /// The first bucket after the current one that has events, by its place in time.
    private func nextOccupied() -> UInt64? {
        let words = EventQueue.bucketCount / 64
        let start = (bucket + 1) & (EventQueue.bucketCount - 1)
        var word = start >> 6
        var bits = occupied[Int(word)] & (~0 << (start & 63))
        for _ in 0...words {
            if bits != 0 {
                let slot = word << 6 | UInt64(bits.trailingZeroBitCount)
                return bucket + 1 + ((slot &- start) & (EventQueue.bucketCount - 1))
            }
            word = (word + 1) & (words - 1)
            bits = occupied[Int(word)]
        }
        return nil
    }

    // MARK: A binary heap, earliest first

    @inline(__always)
    private static func push(_ event: Event, on heap: inout [Event]) {
        heap.append(event)
        heap.withUnsafeMutableBufferPointer { heap in
            var i = heap.count - 1
            while i > 0 {
                let parent = (i - 1) >> 1
                if !(event < heap[parent]) { break }
                heap[i] = heap[parent]
                i = parent
            }
            heap[i] = event
        }
    }

    /// The caller owes a heap that is not empty.
    @inline(__always)
    private static func pop(from heap: inout [Event]) -> Event {
        let last = heap.removeLast()
        if heap.isEmpty { return last }
        return heap.withUnsafeMutableBufferPointer { heap in
            let first = heap[0]
            var i = 0
            while true {
                var child = 2 * i + 1
                if child >= heap.count { break }
                if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
                if !(heap[child] < last) { break }
                heap[i] = heap[child]
                i = child
            }
            heap[i] = last
            return first
        }
    }
}

/// What a child is still to be sent, by slice: a bounded queue of small trivial values. The symbols stay in the store
/// until they go, so a queued shred costs no memory of its own, and one that left the store meanwhile is skipped.

import MillraceBase
import MillraceWire

struct Work: BitwiseCopyable {
    var key: SliceKey
    var shreds: StripeSet
    var withHeader: Bool
    /// The sum of headers that ends with this slice's (`HeaderSum`), behind the shreds.
    var withSum = false
    /// The request it answers; nil for what is owed by contract.
    var request: UInt16?
    /// When it was queued; told of the stream only.
    var queuedAt = Instant.zero

    /// Datagrams, about.
    var count: Int { shreds.count + (withHeader ? 1 : 0) + (withSum ? 1 : 0) }
}

struct WorkQueue: ~Copyable {
    private var ring: Ring<Work>
    /// The work being sent; it left the ring.
    private var front: Work?
    /// Shreds and headers waiting.
    private(set) var waiting = 0
    /// No height that waits is above this.
    private var highest: UInt64 = 0

    init(minimumCapacity: Int) { ring = Ring(minimumCapacity: minimumCapacity) }

    var isEmpty: Bool { waiting == 0 }
    var isFull: Bool { ring.isFull }

    /// False when the queue is full: nothing was queued.
    mutating func append(_ work: Work) -> Bool {
        if work.count == 0 { return true }
        guard ring.append(work) else { return false }
        highest = isEmpty ? work.key.firstHeight : max(highest, work.key.firstHeight)
        waiting += work.count
        return true
    }

    /// Work on the same slice that waits already takes the place of `work`: it answers the newer request, too. False when
    /// there is none. Looks at the whole queue, unless the slice lies above all that wait.
    mutating func renew(_ work: Work) -> Bool {
        guard work.key.firstHeight <= highest else { return false }
        if let front, front.key == work.key {
            self.front?.request = work.request
            return true
        }
        for place in 0..<ring.count where ring[place].key == work.key {
            waiting += work.count - ring[place].count
            ring[place] = work
            return true
        }
        return false
    }

    /// The work to go on with, not taken; nil when the queue is empty.
    var first: Work? {
        if let front { return front }
        return ring.isEmpty ? nil : ring[0]
    }

    /// The work to go on with.
    mutating func next() -> Work? {
        if front == nil { front = ring.popFirst() }
        return front
    }

    /// Puts back what is left of the front work; empty work is done with.
    mutating func replaceFront(_ rest: Work) {
        guard let before = front else { return }
        waiting -= before.count - rest.count
        front = rest.count == 0 ? nil : rest
    }

    /// Forgets the front work.
    mutating func dropFront() {
        guard let before = front else { return }
        waiting -= before.count
        front = nil
    }

    mutating func removeAll() {
        front = nil
        while ring.popFirst() != nil {}
        waiting = 0
    }
}

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

    /// Nothing of it is to be sent any more.
    mutating func clear() {
        shreds = .empty
        withHeader = false
        withSum = false
    }

    /// Datagrams, about.
    var count: Int { shreds.count + (withHeader ? 1 : 0) + (withSum ? 1 : 0) }
}

struct WorkQueue: ~Copyable {
    private var ring: Ring<Work>
    private let capacity: Int
    /// The ring's first work is being sent: changed where it lies, and not among those that the capacity bounds.
    private var isBegun = false
    /// Shreds and headers waiting.
    private(set) var waiting = 0
    /// No height that waits is above this.
    private var highest: UInt64 = 0

    init(capacity: Int) {
        self.capacity = capacity
        ring = Ring(minimumCapacity: capacity + 1)
    }

    var isEmpty: Bool { waiting == 0 }
    var isFull: Bool { ring.count - (isBegun ? 1 : 0) >= capacity }

    /// False when the queue is full: nothing was queued.
    mutating func append(_ work: Work) -> Bool {
        if work.count == 0 { return true }
        guard !isFull, ring.append(work) else { return false }
        highest = isEmpty ? work.key.firstHeight : max(highest, work.key.firstHeight)
        waiting += work.count
        return true
    }

    /// Puts work before all that waits of higher heights, and behind what waits of its own: whoever asks for windows needs them
    /// in order, and a piece asked for again is what its state stands still for. What is being sent is finished first. Looks
    /// at what it overtakes.
    mutating func insertByHeight(_ work: Work) -> Bool {
        guard append(work), work.count > 0 else { return work.count == 0 }
        var place = ring.count - 1
        let least = isBegun ? 1 : 0
        while place > least, ring[place - 1].key.firstHeight > work.key.firstHeight {
            ring[place] = ring[place - 1]
            place -= 1
        }
        ring[place] = work
        return true
    }

    /// Work on the same slice that waits already takes the place of `work`: it answers the newer request, too. False when
    /// there is none. Looks at the whole queue, unless the slice lies above all that wait.
    mutating func renew(_ work: Work) -> Bool {
        guard work.key.firstHeight <= highest else { return false }
        if isBegun, ring[0].key == work.key {
            ring[0].request = work.request
            return true
        }
        for place in (isBegun ? 1 : 0)..<ring.count where ring[place].key == work.key {
            waiting += work.count - ring[place].count
            ring[place] = work
            return true
        }
        return false
    }

    /// The work to go on with, not begun; nil when the queue is empty.
    var first: Work? { ring.isEmpty ? nil : ring[0] }

    /// The work to go on with.
    mutating func next() -> Work? {
        isBegun = !ring.isEmpty
        return first
    }

    /// Lends the work to go on with, which `serve` takes out of what it has done; work with nothing left is forgotten. Nil when
    /// the queue is empty. Nothing is copied: a copy of what was written a moment ago waits until it has reached the cache.
    @inline(__always)
    mutating func serveFirst<Answer>(_ serve: (inout Work) -> Answer) -> Answer? {
        if ring.isEmpty { return nil }
        isBegun = true
        let before = ring[0].count
        let answer = serve(&ring[0])
        let left = ring[0].count
        waiting -= before - left
        if left == 0 { removeFirst() }
        return answer
    }

    /// Forgets the work that was begun.
    mutating func dropFront() {
        guard isBegun else { return }
        waiting -= ring[0].count
        removeFirst()
    }

    private mutating func removeFirst() {
        _ = ring.popFirst()
        isBegun = false
    }

    mutating func removeAll() {
        while ring.popFirst() != nil {}
        isBegun = false
        waiting = 0
    }
}

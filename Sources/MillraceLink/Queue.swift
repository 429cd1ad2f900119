/// A first-in-first-out queue that grows by doubling and never shrinks: its owner bounds it.
struct Queue<Element: BitwiseCopyable & Sendable>: Sendable {
    /// What stands in free places; a power of two of them, or none.
    private let empty: Element
    private var storage: [Element] = []
    private var head = 0
    private(set) var count = 0

    init(empty: Element) { self.empty = empty }

    /// Asks for `count > 0`.
    @inline(__always)
    var first: Element { storage[head] }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        storage[(head &+ count) & (storage.count &- 1)] = element
        count &+= 1
    }

    @inline(__always)
    mutating func removeFirst() {
        precondition(count > 0, "an empty queue has no first element")
        head = (head &+ 1) & (storage.count &- 1)
        count &-= 1
    }

    private mutating func grow() {
        var larger = [Element](repeating: empty, count: max(16, storage.count * 2))
        for i in 0..<count { larger[i] = storage[(head + i) & (storage.count - 1)] }
        storage = larger
        head = 0
    }
}

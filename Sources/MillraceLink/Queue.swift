/// A first-in-first-out queue that grows by doubling and never shrinks: its owner bounds it.
struct Queue<Element: BitwiseCopyable & Sendable>: Sendable {
    private var storage: [Element?] = []
    private var head = 0
    private(set) var count = 0

    var first: Element? { count == 0 ? nil : storage[head] }

    mutating func append(_ element: Element) {
        if count == storage.count { grow() }
        storage[(head + count) & (storage.count - 1)] = element
        count += 1
    }

    mutating func removeFirst() {
        precondition(count > 0, "an empty queue has no first element")
        head = (head + 1) & (storage.count - 1)
        count -= 1
    }

    private mutating func grow() {
        var larger = [Element?](repeating: nil, count: max(16, storage.count * 2))
        for i in 0..<count { larger[i] = storage[(head + i) & (storage.count - 1)] }
        storage = larger
        head = 0
    }
}

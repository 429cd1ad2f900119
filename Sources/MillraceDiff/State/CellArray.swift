/// A growable array of trivial cells in manual memory: the columns of `State`, indexed by dense id.
///
/// `Array` would do, but for two things: its uniqueness and exclusivity checks on every write of a class's field, and its
/// habit of keeping the old storage alive while someone looks at it. Growth doubles and copies; a caller that must not
/// pay for a copy of gigabytes mid-stream reserves beforehand. Memory reserved and not yet written is address space, not
/// RAM: the kernel gives pages on first touch.
///
/// `base` is lent until the next `append` or `reserve`. Bounds are the owner's business: cells are reached by ids that the
/// owner has checked.

@usableFromInline
struct CellArray<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline private(set) var base: UnsafeMutablePointer<Element>
    @usableFromInline private(set) var count: Int
    private(set) var capacity: Int

    init(capacity: Int = 0) {
        self.capacity = max(capacity, 16)
        base = .allocate(capacity: self.capacity)
        count = 0
    }

    /// The same cells, in memory of their own and with no room to spare.
    init(copying other: borrowing CellArray) {
        self.init(capacity: other.count)
        base.update(from: other.base, count: other.count)
        count = other.count
    }

    // Inlinable as `State`'s reads are: the 6.3 optimiser asserts when it may inline the one and not the other.
    @inlinable deinit { base.deallocate() }

    var isEmpty: Bool { count == 0 }
    var bytes: Int { capacity * MemoryLayout<Element>.stride }

    @inline(__always)
    mutating func append(_ element: Element) {
        if count == capacity { reserve(capacity * 2) }
        (base + count).initialize(to: element)
        count &+= 1
    }

    /// Room for at least `minimum` cells in all.
    mutating func reserve(_ minimum: Int) {
        guard minimum > capacity else { return }
        let larger = UnsafeMutablePointer<Element>.allocate(capacity: minimum)
        larger.update(from: base, count: count)
        base.deallocate()
        base = larger
        capacity = minimum
    }

    /// Grows to `newCount` cells, the new ones `element`; no effect when there are as many already.
    mutating func extend(to newCount: Int, repeating element: Element) {
        guard newCount > count else { return }
        if newCount > capacity { reserve(max(newCount, capacity * 2)) }
        (base + count).initialize(repeating: element, count: newCount - count)
        count = newCount
    }

    mutating func removeLast(_ removed: Int) {
        precondition(removed >= 0 && removed <= count, "removing more cells than there are")
        count -= removed
    }

    mutating func removeAll() { count = 0 }
}

/// A bounded first-in-first-out queue of small trivial values: how a core hands its outputs to its shell.
///
/// Storage is allocated once. `append` answers false when the ring is full; the owner decides what that means (for a
/// core's outputs it is a sizing bug and traps there; for a link's queue it is a drop).
public struct Ring<Element: BitwiseCopyable>: ~Copyable {
    @usableFromInline let storage: UnsafeMutablePointer<Element>
    @usableFromInline let mask: Int
    @usableFromInline var head: Int
    @usableFromInline var _count: Int

    /// Room for at least `minimumCapacity` elements (rounded up to a power of two).
    public init(minimumCapacity: Int) {
        var capacity = 16
        while capacity < minimumCapacity { capacity *= 2 }
        storage = .allocate(capacity: capacity)
        mask = capacity - 1
        head = 0
        _count = 0
    }

    deinit { storage.deallocate() }

    @inlinable public var capacity: Int { mask + 1 }
    @inlinable public var count: Int { _count }
    @inlinable public var isEmpty: Bool { _count == 0 }
    @inlinable public var isFull: Bool { _count > mask }

    @inlinable public mutating func append(_ element: Element) -> Bool {
        if _count > mask { return false }
        (storage + ((head &+ _count) & mask)).initialize(to: element)
        _count &+= 1
        return true
    }

    @inlinable public mutating func popFirst() -> Element? {
        if _count == 0 { return nil }
        let element = storage[head]
        _count &-= 1
        // An empty ring begins at the front again: one that is drained each time stays in the same few lines of memory.
        head = _count == 0 ? 0 : (head &+ 1) & mask
        return element
    }

    /// The element at `index` from the front; the caller owes `0 <= index < count`.
    @inlinable public subscript(index: Int) -> Element {
        get {
            precondition(index >= 0 && index < _count, "ring index out of range")
            return storage[(head &+ index) & mask]
        }
        _modify {
            precondition(index >= 0 && index < _count, "ring index out of range")
            yield &storage[(head &+ index) & mask]
        }
    }
}

/// Datagram-sized buffers that travel by handle: a core fills one, the shell sends it and gives it back.
///
/// All slots are one allocation made at the start. A handle is an index and a generation, so a handle that was given
/// back once cannot be used again: that is our own mistake and traps. `take` answers nil when every slot is out; the
/// caller leaves its work queued and comes back after a release. Bytes are lent until the slot is released.

public struct BufferHandle: Hashable, Sendable, BitwiseCopyable {
    public var index: UInt32
    public var generation: UInt32
    @inlinable public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

public struct BufferPool: ~Copyable {
    /// Bytes of each slot that may be used.
    public let slotBytes: Int
    /// How many slots there are.
    public let capacity: Int
    @usableFromInline let stride: Int
    @usableFromInline let memory: UnsafeMutableRawPointer
    @usableFromInline let generations: UnsafeMutablePointer<UInt32>
    @usableFromInline let free: UnsafeMutablePointer<UInt32>
    @usableFromInline var freeCount: Int

    public init(slots: Int, slotBytes: Int = Limits.datagramBytesMax) {
        precondition(slots > 0 && slotBytes > 0)
        self.slotBytes = slotBytes
        capacity = slots
        stride = (slotBytes + 63) / 64 * 64
        memory = .allocate(byteCount: slots * stride, alignment: 64)
        generations = .allocate(capacity: slots)
        generations.initialize(repeating: 0, count: slots)
        free = .allocate(capacity: slots)
        for i in 0..<slots { (free + i).initialize(to: UInt32(slots - 1 - i)) }
        freeCount = slots
    }

    deinit {
        memory.deallocate()
        generations.deallocate()
        free.deallocate()
    }

    /// Slots that can still be taken.
    @inlinable public var available: Int { freeCount }

    @inlinable public mutating func take() -> BufferHandle? {
        if freeCount == 0 { return nil }
        freeCount &-= 1
        let index = free[freeCount]
        generations[Int(index)] &+= 1
        return BufferHandle(index: index, generation: generations[Int(index)])
    }

    /// Gives a slot back. Its bytes must not be read any more.
    @inlinable public mutating func release(_ handle: BufferHandle) {
        check(handle)
        generations[Int(handle.index)] &+= 1
        free[freeCount] = handle.index
        freeCount &+= 1
    }

    /// The slot's bytes, valid until it is released.
    @inlinable public func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer {
        check(handle)
        return UnsafeMutableRawBufferPointer(start: memory + Int(handle.index) * stride, count: slotBytes)
    }

    @inlinable func check(_ handle: BufferHandle) {
        precondition(
            Int(handle.index) < capacity && generations[Int(handle.index)] == handle.generation
                && handle.generation & 1 == 1, "a buffer handle is used after its release")
    }
}

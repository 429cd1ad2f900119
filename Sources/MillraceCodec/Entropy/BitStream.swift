/// Bits that no model can shorten (the lower part of amounts, hashes), past the range coder: least significant bit first,
/// 64 bits at a time. An order of magnitude faster than coding them with probability one half.

struct BitWriter: ~Copyable {
    private var pending: UInt64 = 0
    private var pendingBits: UInt64 = 0
    private var bytes: UnsafeMutablePointer<UInt8>
    private var position = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        bytes = .allocate(capacity: self.capacity)
    }

    deinit { bytes.deallocate() }

    mutating func reset() { (pending, pendingBits, position) = (0, 0, 0) }

    /// Writes the lowest `count` bits of `value`; the others must be zero.
    @inline(__always)
    mutating func write(_ value: UInt64, _ count: Int) {
        if count > 32 {
            writeShort(value & 0xFFFF_FFFF, 32)
            writeShort(value >> 32, count &- 32)
        } else {
            writeShort(value, count)
        }
    }

    @inline(__always)
    private mutating func writeShort(_ value: UInt64, _ count: Int) {
        if position &+ 16 > capacity { grow() }
        pending |= value << pendingBits
        pendingBits &+= UInt64(truncatingIfNeeded: count)
        UnsafeMutableRawPointer(bytes + position).storeBytes(of: pending.littleEndian, as: UInt64.self)
        position &+= Int(truncatingIfNeeded: pendingBits >> 3)
        pending >>= pendingBits & ~7
        pendingBits &= 7
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity * 2)
        larger.update(from: bytes, count: position + (pendingBits > 0 ? 1 : 0))
        bytes.deallocate()
        bytes = larger
        capacity *= 2
    }

    var bitsSpent: Int { position * 8 + Int(pendingBits) }

    /// Appends the bytes, the last one filled up with zero bits.
    func append(to payload: inout [UInt8]) {
        payload.append(
            contentsOf: UnsafeBufferPointer(start: bytes, count: position + (pendingBits > 0 ? 1 : 0)))
    }
}

/// Total: past the end it reads zeroes and says so when asked.
struct BitReader {
    private let bytes: UnsafePointer<UInt8>
    private let count: Int
    private var position = 0
    private var pending: UInt64 = 0
    private var pendingBits = 0
    private(set) var isOverrun = false

    /// `bytes` is lent for the life of the reader.
    init(_ bytes: UnsafePointer<UInt8>, count: Int) {
        self.bytes = bytes
        self.count = count
    }

    @inline(__always)
    mutating func read(_ count: Int) -> UInt64 {
        if count > 32 {
            let low = readShort(32)
            return low | readShort(count &- 32) << 32
        }
        return readShort(count)
    }

    @inline(__always)
    private mutating func readShort(_ wanted: Int) -> UInt64 {
        if pendingBits < wanted { refill(wanted) }
        let value = pending & ((1 << UInt64(truncatingIfNeeded: wanted)) &- 1)
        pending >>= UInt64(truncatingIfNeeded: wanted)
        pendingBits &-= wanted
        return value
    }

    private mutating func refill(_ wanted: Int) {
        while pendingBits <= 56 {
            if position < count {
                pending |= UInt64(bytes[position]) << UInt64(truncatingIfNeeded: pendingBits)
                position &+= 1
            } else if pendingBits < wanted {
                isOverrun = true
            } else {
                return
            }
            pendingBits &+= 8
        }
    }

    /// Bytes not yet touched, and bits of the last one that are not zero, count as left over.
    var leftOverBytes: Int { count - position + pendingBits / 8 }
    /// Everything not yet read is zero.
    var isRestZero: Bool {
        if pending != 0 { return false }
        for i in position..<max(position, count) where bytes[i] != 0 { return false }
        return true
    }
    var isPaddingZero: Bool { pending & ((1 << UInt64(pendingBits & 7)) &- 1) == 0 }
}

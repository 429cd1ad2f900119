/// Adaptive binary range coder, the writing half (Spec 30.4). G. N. N. Martin's range coder (1979) in the arrangement that
/// LZMA made common: 32-bit range, 12-bit probabilities, carries resolved by holding back runs of 0xFF. A 64-bit range
/// would save a tenth of the time and make the specification longer.
///
/// The first byte is always zero and left out, and so are up to four zeroes at the end (the reader takes zeroes for what is
/// missing).

struct RangeEncoder: ~Copyable {
    private var low: UInt64 = 0
    private var range: UInt32 = .max
    /// The last byte not yet written, since a carry may still change it; the bytes after it are all 0xFF.
    private var held: UInt8 = 0
    private var heldRun = 0
    private var isFirst = true

    private var bytes: UnsafeMutablePointer<UInt8>
    private(set) var count = 0
    private var capacity: Int

    init(capacity: Int) {
        self.capacity = max(capacity, 64)
        bytes = .allocate(capacity: self.capacity)
    }

    deinit { bytes.deallocate() }

    mutating func reset() {
        (low, range, held, heldRun, isFirst, count) = (0, .max, 0, 0, true, 0)
    }

    @inline(__always)
    mutating func encode(_ bit: Bool, _ index: Int, _ models: Models) {
        let cell = models.cells[index]
        let bound = (range >> 12) &* ((cell >> 20) | 1)
        if bit {
            range = bound
        } else {
            low &+= UInt64(bound)
            range &-= bound
        }
        models.adapt(index, cell: cell, bit: bit)
        while range < 1 << 24 {
            range <<= 8
            shiftLow()
        }
    }

    /// A bit that is 1 with probability `probability` of 4,096, from 1 to 4,095.
    @inline(__always)
    mutating func encode(_ bit: Bool, probability: UInt32) {
        let bound = (range >> 12) &* probability
        if bit {
            range = bound
        } else {
            low &+= UInt64(bound)
            range &-= bound
        }
        while range < 1 << 24 {
            range <<= 8
            shiftLow()
        }
    }

    private mutating func shiftLow() {
        if low < 0xFF00_0000 || low > 0xFFFF_FFFF {
            let carry = UInt8(truncatingIfNeeded: low >> 32)
            if isFirst { isFirst = false } else { put(held &+ carry) }
            while heldRun > 0 {
                put(0xFF &+ carry)
                heldRun &-= 1
            }
            held = UInt8(truncatingIfNeeded: low >> 24)
        } else {
            heldRun &+= 1
        }
        low = (low & 0x00FF_FFFF) << 8
    }

    @inline(__always)
    private mutating func put(_ byte: UInt8) {
        if count == capacity { grow() }
        bytes[count] = byte
        count &+= 1
    }

    private mutating func grow() {
        let larger = UnsafeMutablePointer<UInt8>.allocate(capacity: capacity * 2)
        larger.update(from: bytes, count: count)
        bytes.deallocate()
        bytes = larger
        capacity *= 2
    }

    /// Ends the stream with the number in the final interval that has the most zero bits at its end.
    mutating func finish() {
        let top = low &+ UInt64(range) &- 1
        var shift: UInt64 = 32
        while shift > 0 {
            let mask = ((1 as UInt64) << shift) &- 1
            let candidate = (low &+ mask) & ~mask
            if candidate <= top {
                low = candidate
                break
            }
            shift &-= 1
        }
        for _ in 0..<5 { shiftLow() }
        // At most four: a reader takes more than four bytes beyond the end for a truncated stream.
        let least = max(count - 4, 0)
        while count > least, bytes[count - 1] == 0 { count -= 1 }
    }

    /// Bits spent so far, to about a thousandth: for the ledger of columns.
    var bitsSpent: Double {
        let pending = Double(count + heldRun + (isFirst ? 0 : 1)) * 8
        return pending + (32 - RangeEncoder.log2(range))
    }

    /// The binary logarithm by linear interpolation between powers of two: good to 0.09 bit, and no C library.
    private static func log2(_ value: UInt32) -> Double {
        let exponent = 31 - value.leadingZeroBitCount
        return Double(exponent) + Double(value) / Double((1 as UInt64) << UInt64(exponent)) - 1
    }

    func append(to payload: inout [UInt8]) {
        payload.append(contentsOf: UnsafeBufferPointer(start: bytes, count: count))
    }
}

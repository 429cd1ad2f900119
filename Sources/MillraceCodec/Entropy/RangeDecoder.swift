/// Adaptive binary range coder, the reading half (Spec 30.4). Total: past the end it reads zeroes and counts them; the
/// caller asks at the end whether the stream was used up and not overrun.

struct RangeDecoder {
    private let bytes: UnsafePointer<UInt8>
    private let count: Int
    private var position = 0
    private var range: UInt32 = .max
    private var code: UInt32 = 0

    /// `bytes` is lent for the life of the decoder.
    init(_ bytes: UnsafePointer<UInt8>, count: Int) {
        self.bytes = bytes
        self.count = count
        for _ in 0..<4 { code = code << 8 | next() }
    }

    @inline(__always)
    private mutating func next() -> UInt32 {
        defer { position &+= 1 }
        return position < count ? UInt32(bytes[position]) : 0
    }

    @inline(__always)
    mutating func decode(_ index: Int, _ models: Models) -> Bool {
        let cell = models.cells[index]
        let bound = (range >> 12) &* ((cell >> 20) | 1)
        let bit = code < bound
        if bit {
            range = bound
        } else {
            code &-= bound
            range &-= bound
        }
        models.adapt(index, cell: cell, bit: bit)
        while range < 1 << 24 {
            range <<= 8
            code = code << 8 | next()
        }
        return bit
    }

    /// A bit that is 1 with probability `probability` of 4,096, from 1 to 4,095.
    @inline(__always)
    mutating func decode(probability: UInt32) -> Bool {
        let bound = (range >> 12) &* probability
        let bit = code < bound
        if bit {
            range = bound
        } else {
            code &-= bound
            range &-= bound
        }
        while range < 1 << 24 {
            range <<= 8
            code = code << 8 | next()
        }
        return bit
    }

    /// The encoder's last bytes may be left out zeroes: at most four lie beyond the end when nothing is missing.
    var isOverrun: Bool { position > count + 4 }
    /// Every byte has been read.
    var isUsedUp: Bool { position >= count }
}

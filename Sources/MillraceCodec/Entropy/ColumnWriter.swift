/// What a column writes with: modelled bits to the range coder, the rest to the bit stream. `ColumnReader` mirrors it
/// method by method; a column's two halves call them in the same order.

internal import MillraceBase

struct ColumnWriter: ~Copyable {
    var range: RangeEncoder
    var bits: BitWriter
    let models: Models
    /// Units of work that what was written costs its reader, keys apart (`CodecLimits`).
    var work = 0

    init(models: Models) {
        range = RangeEncoder(capacity: 1 << 16)
        bits = BitWriter(capacity: 1 << 16)
        self.models = models
    }

    mutating func reset() {
        range.reset()
        bits.reset()
        work = 0
    }

    var bitsSpent: Double { range.bitsSpent + Double(bits.bitsSpent) }

    @inline(__always)
    mutating func bit(_ bit: Bool, _ index: Int) { range.encode(bit, index, models) }

    @inline(__always)
    mutating func raw(_ value: UInt64, _ count: Int) { bits.write(value, count) }

    /// A symbol below 2^`depth`, most significant bit first, each bit by the bits before it. Uses 2^`depth` cells.
    @inline(__always)
    mutating func tree(_ symbol: Int, depth: Int, _ index: Int) {
        var node = 1
        var level = depth
        while level > 0 {
            level &-= 1
            let bit = (symbol >> level) & 1
            range.encode(bit != 0, index &+ node, models)
            node = node &<< 1 | bit
        }
    }

    /// A number by its width: width by tree, the bit below the leading one by width, the rest raw.
    mutating func number(_ value: UInt64, treeBits: Int, _ index: Int) {
        let width = 64 - value.leadingZeroBitCount
        tree(width, depth: treeBits, index)
        guard width > 1 else { return }
        range.encode((value >> UInt64(width - 2)) & 1 != 0, index + (1 << treeBits) + width, models)
        raw(value & ((1 << UInt64(width - 2)) &- 1), width - 2)
    }

    /// An index below `bound` in truncated binary (Spec 30.4.5).
    @inline(__always)
    mutating func uniform(_ index: Int, below bound: Int) {
        guard bound > 1 else { return }
        let width = Int.bitWidth - (bound - 1).leadingZeroBitCount
        let short = (1 << width) - bound
        if index < short {
            raw(UInt64(index), width - 1)
        } else {
            // The last bit tells the long codewords apart, so that the reader knows after `width - 1` bits.
            let long = index + short
            raw(UInt64(long >> 1), width - 1)
            raw(UInt64(long & 1), 1)
        }
    }

    /// A whole word.
    mutating func word(_ word: U256) {
        raw(word.w0, 64)
        raw(word.w1, 64)
        raw(word.w2, 64)
        raw(word.w3, 64)
    }

    /// A number from 1 to 2^256 - 1: a scale by powers of ten where it is round, width by tree, the bits below the
    /// leading one by tree up to 8 bits and raw beyond.
    mutating func magnitude(_ magnitude: U256, width tree8: Int, roundness: Int) {
        var scaled = magnitude
        let zeroes = DecimalScale.strip(&scaled)
        bit(zeroes != 0, ModelMap.isRound + roundness)
        if zeroes != 0 { tree(zeroes - DecimalScale.zeroesMin, depth: 6, ModelMap.zeroes + roundness * 64) }
        let width = scaled.bitWidth
        tree(width - 1, depth: 8, tree8)
        if width <= 8 {
            var node = 1
            var level = width - 1
            while level > 0 {
                level &-= 1
                let low = Int(scaled.w0 >> UInt64(level)) & 1
                bit(low != 0, ModelMap.smallMagnitude + width * 256 + node)
                node = node << 1 | low
            }
            return
        }
        var left = width - 1
        var limb = 0
        while left > 0 {
            let word = limb == 0 ? scaled.w0 : limb == 1 ? scaled.w1 : limb == 2 ? scaled.w2 : scaled.w3
            let take = min(left, 64)
            raw(take == 64 ? word : word & ((1 << UInt64(take)) &- 1), take)
            left &-= take
            limb &+= 1
        }
    }
}

/// What a column reads with: the mirror of `ColumnWriter`. Every method is total; a stream that has run out gives zeroes,
/// and the caller asks `isOverrun` where a count has been used up.

internal import MillraceBase

struct ColumnReader {
    var range: RangeDecoder
    var bits: BitReader
    let models: Models
    /// Units of work that the payload may still ask for, keys apart (`CodecLimits`).
    var workLeft: Int

    /// Takes units of work that come.
    @inline(__always)
    mutating func spend(_ work: Int) throws(CodecError) {
        workLeft &-= work
        if workLeft < 0 { throw .badCount(.work) }
    }

    var isOverrun: Bool { range.isOverrun || bits.isOverrun }

    @inline(__always)
    mutating func bit(_ index: Int) -> Bool { range.decode(index, models) }

    @inline(__always)
    mutating func raw(_ count: Int) -> UInt64 { bits.read(count) }

    @inline(__always)
    mutating func tree(depth: Int, _ index: Int) -> Int {
        var node = 1
        var level = depth
        while level > 0 {
            level &-= 1
            node = node &<< 1 | (range.decode(index &+ node, models) ? 1 : 0)
        }
        return node &- (1 &<< depth)
    }

    /// A number below 2^64. Widths of 65 and more, which a tree of 7 bits could name, are read as 64.
    mutating func number(treeBits: Int, _ index: Int) -> UInt64 {
        let width = min(tree(depth: treeBits, index), 64)
        guard width > 1 else { return UInt64(width) }
        let second: UInt64 = range.decode(index + (1 << treeBits) + width, models) ? 1 : 0
        return (2 | second) << UInt64(width - 2) | raw(width - 2)
    }

    @inline(__always)
    mutating func uniform(below bound: Int) -> Int {
        guard bound > 1 else { return 0 }
        let width = Int.bitWidth - (bound - 1).leadingZeroBitCount
        let short = (1 << width) - bound
        let start = Int(raw(width - 1))
        if start < short { return start }
        return (start << 1 | Int(raw(1))) - short
    }

    mutating func word() -> U256 {
        let w0 = raw(64)
        let w1 = raw(64)
        let w2 = raw(64)
        return U256(w0, w1, w2, raw(64))
    }

    /// Nil when the scale leads beyond 256 bits, or the number could have been written with a larger one.
    mutating func magnitude(width tree8: Int, roundness: Int) -> U256? {
        var zeroes = 0
        if bit(ModelMap.isRound + roundness) {
            zeroes = tree(depth: 6, ModelMap.zeroes + roundness * 64) + DecimalScale.zeroesMin
        }
        let width = tree(depth: 8, tree8) + 1
        var value = U256.zero
        if width <= 8 {
            var node = 1
            for _ in 1..<width {
                node = node << 1 | (bit(ModelMap.smallMagnitude + width * 256 + node) ? 1 : 0)
            }
            value.w0 = UInt64(node)
        } else {
            var left = width - 1
            var limb = 0
            while left > 0 {
                let take = min(left, 64)
                let word = raw(take)
                switch limb {
                case 0: value.w0 = word
                case 1: value.w1 = word
                case 2: value.w2 = word
                default: value.w3 = word
                }
                left &-= take
                limb &+= 1
            }
            let top: UInt64 = 1 << UInt64((width - 1) & 63)
            switch (width - 1) >> 6 {
            case 0: value.w0 |= top
            case 1: value.w1 |= top
            case 2: value.w2 |= top
            default: value.w3 |= top
            }
        }
        return zeroes == 0 ? value : DecimalScale.scale(value, by: zeroes)
    }
}

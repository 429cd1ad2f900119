/// Gaps between the members of a sparse set within a list of known length (Spec 30.5.2).
///
/// With `count` of `universe` set, gaps are close to geometric. A gap is written in units of 2^k, 2^k about 0.69 of the mean,
/// the quotient in unary by adaptive bits, the remainder's first bit adaptive, its other bits raw. The models are chosen
/// by density alone, so classes share what they learn. Golomb's code with the last percents taken by adaptation.

struct GapModel {
    /// The largest gap that leaves room for the members to come.
    private var room: Int
    private let shift: Int
    private let bucket: Int
    private let table: Int

    /// `count` is at least 1 and at most `universe`.
    init(count: Int, universe: Int, table: Int) {
        room = universe - count
        self.table = table
        let sixteenths = universe &* 16 / count
        let unit = sixteenths &* 11 / 256
        if unit <= 1 {
            shift = 0
            bucket = min((sixteenths - 16) / 3, 10)
        } else {
            let shift = Int.bitWidth - 1 - unit.leadingZeroBitCount
            self.shift = shift
            bucket = 11 + (shift == 1 ? (unit & 1) * 2 : (unit >> (shift - 2)) & 3)
        }
    }

    private var unary: Int { ModelMap.gapUnary(table) + bucket * ModelMap.gapUnary }
    private static var unaryMax: Int { 16 }

    @inline(__always)
    mutating func encode(_ gap: Int, to writer: inout ColumnWriter) {
        if room == 0 { return }
        room &-= gap
        let quotient = gap >> shift
        let unary = unary
        var i = 0
        while i < GapModel.unaryMax {
            let more = i < quotient
            writer.bit(more, unary &+ min(i, ModelMap.gapUnary &- 1))
            if !more { break }
            i &+= 1
        }
        if i == GapModel.unaryMax {
            writer.number(
                UInt64(quotient - GapModel.unaryMax), treeBits: ModelMap.longNumberBits,
                ModelMap.gapEscape(table))
        }
        guard shift > 0 else { return }
        let low = gap & ((1 << shift) - 1)
        writer.bit(low >> (shift - 1) != 0, ModelMap.gapTop(table) + bucket)
        writer.raw(UInt64(low & ((1 << (shift - 1)) - 1)), shift - 1)
    }

    mutating func decode(from reader: inout ColumnReader) throws(CodecError) -> Int {
        if room == 0 { return 0 }
        let unary = unary
        var quotient = 0
        while quotient < GapModel.unaryMax, reader.bit(unary &+ min(quotient, ModelMap.gapUnary &- 1)) {
            quotient &+= 1
        }
        if quotient == GapModel.unaryMax {
            let more = reader.number(treeBits: ModelMap.longNumberBits, ModelMap.gapEscape(table))
            guard more <= UInt64(room) else { throw .badKey }
            quotient += Int(more)
        }
        guard quotient <= room >> shift else { throw .badKey }
        var gap = quotient << shift
        if shift > 0 {
            if reader.bit(ModelMap.gapTop(table) + bucket) { gap |= 1 << (shift - 1) }
            gap |= Int(reader.raw(shift - 1))
        }
        guard gap <= room else { throw .badKey }
        room &-= gap
        return gap
    }
}

/// Sums of slice headers, as a parent sends them (`HeaderSum`, Spec 60.12).
///
/// A sum depends on nothing but the slices, so each is made once and sent to all children. Sixteen
/// products of some 350 bytes each: two microseconds.

import MillraceErasure
import MillraceWire

struct HeaderSumMaker {
    /// Children at different paces ask for different slices: the latest few, in the order they were made.
    private static let keptMax = 8
    private var made: [SliceKey] = []
    private var encoded: [[UInt8]] = []
    private var oldest = 0
    private var sum: [UInt8] = []

    /// The encoded sum of the headers of `record` and of those before it that are held, at most 16.
    mutating func sum(endingAt record: SliceRecord, in store: SliceStore) -> [UInt8] {
        if let place = made.firstIndex(of: record.key) { return encoded[place] }
        sum.removeAll(keepingCapacity: true)
        sum.append(contentsOf: repeatElement(0, count: HeaderSum.sumBytesMax))
        var slices: [SliceKey] = []
        var longest = 0
        var slice: SliceRecord? = record
        while let current = slice, slices.count < HeaderSum.slicesMax {
            if let after = slices.last, !HeaderSum.canFollow(after, current.key) { break }
            let header = current.assembler.headerBytes
            HeaderSumMaker.add(header, WindowCode.coefficient(header: slices.count), to: &sum)
            longest = max(longest, header.count)
            slices.append(current.key)
            slice = store.previous(of: current)
        }
        sum.removeLast(sum.count - 2 - longest)
        if made.count < HeaderSumMaker.keptMax {
            made.append(record.key)
            encoded.append([])
        } else {
            made[oldest] = record.key
        }
        encoded[oldest].removeAll(keepingCapacity: true)
        HeaderSum(slices: slices, sum: sum).encode(into: &encoded[oldest])
        defer { oldest = (oldest + 1) % HeaderSumMaker.keptMax }
        return encoded[oldest]
    }

    /// `sum += factor · (length, header)`. Nothing when the header is longer than the sum can hold.
    static func add(_ header: [UInt8], _ factor: UInt8, to sum: inout [UInt8]) {
        guard header.count + 2 <= sum.count else { return }
        WindowCode.add(factor, times: header, to: &sum, at: 2)
        sum[0] ^= GaloisField.product(factor, UInt8(truncatingIfNeeded: header.count))
        sum[1] ^= GaloisField.product(factor, UInt8(truncatingIfNeeded: header.count >> 8))
    }
}

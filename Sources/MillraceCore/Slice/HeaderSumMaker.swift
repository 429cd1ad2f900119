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
    /// Headers with their lengths in front and zeroes behind, side by side; the factor of each; and what they come to.
    private var rows = [UInt8](repeating: 0, count: HeaderSum.slicesMax * HeaderSum.sumBytesMax)
    private var factors: [UInt8] = []
    private var slices: [SliceKey] = []

    /// The encoded sum of the headers of `record` and of those before it that are held, at most 16.
    mutating func sum(endingAt record: SliceRecord, in store: SliceStore) -> [UInt8] {
        if let place = made.firstIndex(of: record.key) { return encoded[place] }
        slices.removeAll(keepingCapacity: true)
        factors.removeAll(keepingCapacity: true)
        var longest = 0
        var slice: SliceRecord? = record
        while let current = slice, slices.count < HeaderSum.slicesMax {
            if let after = slices.last, !HeaderSum.canFollow(after, current.key) { break }
            longest = max(longest, setRow(slices.count, current.assembler.headerBytes))
            factors.append(WindowCode.coefficient(header: slices.count))
            slices.append(current.key)
            slice = store.previous(of: current)
        }
        if made.count < HeaderSumMaker.keptMax {
            made.append(record.key)
            encoded.append([])
        } else {
            made[oldest] = record.key
        }
        encoded[oldest].removeAll(keepingCapacity: true)
        HeaderSum(slices: slices, sum: combination(bytes: longest)).encode(into: &encoded[oldest])
        defer { oldest = (oldest + 1) % HeaderSumMaker.keptMax }
        return encoded[oldest]
    }

    /// Answers the bytes that the row has before its zeroes.
    private mutating func setRow(_ row: Int, _ header: [UInt8]) -> Int {
        let count = 2 + header.count
        precondition(count <= HeaderSum.sumBytesMax, "a header is longer than any may be")
        rows.withUnsafeMutableBytes { rows in
            let start = row * HeaderSum.sumBytesMax
            rows[start] = UInt8(truncatingIfNeeded: header.count)
            rows[start + 1] = UInt8(truncatingIfNeeded: header.count >> 8)
            let place = UnsafeMutableRawBufferPointer(
                rebasing: rows[(start + 2)..<(start + HeaderSum.sumBytesMax)])
            header.withUnsafeBytes { place.copyMemory(from: $0) }
            for i in header.count..<place.count { place[i] = 0 }
        }
        return count
    }

    private mutating func combination(bytes: Int) -> [UInt8] {
        var sum = [UInt8](repeating: 0, count: bytes)
        let count = slices.count
        rows.withUnsafeMutableBytes { rows in
            sum.withUnsafeMutableBytes { sum in
                factors.withUnsafeMutableBufferPointer { factors in
                    withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: count) {
                        guard let from = rows.baseAddress, let sources = $0.baseAddress,
                            var place = sum.baseAddress, let coefficients = factors.baseAddress
                        else { return }
                        for row in 0..<count {
                            (sources + row).initialize(to: from + row * HeaderSum.sumBytesMax)
                        }
                        WindowCode.accumulate(
                            bytes: bytes, sources: sources, sourceCount: count, coefficients: coefficients,
                            destinations: &place, rows: 1)
                    }
                }
            }
        }
        return sum
    }

    /// `sum += factor · (length, header)`. Nothing when the header is longer than the sum can hold.
    static func add(_ header: [UInt8], _ factor: UInt8, to sum: inout [UInt8]) {
        guard header.count + 2 <= sum.count else { return }
        WindowCode.add(factor, times: header, to: &sum, at: 2)
        sum[0] ^= GaloisField.product(factor, UInt8(truncatingIfNeeded: header.count))
        sum[1] ^= GaloisField.product(factor, UInt8(truncatingIfNeeded: header.count >> 8))
    }
}

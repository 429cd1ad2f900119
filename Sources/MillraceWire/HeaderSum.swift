/// A combination of the signed headers of up to sixteen slices that follow each other in the chain, from which whoever has
/// all but one of them has that one, too, and whoever lacks several has them from as many sums (Spec 60.12).
///
///     slices             n-15 … n-2  n-1  n
///     sum after n         c15 …  c2   c1  c0      of (length u16, header, zeroes), byte by byte in GF(2^8)
///
/// A header costs as much as four hundred bytes of the stream, and a lost one blocks its slice. A second copy of each
/// costs it again and goes in the same burst of losses; a sum after every second slice costs half of that and its worth
/// does not depend on which header is lost.
///
/// A sum proves nothing: what it gives is a header with its signature, or nothing.
///
/// Layout: the newest slice's cadence u8, first height u64 and index u16; flags u8 (bit 0: *plain*, every slice has index 0
/// and starts one height before the next); count u8; unless plain, for each slice but the newest, going back: heights
/// between its first height and that of the slice after it u8 (at most 100), index u16; the sum, to the end.

import MillraceBase

public struct HeaderSum: Hashable, Sendable {
    public static let slicesMax = WireLimits.windowSpanMax
    /// A run ends with its EVM block, so no two neighbours start further apart.
    public static let heightsBackMax: UInt64 = 100
    /// Length, and the largest header.
    public static let sumBytesMax = 2 + SliceHeader.encodedBytesMax

    /// The slices, the newest first: 1…16.
    public var slices: [SliceKey]
    /// At most `sumBytesMax` bytes.
    public var sum: [UInt8]

    public init(slices: [SliceKey], sum: [UInt8]) {
        self.slices = slices
        self.sum = sum
    }

    /// Whether neighbours are as near as the layout can say; what is not cannot be encoded.
    public static func canFollow(_ key: SliceKey, _ before: SliceKey) -> Bool {
        before.firstHeight <= key.firstHeight
            && key.firstHeight - before.firstHeight <= heightsBackMax && before.cadence == key.cadence
    }

    private var isPlain: Bool {
        slices.enumerated().allSatisfy { back, key in
            key.index == 0 && key.firstHeight + UInt64(back) == slices[0].firstHeight
        }
    }

    /// Appends the sum. The caller owes 1…16 slices, of which `canFollow` holds, and at most `sumBytesMax` bytes.
    public func encode(into bytes: inout [UInt8]) {
        precondition(!slices.isEmpty && slices.count <= HeaderSum.slicesMax)
        precondition(sum.count <= HeaderSum.sumBytesMax)
        bytes.append(slices[0].cadence.rawValue)
        put(slices[0].firstHeight, into: &bytes)
        put(slices[0].index, into: &bytes)
        bytes.append(isPlain ? 1 : 0)
        bytes.append(UInt8(slices.count))
        if !isPlain {
            for (key, before) in zip(slices, slices.dropFirst()) {
                precondition(HeaderSum.canFollow(key, before))
                bytes.append(UInt8(key.firstHeight - before.firstHeight))
                put(before.index, into: &bytes)
            }
        }
        bytes.append(contentsOf: sum)
    }

    private func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, into bytes: inout [UInt8]) {
        withUnsafeBytes(of: value.littleEndian) { bytes.append(contentsOf: $0) }
    }

    /// Reads all of `bytes`.
    public static func decode(_ bytes: RawSpan) throws(FrameError) -> HeaderSum {
        var reader = ByteReader(bytes)
        var sum: [UInt8] = []
        let slices: [SliceKey]?
        do throws(ByteError) {
            slices = try Self.slices(&reader)
            let rest = bytes.byteCount - reader.offset
            if slices != nil, rest > 2, rest <= sumBytesMax { sum = try reader.array(rest) }
        } catch {
            throw error == .truncated ? .truncated : .malformed
        }
        guard let slices, !sum.isEmpty else { throw .outOfRange }
        return HeaderSum(slices: slices, sum: sum)
    }

    /// Nil when a field is outside its constraint.
    private static func slices(_ reader: inout ByteReader) throws(ByteError) -> [SliceKey]? {
        guard let cadence = Cadence(rawValue: try reader.u8()) else { return nil }
        let height = try reader.u64()
        let index = try reader.u16()
        let flags = try reader.u8()
        let count = Int(try reader.u8())
        guard height <= WireLimits.heightMax, Int(index) < WireLimits.sliceCountMax, flags <= 1, count >= 1,
            count <= slicesMax
        else { return nil }
        var key = SliceKey(firstHeight: height, cadence: cadence, index: index)
        var slices = [key]
        slices.reserveCapacity(count)
        while slices.count < count {
            let back = flags == 1 ? 1 : UInt64(try reader.u8())
            let before = flags == 1 ? 0 : try reader.u16()
            guard back <= heightsBackMax, back <= key.firstHeight, Int(before) < WireLimits.sliceCountMax
            else { return nil }
            key = SliceKey(
                firstHeight: key.firstHeight - back, cadence: cadence, index: before)
            slices.append(key)
        }
        return slices
    }
}

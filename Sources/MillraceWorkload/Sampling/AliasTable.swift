/// Draws an index with a given probability in O(1): Walker's alias method with Vose's construction, in integers.
///
/// A cumulative table with binary search would be simpler, but costs about twenty cache misses a draw with a million
/// users; this costs one. Memory: 8 bytes per index.

public import MillraceBase

public struct AliasTable: Sendable {
    /// Indices at most, so that weight × count stays below 2^61.
    public static let countMax = 1 << 24
    /// The largest weight.
    static let weightMax: UInt64 = 1 << 36

    /// Upper half: the index drawn instead. Lower half: the cell keeps its own index while the coin is below this.
    private let cells: [UInt64]
    /// Sum of all weights.
    let weightSum: UInt64
    /// The exponent in Q16, for `weight(of:)`.
    private let exponent: UInt64

    public var count: Int { cells.count }

    /// Zipf's law: index i has weight (i + 1)^-s, s = `exponentQ16` / 2^16. Zero gives the uniform distribution. The
    /// caller owes 1 ≤ count ≤ `countMax` and s ≤ 8.
    public init(zipf exponentQ16: UInt64, count: Int) {
        precondition(
            count >= 1 && count <= AliasTable.countMax && exponentQ16 <= 8 << 16, "alias table of \(count)")
        exponent = exponentQ16
        let weights = (0..<count).map { AliasTable.weight(of: $0, exponentQ16: exponentQ16) }
        let sum = weights.reduce(0, &+)
        weightSum = sum
        cells = AliasTable.build(weights, sum: sum)
    }

    /// The weight of an index; its probability is this over `weightSum`.
    func weight(of index: Int) -> UInt64 { AliasTable.weight(of: index, exponentQ16: exponent) }

    /// The index that 64 random bits stand for.
    public func index(for bits: UInt64) -> Int {
        let cell = Int(((bits >> 32) &* UInt64(cells.count)) >> 32)
        let entry = cells[cell]
        return bits & 0xFFFF_FFFF < entry & 0xFFFF_FFFF ? cell : Int(entry >> 32)
    }

    public func sample(_ generator: inout SeededGenerator) -> Int { index(for: generator.next()) }

    private static func weight(of index: Int, exponentQ16: UInt64) -> UInt64 {
        let fall = FixedPoint.log2(UInt64(index) + 1) >> 16 &* exponentQ16
        let weight = FixedPoint.exp2(Int64(36) << 32 - Int64(clamping: fall))
        return max(1, UInt64(truncatingIfNeeded: weight))
    }

    private static func build(_ weights: [UInt64], sum: UInt64) -> [UInt64] {
        let count = weights.count
        // In units where the mean is `sum`: cells below the mean are filled up from those above.
        var share = weights.map { $0 &* UInt64(count) }
        var cells = (0..<count).map { UInt64($0) << 32 | 0xFFFF_FFFF }
        var small: [Int] = []
        var large: [Int] = []
        for i in 0..<count {
            if share[i] < sum { small.append(i) } else { large.append(i) }
        }
        while let poor = small.popLast(), let rich = large.last {
            let threshold = sum.dividingFullWidth((share[poor] >> 32, share[poor] << 32)).quotient
            cells[poor] = UInt64(rich) << 32 | min(threshold, 0xFFFF_FFFF)
            share[rich] &-= sum &- share[poor]
            if share[rich] < sum {
                large.removeLast()
                small.append(rich)
            }
        }
        return cells
    }
}

/// The parity matrix written out, for kernels that keep tables of it.
enum CodeMatrix {
    /// All 16 rows over `dataCount` columns, row by row.
    static func rows(dataCount: Int) -> [UInt8] {
        var matrix: [UInt8] = []
        matrix.reserveCapacity(dataCount * ErasureCode.parityCountMax)
        for parity in 0..<ErasureCode.parityCountMax {
            for data in 0..<dataCount { matrix.append(ErasureCode.coefficient(parity: parity, data: data)) }
        }
        return matrix
    }
}

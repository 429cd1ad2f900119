/// GF(2^8) products through ISA-L, which picks SSE, AVX2, AVX-512 or GFNI at run time.
///
/// ISA-L expands each coefficient to 32 bytes of tables in a layout of its own that differs between versions; it is
/// only ever made by `ec_init_tables` and only used whole or as a prefix of rows. For encoding, the tables of every K
/// are made once (290 KiB); a recovery makes its own e × K of them on the stack, about 10 ns each.

#if MILLRACE_ISAL
import CISAL

enum ISALKernel {
    static let tableBytes = 32

    /// Expanded tables of the parity matrix, by K.
    static let encodingTables: [[UInt8]] = (0...ErasureCode.dataCountMax).map { dataCount in
        if dataCount == 0 { return [] }
        var matrix = CodeMatrix.rows(dataCount: dataCount)
        var tables = [UInt8](repeating: 0, count: matrix.count * tableBytes)
        ec_init_tables(Int32(dataCount), Int32(ErasureCode.parityCountMax), &matrix, &tables)
        return tables
    }

    static func encode(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, dataCount: Int,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, parityCount: Int
    ) {
        encodingTables[dataCount].withUnsafeBufferPointer { tables in
            // ISA-L takes the tables as mutable and only reads them.
            apply(
                bytes: bytes, sources: sources, sourceCount: dataCount,
                tables: UnsafeMutablePointer(mutating: tables.baseAddress), destinations: destinations,
                rows: parityCount)
        }
    }

    static func combine(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        coefficients: UnsafeMutablePointer<UInt8>,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, rows: Int
    ) {
        withUnsafeTemporaryAllocation(
            byteCount: sourceCount * rows * tableBytes, alignment: 32
        ) { raw in
            let tables = raw.baseAddress?.assumingMemoryBound(to: UInt8.self)
            ec_init_tables(Int32(sourceCount), Int32(rows), coefficients, tables)
            apply(
                bytes: bytes, sources: sources, sourceCount: sourceCount, tables: tables,
                destinations: destinations, rows: rows)
        }
    }

    private static func apply(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        tables: UnsafeMutablePointer<UInt8>?,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, rows: Int
    ) {
        // A pointer to raw pointers and one to byte pointers have one representation.
        let from = UnsafeMutableRawPointer(sources).assumingMemoryBound(to: UnsafeMutablePointer<UInt8>?.self)
        let to = UnsafeMutableRawPointer(destinations).assumingMemoryBound(
            to: UnsafeMutablePointer<UInt8>?.self)
        ec_encode_data(Int32(bytes), Int32(sourceCount), Int32(rows), tables, from, to)
    }
}
#endif

/// Parity over a window of slices: symbol j of a slice is a fixed combination of the data symbols of that slice and of up
/// to 15 before it in the chain (Spec 40.6).
///
/// The coefficient of data symbol i, `distance` slices before the parity's own, depends on (j, i, distance) alone. Within
/// the parity's own slice it is the Cauchy coefficient of `ErasureCode`, so that a window of one slice is that code; for
/// older slices it is drawn once and for all from an integer mix. What one slice cannot recover alone, the parity of the
/// next ones does: losses of a burst are shared by a window, and no symbol depends on who receives it.
///
/// Nothing here knows of slices in memory: sources are pointers, and `accumulate` adds products to what is there. Symbols
/// of one combination may differ in length, the shorter ones counting as followed by zeroes.

public enum WindowCode {
    /// Slices that one parity symbol covers at most, its own included.
    public static let spanMax = 16

    /// The coefficient of data symbol `data`, `distance` slices before the slice of parity symbol `parity`.
    public static func coefficient(parity: Int, data: Int, distance: Int) -> UInt8 {
        table[(distance * ErasureCode.parityCountMax + parity) * ErasureCode.dataCountMax + data]
    }

    /// The coefficient of a slice's header in the sum of headers that ends `distance` slices later (Spec 60.12): never zero.
    public static func coefficient(header distance: Int) -> UInt8 {
        coefficient(parity: 0, data: 0, distance: distance)
    }

    /// By distance, parity and data: 8 KiB.
    static let table: [UInt8] = {
        var table: [UInt8] = []
        table.reserveCapacity(spanMax * ErasureCode.parityCountMax * ErasureCode.dataCountMax)
        for distance in 0..<spanMax {
            for parity in 0..<ErasureCode.parityCountMax {
                for data in 0..<ErasureCode.dataCountMax {
                    table.append(
                        distance == 0
                            ? ErasureCode.coefficient(parity: parity, data: data)
                            : drawn(parity: parity, data: data, distance: distance))
                }
            }
        }
        return table
    }()

    /// Spec 40.6, rule 3: 1…255, mixed from its place by two rounds of multiply and shift.
    static func drawn(parity: Int, data: Int, distance: Int) -> UInt8 {
        var x = UInt32(distance << 9 | parity << 5 | data)
        x = (x ^ x >> 16) &* 0x7FEB_352D
        x = (x ^ x >> 15) &* 0x846C_A68B
        x ^= x >> 16
        return UInt8(1 + x % 255)
    }

    /// `destinations[r] += Σ_s coefficients[r * sourceCount + s] · sources[s]`, over `bytes` bytes each. No destination may
    /// overlap a source or another destination.
    public static func accumulate(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        coefficients: UnsafeMutablePointer<UInt8>,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, rows: Int
    ) {
        accumulate(
            bytes: bytes, sources: sources, sourceCount: sourceCount, coefficients: coefficients,
            destinations: destinations, rows: rows, kernel: .preferred)
    }

    /// `destination[offset...] += factor · source`. The caller owes a destination that is long enough.
    public static func add(
        _ factor: UInt8, times source: [UInt8], to destination: inout [UInt8], at offset: Int = 0
    ) {
        precondition(offset >= 0 && offset + source.count <= destination.count)
        var factor = factor
        // The kernels take sources that could be written to, and write to none.
        source.withUnsafeBytes { from in
            destination.withUnsafeMutableBytes { to in
                guard let from = from.baseAddress, let to = to.baseAddress else { return }
                var origin = UnsafeMutableRawPointer(mutating: from)
                var place = to + offset
                accumulate(
                    bytes: source.count, sources: &origin, sourceCount: 1, coefficients: &factor,
                    destinations: &place, rows: 1)
            }
        }
    }

    static func accumulate(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        coefficients: UnsafeMutablePointer<UInt8>,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, rows: Int, kernel: Kernel
    ) {
        if bytes == 0 || sourceCount == 0 || rows == 0 { return }
        withUnsafeTemporaryAllocation(byteCount: bytes * rows, alignment: 64) { products in
            withUnsafeTemporaryAllocation(of: UnsafeMutableRawPointer.self, capacity: rows) { places in
                guard let base = products.baseAddress, let into = places.baseAddress else { return }
                for row in 0..<rows { (into + row).initialize(to: base + row * bytes) }
                kernel.combine(
                    bytes: bytes, sources: sources, sourceCount: sourceCount, coefficients: coefficients,
                    destinations: into, rows: rows)
                for row in 0..<rows { add(base + row * bytes, to: destinations[row], bytes: bytes) }
            }
        }
    }

    /// Exclusive or of `bytes` bytes.
    static func add(
        _ source: UnsafeMutableRawPointer, to destination: UnsafeMutableRawPointer, bytes: Int
    ) {
        // Words, which the compiler makes vectors of; a vector type of its own does not become one everywhere.
        let words = bytes / 8
        for word in 0..<words {
            let sum =
                destination.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
                ^ source.loadUnaligned(fromByteOffset: word * 8, as: UInt64.self)
            destination.storeBytes(of: sum, toByteOffset: word * 8, as: UInt64.self)
        }
        for offset in words * 8..<bytes {
            let sum =
                destination.load(fromByteOffset: offset, as: UInt8.self)
                ^ source.load(fromByteOffset: offset, as: UInt8.self)
            destination.storeBytes(of: sum, toByteOffset: offset, as: UInt8.self)
        }
    }
}

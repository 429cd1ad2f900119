/// The two ways to the same bytes: ISA-L's vector kernels (package trait `ISAL`), and the Swift twin for machines
/// without it. The tests compare them byte for byte; nothing else may tell them apart.
package enum Kernel: CaseIterable {
    #if MILLRACE_ISAL
    case isal
    #endif
    case swift

    static var preferred: Kernel {
        #if MILLRACE_ISAL
        .isal
        #else
        .swift
        #endif
    }

    /// `destinations[r] = Σ_s coefficients[r * sourceCount + s] · sources[s]`, over `bytes` bytes each. No destination
    /// may overlap a source.
    func combine(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        coefficients: UnsafeMutablePointer<UInt8>,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>,
        rows: Int
    ) {
        switch self {
        #if MILLRACE_ISAL
        case .isal:
            ISALKernel.combine(
                bytes: bytes, sources: sources, sourceCount: sourceCount, coefficients: coefficients,
                destinations: destinations, rows: rows)
        #endif
        case .swift:
            SwiftKernel.combine(
                bytes: bytes, sources: sources, sourceCount: sourceCount, coefficients: coefficients,
                destinations: destinations, rows: rows)
        }
    }

    /// `combine` with the code's own matrix, whose expanded tables are kept.
    func encode(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, dataCount: Int,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, parityCount: Int
    ) {
        switch self {
        #if MILLRACE_ISAL
        case .isal:
            ISALKernel.encode(
                bytes: bytes, sources: sources, dataCount: dataCount, destinations: destinations,
                parityCount: parityCount)
        #endif
        case .swift:
            SwiftKernel.encode(
                bytes: bytes, sources: sources, dataCount: dataCount, destinations: destinations,
                parityCount: parityCount)
        }
    }
}

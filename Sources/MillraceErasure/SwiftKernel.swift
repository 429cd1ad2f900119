/// GF(2^8) products in plain Swift, for machines without ISA-L.
///
/// A byte shuffle by table, the usual trick, has no portable form in Swift. Instead each output block is computed by
/// Horner's rule over the bits of the coefficients: with c = Σ_b c_b · 2^b,
///
///     Σ_s c_s·d_s = ((S_7 · 2 + S_6) · 2 + …) · 2 + S_0,   S_b = Σ of the d_s whose coefficient has bit b set,
///
/// which needs exclusive ors and eight doublings per block and nothing else, so it vectorises everywhere.

enum SwiftKernel {
    /// Bytes held in registers per step: sixteen words, or eight 16-byte vectors.
    static let blockBytes = 128

    static func encode(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, dataCount: Int,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>, parityCount: Int
    ) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: dataCount * parityCount) { matrix in
            guard let coefficients = matrix.baseAddress else { return }
            for parity in 0..<parityCount {
                for data in 0..<dataCount {
                    coefficients[parity * dataCount + data] = ErasureCode.coefficient(
                        parity: parity, data: data)
                }
            }
            combine(
                bytes: bytes, sources: sources, sourceCount: dataCount, coefficients: coefficients,
                destinations: destinations, rows: parityCount)
        }
    }

    static func combine(
        bytes: Int, sources: UnsafeMutablePointer<UnsafeMutableRawPointer>, sourceCount: Int,
        coefficients: UnsafeMutablePointer<UInt8>,
        destinations: UnsafeMutablePointer<UnsafeMutableRawPointer>,
        rows: Int
    ) {
        // For one row: the sources whose coefficient has bit b set, at chosen[starts[b]..<starts[b + 1]], b from 7 down.
        withUnsafeTemporaryAllocation(of: UnsafeRawPointer.self, capacity: sourceCount * 8) { chosenBuffer in
            guard let chosen = chosenBuffer.baseAddress else { return }
            for row in 0..<rows {
                var ends: InlineArray<8, Int> = .init(repeating: 0)
                var count = 0
                for step in 0..<8 {
                    for s in 0..<sourceCount
                    where coefficients[row * sourceCount + s] >> UInt8(7 - step) & 1 == 1 {
                        chosen[count] = UnsafeRawPointer(sources[s])
                        count += 1
                    }
                    ends[step] = count
                }
                var offset = 0
                while offset + blockBytes <= bytes {
                    block(chosen, ends, at: offset, into: destinations[row])
                    offset += blockBytes
                }
                while offset < bytes {
                    single(chosen, ends, at: offset, into: destinations[row])
                    offset += 1
                }
            }
        }
    }

    /// Sixteen words, in registers: a loop over them becomes vectors. (Operators of the SIMD types go lane by lane here.)
    private typealias Words = InlineArray<16, UInt64>

    @inline(__always)
    private static func block(
        _ chosen: UnsafeMutablePointer<UnsafeRawPointer>, _ ends: InlineArray<8, Int>, at offset: Int,
        into destination: UnsafeMutableRawPointer
    ) {
        var sum = Words(repeating: 0)
        var next = 0
        for step in 0..<8 {
            for word in 0..<16 { sum[word] = doubled(sum[word]) }
            while next < ends[step] {
                let source = chosen[next] + offset
                for word in 0..<16 {
                    sum[word] ^= source.loadUnaligned(fromByteOffset: word &* 8, as: UInt64.self)
                }
                next &+= 1
            }
        }
        for word in 0..<16 {
            destination.storeBytes(of: sum[word], toByteOffset: offset &+ word &* 8, as: UInt64.self)
        }
    }

    /// Eight elements at once: each bit that leaves its byte at the top comes back as 0x1D = 1 + 4 + 8 + 16.
    @inline(__always)
    private static func doubled(_ a: UInt64) -> UInt64 {
        let carry = (a & 0x8080_8080_8080_8080) &>> 7
        return (a & 0x7F7F_7F7F_7F7F_7F7F) &<< 1 ^ carry ^ carry &<< 2 ^ carry &<< 3 ^ carry &<< 4
    }

    private static func single(
        _ chosen: UnsafeMutablePointer<UnsafeRawPointer>, _ ends: InlineArray<8, Int>, at offset: Int,
        into destination: UnsafeMutableRawPointer
    ) {
        var sum: UInt8 = 0
        var next = 0
        for step in 0..<8 {
            sum = GaloisField.doubled(sum)
            while next < ends[step] {
                sum ^= chosen[next].load(fromByteOffset: offset, as: UInt8.self)
                next += 1
            }
        }
        destination.storeBytes(of: sum, toByteOffset: offset, as: UInt8.self)
    }
}

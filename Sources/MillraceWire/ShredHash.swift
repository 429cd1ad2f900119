/// 96 bits that prove one symbol: BLAKE2b with a 12-byte digest over the symbol, keyed with the 32 bytes of the previous
/// header's hash and then the stripe's number as one byte (Spec 40.4).
///
/// Keyed with the chain, so that no work can be done against a slice before the one ahead of it exists, and with the
/// stripe, so that a symbol has one place. 96 bits are enough because a forger needs a second preimage within the life
/// of one slice; the payload itself is bound by 256.

public import MillraceBase
import MillraceCrypto

public struct ShredHash: Hashable, Sendable, BitwiseCopyable {
    public static let byteCount = 12

    /// Bytes 0…7 and 8…11, little-endian.
    public var low: UInt64
    public var high: UInt32

    public init(low: UInt64, high: UInt32) {
        self.low = low
        self.high = high
    }

    /// The hash of `symbol` at `stripe` of the slice that follows `previousHeaderHash`. The caller owes
    /// `0 ≤ stripe < 48`.
    public init(of symbol: UnsafeRawBufferPointer, stripe: Int, previousHeaderHash: Hash32) {
        var key: (UInt64, UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0, 0)
        var digest: (UInt64, UInt64) = (0, 0)
        withUnsafeMutableBytes(of: &key) { keyBytes in
            withUnsafeMutableBytes(of: &digest) { digestBytes in
                guard let key = keyBytes.baseAddress, let digest = digestBytes.baseAddress else { return }
                previousHeaderHash.store(to: key)
                key.storeBytes(of: UInt8(stripe), toByteOffset: 32, as: UInt8.self)
                // An empty symbol has no address; any will do, since nothing is read there.
                Blake2b.hash(
                    symbol.baseAddress ?? UnsafeRawPointer(digest), count: symbol.count,
                    key: UnsafeRawBufferPointer(start: key, count: 33), digestBytes: Self.byteCount,
                    into: digest)
            }
        }
        low = UInt64(littleEndian: digest.0)
        high = UInt32(truncatingIfNeeded: UInt64(littleEndian: digest.1))
    }

    public var bytes: [UInt8] {
        var out: [UInt8] = []
        out.appendLittleEndian(low)
        out.appendLittleEndian(high)
        return out
    }
}

/// SipHash-2-4 (Aumasson and Bernstein) over libsodium: the hash of tables whose keys a stranger can choose. With a secret
/// key nobody can prepare keys that fall into one bucket.

import CSodium

public struct SipHash24: Sendable, BitwiseCopyable {
    /// The key's 16 bytes, in memory order.
    let key: (UInt64, UInt64)

    /// A key from two numbers, least significant byte first.
    public init(_ low: UInt64, _ high: UInt64) {
        Sodium.start()
        key = (low.littleEndian, high.littleEndian)
    }

    /// The caller owes `count` readable bytes.
    public func hash(_ bytes: UnsafeRawPointer, count: Int) -> UInt64 {
        var digest: UInt64 = 0
        Swift.withUnsafeBytes(of: key) { keyBytes in
            Swift.withUnsafeMutableBytes(of: &digest) { out in
                guard let out = out.baseAddress, let key = keyBytes.baseAddress else { return }
                crypto_shorthash_siphash24(out.octets, bytes.octets, UInt64(count), key.octets)
            }
        }
        return UInt64(littleEndian: digest)
    }

    public func hash(_ bytes: UnsafeRawBufferPointer) -> UInt64 {
        withReadableBase(bytes) { hash($0, count: bytes.count) }
    }
}

/// BLAKE2b (RFC 7693) over libsodium: every hash of Millrace's own formats. 32 bytes unless a rule asks for fewer; a
/// truncated digest has its length as a parameter of the hash, so it is not a prefix of the long one.
///
/// The pointer forms are for hot paths: no allocation, no copies. The caller owes readable and writable bytes of the
/// stated counts; output may not overlap input. Keys have 0 to 64 bytes, digests 1 to 64: anything else traps, since
/// both are chosen by our own code.

import CSodium
public import MillraceBase

public enum Blake2b {
    public static func hash(_ bytes: UnsafeRawPointer, count: Int, into digest: UnsafeMutableRawPointer) {
        Sodium.start()
        crypto_generichash_blake2b(digest.octets, 32, bytes.octets, UInt64(count), nil, 0)
    }

    /// A digest of `digestBytes` bytes under a key.
    public static func hash(
        _ bytes: UnsafeRawPointer, count: Int, key: UnsafeRawBufferPointer, digestBytes: Int,
        into digest: UnsafeMutableRawPointer
    ) {
        precondition(digestBytes >= 1 && digestBytes <= 64 && key.count <= 64, "no such BLAKE2b")
        Sodium.start()
        crypto_generichash_blake2b(
            digest.octets, digestBytes, bytes.octets, UInt64(count), key.baseAddress?.octets, key.count)
    }

    public static func hash(_ bytes: UnsafeRawBufferPointer) -> Hash32 {
        var digest = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        return Swift.withUnsafeMutableBytes(of: &digest) { out in
            if let base = out.baseAddress {
                Sodium.start()
                crypto_generichash_blake2b(
                    base.octets, 32, bytes.baseAddress?.octets, UInt64(bytes.count), nil, 0)
            }
            return Hash32(digest: out)
        }
    }

    public static func hash(_ span: RawSpan) -> Hash32 { span.withUnsafeBytes { hash($0) } }
    public static func hash(_ bytes: [UInt8]) -> Hash32 { bytes.withUnsafeBytes { hash($0) } }

    /// 32 bytes under a 32-byte key.
    public static func hash(_ span: RawSpan, key: Hash32) -> Hash32 {
        span.withUnsafeBytes { bytes in
            withKeyBytes(key) { keyBytes in
                var digest = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
                return Swift.withUnsafeMutableBytes(of: &digest) { out in
                    if let base = out.baseAddress {
                        Sodium.start()
                        crypto_generichash_blake2b(
                            base.octets, 32, bytes.baseAddress?.octets, UInt64(bytes.count),
                            keyBytes.baseAddress?.octets, keyBytes.count)
                    }
                    return Hash32(digest: out)
                }
            }
        }
    }

    /// A short digest under a 32-byte key, at `digest`: 12 bytes for a shred, 16 for a mac.
    public static func truncated(
        _ bytes: UnsafeRawPointer, count: Int, key: Hash32, digestBytes: Int,
        into digest: UnsafeMutableRawPointer
    ) {
        withKeyBytes(key) { keyBytes in
            hash(bytes, count: count, key: keyBytes, digestBytes: digestBytes, into: digest)
        }
    }

    static func withKeyBytes<R>(_ key: Hash32, _ body: (UnsafeRawBufferPointer) -> R) -> R {
        var bytes = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        return Swift.withUnsafeMutableBytes(of: &bytes) { buffer in
            if let base = buffer.baseAddress { key.store(to: base) }
            return body(UnsafeRawBufferPointer(buffer))
        }
    }
}

extension Hash32 {
    /// The hash whose 32 bytes lie in `bytes`.
    @inline(__always) init(digest bytes: UnsafeMutableRawBufferPointer) {
        self = bytes.baseAddress.map { Hash32(bytes: UnsafeRawPointer($0)) } ?? .zero
    }
}

/// BLAKE2b-256 of bytes that come in pieces. `finish()` may be called once.
public struct Blake2bStream: ~Copyable {
    /// libsodium's state: opaque here, since Swift does not import C types aligned to 64 bytes.
    private let memory: UnsafeMutableRawPointer
    private var state: OpaquePointer { OpaquePointer(memory) }

    public init(key: Hash32? = nil) {
        Sodium.start()
        memory = .allocate(byteCount: crypto_generichash_blake2b_statebytes(), alignment: 64)
        if let key {
            let state = OpaquePointer(memory)
            Blake2b.withKeyBytes(key) {
                _ = crypto_generichash_blake2b_init(state, $0.baseAddress?.octets, $0.count, 32)
            }
        } else {
            _ = crypto_generichash_blake2b_init(state, nil, 0, 32)
        }
    }

    deinit { memory.deallocate() }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        guard let base = bytes.baseAddress else { return }
        _ = crypto_generichash_blake2b_update(state, base.octets, UInt64(bytes.count))
    }

    public mutating func update(_ span: RawSpan) { span.withUnsafeBytes { update($0) } }
    public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }
    public mutating func update(_ hash: Hash32) { Blake2b.withKeyBytes(hash) { update($0) } }

    public mutating func finish() -> Hash32 {
        var digest = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        return Swift.withUnsafeMutableBytes(of: &digest) { out in
            if let base = out.baseAddress { crypto_generichash_blake2b_final(state, base.octets, 32) }
            return Hash32(digest: out)
        }
    }
}

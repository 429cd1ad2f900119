/// ChaCha20-Poly1305 (RFC 8439) in place, over libsodium: what protects every datagram of a session. The nonce is four zero
/// bytes and a 64-bit counter, least significant byte first, as Noise has it. The caller owes a counter that is never
/// used twice with one key.

import CSodium
public import MillraceBase

public struct SealingKey: Sendable, BitwiseCopyable {
    public static let tagBytes = 16
    let key: Hash32

    public init(_ key: Hash32) {
        Sodium.start()
        self.key = key
    }

    /// Encrypts `count` bytes at `text` where they lie and writes the tag behind them. The caller owes `count` + 16
    /// writable bytes at `text` and `adCount` readable ones at `ad`.
    public func seal(
        _ text: UnsafeMutableRawPointer, count: Int, counter: UInt64, ad: UnsafeRawPointer, adCount: Int
    ) {
        withNonceAndKey(counter) { nonce, key in
            _ = crypto_aead_chacha20poly1305_ietf_encrypt(
                text.octets, nil, text.octets, UInt64(count), ad.octets, UInt64(adCount), nil, nonce, key)
        }
    }

    /// Checks and decrypts `count` bytes of ciphertext and tag where they lie. False when they are not genuine: the
    /// bytes are then gone (libsodium clears them).
    public func open(
        _ text: UnsafeMutableRawPointer, count: Int, counter: UInt64, ad: UnsafeRawPointer, adCount: Int
    ) -> Bool {
        guard count >= SealingKey.tagBytes else { return false }
        return withNonceAndKey(counter) { nonce, key in
            crypto_aead_chacha20poly1305_ietf_decrypt(
                text.octets, nil, nil, text.octets, UInt64(count), ad.octets, UInt64(adCount), nonce, key)
                == 0
        }
    }

    @inline(__always)
    private func withNonceAndKey<R>(
        _ counter: UInt64, _ body: (UnsafePointer<UInt8>, UnsafePointer<UInt8>) -> R
    ) -> R {
        // Bytes 0…31 key, 32…35 zero, 36…43 counter.
        var block: (UInt64, UInt64, UInt64, UInt64, UInt32, UInt32, UInt32) = (0, 0, 0, 0, 0, 0, 0)
        return Swift.withUnsafeMutableBytes(of: &block) { bytes in
            guard let base = bytes.baseAddress else { preconditionFailure("no stack") }
            key.store(to: base)
            base.storeBytes(of: counter.littleEndian, toByteOffset: 36, as: UInt64.self)
            return body(UnsafeRawPointer(base + 32).octets, UnsafeRawPointer(base).octets)
        }
    }
}

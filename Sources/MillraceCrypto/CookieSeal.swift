/// XChaCha20-Poly1305 over libsodium for short secrets under keys that many use: the nonce is 24 bytes, long enough to be
/// drawn at random. Cookies of handshakes under load are its one use (Spec 50.4).

import CSodium
public import MillraceBase

public enum CookieSeal {
    public static let nonceBytes = 24
    public static let tagBytes = 16

    /// Ciphertext and tag. The caller owes a nonce of 24 bytes that is not used twice with one key.
    public static func seal(_ secret: Hash32, key: Hash32, nonce: [UInt8], ad: [UInt8]) -> [UInt8] {
        precondition(nonce.count == nonceBytes, "the nonce has 24 bytes")
        Sodium.start()
        let text = secret.bytes
        return [UInt8](unsafeUninitializedCapacity: text.count + tagBytes) { out, count in
            Blake2b.withKeyBytes(key) { key in
                guard let out = out.baseAddress, let key = key.baseAddress else { return }
                _ = crypto_aead_xchacha20poly1305_ietf_encrypt(
                    out, nil, text, UInt64(text.count), ad, UInt64(ad.count), nil, nonce, key.octets)
            }
            count = text.count + tagBytes
        }
    }

    /// The secret, or nil when the bytes are not genuine.
    public static func open(_ sealed: [UInt8], key: Hash32, nonce: [UInt8], ad: [UInt8]) -> Hash32? {
        guard sealed.count == 32 + tagBytes, nonce.count == nonceBytes else { return nil }
        Sodium.start()
        var isGenuine = false
        let text = [UInt8](unsafeUninitializedCapacity: 32) { out, count in
            Blake2b.withKeyBytes(key) { key in
                guard let out = out.baseAddress, let key = key.baseAddress else { return }
                isGenuine =
                    crypto_aead_xchacha20poly1305_ietf_decrypt(
                        out, nil, nil, sealed, UInt64(sealed.count), ad, UInt64(ad.count), nonce, key.octets)
                    == 0
            }
            count = isGenuine ? 32 : 0
        }
        return isGenuine ? Hash32(text) : nil
    }
}

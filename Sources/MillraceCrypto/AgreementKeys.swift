/// One identity for both purposes: the X25519 key of a node's sessions made from its Ed25519 key, so that whoever holds a
/// signed record can compute which session key it speaks for.
///
/// Ed25519 and X25519 are the same group in two forms, and libsodium has the map. Two unrelated keys would need a statement that
/// binds them, and an X25519 key cannot sign one; so the signing key is the identity and the session key follows from it. That
/// one scalar serves both is sound: the two uses hash under different names and never see each other's input.

import CSodium
import MillraceBase

extension SigningKey {
    /// The session key pair of the node that signs with this key.
    public var agreementKeys: StaticKeyPair {
        withUnsafeTemporaryAllocation(byteCount: 96, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("no stack for a key") }
            seed.store(to: base)
            verifyingKey.bytes32.store(to: base + 32)
            // libsodium's secret key is the seed followed by the public key; this cannot fail.
            _ = crypto_sign_ed25519_sk_to_curve25519((base + 64).octets, base.octets)
            let keys = StaticKeyPair(privateKey: Hash32(bytes: base + 64))
            sodium_memzero(base, 96)
            return keys
        }
    }
}

extension VerifyingKey {
    /// The session key of the node that signs with this key; nil when these 32 bytes are no point of the main subgroup.
    public var agreementKey: PublicKey? {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return nil }
            Sodium.start()
            bytes32.store(to: base)
            guard crypto_sign_ed25519_pk_to_curve25519((base + 32).octets, base.octets) == 0 else {
                return nil
            }
            return PublicKey(bytes: base + 32)
        }
    }
}

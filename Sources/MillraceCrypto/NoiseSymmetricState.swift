/// The hashing half of a Noise handshake (the Noise Protocol Framework, revision 34, sections 5.1 and 5.2) with SHA-256
/// and ChaChaPoly: chaining key, transcript hash, and the key they have agreed on so far. A trivial value, so that a
/// message can be tried on a copy and the copy kept only when it was genuine.

import CSodium
import MillraceBase

struct NoiseSymmetricState: BitwiseCopyable, Sendable {
    private(set) var chainingKey: Hash32
    private(set) var hash: Hash32
    private var key: SealingKey?
    private var counter: UInt64 = 0

    /// `protocolName` has exactly 32 bytes for the two protocols used here, so it is the first hash itself.
    init(protocolName: StaticString) {
        precondition(protocolName.utf8CodeUnitCount == 32, "a Noise protocol name of 32 bytes")
        Sodium.start()
        hash = protocolName.withUTF8Buffer { name in
            withReadableBase(UnsafeRawBufferPointer(name)) { Hash32(bytes: $0) }
        }
        chainingKey = hash
    }

    mutating func mixHash(_ bytes: UnsafeRawBufferPointer) {
        var state = crypto_hash_sha256_state()
        crypto_hash_sha256_init(&state)
        Blake2b.withKeyBytes(hash) { old in
            if let old = old.baseAddress { crypto_hash_sha256_update(&state, old.octets, 32) }
        }
        if let base = bytes.baseAddress {
            crypto_hash_sha256_update(&state, base.octets, UInt64(bytes.count))
        }
        var digest = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
        hash = Swift.withUnsafeMutableBytes(of: &digest) { out in
            if let out = out.baseAddress { crypto_hash_sha256_final(&state, out.octets) }
            return Hash32(digest: out)
        }
    }

    mutating func mixHash(_ bytes: [UInt8]) { bytes.withUnsafeBytes { mixHash($0) } }

    mutating func mixKey(_ secret: Hash32) {
        let (first, second) = derive(secret)
        chainingKey = first
        key = SealingKey(second)
        counter = 0
    }

    /// Noise's HKDF with two outputs; no input key material when `secret` is nil.
    private func derive(_ secret: Hash32?) -> (Hash32, Hash32) {
        func mac(_ key: Hash32, _ parts: Hash32?, _ last: UInt8?) -> Hash32 {
            var state = crypto_auth_hmacsha256_state()
            Blake2b.withKeyBytes(key) { key in
                if let key = key.baseAddress { crypto_auth_hmacsha256_init(&state, key.octets, 32) }
            }
            if let parts {
                Blake2b.withKeyBytes(parts) { bytes in
                    if let bytes = bytes.baseAddress {
                        crypto_auth_hmacsha256_update(&state, bytes.octets, 32)
                    }
                }
            }
            if var last { crypto_auth_hmacsha256_update(&state, &last, 1) }
            var digest = (UInt64(0), UInt64(0), UInt64(0), UInt64(0))
            return Swift.withUnsafeMutableBytes(of: &digest) { out in
                if let out = out.baseAddress { crypto_auth_hmacsha256_final(&state, out.octets) }
                return Hash32(digest: out)
            }
        }
        let extracted = mac(chainingKey, secret, nil)
        let first = mac(extracted, nil, 1)
        return (first, mac(extracted, first, 2))
    }

    /// Appends `plaintext`, encrypted once there is a key, to `message`.
    mutating func encryptAndHash(_ plaintext: [UInt8], into message: inout [UInt8]) {
        let start = message.count
        message += plaintext
        if let key {
            message += [UInt8](repeating: 0, count: SealingKey.tagBytes)
            let counter = counter
            Blake2b.withKeyBytes(hash) { ad in
                message.withUnsafeMutableBytes { bytes in
                    guard let base = bytes.baseAddress, let ad = ad.baseAddress else { return }
                    key.seal(base + start, count: plaintext.count, counter: counter, ad: ad, adCount: 32)
                }
            }
            self.counter += 1
        }
        message.withUnsafeBytes { mixHash(UnsafeRawBufferPointer(rebasing: $0[start...])) }
    }

    /// The plaintext of `ciphertext`, or nil when it is not genuine.
    mutating func decryptAndHash(_ ciphertext: ArraySlice<UInt8>) -> [UInt8]? {
        var text = Array(ciphertext)
        if let key {
            let counter = counter
            let count = text.count
            let genuine = Blake2b.withKeyBytes(hash) { ad in
                text.withUnsafeMutableBytes { bytes in
                    guard let base = bytes.baseAddress, let ad = ad.baseAddress else { return false }
                    return key.open(base, count: count, counter: counter, ad: ad, adCount: 32)
                }
            }
            guard genuine else { return nil }
            self.counter += 1
            text.removeLast(SealingKey.tagBytes)
        }
        mixHash(Array(ciphertext))
        return text
    }

    /// Bytes that encryption adds at this point: 16 once there is a key.
    var overhead: Int { key == nil ? 0 : SealingKey.tagBytes }

    /// The two keys of the transport: the initiator's sending key first.
    func split() -> (SealingKey, SealingKey) {
        let (first, second) = derive(nil)
        return (SealingKey(first), SealingKey(second))
    }
}

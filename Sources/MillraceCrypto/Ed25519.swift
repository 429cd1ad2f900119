/// Ed25519 signatures (RFC 8032) over libsodium: the sequencer signs slice headers, everybody else verifies.
///
/// Verification is libsodium's: S must be below the group order (so a third party cannot make a second signature from a
/// first), and keys of small order are refused. Any 64 bytes are a `Signature` and any 32 a `VerifyingKey`; whether they
/// mean something is what `isValid` answers, and it never traps.

import CSodium
public import MillraceBase

/// The public half: 32 bytes, printed in hexadecimal.
public struct VerifyingKey: Hashable, Sendable, BitwiseCopyable {
    public let bytes32: Hash32

    public init(_ bytes: Hash32) { bytes32 = bytes }

    /// Reads 32 bytes. The caller owes exactly 32 readable bytes.
    public init(bytes: UnsafeRawPointer) { bytes32 = Hash32(bytes: bytes) }

    /// The key of 32 bytes; nil for another count.
    public init?(_ bytes: [UInt8]) {
        guard let hash = Hash32(bytes) else { return nil }
        bytes32 = hash
    }

    public var bytes: [UInt8] { bytes32.bytes }

    /// Whether `signature` is this key's over these bytes. The caller owes `count` readable bytes.
    public func isValid(_ signature: Signature, over message: UnsafeRawPointer, count: Int) -> Bool {
        Sodium.start()
        return signature.withBytes { signatureBytes in
            Blake2b.withKeyBytes(bytes32) { keyBytes in
                guard let signature = signatureBytes.baseAddress, let key = keyBytes.baseAddress else {
                    return false
                }
                return crypto_sign_ed25519_verify_detached(
                    signature.octets, message.octets, UInt64(count), key.octets) == 0
            }
        }
    }

    public func isValid(_ signature: Signature, over message: RawSpan) -> Bool {
        message.withUnsafeBytes { bytes in
            withReadableBase(bytes) { isValid(signature, over: $0, count: bytes.count) }
        }
    }

    /// The message is a hash.
    public func isValid(_ signature: Signature, over hash: Hash32) -> Bool {
        Blake2b.withKeyBytes(hash) { bytes in
            withReadableBase(bytes) { isValid(signature, over: $0, count: bytes.count) }
        }
    }

    public func isValid(_ signature: Signature, over message: [UInt8]) -> Bool {
        isValid(signature, over: message.span.bytes)
    }
}

extension VerifyingKey: CustomStringConvertible {
    public var description: String { bytes32.hex }
}

/// 64 bytes: R, then S.
public struct Signature: Hashable, Sendable, BitwiseCopyable {
    public static let byteCount = 64
    public let r: Hash32
    public let s: Hash32

    /// Reads 64 bytes. The caller owes exactly 64 readable bytes.
    public init(bytes: UnsafeRawPointer) {
        r = Hash32(bytes: bytes)
        s = Hash32(bytes: bytes + 32)
    }

    /// The signature of 64 bytes; nil for another count.
    public init?(_ bytes: [UInt8]) {
        guard bytes.count == 64, let r = Hash32(Array(bytes[0..<32])), let s = Hash32(Array(bytes[32..<64]))
        else {
            return nil
        }
        self.r = r
        self.s = s
    }

    /// Writes 64 bytes. The caller owes 64 writable bytes.
    public func store(to bytes: UnsafeMutableRawPointer) {
        r.store(to: bytes)
        s.store(to: bytes + 32)
    }

    public var bytes: [UInt8] { r.bytes + s.bytes }

    func withBytes<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
        withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { buffer in
            if let base = buffer.baseAddress { store(to: base) }
            return body(UnsafeRawBufferPointer(buffer))
        }
    }
}

/// The secret half, made from a 32-byte seed. Prints nothing of it.
public struct SigningKey: Sendable {
    let seed: Hash32
    public let verifyingKey: VerifyingKey

    /// The key pair of RFC 8032 whose private key is `seed`.
    public init(seed: Hash32) {
        Sodium.start()
        self.seed = seed
        verifyingKey = withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return VerifyingKey(.zero) }
            seed.store(to: base)
            // 32 bytes of seed, 64 of libsodium's secret key, 32 of public key.
            crypto_sign_ed25519_seed_keypair((base + 96).octets, (base + 32).octets, base.octets)
            let key = VerifyingKey(bytes: base + 96)
            sodium_memzero(base, 128)
            return key
        }
    }

    /// The key pair of 32 seed bytes; nil for another count.
    public init?(seed: [UInt8]) {
        guard let hash = Hash32(seed) else { return nil }
        self.init(seed: hash)
    }

    /// The 32 bytes this key was made from, for a key file.
    public var seedBytes: [UInt8] { seed.bytes }

    /// Signs; deterministic. The caller owes `count` readable bytes.
    public func sign(_ message: UnsafeRawPointer, count: Int) -> Signature {
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { preconditionFailure("no stack for a signature") }
            // libsodium's secret key is the seed followed by the public key.
            seed.store(to: base)
            verifyingKey.bytes32.store(to: base + 32)
            crypto_sign_ed25519_detached((base + 64).octets, nil, message.octets, UInt64(count), base.octets)
            let signature = Signature(bytes: base + 64)
            sodium_memzero(base, 64)
            return signature
        }
    }

    public func sign(_ message: RawSpan) -> Signature {
        message.withUnsafeBytes { bytes in withReadableBase(bytes) { sign($0, count: bytes.count) } }
    }

    public func sign(_ message: [UInt8]) -> Signature { sign(message.span.bytes) }
}

extension SigningKey: CustomStringConvertible {
    public var description: String { "SigningKey(of \(verifyingKey))" }
}

/// An empty buffer may have no address; C code is handed one all the same.
func withReadableBase<R>(_ bytes: UnsafeRawBufferPointer, _ body: (UnsafeRawPointer) -> R) -> R {
    if let base = bytes.baseAddress { return body(base) }
    return withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { spare in
        guard let base = spare.baseAddress else { preconditionFailure("no stack") }
        return body(UnsafeRawPointer(base))
    }
}

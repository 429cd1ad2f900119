/// X25519 key pairs (RFC 7748) over libsodium: a node's identity, and a handshake's ephemeral keys. A peer is named by its
/// public key, written in Base32. Private keys print nothing of themselves.

import CSodium
public import MillraceBase

/// A node's public key: any 32 bytes. Keys that lead to an all-zero secret are refused when they are used.
public struct PublicKey: Hashable, Comparable, Sendable, BitwiseCopyable {
    public let bytes32: Hash32

    public init(_ bytes: Hash32) { bytes32 = bytes }

    /// Reads 32 bytes. The caller owes exactly 32 readable bytes.
    public init(bytes: UnsafeRawPointer) { bytes32 = Hash32(bytes: bytes) }

    /// The key of 32 bytes; nil for another count.
    public init?(_ bytes: [UInt8]) {
        guard let hash = Hash32(bytes) else { return nil }
        bytes32 = hash
    }

    /// Reads the 52 characters that `description` gives; nil for anything else.
    public init?(base32 text: some StringProtocol) {
        guard text.utf8.count == 52, let bytes = Base32.decode(text) else { return nil }
        self.init(bytes)
    }

    public var bytes: [UInt8] { bytes32.bytes }
    public func store(to bytes: UnsafeMutableRawPointer) { bytes32.store(to: bytes) }
    public static func < (a: PublicKey, b: PublicKey) -> Bool { a.bytes32 < b.bytes32 }

    /// Stands where a key is not known; no peer has it.
    public static let unknown = PublicKey(.zero)
}

extension PublicKey: CustomStringConvertible {
    /// 52 characters of Base32.
    public var description: String { Base32.encode(bytes) }
}

public struct StaticKeyPair: Sendable, BitwiseCopyable {
    private let privateKey: Hash32
    public let publicKey: PublicKey

    /// The pair of a private key of 32 random bytes (clamped as RFC 7748 says when it is used).
    public init(privateKey: Hash32) {
        Sodium.start()
        self.privateKey = privateKey
        publicKey = withUnsafeTemporaryAllocation(byteCount: 64, alignment: 8) { buffer in
            guard let base = buffer.baseAddress else { return .unknown }
            privateKey.store(to: base)
            crypto_scalarmult_curve25519_base((base + 32).octets, base.octets)
            sodium_memzero(base, 32)
            return PublicKey(bytes: base + 32)
        }
    }

    /// A pair whose public key is no point of the curve: for handshakes by `KeyAgreement.standIn`.
    package init(standIn privateKey: Hash32) {
        self.privateKey = privateKey
        publicKey = PublicKey(Blake2b.hash(privateKey.bytes))
    }

    /// The pair of 32 private bytes; nil for another count.
    public init?(privateKey: [UInt8]) {
        guard let hash = Hash32(privateKey) else { return nil }
        self.init(privateKey: hash)
    }

    /// The 32 private bytes, for a key file.
    public var privateKeyBytes: [UInt8] { privateKey.bytes }

    /// What stands for the shared secret where nothing is secret: a function of both public keys, in either order.
    func standInSecret(with other: PublicKey) -> Hash32 {
        Blake2b.hash(min(publicKey, other).bytes + max(publicKey, other).bytes)
    }

    /// The secret shared with the holder of `other`, or nil when it would be all zero (a key of small order).
    func sharedSecret(with other: PublicKey) -> Hash32? {
        withUnsafeTemporaryAllocation(byteCount: 96, alignment: 8) { buffer -> Hash32? in
            guard let base = buffer.baseAddress else { return nil }
            privateKey.store(to: base)
            other.store(to: base + 32)
            let status = crypto_scalarmult_curve25519((base + 64).octets, base.octets, (base + 32).octets)
            let secret = Hash32(bytes: base + 64)
            sodium_memzero(base, 96)
            return status == 0 ? secret : nil
        }
    }
}

extension StaticKeyPair: CustomStringConvertible {
    public var description: String { "StaticKeyPair(of \(publicKey))" }
}

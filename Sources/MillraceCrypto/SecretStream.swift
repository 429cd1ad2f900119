/// Randomness that an attacker must not guess (ephemeral keys, connection ids, table keys), drawn from a core's `Seed`:
/// ChaCha20 with a key that is replaced at every refill, so what has been drawn cannot be computed from what remains. A
/// shell gives its cores seeds from the system; a simulator gives seeds from its scenario and gets equal runs.
///
/// Each purpose and index has an unrelated stream. Draws cost an array copy of up to 256 bytes amortised over a refill.

import CSodium
public import MillraceBase

public struct SecretStream: RandomNumberGenerator, Sendable {
    private static let blockBytes = 256
    private var key: Hash32
    private var block: [UInt8]
    /// Bytes of `block` used so far; the first 32 are the next key and are never given out.
    private var used: Int

    public init(_ seed: Seed, purpose: StaticString, index: UInt64 = 0) {
        var label = purpose.withUTF8Buffer { Array($0) }
        label.appendLittleEndian(index)
        key = Blake2b.hash(label.span.bytes, key: Hash32(word: seed.word))
        block = [UInt8](repeating: 0, count: Self.blockBytes)
        used = Self.blockBytes
    }

    private mutating func refill() {
        Sodium.start()
        let key = key
        self.key = block.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return key }
            // One key serves one refill, so its nonce can stay zero.
            Blake2b.withKeyBytes(key) { keyBytes in
                var nonce: UInt64 = 0
                Swift.withUnsafeMutableBytes(of: &nonce) { zero in
                    guard let nonce = zero.baseAddress, let key = keyBytes.baseAddress else { return }
                    crypto_stream_chacha20(base.octets, UInt64(Self.blockBytes), nonce.octets, key.octets)
                }
            }
            let next = Hash32(bytes: UnsafeRawPointer(base))
            sodium_memzero(base, 32)
            return next
        }
        used = 32
    }

    public mutating func next() -> UInt64 {
        if used + 8 > Self.blockBytes { refill() }
        let value = block.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: used, as: UInt64.self) }
        for i in used..<(used + 8) { block[i] = 0 }
        used += 8
        return UInt64(littleEndian: value)
    }

    /// 32 bytes: a private key, a table key.
    public mutating func next32() -> Hash32 {
        let word = U256(next(), next(), next(), next())
        return Hash32(word: word)
    }
}

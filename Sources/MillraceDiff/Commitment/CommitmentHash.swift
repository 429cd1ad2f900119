/// The messages that are hashed for a state commitment. Spec 20.9.
///
/// Each fits one BLAKE2b block and each kind has a length of its own (a node is 128 bytes), which keeps the kinds apart:
/// BLAKE2b hashes the length with the message. So no block is spent on a tag or key.

public import MillraceBase
internal import MillraceCrypto

enum CommitmentHash {
    static let accountLeafBytes = 97
    static let slotLeafBytes = 89
    static let codeLinkBytes = 65
    static let rootBytes = 124
    /// The first bytes of a root: what this is, and its version.
    static let rootTag: StaticString = "millrace.state.1"

    @inline(__always)
    static func accountLeaf(
        id: UInt32, address: Address, balance: U256, nonce: UInt64, codeHash: Hash32,
        into digest: UnsafeMutableRawPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: 104, alignment: 8) { buffer in
            guard let m = buffer.baseAddress else { return }
            m.storeBytes(of: 1, as: UInt8.self)
            m.storeBytes(of: id.littleEndian, toByteOffset: 1, as: UInt32.self)
            address.store(to: m + 5)
            m.storeBytes(of: nonce.littleEndian, toByteOffset: 25, as: UInt64.self)
            balance.storeBigEndian(to: m + 33)
            codeHash.store(to: m + 65)
            Blake2b.hash(m, count: accountLeafBytes, into: digest)
        }
    }

    @inline(__always)
    static func slotLeaf(
        id: UInt32, address: Address, slot: U256, value: U256, into digest: UnsafeMutableRawPointer
    ) {
        withUnsafeTemporaryAllocation(byteCount: 96, alignment: 8) { buffer in
            guard let m = buffer.baseAddress else { return }
            m.storeBytes(of: 2, as: UInt8.self)
            m.storeBytes(of: id.littleEndian, toByteOffset: 1, as: UInt32.self)
            address.store(to: m + 5)
            slot.storeBigEndian(to: m + 25)
            value.storeBigEndian(to: m + 57)
            Blake2b.hash(m, count: slotLeafBytes, into: digest)
        }
    }

    /// The chain over the code table: one link more.
    static func codeLink(_ previous: Hash32, _ codeHash: Hash32) -> Hash32 {
        var message: [UInt8] = [3]
        message.append(previous)
        message.append(codeHash)
        return Blake2b.hash(message)
    }

    static func root(_ parts: CommitmentParts) -> Hash32 {
        withUnsafeTemporaryAllocation(byteCount: 128, alignment: 8) { buffer in
            guard let m = buffer.baseAddress else { return .zero }
            rootTag.withUTF8Buffer { buffer.copyMemory(from: UnsafeRawBufferPointer($0)) }
            m.storeBytes(of: parts.accountCount.littleEndian, toByteOffset: 16, as: UInt32.self)
            m.storeBytes(of: parts.slotCount.littleEndian, toByteOffset: 20, as: UInt32.self)
            m.storeBytes(of: parts.codeCount.littleEndian, toByteOffset: 24, as: UInt32.self)
            parts.accountsRoot.store(to: m + 28)
            parts.slotsRoot.store(to: m + 60)
            parts.codes.store(to: m + 92)
            return Blake2b.hash(UnsafeRawBufferPointer(rebasing: buffer[..<rootBytes]))
        }
    }
}

/// What a state commitment is the hash of.
public struct CommitmentParts: Hashable, Sendable, BitwiseCopyable {
    public var accountCount: UInt32 = 0
    public var slotCount: UInt32 = 0
    public var codeCount: UInt32 = 0
    public var accountsRoot = Hash32.zero
    public var slotsRoot = Hash32.zero
    /// The end of the chain over the code table.
    public var codes = Hash32.zero

    public init() {}

    public var commitment: Hash32 { CommitmentHash.root(self) }
}

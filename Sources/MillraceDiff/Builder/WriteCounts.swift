/// What was written before merging: each key once per transaction that changed it.

public struct WriteCounts: Hashable, Sendable, BitwiseCopyable {
    public var transactions: UInt64 = 0
    /// Accounts whose balance, nonce or code changed, or that were destroyed.
    public var accountWrites: UInt64 = 0
    /// Contracts with changed slots.
    public var contractWrites: UInt64 = 0
    /// Slots written by `setSlot`; what a destruction clears is not counted.
    public var slotWrites: UInt64 = 0
    /// Bytes of code set.
    public var codeBytes: UInt64 = 0

    public init() {}

    /// The published measure of an uncompressed diff: a changed account is its 20-byte address and a 32-byte value, a
    /// contract with changed slots its address, a changed slot 32 bytes of key and 32 of value; code as it is.
    public var rawBytes: UInt64 {
        accountWrites &* 52 &+ contractWrites &* 20 &+ slotWrites &* 64 &+ codeBytes
    }

    public static func + (a: WriteCounts, b: WriteCounts) -> WriteCounts {
        var sum = a
        sum.transactions &+= b.transactions
        sum.accountWrites &+= b.accountWrites
        sum.contractWrites &+= b.contractWrites
        sum.slotWrites &+= b.slotWrites
        sum.codeBytes &+= b.codeBytes
        return sum
    }
}

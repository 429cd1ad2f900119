/// What each transaction of a mini-block wrote, in the order it ran: kept by `DiffBuilder` while asked to, read by whoever
/// looks for operations. Keys carry the ids they have after the mini-block.

public import MillraceBase

/// One account or slot as a transaction found and left it.
public struct TracedAccount: Sendable, BitwiseCopyable {
    public var address: Address
    /// Nil for one that ends the mini-block unknown.
    public var id: AccountID?
    /// Code before the mini-block or by the end of the transaction.
    public var hasCode: Bool
    public var oldNonce: UInt64, newNonce: UInt64
    public var oldBalance: U256, newBalance: U256
}

public struct TracedSlot: Sendable, BitwiseCopyable {
    public var contract: AccountID
    /// Nil for one that ends the mini-block unknown.
    public var id: SlotID?
    public var slot: U256
    public var preimage: SlotPreimage
    public var old: U256, new: U256
}

public struct TransactionTrace: Sendable {
    public var accounts: [TracedAccount] = []
    public var slots: [TracedSlot] = []
    /// Where each transaction's part of the two arrays ends.
    public var accountEnds: [Int] = []
    public var slotEnds: [Int] = []

    public init() {}

    public var transactionCount: Int { accountEnds.count }
    public func accounts(of transaction: Int) -> Range<Int> {
        (transaction == 0 ? 0 : accountEnds[transaction - 1])..<accountEnds[transaction]
    }
    public func slots(of transaction: Int) -> Range<Int> {
        (transaction == 0 ? 0 : slotEnds[transaction - 1])..<slotEnds[transaction]
    }

    public mutating func removeAll() {
        accounts.removeAll(keepingCapacity: true)
        slots.removeAll(keepingCapacity: true)
        accountEnds.removeAll(keepingCapacity: true)
        slotEnds.removeAll(keepingCapacity: true)
    }
}

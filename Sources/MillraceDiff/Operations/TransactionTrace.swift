/// What each transaction of a mini-block changed, in the order it ran: kept by `DiffBuilder`, read by `OperationFinder`.
///
/// Keys are named by their place among the builder's pending entries, which hold address, number, preimage and (after
/// sealing) id once per mini-block. A key appears once per transaction that changed it, with the value as the transaction
/// found it and as it left it; one that ended as it began has both the same. Memory: 80 bytes per traced write, kept
/// from one mini-block to the next.

internal import MillraceBase

struct TracedAccount: BitwiseCopyable {
    /// Index of the pending account.
    let entry: UInt32
    let oldNonce: UInt64
    var newNonce: UInt64
    let oldBalance: U256
    var newBalance: U256
}

struct TracedSlot: BitwiseCopyable {
    /// Index of the pending slot.
    let entry: UInt32
    let old: U256
    var new: U256
}

/// Where a transaction's part of the two arrays ends. Not private in the trace: the 6.3 compiler fails on that.
struct TraceEnds: BitwiseCopyable {
    var accounts: UInt32
    var slots: UInt32
}

struct TransactionTrace: ~Copyable {
    private var tracedAccounts = CellArray<TracedAccount>()
    private var tracedSlots = CellArray<TracedSlot>()
    private var ends = CellArray<TraceEnds>()
    /// Between a transaction's begin and end.
    private(set) var isOpen = false

    var transactionCount: Int { ends.count }
    var accountsBase: UnsafeMutablePointer<TracedAccount> { tracedAccounts.base }
    var slotsBase: UnsafeMutablePointer<TracedSlot> { tracedSlots.base }

    func accounts(of transaction: Int) -> Range<Int> {
        let first = transaction == 0 ? 0 : Int(ends.base[transaction - 1].accounts)
        return first..<Int(ends.base[transaction].accounts)
    }

    func slots(of transaction: Int) -> Range<Int> {
        let first = transaction == 0 ? 0 : Int(ends.base[transaction - 1].slots)
        return first..<Int(ends.base[transaction].slots)
    }

    mutating func begin() { isOpen = true }

    mutating func end() {
        guard isOpen else { return }
        isOpen = false
        ends.append(
            TraceEnds(
                accounts: UInt32(truncatingIfNeeded: tracedAccounts.count),
                slots: UInt32(truncatingIfNeeded: tracedSlots.count)))
    }

    /// Answers where the new line is, for `accountsBase`.
    @inline(__always)
    mutating func append(_ account: TracedAccount) -> Int {
        tracedAccounts.append(account)
        return tracedAccounts.count - 1
    }

    @inline(__always)
    mutating func append(_ slot: TracedSlot) -> Int {
        tracedSlots.append(slot)
        return tracedSlots.count - 1
    }

    mutating func removeAll() {
        tracedAccounts.removeAll()
        tracedSlots.removeAll()
        ends.removeAll()
        isOpen = false
    }
}

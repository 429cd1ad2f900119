/// Sums over a recording, kept while writing and while reading; the index carries them so that `inspect` need not read
/// the whole file, and `verify` compares.

import MillraceDiff

public struct RecordingTotals: Equatable, Sendable {
    public var genesisDiffs: UInt64 = 0
    /// Ids given out, genesis included.
    public var accounts: UInt64 = 0
    public var slots: UInt64 = 0
    public var codes: UInt64 = 0
    /// Heights whose diffs are of kind `transactions`.
    public var miniBlocks: UInt64 = 0
    public var bridgeMiniBlocks: UInt64 = 0
    /// Transactions and raw bytes of kind `transactions` only: bridges are in no figure.
    public var transactions: UInt64 = 0
    public var rawBytes: UInt64 = 0
    public var commitments: UInt64 = 0
    /// 0 when there is no mini-block.
    public var firstHeight: UInt64 = 0
    public var lastHeight: UInt64 = 0
    public var firstSealedAtMicroseconds: UInt64 = 0
    public var lastSealedAtMicroseconds: UInt64 = 0

    public init() {}

    mutating func add(_ diff: StateDiff) {
        accounts &+= UInt64(diff.newAccounts.count)
        slots &+= UInt64(diff.newSlots.count)
        codes &+= UInt64(diff.newCodes.count)
        let heights = diff.lastHeight &- diff.firstHeight &+ 1
        switch diff.kind {
        case .genesis:
            genesisDiffs += 1
            return
        case .bridge:
            bridgeMiniBlocks &+= heights
        case .transactions:
            miniBlocks &+= heights
            transactions &+= diff.transactions
            rawBytes &+= diff.rawBytes
        }
        if firstHeight == 0 {
            (firstHeight, firstSealedAtMicroseconds) = (diff.firstHeight, diff.sealedAtMicroseconds)
        }
        (lastHeight, lastSealedAtMicroseconds) = (diff.lastHeight, diff.sealedAtMicroseconds)
    }

    var fields: [UInt64] {
        [
            genesisDiffs, accounts, slots, codes, miniBlocks, bridgeMiniBlocks, transactions, rawBytes,
            commitments,
            firstHeight, lastHeight, firstSealedAtMicroseconds, lastSealedAtMicroseconds,
        ]
    }

    static let fieldCount = 13

    init(fields: [UInt64]) {
        precondition(fields.count == RecordingTotals.fieldCount, "totals have thirteen fields")
        (genesisDiffs, accounts, slots, codes) = (fields[0], fields[1], fields[2], fields[3])
        (miniBlocks, bridgeMiniBlocks, transactions) = (fields[4], fields[5], fields[6])
        (rawBytes, commitments, firstHeight, lastHeight) = (fields[7], fields[8], fields[9], fields[10])
        (firstSealedAtMicroseconds, lastSealedAtMicroseconds) = (fields[11], fields[12])
    }
}

/// Cuts a stream of transactions into blocks: neighbours of the same group. Gives each block out once the next one has
/// begun, or at the end of a file.

import MillraceBase

public struct PrestateBlocks {
    private var pending: [PrestateTransaction] = []

    public init() {}

    /// Transactions held back because their block may go on.
    public var pendingCount: Int { pending.count }

    /// Takes transactions in order; answers the blocks that they complete. Positions within a block must ascend, where
    /// they are given.
    public mutating func add(_ transactions: [PrestateTransaction]) throws(JSONError)
        -> [[PrestateTransaction]]
    {
        var blocks: [[PrestateTransaction]] = []
        for transaction in transactions {
            if let last = pending.last {
                if last.group != transaction.group {
                    blocks.append(pending)
                    pending.removeAll()
                } else if let before = last.index, let index = transaction.index, index <= before {
                    throw JSONError(
                        line: transaction.line, column: 1,
                        message:
                            "txIndex \(index) after txIndex \(before) of the same block: expected ascending positions"
                    )
                }
            }
            pending.append(transaction)
        }
        return blocks
    }

    /// The block at hand, at the end of a file.
    public mutating func finish() -> [PrestateTransaction] {
        defer { pending.removeAll() }
        return pending
    }
}

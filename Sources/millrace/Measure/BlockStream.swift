/// Blocks of `prestateTracer` results, each on a state of its own: everything the block's transactions found before it is
/// genesis, keys in sorted order, and the block is one mini-block on top. So a block's figure depends on nothing but the
/// block, in whatever order or selection blocks are given.

import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

final class BlockStream: DiffStream {
    private(set) var state = State(seed: Seed(1))
    private let fromBlock: UInt64
    /// Files yet to be read, the last one next.
    private var paths: [String]
    /// Blocks of the file at hand, likewise.
    private var blocks: [Block] = []
    /// Diffs of the block at hand, likewise.
    private var diffs: [StateDiff] = []
    private(set) var leftOut = 0

    private struct Block {
        var name: String
        var transactions: [PrestateTransaction]
    }

    /// Blocks with lower numbers than `fromBlock` are left out.
    init(paths: [String], fromBlock: UInt64) {
        self.paths = paths.reversed()
        self.fromBlock = fromBlock
    }

    func next(into diff: inout StateDiff) throws -> StreamStep {
        if let next = diffs.popLast() {
            diff = next
            return .diff
        }
        while blocks.isEmpty {
            guard let path = paths.popLast() else { return .end }
            try read(path)
        }
        let block = blocks.removeLast()
        state = State(seed: Seed(1))
        diffs = BlockStream.diffs(of: block.transactions).reversed()
        return .newUnit(block.name)
    }

    private func read(_ path: String) throws {
        for transactions in try PrestateFiles.blocks(of: path) {
            guard let first = transactions.first else { continue }
            guard case .block(let number) = first.group else {
                if fromBlock > 0 {
                    throw Failure(.failed, "\(path): its blocks have no numbers, which --from-block needs")
                }
                blocks.append(Block(name: path, transactions: transactions))
                continue
            }
            if number < fromBlock {
                leftOut += 1
            } else {
                blocks.append(Block(name: String(number), transactions: transactions))
            }
        }
        blocks.reverse()
    }

    /// Genesis, then heights from 1: one, unless transactions are missing from the middle of the block and a bridge has to
    /// stand for them.
    private static func diffs(of transactions: [PrestateTransaction]) -> [StateDiff] {
        var sealed: [StateDiff] = []
        let importer = PrestateImporter(
            state: State(seed: Seed(1)), rule: .perBlock, findsOperations: true)
        importer.add(block: transactions) { diff in sealed.append(diff) }
        // What the block found, set right on an empty state, is the state it found.
        let hasGenesis = sealed.first?.kind == .bridge
        for i in sealed.indices {
            if i == 0, hasGenesis {
                sealed[0].kind = .genesis
                sealed[0].sealedAtMicroseconds = 0
                sealed[0].operations = Operations()
            }
            let height = UInt64(hasGenesis ? i : i + 1)
            (sealed[i].firstHeight, sealed[i].lastHeight) = (height, height)
        }
        return sealed
    }
}

/// `millrace inspect`: what is in a recording. Reads all of it, frame by frame, without building the state.

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceRecording

struct Inspect: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Say what is in a recording.")

    @Argument(help: "The recording.") var file: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        try reportingFiles {
            let reader = try RecordingReader(path: file)
            var changes = Changes()
            var last: RecordedCommitment?
            while let item = try reader.next() {
                switch item {
                case .genesis(let diff): changes.facts += UInt64(diff.newFacts.count)
                case .diff(let diff): changes.add(diff)
                case .commitment(let commitment): last = commitment
                }
            }
            warnIfTorn(reader)
            report(reader, changes, last)
        }
    }

    /// What the mini-blocks (bridges apart) change after merging.
    private struct Changes {
        var accounts: UInt64 = 0
        var slots: UInt64 = 0
        var codeBytes: UInt64 = 0
        var transactionsMax: UInt64 = 0
        /// Hints, of every kind of mini-block.
        var facts: UInt64 = 0
        var understood: UInt64 = 0
        var actions: UInt64 = 0
        var origins: UInt64 = 0

        mutating func add(_ diff: StateDiff) {
            facts += UInt64(diff.newFacts.count)
            understood += UInt64(diff.operations.transactions.count { $0.actionCount > 0 })
            actions += UInt64(diff.operations.actions.count)
            origins += UInt64(diff.operations.origins.count)
            guard diff.kind == .transactions else { return }
            accounts += UInt64(diff.accountChanges.count)
            slots += UInt64(diff.slotChanges.count)
            codeBytes += diff.newCodes.reduce(0) { $0 + UInt64($1.count) }
            transactionsMax = max(transactionsMax, diff.transactions)
        }
    }

    private func report(_ reader: RecordingReader, _ changes: Changes, _ last: RecordedCommitment?) {
        let totals = reader.totals
        let heights = totals.lastHeight == 0 ? 0 : totals.lastHeight - totals.firstHeight + 1
        let seconds = Double(heights) / 100
        let object = JSON.object([
            ("version", .unsigned(UInt64(reader.header.version))),
            ("kind", .string("diff")),
            ("chainID", .unsigned(reader.header.chainID)),
            ("description", .string(reader.header.description)),
            ("bytes", .unsigned(reader.byteCount)),
            ("frames", .integer(Int64(reader.frameCount))),
            ("complete", .bool(reader.isComplete)),
            ("genesisDiffs", .unsigned(totals.genesisDiffs)),
            ("miniBlocks", .unsigned(totals.miniBlocks)),
            ("bridgeMiniBlocks", .unsigned(totals.bridgeMiniBlocks)),
            ("firstHeight", .unsigned(totals.firstHeight)),
            ("lastHeight", .unsigned(totals.lastHeight)),
            ("durationSeconds", .number(seconds)),
            ("transactions", .unsigned(totals.transactions)),
            ("transactionsPerMiniBlockMax", .unsigned(changes.transactionsMax)),
            ("rawBytes", .unsigned(totals.rawBytes)),
            ("accountChanges", .unsigned(changes.accounts)),
            ("slotChanges", .unsigned(changes.slots)),
            ("codeBytes", .unsigned(changes.codeBytes)),
            ("accounts", .unsigned(totals.accounts)),
            ("slots", .unsigned(totals.slots)),
            ("codes", .unsigned(totals.codes)),
            ("facts", .unsigned(changes.facts)),
            ("operationTransactions", .unsigned(changes.understood)),
            ("actions", .unsigned(changes.actions)),
            ("slotOrigins", .unsigned(changes.origins)),
            ("commitments", .unsigned(totals.commitments)),
            ("stateCommitment", last.map { .string($0.commitment.hex) } ?? .null),
        ])
        let commitment = last.map { "\($0.commitment) after height \($0.height)" } ?? "none"
        output.result(
            object,
            """
            \(file): \(reader.header.description)
            chain       \(reader.header.chainID)
            size        \(reader.byteCount) bytes, \(reader.frameCount) frames\(reader.isComplete ? "" : ", torn")
            heights     \(totals.firstHeight) to \(totals.lastHeight) (\(JSON.number(seconds, decimals: 2).text()) s): \
            \(totals.miniBlocks) mini-blocks, \(totals.bridgeMiniBlocks) bridges, \(totals.genesisDiffs) genesis diffs
            content     \(totals.transactions) transactions, \(totals.rawBytes) raw bytes; merged \(changes.accounts) \
            account and \(changes.slots) slot changes
            new keys    \(totals.accounts) accounts, \(totals.slots) slots, \(totals.codes) codes
            hints       \(changes.facts) facts, \(changes.actions) actions of \(changes.understood) transactions, \
            \(changes.origins) slot origins
            commitment  \(commitment)
            """)
    }
}

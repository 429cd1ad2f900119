/// `millrace import`: other people's streams of state diffs to recordings.

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceLoop
import MillraceRecording
import MillraceWorkload

struct Import: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a recording from other people's files.",
        subcommands: [
            ImportPrestate.self,
            ImportSDW1.self,
        ])
}

/// `--mini-block N` or `--mini-block per-block`.
struct MiniBlockOption: ExpressibleByArgument {
    var rule: MiniBlockRule

    init(_ rule: MiniBlockRule) { self.rule = rule }

    init?(argument: String) {
        if argument == "per-block" {
            rule = .perBlock
        } else if let count = Int(argument), count > 0 {
            rule = .transactions(count)
        } else {
            return nil
        }
    }

    var defaultValueDescription: String {
        switch rule {
        case .perBlock: "per-block"
        case .transactions(let count): String(count)
        }
    }
}

struct ImportPrestate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prestate",
        abstract:
            "Import geth prestateTracer diffs (NDJSON, arrays or JSON-RPC answers; plain, gzip or zstd).",
        discussion: """
            Blocks are taken in the order of the files. Where a block does not begin with the state that the blocks before \
            left, a bridge mini-block sets the state right first; bridges are counted apart.
            """)

    @Argument(help: "Files, in order; - is standard input.") var files: [String]
    @Option(help: "The recording to write.") var out: String
    @Option(help: "Transactions in a mini-block, or per-block.") var miniBlock = MiniBlockOption(
        .transactions(100))
    @Option(help: "Chain id to put into the recording.") var chainID: UInt64 = 1
    @OptionGroup var output: OutputOptions

    func run() throws {
        try reportingFiles {
            let state = State(seed: Machine.randomSeed())
            let commitment = StateCommitment(of: state)
            let importer = PrestateImporter(state: state, rule: miniBlock.rule)
            let name = files.count == 1 ? "1 file" : "\(files.count) files"
            let header = RecordingHeader(chainID: chainID, description: "prestateTracer diffs from \(name)")
            let writer = try RecordingWriter(path: out, header: header)
            try PrestateFiles.feed(files, to: importer) { diff throws(RecordingError) in
                try writer.write(diff)
                if diff.lastHeight % Limits.miniBlocksPerEVMBlock == 0 {
                    try writer.write(commitment: commitment.commitmentNow(), height: diff.lastHeight)
                }
            }
            let last = commitment.commitmentNow()
            if state.height % Limits.miniBlocksPerEVMBlock != 0 {
                try writer.write(commitment: last, height: state.height)
            }
            try writer.finish()
            report(importer.totals, state, last, bytes: writer.byteCount)
        }
    }

    private func report(_ totals: ImportTotals, _ state: State, _ commitment: Hash32, bytes: UInt64) {
        let object = JSON.object([
            ("blocks", .unsigned(totals.blocks)),
            ("transactions", .unsigned(totals.transactions)),
            ("slotWrites", .unsigned(totals.slotWrites)),
            ("accountWrites", .unsigned(totals.accountWrites)),
            ("codeBytes", .unsigned(totals.codeBytes)),
            ("miniBlocks", .unsigned(totals.miniBlocks)),
            ("bridgeMiniBlocks", .unsigned(totals.bridgeMiniBlocks)),
            ("bridgedAccounts", .unsigned(totals.bridgedAccounts)),
            ("bridgedSlots", .unsigned(totals.bridgedSlots)),
            ("rawBytes", .unsigned(totals.rawBytes)),
            ("accounts", .unsigned(UInt64(state.accountCount))),
            ("slots", .unsigned(UInt64(state.slotCount))),
            ("recordingBytes", .unsigned(bytes)),
            ("stateCommitment", .string(commitment.hex)),
        ])
        output.result(
            object,
            """
            \(out): \(totals.transactions) transactions of \(totals.blocks) blocks in \(totals.miniBlocks) mini-blocks, \
            \(totals.bridgeMiniBlocks) bridges (\(totals.bridgedAccounts) accounts, \(totals.bridgedSlots) slots set right)
            writes      \(totals.slotWrites) slots, \(totals.accountWrites) accounts, \(totals.codeBytes) bytes of code
            raw         \(totals.rawBytes) bytes; recording \(bytes) bytes
            state       \(state.accountCount) accounts, \(state.slotCount) slots
            commitment  \(commitment)
            """)
    }
}

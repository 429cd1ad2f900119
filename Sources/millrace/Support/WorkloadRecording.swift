/// A whole workload into a recording: what `generate` and `import sdw1` have in common.

import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

struct WorkloadRecording {
    let stream: WorkloadStream
    let path: String
    let chainID: UInt64
    /// Sealing time of height 0, in Unix microseconds: recordings of generated streams do not depend on the clock.
    let startMicroseconds: UInt64

    struct Summary {
        var counts = WriteCounts()
        var genesisDiffs = 0
        var genesisAccounts = 0
        var genesisSlots = 0
        var miniBlocks: UInt64 = 0
        var commitment = Hash32.zero
        var recordingBytes: UInt64 = 0
        var seconds = 0.0
    }

    /// Writes the genesis, then mini-blocks until the workload ends or `miniBlocks` are sealed, with a commitment at every
    /// EVM block and at the end.
    func write(miniBlocks: UInt64?, transactionsAt: (UInt64) -> Int) throws -> Summary {
        var summary = Summary()
        var progress = Progress(stream.workload.name, of: miniBlocks)
        let header = RecordingHeader(chainID: chainID, description: stream.workload.name)
        let writer = try RecordingWriter(path: path, header: header)
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) {
            try writer.write(genesis: diff)
            summary.genesisDiffs += 1
        }
        let state = stream.state
        (summary.genesisAccounts, summary.genesisSlots) = (state.accountCount, state.slotCount)
        let commitment = StateCommitment(of: state)
        let interval = UInt64(Limits.miniBlockInterval.microseconds)
        while miniBlocks.map({ stream.height < $0 }) ?? true {
            let height = stream.height + 1
            guard
                try stream.nextMiniBlock(
                    transactions: transactionsAt(height),
                    sealedAtMicroseconds: startMicroseconds + height * interval,
                    into: &diff)
            else { break }
            try writer.write(diff)
            if height % Limits.miniBlocksPerEVMBlock == 0 {
                try writer.write(commitment: commitment.commitmentNow(), height: height)
            }
            progress.update(height)
        }
        summary.commitment = commitment.commitmentNow()
        if stream.height > 0, stream.height % Limits.miniBlocksPerEVMBlock != 0 {
            try writer.write(commitment: summary.commitment, height: stream.height)
        }
        try writer.finish()
        progress.end()
        summary.counts = stream.counts
        summary.miniBlocks = stream.height
        summary.recordingBytes = writer.byteCount
        summary.seconds = progress.elapsed
        return summary
    }
}

extension WorkloadRecording.Summary {
    func fields(_ state: State) -> [(String, JSON)] {
        [
            ("transactions", .unsigned(counts.transactions)),
            ("slotWrites", .unsigned(counts.slotWrites)),
            ("accountWrites", .unsigned(counts.accountWrites)),
            ("codeBytes", .unsigned(counts.codeBytes)),
            ("miniBlocks", .unsigned(miniBlocks)),
            ("rawBytes", .unsigned(counts.rawBytes)),
            ("genesisAccounts", .unsigned(UInt64(genesisAccounts))),
            ("genesisSlots", .unsigned(UInt64(genesisSlots))),
            ("accounts", .unsigned(UInt64(state.accountCount))),
            ("slots", .unsigned(UInt64(state.slotCount))),
            ("recordingBytes", .unsigned(recordingBytes)),
            (
                "writtenTransactionsPerSec",
                .number(Double(counts.transactions) / max(seconds, 1e-6), decimals: 0)
            ),
            ("stateCommitment", .string(commitment.hex)),
        ]
    }

    func text(_ path: String, _ state: State) -> String {
        """
        \(path): \(counts.transactions) transactions in \(miniBlocks) mini-blocks
        writes      \(counts.slotWrites) slots, \(counts.accountWrites) accounts, \(counts.codeBytes) bytes of code
        raw         \(counts.rawBytes) bytes; recording \(recordingBytes) bytes
        genesis     \(genesisAccounts) accounts, \(genesisSlots) slots
        state       \(state.accountCount) accounts, \(state.slotCount) slots
        commitment  \(commitment)
        """
    }
}

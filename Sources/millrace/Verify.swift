/// `millrace verify`: is a recording what was written, and does it lead to the states it commits to?

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceLoop
import MillraceRecording

struct Verify: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Check a recording: checksums, hash chain, that every diff fits, and every state commitment.",
        discussion: "Exits 0 when all is well and 3 otherwise, naming the first frame that is wrong.")

    @Argument(help: "The recording.") var file: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        let report = try reportingFiles(verifying: true) {
            try RecordingVerifier.verify(
                RecordingReader(path: file), state: State(seed: Machine.randomSeed()))
        }
        let totals = report.totals
        output.result(
            .object([
                ("verified", .bool(true)),
                ("frames", .integer(Int64(report.frames))),
                ("bytes", .unsigned(report.bytes)),
                ("miniBlocks", .unsigned(totals.miniBlocks)),
                ("bridgeMiniBlocks", .unsigned(totals.bridgeMiniBlocks)),
                ("transactions", .unsigned(totals.transactions)),
                ("commitmentsChecked", .integer(Int64(report.commitmentsChecked))),
                ("stateCommitment", .string(report.stateCommitment.hex)),
            ]),
            """
            \(file): verified, \(report.frames) frames, \(totals.miniBlocks) mini-blocks, \
            \(report.commitmentsChecked) commitments
            commitment  \(report.stateCommitment)
            """)
    }
}

/// `millrace import sdw1`: a workload file as a recording.

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

struct ImportSDW1: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sdw1",
        abstract: "Import a workload file (SDW1; plain, gzip or zstd).",
        discussion: """
            The keys' values before the stream become the recording's genesis. The file names its contracts' codes without \
            carrying them: each contract gets a stand-in (0xfe and the name), so that contracts of one code share it.
            """)

    @Argument(help: "The file.") var file: String
    @Option(help: "The recording to write.") var out: String
    @Option(help: "Transactions in a mini-block.") var miniBlock = 1_000
    @Option(name: .customLong("chain-id"), help: "Chain id to put into the recording.") var chainID: UInt64 =
        1
    @OptionGroup var output: OutputOptions

    /// Plain bytes of a file at most.
    static let bytesMax = 1 << 31

    func validate() throws {
        guard (1...1_000_000).contains(miniBlock) else {
            throw ValidationError("--mini-block is \(miniBlock), expected 1 to 1000000 transactions")
        }
    }

    func run() throws {
        try reportingFiles {
            let bytes = try InputFile.readAll(path: file, limit: ImportSDW1.bytesMax)
            do {
                let workload = try SDW1Workload(bytes)
                let stream = WorkloadStream(workload, seed: Seed(1))
                let recording = WorkloadRecording(
                    stream: stream, path: out, chainID: chainID, startMicroseconds: 1_767_225_600_000_000)
                let summary = try recording.write(miniBlocks: nil, transactionsAt: { _ in miniBlock })
                output.result(.object(summary.fields(stream.state)), summary.text(out, stream.state))
            } catch let error as SDW1Error {
                throw Failure(.failed, "\(file): \(error)")
            } catch let error as WorkloadError {
                throw Failure(.failed, "\(file): \(error)")
            }
        }
    }
}

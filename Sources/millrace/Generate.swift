/// `millrace generate`: a made-up stream of real contracts' writes, as a recording.

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceWorkload

struct Generate: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Make a recording of a generated workload: swap, erc20, mixed or idle.",
        discussion: """
            The workload may carry its parameters, as in swap?tps=50000&accounts=200000; options take precedence. The same \
            parameters give the same recording on every machine.
            """)

    @Argument(help: "swap, erc20, mixed or idle, with or without ?parameters.") var workload: String
    @Option(help: "Transactions per second.") var tps: String?
    @Option(help: "How long (default 20).") var seconds: String?
    @Option(help: "Users.") var accounts: String?
    @Option(help: "Exponent of Zipf's law over the users, 0 to 4.") var zipf: String?
    @Option(help: "Seed of every draw.") var seed: String?
    @Option(help: "Pools (swap, mixed).") var pools: String?
    @Option(help: "Tokens (erc20).") var tokens: String?
    @Option(name: .customLong("chain-id"), help: "Chain id to put into the recording.") var chainID: UInt64 =
        1
    @Option(help: "The recording to write.") var out: String
    @OptionGroup var output: OutputOptions

    func run() throws {
        let spec = try specification()
        try reportingFiles {
            do {
                let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(spec.seed))
                let recording = WorkloadRecording(
                    stream: stream, path: out, chainID: chainID,
                    startMicroseconds: UInt64(GeneratedWorkload.startTimestamp) * 1_000_000)
                let summary = try recording.write(
                    miniBlocks: spec.miniBlocks, transactionsAt: { spec.transactions(atHeight: $0) })
                if let asked = spec.miniBlocks, summary.miniBlocks < asked {
                    note(
                        "warning: after \(summary.miniBlocks) of \(asked) mini-blocks no user could pay any more"
                    )
                }
                output.result(
                    .object([("workload", .string(spec.text))] + summary.fields(stream.state)),
                    summary.text(out, stream.state))
            } catch let error as WorkloadError {
                throw Failure(.failed, error.description)
            }
        }
    }

    private func specification() throws -> WorkloadSpec {
        do throws(WorkloadError) {
            var spec = try WorkloadSpec(workload)
            let options = [
                ("tps", tps), ("seconds", seconds), ("accounts", accounts), ("zipf", zipf), ("seed", seed),
                ("pools", pools), ("tokens", tokens),
            ]
            for (name, value) in options {
                if let value { try spec.set(name, to: value) }
            }
            if spec.seconds == nil { spec.seconds = 20 }
            return spec
        } catch {
            throw Failure(.usage, error.description)
        }
    }
}

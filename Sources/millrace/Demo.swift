/// `millrace demo`: the main job in one command. The processes and the verdict are `MillraceNode/Demo`'s; this file turns
/// flags into a stream and a folder.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceCore
import MillraceLink
import MillraceNode

struct DemoCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract:
            "A sequencer, relays and replicas on this machine, behind impaired links, at 100,000 TPS; a verdict.",
        discussion: """
            Every node is a process of its own and talks UDP on loopback; each replica's line is impaired both ways. The \
            stream is generated before the clock starts. Exit code 0: every replica kept up and its state is the \
            sequencer's; 3: not.
            """)
    @Option(help: "Workload: swap, erc20, mixed or idle, with parameters if wanted (swap?zipf=0.9&pools=50).")
    var workload = "swap"
    @Option(help: "Transactions per second.") var tps = 100_000
    @Option(help: "Seconds of stream.") var seconds = 20
    @Option(help: "Accounts that exist before the stream.") var accounts = 100_000
    @Option(help: "Seed of the workload and of the links.") var seed: UInt64 = 1
    @Option(help: "Play this .mill recording instead of a workload.") var recording: String?
    @Option(help: "Relays between the sequencer and the replicas.") var relays = 2
    @Option(help: "Replicas, each behind a line of its own.") var replicas = 2
    @Option(help: "Each replica's line, as `millrace impair` takes it.") var link =
        "rate=12,rtt=100,loss=0.01"
    @Option(help: "Parity shreds per slice.") var parity = 4
    @Option(help: "Kill the first relay (SIGKILL) after this many seconds of stream.") var killRelay: Double?
    @Option(help: "Keep the recording, keys and logs in this folder.") var keep: String?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(1...16).contains(relays) { throw ValidationError("--relays must be 1 to 16.") }
        if !(1...64).contains(replicas) { throw ValidationError("--replicas must be 1 to 64.") }
        if !(1...3_600).contains(seconds) { throw ValidationError("--seconds must be 1 to 3600.") }
        if !(0...16).contains(parity) { throw ValidationError("--parity must be 0 to 16.") }
        if let killRelay, !(killRelay >= 0 && killRelay < 3_600) {
            throw ValidationError("--kill-relay must be a number of seconds from 0 to 3600.")
        }
    }

    func run() throws {
        do {
            _ = try LinkText.parse(link, files: LinkFiles.read)
        } catch { throw Failure(.usage, error.description) }
        let folder: URL
        if let keep {
            folder = URL(fileURLWithPath: keep)
        } else {
            folder = FileManager.default.temporaryDirectory.appendingPathComponent(
                "millrace-demo-\(getpid())")
        }
        do {
            try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        } catch { throw Failure(.failed, "\(folder.path): cannot be made: \(error.localizedDescription)") }
        defer { if keep == nil { try? FileManager.default.removeItem(at: folder) } }

        let interruption = Interruption()
        let report: DemoReport
        do {
            let stream = try DemoStream.prepare(
                recording: recording, workload: workload, tps: tps, seconds: seconds, accounts: accounts,
                seed: seed,
                folder: folder, interruption: interruption,
                progress: output.json ? nil : { note($0) })
            var options = DemoOptions(
                executable: try currentExecutable(), recording: stream.file, source: stream.name,
                transactions: stream.transactions, miniBlocks: stream.miniBlocks, folder: folder, link: link)
            options.relays = relays
            options.replicas = replicas
            options.parity = parity
            options.seed = seed
            options.killRelayAfter = killRelay
            options.quiet = output.json
            report = try Demo(options, interruption: interruption).run()
        } catch let error as DemoError {
            throw Failure(.failed, error.description)
        } catch let error as ConfigError {
            throw Failure(.usage, error.description)
        } catch let error as SourceError {
            throw Failure(.failed, error.description)
        }
        output.result(report.json, report.text)
        if report.verdict == .fallsBehind || !report.allMatch {
            throw Failure(
                .verification,
                "the verdict is \(report.verdict.sentence)"
                    + (report.allMatch ? "" : "; not every replica ended in the sequencer's state"))
        }
    }

    private func currentExecutable() throws -> URL {
        // The running file itself, wherever it was found on PATH.
        let link = "/proc/self/exe"
        if let path = try? FileManager.default.destinationOfSymbolicLink(atPath: link) {
            return URL(fileURLWithPath: path)
        }
        return URL(fileURLWithPath: CommandLine.arguments[0])
    }
}

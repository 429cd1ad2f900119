/// `millrace sequencer`, `relay`, `replica` and `replay`: run a node until told to end (SIGTERM or Ctrl-C).

import ArgumentParser
import MillraceBase
import MillraceCore
import MillraceLoop
import MillraceNode

/// How a running node reports.
struct StatusOptions: ParsableArguments {
    @Flag(help: "Print status as JSON objects, one a line, on stdout (Protocol-Spec/cli.md).")
    var statusLines = false
    @Flag(help: "Print one JSON object on stdout at the end and nothing else there.") var json = false

    var lines: StatusLines { StatusLines(statusLines ? .lines : json ? .final : .plain) }
}

struct Sequencer: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Seal a stream every 10 ms and send it to relays and replicas.")
    @Option(
        help:
            "recording:FILE, generate:WORKLOAD (swap?tps=100000&seconds=20) or feed:- (stdin; feed:PATH: a socket)."
    )
    var source: String
    @Flag(help: "Begin at SIGUSR1 instead of at once.") var hold = false
    @Flag(help: "End when every child has the whole stream.") var exitWhenDelivered = false
    @OptionGroup var node: NodeOptions
    @OptionGroup var status: StatusOptions

    func run() throws {
        let settings = try node.settings()
        try runNode {
            var options = SequencerOptions(source: try SourceSpec(source))
            options.hold = hold
            options.exitWhenDelivered = exitWhenDelivered
            try SequencerProcess(settings, options, status.lines).run()
        }
    }
}

struct Replay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Play a recording as a sequencer would, at another pace if asked.")
    @Argument(help: "The .mill file.") var file: String
    @Option(help: "Faster or slower than recorded: 0.5, 2, or max.") var speed: String?
    @Option(help: "Transactions per second, whatever the recording's own rate.") var tps: Double?
    @Flag(help: "Begin at SIGUSR1 instead of at once.") var hold = false
    @Flag(help: "Stay after the end to answer repairs, until told to end.") var stay = false
    @OptionGroup var node: NodeOptions
    @OptionGroup var status: StatusOptions

    func validate() throws {
        if speed != nil, tps != nil { throw ValidationError("Give --speed or --tps, not both.") }
        if let speed, speed != "max", !((Double(speed) ?? 0) > 0 && (Double(speed) ?? 0) <= 1_000) {
            throw ValidationError(
                "--speed is \"\(speed)\"; expected a number above 0 and up to 1000, or max.")
        }
        if let tps, !(tps > 0 && tps <= 1e9) {
            throw ValidationError("--tps must be above 0 and at most 1e9.")
        }
    }

    func run() throws {
        let settings = try node.settings()
        try runNode {
            var options = SequencerOptions(source: .recording(path: file))
            options.hold = hold
            options.exitWhenDelivered = !stay
            if speed == "max" {
                options.pace = .asFastAsChildrenTake
            } else if let speed = speed.flatMap(Double.init) {
                options.pace = .speed(speed)
            } else if let tps {
                options.pace = .transactionsPerSecond(tps)
            }
            try SequencerProcess(settings, options, status.lines).run()
        }
    }
}

struct Relay: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Forward a stream: verify every shred, keep no state.")
    @OptionGroup var node: NodeOptions
    @OptionGroup var status: StatusOptions

    func run() throws {
        let settings = try node.settings()
        let process = try runNode {
            let process = try FollowerProcess(settings, FollowerOptions(role: .relay), status.lines)
            try process.run()
            return process
        }
        if let stopped = process.stopped { throw Failure(.verification, stopped) }
    }
}

struct Replica: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Follow a stream: apply every mini-block, check the state against the sequencer's.")
    @Option(help: "Recording whose genesis frames are the state before the stream.") var genesis: String?
    @Flag(help: "End when the stream has ended and all of it is applied.") var exitAtEnd = false
    @OptionGroup var node: NodeOptions
    @OptionGroup var status: StatusOptions

    func run() throws {
        let settings = try node.settings()
        var options = FollowerOptions(role: .replica(genesis: genesis))
        options.exitAtEnd = exitAtEnd
        let process = try runNode {
            let process = try FollowerProcess(settings, options, status.lines)
            try process.run()
            return process
        }
        if let stopped = process.stopped { throw Failure(.verification, stopped) }
        if exitAtEnd, process.verdict == .fallsBehind {
            throw Failure(.verification, "the verdict is falls behind")
        }
    }
}

/// Runs a node; its errors become one sentence and an exit code.
func runNode<T>(_ body: () throws -> T) throws -> T {
    do {
        return try body()
    } catch let error as ConfigError {
        throw Failure(.usage, error.description)
    } catch let error as SourceError {
        throw Failure(.failed, error.description)
    } catch let error as LoopError {
        throw Failure(.failed, error.description)
    }
}

/// `millrace export`: a recording's final state, or its diffs, as NDJSON.

import ArgumentParser
import MillraceBase
import MillraceDiff
import MillraceLoop
import MillraceRecording

struct Export: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Print a recording's final state or its diffs as NDJSON.",
        subcommands: [ExportState.self, ExportDiffs.self])
}

struct ExportState: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "state",
        abstract: "The state after the last mini-block, one account a line, sorted by address.")

    @Argument(help: "The recording.") var file: String
    @Option(help: "Where to write; standard output when not given.") var out: String?

    func run() throws {
        try reportingFiles {
            let reader = try RecordingReader(path: file)
            let state = State(seed: Machine.randomSeed())
            try state.apply(all: reader)
            warnIfTorn(reader)
            let output = try TextOutput(path: out)
            _ = try StateExport.write(state) { line throws(RecordingError) in try output.write(line) }
            try output.commit()
        }
    }
}

struct ExportDiffs: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "diffs",
        abstract:
            "Every mini-block as a line in prestateTracer's form; genesis and bridges are marked by kind.")

    @Argument(help: "The recording.") var file: String
    @Option(help: "Where to write; standard output when not given.") var out: String?

    func run() throws {
        try reportingFiles {
            let reader = try RecordingReader(path: file)
            let state = State(seed: Machine.randomSeed())
            let output = try TextOutput(path: out)
            var diff = StateDiff()
            while try reader.nextDiff(into: &diff) {
                try state.apply(diff, from: reader)
                try output.write(DiffExport.line(diff, after: state))
            }
            warnIfTorn(reader)
            try output.commit()
        }
    }
}

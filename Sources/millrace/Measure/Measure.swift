/// `millrace measure`: figures of a part on its own. `measure codec` says what a stream's diffs cost on the wire and in time,
/// beside zstd in the same run.

import ArgumentParser
import MillraceBase
import MillraceNode
import MillraceRecording
import MillraceWire
import MillraceWorkload

struct Measure: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Measure a part on its own.", subcommands: [MeasureCodec.self, MeasureLinks.self])
}

struct MeasureCodec: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "codec",
        abstract: "Encode and decode a stream of diffs: bytes per transaction, speed, and zstd beside it.",
        discussion: """
            INPUT is a recording (.mill), a workload file (SDW1), generate:WORKLOAD (generate:swap?accounts=1000000), or any \
            number of files of prestateTracer results, each block of which is measured on its own, against a state that holds \
            what it found. Files may be compressed. Every payload is decoded again and compared; bridges are coded but left \
            out of the figures.
            """)
    @Argument(help: ArgumentHelp("What to measure.", valueName: "input")) var inputs: [String] = []
    @Option(help: "Generate this workload: swap, erc20, mixed or idle, with or without ?parameters.")
    var workload: String?
    @Option(help: "How long a generated workload is, in seconds (default 2).") var seconds: String?
    @Option(name: .customLong("mini-block"), help: "Transactions per mini-block of an SDW1 file.")
    var miniBlock = 1000
    @Option(help: "Transactions at the start to code but not to count.") var skip: UInt64 = 0
    @Option(name: .customLong("from-block"), help: "Leave out blocks of traces below this number.")
    var fromBlock: UInt64?
    @Option(
        help:
            "c0 (10 ms), c1 (100 ms), c2 (1 s), c3 (10 s) or all; may be given again (default: all that fit)."
    )
    var cadence: [CadenceOption] = []
    @Option(
        name: .customLong("cold-accounts"),
        help: "Size of the state that accounts of before the stream are spread over; 0: as they are.")
    var coldAccounts = PowerOption(1 << 27)
    @Option(name: .customLong("cold-slots"), help: "Likewise for slots.")
    var coldSlots = PowerOption(1 << 30)
    @Flag(inversion: .prefixedNo, help: "Run zstd on the same diffs.") var peers = true
    @Option(help: ArgumentHelp("Also draw it: one self-contained page.", valueName: "file")) var html: String?
    @OptionGroup var output: OutputOptions

    private enum Input {
        case generated(WorkloadSpec)
        case workloadFile(String)
        case recording(String)
        case blocks([String])
    }

    func validate() throws {
        guard (1...1_000_000).contains(miniBlock) else {
            throw ValidationError("--mini-block is \(miniBlock), expected 1 to 1000000 transactions")
        }
        if workload != nil, !inputs.isEmpty {
            throw ValidationError("--workload generates the stream: give it or an input, not both")
        }
        if workload == nil, inputs.isEmpty {
            throw ValidationError("nothing to measure: give a file, generate:WORKLOAD or --workload WORKLOAD")
        }
        if inputs.contains("-") {
            throw ValidationError(
                "standard input cannot be measured: what it holds is told by reading it. Give a file")
        }
        if html == "-", output.json {
            throw ValidationError("--json has standard output for itself: give --html a file")
        }
        if inputs.count > 1, let generated = inputs.first(where: { $0.hasPrefix("generate:") }) {
            throw ValidationError("\(generated) is a stream of its own, and \(inputs.count) inputs are given")
        }
    }

    func run() throws {
        do {
            try measure()
        } catch let error as RecordingError {
            // Messages of files name their file already.
            let names = inputs.contains { error.message.hasPrefix($0) }
            throw Failure(
                .failed, names ? error.message : "\(inputs.joined(separator: " ")): \(error.message)")
        }
    }

    private func measure() throws {
        let input = try recognised()
        let (cadences, mustHave) = try cadences(of: input)
        let cold = ColdState(accounts: coldAccounts.value, slots: coldSlots.value)
        var users = UserLaw()
        let measurement = CodecMeasurement(
            try open(input, &users), skip: skip, cadences: cadences, cold: cold, withPeers: peers)
        try measurement.run()
        let name = name(of: input)
        if let missing = measurement.runs.first(where: {
            $0.transactions == 0 && mustHave.contains($0.cadence)
        }) {
            if missing.cadence == .c0 {
                throw Failure(.failed, "\(name): no transactions to measure after the first \(skip)")
            }
            throw Failure(
                .failed,
                "\(name): too short for \(missing.cadence): expected a whole window of \(missing.cadence.heights) "
                    + "mini-blocks without a bridge after the first \(skip) transactions")
        }
        guard let report = CodecReport(measurement, source: name, files: inputs, cold: cold, users: users)
        else {
            throw Failure(.failed, "\(name): no transactions to measure after the first \(skip)")
        }
        if let html {
            let command = Page.shell(["millrace"] + CommandLine.arguments.dropFirst())
            let file = try TextOutput(path: html)
            try file.write(CodecPage(report: report, command: command).html)
            try file.commit()
        }
        output.result(report.json, report.text)
    }

    // MARK: Input

    private func recognised() throws -> Input {
        if let spec = workload ?? generated(inputs.first) {
            if fromBlock != nil {
                throw Failure(.usage, "--from-block is about files of traces, not generated streams")
            }
            return .generated(try specification(spec))
        }
        if seconds != nil { throw Failure(.usage, "--seconds is about generated workloads, not files") }
        let kinds = try inputs.map { ($0, try kind(of: $0)) }
        if kinds.allSatisfy({ $0.1 == .traces }) { return .blocks(inputs) }
        if fromBlock != nil {
            throw Failure(.usage, "--from-block is about files of traces (prestateTracer results)")
        }
        guard kinds.count == 1 else {
            throw Failure(
                .usage,
                "\(inputs.count) files are given: only files of traces are measured together, and "
                    + "\(kinds.first { $0.1 != .traces }?.0 ?? "") is none")
        }
        return kinds[0].1 == .recording ? .recording(inputs[0]) : .workloadFile(inputs[0])
    }

    private func generated(_ input: String?) -> String? {
        guard let input, case .generate(let spec)? = try? SourceSpec(input) else { return nil }
        return spec
    }

    private func specification(_ text: String) throws -> WorkloadSpec {
        do throws(WorkloadError) {
            var spec = try WorkloadSpec(text)
            if let seconds { try spec.set("seconds", to: seconds) }
            if spec.seconds == nil { spec.seconds = 2 }
            return spec
        } catch {
            throw Failure(.usage, error.description)
        }
    }

    private enum FileKind { case recording, workload, traces }

    /// By the first bytes, never by the name.
    private func kind(of path: String) throws -> FileKind {
        let file = try InputFile(path: path)
        var head: [UInt8] = []
        while head.count < 64, try file.read(appendingTo: &head) {}
        if head.starts(with: Array("SDW1".utf8)) { return .workload }
        if head.starts(with: Array("MILL".utf8)) { return .recording }
        let first = head.first { ![0x20, 0x09, 0x0A, 0x0D].contains($0) }
        if first == UInt8(ascii: "{") || first == UInt8(ascii: "[") { return .traces }
        throw Failure(
            .failed, "\(path): neither a recording nor an SDW1 file nor traces: it begins with other bytes")
    }

    /// Also says what is known of the users' law.
    private func open(_ input: Input, _ users: inout UserLaw) throws -> any DiffStream {
        switch input {
        case .generated(let spec):
            users = UserLaw(count: spec.accounts, exponent: Double(spec.zipfTenThousandths) / 10_000)
            return WorkloadDiffStream(
                GeneratedWorkload(spec), name: spec.text, miniBlocks: spec.miniBlocks,
                transactionsAt: { spec.transactions(atHeight: $0) })
        case .workloadFile(let path):
            let workload = try sdw1(path)
            if workload.header.users > 0 { users.count = Int(clamping: workload.header.users) }
            return WorkloadDiffStream(workload, name: path, transactionsAt: { _ in miniBlock })
        case .recording(let path): return try RecordedStream(path: path)
        case .blocks(let paths): return BlockStream(paths: paths, fromBlock: fromBlock ?? 0)
        }
    }

    private func sdw1(_ path: String) throws -> SDW1Workload {
        let bytes = try InputFile.readAll(path: path, limit: 1 << 32)
        do {
            return try SDW1Workload(bytes)
        } catch {
            throw Failure(.failed, "\(path): \(error)")
        }
    }

    private func name(of input: Input) -> String {
        switch input {
        case .generated(let spec): "generate:" + spec.text
        case .workloadFile(let path), .recording(let path): path
        case .blocks(let paths): paths.count == 1 ? paths[0] : "\(paths.count) files of traces"
        }
    }

    /// Finest first; and those that were asked for by name.
    private func cadences(of input: Input) throws -> ([Cadence], Set<Cadence>) {
        let asked = Set(cadence.flatMap(\.cadences))
        let named = Set(cadence.filter { $0.cadences.count == 1 }.flatMap(\.cadences))
        if case .blocks = input {
            guard asked.subtracting([.c0]).isEmpty else {
                throw Failure(
                    .usage, "blocks of traces stand for themselves: there are no windows of several, only c0")
            }
            return ([.c0], [.c0])
        }
        if asked.isEmpty { return (Cadence.followed, [.c0]) }
        return (Cadence.followed.filter(asked.contains), named)
    }
}

/// `c0` to `c3`, or `all`.
struct CadenceOption: ExpressibleByArgument {
    let cadences: [Cadence]

    init?(argument: String) {
        if argument == "all" {
            cadences = Cadence.followed
        } else if let cadence = Cadence.followed.first(where: { "\($0)" == argument }) {
            cadences = [cadence]
        } else {
            return nil
        }
    }
}

/// `2^27`, `134217728` or 0; at most 2^40.
struct PowerOption: ExpressibleByArgument {
    let value: Int

    init(_ value: Int) { self.value = value }

    init?(argument: String) {
        let parts = argument.split(separator: "^", omittingEmptySubsequences: false)
        guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }) else {
            return nil
        }
        if parts.count == 2, parts[0] == "2", let exponent = Int(parts[1]), exponent <= 40 {
            value = 1 << exponent
        } else if parts.count == 1, let number = Int(argument), number <= 1 << 40 {
            value = number
        } else {
            return nil
        }
    }

    var defaultValueDescription: String {
        value.nonzeroBitCount == 1 && value > 1 ? "2^\(value.trailingZeroBitCount)" : "\(value)"
    }
}

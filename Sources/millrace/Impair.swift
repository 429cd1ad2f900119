/// `millrace impair`: a UDP proxy that does to datagrams what a poor link would.

import ArgumentParser
import MillraceBase
import MillraceLink
import MillraceLoop
import MillraceNode

struct Impair: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract:
            "Put a poor link between UDP programs: rate, queue, delay, jitter, loss, reordering, duplicates, errors.",
        discussion: """
            A link is written rate=25,rtt=100,loss=1%,burst=3,queue=100ms,jitter=2 (Mbit/s, ms), or as the name of a profile \
            (\(LinkProfile.all.map(\.name).joined(separator: ", "))), or both: dsl-25,loss=2%, or with a recorded rate: \
            trace:FILE.mm,rtt=60 (also .rate). All keys: \
            \(LinkParameters.keys.joined(separator: ", ")) (Protocol-Spec, chapter 80). All routes and clients share one \
            link each way, as the devices of a household do.
            """)

    @Option(help: "Where clients send, such as 127.0.0.1:9000; port 0 takes a free one.") var listen: String?
    @Option(help: "Where their datagrams go, such as 127.0.0.1:9001.") var upstream: String?
    @Option(help: "LISTEN=UPSTREAM; may be given many times, instead of --listen and --upstream.") var route:
        [String] = []
    @Option(help: "The link both ways; a profile gives each direction its own settings.") var link: String?
    @Option(help: "The link from clients to the upstream (default: --link, or none).") var up: String?
    @Option(help: "The link back.") var down: String?
    @Option(help: "Equal seeds lose the same datagrams.") var seed: UInt64 = 1
    @Option(help: "Which of the lines that share the seed; a simulated node's line has the node's number.")
    var line: UInt64 = 0
    @Option(help: "Microseconds within which arrivals leave together; smaller costs more CPU.")
    var granularity: Int64 = 500
    @Option(help: "Clients served at a time.") var clientsMax = 256
    @Option(help: "Report every so many seconds.") var statsEvery: Double?
    @OptionGroup var status: StatusOptions

    func validate() throws {
        if let statsEvery, !(statsEvery >= 0.01 && statsEvery <= 86_400) {
            throw ValidationError("--stats-every must be between 0.01 and 86400 seconds.")
        }
        guard (1...1_000_000).contains(granularity) else {
            throw ValidationError("--granularity must be between 1 and 1000000 microseconds.")
        }
        guard (1...10_000).contains(clientsMax) else {
            throw ValidationError("--clients-max must be between 1 and 10000.")
        }
    }

    func run() throws {
        var options = ImpairOptions(routes: try routes())
        options.up = try parameters(up ?? link ?? "none", .up)
        options.down = try parameters(down ?? link ?? "none", .down)
        options.seed = Seed(seed)
        options.line = line
        options.granularity = .microseconds(granularity)
        options.clientsMax = clientsMax
        let seconds = statsEvery ?? (status.statusLines ? 0.5 : nil)
        do {
            try ImpairProcess(
                options, status.lines, every: seconds.map { .microseconds(Int64($0 * 1e6)) }
            ).run()
        } catch let error as LoopError {
            throw Failure(.failed, error.description)
        }
    }

    private func routes() throws -> [ImpairOptions.Route] {
        var texts = route.map { text -> (String, String, String) in
            let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            return ("--route \(text)", String(parts[0]), parts.count == 2 ? String(parts[1]) : "")
        }
        if listen != nil || upstream != nil {
            guard let listen, let upstream else {
                throw Failure(.usage, "--listen and --upstream go together.")
            }
            texts.insert(("--listen \(listen) --upstream \(upstream)", listen, upstream), at: 0)
        }
        guard !texts.isEmpty else {
            throw Failure(.usage, "give --listen and --upstream, or one --route LISTEN=UPSTREAM or more")
        }
        guard texts.count <= 64 else { throw Failure(.usage, "at most 64 routes, not \(texts.count)") }
        return try texts.map { option, listen, upstream in
            guard let from = PeerAddress(listen), let to = PeerAddress(upstream), to.port != 0 else {
                throw Failure(
                    .usage,
                    "\(option): addresses are written 127.0.0.1:9000 or [::1]:9000, a route 127.0.0.1:0=127.0.0.1:9001"
                )
            }
            return ImpairOptions.Route(listen: from, upstream: to)
        }
    }

    private func parameters(_ text: String, _ direction: LinkDirection) throws -> LinkParameters {
        do {
            return try LinkText.parse(text, direction: direction, files: LinkFiles.read)
        } catch {
            throw Failure(.usage, error.description)
        }
    }
}

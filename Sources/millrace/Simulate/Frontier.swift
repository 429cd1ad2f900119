/// `millrace frontier`: the slowest link that keeps up, over a grid of losses, bursts and round trips.

import ArgumentParser
import Dispatch
import Foundation
import MillraceBase
import MillraceLink
import MillraceRecording
import MillraceSim
import MillraceWorkload
import Synchronization

struct FrontierCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "frontier",
        abstract: "Find the slowest link that keeps up, for each loss, burst and round trip.",
        discussion: """
            Every cell is found by bisection over whole simulated runs (network fidelity: the real protocol, payloads by their \
            sizes) and confirmed with a second seed. The floor is what the stream alone needs when a share p of it is \
            lost and sent again: R/(1-p); efficiency is the floor over the rate found. The link has the same settings both \
            ways. With coarser cadences the replica follows that one alone: windows of 0.1 (c1), 1 (c2) or 10 s (c3), of which \
            one keeps up while the next is being sealed. Equal seeds give equal answers, with any number of threads.
            """)

    @Option(help: "Workload: swap, erc20, mixed or idle, with parameters if wanted (swap?zipf=0.9).")
    var workload = "swap"
    @Option(help: "Transactions per second.") var tps: Int?
    @Option(help: "Round trips in ms, separated by commas.") var rttMs = "20,100,300"
    @Option(help: "Shares of datagrams lost, separated by commas (0.01, or 1%).") var loss =
        "0,0.01,0.02,0.05"
    @Option(help: "Mean numbers of datagrams lost in a row, separated by commas.") var burst = "1,3"
    @Option(help: "Cadences that the replica follows, separated by commas: c0 to c3.") var cadence = "c0"
    @Option(help: "The queue before the link's rate: a time (100ms) or bytes (65536, 64KB).")
    var queue = "100ms"
    @Option(help: "Parity shreds per slice.") var parity = 4
    @Option(help: "Seconds of stream in every run.") var seconds = 20
    @Option(help: "How close the answer is, as a share (0.02, or 2%).") var resolution = "2%"
    @Flag(help: "A replica that stalls and comes back counts as keeping up.") var allowStalls = false
    @Option(help: "Equal seeds give equal answers.") var seed: UInt64 = 1
    @Option(help: "Cells searched at once (default: the machine's processors).") var jobs: Int?
    @Option(help: "Write the heat map as one self-contained HTML page.") var report: String?
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(5...3_600).contains(seconds) { throw ValidationError("--seconds must be 5 to 3600.") }
        if !(0...16).contains(parity) { throw ValidationError("--parity must be 0 to 16.") }
        if let jobs, !(1...1_024).contains(jobs) { throw ValidationError("--jobs must be 1 to 1024.") }
    }

    func run() throws {
        var spec: WorkloadSpec
        do throws(WorkloadError) {
            spec = try WorkloadSpec(workload)
            if let tps { try spec.set("tps", to: String(tps)) }
        } catch { throw Failure(.usage, error.description) }
        var grid: FrontierGrid
        do throws(LinkTextError) {
            grid = try FrontierGrid(
                workload: spec, rttMs: rttMs, loss: loss, burst: burst, queue: queue, cadence: cadence)
        } catch { throw Failure(.usage, error.description) }
        grid.seconds = seconds
        grid.parityCount = parity
        grid.seed = seed
        grid.allowsStalls = allowStalls
        grid.resolution = try FrontierCommand.share(resolution)

        let begin = Date()
        let result: FrontierResult
        do throws(WorkloadError) {
            let frontier = Frontier(grid, sizes: try measureSizes(spec, windows: grid.hasWindows))
            let found = try FrontierCommand.search(
                frontier, jobs: jobs ?? ProcessInfo.processInfo.activeProcessorCount)
            result = frontier.result(found, wallSeconds: Date().timeIntervalSince(begin))
        } catch { throw Failure(.failed, error.description) }
        if let report {
            let command = Page.shell(["millrace"] + CommandLine.arguments.dropFirst())
            try writePage(FrontierPage(result, command: command).html, to: report)
        }
        output.result(result.json, result.text)
    }

    /// Every cell, several at once; each has its place in the answer, whoever found it.
    private static func search(_ frontier: Frontier, jobs: Int) throws(WorkloadError) -> [FrontierCell] {
        struct Shared {
            var next = 0
            var runs: UInt64 = 0
            var cells: [Result<FrontierCell, WorkloadError>?]
            var progress: Progress
        }
        let shared = Mutex(
            Shared(
                cells: Array(repeating: nil, count: frontier.count),
                progress: Progress("runs over \(frontier.count) cells")))
        DispatchQueue.concurrentPerform(iterations: min(jobs, frontier.count)) { _ in
            while true {
                let index = shared.withLock { all -> Int in
                    defer { all.next += 1 }
                    return all.next
                }
                if index >= frontier.count { return }
                let cell = Result { () throws(WorkloadError) -> FrontierCell in
                    try frontier.search(index) {
                        shared.withLock {
                            $0.runs += 1
                            $0.progress.update($0.runs)
                        }
                    }
                }
                shared.withLock { $0.cells[index] = cell }
            }
        }
        var found: [FrontierCell] = []
        for case .some(let cell) in shared.withLock({ all in
            all.progress.end()
            return all.cells
        }) {
            found.append(try cell.get())
        }
        return found
    }

    private static func share(_ text: String) throws -> Double {
        let isPercent = text.hasSuffix("%")
        guard let number = Double(isPercent ? String(text.dropLast()) : text),
            (0.001...0.5).contains(isPercent ? number / 100 : number)
        else {
            throw Failure(.usage, "--resolution \(text) is not a share from 0.001 to 0.5 (0.02, or 2%)")
        }
        return isPercent ? number / 100 : number
    }
}

/// Writes a page beside its name and renames it when whole.
func writePage(_ html: String, to path: String) throws {
    try reportingFiles {
        let file = try TextOutput(path: path)
        try file.write(html)
        try file.commit()
    }
}

/// A frontier as one page: the heat map, the figures behind it, and how to get it again.

import MillraceBase
import MillraceWorkload

public struct FrontierPage {
    let result: FrontierResult
    let command: String

    /// `command` as typed, to be run again.
    public init(_ result: FrontierResult, command: String) {
        self.result = result
        self.command = command
    }

    public var html: String {
        Page(title: "The slowest link that keeps up", body: body, style: Page.drawingStyle).html
    }

    private var body: String {
        let grid = result.grid
        let passes = grid.allowsStalls ? "keeps up, with stalls or without" : "keeps up without a stall"
        var out = "<h1>The slowest link that keeps up</h1>\n<p class=\"lead\">"
        out += "\(Page.grouped(UInt64(grid.workload.transactionsPerSecond))) transactions a second "
        out +=
            "(\(Page.escape(grid.workload.kind.rawValue))), sealed every 10 ms and sent as they are sealed (cadence c0)"
        if grid.hasWindows { out += ", or fetched as windows of 0.1, 1 or 10 s (c1 to c3)" }
        out += ". Each cell is the slowest line, in Mbit/s, on which a replica \(passes). "
        out +=
            "The efficiency is the floor over that rate: what the stream alone needs when a share p of it is "
        out += "lost and sent again, R/(1−p).</p>\n"
        out += "<div class=\"figures\">\n"
        out += Page.figure(
            Page.fixed(result.streamMbitPerSec, 2), "Mbit/s",
            "R: the stream on the wire at \(grid.cadences[0]), without parity")
        let found = result.cells.filter { $0.minMbitPerSec != nil }
        if let best = found.min(by: { ($0.minMbitPerSec ?? 0) < ($1.minMbitPerSec ?? 0) }) {
            out += Page.figure(Page.fixed(best.minMbitPerSec ?? 0, 1), "Mbit/s", "the easiest: \(name(best))")
        }
        if let worst = found.max(by: { ($0.minMbitPerSec ?? 0) < ($1.minMbitPerSec ?? 0) }) {
            out += Page.figure(
                Page.fixed(worst.minMbitPerSec ?? 0, 1), "Mbit/s", "the hardest: \(name(worst))")
        }
        let efficiencies = found.compactMap(\.efficiency).sorted()
        if !efficiencies.isEmpty {
            out += Page.figure(
                Page.fixed(efficiencies[efficiencies.count / 2] * 100, 0), "%",
                "the median efficiency; 100 % is the floor")
        }
        out += "</div>\n<section>\n" + HeatMap(result).html + "</section>\n"
        out += failures
        out += "<section>\n<h2>The figures</h2>\n<p>Lags are of the run at the rate found. Found to within "
        out += "\(Page.percent(grid.resolution)), each with two seeds.</p>\n" + table + "</section>\n"
        out += "<section>\n<h2>How it was asked</h2>\n<dl>\n"
        out += "<dt>workload</dt><dd>\(Page.escape(grid.workload.text))</dd>\n"
        out +=
            "<dt>path</dt><dd>sequencer, two relays beside it, one replica behind the line; both ways alike, a queue of "
        out += "\(Page.escape(grid.queue)) before the rate</dd>\n"
        out += "<dt>parity</dt><dd>\(grid.parityCount) shreds per slice made by the sequencer</dd>\n"
        out +=
            "<dt>runs</dt><dd>\(result.runs), each of \(grid.seconds) s of stream or ten windows, at network fidelity</dd>\n"
        out += "<dt>seed</dt><dd>\(grid.seed), and \(grid.seed &+ 1) to confirm</dd>\n"
        out += "<dt>trace hash</dt><dd>\(result.traceHash.text)</dd>\n</dl>\n"
        return out + "<pre>\(Page.escape(command))</pre>\n</section>\n"
    }

    private func name(_ cell: FrontierCell) -> String {
        let rtt = (result.grid.hasWindows ? "\(cell.cadence), " : "") + JSON.number(cell.rttMs).text()
        if cell.loss == 0 { return "\(rtt) ms, no loss" }
        let burst = cell.burst > 1 ? " in bursts of \(JSON.number(cell.burst).text())" : ""
        return "\(rtt) ms, \(Page.percent(cell.loss)) lost\(burst)"
    }

    private var failures: String {
        let failed = result.cells.filter { $0.minMbitPerSec == nil }
        if failed.isEmpty { return "" }
        var out = "<section>\n<h2>Where nothing keeps up</h2>\n<dl>\n"
        for cell in failed {
            out += "<dt>\(Page.escape(name(cell)))</dt><dd>\(Page.escape(cell.why ?? ""))</dd>\n"
        }
        return out + "</dl>\n</section>\n"
    }

    private var table: String {
        let head = [
            "line", "Mbit/s", "floor", "efficiency", "lag p50, ms", "p99, ms", "runs",
        ]
        // What a burst means nothing to stands here once.
        let rows = result.cells.filter { $0.runs > 0 }.map { cell -> [String] in
            [
                name(cell), cell.minMbitPerSec.map { Page.fixed($0, 2) } ?? "none",
                Page.fixed(cell.floorMbitPerSec, 2),
                cell.efficiency.map { Page.fixed($0, 2) } ?? "–", Page.fixed(cell.lagMsP50, 1),
                Page.fixed(cell.lagMsP99, 1), String(cell.runs),
            ]
        }
        return Page.table(head, rows)
    }
}

/// A frontier as the JSON object of `millrace frontier --json` (Protocol-Spec/cli.md), and as a table for a terminal.

public import MillraceBase
import MillraceWorkload

extension FrontierResult {
    public var json: JSON {
        .object([
            ("workload", .string(grid.workload.text)), ("seconds", .integer(Int64(grid.seconds))),
            ("resolution", .number(grid.resolution, decimals: 6)),
            ("parity", .integer(Int64(grid.parityCount))), ("queue", .string(grid.queue)),
            ("allowStalls", .bool(grid.allowsStalls)), ("fidelity", .string(Fidelity.network.rawValue)),
            ("seed", .unsigned(grid.seed)), ("traceHash", .string(traceHash.text)),
            ("streamMbitPerSec", .number(streamMbitPerSec)), ("runs", .integer(Int64(runs))),
            ("wallSeconds", .number(wallSeconds)), ("cells", .array(cells.map(\.json))),
        ])
    }

    /// One table per burst: loss down, round trip across.
    public var text: String {
        var lines = [
            "the slowest link that keeps up, Mbit/s, and in brackets its efficiency: the floor over it",
            "stream \(Page.fixed(streamMbitPerSec, 2)) Mbit/s on the wire at \(grid.cadences[0]), "
                + "\(grid.parityCount) parity shreds, queue \(grid.queue), \(grid.seconds) s a run, "
                + "seeds \(grid.seed) and \(grid.seed &+ 1)",
        ]
        for (b, panel) in grid.panels.enumerated() {
            lines.append("")
            lines.append(panel.title(grid))
            var rows = [["loss"] + grid.rttMs.map { "\($0.text) ms" } + ["floor"]]
            for (l, loss) in grid.loss.enumerated() {
                let row = grid.rttMs.indices.map { cells[(b * grid.loss.count + l) * grid.rttMs.count + $0] }
                let floor = row.first.map { Page.fixed($0.floorMbitPerSec, 2) } ?? ""
                rows.append(["\(Page.percent(loss.number))"] + row.map(\.text) + [floor])
            }
            let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
            for row in rows {
                lines.append(
                    "  "
                        + zip(row, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 }
                        .joined(separator: "   "))
            }
        }
        for cell in cells { if let why = cell.why { lines.append("  \(cell.link): \(why)") } }
        lines.append("")
        lines.append("\(runs) runs in \(Page.fixed(wallSeconds, 1)) s, trace \(traceHash.text)")
        return lines.joined(separator: "\n")
    }
}

extension FrontierCell {
    var text: String {
        guard let minMbitPerSec, let efficiency else { return "none" }
        return "\(Page.fixed(minMbitPerSec, 2)) (\(Page.fixed(efficiency, 2)))"
    }

    var json: JSON {
        var fields: [(String, JSON)] = [
            ("rttMs", .number(rttMs, decimals: 6)), ("loss", .number(loss, decimals: 9)),
            ("burst", .number(burst)), ("cadence", .string("\(cadence)")),
            ("minMbitPerSec", minMbitPerSec.map { .number($0) } ?? .null),
            ("floorMbitPerSec", .number(floorMbitPerSec)),
            ("efficiency", efficiency.map { .number($0) } ?? .null),
            ("link", .string(link)), ("lagMsP50", .number(lagMsP50)), ("lagMsP99", .number(lagMsP99)),
            ("runs", .integer(Int64(runs))), ("traceHash", .string(traceHash.text)),
        ]
        if let why { fields.append(("why", .string(why))) }
        return .object(fields)
    }
}

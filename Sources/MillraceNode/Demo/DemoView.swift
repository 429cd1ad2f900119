/// What the demo shows while it runs: a table redrawn in place on a terminal, one line a second elsewhere. Writes to
/// stderr, so that `--json` leaves stdout to the result.

import Foundation

struct DemoView {
    struct Row {
        var name: String
        var role: String
        var height: UInt64 = 0
        var lagMs: Double?
        /// Of a replica.
        var cadence: String?
        var receivedMbitPerSec = 0.0
        var sentMbitPerSec = 0.0
        var repaired: UInt64 = 0
        var cpuPercent = 0.0
        var note = ""
    }

    let isTerminal: Bool
    let quiet: Bool
    private var drawnLines = 0
    private var lastPlainLine = Date.distantPast

    init(quiet: Bool) {
        self.quiet = quiet
        isTerminal = isatty(STDERR_FILENO) == 1 && ProcessInfo.processInfo.environment["TERM"] != "dumb"
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }

    func line(_ text: String) {
        if !quiet { write(text + "\n") }
    }

    mutating func erase() {
        if drawnLines > 0 { write("\u{1B}[\(drawnLines)A\u{1B}[J") }
        drawnLines = 0
    }

    mutating func draw(second: Double, of seconds: Double, tps: Double, rows: [Row]) {
        guard !quiet else { return }
        if isTerminal {
            let lines = table(second: second, of: seconds, tps: tps, rows: rows)
            erase()
            write(lines.joined(separator: "\n") + "\n")
            drawnLines = lines.count
        } else if Date().timeIntervalSince(lastPlainLine) >= 1 {
            lastPlainLine = Date()
            let parts = rows.filter { $0.role == "replica" }.map { row in
                "\(row.name) \(row.height) \(row.cadence ?? "") \(row.lagMs.map { "lag \(pad($0, 0)) ms" } ?? "waiting")"
                    + " \(pad(row.receivedMbitPerSec, 1)) Mbit/s"
            }
            write("\(pad(second, 0)) s  " + parts.joined(separator: " | ") + "\n")
        }
    }

    private func table(second: Double, of seconds: Double, tps: Double, rows: [Row]) -> [String] {
        let width = 40
        let done = seconds > 0 ? min(width, max(0, Int(second / seconds * Double(width)))) : 0
        let bar = String(repeating: "█", count: done) + String(repeating: "░", count: width - done)
        var lines = [
            "  \(bar)  \(pad(second, 1)) of \(pad(seconds, 0)) s, \(Int(tps.rounded())) tx/s",
            "",
            "  node         role        height  cadence    lag ms   in Mbit/s  out Mbit/s  repaired   CPU %",
        ]
        for row in rows {
            lines.append(
                "  \(left(row.name, 12)) \(left(row.role, 9)) \(right(String(row.height), 8)) "
                    + "\(right(row.cadence ?? "·", 8)) "
                    + "\(right(row.lagMs.map { pad($0, 1) } ?? "·", 9)) \(right(pad(row.receivedMbitPerSec, 2), 11)) "
                    + "\(right(pad(row.sentMbitPerSec, 2), 11)) \(right(String(row.repaired), 9)) "
                    + "\(right(pad(row.cpuPercent, 0), 7))  \(row.note)")
        }
        return lines
    }

    private func pad(_ value: Double, _ decimals: Int) -> String { String(format: "%.\(decimals)f", value) }
    private func left(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
    private func right(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }
}

/// A line on stderr that is rewritten in place while something long runs: how far, how fast, how long still. Nothing when stderr
/// is not a terminal.

import Foundation

struct Progress {
    let what: String
    let total: UInt64?
    private let isTerminal = isatty(2) == 1
    private let start = Date()
    private var lastShown = Date.distantPast

    init(_ what: String, of total: UInt64? = nil) {
        self.what = what
        self.total = total
    }

    /// Seconds since the beginning.
    var elapsed: Double { Date().timeIntervalSince(start) }

    mutating func update(_ done: UInt64) {
        guard isTerminal else { return }
        let now = Date()
        guard now.timeIntervalSince(lastShown) > 0.2 else { return }
        lastShown = now
        let rate = Double(done) / max(0.001, elapsed)
        var line = "\(what): \(done)"
        if let total { line += " of \(total)" }
        line += ", \(Int(rate)) a second"
        if let total, rate > 0, total > done { line += ", \(Int(Double(total - done) / rate) + 1) s to go" }
        write("\r\u{1B}[K" + line)
    }

    /// Clears the line.
    func end() {
        if isTerminal { write("\r\u{1B}[K") }
    }

    private func write(_ text: String) { FileHandle.standardError.write(Data(text.utf8)) }
}

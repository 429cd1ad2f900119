/// What a node says of itself: JSON objects, one a line on stdout (`--status-lines`), or only the last one (`--json`), or
/// plain lines on stderr. Protocol-Spec/cli.md lists the fields.

import Foundation
public import MillraceBase
import MillraceLoop

public struct StatusLines: Sendable {
    public enum Mode: Sendable {
        /// Every object, as it comes: for programs that watch.
        case lines
        /// The final object alone.
        case final
        /// Sentences for people.
        case plain
    }

    public let mode: Mode

    public init(_ mode: Mode) { self.mode = mode }

    /// Prints an object `{"event": event, …fields, "cpuSeconds", "peakMemoryMiB"}`; `sentence` is its plain form.
    public func report(
        _ event: String, _ fields: [(String, JSON)], plain sentence: @autoclosure () -> String?
    ) {
        switch mode {
        case .lines: print(event, fields)
        case .final:
            if event == "final" { print(event, fields) }
        case .plain:
            if let sentence = sentence() { FileHandle.standardError.write(Data((sentence + "\n").utf8)) }
        }
    }

    private func print(_ event: String, _ fields: [(String, JSON)]) {
        let all = [("event", JSON.string(event))] + fields + StatusLines.resources
        FileHandle.standardOutput.write(Data((JSON.object(all).text() + "\n").utf8))
    }

    /// CPU time of this process so far and its largest resident size.
    public static var resources: [(String, JSON)] {
        [
            ("cpuSeconds", .number(processorSeconds, decimals: 4)),
            ("peakMemoryMiB", peakKibibytes.map { .number($0 / 1_024, decimals: 1) } ?? .null),
        ]
    }

    /// What this process has taken of processors so far, user and system time of all threads.
    public static var processorSeconds: Double {
        var usage = rusage()
        getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
        return Double(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec)
            + Double(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6
    }

    /// `VmHWM` of this program. (`ru_maxrss` would also count what the parent held before it started us.)
    public static var peakKibibytes: Double? {
        guard let text = try? String(contentsOfFile: "/proc/self/status", encoding: .utf8) else { return nil }
        let line = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(separator: " ").dropFirst().first.flatMap { Double($0) }
    }
}

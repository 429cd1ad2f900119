/// One of the demo's processes: started from this very binary, heard through its status lines, ended for certain.
///
/// A child writes one JSON object a line on stdout (`--status-lines`, Protocol-Spec/cli.md) and its log on stderr, which
/// goes to a file so that it can be shown when the child fails. Lines arrive on a thread of Foundation's; they are kept in
/// a bounded list under a lock and taken by the demo's own thread with `lines()`.

import Foundation

final class ChildProcess {
    /// Lines not yet taken; a child that floods loses the oldest (its totals come with the last line).
    static let pendingLinesMax = 4_096
    static let lineBytesMax = 1 << 20

    let name: String
    let role: String
    private let process = Process()
    private let output = Pipe()
    private let logPath: String
    private let inbox = Inbox()

    /// What the reading thread and the demo's thread share.
    private final class Inbox: @unchecked Sendable {
        private let lock = NSLock()
        private var partial = Data()
        private var lines: [Data] = []

        func add(_ data: Data) {
            lock.withLock {
                partial.append(data)
                while let end = partial.firstIndex(of: 10) {
                    lines.append(Data(partial[partial.startIndex..<end]))
                    partial = Data(partial[partial.index(after: end)...])
                }
                if partial.count > ChildProcess.lineBytesMax { partial = Data() }
                if lines.count > ChildProcess.pendingLinesMax {
                    lines.removeFirst(lines.count - ChildProcess.pendingLinesMax)
                }
            }
        }

        func take() -> [Data] {
            lock.withLock {
                defer { lines = [] }
                return lines
            }
        }
    }

    init(name: String, role: String, executable: URL, arguments: [String], folder: URL) throws {
        self.name = name
        self.role = role
        logPath = folder.appendingPathComponent("\(name).log").path
        guard FileManager.default.createFile(atPath: logPath, contents: nil),
            let log = FileHandle(forWritingAtPath: logPath)
        else { throw DemoError("cannot write \(logPath)") }
        process.executableURL = executable
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = output
        process.standardError = log
        let inbox = inbox
        output.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            if data.isEmpty { handle.readabilityHandler = nil } else { inbox.add(data) }
        }
        do { try process.run() } catch { throw DemoError("cannot start \(executable.path): \(error)") }
    }

    var isRunning: Bool { process.isRunning }
    var processID: Int32 { process.processIdentifier }
    /// The exit status once it has ended; nil while it runs.
    var exitStatus: Int32? { process.isRunning ? nil : process.terminationStatus }

    /// The status objects that have arrived since the last call. Lines that are not JSON objects are skipped.
    func lines() -> [[String: Any]] {
        inbox.take().compactMap { try? JSONSerialization.jsonObject(with: $0) as? [String: Any] }
    }

    /// Lets the other processes go first when there are fewer cores than work.
    func giveWay() {
        setpriority(__priority_which_t(PRIO_PROCESS.rawValue), id_t(process.processIdentifier), 5)
    }

    func signal(_ number: Int32) {
        if process.isRunning { kill(process.processIdentifier, number) }
    }

    /// Asks it to end, and makes it end when it has not within `seconds`.
    func stop(within seconds: Double = 3) {
        signal(SIGTERM)
        let deadline = Date().addingTimeInterval(seconds)
        while process.isRunning && Date() < deadline { Thread.sleep(forTimeInterval: 0.02) }
        signal(SIGKILL)
    }

    /// The last lines of its log.
    func logTail(lines count: Int = 5) -> String {
        guard let data = FileManager.default.contents(atPath: logPath) else { return "" }
        return String(decoding: data.suffix(4_096), as: UTF8.self)
            .split(separator: "\n").suffix(count).joined(separator: "\n")
    }
}

/// Why the demo could not run, as one sentence.
public struct DemoError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

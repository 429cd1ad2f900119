/// Lines to a file that appears when whole, or to standard output.

import Glibc

public final class TextOutput {
    private let file: OutputFile?
    private var pending: [UInt8] = []

    /// Nil or `-` is standard output.
    public init(path: String?) throws(RecordingError) {
        file = path == nil || path == "-" ? nil : try OutputFile(path: path ?? "")
    }

    public func write(_ line: String) throws(RecordingError) {
        if let file {
            try file.write(line.utf8)
            return
        }
        pending.append(contentsOf: line.utf8)
        if pending.count >= 1 << 16 { try flush() }
    }

    private func flush() throws(RecordingError) {
        var done = 0
        while done < pending.count {
            let count = pending.withUnsafeBytes { all -> Int in
                guard let base = all.baseAddress else { return 0 }
                return Glibc.write(1, base + done, all.count - done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw .system("write", "standard output")
            }
            done += count
        }
        pending.removeAll(keepingCapacity: true)
    }

    public func commit() throws(RecordingError) {
        if let file { try file.commit() } else { try flush() }
    }
}

/// A file that appears whole or not at all: bytes go to a temporary file beside the target, `commit()` flushes it to
/// disk and renames it over. Dropped without a commit, the temporary file is removed. Writes are gathered to 256 KiB.

import Glibc

public final class OutputFile {
    private enum State {
        case open(descriptor: Int32, temporary: String?)
        case closed
    }

    private var state: State
    private var pending: [UInt8] = []
    private static let pendingBytesMax = 256 * 1_024

    /// As the user named it.
    public let path: String
    /// Bytes handed over so far; for a file opened for appending, counted from its beginning.
    public private(set) var byteCount: UInt64

    /// Opens a temporary file in the target's folder.
    public init(path: String) throws(RecordingError) {
        self.path = path
        byteCount = 0
        state = .closed
        let temporary = "\(path).\(getpid()).tmp"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system("write", path) }
        state = .open(descriptor: descriptor, temporary: temporary)
        pending.reserveCapacity(OutputFile.pendingBytesMax + 4_096)
    }

    /// Opens the target itself for writing on from `byteCount`; what lies behind is cut off. What is written stays, commit or
    /// not: for files whose readers know a torn tail.
    public init(path: String, continuingAt byteCount: UInt64) throws(RecordingError) {
        self.path = path
        self.byteCount = byteCount
        state = .closed
        let descriptor = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else { throw .system("write", path) }
        state = .open(descriptor: descriptor, temporary: nil)
        guard ftruncate(descriptor, off_t(clamping: byteCount)) == 0,
            lseek(descriptor, off_t(clamping: byteCount), SEEK_SET) >= 0
        else {
            let error = RecordingError.system("write", path)
            close(descriptor)
            state = .closed
            throw error
        }
    }

    deinit {
        guard case .open(let descriptor, let temporary) = state else { return }
        close(descriptor)
        if let temporary { unlink(temporary) }
    }

    public func write(_ bytes: some Collection<UInt8>) throws(RecordingError) {
        pending.append(contentsOf: bytes)
        byteCount += UInt64(bytes.count)
        if pending.count >= OutputFile.pendingBytesMax { try flush() }
    }

    /// Hands everything to the operating system.
    public func flush() throws(RecordingError) {
        guard case .open(let descriptor, _) = state else { return }
        var done = 0
        while done < pending.count {
            let count = pending.withUnsafeBytes { all -> Int in
                guard let base = all.baseAddress else { return 0 }
                return Glibc.write(descriptor, base + done, all.count - done)
            }
            if count < 0 {
                if errno == EINTR { continue }
                throw .system("write", path)
            }
            done += count
        }
        pending.removeAll(keepingCapacity: true)
    }

    /// Flushes to disk and puts the file in its place.
    public func commit() throws(RecordingError) {
        try flush()
        guard case .open(let descriptor, let temporary) = state else { return }
        guard fsync(descriptor) == 0 else { throw .system("write", path) }
        close(descriptor)
        state = .closed
        if let temporary, rename(temporary, path) != 0 {
            let error = RecordingError.system("write", path)
            unlink(temporary)
            throw error
        }
    }
}

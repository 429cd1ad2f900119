/// Where a recording's bytes come from: a file, read at positions, or an array (tests, fuzzing). Reads are exact or
/// say how much there was; errors of the operating system become one sentence.

import Glibc

final class ByteSource {
    private enum Storage {
        case file(Int32)
        case bytes([UInt8])
    }

    private let storage: Storage
    /// As the user named it; first in every message.
    let name: String
    let byteCount: UInt64

    init(path: String) throws(RecordingError) {
        name = path
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system("open", path) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else {
            let error = RecordingError.system("look at", path)
            close(descriptor)
            throw error
        }
        guard status.st_mode & S_IFMT == S_IFREG else {
            close(descriptor)
            throw RecordingError(.io, "\(path): a recording must be a regular file")
        }
        byteCount = UInt64(max(0, status.st_size))
        storage = .file(descriptor)
    }

    init(bytes: [UInt8], name: String) {
        self.name = name
        byteCount = UInt64(bytes.count)
        storage = .bytes(bytes)
    }

    deinit {
        if case .file(let descriptor) = storage { close(descriptor) }
    }

    /// Fills `buffer` from `offset` on; returns how many bytes there were.
    func read(into buffer: UnsafeMutableRawBufferPointer, at offset: UInt64) throws(RecordingError) -> Int {
        switch storage {
        case .bytes(let bytes):
            guard offset < byteCount else { return 0 }
            let start = Int(offset)
            let count = min(buffer.count, bytes.count - start)
            bytes.withUnsafeBytes { all in
                buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: all[start..<(start + count)]))
            }
            return count
        case .file(let descriptor):
            var done = 0
            while done < buffer.count {
                guard let base = buffer.baseAddress else { return done }
                let position = off_t(clamping: offset &+ UInt64(done))
                let count = pread(descriptor, base + done, buffer.count - done, position)
                if count < 0 {
                    if errno == EINTR { continue }
                    throw .system("read", name)
                }
                if count == 0 { break }
                done += count
            }
            return done
        }
    }
}

extension RecordingError {
    /// `errno` as a sentence: "x.mill: cannot open: No such file or directory".
    static func system(_ action: String, _ path: String) -> RecordingError {
        RecordingError(.io, "\(path): cannot \(action): \(String(cString: strerror(errno)))")
    }
}

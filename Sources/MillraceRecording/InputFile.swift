/// An input file as a stream of plain bytes: zstd, gzip or neither, told by its first bytes, never by its name. Several
/// frames or members one after another read as one stream. Memory is bounded whatever the input says: one chunk of
/// input, one of output, and the decompressor's window (zstd: at most 128 MiB, larger is refused).

import CZlib
import CZstd
import Glibc

public final class InputFile {
    public enum Compression: String, Sendable {
        case none
        case gzip
        case zstd
    }

    private enum Decoder {
        case none
        case gzip(UnsafeMutablePointer<z_stream>)
        case zstd(OpaquePointer)
    }

    /// Bytes handed out per `read` at most.
    public static let chunkBytes = 256 * 1_024

    /// As messages name it.
    public let path: String
    public let compression: Compression
    private let descriptor: Int32
    private let decoder: Decoder
    private var input: [UInt8]
    private var inputStart = 0
    private var inputEnd = 0
    private var atInputEnd = false
    /// Inside a frame or member, so that the end of the input now would be a truncation.
    private var inside = false
    private var finished = false

    /// Opens a file; `-` is standard input.
    public init(path named: String) throws(RecordingError) {
        if named == "-" {
            path = "standard input"
            descriptor = 0
        } else {
            path = named
            descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { throw .system("open", path) }
        }
        input = [UInt8](repeating: 0, count: InputFile.chunkBytes)
        // The first bytes decide. A short first read (a pipe) is topped up.
        var count = 0
        while count < 4 {
            let got = try InputFile.readSome(descriptor, &input, from: count, path)
            if got == 0 { break }
            count += got
        }
        inputEnd = count
        let start = input[0..<min(count, 4)]
        if start.elementsEqual([0x28, 0xB5, 0x2F, 0xFD]) || (count >= 4 && isSkippable(start)) {
            guard let context = ZSTD_createDCtx() else { throw RecordingError(.io, "\(path): out of memory") }
            compression = .zstd
            decoder = .zstd(context)
        } else if count >= 3, start.starts(with: [0x1F, 0x8B, 8]) {
            let stream = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
            stream.initialize(to: z_stream())
            // 15 bits of window, 16 more: gzip only.
            guard inflateInit2_(stream, 31, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
                stream.deallocate()
                throw RecordingError(.io, "\(path): out of memory")
            }
            compression = .gzip
            decoder = .gzip(stream)
        } else {
            compression = .none
            decoder = .none
        }
    }

    deinit {
        switch decoder {
        case .none: break
        case .gzip(let stream):
            inflateEnd(stream)
            stream.deallocate()
        case .zstd(let context): ZSTD_freeDCtx(context)
        }
        if descriptor > 0 { close(descriptor) }
    }

    /// Appends the next bytes, at most `chunkBytes` of them; false at the end.
    public func read(appendingTo output: inout [UInt8]) throws(RecordingError) -> Bool {
        let start = output.count
        while output.count == start {
            if finished { return false }
            if inputStart == inputEnd, !atInputEnd {
                inputStart = 0
                inputEnd = try InputFile.readSome(descriptor, &input, from: 0, path)
                atInputEnd = inputEnd == 0
            }
            switch decoder {
            case .none: copy(to: &output)
            case .gzip(let stream): try inflateChunk(stream, to: &output)
            case .zstd(let context): try decompressChunk(context, to: &output)
            }
        }
        return true
    }

    /// The whole of a file's plain bytes, refused beyond `limit`.
    public static func readAll(path: String, limit: Int) throws(RecordingError) -> [UInt8] {
        let file = try InputFile(path: path)
        var bytes: [UInt8] = []
        while try file.read(appendingTo: &bytes) {
            guard bytes.count <= limit else {
                throw RecordingError(.tooLarge, "\(path): more than \(limit) bytes when decompressed")
            }
        }
        return bytes
    }

    private static func readSome(
        _ descriptor: Int32, _ buffer: inout [UInt8], from start: Int, _ path: String
    ) throws(RecordingError) -> Int {
        while true {
            let count = buffer.withUnsafeMutableBytes { all -> Int in
                guard let base = all.baseAddress else { return 0 }
                return Glibc.read(descriptor, base + start, all.count - start)
            }
            if count >= 0 { return count }
            if errno != EINTR { throw .system("read", path) }
        }
    }

    private func copy(to output: inout [UInt8]) {
        output.append(contentsOf: input[inputStart..<inputEnd])
        inputStart = inputEnd
        finished = atInputEnd
    }

    private func decompressChunk(_ context: OpaquePointer, to output: inout [UInt8]) throws(RecordingError) {
        if atInputEnd, inputStart == inputEnd, !inside {
            finished = true
            return
        }
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: InputFile.chunkBytes))
        var consumed = 0
        var produced = 0
        let result = output.withUnsafeMutableBytes { out in
            input.withUnsafeBytes { source -> Int in
                var from = ZSTD_inBuffer(src: source.baseAddress, size: inputEnd, pos: inputStart)
                var to = ZSTD_outBuffer(dst: out.baseAddress, size: out.count, pos: start)
                let result = ZSTD_decompressStream(context, &to, &from)
                (consumed, produced) = (from.pos - inputStart, to.pos - start)
                return result
            }
        }
        output.removeSubrange((start + produced)...)
        inputStart += consumed
        guard ZSTD_isError(result) == 0 else {
            throw RecordingError(
                .compression, "\(path): damaged zstd data: \(String(cString: ZSTD_getErrorName(result)))")
        }
        inside = result != 0
        if consumed == 0, produced == 0, atInputEnd {
            throw RecordingError(.compression, "\(path): the file ends in the middle of a zstd frame")
        }
    }

    private func inflateChunk(
        _ stream: UnsafeMutablePointer<z_stream>, to output: inout [UInt8]
    ) throws(RecordingError) {
        if inputStart == inputEnd, atInputEnd, !inside {
            finished = true
            return
        }
        if !inside {
            inflateReset(stream)
            inside = true
        }
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: InputFile.chunkBytes))
        var consumed = 0
        var produced = 0
        let result = output.withUnsafeMutableBytes { out in
            input.withUnsafeMutableBytes { source -> Int32 in
                let from = source.assumingMemoryBound(to: UInt8.self)
                let to = out.assumingMemoryBound(to: UInt8.self)
                stream.pointee.next_in = from.baseAddress.map { $0 + inputStart }
                stream.pointee.avail_in = UInt32(inputEnd - inputStart)
                stream.pointee.next_out = to.baseAddress.map { $0 + start }
                stream.pointee.avail_out = UInt32(out.count - start)
                let result = inflate(stream, Z_NO_FLUSH)
                consumed = inputEnd - inputStart - Int(stream.pointee.avail_in)
                produced = out.count - start - Int(stream.pointee.avail_out)
                return result
            }
        }
        output.removeSubrange((start + produced)...)
        inputStart += consumed
        switch result {
        case Z_OK, Z_BUF_ERROR: break
        case Z_STREAM_END: inside = false
        default: throw RecordingError(.compression, "\(path): damaged gzip data")
        }
        if consumed == 0, produced == 0, atInputEnd, inside {
            throw RecordingError(.compression, "\(path): the file ends in the middle of a gzip member")
        }
    }
}

/// zstd's skippable frames begin with 0x184D2A50 … 5F, little-endian.
private func isSkippable(_ start: ArraySlice<UInt8>) -> Bool {
    let bytes = Array(start)
    return bytes.count == 4 && bytes[0] & 0xF0 == 0x50 && bytes[1] == 0x2A && bytes[2] == 0x4D
        && bytes[3] == 0x18
}

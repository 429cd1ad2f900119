import Foundation
import MillraceBase
import MillraceRecording
import Testing

@Suite struct InputFileTests {
    /// A file for the length of a test.
    func withFile<R>(_ bytes: [UInt8], _ body: (String) throws -> R) throws -> R {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "millrace-\(UUID().uuidString)"
        ).path
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    static let text = Array(String(repeating: "a line of text, somewhat repetitive\n", count: 12_000).utf8)

    static var zstd: [UInt8] {
        var bytes: [UInt8] = []
        ZstdCompressor(level: 1).append(text, to: &bytes)
        return bytes
    }

    /// gzip of "hello, mill\n", written by hand around a stored block.
    static var gzip: [UInt8] {
        let text = Array("hello, mill\n".utf8)
        var bytes: [UInt8] = [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3, 1]
        bytes.appendLittleEndian(UInt16(text.count))
        bytes.appendLittleEndian(~UInt16(text.count))
        bytes += text
        var crc: UInt32 = .max
        for byte in text {
            crc ^= UInt32(byte)
            for _ in 0..<8 { crc = crc & 1 == 1 ? crc >> 1 ^ 0xEDB8_8320 : crc >> 1 }
        }
        bytes.appendLittleEndian(~crc)
        bytes.appendLittleEndian(UInt32(text.count))
        return bytes
    }

    @Test func `plain, zstd and gzip read the same, several frames as one`() throws {
        let text = InputFileTests.text
        #expect(try withFile(text) { try InputFile.readAll(path: $0, limit: 1 << 30) } == text)
        #expect(try withFile([]) { try InputFile.readAll(path: $0, limit: 10) } == [])
        #expect(try withFile([0x28]) { try InputFile.readAll(path: $0, limit: 10) } == [0x28])
        let zstd = InputFileTests.zstd
        #expect(try withFile(zstd + zstd) { try InputFile.readAll(path: $0, limit: 1 << 30) } == text + text)
        let gzip = InputFileTests.gzip
        let hello = Array("hello, mill\n".utf8)
        #expect(try withFile(gzip + gzip) { try InputFile.readAll(path: $0, limit: 100) } == hello + hello)
        #expect(try withFile(zstd) { try InputFile(path: $0).compression } == .zstd)
        #expect(try withFile(gzip) { try InputFile(path: $0).compression } == .gzip)
    }

    @Test func `a cut or damaged file is refused with its name`() throws {
        for whole in [InputFileTests.zstd, InputFileTests.gzip] {
            for count in stride(from: 4, to: whole.count, by: max(1, whole.count / 15)) {
                try withFile(Array(whole[..<count])) { path in
                    let error = #expect(throws: RecordingError.self, "\(count) bytes") {
                        try InputFile.readAll(path: path, limit: 1 << 30)
                    }
                    #expect(error?.code == .compression)
                    #expect(error?.message.hasPrefix(path) == true)
                }
            }
        }
    }

    @Test func `more than the limit is refused`() throws {
        let error = #expect(throws: RecordingError.self) {
            try withFile(InputFileTests.zstd) { try InputFile.readAll(path: $0, limit: 100_000) }
        }
        #expect(error?.code == .tooLarge)
    }

    @Test func `a file that is not there gets a sentence`() {
        let error = #expect(throws: RecordingError.self) { try InputFile(path: "/nowhere/at/all") }
        #expect(error?.message == "/nowhere/at/all: cannot open: No such file or directory")
    }
}

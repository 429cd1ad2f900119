/// The vector files of `Protocol-Spec/vectors/<area>/<case>.txt`: header lines `name: value`, a blank line, then the
/// bytes as hexadecimal text (white space ignored). One failure per file; the file is named for it.

import Foundation
import MillraceBase

public struct VectorFile: Equatable, Sendable {
    /// The case: the file's name without `.txt`.
    public var name: String
    /// Header lines in order. `expect` and `why` are always there.
    public var fields: [(name: String, value: String)]
    public var bytes: [UInt8]

    public init(name: String, fields: [(name: String, value: String)], bytes: [UInt8]) {
        self.name = name
        self.fields = fields
        self.bytes = bytes
    }

    public static func == (a: VectorFile, b: VectorFile) -> Bool { a.name == b.name && a.text == b.text }

    public subscript(_ field: String) -> String? { fields.first { $0.name == field }?.value }
    public var expect: String { self["expect"] ?? "" }

    /// A header field's hexadecimal bytes.
    public func hex(_ field: String) -> [UInt8]? { self[field].flatMap { Hex.decode($0) } }

    public struct Malformed: Error, CustomStringConvertible {
        public let description: String
    }

    public init(name: String, text: String) throws {
        self.name = name
        fields = []
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        while let line = lines.popFirst(), !line.isEmpty {
            guard let colon = line.firstIndex(of: ":") else {
                throw Malformed(description: "\(name): header line without a colon: \(line)")
            }
            let value = line[line.index(after: colon)...].drop { $0 == " " }
            fields.append((String(line[..<colon]), String(value)))
        }
        let digits = lines.joined().filter { !$0.isWhitespace }
        guard let bytes = Hex.decode(digits) else {
            throw Malformed(description: "\(name): body is not hexadecimal")
        }
        self.bytes = bytes
    }

    /// The file's text: bytes in rows of 32.
    public var text: String {
        var text = ""
        for (name, value) in fields { text += "\(name): \(value)\n" }
        text += "\n"
        var rest = bytes[...]
        while !rest.isEmpty {
            text += Hex.encode(rest.prefix(32)) + "\n"
            rest = rest.dropFirst(32)
        }
        return text
    }

    static func folder(_ area: String) -> URL {
        TestData.packageRoot.appendingPathComponent("Protocol-Spec/vectors/\(area)")
    }

    /// All vectors of an area, sorted by name. Throws when the area has none: a test over nothing asserts nothing.
    public static func all(_ area: String) throws -> [VectorFile] {
        let folder = folder(area)
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.path).filter {
            $0.hasSuffix(".txt")
        }
        if names.isEmpty { throw Malformed(description: "no vectors in \(area)") }
        return try names.sorted().map { name in
            let text = try String(contentsOf: folder.appendingPathComponent(name), encoding: .utf8)
            return try VectorFile(name: String(name.dropLast(4)), text: text)
        }
    }

    /// True when this run is to write vectors (`make vectors`) instead of only reading them.
    public static var isWriting: Bool { ProcessInfo.processInfo.environment["MILLRACE_WRITE_VECTORS"] == "1" }

    /// Writes the file into its area.
    public func write(area: String) throws {
        let folder = VectorFile.folder(area)
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        try text.write(to: folder.appendingPathComponent(name + ".txt"), atomically: true, encoding: .utf8)
    }
}

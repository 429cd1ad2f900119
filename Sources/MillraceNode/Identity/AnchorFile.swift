/// Peers worth asking first after a restart (Spec 65.7, rule 6), in a text file beside the identity: one record a line, in
/// hexadecimal digits, with the peer as people write it behind.
///
///     millrace anchors 1
///     0100…3f  mill://kjx…@192.0.2.7:9700
///
/// The file is a convenience and not trusted: records are checked for form here and for their signatures by the core. What
/// cannot be read is told, and the node starts without it. Written beside its name and renamed over.

import Foundation
import MillraceBase
public import MillraceWire

public struct AnchorFile: Sendable {
    static let heading = "millrace anchors 1"
    /// Eight records of 328 digits and their names fit a twentieth of it.
    static let bytesMax = 64 * 1_024
    /// More lines than a node writes are not read.
    static let recordsMax = 64

    public enum Failure: Error, Equatable, CustomStringConvertible {
        case unreadable(path: String)
        case tooLarge(path: String)
        case notAnchors(path: String)
        case badLine(path: String, line: Int, why: String)
        case unwritable(path: String, why: String)

        public var description: String {
            switch self {
            case .unreadable(let path): "\(path): cannot be read"
            case .tooLarge(let path):
                "\(path): larger than \(AnchorFile.bytesMax) bytes, so it holds no anchors"
            case .notAnchors(let path):
                "\(path): does not begin with \"\(AnchorFile.heading)\", so it holds no anchors"
            case .badLine(let path, let line, let why): "\(path):\(line): \(why)"
            case .unwritable(let path, let why): "\(path): cannot be written: \(why)"
            }
        }
    }

    public let path: String
    public init(path: String) { self.path = path }

    /// The records in the file; none when there is no file.
    public func load() throws(Failure) -> [PeerRecord] {
        guard FileManager.default.fileExists(atPath: path) else { return [] }
        guard let handle = FileHandle(forReadingAtPath: path) else { throw .unreadable(path: path) }
        defer { try? handle.close() }
        guard let data = try? handle.read(upToCount: AnchorFile.bytesMax + 1) else {
            throw .unreadable(path: path)
        }
        guard data.count <= AnchorFile.bytesMax else { throw .tooLarge(path: path) }
        let lines = String(decoding: data, as: UTF8.self).split(
            separator: "\n", omittingEmptySubsequences: false)
        guard lines.first.map(String.init) == AnchorFile.heading else { throw .notAnchors(path: path) }
        var records: [PeerRecord] = []
        for (number, line) in lines.enumerated().dropFirst() where !line.isEmpty {
            guard records.count < AnchorFile.recordsMax else { break }
            let digits = line.split(separator: " ").first ?? ""
            guard let bytes = Hex.decode(digits) else {
                throw .badLine(path: path, line: number + 1, why: "a record is hexadecimal digits")
            }
            do throws(WireError) {
                records.append(try PeerRecord.decode(bytes.span.bytes))
            } catch {
                throw .badLine(path: path, line: number + 1, why: "not a peer record (\(error.rawValue))")
            }
        }
        return records
    }

    /// Replaces the file.
    public func save(_ records: [PeerRecord]) throws(Failure) {
        var text = AnchorFile.heading + "\n"
        for record in records {
            text += Hex.encode(record.encoded)
            if let key = record.sessionKey { text += "  \(PeerURI(key: key, address: record.address))" }
            text += "\n"
        }
        do {
            try Data(text.utf8).write(to: URL(fileURLWithPath: path), options: .atomic)
        } catch { throw .unwritable(path: path, why: error.localizedDescription) }
    }
}

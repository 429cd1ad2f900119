/// The first frame: what this file is a recording of (Spec 70.4.1).

import MillraceBase

public struct RecordingHeader: Equatable, Sendable {
    /// What the frames after it hold.
    public enum Kind: UInt8, Sendable {
        /// Verified content: diffs with old and new values.
        case diff = 0
        /// Datagrams. Reserved: no program writes it yet.
        case wire = 1
    }

    public static let currentVersion: UInt16 = 1

    public var version: UInt16 = currentVersion
    public var kind: Kind
    public var chainID: UInt64
    /// One line for people: where the stream came from.
    public var description: String

    public init(kind: Kind = .diff, chainID: UInt64, description: String) {
        self.kind = kind
        self.chainID = chainID
        self.description = description
    }

    var body: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(version)
        bytes.append(kind.rawValue)
        bytes.append(0)
        bytes.appendLittleEndian(chainID)
        let text = Array(description.utf8)
        bytes.appendVarint(UInt64(text.count))
        bytes.append(contentsOf: text)
        return bytes
    }

    /// Reads the body; the message says what is wrong with it.
    init(body: [UInt8]) throws(RecordingError) {
        var reader = ByteReader(body.span.bytes)
        do {
            version = try reader.u16()
            guard version == RecordingHeader.currentVersion else {
                throw RecordingError(
                    .notARecording, "recording version \(version) is not known (this program reads version 1)"
                )
            }
            let kindByte = try reader.u8()
            guard let kind = Kind(rawValue: kindByte) else {
                throw RecordingError(
                    .notARecording, "recording kind \(kindByte) is not known (0 diff, 1 wire)")
            }
            self.kind = kind
            guard try reader.u8() == 0 else {
                throw RecordingError(.corrupt, "reserved header byte is not zero")
            }
            chainID = try reader.u64()
            let count = try reader.varint(atMost: RecordingLimits.descriptionBytesMax)
            guard let text = String(validating: try reader.array(count), as: UTF8.self) else {
                throw RecordingError(.corrupt, "the description is not UTF-8")
            }
            description = text
            guard reader.isAtEnd else {
                throw RecordingError(.corrupt, "bytes left over behind the description")
            }
        } catch let error as RecordingError {
            throw error
        } catch {
            throw RecordingError(.corrupt, "the header frame is too short or malformed")
        }
    }
}

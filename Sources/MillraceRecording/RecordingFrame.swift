/// The envelope of everything in a recording (Spec 70.3):
///
///     0        4     5              8          12            12 + n        44 + n
///     │ n u32  │type │ head check   │ CRC32C   │ body, n B   │ chain, 32 B │
///
/// *Head check* is the low 24 bits of CRC-32C over the first five bytes: a length that was hit by a flipped bit is
/// told apart from a file that simply ends early, so damage in the middle is never taken for a torn tail. *Chain* is
/// BLAKE2b-256 over the chain value before it, the twelve head bytes and the body: frames cannot be altered, dropped,
/// repeated or put in another order without every later value changing.

import MillraceBase
import MillraceCrypto

/// What a frame holds. Spec 70.4.
enum FrameKind: UInt8 {
    case header = 1
    case genesis = 2
    case diffs = 3
    case commitment = 4
    case index = 5
    case end = 6
}

enum RecordingFrame {
    /// First in every file; the end-of-line and end-of-file bytes show up transfers that mangle text.
    static let magic: [UInt8] = [0x4D, 0x49, 0x4C, 0x4C, 0x0D, 0x0A, 0x1A, 0x0A]
    /// Last in the end frame's body.
    static let endMagic: [UInt8] = [0x4C, 0x4C, 0x49, 0x4D, 0x0D, 0x0A, 0x1A, 0x0A]

    static let headBytes = 12
    static let chainBytes = 32
    /// What a frame costs beside its body.
    static let overheadBytes = headBytes + chainBytes
    static let endBodyBytes = 16
    static let endFrameBytes = overheadBytes + endBodyBytes

    /// The chain value before the first frame.
    static var firstChain: Hash32 { Blake2b.hash(magic.span.bytes) }

    struct Head: Equatable {
        var bodyBytes: Int
        var type: UInt8
        var checksum: UInt32
    }

    /// Reads the twelve head bytes; nil when the head check fails. The caller owes twelve bytes.
    static func head(_ bytes: UnsafeRawBufferPointer) -> Head? {
        let check = UInt32(bytes[5]) | UInt32(bytes[6]) << 8 | UInt32(bytes[7]) << 16
        guard CRC32C.checksum(UnsafeRawBufferPointer(rebasing: bytes[0..<5])) & 0xFF_FFFF == check else {
            return nil
        }
        let length = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt32.self))
        let checksum = UInt32(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt32.self))
        return Head(bodyBytes: Int(length), type: bytes[4], checksum: checksum)
    }

    /// Appends a whole frame and returns the new chain value.
    static func append(_ kind: FrameKind, body: [UInt8], chain: Hash32, to bytes: inout [UInt8]) -> Hash32 {
        precondition(body.count <= RecordingLimits.frameBytesMax, "a frame's body is bounded by its writer")
        let start = bytes.count
        // The hash covers chain ‖ head ‖ body, so the chain value is put in front and taken out again below.
        bytes.append(chain)
        bytes.appendLittleEndian(UInt32(body.count))
        bytes.append(kind.rawValue)
        let check = bytes.withUnsafeBytes { all in
            CRC32C.checksum(UnsafeRawBufferPointer(rebasing: all[(start + 32)..<(start + 37)]))
        }
        bytes.append(UInt8(truncatingIfNeeded: check))
        bytes.append(UInt8(truncatingIfNeeded: check >> 8))
        bytes.append(UInt8(truncatingIfNeeded: check >> 16))
        bytes.appendLittleEndian(body.withUnsafeBytes { CRC32C.checksum($0) })
        bytes.append(contentsOf: body)
        let next = Blake2b.hash(bytes.span.bytes.extracting(start..<bytes.count))
        bytes.removeSubrange(start..<(start + 32))
        bytes.append(next)
        return next
    }
}

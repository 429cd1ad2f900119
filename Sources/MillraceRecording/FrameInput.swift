/// One frame from a source into a buffer, checked: the reader's lowest layer.

import MillraceBase
import MillraceCrypto

enum FrameInput {
    enum Result {
        /// A whole frame: type, chain value after it, bytes it takes in the file.
        case frame(type: UInt8, chain: Hash32, bytes: UInt64)
        /// Nothing more in the file.
        case end
        /// The file ends inside the frame.
        case torn
    }

    /// Reads the frame at `offset`. `buffer` then holds chain ‖ head ‖ body, which is what the chain hashes.
    static func read(
        _ source: ByteSource, at offset: UInt64, chain: Hash32, number: Int, into buffer: inout [UInt8]
    ) throws(RecordingError) -> Result {
        let (headBytes, chainBytes) = (RecordingFrame.headBytes, RecordingFrame.chainBytes)
        buffer.removeAll(keepingCapacity: true)
        buffer.append(chain)
        buffer.append(contentsOf: repeatElement(0, count: headBytes))
        let got = try fill(&buffer, chainBytes, headBytes, source, at: offset)
        if got == 0 { return .end }
        if got < headBytes { return .torn }
        let head = buffer.withUnsafeBytes {
            RecordingFrame.head(UnsafeRawBufferPointer(rebasing: $0[chainBytes...]))
        }
        func damaged(_ what: String) -> RecordingError {
            let place = number == 0 ? "a frame" : "frame \(number)"
            return RecordingError(.corrupt, "\(source.name): \(place) at byte \(offset): \(what)")
        }
        guard let head else { throw damaged("its length and type do not match their check") }
        guard head.bodyBytes <= RecordingLimits.frameBytesMax else {
            throw damaged("a body of \(head.bodyBytes) bytes is more than a frame may have")
        }
        let total = UInt64(headBytes + head.bodyBytes + chainBytes)
        // Before allocating: what the file does not have cannot be read.
        guard offset + total <= source.byteCount else { return .torn }
        buffer.append(contentsOf: repeatElement(0, count: head.bodyBytes))
        let bodyStart = chainBytes + headBytes
        var after = [UInt8](repeating: 0, count: chainBytes)
        guard
            try fill(&buffer, bodyStart, head.bodyBytes, source, at: offset + UInt64(headBytes))
                == head.bodyBytes,
            try fill(&after, 0, chainBytes, source, at: offset + UInt64(headBytes + head.bodyBytes))
                == chainBytes
        else { return .torn }
        let checksum = buffer.withUnsafeBytes {
            CRC32C.checksum(UnsafeRawBufferPointer(rebasing: $0[bodyStart...]))
        }
        guard checksum == head.checksum else {
            throw damaged("its checksum does not match, the bytes were altered")
        }
        let next = Blake2b.hash(buffer.span.bytes)
        guard next.bytes == after else {
            throw damaged(
                "the hash chain is broken, this frame or one before it was altered, dropped or moved")
        }
        return .frame(type: head.type, chain: next, bytes: total)
    }

    /// The body in a buffer that `read` filled.
    static func body(_ buffer: [UInt8]) -> [UInt8] {
        Array(buffer[(RecordingFrame.chainBytes + RecordingFrame.headBytes)...])
    }

    static func fill(
        _ buffer: inout [UInt8], _ start: Int, _ count: Int, _ source: ByteSource, at offset: UInt64
    ) throws(RecordingError) -> Int {
        var result = 0
        var failure: RecordingError?
        buffer.withUnsafeMutableBytes { all in
            do throws(RecordingError) {
                result = try source.read(
                    into: UnsafeMutableRawBufferPointer(rebasing: all[start..<(start + count)]), at: offset)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return result
    }
}

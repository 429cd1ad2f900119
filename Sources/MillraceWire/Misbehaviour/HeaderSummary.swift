/// A signed slice header without its shred hashes, which a digest stands for: enough to show what the sequencer signed about a
/// slice's place, and 220 bytes (260 with a commitment) instead of up to 804 (Spec 67.2).

public import MillraceBase
public import MillraceCrypto

public struct HeaderSummary: Hashable, Sendable {
    static let fixedBytes = SliceHeader.fixedBytes + 32 + Signature.byteCount
    static let commitmentBytes = 40
    public static let bytesMax = fixedBytes + commitmentBytes

    public let bytes: [UInt8]
    public let hash: Hash32
    public let chainID: UInt64
    public let epoch: UInt32
    /// As it was signed: nothing says that it is one of ours.
    public let cadence: UInt8
    public let firstHeight: UInt64
    public let lastHeight: UInt64
    public let sliceIndex: UInt16
    public let sliceCount: UInt16
    public let previousHeaderHash: Hash32
    private let signature: Signature

    /// The summary of an encoded header. The caller owes bytes that decode.
    public init(ofEncoded header: RawSpan) {
        let shape: (Int, Int, Int) = header.withUnsafeBytes { bytes in
            let shredBytes = (Int(bytes[5]) + Int(bytes[6])) * ShredHash.byteCount
            let fields = bytes.count - Signature.byteCount - shredBytes
            return (fields, shredBytes, bytes.count)
        }
        var made: [UInt8] = []
        made.reserveCapacity(HeaderSummary.bytesMax)
        header.withUnsafeBytes { bytes in
            made.append(contentsOf: bytes[..<shape.0])
            made.append(contentsOf: repeatElement(0, count: 32))
            let hashes = UnsafeRawBufferPointer(rebasing: bytes[shape.0..<(shape.0 + shape.1)])
            made.withUnsafeMutableBytes { made in
                guard let base = made.baseAddress else { return }
                SliceHeader.digestOfShredHashes(hashes, into: base + shape.0)
            }
            made.append(contentsOf: bytes[(shape.2 - Signature.byteCount)...])
        }
        guard let summary = HeaderSummary(made) else { preconditionFailure("a header has a summary") }
        self = summary
    }

    /// How many bytes the summary that begins here has; nil for too few to tell, or another version.
    static func byteCount(_ bytes: UnsafeRawBufferPointer) -> Int? {
        guard bytes.count >= 2, bytes[0] == SliceHeader.version else { return nil }
        return fixedBytes + (bytes[1] & SliceHeader.commitmentFlag == 0 ? 0 : commitmentBytes)
    }

    /// Reads exactly these bytes: nil unless version and length are right. Fields are what was signed, and not judged.
    init?(_ bytes: [UInt8]) {
        guard bytes.withUnsafeBytes({ HeaderSummary.byteCount($0) }) == bytes.count else { return nil }
        self.bytes = bytes
        func number<T: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: T.Type) -> T {
            bytes.withUnsafeBytes { T(littleEndian: $0.loadUnaligned(fromByteOffset: offset, as: T.self)) }
        }
        // Offsets: Spec 40.3.
        cadence = bytes[2]
        chainID = number(8, UInt64.self)
        epoch = number(16, UInt32.self)
        sliceIndex = number(20, UInt16.self)
        sliceCount = number(22, UInt16.self)
        firstHeight = number(24, UInt64.self)
        lastHeight = number(32, UInt64.self)
        let signed = bytes.count - Signature.byteCount
        guard let previous = Hash32(Array(bytes[92..<124])),
            let signature = Signature(Array(bytes[signed...]))
        else { return nil }
        previousHeaderHash = previous
        self.signature = signature
        hash = bytes.withUnsafeBytes {
            SliceHeader.hash(fieldsAndDigest: UnsafeRawBufferPointer(rebasing: $0[..<signed]))
        }
    }

    public func isSigned(by key: VerifyingKey) -> Bool { key.isValid(signature, over: hash.bytes) }

    /// What all slices of one payload tell alike (Spec 40.3, rule 8): codec id, slice count, heights, stamp, payload bytes and
    /// the flag of the stream's end.
    private func agrees(with other: HeaderSummary) -> Bool {
        bytes[3] == other.bytes[3] && bytes[22..<52] == other.bytes[22..<52]
            && bytes[1] & SliceHeader.endOfStreamFlag == other.bytes[1] & SliceHeader.endOfStreamFlag
    }

    /// Whether an honest sequencer signs one of these only if it does not sign the other.
    func contradicts(_ other: HeaderSummary) -> Bool {
        guard chainID == other.chainID, epoch == other.epoch, cadence == other.cadence, hash != other.hash
        else {
            return false
        }
        if firstHeight <= other.lastHeight, other.firstHeight <= lastHeight {
            if sliceIndex == other.sliceIndex && firstHeight == other.firstHeight { return true }
            if !agrees(with: other) { return true }
        }
        return isBrokenLink(to: other) || other.isBrokenLink(to: self)
    }

    /// Whether `next` is the slice after this one and names another before it.
    private func isBrokenLink(to next: HeaderSummary) -> Bool {
        let isNext: Bool
        if UInt32(sliceIndex) + 1 == UInt32(sliceCount) {
            isNext = next.sliceIndex == 0 && lastHeight != .max && next.firstHeight == lastHeight + 1
        } else {
            isNext = next.firstHeight == firstHeight && UInt32(next.sliceIndex) == UInt32(sliceIndex) + 1
        }
        return isNext && next.previousHeaderHash != hash
    }
}

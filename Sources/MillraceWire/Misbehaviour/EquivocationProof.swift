/// Two headers that the sequencer signed and an honest one never would have: anybody who knows the sequencer's public key can
/// check it, and only the sequencer can make it (Spec 67.2). At most 520 bytes: one frame.

public import MillraceCrypto

public struct EquivocationProof: Hashable, Sendable {
    public static let bytesMin = 2 * HeaderSummary.fixedBytes
    public static let bytesMax = 2 * HeaderSummary.bytesMax

    /// The one with the lower height, slice and hash first, so that two headers are one proof.
    public let first: HeaderSummary
    public let second: HeaderSummary

    /// Nil when the two do not contradict each other. The caller owes encoded headers that decode.
    public init?(_ a: RawSpan, _ b: RawSpan) {
        self.init(HeaderSummary(ofEncoded: a), HeaderSummary(ofEncoded: b))
    }

    private init?(_ a: HeaderSummary, _ b: HeaderSummary) {
        guard a.contradicts(b) else { return nil }
        (first, second) = EquivocationProof.isInOrder(a, b) ? (a, b) : (b, a)
    }

    private static func isInOrder(_ a: HeaderSummary, _ b: HeaderSummary) -> Bool {
        if a.firstHeight != b.firstHeight { return a.firstHeight < b.firstHeight }
        if a.sliceIndex != b.sliceIndex { return a.sliceIndex < b.sliceIndex }
        return a.hash < b.hash
    }

    public var encoded: [UInt8] { first.bytes + second.bytes }

    /// The proof that is exactly these bytes. `.inconsistent` for two headers that do not contradict each other, or stand in
    /// the other order.
    public static func decode(_ bytes: RawSpan) throws(WireError) -> EquivocationProof {
        guard bytes.byteCount > 1 else { throw .truncated }
        let all = bytes.withUnsafeBytes { Array($0) }
        var rest = all[...]
        var parts: [HeaderSummary] = []
        for _ in 0..<2 {
            let count = Array(rest.prefix(2)).withUnsafeBytes { HeaderSummary.byteCount($0) }
            guard let count else { throw rest.count < 2 ? .truncated : .unknownVersion }
            guard rest.count >= count else { throw .truncated }
            guard let part = HeaderSummary(Array(rest.prefix(count))) else { throw .malformed }
            parts.append(part)
            rest = rest.dropFirst(count)
        }
        guard rest.isEmpty else { throw .trailing }
        guard let proof = EquivocationProof(parts[0], parts[1]), proof.first == parts[0] else {
            throw .inconsistent
        }
        return proof
    }

    public var chainID: UInt64 { first.chainID }
    public var epoch: UInt32 { first.epoch }
    /// The lowest height from which there are two histories.
    public var height: UInt64 { second.firstHeight }

    /// Whether both were signed by this key: the only question that costs something (two signatures, 0.2 ms).
    public func isSigned(by key: VerifyingKey) -> Bool { first.isSigned(by: key) && second.isSigned(by: key) }
}

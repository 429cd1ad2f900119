/// What the state hashes to after a height, as the recorder computed it (Spec 70.4.4). Written at EVM block boundaries
/// and at the end.

public import MillraceBase

public struct RecordedCommitment: Equatable, Sendable {
    public var height: UInt64
    public var commitment: Hash32

    public init(height: UInt64, commitment: Hash32) {
        self.height = height
        self.commitment = commitment
    }

    static let bodyBytes = 40

    var body: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(height)
        bytes.append(commitment)
        return bytes
    }

    init?(body: [UInt8]) {
        var reader = ByteReader(body.span.bytes)
        guard body.count == RecordedCommitment.bodyBytes, let height = try? reader.u64(),
            let commitment = try? reader.hash()
        else { return nil }
        self.init(height: height, commitment: commitment)
    }
}

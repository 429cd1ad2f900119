/// Why bytes from a peer are not a message. Ordered by layer: a decoder reports the first that applies, so that a deep
/// check cannot hide a shallow mistake and one vector file shows one failure (Spec 10.6).

public import MillraceBase

public enum WireError: String, Error, Hashable, CaseIterable, Sendable, BitwiseCopyable {
    /// The bytes end before the message does.
    case truncated
    /// A version or kind this node does not know.
    case unknownVersion
    /// A number that is not in its one form (a varint with needless bytes, or above 2^64).
    case malformed
    /// A reserved bit or byte that is not zero.
    case reserved
    /// A field outside the limits of its table.
    case outOfRange
    /// Fields that contradict each other.
    case inconsistent
    /// Bytes left over after the message.
    case trailing

    public init(_ error: ByteError) {
        switch error {
        case .truncated: self = .truncated
        case .malformed: self = .malformed
        }
    }
}

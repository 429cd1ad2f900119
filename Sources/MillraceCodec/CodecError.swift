/// Why a payload was refused. The follower's coding state is as it was before the call, and the diff given out is empty.

public enum CodecError: Error, Equatable, Sendable {
    /// The payload ends before the diff does.
    case truncated
    /// Bytes are left over after the diff.
    case trailingBytes
    /// The first byte names no form of payload.
    case unknownForm(UInt8)
    /// A header field is no varint, or a count is above what the payload's length, the state or `CodecLimits` allow.
    case badCount(CountField)
    /// Keys that cannot be: past the end of a table, twice, or not ascending.
    case badKey
    /// A value that cannot be: unchanged, outside 256 bits, or by reference to nothing.
    case badValue
    /// An operation that cannot be: about a fact of another kind, or swaps that wait for one another.
    case badOperation
    /// Popularity that cannot be: cut, too long, or about ids the state does not have.
    case badPopularity

    /// The header's fields, by name (Spec 30.3).
    public enum CountField: UInt8, Sendable, BitwiseCopyable {
        case transactions, rawBytes, newCodes, newAccounts, newSlots, destroyed, accountChanges, slotChanges
        case codeBytes, rangeBytes, operations, heights
        /// Not a field: what the columns ask of their reader, against the payload's length.
        case work
    }
}

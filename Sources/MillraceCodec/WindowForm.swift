/// What a window of a coarser cadence carries beside its payload (Spec 30.15).
///
///     varint popularity bytes │ popularity after the window, or nothing │ payload
///
/// Over many mini-blocks the same keys are written again and again, and from some length on their last values are shorter
/// than what was done to them. Such a window is told by values alone, and then its follower cannot know whom operations
/// named: the popularity that followers of finer cadences have after it travels with it.

internal import MillraceBase
public import MillraceDiff

extension Codec {
    /// A window's bytes. `popularity` is empty when the payload tells all operations.
    public static func windowBytes(popularity: [UInt8], payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(popularity.count + payload.count + 5)
        bytes.appendVarint(UInt64(popularity.count))
        bytes.append(contentsOf: popularity)
        bytes.append(contentsOf: payload)
        return bytes
    }

    /// Reads a window as `decode` reads a payload, and answers the popularity that came with it, nil where the window's own
    /// operations give it. Once the diff is applied and passed, `join` takes that.
    public func decodeWindow(
        _ bytes: RawSpan, base: State, into diff: inout StateDiff
    ) throws(CodecError) -> [UInt8]? {
        var reader = ByteReader(bytes)
        let popularity: [UInt8]
        let rest: RawSpan
        do {
            let count = try reader.varint(atMost: reader.remaining)
            guard count <= reader.remaining else { throw CodecError.truncated }
            popularity = try reader.array(count)
            rest = try reader.span(reader.remaining)
        } catch {
            throw .truncated
        }
        try decode(rest, base: base, into: &diff)
        return popularity.isEmpty ? nil : popularity
    }
}

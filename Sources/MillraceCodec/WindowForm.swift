/// What a window of a coarser cadence carries (Spec 30.15): its mini-blocks' payloads one behind the other, or, where that is
/// shorter, its last values alone.
///
///     u8 form │ parts:   for each height varint bytes │ payload, as at c0
///             │ values:  varint popularity bytes │ popularity's corrections │ payload of the merged diff
///
/// Operations cost the same however many mini-blocks a payload tells, so nothing is gained by encoding them again for every
/// cadence, and a replica that is handed parts does what it does at c0. What merges is values: over many mini-blocks the same
/// keys are written again and again, and from some length on their last values are shorter than what was done to them. Who takes
/// those cannot know whom operations named, so how its popularity has to be corrected travels with them.

public import MillraceBase
public import MillraceDiff

public enum WindowForm: UInt8, Sendable {
    case parts = 0
    case values = 1

    /// Begins a window in parts; `append` adds one payload after the other.
    public static let emptyParts: [UInt8] = [WindowForm.parts.rawValue]

    /// Adds the next height's payload; an empty one where nothing happened.
    public static func append(_ payload: [UInt8], to bytes: inout [UInt8]) {
        bytes.appendVarint(UInt64(payload.count))
        bytes.append(contentsOf: payload)
    }

    public static func values(corrections: [UInt8], payload: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = [WindowForm.values.rawValue]
        bytes.reserveCapacity(corrections.count + payload.count + 6)
        bytes.appendVarint(UInt64(corrections.count))
        bytes.append(contentsOf: corrections)
        bytes.append(contentsOf: payload)
        return bytes
    }
}

/// A window taken apart; total.
struct WindowContents {
    var form = WindowForm.parts
    /// Where the corrections lie.
    var corrections = 0..<0
    /// Of parts one for each height, of values one.
    var payloads: [Range<Int>] = []

    init(_ bytes: RawSpan, heights: Int) throws(CodecError) {
        var reader = ByteReader(bytes)
        do {
            let byte = try reader.u8()
            guard let form = WindowForm(rawValue: byte) else { throw CodecError.unknownForm(byte) }
            self.form = form
            switch form {
            case .parts:
                payloads.reserveCapacity(heights)
                for _ in 0..<heights { payloads.append(try WindowContents.range(&reader)) }
                guard reader.isAtEnd else { throw CodecError.trailingBytes }
            case .values:
                corrections = try WindowContents.range(&reader)
                payloads = [reader.offset..<bytes.byteCount]
            }
        } catch let error as CodecError {
            throw error
        } catch {
            throw .truncated
        }
    }

    private static func range(_ reader: inout ByteReader) throws(CodecError) -> Range<Int> {
        do {
            let count = try reader.varint(atMost: reader.remaining)
            guard count <= reader.remaining else { throw CodecError.truncated }
            let start = reader.offset
            _ = try reader.span(count)
            return start..<start + count
        } catch {
            throw .truncated
        }
    }
}

extension Codec {
    /// Why a window was not followed to its end.
    public enum WindowError: Error, Equatable {
        case undecodable(CodecError)
        case inapplicable(DiffError)
    }

    /// Decodes a window that begins where `state` stands, applies it and passes it; `reached` is told of every height at which
    /// the state then stands. Answers its transactions.
    ///
    /// After an error the state stands at the last height it was told of, or where it stood.
    @discardableResult
    public func follow(
        window bytes: RawSpan, of cadence: Cadence, from first: UInt64, sealedAtMicroseconds: UInt64,
        state: State,
        diff: inout StateDiff, reached: (UInt64) -> Void
    ) throws(WindowError) -> UInt64 {
        let last = first + cadence.heights - 1
        do {
            let contents = try WindowContents(bytes, heights: Int(cadence.heights))
            diff.sealedAtMicroseconds = sealedAtMicroseconds
            var transactions: UInt64 = 0
            switch contents.form {
            case .parts:
                // Windows begin where c0 restarts.
                change(to: .c0)
                for (i, range) in contents.payloads.enumerated() {
                    let height = first + UInt64(i)
                    (diff.firstHeight, diff.lastHeight) = (height, height)
                    try decode(bytes.extracting(range), base: state, into: &diff)
                    try state.apply(diff)
                    advance(past: diff, state: state)
                    transactions &+= diff.transactions
                    reached(height)
                }
            case .values:
                change(to: cadence)
                (diff.firstHeight, diff.lastHeight) = (first, last)
                try decode(bytes.extracting(contents.payloads[0]), base: state, into: &diff)
                try state.apply(diff)
                advance(past: diff, state: state)
                try correctPopularity(bytes.extracting(contents.corrections), past: diff, state: state)
                transactions = diff.transactions
                reached(last)
            }
            return transactions
        } catch let error as CodecError {
            throw .undecodable(error)
        } catch let error as DiffError {
            throw .inapplicable(error)
        } catch {
            preconditionFailure("neither the codec's error nor the state's: \(error)")
        }
    }
}

/// What can go wrong with a file: one struct with a stable code and one sentence for people, naming the file and the
/// place in it, and what was expected there. Verbs map codes to exit codes; nobody parses the sentence.

public struct RecordingError: Error, Equatable, Sendable {
    public enum Code: String, Sendable {
        /// The operating system refused: no such file, no space, no permission.
        case io
        /// A bound of ours was reached; see `RecordingLimits`.
        case tooLarge
        /// Compressed input that does not decompress.
        case compression
        /// Not a recording at all, or of a version or kind this program does not know.
        case notARecording
        /// The file ends inside a frame: what a crash leaves behind. Everything before is good.
        case torn
        /// Bytes are not what was written: a checksum, the hash chain or a frame's content is wrong.
        case corrupt
        /// Whole and readable, but the state it leads to is not the one it commits to.
        case mismatch
        /// The caller handed over something that a recording cannot hold.
        case invalid
    }

    public let code: Code
    /// One sentence without a full stop at the end.
    public let message: String

    public init(_ code: Code, _ message: String) {
        self.code = code
        self.message = message
    }
}

extension RecordingError: CustomStringConvertible {
    public var description: String { message }
}

import MillraceRecording

/// Runs `body`; what is wrong with a file becomes one sentence and an exit code: 1, or 3 where `body` verifies.
func reportingFiles<T>(verifying: Bool = false, _ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as RecordingError {
        switch error.code {
        case .io, .tooLarge, .invalid, .compression: throw Failure(.failed, error.message)
        case .notARecording, .torn, .corrupt, .mismatch:
            throw Failure(verifying ? .verification : .failed, error.message)
        }
    }
}

/// A torn tail is worth a warning, not an end.
func warnIfTorn(_ reader: RecordingReader) {
    if let torn = reader.tornTail { note("warning: \(torn.message)") }
}

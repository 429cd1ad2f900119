/// How a verb ends badly: one clear sentence on stderr and an exit code.
///
/// 0 done · 1 failed · 2 usage · 3 verification failed, or the verdict is *falls behind*.
struct Failure: Error {
    enum Kind: Int32 {
        case failed = 1
        case usage = 2
        case verification = 3
    }

    let kind: Kind
    /// One sentence: where (file, line or frame), what was found, what was expected.
    let message: String

    init(_ kind: Kind = .failed, _ message: String) {
        self.kind = kind
        self.message = message
    }
}

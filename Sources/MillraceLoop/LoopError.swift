import CLibuv

/// Why a handle could not be set up: a stable code for programs and one sentence for people.
///
/// Only setting up throws. What happens later (a refused datagram, a stream that ends) is an event or a counter.
public struct LoopError: Error, Equatable, Sendable, CustomStringConvertible {
    public enum Code: Equatable, Sendable {
        /// Another process has the port, or listens on the socket file.
        case addressInUse
        /// No interface of this machine has the address.
        case addressNotAvailable
        case permissionDenied
        case notFound
        /// The process has as many files open as it may.
        case tooManyFiles
        case other
    }

    public let code: Code
    /// The system's error number, positive.
    public let errorNumber: Int32
    /// What was attempted and what stands in the way.
    public let description: String

    /// `status` is a negative errno, as libuv and the shims return; `attempt` begins the sentence: "UDP 127.0.0.1:9000
    /// cannot be bound".
    init(_ status: Int32, _ attempt: String) {
        errorNumber = -status
        let reason: String
        switch uv_errno_t(rawValue: status) {
        case UV_EADDRINUSE: (code, reason) = (.addressInUse, "another process is using it")
        case UV_EADDRNOTAVAIL:
            (code, reason) = (.addressNotAvailable, "no interface of this machine has that address")
        case UV_EACCES, UV_EPERM: (code, reason) = (.permissionDenied, "permission denied")
        case UV_ENOENT: (code, reason) = (.notFound, "there is no such file or folder")
        case UV_EMFILE, UV_ENFILE:
            (code, reason) = (.tooManyFiles, "too many files are open; raise `ulimit -n`")
        default: (code, reason) = (.other, String(cString: uv_strerror(status)))
        }
        description = "\(attempt): \(reason)"
    }
}

import CMillraceShims
import Glibc

/// Accepts connections on a unix socket: where a feed that is not a child process comes in.
///
/// A socket file that a killed process left behind is replaced; one that somebody still listens on is an error. The file is
/// removed when the listener is closed. At most `connectionsPerTurnMax` are accepted in a turn.
public final class UnixListener {
    private static let connectionsPerTurnMax = 16

    public let path: String
    private var poll: Poll?
    private let onConnection: (Int32) -> Void

    /// `onConnection` gets each connection's descriptor and owns it: hand it to a `ByteStreamReader`.
    public init(
        on loop: EventLoop, path: String, onConnection: @escaping (_ descriptor: Int32) -> Void
    ) throws(LoopError) {
        self.path = path
        self.onConnection = onConnection
        let descriptor = mr_unix_listen(path)
        guard descriptor >= 0 else {
            throw LoopError(descriptor, "the unix socket \(path) cannot be listened on")
        }
        switch Poll.make(
            on: loop, descriptor: descriptor, onReady: { [unowned self] _ in accept(descriptor) })
        {
        case .success(let poll):
            self.poll = poll
            poll.retainOwner(self)
            poll.watch(.readable)
        case .failure(let status):
            mr_close(descriptor)
            throw LoopError(status.errno, "the unix socket \(path) cannot be listened on")
        }
    }

    public func close() {
        guard poll?.isOpen == true else { return }
        _ = unlink(path)
        poll?.close()
    }

    private func accept(_ descriptor: Int32) {
        for _ in 0..<UnixListener.connectionsPerTurnMax {
            let connection = mr_unix_accept(descriptor)
            guard connection >= 0 else { return }
            onConnection(connection)
            guard poll?.isOpen == true else { return }
        }
    }
}

@available(*, unavailable)
extension UnixListener: Sendable {}

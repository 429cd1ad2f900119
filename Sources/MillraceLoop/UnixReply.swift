import CMillraceShims
import Glibc

/// Writes one answer to a connection on the loop and closes it: a reader that is slow waits for itself and nobody else.
///
/// The bytes are kept until they are written; how many replies are under way at once is the caller's bound (`onEnd` says when
/// one is over).
public final class UnixReply {
    private var poll: Poll?
    private let bytes: [UInt8]
    private var written = 0
    private var onEnd: (() -> Void)?

    /// Takes the descriptor: it is closed when everything is written, when the reader is gone, or at `close()`.
    public init(on loop: EventLoop, descriptor: Int32, bytes: [UInt8], onEnd: @escaping () -> Void)
        throws(LoopError)
    {
        self.bytes = bytes
        self.onEnd = onEnd
        switch Poll.make(on: loop, descriptor: descriptor, onReady: { [unowned self] _ in write() }) {
        case .success(let poll):
            self.poll = poll
            poll.retainOwner(self)
            poll.watch(.writable)
        case .failure(let status):
            mr_close(descriptor)
            throw LoopError(status.errno, "a connection cannot be answered")
        }
    }

    public func close() {
        guard let poll, poll.isOpen else { return }
        poll.close()
        let end = onEnd
        onEnd = nil
        end?()
    }

    private func write() {
        guard let poll else { return }
        while written < bytes.count {
            let count = bytes.withUnsafeBytes { all in
                // A reader that has gone is an error here and no signal.
                send(
                    poll.descriptor, all.baseAddress.map { $0 + written }, all.count - written,
                    Int32(MSG_NOSIGNAL))
            }
            if count < 0 {
                if errno == EINTR { continue }
                if errno == EAGAIN { return }
                return close()
            }
            written += count
        }
        close()
    }
}

@available(*, unavailable)
extension UnixReply: Sendable {}

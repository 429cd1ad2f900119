import CLibuv
import CMillraceShims

/// Readiness of one descriptor: the libuv handle under timers, sockets and streams.
///
/// open → closing → closed. While it is open libuv holds it and it holds its owner (`retainOwner`), so an open handle cannot
/// be released; the close callback takes both references back and closes the descriptor. `close()` may be called twice, and
/// from within `onReady`, which the owner captures `unowned`.
final class Poll {
    private enum State { case open, closing, closed }

    struct Readiness: OptionSet {
        let rawValue: Int32
        static let readable = Readiness(rawValue: 1)
        static let writable = Readiness(rawValue: 2)
    }

    let descriptor: Int32
    private let handle: UnsafeMutablePointer<uv_poll_t>
    private var state = State.open
    private var interest: Readiness = []
    private var onReady: ((Readiness) -> Void)?
    private var owner: AnyObject?
    private let ownsDescriptor: Bool

    /// Takes `descriptor`, which is closed with the handle unless `ownsDescriptor` is false (on failure the caller keeps it).
    /// Answers a negative errno for what cannot be polled, such as a plain file.
    static func make(
        on loop: EventLoop, descriptor: Int32, ownsDescriptor: Bool = true,
        onReady: @escaping (Readiness) -> Void
    ) -> Result<Poll, PollStatus> {
        let handle = UnsafeMutablePointer<uv_poll_t>.allocate(capacity: 1)
        let status = uv_poll_init(loop.uv, handle, descriptor)
        guard status == 0 else {
            handle.deallocate()
            return .failure(PollStatus(errno: status))
        }
        return .success(Poll(handle, descriptor, ownsDescriptor, onReady))
    }

    struct PollStatus: Error { let errno: Int32 }

    private init(
        _ handle: UnsafeMutablePointer<uv_poll_t>, _ descriptor: Int32, _ ownsDescriptor: Bool,
        _ onReady: @escaping (Readiness) -> Void
    ) {
        self.handle = handle
        self.descriptor = descriptor
        self.ownsDescriptor = ownsDescriptor
        self.onReady = onReady
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit {
        precondition(state == .closed, "a poll handle was released before it was closed")
        handle.deallocate()
    }

    var isOpen: Bool { state == .open }

    /// Keeps `owner` until the handle is closed.
    func retainOwner(_ owner: AnyObject) { self.owner = owner }

    /// Watches for `readiness` from now on; nothing, when it is empty.
    func watch(_ readiness: Readiness) {
        guard state == .open, readiness != interest else { return }
        interest = readiness
        if readiness.isEmpty {
            uv_poll_stop(handle)
            return
        }
        let status = uv_poll_start(handle, readiness.rawValue) { handle, status, events in
            guard let data = handle?.pointee.data else { return }
            let poll = Unmanaged<Poll>.fromOpaque(data).takeUnretainedValue()
            guard poll.state == .open else { return }
            // libuv stops watching a descriptor with an error. The owner's next read or write learns what it is and clears
            // it, so watch on, and hand the error on as readiness; an owner that has enough stops or closes.
            let wanted = poll.interest
            if status < 0 {
                poll.interest = []
                poll.watch(wanted)
            }
            poll.onReady?(status < 0 ? wanted : Readiness(rawValue: events))
        }
        precondition(status == 0, "uv_poll_start failed with \(status)")
    }

    func close() {
        guard state == .open else { return }
        state = .closing
        uv_poll_stop(handle)
        uv_close(handle.asHandle) { handle in
            guard let data = handle?.pointee.data else { return }
            let poll = Unmanaged<Poll>.fromOpaque(data).takeRetainedValue()
            poll.state = .closed
            if poll.ownsDescriptor { mr_close(poll.descriptor) }
            poll.onReady = nil
            poll.owner = nil
        }
    }
}

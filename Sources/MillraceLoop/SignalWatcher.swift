import CLibuv

/// Calls a handler on the loop when the process gets a signal, in place of the signal's default action.
public final class SignalWatcher {
    public enum Signal: Int32, Sendable {
        case hangup = 1
        case interrupt = 2
        case user1 = 10
        case terminate = 15
    }

    private enum State { case open, closing, closed }

    private let handle: UnsafeMutablePointer<uv_signal_t>
    private var state = State.open
    private let handler: () -> Void

    public init(on loop: EventLoop, _ signal: Signal, _ handler: @escaping () -> Void) throws(LoopError) {
        handle = .allocate(capacity: 1)
        self.handler = handler
        var status = uv_signal_init(loop.uv, handle)
        guard status == 0 else {
            state = .closed
            throw LoopError(status, "signal \(signal) cannot be watched")
        }
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
        status = uv_signal_start(
            handle,
            { handle, _ in
                guard let data = handle?.pointee.data else { return }
                let watcher = Unmanaged<SignalWatcher>.fromOpaque(data).takeUnretainedValue()
                if watcher.state == .open { watcher.handler() }
            }, signal.rawValue)
        guard status == 0 else {
            close()
            throw LoopError(status, "signal \(signal) cannot be watched")
        }
    }

    deinit {
        precondition(state == .closed, "a signal watcher was released before it was closed")
        handle.deallocate()
    }

    public func close() {
        guard state == .open else { return }
        state = .closing
        uv_close(handle.asHandle) { handle in
            guard let data = handle?.pointee.data else { return }
            Unmanaged<SignalWatcher>.fromOpaque(data).takeRetainedValue().state = .closed
        }
    }
}

@available(*, unavailable)
extension SignalWatcher: Sendable {}

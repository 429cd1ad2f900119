import CLibuv
import CMillraceShims
public import MillraceBase

/// A one-shot timer with the monotonic clock's resolution: the shell sets it to its core's `nextDeadline`.
///
/// libuv's own timers count whole milliseconds, which is a tenth of a mini-block and turns a 25 Mbit/s link into bursts of
/// three datagrams; this one is a timerfd. Moving the deadline later, which happens at almost every datagram, costs no system
/// call: the kernel's timer is left to fire early and is set again then.
public final class LoopTimer {
    private var poll: Poll?
    private let descriptor: Int32
    /// When the handler is wanted.
    private var deadline: Instant?
    /// When the kernel will wake us; never later than `deadline`.
    private var armed: Instant?
    private let handler: () -> Void

    public init(on loop: EventLoop, _ handler: @escaping () -> Void) throws(LoopError) {
        let descriptor = mr_timer_open()
        guard descriptor >= 0 else { throw LoopError(descriptor, "a timer cannot be made") }
        self.descriptor = descriptor
        self.handler = handler
        switch Poll.make(on: loop, descriptor: descriptor, onReady: { [unowned self] _ in wake() }) {
        case .success(let poll): self.poll = poll
        case .failure(let status):
            mr_close(descriptor)
            throw LoopError(status.errno, "a timer cannot be made")
        }
        // The open handle keeps its owner: see Poll.
        poll?.retainOwner(self)
        poll?.watch(.readable)
    }

    /// Calls the handler once at `deadline` or soon after, in place of what was set before; never, when it is nil.
    public func set(_ deadline: Instant?) {
        self.deadline = deadline == .distantFuture ? nil : deadline
        guard let deadline = self.deadline, poll?.isOpen == true else { return }
        if let armed, armed <= deadline { return }
        arm(deadline)
    }

    /// Calls the handler once, `interval` from now.
    public func set(after interval: Interval) { set(Machine.now + interval) }

    public func cancel() { set(nil) }

    public var isSet: Bool { deadline != nil }

    public func close() {
        deadline = nil
        poll?.close()
    }

    private func arm(_ at: Instant) {
        armed = at
        // 0 would disarm; the first nanosecond of the machine's life fires at once just as well.
        let status = mr_timer_set(descriptor, max(at.nanoseconds, 1))
        precondition(status == 0, "timerfd_settime failed with \(status)")
    }

    private func wake() {
        mr_timer_take(descriptor)
        armed = nil
        guard let deadline else { return }
        if Machine.now < deadline {
            arm(deadline)
        } else {
            self.deadline = nil
            handler()
        }
    }
}

@available(*, unavailable)
extension LoopTimer: Sendable {}

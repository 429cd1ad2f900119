import CLibuv
import Synchronization

/// The one door into a loop from other threads: a bounded mailbox and a bell.
///
/// `post` may be called from any thread and never waits for the loop; messages arrive on the loop in the order in which
/// they were posted, many to a turn. A full mailbox refuses: the poster decides whether to wait, drop or stop.
public final class Wakeup<Message: Sendable>: Sendable {
    private struct Mailbox {
        var messages: [Message] = []
        var isOpen = true
    }

    private let mailbox = Mutex(Mailbox())
    private let capacity: Int
    private let bell: Bell

    public init(
        on loop: EventLoop, capacity: Int = 1_024, _ handler: @escaping (Message) -> Void
    ) throws(LoopError) {
        self.capacity = capacity
        bell = try Bell(on: loop)
        bell.onRing = { [unowned self] in
            for message in takeAll() { handler(message) }
        }
        bell.owner = self
    }

    /// Hands `message` to the loop; false when the mailbox is full or closed.
    @discardableResult
    public func post(_ message: Message) -> Bool {
        mailbox.withLock { box in
            guard box.isOpen, box.messages.count < capacity else { return false }
            box.messages.append(message)
            // Under the lock: close() cannot free the bell between the check and the ring.
            if box.messages.count == 1 { bell.ring() }
            return true
        }
    }

    /// On the loop's thread. Messages not yet delivered are dropped.
    public func close() {
        let wasOpen = mailbox.withLock { box in
            defer {
                box.isOpen = false
                box.messages = []
            }
            return box.isOpen
        }
        if wasOpen { bell.close() }
    }

    private func takeAll() -> [Message] {
        mailbox.withLock { box in
            let all = box.messages
            box.messages = []
            return all
        }
    }
}

/// The libuv part of a wake-up. Unchecked: `ring` is the one call libuv allows from any thread, and the mailbox's lock
/// orders it before `close`; the rest is touched on the loop's thread only.
private final class Bell: @unchecked Sendable {
    private let handle: UnsafeMutablePointer<uv_async_t>
    private var isClosed = false
    var onRing: (() -> Void)?
    var owner: AnyObject?

    init(on loop: EventLoop) throws(LoopError) {
        handle = .allocate(capacity: 1)
        let status = uv_async_init(loop.uv, handle) { handle in
            guard let data = handle?.pointee.data else { return }
            Unmanaged<Bell>.fromOpaque(data).takeUnretainedValue().onRing?()
        }
        guard status == 0 else {
            isClosed = true
            throw LoopError(status, "a wake-up cannot be made")
        }
        handle.pointee.data = Unmanaged.passRetained(self).toOpaque()
    }

    deinit {
        precondition(isClosed, "a wake-up was released before it was closed")
        handle.deallocate()
    }

    func ring() { uv_async_send(handle) }

    func close() {
        uv_close(handle.asHandle) { handle in
            guard let data = handle?.pointee.data else { return }
            let bell = Unmanaged<Bell>.fromOpaque(data).takeRetainedValue()
            bell.isClosed = true
            bell.onRing = nil
            bell.owner = nil
        }
    }
}

import CLibuv
import CMillraceShims
import Glibc
public import MillraceBase

/// One thread's loop, on libuv: it waits for sockets, timers, signals and messages, and calls their handlers one after
/// another. A node's cores and sockets all live on one loop; nothing on it takes a lock.
///
/// Promises: handlers run on the thread that called `run()`, never inside another handler; `beforeWaiting` runs once each
/// turn before the loop waits, after every handler of the turn, and then every socket's queue is flushed, so that datagrams
/// queued during a turn leave in as few system calls as possible. Asks: every method is called on the loop's thread
/// (`Wakeup.post` is the one door for others), every handle is closed before the loop is. Bounds: handles bound themselves.
///
/// Why libuv and not epoll directly: timers, signals and wake-ups that work together are easy to get subtly wrong, and
/// measured against a bare epoll loop the difference is lost in the system calls.
public final class EventLoop {
    let uv: UnsafeMutablePointer<uv_loop_t>
    private let prepare: UnsafeMutablePointer<uv_prepare_t>
    private var isClosed = false
    private var dirty: [UDPSocket] = []

    /// Where every socket of this loop receives: bytes are lent to a handler for one call, so one arena serves all.
    let receiveArena: UnsafeMutableRawPointer
    let received: UnsafeMutablePointer<mr_received>

    /// Called once a turn, after the turn's handlers and before the loop waits: drain cores, set timers.
    public var beforeWaiting: (() -> Void)?

    public init() throws(LoopError) {
        // A peer that closes its end of a pipe must not kill the process.
        _ = signal(SIGPIPE, SIG_IGN)
        uv = .allocate(capacity: 1)
        let status = uv_loop_init(uv)
        guard status == 0 else {
            uv.deallocate()
            throw LoopError(status, "the event loop cannot start")
        }
        prepare = .allocate(capacity: 1)
        receiveArena = .allocate(byteCount: MR_UDP_BATCH * MR_UDP_SLOT_BYTES, alignment: 4096)
        received = .allocate(capacity: MR_UDP_BATCH)
        uv_prepare_init(uv, prepare)
        prepare.pointee.data = Unmanaged.passUnretained(self).toOpaque()
        uv_prepare_start(prepare) { handle in
            guard let data = handle?.pointee.data else { return }
            Unmanaged<EventLoop>.fromOpaque(data).takeUnretainedValue().endTurn()
        }
        uv_unref(prepare.asHandle)
    }

    deinit {
        precondition(isClosed, "an event loop was released before close()")
        uv.deallocate()
        prepare.deallocate()
        receiveArena.deallocate()
        received.deallocate()
    }

    /// Now, on the monotonic clock; read anew at each call.
    public var now: Instant { Machine.now }

    /// Runs until `stop()`, or until no handle is open.
    public func run() {
        uv_run(uv, UV_RUN_DEFAULT)
    }

    /// One turn: handles what is ready, waiting for something when `waiting`. False when no handle is open any more.
    @discardableResult
    public func runOnce(waiting: Bool = true) -> Bool {
        uv_run(uv, waiting ? UV_RUN_ONCE : UV_RUN_NOWAIT) != 0
    }

    /// Makes `run()` return after this turn.
    public func stop() { uv_stop(uv) }

    /// Closes the loop once the close callbacks of all handles have run. The caller has closed them all before; a handle
    /// still open here is our own mistake and traps.
    public func close() {
        guard !isClosed else { return }
        isClosed = true
        beforeWaiting = nil
        uv_close(prepare.asHandle, nil)
        // Handles that are closing end in one turn; a file read in flight on another thread may take a few.
        for _ in 0..<100 where uv_run(uv, UV_RUN_NOWAIT) != 0 { usleep(1_000) }
        let status = uv_loop_close(uv)
        precondition(status == 0, "an event loop was closed with handles open")
    }

    func needsFlush(_ socket: UDPSocket) { dirty.append(socket) }

    private func endTurn() {
        beforeWaiting?()
        guard !dirty.isEmpty else { return }
        // flush() queues no socket again, so the array may be walked and then emptied in place.
        for socket in dirty { socket.flush() }
        dirty.removeAll(keepingCapacity: true)
    }
}

@available(*, unavailable)
extension EventLoop: Sendable {}

extension UnsafeMutablePointer {
    /// Any libuv handle as the base type libuv's common functions take.
    var asHandle: UnsafeMutablePointer<uv_handle_t> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: uv_handle_t.self)
    }
}

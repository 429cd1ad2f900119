/// The thin shell around any core: one loop, one socket, one timer. It translates datagrams, time and outputs, and
/// decides nothing.
///
/// Turn: every datagram of a batch goes into the core, then the core is drained once, then the timer is set to its
/// deadline. Buffers the core hands out are lent to the socket until it flushes; while the
/// kernel is full they are copied into its slots, and when there is none left a datagram is dropped and counted, as a
/// full interface queue would drop it.

import MillraceBase
public import MillraceCore
public import MillraceLoop

public final class NodeShell {
    public let loop: EventLoop
    public let socket: UDPSocket
    private let core: any StreamCore
    private let onEvent: (CoreEvent) -> Void
    private var timer: LoopTimer?
    /// Datagrams that found the socket's ring full.
    public private(set) var datagramsDropped: UInt64 = 0
    private var isDraining = false

    public init(
        loop: EventLoop, socket: UDPSocket, core: any StreamCore, onEvent: @escaping (CoreEvent) -> Void
    ) throws(LoopError) {
        self.loop = loop
        self.socket = socket
        self.core = core
        self.onEvent = onEvent
        timer = try LoopTimer(on: loop) { [unowned self] in
            core.handleTimeout(now: Machine.now)
            drain()
        }
    }

    public func start() {
        let core = core
        socket.onReturn = { core.release($0) }
        socket.start(
            onDatagram: { [unowned socket] bytes, from in
                core.receive(bytes, from: from, isMarked: socket.isMarked, now: Machine.now)
            },
            onBatchEnd: { [unowned self] in drain() })
        core.handleTimeout(now: Machine.now)
        drain()
    }

    /// Takes everything the core has to say. Call it after anything that mutated the core.
    public func drain() {
        if isDraining { return }
        isDraining = true
        // Nearly all outputs are datagrams, and an output of any kind is twice the size.
        repeat {
            while let datagram = core.nextDatagram() { send(datagram) }
        } while takeOutput()
        isDraining = false
        timer?.set(core.nextDeadline)
    }

    /// The next output of any kind. False when there is none.
    private func takeOutput() -> Bool {
        guard let output = core.nextOutput() else { return false }
        switch output {
        case .send(let datagram): send(datagram)
        case .event(let event): onEvent(event)
        case .flush: socket.flush()
        }
        return true
    }

    private func send(_ datagram: OutgoingDatagram) {
        let bytes = core.bytes(of: datagram.buffer)
        if let base = bytes.baseAddress,
            socket.lend(base, count: datagram.count, buffer: datagram.buffer, to: datagram.to)
        {
            return
        }
        if !socket.send(UnsafeRawBufferPointer(rebasing: bytes[..<datagram.count]), to: datagram.to) {
            datagramsDropped &+= 1
        }
        core.release(datagram.buffer)
    }

    public func close() {
        timer?.close()
        timer = nil
        socket.close()
    }
}

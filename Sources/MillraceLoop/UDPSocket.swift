import CLibuv
import CMillraceShims
public import MillraceBase

/// How a socket is set up; the defaults suit a node.
public struct UDPSocketOptions: Sendable {
    /// Datagrams that may wait for the kernel. More are refused (`nextSlot` answers nil) and counted.
    public var queueSlots = 1_024
    /// The longest datagram that can be sent. 2,048 holds any datagram of a 1,500-byte path.
    public var slotBytes = 2_048
    /// Datagrams received before other handles of the loop get their turn.
    public var datagramsPerTurnMax = 1_024
    /// Asked of the kernel for each direction; what it granted is in `UDPSocket.kernelBufferBytes`.
    public var kernelBufferBytes = 4 << 20
    /// Segmentation offload on the way out (GSO) and on the way in (GRO), where the kernel has them.
    public var usesOffload = true
    /// Datagrams say that they may be marked by routers with a queue (ECT(0), RFC 3168).
    public var mayBeMarked = false

    public init() {}
}

/// What went through a socket since it was opened.
public struct UDPCounters: Sendable, Equatable {
    public var datagramsSent: UInt64 = 0
    public var bytesSent: UInt64 = 0
    public var datagramsReceived: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    /// Not queued because the queue was full.
    public var queueFull: UInt64 = 0
    /// Refused by the kernel for good: no route, too large.
    public var refused: UInt64 = 0
    /// Lost because the kernel's receive buffer was full before we read it.
    public var kernelDrops: UInt64 = 0
    /// System calls made, to see what offload saves.
    public var sendCalls: UInt64 = 0
    public var receiveCalls: UInt64 = 0
}

/// A UDP socket that moves datagrams in batches, with segmentation offload where the kernel has it.
///
/// Sending: write a datagram straight into `nextSlot()`, then `commit(count:to:)`; or lend one that lies elsewhere
/// (`lend`), which is given back when the kernel has it. Committed datagrams leave at the end of the loop's turn or at
/// `flush()`; equal sizes to one address leave as one system call. When the kernel is full they wait
/// in a ring of fixed slots, and when that is full the socket says so. Datagrams to one address keep their order.
///
/// Receiving: `onDatagram` gets each datagram's bytes, lent for the call and writable (sessions decrypt in place), then
/// `onBatchEnd` runs once, so that a shell may drain its core once for many datagrams.
///
/// Nothing is allocated per datagram. A datagram can do no worse than be dropped.
public final class UDPSocket {
    public typealias DatagramHandler = (_ bytes: UnsafeMutableRawBufferPointer, _ from: PeerAddress) -> Void

    public let localAddress: PeerAddress
    public let kernelBufferBytes: (receive: Int, send: Int)
    private let loop: EventLoop
    private let options: UDPSocketOptions
    private var socket: mr_udp
    private var poll: Poll?
    private var onDatagram: DatagramHandler?
    private var onBatchEnd: (() -> Void)?

    private let ring: UnsafeMutablePointer<mr_datagram>
    private let slots: UnsafeMutableRawPointer
    private let mask: UInt32
    private var head: UInt32 = 0
    private var queued: UInt32 = 0
    /// Waiting for the loop to flush at the end of the turn.
    private var isDirty = false
    /// The kernel said it is full: wait for it to be writable.
    private var isBlocked = false
    /// A slot has been given out and not committed: it must stay the next one.
    private var isSlotLent = false
    /// What was lent, by place in the ring; nil where the datagram lies in its slot.
    private var lent: [BufferHandle?]
    /// Lent bytes are given back with this: in `flush()`, and not after it has returned.
    public var onReturn: ((BufferHandle) -> Void)?

    private var base = UDPCounters()
    /// Explicit congestion bits (RFC 3168) of the datagram now in the handler.
    public private(set) var congestionBits: UInt8 = 0
    /// What a router with a queue makes of bits that are not zero.
    public static let congestionMark: UInt8 = 3
    /// The datagram now in the handler was marked.
    public var isMarked: Bool { congestionBits == UDPSocket.congestionMark }

    /// Opens and binds; port 0 takes a free one (see `localAddress`).
    public init(
        on loop: EventLoop, bind address: PeerAddress, options: UDPSocketOptions = UDPSocketOptions()
    ) throws(LoopError) {
        self.loop = loop
        self.options = options
        var socket = mr_udp()
        let features =
            (options.usesOffload ? UInt32(MR_UDP_GSO | MR_UDP_GRO) : 0)
            | (options.mayBeMarked ? UInt32(MR_UDP_ECT) : 0)
        var status = mr_udp_open(&socket, address.shim, features, Int32(clamping: options.kernelBufferBytes))
        guard status == 0 else { throw LoopError(status, "UDP \(address) cannot be bound") }
        var local = mr_address()
        status = mr_udp_local(&socket, &local)
        guard status == 0 else {
            mr_close(socket.fd)
            throw LoopError(status, "UDP \(address) cannot be bound")
        }
        var sizes: (Int32, Int32) = (0, 0)
        _ = mr_udp_buffers(&socket, &sizes.0, &sizes.1)
        kernelBufferBytes = (Int(sizes.0), Int(sizes.1))
        localAddress = PeerAddress(local)
        self.socket = socket

        var capacity = 16
        while capacity < min(options.queueSlots, 65_536) { capacity *= 2 }
        mask = UInt32(capacity - 1)
        ring = .allocate(capacity: capacity)
        lent = Array(repeating: nil, count: capacity)
        slots = .allocate(byteCount: capacity * options.slotBytes, alignment: 64)
        for i in 0..<capacity {
            ring[i] = mr_datagram(
                to: mr_address(), bytes: slots + i * options.slotBytes, count: 0, state: 1, ecn: 0)
        }
        switch Poll.make(on: loop, descriptor: socket.fd, onReady: { [unowned self] in ready($0) }) {
        case .success(let poll):
            self.poll = poll
            poll.retainOwner(self)
        case .failure(let failure):
            mr_close(socket.fd)
            throw LoopError(failure.errno, "UDP \(address) cannot be watched")
        }
    }

    deinit {
        ring.deallocate()
        slots.deallocate()
    }

    /// Begins to receive.
    public func start(onDatagram: @escaping DatagramHandler, onBatchEnd: (() -> Void)? = nil) {
        self.onDatagram = onDatagram
        self.onBatchEnd = onBatchEnd
        updateInterest()
    }

    /// Closes now; queued datagrams that the kernel does not take at once are lost.
    public func close() {
        guard poll?.isOpen == true else { return }
        flush()
        poll?.close()
        onDatagram = nil
        onBatchEnd = nil
        onReturn = nil
    }

    public var isOpen: Bool { poll?.isOpen == true }

    public var counters: UDPCounters {
        var all = base
        all.refused = socket.refused
        all.kernelDrops = UInt64(socket.kernel_drops)
        all.sendCalls = socket.sends
        return all
    }

    /// Whether equal datagrams leave as one send, and arrive as one receive.
    public var offload: (send: Bool, receive: Bool) {
        (socket.features & UInt32(MR_UDP_GSO) != 0, socket.features & UInt32(MR_UDP_GRO) != 0)
    }

    // MARK: Sending

    /// Datagrams committed and not yet with the kernel.
    public var queuedCount: Int { Int(queued) }

    /// Free slots.
    public var freeSlots: Int { Int(mask) + 1 - Int(queued) }

    /// Where the next datagram may be written (`slotBytes` bytes), or nil when the queue is full. The same slot is
    /// given until it is committed.
    public func nextSlot() -> UnsafeMutableRawBufferPointer? {
        if queued > mask {
            // The loop may be deep in one handler: give the kernel a chance before refusing.
            if !isBlocked { flush() }
            if queued > mask {
                base.queueFull &+= 1
                return nil
            }
        }
        isSlotLent = true
        let index = Int((head &+ queued) & mask)
        return UnsafeMutableRawBufferPointer(
            start: slots + index * options.slotBytes, count: options.slotBytes)
    }

    /// Queues the datagram written into `nextSlot()`: its first `count` bytes.
    /// `congestionBits` are its own, 0 for what the socket's options say.
    public func commit(count: Int, to address: PeerAddress, congestionBits: UInt8 = 0) {
        precondition(count >= 0 && count <= options.slotBytes && queued <= mask, "commit without a slot")
        isSlotLent = false
        enter(count: count, to: address, congestionBits: congestionBits)
    }

    @inline(__always)
    private func enter(count: Int, to address: PeerAddress, congestionBits: UInt8) {
        let entry = ring + Int((head &+ queued) & mask)
        entry.pointee.to = address.shim
        entry.pointee.count = UInt32(count)
        entry.pointee.state = 0
        entry.pointee.ecn = UInt32(congestionBits)
        queued &+= 1
        if !isDirty {
            isDirty = true
            loop.needsFlush(self)
        }
    }

    /// Datagrams that are lent at once: then the queue is flushed. A quarter of a core's buffers.
    static let lentMax = 256

    /// Queues a datagram of `count` bytes without a copy: `onReturn` gets `buffer` when `bytes` may change, at the next flush at
    /// the latest, which may be now. False, and nothing is lent, when the queue is full or waits for the kernel, or when the
    /// socket is closed.
    public func lend(
        _ bytes: UnsafeMutableRawPointer, count: Int, buffer: BufferHandle, to address: PeerAddress
    ) -> Bool {
        precondition(count >= 0 && count <= options.slotBytes && !isSlotLent, "a datagram is lent as a whole")
        if isBlocked || queued > mask || !isOpen { return false }
        let index = Int((head &+ queued) & mask)
        ring[index].bytes = bytes
        lent[index] = buffer
        enter(count: count, to: address, congestionBits: 0)
        if queued >= UDPSocket.lentMax { flush() }
        return true
    }

    /// Where a lent datagram was, its slot is again: with the bytes, if they are still to go.
    private func takeBack(_ index: Int) {
        guard let buffer = lent[index] else { return }
        let slot = slots + index * options.slotBytes
        if ring[index].state == 0 {
            slot.copyMemory(from: ring[index].bytes, byteCount: Int(ring[index].count))
        }
        ring[index].bytes = slot
        lent[index] = nil
        onReturn?(buffer)
    }

    /// Queues a copy; false when the queue is full or the datagram longer than a slot.
    @discardableResult
    public func send(_ bytes: UnsafeRawBufferPointer, to address: PeerAddress) -> Bool {
        guard bytes.count <= options.slotBytes, let slot = nextSlot() else { return false }
        slot.copyMemory(from: bytes)
        commit(count: bytes.count, to: address)
        return true
    }

    /// Hands queued datagrams to the kernel, as many as it takes.
    public func flush() {
        isDirty = false
        guard queued > 0, isOpen, !isBlocked else { return }
        drain()
        updateInterest()
    }

    private func drain() {
        _ = mr_udp_send(&socket, ring, mask, head, queued)
        while queued > 0 {
            let entry = ring[Int(head)]
            if entry.state == 0 { break }
            takeBack(Int(head))
            if entry.state == 1 {
                base.datagramsSent &+= 1
                base.bytesSent &+= UInt64(entry.count)
            }
            head = (head &+ 1) & mask
            queued &-= 1
        }
        isBlocked = queued > 0
        for waiting in 0..<queued { takeBack(Int((head &+ waiting) & mask)) }
        // An empty ring starts over, so that a quiet socket keeps using the same warm memory.
        if queued == 0, !isSlotLent { head = 0 }
    }

    // MARK: Events

    private func updateInterest() {
        var interest: Poll.Readiness = onDatagram == nil ? [] : .readable
        if isBlocked { interest.insert(.writable) }
        poll?.watch(interest)
    }

    private func ready(_ readiness: Poll.Readiness) {
        if readiness.contains(.writable), isBlocked {
            drain()
            updateInterest()
        }
        if readiness.contains(.readable) { receive() }
    }

    private func receive() {
        guard let onDatagram else { return }
        let slotBytes = MR_UDP_SLOT_BYTES
        var datagrams = 0
        while datagrams < options.datagramsPerTurnMax {
            let runs = mr_udp_recv(&socket, loop.receiveArena, UInt32(MR_UDP_BATCH), loop.received)
            base.receiveCalls &+= 1
            guard runs > 0 else { break }
            for i in 0..<Int(runs) {
                let run = loop.received[i]
                let from = PeerAddress(run.from)
                let bytes = loop.receiveArena + i * slotBytes
                congestionBits = UInt8(truncatingIfNeeded: run.ecn)
                let total = Int(run.count)
                let segment = max(Int(run.segment), 1)
                base.bytesReceived &+= UInt64(total)
                // An empty datagram is a datagram too.
                var offset = 0
                repeat {
                    let count = min(segment, total - offset)
                    onDatagram(UnsafeMutableRawBufferPointer(start: bytes + offset, count: count), from)
                    offset += count
                    datagrams += 1
                } while offset < total
            }
            // The handler may have closed the socket.
            if !isOpen || runs < MR_UDP_BATCH { break }
        }
        base.datagramsReceived &+= UInt64(datagrams)
        onBatchEnd?()
    }
}

@available(*, unavailable)
extension UDPSocket: Sendable {}

extension PeerAddress {
    @inline(__always)
    var shim: mr_address { mr_address(high: high, low: low, port: port) }

    @inline(__always)
    init(_ shim: mr_address) { self.init(high: shim.high, low: shim.low, port: shim.port) }
}

import CLibuv
import CMillraceShims

/// Reads bytes from a pipe, a terminal, a socket or a plain file, in chunks, on the loop, with back-pressure: the live feed.
///
/// `onChunk` gets bytes lent for the call, at most `chunkBytes`; after `pause()` no more come until `resume()`, and the writer
/// on the other side feels it. `onEnd` runs once: at the end of the stream with nil, or with what went wrong. The reader
/// then still has to be closed. Plain files, which no kernel can poll, are read by libuv's threads.
public final class ByteStreamReader {
    public typealias ChunkHandler = (_ bytes: UnsafeRawBufferPointer) -> Void

    private enum Backend {
        case poll(Poll)
        case file(FileReads)
        case ended
    }

    private var backend = Backend.ended
    private let buffer: UnsafeMutableRawBufferPointer
    private let descriptor: Int32
    private let name: String
    private var isPaused = false
    private var onChunk: ChunkHandler?
    private var onEnd: ((LoopError?) -> Void)?

    /// Standard input. It is left in blocking mode, since other processes may share it.
    public static func standardInput(
        on loop: EventLoop, onChunk: @escaping ChunkHandler, onEnd: @escaping (LoopError?) -> Void
    ) throws(LoopError) -> ByteStreamReader {
        try ByteStreamReader(
            on: loop, descriptor: 0, ownsDescriptor: false, name: "standard input", onChunk: onChunk,
            onEnd: onEnd)
    }

    /// Reads `descriptor`, and closes it in the end when it owns it.
    public init(
        on loop: EventLoop, descriptor: Int32, ownsDescriptor: Bool = true, name: String,
        chunkBytes: Int = 65_536,
        onChunk: @escaping ChunkHandler, onEnd: @escaping (LoopError?) -> Void
    ) throws(LoopError) {
        self.descriptor = descriptor
        self.name = name
        self.onChunk = onChunk
        self.onEnd = onEnd
        buffer = .allocate(byteCount: max(chunkBytes, 1), alignment: 64)
        let flags = mr_flags(descriptor)
        switch Poll.make(
            on: loop, descriptor: descriptor, ownsDescriptor: ownsDescriptor,
            onReady: { [unowned self] _ in readable() })
        {
        case .success(let poll):
            // libuv made it non-blocking. On a descriptor we share that would surprise others; reading only when it
            // is readable does not block either.
            if !ownsDescriptor, flags >= 0 { _ = mr_set_flags(descriptor, flags) }
            backend = .poll(poll)
            poll.retainOwner(self)
            poll.watch(.readable)
        case .failure(let status) where status.errno == UV_EPERM.rawValue:
            let reads = FileReads(loop, descriptor, ownsDescriptor, buffer) { [unowned self] in completed($0)
            }
            backend = .file(reads)
            reads.owner = self
            reads.next()
        case .failure(let status):
            if ownsDescriptor { mr_close(descriptor) }
            throw LoopError(status.errno, "\(name) cannot be read")
        }
    }

    deinit { buffer.deallocate() }

    /// No more chunks until `resume()`.
    public func pause() {
        guard !isPaused else { return }
        isPaused = true
        if case .poll(let poll) = backend { poll.watch([]) }
    }

    public func resume() {
        guard isPaused else { return }
        isPaused = false
        switch backend {
        case .poll(let poll): poll.watch(.readable)
        case .file(let reads): reads.next()
        case .ended: break
        }
    }

    public func close() {
        switch backend {
        case .poll(let poll): poll.close()
        case .file(let reads): reads.close()
        case .ended: return
        }
        backend = .ended
        onChunk = nil
        onEnd = nil
    }

    private func readable() {
        let count = mr_read(descriptor, buffer.baseAddress, buffer.count)
        if count == Int(UV_EAGAIN.rawValue) { return }
        deliver(count)
    }

    private func completed(_ count: Int) {
        deliver(count)
        // The handler may have paused or closed us.
        if count > 0, !isPaused, case .file(let reads) = backend { reads.next() }
    }

    private func deliver(_ count: Int) {
        if count > 0 {
            onChunk?(UnsafeRawBufferPointer(start: buffer.baseAddress, count: count))
            return
        }
        let end = onEnd
        onEnd = nil
        onChunk = nil
        if case .poll(let poll) = backend { poll.watch([]) }
        end?(count == 0 ? nil : LoopError(Int32(clamping: count), "\(name) cannot be read"))
    }
}

@available(*, unavailable)
extension ByteStreamReader: Sendable {}

/// One read at a time on libuv's threads. Closing waits for the read in flight, whose completion gives everything back.
private final class FileReads {
    private let loop: EventLoop
    private let descriptor: Int32
    private let ownsDescriptor: Bool
    private let buffer: UnsafeMutableRawBufferPointer
    private let request: UnsafeMutablePointer<uv_fs_t>
    private let onRead: (Int) -> Void
    private var isReading = false
    private var isClosed = false
    var owner: AnyObject?

    init(
        _ loop: EventLoop, _ descriptor: Int32, _ ownsDescriptor: Bool,
        _ buffer: UnsafeMutableRawBufferPointer,
        _ onRead: @escaping (Int) -> Void
    ) {
        self.loop = loop
        self.descriptor = descriptor
        self.ownsDescriptor = ownsDescriptor
        self.buffer = buffer
        self.onRead = onRead
        request = .allocate(capacity: 1)
    }

    deinit {
        precondition(isClosed && !isReading, "a file was released while it was read")
        request.deallocate()
    }

    func next() {
        guard !isReading, !isClosed else { return }
        isReading = true
        var part = uv_buf_init(
            buffer.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(clamping: buffer.count))
        request.pointee.data = Unmanaged.passRetained(self).toOpaque()
        // Offset -1: from the file's own position, as read(2) does.
        let status = uv_fs_read(loop.uv, request, descriptor, &part, 1, -1) { request in
            guard let request, let data = request.pointee.data else { return }
            let reads = Unmanaged<FileReads>.fromOpaque(data).takeRetainedValue()
            let count = request.pointee.result
            uv_fs_req_cleanup(request)
            reads.isReading = false
            if reads.isClosed { reads.release() } else { reads.onRead(count) }
        }
        precondition(status == 0, "uv_fs_read failed with \(status)")
    }

    func close() {
        guard !isClosed else { return }
        isClosed = true
        if !isReading { release() }
    }

    private func release() {
        if ownsDescriptor { mr_close(descriptor) }
        owner = nil
    }
}

/// Writes a recording: header, genesis, blocks of diffs and commitments in order, then the index.
///
///     let writer = try RecordingWriter(path: "x.mill", header: header)
///     try writer.write(genesis: …)            // any number, before the first diff
///     try writer.write(diff)                  // heights without gaps
///     try writer.write(commitment: hash, height: …)
///     try writer.finish()                     // index, flush to disk, rename into place
///
/// With `.whenFinished` the file appears under its name only after `finish()`. With `.atOnce` it is there from the start
/// and readable at any time: a crash leaves a torn tail, which readers drop with a warning and `init(appendingTo:)` cuts
/// off. Memory: one open block of 4 MiB and a diff, and 24 bytes of index a second of stream.

public import MillraceBase
public import MillraceDiff

public final class RecordingWriter {
    public enum Appearance: Sendable {
        case whenFinished
        case atOnce
    }

    /// Where bytes go: a file, or memory (tests, vectors).
    private enum Sink {
        case file(OutputFile)
        case memory
    }

    private let sink: Sink
    /// What went to `.memory`.
    private var memory: [UInt8] = []
    private var chain: Hash32
    private var offset: UInt64
    private var block = DiffBlockBuilder()
    private var index: RecordingIndex
    private let compressor: ZstdCompressor
    private var frame: [UInt8] = []
    private var isFinished = false

    public let header: RecordingHeader
    /// Sums so far, the open block included.
    public var totals: RecordingTotals { index.totals }
    /// Bytes of whole frames so far.
    public var byteCount: UInt64 { offset }

    // MARK: Life cycle

    public convenience init(
        path: String, header: RecordingHeader, appearance: Appearance = .whenFinished, level: Int32 = 3
    ) throws(RecordingError) {
        let file: OutputFile
        switch appearance {
        case .whenFinished: file = try OutputFile(path: path)
        case .atOnce: file = try OutputFile(path: path, continuingAt: 0)
        }
        try self.init(sink: .file(file), header: header, level: level)
    }

    /// Into memory; `finishedBytes()` gives them.
    public convenience init(header: RecordingHeader, level: Int32 = 3) throws(RecordingError) {
        try self.init(sink: .memory, header: header, level: level)
    }

    private init(sink: Sink, header: RecordingHeader, level: Int32) throws(RecordingError) {
        guard header.description.utf8.count <= RecordingLimits.descriptionBytesMax else {
            throw RecordingError(
                .invalid, "a description holds at most \(RecordingLimits.descriptionBytesMax) bytes")
        }
        self.sink = sink
        self.header = header
        chain = RecordingFrame.firstChain
        offset = 0
        index = RecordingIndex()
        compressor = ZstdCompressor(level: level)
        try emit(RecordingFrame.magic)
        try emit(.header, header.body)
    }

    /// Opens an existing recording to write on. Everything in it is checked on the way; a torn tail is cut off.
    public init(appendingTo path: String, level: Int32 = 3) throws(RecordingError) {
        let reader = try RecordingReader(path: path)
        while try reader.next() != nil {}
        header = reader.header
        index = reader.rebuiltIndex
        chain = reader.chain
        offset = reader.offset
        compressor = ZstdCompressor(level: level)
        sink = .file(try OutputFile(path: path, continuingAt: reader.offset))
    }

    // MARK: Content

    /// Writes state from before the stream, split so that no frame holds more than 64 Ki cells. The diff's kind becomes
    /// `genesis` and its heights 0; it may not destroy anything.
    public func write(genesis diff: StateDiff) throws(RecordingError) {
        guard index.totals.lastHeight == 0 else {
            throw RecordingError(.invalid, "genesis comes before the first mini-block")
        }
        for part in try GenesisParts.split(diff, accounts: index.totals.accounts, slots: index.totals.slots) {
            try add(part, to: .genesis)
            try closeBlock(.genesis)
        }
    }

    /// Writes a mini-block, or a window of them. Heights go on without gaps; the first may be any above 0.
    public func write(_ diff: StateDiff) throws(RecordingError) {
        guard diff.kind != .genesis, diff.firstHeight > 0, diff.lastHeight >= diff.firstHeight else {
            throw RecordingError(.invalid, "a diff needs heights from 1 and a kind other than genesis")
        }
        let last = index.totals.lastHeight
        guard last == 0 || diff.firstHeight == last + 1 else {
            throw RecordingError(
                .invalid, "height \(diff.firstHeight) does not follow \(last): a recording has no gaps")
        }
        if block.mustClose(before: diff.firstHeight) { try closeBlock(.diffs) }
        try add(diff, to: .diffs)
        if diff.lastHeight % Limits.miniBlocksPerEVMBlock == 0 { try closeBlock(.diffs) }
    }

    /// Writes what the state hashes to after the mini-block at `height`, which must be the last one written.
    public func write(commitment: Hash32, height: UInt64) throws(RecordingError) {
        guard height == index.totals.lastHeight else {
            throw RecordingError(
                .invalid,
                "a commitment belongs to the last height written, \(index.totals.lastHeight), not \(height)")
        }
        try closeBlock(.diffs)
        try emit(.commitment, RecordedCommitment(height: height, commitment: commitment).body)
        index.totals.commitments += 1
    }

    /// Closes the open block and hands everything to the operating system.
    public func flush() throws(RecordingError) {
        try closeBlock(.diffs)
        if case .file(let file) = sink { try file.flush() }
    }

    /// Writes index and end, flushes to disk, puts the file in its place. Nothing may be written after it.
    public func finish() throws(RecordingError) {
        precondition(!isFinished, "a recording is finished once")
        try closeBlock(.diffs)
        let indexOffset = offset
        try emit(.index, index.body)
        var end: [UInt8] = []
        end.appendLittleEndian(indexOffset)
        end.append(contentsOf: RecordingFrame.endMagic)
        try emit(.end, end)
        isFinished = true
        if case .file(let file) = sink { try file.commit() }
    }

    /// Finishes a recording in memory.
    public func finishedBytes() throws(RecordingError) -> [UInt8] {
        try finish()
        return memory
    }

    // MARK: Frames

    private func add(_ diff: StateDiff, to kind: FrameKind) throws(RecordingError) {
        precondition(!isFinished, "nothing is written after finish()")
        if !block.add(diff) {
            // Alone it may still fit.
            try closeBlock(kind)
            guard block.add(diff) else {
                throw RecordingError(
                    .tooLarge,
                    "the diff at height \(diff.firstHeight) takes more than \(RecordingLimits.blockBytesMax) bytes"
                )
            }
        }
        index.totals.add(diff)
    }

    private func closeBlock(_ kind: FrameKind) throws(RecordingError) {
        guard !block.isEmpty else { return }
        let head = block.head
        if kind == .diffs {
            index.entries.append(
                RecordingIndex.Entry(
                    offset: offset, firstHeight: head.firstHeight, lastHeight: head.lastHeight))
        }
        try emit(kind, block.close(with: compressor))
    }

    private func emit(_ kind: FrameKind, _ body: [UInt8]) throws(RecordingError) {
        frame.removeAll(keepingCapacity: true)
        chain = RecordingFrame.append(kind, body: body, chain: chain, to: &frame)
        try emit(frame)
    }

    private func emit(_ bytes: [UInt8]) throws(RecordingError) {
        switch sink {
        case .file(let file): try file.write(bytes)
        case .memory: memory.append(contentsOf: bytes)
        }
        offset += UInt64(bytes.count)
    }
}

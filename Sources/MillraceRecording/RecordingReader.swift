/// Reads a recording from front to back, one diff at a time, checking every frame on the way: head check, CRC, hash
/// chain, and that everything decodes.
///
///     let reader = try RecordingReader(path: "x.mill")
///     while let item = try reader.next() { … }
///     if let torn = reader.tornTail { warn(torn.message) }
///
/// A file that ends inside a frame gives everything before it and then `nil`, with `tornTail` saying where; anything else
/// that is wrong throws `.corrupt`, naming the frame. One block is held at a time: 64 MiB at most, 4 MiB as written here.

import MillraceBase
import MillraceCrypto
public import MillraceDiff

public enum RecordingItem: Sendable {
    /// State from before the stream, in the order to be applied in. Comes before all diffs.
    case genesis(StateDiff)
    case diff(StateDiff)
    /// What the state hashes to after the diffs so far.
    case commitment(RecordedCommitment)
}

public final class RecordingReader {
    private let source: ByteSource
    private let decompressor = ZstdDecompressor()
    /// Chain value, head, body and chain value of the frame at hand.
    private var frame: [UInt8] = []
    private var raw: [UInt8] = []
    private var rawOffset = 0
    private var blockHead = DiffBlockHead()
    private var blockLeft = 0
    private var blockKind = FrameKind.diffs
    private var commitmentHeight: UInt64?
    private var isSeeking = false

    public let header: RecordingHeader
    /// Whole frames read so far.
    public private(set) var frameCount = 0
    /// Where the next frame begins.
    public private(set) var offset: UInt64
    private(set) var chain: Hash32
    /// Where and why the file ends early; nil while it has not, or when it ends as it should.
    public private(set) var tornTail: RecordingError?
    /// Whether the file's last frame so far is its end frame.
    public private(set) var isComplete = false
    /// What the diffs read so far amount to, and where their blocks lie: the index as a scan gives it.
    public private(set) var rebuiltIndex = RecordingIndex()
    public var totals: RecordingTotals { rebuiltIndex.totals }
    public var byteCount: UInt64 { source.byteCount }
    public var name: String { source.name }

    // MARK: Life cycle

    public convenience init(path: String) throws(RecordingError) {
        try self.init(source: try ByteSource(path: path))
    }

    /// From memory; `name` stands in messages.
    public convenience init(bytes: [UInt8], name: String = "recording") throws(RecordingError) {
        try self.init(source: ByteSource(bytes: bytes, name: name))
    }

    init(source: ByteSource) throws(RecordingError) {
        self.source = source
        var magic = [UInt8](repeating: 0, count: RecordingFrame.magic.count)
        let got = try RecordingReader.fill(&magic, from: source, at: 0)
        guard got == magic.count, magic == RecordingFrame.magic else {
            throw RecordingError(
                .notARecording, "\(source.name): not a Millrace recording (its first 8 bytes are others)")
        }
        offset = UInt64(magic.count)
        chain = RecordingFrame.firstChain
        // Stored properties are complete only with a header, so read the first frame by hand.
        let first = try FrameInput.read(source, at: offset, chain: chain, number: 1, into: &frame)
        switch first {
        case .frame(let type, let next, let bytes):
            guard type == FrameKind.header.rawValue else {
                throw RecordingError(.corrupt, "\(source.name): frame 1 is not a header")
            }
            do {
                header = try RecordingHeader(body: FrameInput.body(frame))
            } catch {
                throw RecordingError(error.code, "\(source.name): \(error.message)")
            }
            chain = next
            offset += bytes
            frameCount = 1
        case .end, .torn:
            throw RecordingError(
                .torn, "\(source.name): the file ends inside its header, nothing can be read from it")
        }
        guard header.kind == .diff else {
            throw RecordingError(
                .notARecording, "\(source.name): a recording of datagrams, which this program cannot read yet"
            )
        }
    }

    private static func fill(
        _ bytes: inout [UInt8], from source: ByteSource, at offset: UInt64
    ) throws(RecordingError) -> Int {
        try FrameInput.fill(&bytes, 0, bytes.count, source, at: offset)
    }

    // MARK: Reading on

    /// The next item, or nil at the end, be it the proper one or a torn tail.
    public func next() throws(RecordingError) -> RecordingItem? {
        while true {
            if blockLeft > 0 {
                var diff = StateDiff()
                try nextOfBlock(into: &diff)
                return blockKind == .genesis ? .genesis(diff) : .diff(diff)
            }
            if let commitment = try nextFrame() { return .commitment(commitment) }
            if blockLeft == 0 { return nil }
        }
    }

    /// Like `next`, for those who want diffs of every kind, genesis too, in memory they keep; false at the end.
    public func nextDiff(into diff: inout StateDiff) throws(RecordingError) -> Bool {
        while blockLeft == 0 {
            if try nextFrame() == nil, blockLeft == 0 { return false }
        }
        try nextOfBlock(into: &diff)
        return true
    }

    private func nextOfBlock(into diff: inout StateDiff) throws(RecordingError) {
        var failure: DiffSerialisationError?
        do {
            var reader = ByteReader(raw.span.bytes.extracting(rawOffset..<raw.count))
            try DiffSerialisation.decode(&reader, into: &diff)
            rawOffset += reader.offset
        } catch {
            failure = error
        }
        if let failure {
            let number = blockHead.count - blockLeft + 1
            blockLeft = 0
            throw corrupt("diff \(number) of its block does not decode (\(failure))")
        }
        blockLeft -= 1
        let isFirst = blockLeft == blockHead.count - 1
        guard (diff.kind == .genesis) == (blockKind == .genesis) else {
            throw corrupt("a diff of kind \(diff.kind) stands in the wrong kind of frame")
        }
        if diff.kind != .genesis {
            let last = totals.lastHeight
            guard last == 0 || isSeeking || diff.firstHeight == last &+ 1, last != .max else {
                throw corrupt("height \(diff.firstHeight) does not follow height \(last)")
            }
        }
        guard !isFirst || diff.firstHeight == blockHead.firstHeight,
            blockLeft > 0 || diff.lastHeight == blockHead.lastHeight && rawOffset == raw.count
        else { throw corrupt("a block's content is not what its head says") }
        isSeeking = false
        rebuiltIndex.totals.add(diff)
    }

    /// Reads one frame. A commitment is returned; a block is made ready and nil returned, `blockLeft` above zero; at the
    /// end nil is returned and `blockLeft` is zero.
    private func nextFrame() throws(RecordingError) -> RecordedCommitment? {
        while true {
            if tornTail != nil { return nil }
            let start = offset
            let type: UInt8
            switch try FrameInput.read(source, at: offset, chain: chain, number: frameCount + 1, into: &frame)
            {
            case .end:
                if !isComplete {
                    tornTail = RecordingError(
                        .torn,
                        "\(name): the file ends at byte \(offset), after frame \(frameCount), without an index and an end"
                    )
                }
                return nil
            case .torn:
                tornTail = RecordingError(
                    .torn,
                    "\(name): the file ends inside frame \(frameCount + 1), which begins at byte \(offset); "
                        + "the \(byteCount - offset) bytes from there are dropped"
                )
                return nil
            case .frame(let t, let next, let bytes):
                (type, chain) = (t, next)
                offset += bytes
                frameCount += 1
            }
            isComplete = false
            let body = FrameInput.body(frame)
            switch FrameKind(rawValue: type) {
            case .genesis, .diffs:
                let kind: FrameKind = type == FrameKind.genesis.rawValue ? .genesis : .diffs
                guard kind == .diffs || totals.lastHeight == 0 else {
                    throw corrupt("genesis after the first mini-block")
                }
                try open(body, kind, at: start)
                return nil
            case .commitment:
                guard let commitment = RecordedCommitment(body: body), commitment.height == totals.lastHeight
                else {
                    throw corrupt("a commitment that is not one of the height before it")
                }
                rebuiltIndex.totals.commitments += 1
                return commitment
            case .index:
                guard let index = RecordingIndex(body: body) else {
                    throw corrupt("the seek index does not decode")
                }
                // After a seek the scan has not seen everything; otherwise both must agree.
                guard hasSeeked || index == rebuiltIndex else {
                    throw corrupt("the seek index does not say what the recording holds")
                }
                indexOffset = start
            case .end:
                var expected: [UInt8] = []
                expected.appendLittleEndian(indexOffset)
                expected.append(contentsOf: RecordingFrame.endMagic)
                guard body == expected else {
                    throw corrupt("the end frame does not point at the index before it")
                }
                isComplete = true
            case .header:
                throw corrupt("a second header")
            case nil:
                throw corrupt("a frame of unknown type \(type)")
            }
        }
    }

    private var indexOffset: UInt64 = 0
    private var hasSeeked = false

    private func open(_ body: [UInt8], _ kind: FrameKind, at start: UInt64) throws(RecordingError) {
        var head: DiffBlockHead?
        var headBytes = 0
        do {
            var reader = ByteReader(body.span.bytes)
            head = DiffBlockHead(&reader)
            headBytes = reader.offset
        }
        guard let head, (kind == .genesis) == (head.lastHeight == 0) else {
            throw corrupt("a block whose head does not decode")
        }
        guard
            decompressor.decompress(
                body.span.bytes.extracting(headBytes..<body.count), count: head.rawByteCount, into: &raw)
        else { throw corrupt("a block does not decompress to the \(head.rawByteCount) bytes it claims") }
        (blockHead, blockLeft, rawOffset, blockKind) = (head, head.count, 0, kind)
        if kind == .diffs {
            if let last = rebuiltIndex.entries.last, head.firstHeight <= last.lastHeight {
                throw corrupt(
                    "a block that begins at height \(head.firstHeight), after one that ended at \(last.lastHeight)"
                )
            }
            rebuiltIndex.entries.append(
                RecordingIndex.Entry(
                    offset: start, firstHeight: head.firstHeight, lastHeight: head.lastHeight))
        }
    }

    private func corrupt(_ what: String) -> RecordingError {
        RecordingError(.corrupt, "\(name): frame \(frameCount): \(what)")
    }

    // MARK: Seeking

    /// The index as the file carries it; nil when it has none (torn, or still being written).
    public func storedIndex() throws(RecordingError) -> RecordingIndex? {
        guard byteCount >= UInt64(RecordingFrame.endFrameBytes) else { return nil }
        var end = [UInt8](repeating: 0, count: RecordingFrame.endFrameBytes)
        let endOffset = byteCount - UInt64(end.count)
        guard try RecordingReader.fill(&end, from: source, at: endOffset) == end.count,
            let head = end.withUnsafeBytes({ RecordingFrame.head($0) }), head.type == FrameKind.end.rawValue,
            head.bodyBytes == RecordingFrame.endBodyBytes,
            Array(end[20..<28]) == RecordingFrame.endMagic
        else { return nil }
        let at = end.withUnsafeBytes {
            UInt64(littleEndian: $0.loadUnaligned(fromByteOffset: 12, as: UInt64.self))
        }
        guard at >= 8 + 32, at < endOffset else { return nil }
        var before = [UInt8](repeating: 0, count: 32)
        guard try RecordingReader.fill(&before, from: source, at: at - 32) == 32, let chain = Hash32(before)
        else {
            return nil
        }
        var buffer: [UInt8] = []
        guard
            case .frame(FrameKind.index.rawValue, _, let bytes) =
                try FrameInput.read(source, at: at, chain: chain, number: 0, into: &buffer),
            at + bytes == endOffset
        else { return nil }
        return RecordingIndex(body: FrameInput.body(buffer))
    }

    /// Goes on at the block that holds `height` (or, where it lies before the stream, at the first one). Diffs before
    /// `height` in the same block still come; ids mean what they meant to someone who applied all that came before.
    /// `index` is the stored or a rebuilt one.
    public func seek(to height: UInt64, using index: RecordingIndex) throws(RecordingError) {
        guard let entry = index.entry(covering: height) ?? index.entries.first else { return }
        guard entry.offset >= 8 + 32, entry.offset < byteCount else {
            throw RecordingError(.corrupt, "\(name): the seek index points outside of the file")
        }
        var before = [UInt8](repeating: 0, count: 32)
        guard try RecordingReader.fill(&before, from: source, at: entry.offset - 32) == 32,
            let chain = Hash32(before)
        else { throw RecordingError(.corrupt, "\(name): the seek index points outside of the file") }
        self.chain = chain
        offset = entry.offset
        rebuiltIndex = RecordingIndex()
        (blockLeft, isSeeking, hasSeeked, tornTail, isComplete) = (0, true, true, nil, false)
    }
}

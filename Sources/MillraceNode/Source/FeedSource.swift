/// A live feed: prestateTracer objects, one after the other, on standard input or a unix socket, sealed every beat.
///
/// What has arrived since the last beat becomes one mini-block (of at most `transactionsPerMiniBlockMax`), with a bridge in
/// front where the feed's `pre` differs from the state so far. A beat without transactions is an empty mini-block. A
/// unix socket takes one connection at a time; when it closes, the next may come, and the stream goes on. Standard input's
/// end is the stream's end.
///
/// Bounds: `aheadMax` sealed diffs wait at most, then reading pauses and the writer feels it.

public import MillraceBase
public import MillraceDiff
public import MillraceLoop
import MillraceWorkload

public final class FeedSource: DiffSource {
    static let transactionsPerMiniBlockMax = 10_000
    static let aheadMax = 200

    private let path: String
    private let importer: PrestateImporter
    private var feed = PrestateFeed()
    private var reader: ByteStreamReader?
    private var listener: UnixListener?
    private var arrived: [PrestateTransaction] = []
    private var sealed: [StateDiff] = []
    private var hasEnded = false
    private var failure: SourceError?

    public var name: String { "feed:\(path)" }

    public init(path: String, loop: EventLoop, seed: Seed) throws {
        self.path = path
        importer = PrestateImporter(
            state: State(seed: seed), rule: .transactions(FeedSource.transactionsPerMiniBlockMax))
        if path == "-" {
            reader = try ByteStreamReader.standardInput(
                on: loop, onChunk: { [unowned self] in take($0) },
                onEnd: { [unowned self] in streamEnded($0) })
        } else {
            listener = try UnixListener(on: loop, path: path) { [unowned self] descriptor in
                connect(descriptor, loop)
            }
        }
    }

    private func connect(_ descriptor: Int32, _ loop: EventLoop) {
        do {
            let next = try ByteStreamReader(
                on: loop, descriptor: descriptor, name: name, onChunk: { [unowned self] in take($0) },
                onEnd: { [unowned self] in connectionEnded($0) })
            // One feed at a time: a second writer would mix its bytes with the first one's.
            if reader == nil { reader = next } else { next.close() }
        } catch { failure = SourceError(error.description) }
    }

    private func take(_ bytes: UnsafeRawBufferPointer) {
        feed.append(bytes)
        do throws(JSONError) {
            while try feed.next(into: &arrived) {}
        } catch {
            failure = SourceError("\(name): line \(error.line): \(error.message)")
            reader?.pause()
            return
        }
        if arrived.count >= FeedSource.transactionsPerMiniBlockMax * 2 { reader?.pause() }
    }

    private func streamEnded(_ error: LoopError?) {
        finishFeed(error)
        hasEnded = true
    }

    private func connectionEnded(_ error: LoopError?) {
        finishFeed(error)
        feed = PrestateFeed()
        reader?.close()
        reader = nil
    }

    private func finishFeed(_ error: LoopError?) {
        if let error { failure = failure ?? SourceError(error.description) }
        do throws(JSONError) { try feed.finish() } catch {
            failure = failure ?? SourceError("\(name): line \(error.line): \(error.message)")
        }
    }

    public func nextGenesis(into diff: inout StateDiff) throws -> Bool { false }

    public func next(height: UInt64, sealedAtMicroseconds: UInt64, into diff: inout StateDiff) throws
        -> SourceStep
    {
        if sealed.isEmpty, !arrived.isEmpty {
            let batch = arrived
            arrived.removeAll(keepingCapacity: true)
            importer.add(block: batch) { sealed.append($0) }
        }
        if sealed.count < FeedSource.aheadMax, failure == nil { reader?.resume() }
        if !sealed.isEmpty {
            diff = sealed.removeFirst()
            diff.firstHeight = height
            diff.lastHeight = height
            return .sealed
        }
        if let failure { throw failure }
        return hasEnded ? .ended : .waiting
    }

    public func close() {
        reader?.close()
        reader = nil
        listener?.close()
    }
}

/// A recording played as a source: read, decompressed and parsed ahead on a thread of its own, so that a block of 4 MiB
/// does not hold up the loop. The thread and the loop share one bounded list under one lock; when the list is full the
/// thread waits, when it is empty the loop waits (a disk slower than the stream is the stream's limit).

import Foundation
import MillraceBase
public import MillraceDiff
import MillraceRecording

public final class RecordingSource: DiffSource, @unchecked Sendable {
    /// Half a second of the 100,000 TPS stream: about 30 MB.
    static let diffsAheadMax = 50

    private enum Item {
        case genesis(StateDiff)
        case diff(StateDiff)
        case failed(String)
        case ended
    }

    private let path: String
    private let condition = NSCondition()
    private var ahead: [Item] = []
    private var isStopped = false
    /// A mini-block read while looking for more genesis.
    private var held: Item?
    private var lastHeight: UInt64 = 0

    /// Opens the file at once, so that a wrong path or a foreign file is told before anything runs.
    public init(path: String) throws {
        self.path = path
        let reader: RecordingReader
        do throws(RecordingError) {
            reader = try RecordingReader(path: path)
        } catch { throw ConfigError(error.message) }
        let box = ReaderBox(reader: reader)
        let thread = Thread { [weak self] in RecordingSource.read(box.reader, into: { self }) }
        thread.stackSize = 1 << 20
        thread.start()
    }

    /// Hands the reader to the one thread that uses it.
    private struct ReaderBox: @unchecked Sendable { let reader: RecordingReader }

    public var name: String { "recording:\(path)" }

    deinit {
        condition.withLock {
            isStopped = true
            condition.broadcast()
        }
    }

    private static func read(_ reader: RecordingReader, into owner: () -> RecordingSource?) {
        while true {
            let item: Item
            do throws(RecordingError) {
                switch try reader.next() {
                case .genesis(let diff): item = .genesis(diff)
                case .diff(let diff): item = .diff(diff)
                case .commitment: continue
                case nil: item = reader.tornTail.map { .failed($0.message) } ?? .ended
                }
            } catch { item = .failed(error.message) }
            var isLast = false
            switch item {
            case .failed, .ended: isLast = true
            case .genesis, .diff: break
            }
            // The owner is asked for anew each time: a source that is gone ends its thread.
            while true {
                guard let source = owner() else { return }
                if source.offer(item) { break }
            }
            if isLast { return }
        }
    }

    /// Adds an item, waiting up to 50 ms for room; false when there was none. True also when the source has stopped.
    private func offer(_ item: Item) -> Bool {
        condition.withLock {
            if isStopped { return true }
            if ahead.count >= RecordingSource.diffsAheadMax {
                _ = condition.wait(until: Date().addingTimeInterval(0.05))
            }
            guard ahead.count < RecordingSource.diffsAheadMax else { return isStopped }
            ahead.append(item)
            condition.broadcast()
            return true
        }
    }

    private func take() -> Item {
        if let item = held {
            held = nil
            return item
        }
        return condition.withLock {
            while ahead.isEmpty { condition.wait() }
            // The last item stays, so that asking again after the end answers the same.
            switch ahead[0] {
            case .ended, .failed: return ahead[0]
            case .genesis, .diff:
                condition.broadcast()
                return ahead.removeFirst()
            }
        }
    }

    public func nextGenesis(into diff: inout StateDiff) throws -> Bool {
        let item = take()
        switch item {
        case .genesis(let genesis):
            diff = genesis
            return true
        case .diff:
            held = item
            return false
        case .ended: return false
        case .failed(let message): throw SourceError(message)
        }
    }

    public func next(height: UInt64, sealedAtMicroseconds: UInt64, into diff: inout StateDiff) throws
        -> SourceStep
    {
        switch take() {
        case .genesis: throw SourceError("\(path): state from before the stream in the middle of it")
        case .diff(let recorded):
            guard recorded.firstHeight == height, recorded.lastHeight == height else {
                throw SourceError(
                    "\(path): mini-block \(recorded.firstHeight) where \(height) was expected; "
                        + "only recordings from height 1 can be played"
                )
            }
            diff = recorded
            diff.sealedAtMicroseconds = sealedAtMicroseconds
            return .sealed
        case .ended: return .ended
        case .failed(let message): throw SourceError(message)
        }
    }
}

/// The state before a recording's stream, for a replica: its genesis frames applied to an empty state.
public enum Genesis {
    public static func load(path: String, into state: State) throws {
        do throws(RecordingError) {
            let reader = try RecordingReader(path: path)
            while let item = try reader.next() {
                guard case .genesis(let diff) = item else { break }
                do throws(DiffError) {
                    try state.apply(diff)
                } catch {
                    throw RecordingError(.corrupt, "\(path): a genesis frame does not apply: \(error)")
                }
            }
        } catch { throw SourceError(error.message) }
    }
}

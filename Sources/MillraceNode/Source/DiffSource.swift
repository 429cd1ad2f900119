/// Where a sequencer's mini-blocks come from: a recording, a generator, a live feed. A source owns whatever state it needs
/// to make canonical diffs; the sequencer core applies them to its own.

import MillraceBase
public import MillraceDiff
import MillraceLoop

public enum SourceStep: Sendable {
    /// The diff is the next height's.
    case sealed
    /// Nothing yet: the source is live and this mini-block is empty.
    case waiting
    case ended
}

/// Why a source cannot go on, as one sentence.
public struct SourceError: Error, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

public protocol DiffSource: AnyObject {
    /// One line for people.
    var name: String { get }
    /// The next part of the state before the stream; false when there is no more.
    func nextGenesis(into diff: inout StateDiff) throws -> Bool
    /// Called once per mini-block interval, with consecutive heights from 1.
    func next(height: UInt64, sealedAtMicroseconds: UInt64, into diff: inout StateDiff) throws -> SourceStep
    /// Frees what the source holds of the loop.
    func close()
}

/// What `--source` names: `recording:FILE`, `generate:SPEC` or `feed:-` / `feed:PATH` (a unix socket).
public enum SourceSpec: Equatable, Sendable {
    case recording(path: String)
    case generate(spec: String)
    case feed(path: String)

    public init(_ text: String) throws {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        guard parts.count == 2, !parts[1].isEmpty else {
            throw ConfigError(
                "--source is \"\(text)\"; expected recording:FILE, generate:WORKLOAD or feed:- (or feed:SOCKET)"
            )
        }
        switch parts[0] {
        case "recording": self = .recording(path: parts[1])
        case "generate": self = .generate(spec: parts[1])
        case "feed": self = .feed(path: parts[1])
        default:
            throw ConfigError(
                "--source begins with \"\(parts[0]):\"; expected recording:FILE, generate:WORKLOAD or feed:- (or feed:SOCKET)"
            )
        }
    }
}

extension DiffSource {
    public func close() {}
}

extension SourceSpec {
    func open(seed: Seed, loop: EventLoop) throws -> any DiffSource {
        switch self {
        case .recording(let path): try RecordingSource(path: path)
        case .generate(let spec): try WorkloadSource(spec: spec, seed: seed)
        case .feed(let path): try FeedSource(path: path, loop: loop, seed: seed)
        }
    }
}

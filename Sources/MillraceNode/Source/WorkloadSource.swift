/// A generated workload as a source.

public import MillraceBase
public import MillraceDiff
import MillraceWorkload

/// Generated as it goes, in the loop's own thread: for tests and long runs. What must be ready beforehand is generated
/// into a recording.
public final class WorkloadSource: DiffSource {
    private let stream: WorkloadStream
    private let spec: WorkloadSpec

    public init(spec text: String, seed: Seed) throws {
        do throws(WorkloadError) {
            spec = try WorkloadSpec(text)
            stream = WorkloadStream(GeneratedWorkload(spec), seed: seed)
        } catch { throw ConfigError(error.description) }
    }

    public var name: String { spec.text }

    public func nextGenesis(into diff: inout StateDiff) throws -> Bool { try stream.nextGenesis(into: &diff) }

    public func next(height: UInt64, sealedAtMicroseconds: UInt64, into diff: inout StateDiff) throws
        -> SourceStep
    {
        if let last = spec.miniBlocks, height > last { return .ended }
        return try stream.nextMiniBlock(
            transactions: spec.transactions(atHeight: height), sealedAtMicroseconds: sealedAtMicroseconds,
            into: &diff)
            ? .sealed : .ended
    }
}

/// A source of transactions: first the state before the stream, in chunks, then one transaction's writes after another.
///
///     while try workload.nextGenesisChunk(into: builder) { seal as genesis, apply }
///     while try workload.nextTransaction(into: builder) { … seal a mini-block now and then, apply }
///
/// A workload is a function of its specification (or its file) alone: the same one writes the same, on any machine. The
/// genesis comes to its end before the first transaction is asked for.

public import MillraceDiff

public protocol Workload: AnyObject {
    /// One line for people and for a recording's header.
    var name: String { get }

    /// Writes the next part of the state before the stream, about `WorkloadLimits.genesisChunkCells` cells; false when
    /// nothing was left to write.
    func nextGenesisChunk(into builder: DiffBuilder) throws(WorkloadError) -> Bool

    /// Writes the next transaction, from `beginTransaction` to `endTransaction`; false at the end of the stream.
    func nextTransaction(into builder: DiffBuilder) throws(WorkloadError) -> Bool
}

/// Why a workload cannot be had or goes on no longer: one sentence.
public struct WorkloadError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String

    public init(_ description: String) { self.description = description }
}

public enum WorkloadLimits {
    /// Cells of genesis sealed at a time: about 8 MB of pending writes.
    public static let genesisChunkCells = 65_536
    /// Accounts of a generated chain: about 1 GB of model with their holdings.
    public static let accountsMax = 4_000_000
    /// Tokens or pools.
    public static let tokensMax = 10_000
    /// Transactions per second that can be asked for: 100,000 in a mini-block.
    public static let transactionsPerSecondMax = 10_000_000
    /// A week.
    public static let secondsMax = 604_800
    /// Characters of a specification's text.
    public static let specificationBytesMax = 1_024
}

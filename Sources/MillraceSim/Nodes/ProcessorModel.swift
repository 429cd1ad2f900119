/// What work costs a node, in nanoseconds of one core. A node whose work takes longer than the time between events falls
/// behind, as a real one does: datagrams wait in its socket, and are dropped when that is full.
///
/// The defaults are a round fit to one machine's benchmarks; a scenario's `processor` replaces them.

public struct ProcessorModel: Hashable, Sendable {
    /// System call, authentication and hash of one datagram received.
    public var receiveNanoseconds: Int64 = 4_000
    /// Of one datagram sent, sealed and handed to the system in a batch.
    public var sendNanoseconds: Int64 = 2_500
    /// Decoding and applying one transaction (replica), until it is told that its mini-block is applied.
    public var applyNanoseconds: Int64 = 2_200
    /// Encoding and applying one transaction (sequencer), until its mini-block's datagrams leave.
    public var encodeNanoseconds: Int64 = 2_300
    /// What either does after that for one transaction: its share of the state commitment.
    public var upkeepNanoseconds: Int64 = 600

    /// Told by values, a transaction costs a sixth of that at both ends, at most.
    static let valuesShare: Int64 = 6

    public init() {}

    /// Nothing costs anything.
    public static let unlimited: ProcessorModel = {
        var model = ProcessorModel()
        (model.receiveNanoseconds, model.sendNanoseconds) = (0, 0)
        (model.applyNanoseconds, model.encodeNanoseconds, model.upkeepNanoseconds) = (0, 0, 0)
        return model
    }()

    /// Bytes that wait in a node's socket before datagrams are dropped: what the program asks of the kernel.
    public static let socketBytesMax = 4 << 20
}

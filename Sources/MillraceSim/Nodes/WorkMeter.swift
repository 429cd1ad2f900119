/// What the real work of a run at full fidelity took on this machine: the costs of `ProcessorModel`, measured where the simulator
/// itself does that work. The clock belongs to whoever calls: nanoseconds of processor time of this thread.
///
/// Encoding is the sequencer's seal; receiving is what a replica's core does with a datagram (open, hash, place); applying is
/// what a replica then does per transaction (recover, decode, write); upkeep is what a replica does when it has told so (its
/// share of the commitment); sending is a relay's turn per datagram (frame, seal). System calls are no part of a simulation and
/// come on top.

import MillraceCore

public final class WorkMeter {
    private let clock: () -> UInt64
    private(set) var encode = Sum()
    private(set) var receive = Sum()
    private(set) var apply = Sum()
    private(set) var upkeep = Sum()
    private(set) var send = Sum()

    struct Sum {
        var nanoseconds: UInt64 = 0
        var count: UInt64 = 0
        var each: Int64? { count > 0 ? Int64(nanoseconds / count) : nil }
    }

    public init(clock: @escaping () -> UInt64) { self.clock = clock }

    var now: UInt64 { clock() }

    func noteEncoded(since begin: UInt64, transactions: Int) {
        encode.nanoseconds &+= clock() &- begin
        encode.count &+= UInt64(max(transactions, 0))
    }

    func noteReceived(since begin: UInt64, by role: NodeRole) {
        guard role == .replica else { return }
        receive.nanoseconds &+= clock() &- begin
        receive.count &+= 1
    }

    /// A node's outputs were taken: `sent` datagrams, and the `transactions` of what it applied; its upkeep, if there was any,
    /// came last.
    func noteDrained(
        since begin: UInt64, upkeepSince upkeepBegins: UInt64?, by role: NodeRole, sent: Int64,
        transactions: Int64
    ) {
        let now = clock()
        let took = (upkeepBegins ?? now) &- begin
        if role == .replica {
            apply.nanoseconds &+= took
            apply.count &+= UInt64(max(transactions, 0))
            upkeep.nanoseconds &+= now &- (upkeepBegins ?? now)
            upkeep.count &+= UInt64(max(transactions, 0))
        } else if role == .relay, sent > 0 {
            send.nanoseconds &+= took
            send.count &+= UInt64(sent)
        }
    }

    /// The costs measured, where there was such work; `system` nanoseconds on top of what each datagram costs.
    public func model(systemReceive: Int64, systemSend: Int64) -> ProcessorModel {
        var model = ProcessorModel()
        if let each = encode.each { model.encodeNanoseconds = each }
        if let each = apply.each { model.applyNanoseconds = each }
        if let each = upkeep.each { model.upkeepNanoseconds = each }
        if let each = receive.each { model.receiveNanoseconds = each + systemReceive }
        if let each = send.each { model.sendNanoseconds = each + systemSend }
        return model
    }
}

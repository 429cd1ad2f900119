/// What came of attacks, and the figures of a network as a whole.

import MillraceBase
import MillraceCore
import MillraceLink
import MillraceWire

/// Of all replicas together, while the stream ran.
public struct NetworkResult: Sendable {
    /// The p99 of what mini-blocks took beyond the delays of the way straight from the sequencer.
    public var deliveryOverDirectMsP99 = 0.0
    /// What came through replicas' lines, packets and all, without parity, over the stream on the wire without parity.
    public var receivedOverOwed = 0.0
    /// The parity that came besides.
    public var parityOverOwed = 0.0
    /// What came without parity over the payload sealed.
    public var wireOverPayload = 0.0
}

public struct AttackResult: Sendable {
    public var kind: Attack.Kind
    /// That it brought or turned.
    public var nodes = 0
    public var atMs = 0.0
    public var endsMs: Double?
    /// Of the honest nodes' parents: the share that are its nodes, when it begins and at the end.
    public var seatsAtStrike = 0.0
    public var seatsAtEnd = 0.0
    /// Of its nodes: banned by some honest node.
    public var banned = 0
    /// That its senders put on their lines; of those, that a core was handed and that it took as genuine.
    public var datagrams: UInt64 = 0
    public var bytes: UInt64 = 0
    public var arrived: UInt64 = 0
    public var accepted: UInt64 = 0
    /// Bytes to addresses that are nobody's over bytes that seemed to come from them.
    public var amplification = 0.0
}

public struct AttackFigures: Sendable {
    public var attacks: [AttackResult] = []
    /// Bans of honest nodes by honest nodes.
    public var honestBanned = 0
    /// Honest nodes without all of the stream at the end.
    public var honestUnconverged = 0
    /// Honest replicas whose state is not the sequencer's (full fidelity).
    public var stateMismatches = 0
    public var baselineLagMsP99: Double?
    /// Of mini-blocks sealed once the time for recovery had passed.
    public var afterLagMsP99: Double?
    public var afterOverDirectMsP99: Double?
    /// From the first attack until every second's p99 was within bounds for good; nil when it never was, or without bound.
    public var recoveryMs: Double?
    /// Until every honest node had stopped with a proof; nil when one did not.
    public var equivocationProvenMs: Double?
}

extension Simulation {
    /// Of all replicas and mini-blocks: what a run without attacks is asked for.
    public var lagMsP99: Double { lagBook.p99() }

    func networkResult(_ stream: StreamRates) -> NetworkResult {
        var result = NetworkResult()
        result.deliveryOverDirectMsP99 = overDirectBook.p99()
        guard !replicas.isEmpty else { return result }
        var wire = 0.0
        var parity = 0.0
        for node in replicas {
            let overhead = UInt64(
                node.hasDown ? node.down.model.parameters.overheadBytes : WireCost.packetBytes)
            wire += Double(node.passedAtStreamEnd.bytes + overhead * node.passedAtStreamEnd.datagrams)
            // Sums of headers are parity, too. A parity shred has a datagram to itself.
            parity +=
                Double(node.sumBytesAtStreamEnd) + Double(node.receivedAtStreamEnd.parity)
                * (1 + Double(WireCost.packetBytes + WireCost.sessionBytes)
                    / Double(WireLimits.framesBytesMax))
        }
        let owed = stream.wireBits / 8 * streamSeconds * Double(replicas.count)
        let payload = stream.payloadBits / 8 * streamSeconds * Double(replicas.count)
        if owed > 0 {
            result.receivedOverOwed = (wire - parity) / owed
            result.parityOverOwed = parity / owed
        }
        if payload > 0 { result.wireOverPayload = (wire - parity) / payload }
        return result
    }

    func attackFigures(baselineLagMsP99: Double?) -> AttackFigures {
        var figures = AttackFigures()
        for state in attacks {
            var told = AttackResult(kind: state.attack.kind)
            told.nodes = state.nodes.count
            told.atMs = Double(state.attack.at.milliseconds)
            told.endsMs = state.attack.ends.map { Double($0.milliseconds) }
            func share(_ seats: AttackState.Seats) -> Double {
                seats.all > 0 ? Double(seats.taken) / Double(seats.all) : 0
            }
            told.seatsAtStrike = share(state.seatsAtStrike)
            told.seatsAtEnd = share(seats(of: state))
            told.banned = state.banned.count
            let requests = state.nodes.compactMap { ($0.core as? Requester)?.asked }.reduce(0, +)
            told.datagrams = state.datagrams + requests
            (told.bytes, told.arrived, told.accepted) = (state.bytes, state.arrived, state.accepted)
            if state.forgedBytesArrived > 0 {
                told.amplification = Double(state.forgedBytesBack) / Double(state.forgedBytesArrived)
            }
            figures.attacks.append(told)
        }
        figures.honestBanned = honestBans.count
        let end = UInt64(sealedAt.count)
        for node in nodes where node.attack == nil && node !== sequencer {
            let reached = node.role == .replica ? node.appliedHeight : node.statistics.completeThrough
            if reached < end || !node.stops.isEmpty { figures.honestUnconverged += 1 }
        }
        if stream != nil {
            let told = sequencerCore.stateCommitment()
            figures.stateMismatches = replicas.count { $0.replica?.stateCommitment() != told }
        }
        noteRecovery(&figures, baselineLagMsP99)
        noteEquivocation(&figures)
        return figures
    }

    private func noteRecovery(_ figures: inout AttackFigures, _ baseline: Double?) {
        let begins = attacks.map(\.attack.at).min() ?? .zero
        let allowed = Interval.milliseconds(Int64(scenario.expect.recoveryMs ?? 10_000))
        let after = DeliveryBook.bin(begins + allowed)..<DeliveryBook.binsMax
        figures.baselineLagMsP99 = baseline
        figures.afterLagMsP99 = lagBook.p99(after)
        figures.afterOverDirectMsP99 = overDirectBook.p99(after)
        if let bound = scenario.expect.recoveredOverDirectMs {
            figures.recoveryMs = overDirectBook.recovery(from: begins, bound: bound).map {
                Double($0.milliseconds)
            }
        } else if let times = scenario.expect.lagTimesBaseline, let baseline {
            figures.recoveryMs = lagBook.recovery(from: begins, bound: times * baseline).map {
                Double($0.milliseconds)
            }
        }
    }

    private func noteEquivocation(_ figures: inout AttackFigures) {
        guard let state = attacks.first(where: { $0.attack.kind == .equivocate }) else { return }
        var last = streamBegins + UInt64(state.attack.at.nanoseconds)
        let began = last
        for node in nodes where node.attack == nil && node !== sequencer {
            let isStopped = node.stops.contains { if case .equivocation = $0 { true } else { false } }
            guard isStopped, node.core?.evidence != nil, let at = node.stoppedAt else { return }
            last = max(last, at)
        }
        figures.equivocationProvenMs = Double(last - began) / 1e6
    }
}

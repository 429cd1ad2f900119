/// A result as the JSON object of `millrace simulate --json` (Protocol-Spec/cli.md).

public import MillraceBase
import MillraceCore
import MillraceLink

extension SimulationResult {
    public var json: JSON {
        var fields: [(String, JSON)] = [
            ("scenario", .string(scenario)), ("seed", .unsigned(seed)),
            ("fidelity", .string(fidelity.rawValue)),
            ("traceHash", .string(traceHash.text)), ("seconds", .number(seconds)),
            ("wallSeconds", .number(wallSeconds)),
            ("processorSeconds", processorSeconds.map { .number($0) } ?? .null),
            ("nodeSecondsPerSecond", .number(nodeSecondsPerSecond, decimals: 1)),
            ("events", .unsigned(events)),
            ("eventsPerSecond", .number(eventsPerSecond, decimals: 0)),
            ("queueEventsPerSecond", queueEventsPerSecond.map { .number($0, decimals: 0) } ?? .null),
            (
                "queueRatio",
                queueEventsPerSecond.map { .number($0 > 0 ? eventsPerSecond / $0 : 0, decimals: 3) } ?? .null
            ),
            ("mbitPerSecPerNode", .number(mbitPerSecPerNode)),
            ("peakMemoryMiB", peakMemoryMiB.map { .number($0, decimals: 1) } ?? .null),
            ("transactionsPerSecond", .number(transactionsPerSecond, decimals: 0)),
            ("payloadMbitPerSec", .number(payloadMbitPerSec)),
            ("streamMbitPerSec", .number(streamMbitPerSec)),
            ("sequencerUplinkRatio", .number(sequencerUplinkRatio)),
            ("deliveryOverDirectMsP99", .number(network.deliveryOverDirectMsP99)),
            ("receivedOverOwed", .number(network.receivedOverOwed)),
            ("parityOverOwed", .number(network.parityOverOwed)),
            ("wireOverPayload", .number(network.wireOverPayload)),
            ("verdict", .string(verdict.rawValue)),
            ("failures", .array(failures.map { .string($0) })),
        ]
        if let attacks { fields += attacks.json }
        fields += [("nodes", .array(nodes.map(\.json))), ("links", .array(links.map(\.json)))]
        return .object(fields)
    }
}

extension NodeResult {
    var json: JSON {
        var fields: [(String, JSON)] = [
            ("name", .string(name)), ("role", .string(role.rawValue)), ("verdict", .string(verdict.rawValue)),
            ("cadence", .string("\(cadence)")), ("settledCadence", .string("\(settledCadence)")),
            ("cadenceChanges", .integer(Int64(cadenceChanges))),
            ("windowsApplied", .unsigned(windowsApplied)),
            ("sessionsLost", .integer(Int64(sessionsLost))),
            ("staleUntilSecond", .number(staleUntilSecond, decimals: 2)),
            ("lagMsP50", .number(lagMsP50)), ("lagMsP99", .number(lagMsP99)),
            ("lagMsP999", .number(lagMsP999)),
            ("lagMsMax", .number(lagMsMax)), ("slopeMsPerSec", .number(slopeMsPerSec)),
            ("stalls", .integer(Int64(stalls))), ("longestStallMs", .number(longestStallMs)),
            ("appliedHeight", .unsigned(appliedHeight)), ("heightsBehind", .unsigned(heightsBehind)),
            ("heightAtStreamEnd", .unsigned(heightAtStreamEnd)),
            ("parents", .integer(Int64(parents))), ("parentsFound", .integer(Int64(parentsFound))),
            ("processorShare", .number(processorShare)),
            ("bytes", received.json), ("datagrams", .unsigned(datagramsReceived)), ("bytesSent", sent.json),
            (
                "repairs",
                .object([
                    ("asked", .unsigned(repairs.asked)), ("useful", .unsigned(repairs.useful)),
                    ("wasted", .unsigned(repairs.wasted)), ("timedOut", .unsigned(repairs.timedOut)),
                    ("heightsCaughtUp", .unsigned(repairs.heightsCaughtUp)),
                    ("slicesRecovered", .unsigned(repairs.slicesRecovered)),
                ])
            ),
        ]
        if let shortage {
            fields.append(
                (
                    "shortage",
                    .object([
                        ("resource", .string(shortage.resource.rawValue)),
                        ("mbitPerSec", .number(shortage.mbitPerSec)),
                    ])
                ))
        }
        if let stopped { fields.append(("stopped", .string(stopped))) }
        return .object(fields)
    }
}

extension AttackFigures {
    var json: [(String, JSON)] {
        func number(_ value: Double?) -> JSON { value.map { .number($0) } ?? .null }
        return [
            ("attacks", .array(attacks.map(\.json))), ("honestBanned", .integer(Int64(honestBanned))),
            ("honestUnconverged", .integer(Int64(honestUnconverged))),
            ("stateMismatches", .integer(Int64(stateMismatches))),
            ("baselineLagMsP99", number(baselineLagMsP99)), ("afterLagMsP99", number(afterLagMsP99)),
            ("afterOverDirectMsP99", number(afterOverDirectMsP99)), ("recoveryMs", number(recoveryMs)),
            ("equivocationProvenMs", number(equivocationProvenMs)),
        ]
    }
}

extension AttackResult {
    var json: JSON {
        .object([
            ("kind", .string(kind.rawValue)), ("nodes", .integer(Int64(nodes))),
            ("atMs", .number(atMs)), ("endsMs", endsMs.map { .number($0) } ?? .null),
            ("seatsAtStrike", .number(seatsAtStrike)), ("seatsAtEnd", .number(seatsAtEnd)),
            ("banned", .integer(Int64(banned))), ("datagrams", .unsigned(datagrams)),
            ("bytes", .unsigned(bytes)), ("arrived", .unsigned(arrived)), ("accepted", .unsigned(accepted)),
            ("amplification", .number(amplification)),
        ])
    }
}

extension ByteLedger {
    var json: JSON {
        .object([
            ("payload", .unsigned(payload)), ("header", .unsigned(header)), ("session", .unsigned(session)),
            ("parity", .unsigned(parity)), ("repair", .unsigned(repair)), ("control", .unsigned(control)),
            ("duplicate", .unsigned(duplicate)), ("ignored", .unsigned(ignored)), ("total", .unsigned(total)),
        ])
    }
}

extension LinkResult {
    var json: JSON {
        .object([
            ("node", .string(node)), ("direction", .string(direction)),
            ("rateMbitPerSec", rateMbitPerSec.map { .number($0) } ?? .null),
            ("utilisation", .number(utilisation)),
            ("offeredDatagrams", .unsigned(counters.offeredDatagrams)),
            ("offeredBytes", .unsigned(counters.offeredBytes)),
            ("deliveredDatagrams", .unsigned(counters.deliveredDatagrams)),
            ("deliveredBytes", .unsigned(counters.deliveredBytes)),
            ("lost", .unsigned(counters.lost)), ("queueFull", .unsigned(counters.queueFull)),
            ("managed", .unsigned(counters.managed)), ("tooLong", .unsigned(counters.tooLong)),
            ("duplicated", .unsigned(counters.duplicated)), ("reordered", .unsigned(counters.reordered)),
            ("corrupted", .unsigned(counters.corrupted)),
            ("queueBytesPeak", .integer(Int64(counters.queueBytesPeak))),
        ])
    }
}

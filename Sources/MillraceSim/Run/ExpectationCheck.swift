/// Whether a run holds what its scenario promises; a sentence for each promise that does not.

import MillraceBase
import MillraceCore

struct ExpectationCheck {
    let scenario: Scenario
    let result: SimulationResult
    private var expect: Expectations { scenario.expect }

    var failures: [String] { ofReplicas + ofNetwork + (result.attacks.map(ofAttacks) ?? []) }

    private func text(_ value: Double, _ decimals: Int = 2) -> String {
        JSON.number(value, decimals: decimals).text()
    }

    private var ofReplicas: [String] {
        var failures: [String] = []
        // At least as good as promised; but what is promised to fall behind must.
        if let verdict = expect.verdict,
            result.verdict.worse(than: verdict) != verdict
                || (verdict == .fallsBehind && result.verdict != .fallsBehind)
        {
            failures.append("the verdict is \(result.verdict.sentence), expected \(verdict.sentence)")
        }
        for node in result.nodes where node.role == .replica {
            if let cadence = expect.cadence, node.cadence != cadence {
                failures.append("\(node.name) follows \(node.cadence) at the end, expected \(cadence)")
            }
            if let second = expect.freshFrom, node.staleUntilSecond > second {
                let until = JSON.number(node.staleUntilSecond, decimals: 2).text()
                failures.append(
                    "\(node.name) is more than a second behind until second \(until), expected until \(second)"
                )
            }
            if expect.staysConnected == true, node.sessionsLost > 0 {
                failures.append("\(node.name) lost \(node.sessionsLost) sessions, expected none")
            }
        }
        let limits: [(String, Double?, KeyPath<NodeResult, Double>)] = [
            ("lagMsP50", expect.lagMsP50, \.lagMsP50), ("lagMsP99", expect.lagMsP99, \.lagMsP99),
            ("lagMsMax", expect.lagMsMax, \.lagMsMax),
        ]
        for (name, limit, path) in limits {
            guard let limit else { continue }
            let replicas = result.nodes.filter { $0.role == .replica }
            guard let worst = replicas.max(by: { $0[keyPath: path] < $1[keyPath: path] }),
                worst[keyPath: path] > limit
            else { continue }
            failures.append(
                "\(name) of \(worst.name) is \(text(worst[keyPath: path], 1)), expected at most \(limit)")
        }
        return failures
    }

    /// A sentence where `value` is above `limit`.
    private func above(_ name: String, _ value: Double, _ limit: Double?) -> String? {
        guard let limit, value > limit else { return nil }
        return "\(name) is \(text(value)), expected at most \(text(limit))"
    }

    private var ofNetwork: [String] {
        let network = result.network
        return [
            above("deliveryOverDirectMsP99", network.deliveryOverDirectMsP99, expect.deliveryOverDirectMsP99),
            above("receivedOverOwed", network.receivedOverOwed, expect.receivedOverOwed),
            above("wireOverPayload", network.wireOverPayload, expect.wireOverPayload),
            above("sequencerUplinkRatio", result.sequencerUplinkRatio, expect.sequencerUplinkRatio),
        ].compactMap { $0 }
    }

    private func ofAttacks(_ figures: AttackFigures) -> [String] {
        var failures = figures.attacks.compactMap(didNothing)
        if figures.stateMismatches > 0, expect.equivocationProvenMs == nil {
            failures.append("\(figures.stateMismatches) replicas have another state than the sequencer")
        }
        if expect.converges == true, figures.honestUnconverged > 0 {
            failures.append("\(figures.honestUnconverged) honest nodes do not have all of the stream")
        }
        if let limit = expect.honestBanned, figures.honestBanned > limit {
            failures.append("honest nodes banned \(figures.honestBanned) honest ones, expected \(limit)")
        }
        if let least = expect.attackersBannedMin {
            let banned = figures.attacks.reduce(0) { $0 + $1.banned }
            if banned < least {
                failures.append("\(banned) attackers are banned, expected at least \(least)")
            }
        }
        if let limit = expect.accepted {
            let accepted = figures.attacks.filter { $0.kind == .replay || $0.kind == .flood }.reduce(0) {
                $0 + $1.accepted
            }
            if accepted > UInt64(limit) {
                failures.append("\(accepted) datagrams were taken as genuine, expected \(limit)")
            }
        }
        if let limit = expect.amplification {
            failures += figures.attacks.compactMap { above("amplification", $0.amplification, limit) }
        }
        failures += ofRecovery(figures)
        if let limit = expect.equivocationProvenMs {
            if let proven = figures.equivocationProvenMs {
                failures += [above("equivocationProvenMs", proven, limit)].compactMap { $0 }
            } else {
                failures.append("not every honest node stopped with a proof of two histories")
            }
        }
        return failures
    }

    private func ofRecovery(_ figures: AttackFigures) -> [String] {
        guard let limit = expect.recoveryMs else { return [] }
        var failures: [String] = []
        if let recovery = figures.recoveryMs {
            failures += [above("recoveryMs", recovery, limit)].compactMap { $0 }
        } else if expect.lagTimesBaseline != nil, figures.baselineLagMsP99 == nil {
            failures.append("lagTimesBaseline needs a run without the attacks to be measured against")
        } else {
            failures.append("the p99 is not within bounds again when the stream ends")
        }
        return failures
    }

    /// An attack that had no effect says nothing about who withstood it.
    private func didNothing(_ attack: AttackResult) -> String? {
        let isIdle: Bool
        switch attack.kind.family {
        // A stranger that strikes at once has no seat when it does: then it is to have been given one later.
        case .strangers: isIdle = attack.seatsAtStrike == 0 && attack.seatsAtEnd == 0
        case .turned: isIdle = attack.nodes == 0 || attack.seatsAtStrike == 0
        case .senders: isIdle = attack.datagrams == 0
        case .twin: isIdle = false
        }
        return isIdle ? "the attack \(attack.kind.rawValue) had nothing to do: nobody it could harm" : nil
    }
}

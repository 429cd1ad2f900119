/// `[expect]` as people write it.

import MillraceBase
import MillraceCore

extension Scenario {
    mutating func readExpectations(_ root: TOMLSection) throws(ScenarioError) {
        guard let section = try root.section("expect") else { return }
        try section.only([
            "verdict", "lagMsP50", "lagMsP99", "lagMsMax", "deliveryOverDirectMsP99", "receivedOverOwed",
            "wireOverPayload", "sequencerUplinkRatio", "lagTimesBaseline", "recoveredOverDirectMs",
            "recoveryMs",
            "converges", "honestBanned", "attackersBannedMin", "amplification", "accepted",
            "equivocationProvenMs", "cadence", "freshFrom", "staysConnected",
        ])
        if let text = try section.string("verdict") {
            guard let verdict = LinkVerdict(rawValue: text) else {
                throw section.wrong(
                    "verdict",
                    "\"\(text)\" is no verdict: "
                        + LinkVerdict.allCases.map(\.rawValue).joined(separator: ", "))
            }
            expect.verdict = verdict
        }
        let range = 0.0...1e9
        expect.lagMsP50 = try section.number("lagMsP50", range)
        expect.lagMsP99 = try section.number("lagMsP99", range)
        expect.lagMsMax = try section.number("lagMsMax", range)
        if let text = try section.string("cadence") {
            guard let cadence = Cadence(name: text) else {
                throw section.wrong("cadence", "\"cadence\" is \"\(text)\", expected c0, c1, c2 or c3")
            }
            expect.cadence = cadence
        }
        expect.freshFrom = try section.number("freshFrom", range)
        expect.staysConnected = try section.flag("staysConnected")
        expect.deliveryOverDirectMsP99 = try section.number("deliveryOverDirectMsP99", range)
        expect.receivedOverOwed = try section.number("receivedOverOwed", range)
        expect.wireOverPayload = try section.number("wireOverPayload", range)
        expect.sequencerUplinkRatio = try section.number("sequencerUplinkRatio", range)
        expect.converges = try section.flag("converges")
        expect.honestBanned = try section.integer("honestBanned", 0...ScenarioLimits.nodesMax)

        let ofAttacks = [
            "converges", "honestBanned", "lagTimesBaseline", "recoveredOverDirectMs", "recoveryMs",
            "attackersBannedMin", "amplification",
            "accepted", "equivocationProvenMs",
        ]
        if attacks.isEmpty, let key = ofAttacks.first(where: { section.has($0) }) {
            throw section.wrong(key, "\"\(key)\" is of [[attacks]], and there are none")
        }
        expect.lagTimesBaseline = try section.number("lagTimesBaseline", 1...1_000)
        expect.recoveredOverDirectMs = try section.number("recoveredOverDirectMs", range)
        expect.recoveryMs = try section.number("recoveryMs", range)
        let hasBound = expect.lagTimesBaseline != nil || expect.recoveredOverDirectMs != nil
        if hasBound != (expect.recoveryMs != nil) {
            throw section.wrong(
                hasBound ? nil : "recoveryMs",
                "\"recoveryMs\" says when \"lagTimesBaseline\" or \"recoveredOverDirectMs\" holds again: give both"
            )
        }
        expect.attackersBannedMin = try section.integer("attackersBannedMin", 1...ScenarioLimits.nodesMax)
        expect.amplification = try section.number("amplification", range)
        expect.accepted = try section.integer("accepted", 0...1_000_000)
        expect.equivocationProvenMs = try section.number("equivocationProvenMs", range)
    }
}

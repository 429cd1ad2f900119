/// `[[attacks]]` as people write them (Simulations/README.md), and back.

import MillraceBase
import MillraceLink

extension Scenario {
    private static let attackKeys = ["kind", "at", "for"]
    private static let brought = ["count", "link", "down", "up", "subnets"]

    /// What a kind of attack may say besides when.
    private static func keys(_ kind: Attack.Kind) -> [String] {
        switch kind {
        case .eclipse: brought + ["perHonest", "target"]
        case .censor: brought + ["perHonest", "oneOf"]
        case .degrade: brought + ["perHonest", "perMille"]
        case .coldBoot, .covertFlash, .dawn: brought + ["perHonest"]
        case .colocation: ["count", "link", "down", "up", "perHonest"]
        case .withhold, .stealth: ["nodes", "perMille"]
        case .silence: ["nodes"]
        case .forge: ["nodes", "copies"]
        case .replay: brought + ["target", "copies"]
        case .spoof, .flood, .repairAbuse: brought + ["target", "perSecond"]
        case .equivocate: ["target", "link", "down", "up"]
        }
    }

    mutating func readAttacks(_ root: TOMLSection, _ files: LinkFileReader?) throws(ScenarioError) {
        for section in try root.sections("attacks", max: ScenarioLimits.attacksMax) {
            let names = Attack.Kind.allCases.map(\.rawValue)
            guard let text = try section.string("kind") else {
                throw section.wrong(nil, "an attack has a \"kind\": " + names.joined(separator: ", "))
            }
            guard let kind = Attack.Kind(rawValue: text) else {
                throw section.wrong(
                    "kind",
                    "there is no attack \"\(text)\": " + names.joined(separator: ", ")
                        + Suggestion.hint(for: text, among: names))
            }
            try section.only(Scenario.attackKeys + Scenario.keys(kind))
            attacks.append(try attack(kind, section, files))
        }
    }

    private func attack(
        _ kind: Attack.Kind, _ section: TOMLSection, _ files: LinkFileReader?
    ) throws(ScenarioError) -> Attack {
        var attack = Attack(kind, try force(kind, section))
        attack.at = try section.duration("at") ?? .zero
        attack.lasts = try section.duration("for")
        if ["link", "down", "up"].contains(where: { section.has($0) }) {
            attack.link = try Scenario.link(section, files)
        }
        if Scenario.keys(kind).contains("subnets") {
            let usual = kind.family == .strangers ? Attack.defaultSubnets : 1
            attack.subnets = try section.integer("subnets", 1...ScenarioLimits.subnetsMax) ?? usual
        }
        if let target = try section.string("target") {
            attack.target = try selector(target, section, "target")
        } else if Scenario.keys(kind).contains("target") {
            throw section.wrong(nil, "\(kind.rawValue) has a \"target\": the nodes it is aimed at")
        }
        func needed(_ key: String, _ range: ClosedRange<Int>, _ usual: Int? = nil) throws(ScenarioError)
            -> Int
        {
            guard let value = try section.integer(key, range) ?? usual else {
                throw section.wrong(nil, "\(kind.rawValue) says \"\(key)\"")
            }
            return value
        }
        switch kind {
        case .censor: attack.oneOf = try needed("oneOf", 2...1_000)
        case .degrade, .stealth: attack.perMille = try needed("perMille", 1...1_000)
        case .withhold: attack.perMille = try needed("perMille", 1...1_000, 1_000)
        case .forge: attack.copies = try needed("copies", 1...100, 1)
        case .replay: attack.copies = try needed("copies", 1...100, 1)
        case .spoof, .flood, .repairAbuse:
            attack.perSecond = try needed("perSecond", 1...ScenarioLimits.attackRateMax)
        default: break
        }
        if kind.needsBytes, fidelity != .full {
            throw section.wrong(
                "kind", "\(kind.rawValue) lies in bytes that only fidelity = \"full\" has")
        }
        if kind.family == .strangers, !isOpen {
            throw section.wrong(
                "kind", "\(kind.rawValue) is for networks whose nodes find their parents (bootstrap)")
        }
        return attack
    }

    private func force(_ kind: Attack.Kind, _ section: TOMLSection) throws(ScenarioError) -> Attack.Force {
        switch kind.family {
        case .turned:
            guard let who = try section.string("nodes") else {
                throw section.wrong(nil, "\(kind.rawValue) says which \"nodes\" turn: 25%-of-relay")
            }
            let chosen = try selector(who, section, "nodes")
            guard groups.contains(where: { $0.name == chosen.group && $0.role == .relay }) else {
                throw section.wrong("nodes", "only relays can \(kind.rawValue)")
            }
            return .turned(chosen)
        case .twin: return .count(1)
        case .strangers, .senders:
            let each = try section.integer("perHonest", 1...ScenarioLimits.attackersPerHonestMax)
            let count = try section.integer("count", 1...ScenarioLimits.nodesMax)
            switch (each, count) {
            case (.some, .some): throw section.wrong("count", "an attack has \"count\" or \"perHonest\"")
            case (.none, .none):
                return kind.family == .strangers
                    ? .perHonest(Scenario.usualAttackers) : .count(1)
            case (.some(let each), .none): return .perHonest(each)
            case (.none, .some(let count)): return .count(count)
            }
        }
    }

    /// As in the attacks on gossip that these are named for.
    private static let usualAttackers = 4
}

extension Attack {
    var toml: [String] {
        var lines = ["kind = \"\(kind.rawValue)\"", "at = \"\(at.milliseconds)ms\""]
        if let lasts { lines.append("for = \"\(lasts.milliseconds)ms\"") }
        switch force {
        case .perHonest(let each): lines.append("perHonest = \(each)")
        case .count(let count): if kind.family != .twin { lines.append("count = \(count)") }
        case .turned(let nodes): lines.append("nodes = \"\(nodes.text)\"")
        }
        if let target { lines.append("target = \"\(target.text)\"") }
        if kind.family != .turned, link != Attack.defaultLink {
            lines.append("down = \(Scenario.quoted(link.down.text))")
            lines.append("up = \(Scenario.quoted(link.up.text))")
        }
        if kind.family != .turned, kind.family != .twin, kind != .colocation {
            lines.append("subnets = \(subnets)")
        }
        if perMille > 0 { lines.append("perMille = \(perMille)") }
        if oneOf > 0 { lines.append("oneOf = \(oneOf)") }
        if perSecond > 0 { lines.append("perSecond = \(perSecond)") }
        if kind == .forge || kind == .replay { lines.append("copies = \(copies)") }
        return lines
    }
}

extension NodeSelector {
    /// As a scenario writes it.
    var text: String {
        switch share {
        case .all: group
        case .one(let i): "\(group)-\(i)"
        case .some(let n): "\(n)-of-\(group)"
        case .permille(let share): "\(max(1, share / 10))%-of-\(group)"
        }
    }
}

/// A scenario as the TOML that reads back to it: what the swarm leaves behind when it has found and shrunk a failure.

import MillraceBase
import MillraceLink
import MillraceWorkload

extension Scenario {
    /// The text; `remarks` become comments at the top. Owes a scenario whose links were given as settings or profiles, not files.
    public func toml(remarks: [String] = []) -> String {
        var lines = remarks.map { "# \($0)" }
        lines.append("name = \(Scenario.quoted(name))")
        lines.append("fidelity = \"\(fidelity.rawValue)\"")
        lines.append("parity = \(parityCount)")
        if hasWindows { lines.append("windows = true") }
        lines.append(
            "load = { workload = \(Scenario.quoted(workload.text)), tps = \(workload.transactionsPerSecond), "
                + "seconds = \(seconds) }")
        if let latency {
            lines += [
                "", "[regions]", "names = [\(latency.names.map(Scenario.quoted).joined(separator: ", "))]",
            ]
            let count = latency.names.count
            let rows = (0..<count).map { row in
                let cells = (0..<count).map { column in
                    let micros = latency.oneWay[row * count + column].microseconds * 2
                    return JSON.number(Double(micros) / 1_000, decimals: 3).text()
                }
                return "[" + cells.joined(separator: ", ") + "]"
            }
            lines.append("rttMs = [\(rows.joined(separator: ", "))]")
        }
        for shared in sharedLines {
            lines += [
                "", "[lines.\(shared.name)]", "down = \(Scenario.quoted(shared.link.down.text))",
                "up = \(Scenario.quoted(shared.link.up.text))",
            ]
            if shared.nodesPerLine > 0 { lines.append("nodesPerLine = \(shared.nodesPerLine)") }
        }
        for group in groups { lines += [""] + group.toml }
        for fault in faults { lines += ["", "[[faults]]"] + fault.toml }
        for attack in attacks { lines += ["", "[[attacks]]"] + attack.toml }
        return lines.joined(separator: "\n") + "\n"
    }

    static func quoted(_ text: String) -> String {
        var out = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F: out += " "
            default: out.unicodeScalars.append(scalar)
            }
        }
        return out + "\""
    }
}

extension NodeGroup {
    fileprivate var toml: [String] {
        var lines = ["[nodes.\(name)]", "role = \"\(role.rawValue)\"", "count = \(count)"]
        lines.append("down = \(Scenario.quoted(link.down.text))")
        lines.append("up = \(Scenario.quoted(link.up.text))")
        if !regions.isEmpty {
            lines.append("region = [\(regions.map(Scenario.quoted).joined(separator: ", "))]")
        }
        if let behind { lines.append("behind = \(Scenario.quoted(behind))") }
        if role != .sequencer {
            if !parents.isEmpty {
                lines.append("parents = [\(parents.map(Scenario.quoted).joined(separator: ", "))]")
            }
            lines.append("parentCount = \(parentCount)")
            if !bootstrap.isEmpty {
                lines.append("bootstrap = [\(bootstrap.map(Scenario.quoted).joined(separator: ", "))]")
            }
            if !neighbours.isEmpty {
                lines.append("neighbours = [\(neighbours.map(Scenario.quoted).joined(separator: ", "))]")
                lines.append("neighbourCount = \(neighbourCount)")
            }
            lines.append("parityMin = \(parityStripes)")
        }
        if let cadence { lines.append("cadence = \"\(cadence)\"") }
        if let childrenMax { lines.append("childrenMax = \(childrenMax)") }
        if uplinkMbit > 0 { lines.append("uplinkMbit = \(uplinkMbit)") }
        if datagramBytes > 1_232 { lines.append("datagramBytes = \(datagramBytes)") }
        if driftPPM > 0 { lines.append("driftPPM = \(driftPPM)") }
        if skewMilliseconds > 0 { lines.append("skewMs = \(skewMilliseconds)") }
        if processor == .unlimited { lines.append("processor = \"unlimited\"") }
        return lines
    }
}

extension Fault {
    fileprivate var toml: [String] {
        let who = nodes.text
        var lines = ["at = \"\(at.milliseconds)ms\""]
        if lasts > .zero { lines.append("for = \"\(lasts.milliseconds)ms\"") }
        switch kind {
        case .partition: lines.append("partition = \"\(who)\"")
        case .muted: lines.append("mute = \"\(who)\"")
        case .deafened: lines.append("deafen = \"\(who)\"")
        case .crash: lines.append("crash = \"\(who)\"")
        case .pause: lines.append("pause = \"\(who)\"")
        case .rebind: lines.append("rebind = \"\(who)\"")
        case .churn(let up, let down):
            lines += [
                "churn = \"\(who)\"", "up = \"\(up.milliseconds)ms\"", "down = \"\(down.milliseconds)ms\"",
            ]
        case .clockStep(let milliseconds): lines += ["clockStep = \"\(who)\"", "byMs = \(milliseconds)"]
        }
        return lines
    }
}

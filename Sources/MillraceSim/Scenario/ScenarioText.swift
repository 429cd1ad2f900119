/// Scenarios as people write them: TOML (Simulations/README.md has the keys and an example). Any text gives a scenario or one
/// sentence with file and line.

import MillraceBase
import MillraceCore
public import MillraceLink
import MillraceWorkload
import TOMLKit

extension Scenario {
    /// Reads a scenario. `files` gives the bytes of traces and matrices, whose paths are relative to wherever it says.
    public init(toml text: String, file: String, files: LinkFileReader? = nil) throws(ScenarioError) {
        guard text.utf8.count <= ScenarioLimits.fileBytesMax else {
            throw ScenarioError("\(file): a scenario has at most \(ScenarioLimits.fileBytesMax >> 20) MiB")
        }
        if let refusal = TOMLGuard.refusal(text) {
            throw ScenarioError("\(file):\(refusal.line): \(refusal.sentence)")
        }
        let table: TOMLTable
        do {
            table = try TOMLTable(string: text)
        } catch let error as TOMLParseError {
            throw ScenarioError("\(file):\(error.source.begin.line): \(error.description)")
        } catch {
            throw ScenarioError("\(file): \(error)")
        }
        let root = TOMLSection(TOMLSource(file: file, text: text), table)
        try self.init(root, files: files)
    }

    private init(_ root: TOMLSection, files: LinkFileReader?) throws(ScenarioError) {
        try root.only([
            "name", "about", "fidelity", "parity", "windows", "load", "regions", "lines", "nodes", "faults",
            "attacks",
            "expect",
        ])
        guard let name = try root.string("name"), !name.isEmpty, name.utf8.count <= 100 else {
            throw root.wrong("name", "a scenario has a \"name\" of at most 100 bytes")
        }
        self.init(name: name)
        _ = try root.string("about")
        if let text = try root.string("fidelity") {
            guard let fidelity = Fidelity(rawValue: text) else {
                throw root.wrong("fidelity", "\"fidelity\" is \"\(text)\", expected full or network")
            }
            self.fidelity = fidelity
        }
        parityCount = try root.integer("parity", 0...16) ?? 4
        hasWindows = try root.flag("windows") ?? false
        try readLoad(root)
        try readRegions(root, files)
        try readSharedLines(root, files)
        try readNodes(root, files)
        try readFaults(root)
        try readAttacks(root, files)
        try readExpectations(root)
    }

    private mutating func readLoad(_ root: TOMLSection) throws(ScenarioError) {
        guard let load = try root.section("load") else { return }
        try load.only(["workload", "tps", "seconds"])
        do throws(WorkloadError) {
            workload = try WorkloadSpec(textOf(load, "workload") ?? "swap")
        } catch { throw load.wrong("workload", error.description) }
        if let tps = try load.integer("tps", 1...WorkloadLimits.transactionsPerSecondMax) {
            workload.transactionsPerSecond = tps
        }
        seconds = try load.integer("seconds", 1...ScenarioLimits.secondsMax) ?? 30
    }

    /// A string that is checked for its kind elsewhere.
    private func textOf(_ section: TOMLSection, _ key: String) -> String? { section.table[key]?.string }

    // MARK: Regions

    private mutating func readRegions(_ root: TOMLSection, _ files: LinkFileReader?) throws(ScenarioError) {
        guard let regions = try root.section("regions") else { return }
        try regions.only(["matrix", "names", "rttMs"])
        if let path = try regions.string("matrix") {
            guard let files else { throw regions.wrong("matrix", "files cannot be read here") }
            let matrix: LatencyMatrix
            do throws(LinkTextError) {
                let bytes = try files(path)
                do throws(LinkFileError) {
                    matrix = try LatencyMatrix(bytes, name: path)
                } catch { throw LinkTextError(description: error.description) }
            } catch { throw regions.wrong("matrix", error.description) }
            let all = try regions.strings("names") ?? matrix.names
            guard all.count <= ScenarioLimits.regionsMax else {
                throw regions.wrong("names", "at most \(ScenarioLimits.regionsMax) regions")
            }
            var oneWay: [Interval] = []
            for from in all {
                for to in all {
                    do throws(LinkTextError) {
                        let there = try matrix.roundTrip(from: from, to: to)
                        let back = try matrix.roundTrip(from: to, to: from)
                        guard let measured = there ?? back else {
                            throw LinkTextError(
                                description: "\(path): nothing was measured from \(from) to \(to)")
                        }
                        oneWay.append(.nanoseconds(measured.nanoseconds / 2))
                    } catch { throw regions.wrong("names", error.description) }
                }
            }
            latency = RegionLatency(names: all, oneWay: oneWay)
            return
        }
        guard let names = try regions.strings("names"), names.count <= 100, Set(names).count == names.count
        else {
            throw regions.wrong("names", "\"names\" must be at most 100 different names, or give \"matrix\"")
        }
        guard let rows = regions.table["rttMs"]?.array, rows.count == names.count else {
            throw regions.wrong(
                "rttMs", "\"rttMs\" must have a row of round trips in ms for each of the names")
        }
        var oneWay: [Interval] = []
        for row in 0..<rows.count {
            let values = rows[row].array.map { array in
                (0..<array.count).compactMap { array[$0].double ?? array[$0].int.map { Double($0) } }
            }
            guard let values, values.count == names.count, values.allSatisfy({ (0...120_000).contains($0) })
            else {
                throw regions.wrong(
                    "rttMs", "row \(row + 1) of \"rttMs\" must have \(names.count) times in ms")
            }
            oneWay += values.map { .microseconds(Int64($0 * 500)) }
        }
        latency = RegionLatency(names: names, oneWay: oneWay)
    }

    // MARK: Nodes

    private static let nodeKeys = [
        "role", "count", "link", "down", "up", "behind", "region", "parents", "parentCount", "bootstrap",
        "neighbours", "neighbourCount", "childrenMax", "uplinkMbit", "datagramBytes", "parityMin", "linkMbit",
        "cadence", "driftPPM", "skewMs", "processor",
    ]

    private mutating func readNodes(_ root: TOMLSection, _ files: LinkFileReader?) throws(ScenarioError) {
        guard let nodes = try root.section("nodes") else {
            throw root.wrong("nodes", "a scenario has [nodes], with a sequencer at least")
        }
        let names = nodes.keys
        guard names.count <= ScenarioLimits.groupsMax else {
            throw nodes.wrong(nil, "at most \(ScenarioLimits.groupsMax) groups of nodes")
        }
        var sections: [(NodeGroup, TOMLSection)] = []
        for name in names {
            guard let section = try nodes.section(name) else { continue }
            try section.only(Scenario.nodeKeys)
            let text = try section.string("role") ?? name
            guard let role = NodeRole(rawValue: text) else {
                throw section.wrong(
                    section.has("role") ? "role" : nil,
                    "\"\(text)\" is no role: sequencer, relay or replica"
                        + (section.has("role") ? "" : "; a group of another name says its role"))
            }
            sections.append((NodeGroup(name: name, role: role), section))
        }
        guard sections.count(where: { $0.0.role == .sequencer }) == 1 else {
            throw nodes.wrong(nil, "exactly one group has the role of sequencer")
        }
        let relays = sections.filter { $0.0.role == .relay }.map(\.0.name)
        let sequencers = sections.filter { $0.0.role == .sequencer }.map(\.0.name)
        for (group, section) in sections {
            try groups.append(read(group, section, relays: relays, sequencers: sequencers, files))
        }
        sortGroups()
        guard nodeCount <= ScenarioLimits.nodesMax else {
            throw nodes.wrong(nil, "\(nodeCount) nodes, at most \(ScenarioLimits.nodesMax)")
        }
        // Nobody may be its own ancestor: tiers are acyclic.
        for group in groups {
            if let cycle = cycle(from: group.name) {
                throw nodes.wrong(group.name, "\"\(group.name)\" is its own ancestor through \"\(cycle)\"")
            }
        }
    }

    private func read(
        _ start: NodeGroup, _ section: TOMLSection, relays: [String], sequencers: [String],
        _ files: LinkFileReader?
    ) throws(ScenarioError) -> NodeGroup {
        var group = start
        group.count = try section.integer("count", 1...ScenarioLimits.nodesMax) ?? 1
        if group.role == .sequencer, group.count != 1 {
            throw section.wrong("count", "there is one sequencer")
        }
        group.link = try Scenario.link(section, files)
        if let behind = try section.string("behind") {
            let known = sharedLines.map(\.name)
            guard known.contains(behind) else {
                throw section.wrong(
                    "behind",
                    "there is no line \"\(behind)\": [lines] names those that nodes share"
                        + Suggestion.hint(for: behind, among: known))
            }
            group.behind = behind
        }
        group.regions = try section.strings("region") ?? []
        for region in group.regions {
            guard let latency else { throw section.wrong("region", "a scenario with regions has [regions]") }
            guard latency.names.contains(region) else {
                throw section.wrong(
                    "region",
                    "there is no region \"\(region)\"" + Suggestion.hint(for: region, among: latency.names))
            }
        }
        if group.role == .sequencer {
            guard !section.has("parents"), !section.has("parentCount"), !section.has("bootstrap") else {
                throw section.wrong("parents", "a sequencer follows nobody")
            }
        } else {
            let known = relays + sequencers
            group.parents =
                try section.strings("parents")
                ?? (group.role == .replica && !relays.isEmpty ? relays : sequencers)
            for parent in group.parents where !known.contains(parent) {
                throw section.wrong(
                    "parents",
                    "\"\(parent)\" is no group of relays, nor the sequencer"
                        + Suggestion.hint(for: parent, among: known))
            }
            group.bootstrap = try section.strings("bootstrap") ?? []
            for name in group.bootstrap where !relays.contains(name) {
                throw section.wrong(
                    "bootstrap",
                    "\"\(name)\" is no group of relays" + Suggestion.hint(for: name, among: relays))
            }
            // One that finds its parents is given none, unless it says so.
            let isOpen = !group.bootstrap.isEmpty
            if isOpen, !section.has("parents") { group.parents = [] }
            group.parentCount =
                try section.integer("parentCount", 1...64) ?? (!isOpen ? 2 : group.role == .relay ? 4 : 8)
        }
        group.neighbours = try section.strings("neighbours") ?? []
        for name in group.neighbours where !relays.contains(name) || group.role == .sequencer {
            throw section.wrong(
                "neighbours",
                "\"\(name)\" is no group of relays" + Suggestion.hint(for: name, among: relays))
        }
        group.neighbourCount =
            try section.integer("neighbourCount", 0...FollowingConfig.neighboursMax)
            ?? (group.neighbours.isEmpty ? 0 : 2)
        group.childrenMax = try section.integer("childrenMax", 1...NodeGroup.childrenLimit)
        if group.childrenMax != nil, group.role == .replica {
            throw section.wrong("childrenMax", "a replica has no children")
        }
        group.uplinkMbit = try section.integer("uplinkMbit", 0...100_000) ?? 0
        if group.uplinkMbit > 0, group.role == .replica {
            throw section.wrong("uplinkMbit", "a replica has no children")
        }
        group.datagramBytes = try section.integer("datagramBytes", 1_232...1_472) ?? group.datagramBytes
        group.parityStripes = min(
            try section.integer("parityMin", 0...16) ?? group.parityStripes, parityCount)
        group.linkKilobitsPerSecond = UInt32(try section.integer("linkMbit", 0...100_000) ?? 0) * 1_000
        if let text = try section.string("cadence") {
            guard let cadence = Cadence(name: text), cadence != .c0, hasWindows, group.role == .replica else {
                throw section.wrong(
                    "cadence",
                    "\"\(text)\" is no cadence to be told: c1, c2 or c3, of replicas, with windows = true")
            }
            group.cadence = cadence
        }
        group.driftPPM = Int64(try section.integer("driftPPM", 0...10_000) ?? 0)
        group.skewMilliseconds = Int64(try section.integer("skewMs", 0...3_600_000) ?? 0)
        if let text = section.table["processor"]?.string {
            guard text == "unlimited" else {
                throw section.wrong("processor", "\"processor\" is a table of costs, or \"unlimited\"")
            }
            group.processor = .unlimited
        } else if let costs = try section.section("processor") {
            try costs.only(["receiveNs", "sendNs", "applyNs", "encodeNs", "upkeepNs"])
            let range = 0...1_000_000_000
            var model = ProcessorModel()
            model.receiveNanoseconds =
                try costs.integer("receiveNs", range).map { Int64($0) } ?? model.receiveNanoseconds
            model.sendNanoseconds =
                try costs.integer("sendNs", range).map { Int64($0) } ?? model.sendNanoseconds
            model.applyNanoseconds =
                try costs.integer("applyNs", range).map { Int64($0) } ?? model.applyNanoseconds
            model.encodeNanoseconds =
                try costs.integer("encodeNs", range).map { Int64($0) } ?? model.encodeNanoseconds
            model.upkeepNanoseconds =
                try costs.integer("upkeepNs", range).map { Int64($0) } ?? model.upkeepNanoseconds
            group.processor = model
        }
        return group
    }

    /// `[lines.NAME]`: lines that several nodes stand behind.
    private mutating func readSharedLines(_ root: TOMLSection, _ files: LinkFileReader?) throws(ScenarioError)
    {
        guard let lines = try root.section("lines") else { return }
        guard lines.keys.count <= ScenarioLimits.sharedLinesMax else {
            throw lines.wrong(nil, "at most \(ScenarioLimits.sharedLinesMax) [lines]")
        }
        for name in lines.keys {
            guard let section = try lines.section(name) else { continue }
            try section.only(["link", "down", "up", "nodesPerLine"])
            let per = try section.integer("nodesPerLine", 0...ScenarioLimits.nodesMax) ?? 0
            sharedLines.append(
                SharedLineGroup(name: name, link: try Scenario.link(section, files), nodesPerLine: per))
        }
    }

    static func link(_ section: TOMLSection, _ files: LinkFileReader?) throws(ScenarioError)
        -> AccessLink
    {
        let both = try section.string("link")
        let (down, up) = (try section.string("down") ?? both, try section.string("up") ?? both)
        func parse(_ text: String?, _ key: String, _ direction: LinkDirection) throws(ScenarioError)
            -> LinkParameters
        {
            guard let text else { return LinkParameters() }
            do throws(LinkTextError) {
                return try LinkText.parse(text, direction: direction, files: files)
            } catch { throw section.wrong(section.has(key) ? key : "link", error.description) }
        }
        let text = [
            both, section.has("down") ? down.map { "down \($0)" } : nil,
            section.has("up") ? up.map { "up \($0)" } : nil,
        ]
        return AccessLink(
            text: text.compactMap { $0 }.joined(separator: ", "), down: try parse(down, "down", .down),
            up: try parse(up, "up", .up))
    }

    /// A group through which `start` would be its own ancestor.
    private func cycle(from start: String) -> String? {
        var seen: Set<String> = []
        var open = groups.first { $0.name == start }?.parents ?? []
        while let name = open.popLast() {
            if name == start { return name }
            guard seen.insert(name).inserted else { continue }
            open += groups.first { $0.name == name }?.parents ?? []
        }
        return nil
    }

    // MARK: Faults

    private static let faultKinds = [
        "partition", "mute", "deafen", "crash", "pause", "clockStep", "rebind", "churn",
    ]

    private mutating func readFaults(_ root: TOMLSection) throws(ScenarioError) {
        for section in try root.sections("faults", max: ScenarioLimits.faultsMax) {
            try section.only(["at", "for", "byMs", "up", "down"] + Scenario.faultKinds)
            let named = Scenario.faultKinds.filter { section.has($0) }
            guard named.count == 1, let what = named.first, let who = try section.string(what) else {
                throw section.wrong(
                    nil,
                    "a fault has one of " + Scenario.faultKinds.joined(separator: ", ")
                        + " with the nodes it befalls")
            }
            let kind: Fault.Kind
            switch what {
            case "partition": kind = .partition
            case "mute": kind = .muted
            case "deafen": kind = .deafened
            case "crash": kind = .crash
            case "pause": kind = .pause
            case "rebind": kind = .rebind
            case "churn":
                guard let up = try section.duration("up"), let down = try section.duration("down"),
                    up > .zero,
                    down > .zero
                else {
                    throw section.wrong(
                        what,
                        "churn says how long nodes are there and gone on average: up = \"5s\", down = \"1s\"")
                }
                guard section.has("for") else {
                    throw section.wrong(what, "churn says how long it goes on: for = \"20s\"")
                }
                kind = .churn(up: up, down: down)
            default:
                guard let by = try section.integer("byMs", -3_600_000...3_600_000) else {
                    throw section.wrong(what, "a clockStep says by how much: byMs")
                }
                kind = .clockStep(milliseconds: Int64(by))
            }
            guard let at = try section.duration("at") else {
                throw section.wrong(what, "a fault says when: at = \"5s\"")
            }
            faults.append(
                Fault(
                    kind, try selector(who, section, what), at: at,
                    lasts: try section.duration("for") ?? .zero))
        }
    }

    /// `relay`, `relay-3`, `half-of-relay`, `25%-of-relay`, `2-of-relay`.
    func selector(_ text: String, _ section: TOMLSection, _ key: String) throws(ScenarioError)
        -> NodeSelector
    {
        func group(_ name: Substring) -> NodeGroup? {
            groups.first { $0.name == name } ?? groups.first { $0.name + "s" == name }
        }
        if let whole = group(text[...]) { return NodeSelector(group: whole.name) }
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        if let last = parts.last, let number = Int(last), number >= 0,
            let found = group(text.dropLast(last.count + 1)), number < found.count
        {
            return NodeSelector(group: found.name, share: .one(number))
        }
        if parts.count >= 3, parts[1] == "of", let found = group(text.dropFirst(parts[0].count + 4)) {
            if parts[0] == "half" { return NodeSelector(group: found.name, share: .permille(500)) }
            if parts[0].hasSuffix("%"), let percent = Int(parts[0].dropLast()), (1...100).contains(percent) {
                return NodeSelector(group: found.name, share: .permille(percent * 10))
            }
            if let count = Int(parts[0]), (1...found.count).contains(count) {
                return NodeSelector(group: found.name, share: .some(count))
            }
        }
        let names = groups.map(\.name)
        throw section.wrong(
            key,
            "\"\(text)\" names no nodes: a group (\(names.joined(separator: ", "))), one of it (\(names[0])-0), "
                + "half-of-GROUP, 25%-of-GROUP or 2-of-GROUP" + Suggestion.hint(for: text, among: names))
    }
}

/// A run as one page: the verdict and its reason, lags, bytes, links, who stood where, and the command that makes it again.
///
/// The page is a function of the result without its wall-clock times: equal runs draw equal pages. Everything from outside (names
/// of scenarios and groups, texts of links, the command) is escaped where it goes in. Bounded: at most 16 nodes are drawn one by
/// one, and 1,000 dots; the rest is in groups.

import MillraceBase
import MillraceCore
import MillraceLink
import MillraceWorkload

public struct SimulationPage {
    let result: SimulationResult
    let command: String
    let replicas: [NodeResult]
    /// The replica whose lag is the worst, or the first that falls behind.
    let worst: NodeResult?

    static let rowsMax = 24

    /// `command` as typed, to be run again.
    public init(_ result: SimulationResult, command: String) {
        self.result = result
        self.command = command
        replicas = result.nodes.filter { $0.role == .replica }
        worst = replicas.max { SimulationPage.badness($0) < SimulationPage.badness($1) }
    }

    static func badness(_ node: NodeResult) -> (Int, Double) {
        let order = LinkVerdict.allCases.firstIndex(of: node.verdict) ?? 0
        return (order, node.lagMsP99)
    }

    public var html: String {
        var body = "<h1>\(Page.escape(result.scenario))</h1>\n<p class=\"lead\">\(Page.escape(lead))</p>\n"
        body += banner + figures
        if !replicas.isEmpty {
            body += section(
                "Lag over time",
                "How old the newest state of a replica was: from sealing to application, and the wait while nothing came; the "
                    + "most of every 100 ms.",
                LagChart(result).html)
            body += section("How lags are spread", distributionText, LagHistogram(result).html)
        }
        body += section(
            "What came through the links",
            "Received by each node, averaged over the \(result.plan.seconds) s of stream, IP and UDP headers included; the "
                + "dashed line is the stream itself, without parity.", ByteStack(result, worst).html)
        body += LinkChart.sections(result, worst).map { section($0.title, $0.text, $0.html) }.joined()
        body += section(
            "Who took it from whom",
            "Every dot is a node, the darker the more of its line was used; edges lead from parents to children.",
            TopologyChart(result).html)
        body += section("The nodes", "", nodes)
        body += section("The run", "", foot)
        return Page(
            title: "\(result.scenario): \(result.verdict.sentence)", body: body, style: Page.drawingStyle
        )
        .html
    }

    private func section(_ title: String, _ text: String, _ content: String) -> String {
        "<section>\n<h2>\(Page.escape(title))</h2>\n"
            + (text.isEmpty ? "" : "<p>\(Page.escape(text))</p>\n") + content + "</section>\n"
    }

    // MARK: Parts

    private var lead: String {
        let plan = result.plan
        let groups = plan.groups.map { $0.count == 1 ? $0.name : "\($0.count) × \($0.name)" }
        let payloads = result.fidelity == .full ? "real payloads" : "payloads by their sizes"
        return "\(Page.grouped(UInt64(max(result.transactionsPerSecond, 0)))) transactions a second "
            + "(\(plan.workload.kind.rawValue)) for \(plan.seconds) s, sealed every 10 ms; "
            + "\(groups.joined(separator: ", ")); \(result.fidelity.rawValue) fidelity: the node's own protocol, \(payloads)."
    }

    private var banner: String {
        let (tone, mark) =
            switch result.verdict {
            case .keepsUp: ("good", "✓")
            case .keepsUpWithStalls: ("fair", "!")
            case .fallsBehind: ("bad", "✗")
            }
        var out = "<div class=\"verdict\" style=\"--tone: var(--\(tone))\">\n"
        let sentence = result.verdict.sentence
        out += "<strong>\(mark) \(sentence.prefix(1).uppercased() + sentence.dropFirst())</strong>\n"
        for reason in reasons { out += "<p>\(Page.escape(reason))</p>\n" }
        return out + "</div>\n"
    }

    private var reasons: [String] {
        guard let worst else { return [] }
        let many = replicas.count > 1
        let alike = replicas.filter { $0.verdict == result.verdict }.count
        let who = many ? "\(alike) of \(replicas.count) replicas; the worst is \(worst.name): " : ""
        var reasons: [String] = []
        switch result.verdict {
        case .keepsUp:
            reasons.append(
                "\(many ? "All \(replicas.count) replicas" : "The replica") applied every mini-block, without a stall; lag "
                    + "p99 \(milliseconds(worst.lagMsP99))\(many ? " at the worst, \(worst.name)" : "").")
        case .keepsUpWithStalls:
            reasons.append(
                "\(who)\(worst.stallsText), the longest "
                    + "\(milliseconds(worst.longestStallMs)); it caught up.")
        case .fallsBehind:
            let behind =
                worst.heightsBehind > 0
                ? "\(Page.grouped(worst.heightsBehind)) mini-blocks behind at the end"
                : "it caught up only when the stream was over"
            let shortage = worst.shortage.map { "\($0.sentence); " } ?? ""
            let sentence =
                "\(shortage)\(behind), its state growing older by \(fixed(worst.slopeMsPerSec, 0)) ms a second."
            reasons.append(
                who.isEmpty ? sentence.prefix(1).uppercased() + sentence.dropFirst() : who + sentence)
            if let stopped = worst.stopped { reasons.append("It stopped: \(stopped).") }
        }
        reasons += result.failures.map { "Expected otherwise: \($0)." }
        return reasons
    }

    private var figures: String {
        guard let worst else { return "" }
        let of = replicas.count > 1 ? " (\(worst.name))" : ""
        func lag(_ value: Double, _ what: String) -> String {
            let large = value >= 10_000
            return Page.figure(
                fixed(large ? value / 1_000 : value, large || value < 100 ? 1 : 0), large ? "s" : "ms", what)
        }
        var out =
            "<div class=\"figures\">\n" + lag(worst.lagMsP50, "lag p50\(of)") + lag(worst.lagMsP99, "lag p99")
        out += lag(worst.lagMsMax, "lag at most")
        out += Page.figure(
            fixed(result.streamMbitPerSec, 2), "Mbit/s", "the stream on the wire, without parity")
        if let link = result.links.first(where: { $0.node == worst.name && $0.direction == "down" }),
            let rate = link.rateMbitPerSec
        {
            out += Page.figure(
                fixed(rate, 2), "Mbit/s", "its line down, \(fixed(link.utilisation * 100, 0)) % used")
        }
        return out + "</div>\n"
    }

    private var distributionText: String {
        let count = replicas.reduce(0) { $0 + $1.lagsMicroseconds.count }
        return
            "\(Page.grouped(UInt64(count))) mini-blocks applied by \(replicas.count == 1 ? "the replica" : "all replicas"); "
            + "the floor is the delay of the shortest way, below which no lag can be."
    }

    private var nodes: String {
        let head = [
            "node", "verdict", "p50, ms", "p99", "p99.9", "max", "stalls", "longest, ms", "processor",
        ]
        let shown = replicas.sorted { SimulationPage.badness($0) > SimulationPage.badness($1) }
            .prefix(SimulationPage.rowsMax)
        var rows = shown.map { node in
            [
                node.name, node.verdict.sentence, fixed(node.lagMsP50, 1), fixed(node.lagMsP99, 1),
                fixed(node.lagMsP999, 1), fixed(node.lagMsMax, 1), String(node.stalls),
                fixed(node.longestStallMs, 0),
                "\(fixed(node.processorShare * 100, 1)) %",
            ]
        }
        for (g, group) in result.plan.groups.enumerated() where group.role != .replica {
            let members = result.nodes.indices.filter { result.places[$0].group == g }
            let busy = members.map { result.nodes[$0].processorShare }.max() ?? 0
            rows.append(
                [group.count == 1 ? group.name : "\(group.count) × \(group.name)"]
                    + Array(repeating: "", count: 7) + ["\(fixed(busy * 100, 1)) %"])
        }
        let rest = replicas.count - shown.count
        return (rest > 0 ? "<p>The worst \(shown.count) replicas; \(rest) others are better.</p>\n" : "")
            + Page.table(head, rows)
    }

    private var foot: String {
        var out = "<dl>\n<dt>workload</dt><dd>\(Page.escape(result.plan.workload.text))</dd>\n"
        for group in result.plan.groups.prefix(SimulationPage.rowsMax) {
            let count = group.count == 1 ? "" : "\(group.count) × "
            let link = Page.escape(SimulationPage.shortened(group.link.text, 400))
            out += "<dt>\(count)\(Page.escape(group.name))</dt><dd>\(link)</dd>\n"
        }
        let extra = result.plan.groups.count - SimulationPage.rowsMax
        if extra > 0 { out += "<dt>and</dt><dd>\(extra) more groups</dd>\n" }
        out += "<dt>parity</dt><dd>\(result.plan.parityCount) shreds per slice</dd>\n"
        out += "<dt>seed</dt><dd>\(result.seed)</dd>\n<dt>trace hash</dt><dd>\(result.traceHash.text)</dd>\n"
        out += "<dt>events</dt><dd>\(Page.grouped(result.events))</dd>\n</dl>\n"
        return out + "<pre>\(Page.escape(command))</pre>\n"
    }

    static func shortened(_ text: String, _ most: Int) -> String {
        text.count <= most ? text : text.prefix(most - 1) + "…"
    }

    private func fixed(_ value: Double, _ digits: Int) -> String { Page.fixed(value, digits) }

    private func milliseconds(_ value: Double) -> String {
        value >= 10_000 ? "\(fixed(value / 1_000, 1)) s" : "\(fixed(value, value < 100 ? 1 : 0)) ms"
    }
}

extension NodeResult {
    var stallsText: String { stalls == 1 ? "1 stall" : "\(stalls) stalls" }
}

extension Page {
    /// Colours and what they mean. Colours are this module's own.
    static func key(_ entries: [(colour: String, text: String)]) -> String {
        "<div class=\"key\">"
            + entries.map { "<span><i style=\"background:\($0.colour)\"></i>\(escape($0.text))</span>" }
            .joined()
            + "</div>\n"
    }
}

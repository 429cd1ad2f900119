/// What nodes received, by what it was for, as stacked bars beside the stream's floor.

import MillraceBase
import MillraceCore

struct ByteStack {
    let result: SimulationResult
    let worst: NodeResult?
    /// Replicas that have a bar each; more of them stand in groups.
    static let replicasMax = 8
    static let groupsMax = 16

    static let kinds: [(name: String, colour: String, path: any KeyPath<ByteLedger, UInt64> & Sendable)] = [
        ("payload", "var(--s1)", \.payload), ("header", "var(--s6)", \.header),
        ("session", "var(--s7)", \.session), ("parity", "var(--s3)", \.parity),
        ("repair", "var(--s5)", \.repair), ("control", "var(--s4)", \.control),
        ("duplicate", "var(--s2)", \.duplicate), ("ignored", "var(--s9)", \.ignored),
    ]
    /// 20 bytes of IPv4 and 8 of UDP: the links' own default.
    static let packetBytes = 28.0

    init(_ result: SimulationResult, _ worst: NodeResult?) {
        self.result = result
        self.worst = worst
    }

    private struct Row {
        var name: String
        /// Mbit/s by kind, and packets last.
        var rates: [Double]
        var total: Double { rates.reduce(0, +) }
    }

    private func row(_ name: String, _ nodes: [NodeResult]) -> Row {
        let seconds = Double(max(result.plan.seconds, 1))
        let scale = 8 / 1e6 / seconds / Double(max(nodes.count, 1))
        var rates = ByteStack.kinds.map { kind in
            nodes.reduce(0.0) { $0 + Double($1.received[keyPath: kind.path]) } * scale
        }
        rates.append(nodes.reduce(0.0) { $0 + Double($1.datagramsReceived) } * ByteStack.packetBytes * scale)
        return Row(name: name, rates: rates)
    }

    private var rows: [Row] {
        let replicas = result.nodes.filter { $0.role == .replica }
        var rows: [Row] = []
        if replicas.count <= ByteStack.replicasMax {
            rows = replicas.map { row($0.name, [$0]) }
        } else if let worst {
            rows.append(row("\(worst.name), the worst", [worst]))
        }
        for (g, group) in result.plan.groups.enumerated().prefix(ByteStack.groupsMax) {
            if group.role == .sequencer || group.role == .replica && replicas.count <= ByteStack.replicasMax {
                continue
            }
            let members = result.nodes.indices.filter { result.places[$0].group == g }.map {
                result.nodes[$0]
            }
            if !members.isEmpty {
                rows.append(
                    row(members.count == 1 ? group.name : "mean of \(members.count) × \(group.name)", members)
                )
            }
        }
        return rows
    }

    var html: String {
        let rows = self.rows
        let floor = result.streamMbitPerSec
        let scale = Scale(most: max(rows.map(\.total).max() ?? 0, floor) * 1.02, ticks: 8)
        let (left, right, top, pitch) = (190.0, 780.0, 30.0, 30.0)
        let bottom = top + Double(rows.count) * pitch
        func x(_ rate: Double) -> Double { left + rate / scale.top * (right - left) }
        var drawing = Drawing(width: 900, height: bottom + 44, label: "Bytes received by purpose")
        for tick in scale.ticks {
            drawing.line(x(tick), top, x(tick), bottom, stroke: "var(--line)", width: 0.7)
            drawing.text(x(tick), bottom + 17, scale.text(tick), anchor: .middle)
        }
        drawing.text(right, bottom + 34, "Mbit/s", anchor: .end)
        for (i, row) in rows.enumerated() {
            let y = top + Double(i) * pitch
            drawing.text(
                left - 10, y + 20, SimulationPage.shortened(row.name, 28), anchor: .end, fill: "var(--ink)")
            var from = 0.0
            for (kind, rate) in zip(
                ByteStack.kinds.map { ($0.name, $0.colour) } + [("packets", "var(--s8)")], row.rates)
            where rate > 0 {
                drawing.rect(
                    x(from), y + 6, x(from + rate) - x(from), pitch - 11, fill: kind.1,
                    title: "\(row.name): \(kind.0) \(Page.fixed(rate, 3)) Mbit/s")
                from += rate
            }
            drawing.text(
                right + 10, y + 20, "\(Page.fixed(row.total, 2)) Mbit/s", fill: "var(--ink)")
        }
        drawing.line(x(floor), top - 8, x(floor), bottom, stroke: "var(--ink)", width: 1.4, dash: "5 3")
        let isFar = x(floor) > left + 300
        drawing.text(
            x(floor) + (isFar ? -6 : 6), top - 10, "the stream: \(Page.fixed(floor, 2)) Mbit/s",
            anchor: isFar ? .end : .start, fill: "var(--ink)")
        let key =
            ByteStack.kinds.map { (colour: $0.colour, text: $0.name) } + [
                (colour: "var(--s8)", text: "IP and UDP")
            ]
        let table = Page.table(
            ["Mbit/s"] + ByteStack.kinds.map(\.name) + ["IP, UDP", "all"],
            rows.map { row in [row.name] + (row.rates + [row.total]).map { Page.fixed($0, 3) } })
        return "<div class=\"scroll\">\(drawing.svg)</div>\n\(Page.key(key))\(table)"
    }
}

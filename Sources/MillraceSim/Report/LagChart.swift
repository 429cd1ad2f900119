/// Lag over time, a line per replica, with what was cut off shaded.

import MillraceBase
import MillraceLink

struct LagChart {
    let result: SimulationResult
    /// Points across; longer runs show the largest lag of each.
    static let columnsMax = 700
    private static let colours = ["var(--s1)", "var(--s2)", "var(--s3)", "var(--s4)"]

    init(_ result: SimulationResult) { self.result = result }

    var html: String {
        let timeline = result.timeline
        let roles = Dictionary(result.nodes.map { ($0.name, $0.role) }, uniquingKeysWith: { a, _ in a })
        let shown = timeline.nodes.indices.filter { roles[result.timelineNames[$0]] == .replica }
        guard let first = shown.first, let last = timeline.points[first].last else {
            return "<p>The run was too short for a time line.</p>\n"
        }
        let most = shown.flatMap { timeline.points[$0] }.map { Double($0.lagMicroseconds) / 1_000 }.max() ?? 0
        let inSeconds = most >= 10_000
        let unit = inSeconds ? 1_000_000.0 : 1_000
        let yScale = Scale(most: most / (inSeconds ? 1_000 : 1), ticks: 4)
        let end = LagChart.end(shown.flatMap { timeline.points[$0] }, stream: result.plan.seconds, last)
        let xScale = Scale(most: end, ticks: 10)
        let frame = Frame(left: 58, top: 34, width: 820, height: 216, xRange: 0...end, yTop: yScale.top)
        var drawing = Drawing(width: 900, height: 292, label: "Lag over time of \(shown.count) replicas")
        shadeCuts(shown, frame, &drawing)
        frame.drawY(yScale, unit: inSeconds ? "s" : "ms", in: &drawing)
        frame.drawX(xScale, title: "seconds after the first mini-block", in: &drawing)
        let streamEnd = Double(result.plan.seconds)
        if streamEnd < end {
            drawing.line(
                frame.x(streamEnd), frame.top, frame.x(streamEnd), frame.bottom, stroke: "var(--soft)",
                width: 0.8, dash: "2 3")
            drawing.text(
                frame.x(streamEnd) - 5, frame.top + 12, "end of stream", anchor: .end, size: 11, halo: true)
        }

        // The worst on top; with many, the others in one colour.
        let peaks = shown.map { node in timeline.points[node].map(\.lagMicroseconds).max() ?? 0 }
        let order = shown.indices.sorted { (peaks[$0], $0) < (peaks[$1], $1) }
        let few = shown.count <= LagChart.colours.count
        var key: [(colour: String, text: String)] = []
        for (rank, i) in order.enumerated() {
            let isWorst = rank == order.count - 1
            let colour = few ? LagChart.colours[i] : isWorst ? "var(--s2)" : "var(--s1)"
            drawing.polyline(
                points(timeline.points[shown[i]], frame, unit), stroke: colour,
                width: few || isWorst ? 1.5 : 1, opacity: few || isWorst ? 1 : 0.4)
        }
        if few {
            for (i, node) in shown.enumerated() {
                key.append((LagChart.colours[i], result.timelineNames[node]))
            }
        } else if let worst = order.last {
            let replicas = result.nodes.filter { $0.role == .replica }.count
            key.append(("var(--s2)", "\(result.timelineNames[shown[worst]]), the highest of those drawn"))
            let others = shown.count - 1
            key.append(
                (
                    "var(--s1)",
                    "\(others) others" + (replicas > shown.count ? " of \(replicas - 1)" : "")
                ))
        }
        if shown.contains(where: { timeline.points[$0].contains { $0.isCut } }) {
            key.append(("var(--shade)", "cut off, line or process down, or paused"))
        }
        return "<div class=\"scroll\">\(drawing.svg)</div>\n"
            + (shown.count > 1 || key.count > 1 ? Page.key(key) : "")
    }

    /// Where a time axis ends, in seconds: with the stream, or when the last of it was caught up with.
    static func end(_ points: [Timeline.Point], stream: Int, _ last: Timeline.Point) -> Double {
        let busy = points.filter { $0.lagMicroseconds > 0 || $0.isCut }.map(\.atMilliseconds).max() ?? 0
        let until = max(Int(busy), stream * 1_000) + 300
        return max(0.1, Double(min(until, Int(last.atMilliseconds))) / 1_000)
    }

    /// Where any of the nodes was cut off, and what did it.
    private func shadeCuts(_ shown: [Int], _ frame: Frame, _ drawing: inout Drawing) {
        let timeline = result.timeline
        guard let count = shown.map({ timeline.points[$0].count }).min() else { return }
        var begin: Double?
        for i in 0...count {
            let isCut = i < count && shown.contains { timeline.points[$0][i].isCut }
            let at = min(
                i < count ? Double(timeline.points[shown[0]][i].atMilliseconds) / 1_000 : .infinity,
                frame.xRange.upperBound)
            if isCut, begin == nil, at >= 0 {
                // The state changed since the sample before.
                begin = max(0, at - 0.1)
            } else if !isCut, let from = begin {
                let (x, width) = (frame.x(from), frame.x(at) - frame.x(from))
                drawing.rect(x, frame.top, width, frame.height, fill: "var(--shade)")
                if let name = cause(from), width > 18 {
                    drawing.text(x + 4, frame.top + 12, name, size: 11, halo: true)
                }
                begin = nil
            }
        }
    }

    private func cause(_ at: Double) -> String? {
        let fault = result.plan.faults.min {
            abs($0.at.asSeconds - at) < abs($1.at.asSeconds - at)
        }
        guard let fault, abs(fault.at.asSeconds - at) < 0.3 else {
            return result.plan.groups.contains { $0.link.down.outage != nil } ? "outage" : nil
        }
        switch fault.kind {
        case .partition: return "partition"
        case .muted: return "muted"
        case .deafened: return "deafened"
        case .crash: return "crash"
        case .pause: return "pause"
        case .clockStep: return "clock step"
        case .rebind: return "rebind"
        case .churn: return "churn"
        }
    }

    /// `unit` is how many microseconds one of the axis has.
    private func points(
        _ all: [Timeline.Point], _ frame: Frame, _ unit: Double
    ) -> [(x: Double, y: Double)?] {
        let until = Int32(clamping: Int(frame.xRange.upperBound * 1_000 + 0.5))
        let seen = all.filter { (0...until).contains($0.atMilliseconds) }
        let width = max(1, (seen.count + LagChart.columnsMax - 1) / LagChart.columnsMax)
        return stride(from: 0, to: seen.count, by: width).map { start in
            let part = seen[start..<min(start + width, seen.count)]
            guard let peak = part.max(by: { $0.lagMicroseconds < $1.lagMicroseconds }),
                peak.lagMicroseconds > 0
            else { return nil }
            return (
                frame.x(Double(peak.atMilliseconds) / 1_000), frame.y(Double(peak.lagMicroseconds) / unit)
            )
        }
    }
}

/// What a node's line down carried and how much waited before it, against its rate or trace.

import MillraceBase
import MillraceLink

struct LinkChart {
    let title: String
    let text: String
    let html: String

    /// The worst replica's line; of several replicas also the line of the best one drawn.
    static func sections(_ result: SimulationResult, _ worst: NodeResult?) -> [LinkChart] {
        let timeline = result.timeline
        let byName = Dictionary(result.nodes.map { ($0.name, $0) }, uniquingKeysWith: { a, _ in a })
        let replicas = timeline.nodes.indices.filter { byName[result.timelineNames[$0]]?.role == .replica }
        let ordered = replicas.sorted {
            SimulationPage.badness(byName[result.timelineNames[$0]] ?? result.nodes[0])
                > SimulationPage.badness(byName[result.timelineNames[$1]] ?? result.nodes[0])
        }
        var chosen: [Int] = []
        if let first = ordered.first { chosen.append(first) }
        if let last = ordered.last, ordered.count > 1 { chosen.append(last) }
        return chosen.enumerated().compactMap { rank, index in
            let name = result.timelineNames[index]
            guard let link = result.links.first(where: { $0.node == name && $0.direction == "down" }) else {
                return nil
            }
            let place = result.places[Int(timeline.nodes[index])]
            let parameters = result.plan.groups[place.group].link.down
            let which =
                ordered.count == 1
                ? "" : rank == 0 ? ", the worst of those drawn" : ", the best of those drawn"
            let counters = link.counters
            let lost =
                counters.lost + counters.queueFull + counters.managed + counters.tooLong + counters.policed
            var text = "\(Page.grouped(counters.offeredDatagrams)) datagrams offered, "
            text += "\(Page.grouped(counters.deliveredDatagrams)) delivered"
            if lost > 0 {
                let parts = [
                    (counters.lost, "lost"), (counters.queueFull, "dropped by the full queue"),
                    (counters.managed, "dropped by its management"), (counters.policed, "policed"),
                    (counters.tooLong, "too long"),
                ].filter { $0.0 > 0 }
                text += "; " + parts.map { "\(Page.grouped($0.0)) \($0.1)" }.joined(separator: ", ")
            }
            return LinkChart(
                title: "The line down of \(name)\(which)", text: text + ".",
                html: draw(timeline.points[index], parameters, counters, result))
        }
    }

    private struct Column {
        var at: Double
        var rate: Double
        var capacity: Double?
        var queue: Double
    }

    private static func draw(
        _ points: [Timeline.Point], _ link: LinkParameters, _ counters: LinkCounters,
        _ result: SimulationResult
    ) -> String {
        // The time line counts UDP payload; the link's rate is about packets.
        let overhead =
            counters.deliveredBytes == 0
            ? 1
            : 1 + Double(link.overheadBytes) * Double(counters.deliveredDatagrams)
                / Double(counters.deliveredBytes)
        guard let final = points.last, final.atMilliseconds > 100 else {
            return "<p>The run was too short for a time line.</p>\n"
        }
        let end = LagChart.end(points, stream: result.plan.seconds, final)
        let until = Int32(clamping: Int(end * 1_000 + 0.5))
        let seen = points.filter { (1...until).contains($0.atMilliseconds) }
        let width = max(1, (seen.count + LagChart.columnsMax - 1) / LagChart.columnsMax)
        let interval = Simulation.sampleInterval.asSeconds
        let columns = stride(from: 0, to: seen.count, by: width).map { start -> Column in
            let part = seen[start..<min(start + width, seen.count)]
            let bytes = part.reduce(0.0) { $0 + Double($1.downBytes) } * overhead
            let end = Double(part[part.endIndex - 1].atMilliseconds) / 1_000
            let seconds = interval * Double(part.count)
            return Column(
                at: end, rate: bytes * 8 / seconds / 1e6,
                capacity: link.trace.map { $0.mean(from: end - seconds, to: end) / 1e6 }
                    ?? link.rateBitsPerSecond.map { Double($0) / 1e6 },
                queue: Double(part.map(\.queuedBytes).max() ?? 0) / 1_000)
        }
        let stream = result.streamMbitPerSec
        let busiest = max(columns.map(\.rate).max() ?? 0, stream)
        // A line of a gigabit would flatten everything that happens on it.
        let fastest = columns.compactMap(\.capacity).max() ?? 0
        let rateScale = Scale(most: min(max(fastest, busiest), busiest * 4) * 1.02, ticks: 4)
        let xScale = Scale(most: end, ticks: 10)
        let frame = Frame(left: 58, top: 30, width: 820, height: 170, xRange: 0...end, yTop: rateScale.top)
        var drawing = Drawing(width: 900, height: 368, label: "Throughput and queue of a line")
        frame.drawY(rateScale, unit: "Mbit/s", in: &drawing, at: .start)
        let line = columns.map { (x: frame.x($0.at), y: frame.y($0.rate)) }
        var area = "M\(Drawing.n(line[0].x)) \(Drawing.n(frame.bottom))"
        for point in line { area += "L\(Drawing.n(point.x)) \(Drawing.n(point.y))" }
        area += "L\(Drawing.n(line[line.count - 1].x)) \(Drawing.n(frame.bottom))Z"
        drawing.path(area, "fill=\"var(--s1)\" fill-opacity=\"0.22\"")
        drawing.polyline(line, stroke: "var(--s1)", width: 1.3)
        drawing.polyline(
            columns.map { column in
                column.capacity.flatMap { $0 <= rateScale.top ? (frame.x(column.at), frame.y($0)) : nil }
            }, stroke: "var(--s2)", width: 1.5, dash: link.trace == nil ? "6 3" : nil)
        drawing.line(
            frame.left, frame.y(stream), frame.right, frame.y(stream), stroke: "var(--ink)", width: 1.1,
            dash: "2 3")

        let bound = Double(link.queueBytesMax) / 1_000
        let deepest = columns.map(\.queue).max() ?? 0
        let isBoundShown = bound > 0 && bound <= max(deepest, 1) * 4
        let queueScale = Scale(most: max(deepest, isBoundShown ? bound : 0) * 1.02, ticks: 2)
        let below = Frame(left: 58, top: 240, width: 820, height: 80, xRange: 0...end, yTop: queueScale.top)
        below.drawY(queueScale, unit: "kB waiting", in: &drawing, at: .start)
        below.drawX(xScale, title: "seconds after the first mini-block", in: &drawing)
        drawing.polyline(
            columns.map { (below.x($0.at), below.y($0.queue)) }, stroke: "var(--s4)", width: 1.3)
        if isBoundShown {
            drawing.line(
                below.left, below.y(bound), below.right, below.y(bound), stroke: "var(--s2)", width: 1.2,
                dash: "6 3")
        }
        var key: [(colour: String, text: String)] = [("var(--s1)", "came through")]
        if let rate = link.meanRateBitsPerSecond {
            let mean = JSON.number(Double(rate) / 1e6, decimals: 2).text()
            var name =
                link.trace == nil ? "the line's rate, \(mean) Mbit/s" : "the trace, \(mean) Mbit/s on average"
            if fastest > rateScale.top {
                name += link.trace == nil ? " (above the drawing)" : " (cut where above)"
            }
            key.append(("var(--s2)", name + (isBoundShown ? "; the queue's bound" : "")))
        }
        key.append(("var(--ink)", "the stream, \(Page.fixed(stream, 2)) Mbit/s"))
        key.append(
            (
                "var(--s4)",
                "waiting before the line"
                    + (bound > 0 && !isBoundShown ? ", bound \(Page.fixed(bound, 0)) kB" : "")
            ))
        return "<div class=\"scroll\">\(drawing.svg)</div>\n\(Page.key(key))"
    }
}

extension RateTrace {
    /// Mean bits per second between two times in seconds after the first mini-block.
    func mean(from: Double, to: Double) -> Double {
        let (begin, end) = (Swift.max(from, 0) * 1e9, Swift.max(to, 0) * 1e9)
        guard end > begin else { return 0 }
        var time = begin
        var bits = 0.0
        while time < end {
            let within = UInt64(time) % period
            var (low, high) = (0, steps.count)
            while high - low > 1 {
                let middle = (low + high) / 2
                if steps[middle].start <= within { low = middle } else { high = middle }
            }
            let until = low + 1 < steps.count ? steps[low + 1].start : period
            // At least a nanosecond on: rounding must not hold it in place.
            let next = Swift.min(end, time + Double(Swift.max(until - within, 1)))
            bits += Double(steps[low].bitsPerSecond) * (next - time) / 1e9
            time = Swift.max(next, time + 1)
        }
        return bits * 1e9 / (end - begin)
    }
}

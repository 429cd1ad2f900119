/// How often which lag: all replicas together, with the floor and the percentiles marked.

import MillraceBase

struct LagHistogram {
    let result: SimulationResult
    static let bins = 104

    init(_ result: SimulationResult) { self.result = result }

    var html: String {
        let replicas = result.nodes.indices.filter { result.nodes[$0].role == .replica }
        var lags = replicas.flatMap { result.nodes[$0].lagsMicroseconds }
        guard !lags.isEmpty else { return "<p>Nothing was applied.</p>\n" }
        lags.sort()
        func percentile(_ permille: Int) -> Double {
            Double(lags[min(lags.count - 1, lags.count * permille / 1_000)]) / 1_000
        }
        let most = Double(lags[lags.count - 1]) / 1_000
        // A tail of one in a thousand may reach far beyond everything else.
        let reach = min(most, percentile(999) * 1.25)
        let inSeconds = reach >= 10_000
        let unit = inSeconds ? 1_000.0 : 1
        let xScale = Scale(most: reach / unit, ticks: 10)
        let width = xScale.top / Double(LagHistogram.bins)
        var counts = Array(repeating: 0, count: LagHistogram.bins)
        var beyond = 0
        for lag in lags {
            let bin = Int(Double(lag) / 1_000 / unit / width)
            if bin < counts.count { counts[bin] += 1 } else { beyond += 1 }
        }
        let highest = Double(counts.max() ?? 0) / Double(lags.count) * 100
        let yScale = Scale(most: highest, ticks: 4)
        let frame = Frame(
            left: 58, top: 92, width: 820, height: 170, xRange: 0...xScale.top, yTop: yScale.top)
        var drawing = Drawing(width: 900, height: 304, label: "Distribution of lags")
        frame.drawY(yScale, unit: "", in: &drawing)
        for (bin, count) in counts.enumerated() where count > 0 {
            let x = frame.x(Double(bin) * width)
            // What happened at all can be seen.
            let height = max(1, Double(count) / Double(lags.count) * 100 / yScale.top * frame.height)
            drawing.rect(
                x + 0.5, frame.bottom - height, frame.width / Double(LagHistogram.bins) - 1, height,
                fill: "var(--s1)",
                title: "\(Page.fixed(Double(bin) * width, 1)) to \(Page.fixed(Double(bin + 1) * width, 1)) "
                    + "\(inSeconds ? "s" : "ms"): \(Page.grouped(UInt64(count)))")
        }
        frame.drawX(
            xScale, title: "lag, \(inSeconds ? "s" : "ms"); height: % of mini-blocks", in: &drawing)
        if beyond > 0 {
            drawing.text(
                frame.left, frame.bottom + 33,
                "\(Page.grouped(UInt64(beyond))) are beyond the right edge, the largest "
                    + "\(Page.fixed(most, 0)) ms")
        }
        let floors = replicas.map { result.places[$0].leastDelay.asMilliseconds }
        let least = floors.min() ?? 0
        let floorName =
            (floors.max() ?? 0) > least + 0.05 ? "floor, nearest replica" : "floor, the way's delay"
        var marks: [(value: Double, text: String, colour: String)] = [
            (least, "\(floorName) \(ms(least))", "var(--s3)")
        ]
        for (permille, name) in [(500, "p50"), (990, "p99"), (999, "p99.9")] {
            marks.append((percentile(permille), "\(name) \(ms(percentile(permille)))", "var(--s2)"))
        }
        let shown = marks.enumerated().filter { $0.element.value / unit <= xScale.top }
        for (row, mark) in shown {
            let x = frame.x(mark.value / unit)
            drawing.line(
                x, 6 + Double(row) * 17, x, frame.bottom, stroke: mark.colour, width: 1.2, dash: "5 3")
        }
        // Names over all the lines.
        for (row, mark) in shown {
            let x = frame.x(mark.value / unit)
            let y = 16 + Double(row) * 17
            let isFar = x > frame.right - 200
            drawing.text(
                isFar ? x - 6 : x + 6, y, mark.text, anchor: isFar ? .end : .start, fill: "var(--ink)",
                halo: true)
        }
        return "<div class=\"scroll\">\(drawing.svg)</div>\n"
    }

    private func ms(_ value: Double) -> String {
        value >= 10_000 ? "\(Page.fixed(value / 1_000, 1)) s" : "\(Page.fixed(value, 1)) ms"
    }
}

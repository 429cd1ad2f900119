/// A frontier as heat maps: one panel per burst, loss down, round trip across; each cell has the rate and its efficiency, and
/// is the darker the more it needs.

import MillraceBase

struct HeatMap {
    let result: FrontierResult
    /// Mbit/s at the light and at the dark end; the colour runs with the logarithm between them.
    private let least: Double
    private let most: Double

    init(_ result: FrontierResult) {
        self.result = result
        let rates = result.cells.compactMap(\.minMbitPerSec)
        let least = min(result.streamMbitPerSec, rates.min() ?? .infinity)
        self.least = max(least, 0.001)
        // A grid whose cells hardly differ should look like one.
        most = max(rates.max() ?? 0, self.least * 2)
    }

    private func share(_ rate: Double) -> Double {
        (HeatMap.log2(rate) - HeatMap.log2(least)) / (HeatMap.log2(most) - HeatMap.log2(least))
    }

    /// Without the C library: the exponent, and the significand's logarithm by its series.
    static func log2(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 0 }
        // ln m = 2 artanh((m−1)/(m+1)), m in 1 … 2: the eighth term is below 1e-8.
        let z = (value.significand - 1) / (value.significand + 1)
        var term = z
        var sum = 0.0
        for i in 0..<8 {
            sum += term / Double(2 * i + 1)
            term *= z * z
        }
        return Double(value.exponent) + 2 * sum / 0.693_147_180_559_945_3
    }

    var html: String {
        var out = "<div class=\"panels\">\n"
        for index in result.grid.panels.indices { out += panel(index) }
        return out + "</div>\n<div class=\"scroll\">" + legend + "</div>\n"
    }

    private func panel(_ index: Int) -> String {
        let grid = result.grid
        let (columns, rows) = (grid.rttMs.count, grid.loss.count)
        let (left, top, cellHeight) = (58.0, 22.0, 66.0)
        let cellWidth = max(92, min(130, 372 / Double(columns)))
        let title = grid.panels[index].title(grid)
        var drawing = Drawing(
            width: left + Double(columns) * cellWidth + 4, height: top + Double(rows) * cellHeight + 44,
            label: "\(title): the slowest rate that keeps up, by loss and round trip")
        drawing.text(left - 9, top - 8, "loss", anchor: .end)
        for (row, loss) in grid.loss.enumerated() {
            let y = top + Double(row) * cellHeight
            drawing.text(
                left - 9, y + cellHeight / 2 + 5, Page.percent(loss.number), anchor: .end, size: 14,
                fill: "var(--ink)")
            for column in 0..<columns {
                let cell = result.cells[(index * rows + row) * columns + column]
                draw(
                    cell, at: (left + Double(column) * cellWidth, y), size: (cellWidth, cellHeight), &drawing)
            }
        }
        let bottom = top + Double(rows) * cellHeight
        for (column, rtt) in grid.rttMs.enumerated() {
            drawing.text(
                left + (Double(column) + 0.5) * cellWidth, bottom + 18, "\(rtt.text) ms", anchor: .middle,
                size: 14, fill: "var(--ink)")
        }
        drawing.text(left + Double(columns) * cellWidth, bottom + 36, "round trip", anchor: .end)
        return "<div>\n<h3>\(Page.escape(title))</h3>\n\(drawing.svg)</div>\n"
    }

    private func draw(
        _ cell: FrontierCell, at: (x: Double, y: Double), size: (width: Double, height: Double),
        _ drawing: inout Drawing
    ) {
        let middle = at.x + size.width / 2
        guard let rate = cell.minMbitPerSec, let efficiency = cell.efficiency else {
            drawing.rect(
                at.x + 1, at.y + 1, size.width - 2, size.height - 2, fill: "var(--wash)",
                extra: "rx=\"3\" stroke=\"var(--bad)\" stroke-dasharray=\"4 3\"",
                title: "\(cell.link): \(cell.why ?? "no rate keeps up")")
            drawing.text(
                middle, at.y + size.height / 2 - 1, "none", anchor: .middle, size: 17, fill: "var(--bad)",
                weight: 600)
            drawing.text(middle, at.y + size.height / 2 + 17, "see below", anchor: .middle, size: 11)
            return
        }
        let share = share(rate)
        let ink = ColourScale.ink(share)
        drawing.rect(
            at.x + 1, at.y + 1, size.width - 2, size.height - 2, fill: ColourScale.css(share),
            extra: "rx=\"3\"",
            title: "\(cell.link): floor \(Page.fixed(cell.floorMbitPerSec, 2)) Mbit/s, lag p50 "
                + "\(Page.fixed(cell.lagMsP50, 1)) ms, p99 \(Page.fixed(cell.lagMsP99, 1)) ms")
        drawing.text(
            middle, at.y + size.height / 2 + 1, Page.fixed(rate, rate < 100 ? 1 : 0), anchor: .middle,
            size: 22,
            fill: ink, weight: 600)
        drawing.text(
            middle, at.y + size.height / 2 + 19, "\(Page.fixed(efficiency * 100, 0)) % efficient",
            anchor: .middle, size: 11, fill: ink)
    }

    private var legend: String {
        let (left, width) = (62.0, 420.0)
        var drawing = Drawing(
            width: 900, height: 46, label: "Colours from \(least) to \(most) Mbit/s")
        drawing.text(left - 9, 17, "Mbit/s", anchor: .end)
        let steps = 60
        for i in 0..<steps {
            let x = left + Double(i) * width / Double(steps)
            drawing.rect(
                x, 4, width / Double(steps) + (i < steps - 1 ? 1 : 0), 16,
                fill: ColourScale.css(Double(i) / Double(steps - 1)))
        }
        for i in 0...4 {
            let share = Double(i) / 4
            // Equal steps of the logarithm.
            let value = least * HeatMap.power(most / least, quarters: i)
            let x = left + share * width
            drawing.line(x, 20, x, 24, stroke: "var(--soft)", width: 0.8)
            drawing.text(x, 38, Page.fixed(value, 1), anchor: .middle)
        }
        return drawing.svg
    }

    /// `ratio` to the power of `quarters` / 4.
    private static func power(_ ratio: Double, quarters: Int) -> Double {
        let root = ratio.squareRoot().squareRoot()
        return (0..<quarters).reduce(1.0) { product, _ in product * root }
    }
}

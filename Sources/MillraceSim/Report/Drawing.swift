/// Drawing in SVG inside a page: numbers and labels go in, markup comes out, and text is escaped on the way. Colours are the
/// page's CSS variables, so that one drawing serves light, dark and paper.

import MillraceBase

/// One drawing of a fixed size in its own units; a page scales it to its width.
struct Drawing {
    let width: Double
    let height: Double
    /// What it shows, for those who cannot see it.
    let label: String
    private var body = ""

    init(width: Double, height: Double, label: String) {
        self.width = width
        self.height = height
        self.label = label
    }

    enum Anchor: String { case start, middle, end }

    var svg: String {
        "<svg class=\"chart\" viewBox=\"0 0 \(Drawing.n(width)) \(Drawing.n(height))\" role=\"img\" "
            + "aria-label=\"\(Page.escape(label))\">\n\(body)</svg>\n"
    }

    /// Coordinates to a tenth: what a pixel can show.
    static func n(_ value: Double) -> String { JSON.number(value, decimals: 1).text() }

    mutating func rect(
        _ x: Double, _ y: Double, _ width: Double, _ height: Double, fill: String, extra: String = "",
        title: String? = nil
    ) {
        body +=
            "<rect x=\"\(Drawing.n(x))\" y=\"\(Drawing.n(y))\" width=\"\(Drawing.n(max(width, 0)))\" "
            + "height=\"\(Drawing.n(max(height, 0)))\" fill=\"\(fill)\"\(extra.isEmpty ? "" : " " + extra)"
        body += title.map { "><title>\(Page.escape($0))</title></rect>\n" } ?? "/>\n"
    }

    mutating func line(
        _ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, stroke: String, width: Double = 1,
        dash: String? = nil
    ) {
        body +=
            "<line x1=\"\(Drawing.n(x1))\" y1=\"\(Drawing.n(y1))\" x2=\"\(Drawing.n(x2))\" y2=\"\(Drawing.n(y2))\" "
            + "stroke=\"\(stroke)\" stroke-width=\"\(Drawing.n(width))\""
            + (dash.map { " stroke-dasharray=\"\($0)\"" } ?? "") + "/>\n"
    }

    mutating func text(
        _ x: Double, _ y: Double, _ text: String, anchor: Anchor = .start, size: Double = 12,
        fill: String = "var(--soft)", weight: Int = 400, halo: Bool = false
    ) {
        body +=
            "<text x=\"\(Drawing.n(x))\" y=\"\(Drawing.n(y))\" font-size=\"\(Drawing.n(size))\" fill=\"\(fill)\""
            + (anchor == .start ? "" : " text-anchor=\"\(anchor.rawValue)\"")
            + (weight == 400 ? "" : " font-weight=\"\(weight)\"")
            + (halo ? " class=\"halo\"" : "") + ">\(Page.escape(text))</text>\n"
    }

    mutating func circle(_ x: Double, _ y: Double, _ r: Double, fill: String, extra: String, title: String) {
        body +=
            "<circle cx=\"\(Drawing.n(x))\" cy=\"\(Drawing.n(y))\" r=\"\(Drawing.n(r))\" fill=\"\(fill)\" \(extra)>"
            + "<title>\(Page.escape(title))</title></circle>\n"
    }

    /// Runs of points; a nil begins another run. A run of one point is drawn as a dot.
    mutating func polyline(
        _ points: [(x: Double, y: Double)?], stroke: String, width: Double = 1.5, opacity: Double = 1,
        dash: String? = nil
    ) {
        var data = ""
        var previousWasPoint = false
        for point in points {
            guard let point else {
                previousWasPoint = false
                continue
            }
            let place = "\(Drawing.n(point.x)) \(Drawing.n(point.y))"
            // A line to itself shows a single point, with round ends.
            data += previousWasPoint ? "L\(place)" : "M\(place)h0"
            previousWasPoint = true
        }
        if data.isEmpty { return }
        path(
            data,
            "fill=\"none\" stroke=\"\(stroke)\" stroke-width=\"\(Drawing.n(width))\" stroke-linejoin=\"round\" "
                + "stroke-linecap=\"round\""
                + (opacity < 1 ? " stroke-opacity=\"\(Drawing.n(opacity))\"" : "")
                + (dash.map { " stroke-dasharray=\"\($0)\"" } ?? ""))
    }

    /// `data` and `attributes` are this module's own.
    mutating func path(_ data: String, _ attributes: String) {
        body += "<path d=\"\(data)\" \(attributes)/>\n"
    }

    /// Markup of this module.
    mutating func raw(_ markup: String) { body += markup }
}

/// From 0 to at least `most`, in steps that people count in: 1, 2, 2.5 or 5 times a power of ten.
struct Scale {
    let step: Double
    let top: Double

    init(most: Double, ticks: Int = 5) {
        let most = most.isFinite && most > 0 ? most : 1
        let rough = most / Double(max(ticks, 1))
        var unit = 1e-9
        while unit * 10 <= rough { unit *= 10 }
        let step = [1, 2, 2.5, 5, 10].map { $0 * unit }.first { $0 >= rough * 0.999_999 } ?? unit * 10
        self.step = step
        top = (most / step - 1e-9).rounded(.up) * step
    }

    var ticks: [Double] { Array(stride(from: 0, through: top + step / 2, by: step)) }
    /// Digits behind the point that its ticks need.
    func text(_ value: Double) -> String { JSON.number(value, decimals: 3).text() }
}

/// A plot's frame: where data becomes coordinates, with a grid, ticks and units.
struct Frame {
    let left: Double
    let top: Double
    let width: Double
    let height: Double
    let xRange: ClosedRange<Double>
    let yTop: Double

    func x(_ value: Double) -> Double {
        left + (value - xRange.lowerBound) / max(xRange.upperBound - xRange.lowerBound, 1e-9) * width
    }
    func y(_ value: Double) -> Double { top + height - min(max(value / yTop, 0), 1) * height }
    var right: Double { left + width }
    var bottom: Double { top + height }

    /// Horizontal grid with numbers, and the unit above them.
    func drawY(
        _ scale: Scale, unit: String, in drawing: inout Drawing, at anchor: Drawing.Anchor = .end
    ) {
        for tick in scale.ticks {
            drawing.line(left, y(tick), right, y(tick), stroke: "var(--line)", width: tick == 0 ? 1.2 : 0.7)
            drawing.text(left - 7, y(tick) + 4, scale.text(tick), anchor: .end)
        }
        drawing.text(anchor == .end ? left - 7 : 4, top - 12, unit, anchor: anchor, halo: true)
    }

    /// Ticks and numbers below, and what they are at the right end, under the numbers.
    func drawX(_ scale: Scale, title: String, in drawing: inout Drawing) {
        for tick in scale.ticks where tick >= xRange.lowerBound && tick <= xRange.upperBound + 1e-9 {
            drawing.line(x(tick), bottom, x(tick), bottom + 4, stroke: "var(--soft)", width: 0.8)
            drawing.text(x(tick), bottom + 17, scale.text(tick), anchor: .middle)
        }
        drawing.text(right, bottom + 33, title, anchor: .end)
    }
}

/// One hue direction from light to dark (ColorBrewer's YlGnBu without its ends): lightness alone orders it, so it reads in grey
/// and for eyes that do not tell red from green.
struct ColourScale {
    private static let stops: [(Double, Double, Double)] = [
        (229, 245, 185), (199, 233, 180), (127, 205, 187), (65, 182, 196), (29, 145, 192), (34, 94, 168),
        (37, 52, 148), (14, 34, 100),
    ]

    /// `share` from 0 to 1.
    static func rgb(_ share: Double) -> (Double, Double, Double) {
        let place = min(max(share.isFinite ? share : 0, 0), 1) * Double(stops.count - 1)
        let index = min(Int(place), stops.count - 2)
        let part = place - Double(index)
        let (a, b) = (stops[index], stops[index + 1])
        return (
            a.0 + (b.0 - a.0) * part, a.1 + (b.1 - a.1) * part, a.2 + (b.2 - a.2) * part
        )
    }

    static func css(_ share: Double) -> String {
        let (r, g, b) = rgb(share)
        let value = UInt32(r.rounded()) << 16 | UInt32(g.rounded()) << 8 | UInt32(b.rounded())
        let digits = String(value, radix: 16)
        return "#" + String(repeating: "0", count: 6 - digits.count) + digits
    }

    /// Ink that can be read on it.
    static func ink(_ share: Double) -> String {
        let (r, g, b) = rgb(share)
        return 0.299 * r + 0.587 * g + 0.114 * b > 135 ? "#10202b" : "#ffffff"
    }
}

extension Page {
    /// A share as a percentage with as many digits as it needs, up to four: 0.05 is 5 %.
    static func percent(_ share: Double) -> String { JSON.number(share * 100, decimals: 4).text() + " %" }

    /// A large figure with its unit, and what it is.
    static func figure(_ value: String, _ unit: String, _ what: String) -> String {
        "<div><strong>\(escape(value))</strong> <span>\(escape(unit))</span><small>\(escape(what))</small></div>\n"
    }

    /// The first cell of a row is its name. Cells are text.
    static func table(_ head: [String], _ rows: [[String]]) -> String {
        var out = "<div class=\"scroll\"><table class=\"numbers\">\n<tr>"
        out += head.map { "<th>\(escape($0))</th>" }.joined() + "</tr>\n"
        for row in rows {
            out += "<tr><th>\(escape(row[0]))</th>"
            out += row.dropFirst().map { "<td>\(escape($0))</td>" }.joined() + "</tr>\n"
        }
        return out + "</table></div>\n"
    }

    /// What the drawings of reports need besides the common style.
    static let drawingStyle = """
        :root {
          --s1: #0067a5; --s2: #d55e00; --s3: #00795a; --s4: #a8528a; --s5: #b58900; --s6: #4aa3d6; --s7: #8a8f96;
          --s8: #b9bec4; --s9: #3c434b; --good: #0b6b4f; --fair: #8a5a00; --bad: #a8321c; --wash: #f0f3f6;
          --shade: #d9822b33;
        }
        @media (prefers-color-scheme: dark) {
          :root {
            --s1: #5cb0ea; --s2: #ff9550; --s3: #3ecf9f; --s4: #e39ac6; --s5: #e5c04b; --s6: #2f7fb0; --s7: #98a1ab;
            --s8: #5d6670; --s9: #d3d9df; --good: #5fd3a8; --fair: #f0bf5a; --bad: #ff8a70; --wash: #1d232a;
            --shade: #e8a04a40;
          }
        }
        @media print {
          :root {
            --s1: #0067a5; --s2: #d55e00; --s3: #00795a; --s4: #a8528a; --s5: #b58900; --s6: #4aa3d6; --s7: #8a8f96;
            --s8: #b9bec4; --s9: #3c434b; --good: #0b6b4f; --fair: #8a5a00; --bad: #a8321c; --wash: #f0f3f6;
            --shade: #d9822b33;
          }
          body { font-size: 12px; } h2 { margin-top: 1.2rem; }
          .figures { grid-template-columns: repeat(auto-fit, minmax(7rem, 1fr)); } .figures strong { font-size: 1.5rem; }
          svg, h2, p { break-inside: avoid; } h2, h2 + p { break-after: avoid; }
        }
        .chart { display: block; width: 100%; height: auto; margin: .4rem 0 0; font-family: inherit; }
        .chart text { font-variant-numeric: tabular-nums; }
        .chart .halo { paint-order: stroke; stroke: var(--paper); stroke-width: 4px; stroke-linejoin: round; }
        .scroll { overflow-x: auto; }
        .scroll > .chart { min-width: 36rem; }
        .panels { display: grid; grid-template-columns: repeat(auto-fit, minmax(22rem, 1fr)); gap: 1rem 2rem;
          margin: 1rem 0 .4rem; }
        .panels h3, h3 { font-size: .95rem; font-weight: 600; margin: .6rem 0 .1rem; }
        .verdict { border-left: .4rem solid var(--tone); background: var(--wash); padding: .7rem 1rem; margin: .8rem 0 0;
          print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        .verdict strong { display: block; font-size: 1.5rem; line-height: 1.3; color: var(--tone); }
        .verdict p { margin: .1rem 0 0; color: var(--ink); max-width: none; }
        .key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .5rem 0 .9rem; color: var(--soft); font-size: .85rem; }
        .key span { white-space: nowrap; }
        .key i { display: inline-block; width: .8rem; height: .8rem; margin-right: .4rem; vertical-align: -.08rem;
          border-radius: 2px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
        .numbers { font-size: .87rem; }
        .numbers td { white-space: nowrap; }
        dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; margin: .6rem 0; }
        dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
        """
}

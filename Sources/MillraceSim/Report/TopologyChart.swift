/// Who feeds whom: groups as boxes from left to right, their nodes as dots, the use of their lines as darkness. Few edges are
/// drawn one by one; many as one band between two groups, with their number.

import MillraceBase
import MillraceCore

struct TopologyChart {
    let result: SimulationResult
    /// Dots in a box; of more nodes each dot stands for several, and shows the worst of them.
    static let dotsMax = 1_000
    static let edgesMax = 60
    /// Nodes of a group with names beside their dots.
    static let namedMax = 6

    private struct Dot {
        var place: (x: Double, y: Double)
        var radius: Double
        var nodes: Range<Int>
    }
    private struct Box {
        var group: Int
        var members: [Int]
        var rect: (x: Double, y: Double, width: Double, height: Double)
        var dots: [Dot] = []
    }

    init(_ result: SimulationResult) { self.result = result }

    /// Steps from the sequencer, by group.
    private var depths: [Int] {
        let groups = result.plan.groups
        var depths = groups.map { $0.role == .sequencer ? 0 : 1 }
        for _ in groups {
            for (g, group) in groups.enumerated() where group.role != .sequencer {
                let above = groups.indices.filter { $0 != g && group.parents.contains(groups[$0].name) }
                // Groups that name each other in a ring stay where they are.
                depths[g] = min(groups.count, max(depths[g], (above.map { depths[$0] }.max() ?? 0) + 1))
            }
        }
        let used = Array(Set(depths)).sorted()
        return depths.map { used.firstIndex(of: $0) ?? 0 }
    }

    var html: String {
        let use = utilisation
        var members = Array(repeating: [Int](), count: result.plan.groups.count)
        for (i, place) in result.places.enumerated() { members[place.group].append(i) }
        let depths = self.depths
        let columns = (depths.max() ?? 0) + 1
        let gap = columns > 4 ? 40.0 : 90
        let boxWidth = min(280, (900 - gap * Double(columns - 1)) / Double(columns))
        // The columns take the whole width.
        let spread = columns > 1 ? (900 - boxWidth * Double(columns)) / Double(columns - 1) : 0
        var boxes: [Box] = []
        var heights = Array(repeating: 0.0, count: columns)
        for (g, nodes) in members.enumerated() where !nodes.isEmpty {
            let x = Double(depths[g]) * (boxWidth + spread)
            var box = Box(group: g, members: nodes, rect: (x, heights[depths[g]], boxWidth, 0))
            layOut(&box)
            heights[depths[g]] = box.rect.y + box.rect.height + 18
            boxes.append(box)
        }
        let height = max((heights.max() ?? 0) - 18, 40)
        for i in boxes.indices {
            // Each column in the middle of the height.
            let offset = (height - (heights[depths[boxes[i].group]] - 18)) / 2
            boxes[i].rect.y += offset
            for d in boxes[i].dots.indices { boxes[i].dots[d].place.y += offset }
        }
        var drawing = Drawing(width: 900, height: height + 2, label: "Topology")
        var edges: [(String, Double, Double)] = []
        for box in boxes {
            let (x, y, w, h) = box.rect
            drawing.rect(
                x + 0.5, y + 0.5, w - 1, h - 1, fill: "var(--wash)", extra: "rx=\"5\" stroke=\"var(--line)\"")
        }
        drawEdges(boxes, &drawing, &edges)
        for box in boxes { draw(box, use, &drawing) }
        for (text, x, y) in edges {
            drawing.text(x, y, text, anchor: .middle, fill: "var(--ink)", halo: true)
        }
        let one = boxes.contains { $0.members.count > TopologyChart.dotsMax }
        var key: [(colour: String, text: String)] = [0, 0.25, 0.5, 0.75, 1].map {
            (ColourScale.css($0), "\(Page.fixed($0 * 100, 0)) % used")
        }
        key.append(("var(--bad)", "ring: falls behind"))
        key.append(("var(--fair)", "ring: stalls"))
        return "<div class=\"scroll\">\(drawing.svg)</div>\n\(Page.key(key))"
            + (one ? "<p>A dot stands for several nodes and shows the most used.</p>\n" : "")
    }

    /// Of the line down, or of the sequencer's line up.
    private var utilisation: [Double] {
        var byName: [String: Double] = [:]
        let sequencers = Set(result.nodes.filter { $0.role == .sequencer }.map(\.name))
        for link in result.links where (link.direction == "up") == sequencers.contains(link.node) {
            byName[link.node] = link.utilisation
        }
        return result.nodes.map { byName[$0.name] ?? 0 }
    }

    private func layOut(_ box: inout Box) {
        let count = min(box.members.count, TopologyChart.dotsMax)
        let inside = box.rect.width - 28
        let head = 46.0
        let isNamed = count <= TopologyChart.namedMax
        let pitch = isNamed ? 22.0 : count <= 120 ? 17 : count <= 400 ? 11 : 8
        let across = isNamed ? 1 : max(1, Int(inside / pitch))
        for i in 0..<count {
            let nodes =
                i * box.members.count / count..<(i + 1) * box.members.count / count
            box.dots.append(
                Dot(
                    place: (
                        box.rect.x + 14 + (Double(i % across) + 0.5) * pitch,
                        box.rect.y + head + (Double(i / across) + 0.5) * pitch
                    ), radius: isNamed ? 7 : pitch * 0.39, nodes: nodes))
        }
        box.rect.height = head + Double((count + across - 1) / across) * pitch + 10
    }

    private func draw(_ box: Box, _ use: [Double], _ drawing: inout Drawing) {
        let group = result.plan.groups[box.group]
        let (x, y, width, _) = box.rect
        let letters = Int(width / 6.6)
        let title = box.members.count == 1 ? group.name : "\(box.members.count) × \(group.name)"
        drawing.text(
            x + 14, y + 20, SimulationPage.shortened(title, letters), size: 14, fill: "var(--ink)",
            weight: 600)
        let uses = box.members.map { use[$0] }
        let mean = uses.reduce(0, +) / Double(max(uses.count, 1))
        let most = uses.max() ?? 0
        let side = group.role == .sequencer ? "up" : "down"
        drawing.text(
            x + 14, y + 37,
            box.members.count == 1
                ? "line \(side) \(percent(mean)) used"
                : "lines \(side) \(percent(mean)) used, at most \(percent(most))", size: 11)
        for dot in box.dots {
            let nodes = dot.nodes.map { box.members[$0] }
            guard let shown = nodes.max(by: { use[$0] < use[$1] }) else { continue }
            let verdicts = nodes.map { result.nodes[$0].verdict }
            let worst = verdicts.reduce(LinkVerdict.keepsUp) { $0.worse(than: $1) }
            let ring =
                switch worst {
                case .keepsUp: "var(--soft)"
                case .keepsUpWithStalls: "var(--fair)"
                case .fallsBehind: "var(--bad)"
                }
            let name = result.nodes[shown].name
            drawing.circle(
                dot.place.x, dot.place.y, dot.radius, fill: ColourScale.css(use[shown]),
                extra:
                    "stroke=\"\(ring)\" stroke-width=\"\(worst == .keepsUp ? "0.8" : dot.radius > 5 ? "2.5" : "1.6")\"",
                title: "\(name): \(percent(use[shown])) used, \(worst.sentence)")
            if box.dots.count <= TopologyChart.namedMax, box.members.count > 1 {
                drawing.text(
                    dot.place.x + 14, dot.place.y + 4,
                    SimulationPage.shortened("\(name)  \(percent(use[shown]))", letters - 4),
                    fill: "var(--ink)")
            }
        }
    }

    private func drawEdges(
        _ boxes: [Box], _ drawing: inout Drawing, _ labels: inout [(String, Double, Double)]
    ) {
        let total = result.places.reduce(0) { $0 + $1.parents.count }
        let boxOf = Dictionary(boxes.enumerated().map { ($1.group, $0) }, uniquingKeysWith: { a, _ in a })
        if total <= TopologyChart.edgesMax {
            for (child, place) in result.places.enumerated() {
                for parent in place.parents {
                    guard let to = anchor(child, boxes, boxOf, isParent: false),
                        let from = anchor(Int(parent), boxes, boxOf, isParent: true)
                    else { continue }
                    curve(from, to, width: 1.2, opacity: 0.7, &drawing)
                }
            }
            return
        }
        var counts: [Int: Int] = [:]
        for place in result.places {
            for parent in place.parents {
                counts[result.places[Int(parent)].group * boxes.count * 64 + place.group, default: 0] += 1
            }
        }
        for (pair, count) in counts.sorted(by: { $0.key < $1.key }) {
            let (from, to) = (pair / (boxes.count * 64), pair % (boxes.count * 64))
            guard let a = boxOf[from], let b = boxOf[to], a != b else { continue }
            let (r, s) = (boxes[a].rect, boxes[b].rect)
            let begin = (x: r.x + r.width, y: r.y + r.height / 2)
            let end = (x: s.x, y: s.y + s.height / 2)
            curve(begin, end, width: 1.5 + HeatMap.log2(Double(count) + 1), opacity: 0.45, &drawing)
            labels.append(
                ("\(Page.grouped(UInt64(count)))", (begin.x + end.x) / 2, (begin.y + end.y) / 2 - 8))
        }
    }

    private func anchor(
        _ node: Int, _ boxes: [Box], _ boxOf: [Int: Int], isParent: Bool
    ) -> (x: Double, y: Double)? {
        guard let index = boxOf[result.places[node].group],
            let rank = boxes[index].members.firstIndex(of: node),
            let dot = boxes[index].dots.first(where: { $0.nodes.contains(rank) })
        else { return nil }
        let box = boxes[index].rect
        // From the box's side at the height of the dot; a group of a grid of dots has one door.
        let y = boxes[index].dots.count <= TopologyChart.namedMax ? dot.place.y : box.y + box.height / 2
        return (isParent ? box.x + box.width : box.x, y)
    }

    private func curve(
        _ from: (x: Double, y: Double), _ to: (x: Double, y: Double), width: Double, opacity: Double,
        _ drawing: inout Drawing
    ) {
        let bend = max(30, abs(to.x - from.x) * 0.45)
        let n = Drawing.n
        drawing.path(
            "M\(n(from.x)) \(n(from.y))C\(n(from.x + bend)) \(n(from.y)) \(n(to.x - bend)) \(n(to.y)) \(n(to.x)) \(n(to.y))",
            "fill=\"none\" stroke=\"var(--s7)\" stroke-width=\"\(n(width))\" stroke-opacity=\"\(JSON.number(opacity).text())\""
        )
    }

    private func percent(_ share: Double) -> String {
        "\(Page.fixed(share * 100, share < 0.0995 ? 1 : 0)) %"
    }
}

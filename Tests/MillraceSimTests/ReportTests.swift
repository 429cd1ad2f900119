/// The page of a run: whole, without outside references, equal for equal runs, and deaf to hostile names.

import MillraceBase
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct ReportTests {
    static let command = "millrace simulate --link rate=25,rtt=50 --seed 1"

    @Test func `the page of a run has its parts and needs nothing else`() throws {
        let link = "rate=25,rtt=50,loss=1%,burst=2"
        let page = SimulationPage(
            try SimulationTests.run(link, seconds: 2, replicas: 2), command: ReportTests.command
        ).html
        for part in [
            "class=\"verdict\"", "Keeps up", "Lag over time", "How lags are spread",
            "What came through the links",
            "The line down of replica-", "Who took it from whom", "The nodes", "trace hash",
            ReportTests.command,
            "prefers-color-scheme: dark", "@media print", "<svg", "<title>",
        ] {
            #expect(page.contains(part), "\(part)")
        }
        for foreign in ["http:", "https:", "<script", "<link", "<img", "@import", "url(", "NaN", "inf\""] {
            #expect(!page.contains(foreign), "\(foreign)")
        }
        #expect(page.components(of: "<svg") == page.components(of: "</svg>"))
        #expect(page.components(of: "<section>") == page.components(of: "</section>"))
        let again = SimulationPage(
            try SimulationTests.run(link, seconds: 2, replicas: 2), command: ReportTests.command
        ).html
        #expect(page == again)
    }

    @Test func `a line that is too slow says so, and how much is missing`() throws {
        let page = SimulationPage(try SimulationTests.run("rate=6,rtt=50", seconds: 4), command: "x").html
        #expect(page.contains("Falls behind"))
        #expect(page.contains("Its link is short by"))
    }

    @Test func `names from outside cannot become markup`() throws {
        let hostile = "<script>alert(1)</script>\" onload='x' &amp; \u{1}\u{9B}"
        var scenario = Scenario.link(
            AccessLink(text: hostile, down: LinkParameters(), up: LinkParameters()),
            workload: WorkloadSpec(.swap), seconds: 1, fidelity: .network, replicas: 2)
        for index in scenario.groups.indices {
            let name = scenario.groups[index].name
            scenario.groups[index].name = name + hostile
            scenario.groups[index].parents = scenario.groups[index].parents.map { $0 + hostile }
        }
        scenario.faults = [
            Fault(
                .pause, NodeSelector(group: "replica" + hostile, share: .one(0)), at: .milliseconds(300),
                lasts: .milliseconds(300))
        ]
        let simulation = try Simulation(
            scenario, seed: 1, sizes: SimulationTests.steady(WorkloadSpec(.swap)))
        try simulation.run()
        let page = SimulationPage(simulation.result(wallSeconds: 1), command: hostile).html
        #expect(!page.contains("<script"))
        #expect(!page.contains("onload='"))
        #expect(!page.contains("\u{1}") && !page.contains("\u{9B}"))
        #expect(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&quot; onload=&#39;x&#39; &amp;amp; "))
        #expect(page.contains("fill=\"var(--shade)\""))
    }

    @Test func `a thousand nodes are drawn in groups`() throws {
        var scenario = Scenario.link(
            try SimulationTests.line("rate=25,rtt=50"), workload: WorkloadSpec(.idle), seconds: 1,
            fidelity: .network, replicas: 1_000)
        scenario.groups[1].count = 10
        let sizes = PayloadSizes(workload: scenario.workload, payloadBytes: [40], transactions: [1])
        let simulation = try Simulation(scenario, seed: 1, sizes: sizes)
        // Connected is enough for a drawing.
        try simulation.run { $0 > .milliseconds(-1_800) }
        let page = SimulationPage(simulation.result(wallSeconds: 1), command: "x").html
        #expect(page.components(of: "<circle") == 1_011)
        #expect(page.components(of: "<path") < 100)
        #expect(page.contains(">1000 × replica<"))
        #expect(page.utf8.count < 400_000)
    }

    @Test(arguments: [(0.0, 1.0), (0.7, 0.8), (1.0, 1.0), (12.3, 12.5), (104.0, 125.0), (9_999.0, 10_000.0)])
    func `a scale ends at a round number that is large enough`(most: Double, top: Double) {
        let scale = Scale(most: most)
        #expect(abs(scale.top - top) < 1e-6 * top, "\(scale.top)")
        #expect((2...12).contains(scale.ticks.count))
    }

    @Test func `logarithms without the C library are logarithms`() {
        for (value, log) in [(1.0, 0.0), (2, 1), (8, 3), (1.5, 0.584_962_5), (10, 3.321_928_1), (0.25, -2)] {
            #expect(abs(HeatMap.log2(value) - log) < 1e-6)
        }
    }
}

extension String {
    /// How often `part` occurs.
    fileprivate func components(of part: String) -> Int { ranges(of: part).count }
}

/// The search over rates against made-up answers, and a small grid of real runs.

import MillraceBase
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct FrontierTests {
    static func search(_ passes: (Double, Int) -> Bool) -> RateSearch.Outcome {
        RateSearch(start: 8_000_000, resolution: 0.02).run { rate, seed in passes(Double(rate) / 1e6, seed) }
    }

    static func megabits(_ outcome: RateSearch.Outcome) -> Double? {
        if case .found(let rate) = outcome { return Double(rate) / 1e6 }
        return nil
    }

    @Test(arguments: [7.1, 8.0, 9.37, 12.0, 25.0, 100.0])
    func `the slowest passing rate is found to within the resolution`(least: Double) throws {
        let found = try #require(FrontierTests.megabits(FrontierTests.search { rate, _ in rate >= least }))
        #expect(found >= least && found <= least * 1.021)
    }

    @Test func `a rate that fails with the second seed is not the answer`() throws {
        let found = try #require(
            FrontierTests.megabits(FrontierTests.search { rate, seed in rate >= (seed == 0 ? 9 : 11) }))
        #expect(found >= 11 && found < 12.2)
    }

    @Test func `an answer that fails between two that pass is not found by luck`() throws {
        // Both seeds pass at the rate found, whatever lies below and above it.
        var asked: [Double: Set<Int>] = [:]
        let outcome = FrontierTests.search { rate, seed in
            let passes = rate >= 9 && !(10...11).contains(rate)
            if passes { asked[rate, default: []].insert(seed) }
            return passes
        }
        let found = try #require(FrontierTests.megabits(outcome))
        #expect(asked[found] == [0, 1])
    }

    @Test func `where nothing passes the answer is the bound, after a bounded number of questions`() {
        var questions = 0
        let outcome = FrontierTests.search { _, _ in
            questions += 1
            return false
        }
        guard case .none(let rate) = outcome else {
            Issue.record("found \(outcome)")
            return
        }
        #expect(Double(rate) / 1e6 > 100 && questions < 40)
        // One seed passes always, the other never: the climb ends too.
        questions = 0
        let second = FrontierTests.search { _, seed in
            questions += 1
            return seed == 0
        }
        #expect(FrontierTests.megabits(second) == nil && questions < 120)
    }

    @Test func `a small grid costs no less than its floor, and equal seeds give equal answers`() throws {
        let workload = try WorkloadSpec("swap?tps=10000")
        var grid = try FrontierGrid(
            workload: workload, rttMs: "20", loss: "0", burst: "1,3", queue: "100ms")
        grid.seconds = 4
        grid.resolution = 0.2
        // 1,000 bytes a mini-block: a debug build runs it in a moment.
        let sizes = PayloadSizes(
            workload: workload, payloadBytes: Array(repeating: 1_000, count: 100),
            transactions: Array(repeating: 100, count: 100))
        let frontier = Frontier(grid, sizes: sizes)
        // Without loss a burst means nothing.
        #expect(frontier.count == 1)
        let result = try frontier.run()
        #expect(result.cells.count == 2)
        for cell in result.cells {
            let efficiency = try #require(cell.efficiency, "\(cell.why ?? "")")
            #expect(efficiency > 0.1 && efficiency < 1.2)
            #expect(abs(cell.floorMbitPerSec * (1 - cell.loss) - result.streamMbitPerSec) < 0.001)
        }
        #expect(result.cells[0].minMbitPerSec == result.cells[1].minMbitPerSec)
        #expect(result.cells[1].burst == 3 && result.cells[1].runs == 0)
        let again = try frontier.search(0)
        #expect(again.minMbitPerSec == result.cells[0].minMbitPerSec)
        #expect(again.traceHash == result.cells[0].traceHash)

        let json = result.json.text()
        for field in ["rttMs", "loss", "burst", "cadence", "minMbitPerSec", "floorMbitPerSec", "efficiency"] {
            #expect(json.contains("\"\(field)\":"))
        }
        let page = FrontierPage(result, command: "millrace frontier --link '<b>'").html
        #expect(page.contains("<svg") && page.contains("Losses in bursts of 3"))
        #expect(!page.contains("http") && !page.contains("<b>") && !page.contains("<script"))
    }

    @Test func `a coarser cadence has a floor of its own, and runs of ten windows`() throws {
        let workload = try WorkloadSpec("swap?tps=10000")
        var grid = try FrontierGrid(
            workload: workload, rttMs: "20", loss: "0", burst: "1", queue: "100ms", cadence: "c0, c2")
        grid.seconds = 4
        grid.resolution = 0.2
        #expect(grid.seconds(.c0) == 4 && grid.seconds(.c2) == 10 && grid.seconds(.c3) == 100)
        // A second of it is half of its mini-blocks.
        let sizes = PayloadSizes(
            workload: workload, payloadBytes: Array(repeating: 1_000, count: 100),
            transactions: Array(repeating: 100, count: 100), windowBytes: [.c2: 50_000])
        let result = try Frontier(grid, sizes: sizes).run()
        #expect(result.cells.map(\.cadence) == [.c0, .c2])
        let (stream, windows) = (result.cells[0], result.cells[1])
        #expect(windows.floorMbitPerSec < stream.floorMbitPerSec * 0.5)
        #expect(try #require(windows.minMbitPerSec, "\(windows.why ?? "")") < stream.floorMbitPerSec)
        let page = FrontierPage(result, command: "millrace frontier").html
        #expect(page.contains("c2, losses one by one"))
    }

    @Test(arguments: ["", "c4", "c0,c0", "c0;c1"])
    func `a wrong list of cadences is one sentence`(cadence: String) throws {
        #expect(throws: LinkTextError.self) {
            _ = try FrontierGrid(
                workload: WorkloadSpec(.swap), rttMs: "20", loss: "0", burst: "1", queue: "100ms",
                cadence: cadence)
        }
    }

    @Test(arguments: [
        ("20,x", "0", "1", "rtt"), ("20", "1.5", "1", "loss"), ("20", "0.6", "1", "more than half"),
        ("20", "0", "0.5", "burst"), ("20,20", "0", "1", "twice"), ("", "0", "1", "not a value"),
        ("20", "0.01=2", "1", "not a value"),
    ])
    func `a wrong axis is one sentence`(rtt: String, loss: String, burst: String, word: String) {
        do {
            _ = try FrontierGrid(
                workload: WorkloadSpec(.swap), rttMs: rtt, loss: loss, burst: burst, queue: "100ms")
            Issue.record("\(rtt) \(loss) \(burst) was taken")
        } catch {
            #expect(error.description.contains(word), "\(error.description)")
            #expect(!error.description.contains("\n"))
        }
    }
}

/// The slowest link that keeps up, for every cadence, loss, burst and round trip of a grid, beside the floor: what the stream at
/// that cadence alone needs when a share p of it is lost and sent again, R/(1−p).
///
/// Every cell is a search of its own (`RateSearch`) over whole runs at `network` fidelity, all of them with the payload sizes
/// measured once. Cells do not know each other, so they may be searched in any order and by several threads: the
/// answers are the same.

public import MillraceBase
import MillraceCore
import MillraceLink
public import MillraceWorkload

public struct FrontierCell: Sendable {
    /// The one that the replica follows.
    public var cadence: Cadence
    public var rttMs: Double
    public var loss: Double
    public var burst: Double
    /// Nil when nothing up to the bound kept up, and then `why` says so.
    public var minMbitPerSec: Double?
    public var floorMbitPerSec: Double
    public var why: String?
    /// The line at the slowest rate that passed, to be given to `simulate --link`; or at the fastest that failed.
    public var link: String
    /// Of the run at that rate.
    public var lagMsP50: Double
    public var lagMsP99: Double
    public var traceHash: TraceHash
    /// Runs that the search took.
    public var runs: Int

    /// 1 is the floor itself; nil where there is no rate.
    public var efficiency: Double? { minMbitPerSec.map { floorMbitPerSec / $0 } }
}

public struct FrontierResult: Sendable {
    public var grid: FrontierGrid
    /// R of the first cadence: the stream with frames, sessions and packets, without parity.
    public var streamMbitPerSec: Double
    /// By cadence, then burst, then loss, then round trip, as listed.
    public var cells: [FrontierCell]
    public var wallSeconds: Double

    public var runs: Int { cells.reduce(0) { $0 + $1.runs } }

    /// Over all the runs at the rates found.
    public var traceHash: TraceHash {
        var hash = TraceHash(seed: grid.seed)
        for cell in cells { hash.fold(cell.traceHash.value) }
        return hash
    }
}

/// One frontier to be found. Asks for nothing between calls: `search` may be called from several threads.
public struct Frontier: Sendable {
    public let grid: FrontierGrid
    let sizes: PayloadSizes
    /// The places that differ: without loss a burst means nothing.
    let distinct: [FrontierGrid.Place]

    public init(_ grid: FrontierGrid, sizes: PayloadSizes) {
        self.grid = grid
        self.sizes = sizes
        var distinct: [FrontierGrid.Place] = []
        for place in grid.places where !distinct.contains(where: { Frontier.same($0, place) }) {
            distinct.append(place)
        }
        self.distinct = distinct
    }

    private static func same(_ a: FrontierGrid.Place, _ b: FrontierGrid.Place) -> Bool {
        a.cadence == b.cadence && a.rtt == b.rtt && a.loss == b.loss
            && (a.burst == b.burst || a.loss.number == 0)
    }

    /// How many searches there are.
    public var count: Int { distinct.count }

    /// What search `index` is about, for people.
    public func name(_ index: Int) -> String {
        let place = distinct[index]
        return
            "\(place.cadence), rtt \(place.rtt.text) ms, loss \(place.loss.text), burst \(place.burst.text)"
    }

    /// Finds one cell. `onRun` is told after every run.
    public func search(_ index: Int, onRun: () -> Void = {}) throws(WorkloadError) -> FrontierCell {
        let place = distinct[index]
        let estimated = estimatedStreamBits(place.cadence)
        let floor = estimated / (1 - place.loss.number)
        let search = RateSearch(start: floor, resolution: grid.resolution)
        var runs = 0
        var stream = estimated / 1e6
        var last: (rate: UInt64, result: SimulationResult)?
        // The run with the first seed at the lowest rate that passed.
        var passed: [UInt64: SimulationResult] = [:]
        let outcome = try search.run { (rate, second) throws(WorkloadError) -> Bool in
            let result = try run(place, rate, seed: grid.seed &+ UInt64(second))
            runs += 1
            onRun()
            if place.cadence == .c0 { stream = result.streamMbitPerSec }
            if second == 0 { last = (rate, result) }
            let passes =
                result.verdict == .keepsUp || grid.allowsStalls && result.verdict == .keepsUpWithStalls
            if passes, second == 0 { passed[rate] = result }
            return passes
        }
        var cell = FrontierCell(
            cadence: place.cadence, rttMs: place.rtt.number, loss: place.loss.number,
            burst: place.burst.number, minMbitPerSec: nil,
            floorMbitPerSec: stream / (1 - place.loss.number), link: "", lagMsP50: 0, lagMsP99: 0,
            traceHash: TraceHash(seed: grid.seed), runs: runs)
        let shown: SimulationResult?
        switch outcome {
        case .found(let rate):
            cell.minMbitPerSec = Double(rate) / 1e6
            cell.link = grid.link(place, bitsPerSecond: rate)
            shown = passed[rate]
        case .none(let rate):
            cell.link = grid.link(place, bitsPerSecond: rate)
            shown = last?.result
            let megabits = JSON.number(Double(rate) / 1e6, decimals: 1).text()
            cell.why = "no rate up to \(megabits) Mbit/s keeps up: \(Frontier.reason(shown))"
        }
        if let shown, let replica = shown.nodes.last(where: { $0.role == .replica }) {
            cell.lagMsP50 = replica.lagMsP50
            cell.lagMsP99 = replica.lagMsP99
            cell.traceHash = shown.traceHash
        }
        return cell
    }

    private static func reason(_ result: SimulationResult?) -> String {
        guard let replica = result?.nodes.last(where: { $0.role == .replica }) else { return "nothing ran" }
        if let shortage = replica.shortage { return shortage.sentence }
        if replica.verdict == .keepsUpWithStalls {
            let longest = JSON.number(replica.longestStallMs, decimals: 0).text()
            return "\(replica.stallsText), the longest of \(longest) ms"
        }
        return "with the second seed it \(replica.verdict == .keepsUp ? "fails" : replica.verdict.sentence)"
    }

    /// Puts the cells of all searches, in their order, into the grid's.
    public func result(_ found: [FrontierCell], wallSeconds: Double) -> FrontierResult {
        precondition(found.count == distinct.count, "a frontier has \(distinct.count) searches")
        var counted: Set<Int> = []
        let cells = grid.places.map { place -> FrontierCell in
            guard let index = distinct.firstIndex(where: { Frontier.same($0, place) }) else {
                preconditionFailure("every place has a search")
            }
            var cell = found[index]
            cell.burst = place.burst.number
            // A search whose answer stands twice took its runs once.
            if !counted.insert(index).inserted { cell.runs = 0 }
            return cell
        }
        let stream = found.first.map { $0.floorMbitPerSec * (1 - $0.loss) } ?? 0
        return FrontierResult(grid: grid, streamMbitPerSec: stream, cells: cells, wallSeconds: wallSeconds)
    }

    /// All searches, one after the other.
    public func run(wallSeconds: Double = 0) throws(WorkloadError) -> FrontierResult {
        var found: [FrontierCell] = []
        for index in 0..<count { found.append(try search(index)) }
        return result(found, wallSeconds: wallSeconds)
    }

    private func run(
        _ place: FrontierGrid.Place, _ rate: UInt64, seed: UInt64
    ) throws(WorkloadError) -> SimulationResult {
        let text = grid.link(place, bitsPerSecond: rate)
        let link: AccessLink
        do throws(LinkTextError) {
            link = AccessLink(
                text: text, down: try LinkParameters(text: text, direction: .down),
                up: try LinkParameters(text: text, direction: .up))
        } catch { throw WorkloadError(error.description) }
        var scenario = Scenario.link(
            link, workload: grid.workload, seconds: grid.seconds(place.cadence), fidelity: .network,
            parityCount: grid.parityCount)
        if place.cadence != .c0 {
            scenario.hasWindows = true
            for i in scenario.groups.indices where scenario.groups[i].role == .replica {
                scenario.groups[i].cadence = place.cadence
            }
        }
        let simulation = try Simulation(scenario, seed: seed, sizes: sizes)
        try simulation.run()
        return simulation.result(wallSeconds: 0)
    }

    /// R before any run has said it. Windows have no parity, and nobody else's traffic says what they take.
    private func estimatedStreamBits(_ cadence: Cadence) -> Double {
        if cadence != .c0 {
            let windows = UInt64(grid.seconds(cadence)) * 100 / cadence.heights
            let bytes = (1...windows).reduce(0) {
                $0
                    + WireCost.bytes(
                        payload: sizes.windowBytes(cadence, endingAt: $1 * cadence.heights), parity: 0)
            }
            return Double(bytes * 8) / Double(grid.seconds(cadence))
        }
        let heights = UInt64(grid.seconds) * 100
        let payload = (1...heights).reduce(0) { $0 + sizes.payloadBytes(at: $1) }
        let mean = payload / Int(heights)
        return Double(WireCost.bytes(payload: mean, parity: grid.parityCount)) * 800
    }
}

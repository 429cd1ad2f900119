/// `millrace measure links`: what the link model does, beside what formulas say it must, with samples ten to a hundred times
/// those of the tests. A row holds when the two are within five standard errors, the error estimated from the batches of
/// the run itself; the token bucket has no chance in it and is exact to the nanosecond.

import ArgumentParser
import Foundation
import MillraceBase
import MillraceLink

struct MeasureLinks: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "links",
        abstract: "Compare the link model with closed forms: queueing, losses, token bucket, blocks.",
        discussion: "Equal seeds give equal figures. Exit code 3 when a figure is off by more than chance.")
    @Option(help: "Equal seeds draw equal losses and arrivals.") var seed: UInt64 = 1
    @Option(help: "Multiplies the samples (0.01 to 100).") var samples = 1.0
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if !(samples >= 0.01 && samples <= 100) {
            throw ValidationError("--samples must be between 0.01 and 100.")
        }
    }

    func run() throws {
        let begin = Date()
        let rows = ClosedForms(seed: seed, samples: samples).rows()
        let seconds = Date().timeIntervalSince(begin)
        let object = JSON.object([
            ("seed", .unsigned(seed)), ("seconds", .number(seconds)),
            ("rows", .array(rows.map(\.json))),
        ])
        output.result(object, MeasureLinks.table(rows, seconds))
        if let wrong = rows.first(where: { !$0.holds }) {
            throw Failure(
                .verification, "\(wrong.name): \(wrong.measured), the formula says \(wrong.formula)")
        }
    }

    private static func table(_ rows: [ClosedForms.Row], _ seconds: Double) -> String {
        func pad(_ text: String, _ width: Int) -> String {
            String(repeating: " ", count: max(0, width - text.count)) + text
        }
        let width = rows.map(\.name.count).max() ?? 0
        func line(_ name: String, _ cells: [String]) -> String {
            name.padding(toLength: width, withPad: " ", startingAt: 0) + cells.map { pad($0, 13) }.joined()
        }
        var lines = [line("", ["samples", "measured", "formula", "off", "in std errors"])]
        for row in rows {
            lines.append(
                line(
                    row.name,
                    [
                        String(row.samples), String(format: "%.6g", row.measured),
                        String(format: "%.6g", row.formula),
                        String(format: "%+.2f %%", row.relativeError * 100),
                        row.standardError > 0 ? String(format: "%+.1f", row.distance) : "exact",
                    ]) + (row.holds ? "" : "  ✗"))
        }
        let good = rows.filter(\.holds).count
        lines.append("\(good) of \(rows.count) hold, \(String(format: "%.1f", seconds)) s")
        return lines.joined(separator: "\n")
    }
}

struct ClosedForms {
    let seed: UInt64
    let samples: Double

    struct Row {
        var name: String
        var samples: Int
        var measured: Double
        var formula: Double
        /// 0: nothing is left to chance.
        var standardError: Double

        var relativeError: Double { formula == 0 ? measured : (measured - formula) / formula }
        var distance: Double { standardError > 0 ? (measured - formula) / standardError : 0 }
        var holds: Bool { standardError > 0 ? distance.magnitude <= 5 : measured == formula }

        var json: JSON {
            .object([
                ("name", .string(name)), ("samples", .integer(Int64(samples))),
                ("measured", .number(measured, decimals: 9)), ("formula", .number(formula, decimals: 9)),
                ("relativeError", .number(relativeError, decimals: 6)),
                ("standardErrors", .number(distance)), ("holds", .bool(holds)),
            ])
        }
    }

    func rows() -> [Row] {
        var rows: [Row] = []
        for load in [0.5, 0.8, 0.9, 0.95] { rows += waiting(load: load) }
        for (p, burst) in [(0.01, 1.0), (0.02, 3.0), (0.008, 6.0), (0.03, 4.0), (0.05, 3.0)] {
            rows += bursts(p, burst)
        }
        rows.append(states(good: 200, bad: 10, lossGood: 0.002, lossBad: 0.6))
        rows += bucket()
        for (n, m, p, burst) in [
            (12, 2, 0.02, 1.0), (12, 4, 0.05, 1.0), (36, 4, 0.05, 1.0), (12, 2, 0.02, 3.0),
            (12, 4, 0.02, 3.0),
            (12, 4, 0.03, 4.0), (36, 4, 0.02, 3.0),
        ] {
            rows.append(block(of: n, survives: m, p, burst))
        }
        return rows
    }

    private func link(_ text: String, _ index: UInt64) -> LinkModel {
        // The texts are this file's own.
        LinkModel((try? LinkParameters(text: text)) ?? LinkParameters(), seed: Seed(seed), index: index)
    }

    /// Mean over batches and the standard error of it: batches are long against any correlation.
    private func mean(_ batches: [Double]) -> (mean: Double, error: Double) {
        let n = Double(batches.count)
        let mean = batches.reduce(0, +) / n
        let variance = batches.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / (n - 1)
        return (mean, (variance / n).squareRoot())
    }

    private func scaled(_ count: Int) -> Int { max(Int(Double(count) * samples), 1_000) }

    // MARK: Queueing

    /// Poisson arrivals, a constant rate: the mean wait is ρ/(2(1−ρ)) services (Pollaczek and Khinchine), and a share of
    /// 1 − ρ does not wait at all. 1,000 bytes at 8 Mbit/s: a service is 1 ms.
    private func waiting(load: Double) -> [Row] {
        var model = link("rate=8,overhead=0,queue=1000MB", UInt64(load * 1_000))
        var random = SeededGenerator(seed: seed &* 1_000 &+ UInt64(load * 1_000))
        let (batches, each) = (50, scaled(400_000))
        var now = 0.0
        var waits: [Double] = []
        var free: [Double] = []
        for batch in 0...batches {
            var (sum, none) = (0.0, 0)
            for _ in 0..<each {
                now -= log(1 - random.unit()) / load * 1e6
                let sent = Instant(nanoseconds: UInt64(now))
                let wait = (model.pass(bytes: 1_000, now: sent).at - sent).nanoseconds - 1_000_000
                sum += Double(wait) / 1e6
                if wait == 0 { none += 1 }
            }
            // The first fills the queue.
            if batch > 0 {
                waits.append(sum / Double(each))
                free.append(Double(none) / Double(each))
            }
        }
        let (wait, without) = (mean(waits), mean(free))
        return [
            Row(
                name: "M/D/1 load \(load): mean wait, services", samples: batches * each, measured: wait.mean,
                formula: load / (2 * (1 - load)), standardError: wait.error),
            Row(
                name: "M/D/1 load \(load): share without wait", samples: batches * each,
                measured: without.mean,
                formula: 1 - load, standardError: without.error),
        ]
    }

    // MARK: Loss

    /// Gilbert's two states: stationary loss p, bursts geometric with mean b. With b = 1 losses are independent, and the
    /// mean run is 1/(1−p).
    private func bursts(_ p: Double, _ burst: Double) -> [Row] {
        var model = link("loss=\(p),burst=\(burst)", UInt64(burst * 100 + p * 10_000))
        let (batches, each) = (50, scaled(1_000_000))
        var losses: [Double] = []
        var lengths: [Double] = []
        var (run, at) = (0, UInt64(0))
        for _ in 0..<batches {
            var (lost, runs, inRuns) = (0, 0, 0)
            for _ in 0..<each {
                at += 1
                if model.pass(bytes: 1_200, now: Instant(nanoseconds: at)).isDelivered {
                    if run > 0 { (runs, inRuns) = (runs + 1, inRuns + run) }
                    run = 0
                } else {
                    lost += 1
                    run += 1
                }
            }
            losses.append(Double(lost) / Double(each))
            lengths.append(runs > 0 ? Double(inRuns) / Double(runs) : 0)
        }
        let (loss, length) = (mean(losses), mean(lengths))
        return [
            Row(
                name: "loss \(p) in bursts of \(burst): share", samples: batches * each, measured: loss.mean,
                formula: p, standardError: loss.error),
            Row(
                name: "loss \(p) in bursts of \(burst): mean burst", samples: batches * each,
                measured: length.mean,
                formula: burst > 1 ? burst : 1 / (1 - p), standardError: length.error),
        ]
    }

    /// Gilbert and Elliott: each state its own loss.
    private func states(good: Double, bad: Double, lossGood: Double, lossBad: Double) -> Row {
        var model = link("good=\(good),bad=\(bad),lossgood=\(lossGood),lossbad=\(lossBad)", 77)
        let (batches, each) = (50, scaled(1_000_000))
        var shares: [Double] = []
        for batch in 0..<batches {
            var lost = 0
            for i in 0..<each {
                let now = Instant(nanoseconds: UInt64(batch * each + i))
                if !model.pass(bytes: 9, now: now).isDelivered { lost += 1 }
            }
            shares.append(Double(lost) / Double(each))
        }
        let (share, error) = mean(shares)
        let isBad = bad / (good + bad)
        return Row(
            name: "states \(good)/\(bad), \(lossGood)/\(lossBad): share", samples: batches * each,
            measured: share,
            formula: isBad * lossBad + (1 - isBad) * lossGood, standardError: error)
    }

    // MARK: Token bucket

    /// A sender that never waits, a rate of 8 Mbit/s, a bucket of 20,000 bytes: the n-th datagram of 1,000 bytes has left at
    /// max(0, 1,000·n − 20,000) bytes' time, and in 1 s 20,000 + 1,000,000 bytes have.
    private func bucket() -> [Row] {
        var model = link("rate=8,bucket=20000,overhead=0,queue=1000MB", 5)
        let start = Instant(nanoseconds: 5_000_000_000)
        var passed = 0
        var last = Instant.zero
        for n in 1...2_000 {
            let at = model.pass(bytes: 1_000, now: start).at
            if at <= start + .seconds(1) { passed += 1_000 }
            if n == 777 { last = at }
        }
        return [
            Row(
                name: "token bucket: bytes in the first second", samples: 2_000, measured: Double(passed),
                formula: 20_000 + 1_000_000, standardError: 0),
            Row(
                name: "token bucket: ns until the 777th left", samples: 2_000,
                measured: Double((last - start).nanoseconds), formula: (777_000 - 20_000) * 1_000,
                standardError: 0),
        ]
    }

    // MARK: Blocks

    /// A block of n datagrams is lost when more than m of them are: binomial for independent losses, the two-state
    /// recursion over (state, losses so far) for bursts (Elliott, "Estimates of error rates for codes on burst-noise
    /// channels", 1963). Blocks come one after the other on one link, as slices do.
    private func block(of n: Int, survives m: Int, _ p: Double, _ burst: Double) -> Row {
        var model = link("loss=\(p),burst=\(burst)", UInt64(n * 1_000 + m * 100 + Int(burst)))
        let (batches, each) = (50, scaled(100_000))
        var at: UInt64 = 0
        var shares: [Double] = []
        for _ in 0..<batches {
            var failed = 0
            for _ in 0..<each {
                var lost = 0
                for _ in 0..<n {
                    at += 1
                    if !model.pass(bytes: 1_200, now: Instant(nanoseconds: at)).isDelivered { lost += 1 }
                }
                if lost > m { failed += 1 }
            }
            shares.append(Double(failed) / Double(each))
        }
        let (share, error) = mean(shares)
        return Row(
            name: "more than \(m) of \(n) lost, loss \(p) by \(burst)", samples: batches * each,
            measured: share,
            formula: ClosedForms.blockLoss(n, m, p, burst), standardError: error)
    }

    /// The chance that more than `m` of `n` are lost.
    static func blockLoss(_ n: Int, _ m: Int, _ p: Double, _ burst: Double) -> Double {
        // Enter and leave the state in which everything is lost; independent losses are the same with enter = 1 − leave.
        let leave = burst > 1 ? 1 / burst : 1 - p
        let enter = burst > 1 ? leave * p / (1 - p) : p
        var good = Array(repeating: 0.0, count: n + 2)
        var bad = good
        (good[0], bad[1]) = (1 - p, p)
        for _ in 1..<n {
            var (nextGood, nextBad) = (
                Array(repeating: 0.0, count: n + 2), Array(repeating: 0.0, count: n + 2)
            )
            for k in 0...n {
                nextGood[k] += good[k] * (1 - enter) + bad[k] * leave
                nextBad[k + 1] += good[k] * enter + bad[k] * (1 - leave)
            }
            (good, bad) = (nextGood, nextBad)
        }
        return (m + 1...n).reduce(0) { $0 + good[$1] + bad[$1] }
    }
}

/// `millrace simulate --swarm`: scenarios drawn from seeds, checked at every event, in child processes, so that even a trap is
/// a failure with a seed and not the end of the search.
///
///     parent ──seeds 1…50──▶ worker: a line for each seed, "ok 1" or "bad 2 SENTENCE"
///            ──seeds 51…100─▶ worker …              one that dies names its seed by the lines it wrote

import Foundation
import MillraceBase
import MillraceSim
import MillraceWorkload

/// A child: runs seeds in order and tells of each.
struct SwarmWorker {
    let first: UInt64
    let count: Int

    func run() throws {
        let loads = SwarmLoads()
        for seed in first..<first + UInt64(count) {
            do throws(WorkloadError) {
                let failure = try Swarm.check(Swarm.scenario(seed), seed: seed, loads: loads)
                tell(failure.map { "bad \(seed) \($0)" } ?? "ok \(seed)")
            } catch { tell("bad \(seed) \(error)") }
        }
    }

    private func tell(_ line: String) {
        FileHandle.standardOutput.write(Data((line + "\n").utf8))
    }
}

struct SwarmRun {
    static let seedsPerWorker = 50
    static let failuresMax = 20

    let first: UInt64
    let count: Int
    /// Where shrunk scenarios go; nil for the current folder's `swarm-failures`, made when there is one.
    let failures: String?
    let output: OutputOptions

    private struct Found {
        var seed: UInt64
        var sentence: String
        var isTrap: Bool
        var file: String?
    }

    func run() throws {
        guard first <= UInt64(Int64.max) - UInt64(count) else {
            throw Failure(.usage, "--seed is too large for a swarm")
        }
        let begin = Date()
        var progress = Progress("seeds", of: UInt64(count))
        let crew = Crew(
            first: first, count: count, jobs: max(1, ProcessInfo.processInfo.activeProcessorCount))
        var found = try crew.run { progress.update(UInt64($0)) }.map {
            Found(seed: $0.seed, sentence: $0.sentence, isTrap: $0.isTrap)
        }
        progress.end()
        let seconds = Date().timeIntervalSince(begin)
        for i in found.indices.prefix(SwarmRun.failuresMax) { found[i].file = try keep(found[i]) }
        output.result(
            .object([
                ("firstSeed", .unsigned(first)), ("seeds", .integer(Int64(count))),
                ("clean", .integer(Int64(count - found.count))), ("wallSeconds", .number(seconds)),
                (
                    "failures",
                    .array(
                        found.map {
                            .object([
                                ("seed", .unsigned($0.seed)), ("what", .string($0.sentence)),
                                ("trap", .bool($0.isTrap)), ("file", $0.file.map { .string($0) } ?? .null),
                            ])
                        })
                ),
            ]),
            ([
                "\(count - found.count) of \(count) seeds from \(first) clean, in \(JSON.number(seconds, decimals: 1).text()) s"
            ]
                + found.map {
                    "  seed \($0.seed): \($0.sentence)"
                        + ($0.file.map {
                            "\n    millrace simulate --swarm \($0) --seed \(found.isEmpty ? 0 : seedOf($0, found))"
                        } ?? "")
                }).joined(separator: "\n"))
        if let worst = found.first {
            throw Failure(.verification, "seed \(worst.seed): \(worst.sentence)")
        }
    }

    private func seedOf(_ file: String, _ found: [Found]) -> UInt64 {
        found.first { $0.file == file }?.seed ?? 0
    }

    /// Makes a failure small and writes its scenario.
    private func keep(_ found: Found) throws -> String? {
        var scenario = Swarm.scenario(found.seed)
        var sentence = found.sentence
        let folder = failures ?? "swarm-failures"
        try write(scenario, seed: found.seed, "\(found.seed)-drawn", found.sentence, in: folder)
        if !found.isTrap {
            note("seed \(found.seed): \(found.sentence); leaving out what is not needed for it")
            let small = try reportingWorkload {
                try Swarm.shrink(scenario, seed: found.seed, loads: SwarmLoads())
            }
            (scenario, sentence) = (small.scenario, small.sentence)
        }
        return try write(scenario, seed: found.seed, "\(found.seed)", sentence, in: folder)
    }

    /// Writes a scenario beside its name; answers the path.
    @discardableResult
    private func write(
        _ scenario: Scenario, seed: UInt64, _ name: String, _ sentence: String, in folder: String
    ) throws -> String {
        let path = "\(folder)/\(name).toml"
        let text = scenario.toml(remarks: [
            "Found by the swarm: \(sentence)", "millrace simulate --swarm \(path) --seed \(seed)",
        ])
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try text.write(toFile: path, atomically: true, encoding: .utf8)
        } catch { throw Failure(.failed, "\(path): cannot be written: \(error.localizedDescription)") }
        return path
    }
}

private func reportingWorkload<T>(_ body: () throws -> T) throws -> T {
    do { return try body() } catch let error as WorkloadError { throw Failure(.failed, error.description) }
}

/// The worker processes: each gets the next seeds when it has done its own.
private final class Crew: @unchecked Sendable {
    struct Report {
        var seed: UInt64
        var sentence: String
        var isTrap: Bool
    }

    private let lock = NSLock()
    private var next: UInt64
    private let end: UInt64
    private let jobs: Int
    private var done = 0
    private var reports: [Report] = []
    private var failure: Failure?

    init(first: UInt64, count: Int, jobs: Int) {
        next = first
        end = first + UInt64(count)
        self.jobs = jobs
    }

    func run(progress: (Int) -> Void) throws -> [Report] {
        let group = DispatchGroup()
        for _ in 0..<jobs {
            DispatchQueue.global().async(group: group) { [self] in
                while let seeds = take() { work(seeds) }
            }
        }
        while group.wait(timeout: .now() + 0.5) == .timedOut { progress(lock.withLock { done }) }
        if let failure { throw failure }
        return reports.sorted { $0.seed < $1.seed }
    }

    private func take() -> Range<UInt64>? {
        lock.withLock {
            guard next < end, failure == nil else { return nil }
            let seeds = next..<min(end, next + UInt64(SwarmRun.seedsPerWorker))
            next = seeds.upperBound
            return seeds
        }
    }

    private func work(_ seeds: Range<UInt64>) {
        var left = seeds
        while !left.isEmpty {
            let told: [String]
            do { told = try lines(of: left) } catch {
                lock.withLock { failure = Failure(.failed, "a swarm worker does not start: \(error)") }
                return
            }
            for line in told {
                let parts = line.split(separator: " ", maxSplits: 2).map(String.init)
                guard parts.count >= 2, let seed = UInt64(parts[1]) else { continue }
                left = seed + 1..<max(left.upperBound, seed + 1)
                lock.withLock {
                    done += 1
                    if parts[0] == "bad" {
                        reports.append(
                            Report(seed: seed, sentence: parts.count > 2 ? parts[2] : "", isTrap: false))
                    }
                }
            }
            guard !left.isEmpty else { return }
            // It ended before its time: at the seed it did not tell of.
            lock.withLock {
                done += 1
                reports.append(Report(seed: left.lowerBound, sentence: "the process trapped", isTrap: true))
            }
            left = left.lowerBound + 1..<left.upperBound
        }
    }

    private func lines(of seeds: Range<UInt64>) throws -> [String] {
        let process = Process()
        let pipe = Pipe()
        process.executableURL = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath()
        process.arguments = [
            "simulate", "--swarm-worker", "--seed", String(seeds.lowerBound), "--seeds", String(seeds.count),
        ]
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = pipe
        process.standardError = FileHandle.nullDevice
        try process.run()
        let data = pipe.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return String(decoding: data, as: UTF8.self).split(separator: "\n").map(String.init)
    }
}

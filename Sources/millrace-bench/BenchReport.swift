/// What a benchmark prints: the machine, then a row per measurement beside its peer, as a table or (`--json`) as one
/// object: `benchmark`, `machine {cpu, cores, build}`, `rows[] {name, value, unit, peer, peerValue, ratio}`.

import ArgumentParser
import Foundation
import MillraceBase

struct BenchOptions: ParsableArguments {
    @Flag(help: "Print one JSON object on stdout, and nothing else there.")
    var json = false
    @Option(help: "Seconds per row.")
    var seconds = 0.3
}

struct BenchReport {
    struct Row {
        var name: String
        var value: Double
        var unit: String
        var peer: String?
        var peerValue: Double?
    }

    let benchmark: String
    private(set) var rows: [Row] = []

    init(_ benchmark: String) { self.benchmark = benchmark }

    mutating func row(
        _ name: String, _ value: Double, _ unit: String, peer: String? = nil, _ peerValue: Double? = nil
    ) {
        rows.append(Row(name: name, value: value, unit: unit, peer: peer, peerValue: peerValue))
    }

    func print(json: Bool) {
        if json {
            Swift.print(object.text())
            return
        }
        Swift.print("\(benchmark): \(Machine.cpu), \(Machine.cores) cores, \(Machine.build) build")
        let width = rows.map(\.name.count).max() ?? 0
        for row in rows {
            var line = row.name.padding(toLength: width, withPad: " ", startingAt: 0)
            line += "  " + Self.short(row.value) + " " + row.unit
            if let peer = row.peer, let value = row.peerValue {
                line += "   \(peer) \(Self.short(value))   ratio "
                line += String(format: "%.2f", value == 0 ? 0 : row.value / value)
            }
            Swift.print(line)
        }
    }

    var object: JSON {
        .object([
            ("benchmark", .string(benchmark)),
            (
                "machine",
                .object([
                    ("cpu", .string(Machine.cpu)), ("cores", .integer(Int64(Machine.cores))),
                    ("build", .string(Machine.build)),
                ])
            ),
            (
                "rows",
                .array(
                    rows.map { row in
                        .object([
                            ("name", .string(row.name)), ("value", .number(row.value)),
                            ("unit", .string(row.unit)),
                            ("peer", row.peer.map { .string($0) } ?? .null),
                            ("peerValue", row.peerValue.map { .number($0) } ?? .null),
                            (
                                "ratio",
                                row.peerValue.map { $0 == 0 ? .null : .number(row.value / $0) } ?? .null
                            ),
                        ])
                    })
            ),
        ])
    }

    private static func short(_ value: Double) -> String {
        let text = value >= 100 ? String(format: "%.0f", value) : String(format: "%.2f", value)
        return String(repeating: " ", count: max(0, 10 - text.count)) + text
    }
}

enum Machine {
    static let cores = ProcessInfo.processInfo.activeProcessorCount
    static let cpu: String = {
        let text = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
        let line = text.split(separator: "\n").first { $0.hasPrefix("model name") }
        return line?.split(separator: ":").last.map { $0.trimmingCharacters(in: .whitespaces) }
            ?? "unknown CPU"
    }()
    #if DEBUG
    static let build = "debug"
    #else
    static let build = "release"
    #endif
}

/// How often a second `body` runs: the median of nine stretches of equal length, after one to warm up.
func rate(seconds: Double, _ body: () -> Void) -> Double {
    let clock = ContinuousClock()
    let stretch = Duration.seconds(seconds / 10)
    var rates: [Double] = []
    for _ in 0..<10 {
        let start = clock.now
        var count = 0
        repeat {
            body()
            count += 1
        } while clock.now - start < stretch
        let parts = (clock.now - start).components
        rates.append(Double(count) / (Double(parts.seconds) + Double(parts.attoseconds) * 1e-18))
    }
    return rates.dropFirst().sorted()[4]
}

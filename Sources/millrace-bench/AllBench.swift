/// `millrace-bench all`: every benchmark with its defaults, one after the other.

import ArgumentParser

struct AllBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "all", abstract: "Every benchmark, with its defaults.")

    func run() throws {
        for benchmark in Bench.configuration.subcommands where benchmark != AllBench.self {
            var command = try benchmark.parseAsRoot([])
            print("\n\(benchmark.configuration.commandName ?? "\(benchmark)")")
            try command.run()
        }
    }
}

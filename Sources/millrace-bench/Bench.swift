/// The benchmarks: programs that print each row beside its peer or limit from the same run.

import ArgumentParser

@main
struct Bench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace-bench",
        abstract: "Measures parts of Millrace beside their peers, in the same run. Use a release build.",
        subcommands: [
            AllBench.self,
            CryptoBench.self,
            ErasureBench.self,
            SliceBench.self,
            DatagramBench.self,
            LinkBench.self,
            StateBench.self,
            RelayBench.self,
        ])
}

import ArgumentParser
import Foundation

/// The one binary. Each verb is a file in this folder; what a verb does lives in the modules.
@main
struct Millrace: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "millrace",
        abstract: "Carries an L2's state, sealed every 10 ms, down slow and lossy links.",
        version: "0.1.0",
        subcommands: [
            DemoCommand.self,
            SimulateCommand.self,
            FrontierCommand.self,
            Sequencer.self,
            Relay.self,
            Replica.self,
            Replay.self,
            Impair.self,
            Profiles.self,
            Status.self,
            Keys.self,
            Config.self,
            Generate.self,
            Import.self,
            Inspect.self,
            Verify.self,
            Export.self,
            Measure.self,
        ])

    static func main() {
        // A parent that starts us from a thread with signals blocked (a thread pool's) hands its mask down; the nodes are
        // told to begin and to end by signals.
        var none = sigset_t()
        sigemptyset(&none)
        sigprocmask(SIG_SETMASK, &none, nil)
        do {
            var command = try parseAsRoot()
            try command.run()
        } catch let failure as Failure {
            note("millrace: \(failure.message)")
            Foundation.exit(failure.kind.rawValue)
        } catch {
            let code = exitCode(for: error)
            if code == .success { exit(withError: error) }
            note(fullMessage(for: error))
            Foundation.exit(code == .validationFailure ? 2 : max(1, code.rawValue))
        }
    }
}

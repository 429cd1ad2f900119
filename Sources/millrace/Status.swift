/// `millrace status`: one look at a node that runs on this machine, through its status socket.

import ArgumentParser
import Foundation
import MillraceNode

struct Status: ParsableCommand {
    static let configuration = CommandConfiguration(
        abstract: "Ask a running node on this machine how it is.",
        discussion: """
            The node must have been started with --status-socket PATH (or MILLRACE_STATUS_SOCKET, which serves both ends).
            """)
    @Option(help: "The node's status socket (default: MILLRACE_STATUS_SOCKET).") var statusSocket: String?
    @Flag(help: "Every peer with its score, term by term.") var peers = false
    @OptionGroup var output: OutputOptions

    func run() throws {
        let given = statusSocket ?? ProcessInfo.processInfo.environment["MILLRACE_STATUS_SOCKET"] ?? ""
        guard !given.isEmpty else {
            throw Failure(.usage, "no status socket: give --status-socket PATH or set MILLRACE_STATUS_SOCKET")
        }
        let answer: NodeAnswer
        do {
            answer = try NodeAnswer(askingAt: given)
        } catch let error as SourceError {
            throw Failure(.failed, error.description)
        }
        print(output.json ? answer.json : answer.text(withPeers: peers))
    }
}

/// A network of processes that know one relay between them: real sockets, real files.

import Foundation
import MillraceBase
import MillraceNode
import Testing

/// A node's process, and the JSON objects it prints.
private final class RunningNode {
    let process = Process()
    private let file: URL

    init(_ arguments: [String], folder: URL, name: String) throws {
        file = folder.appendingPathComponent("\(name).out")
        _ = FileManager.default.createFile(atPath: file.path, contents: nil)
        process.executableURL = Program.url
        process.arguments = arguments + ["--status-lines", "--listen", "127.0.0.1:0"]
        process.currentDirectoryURL = folder
        process.standardInput = FileHandle.nullDevice
        process.standardOutput = try FileHandle(forWritingTo: file)
        process.standardError = FileHandle.nullDevice
        try process.run()
    }

    /// The latest object of a kind.
    func latest(_ event: String) -> [String: Any]? {
        let text = (try? String(contentsOf: file, encoding: .utf8)) ?? ""
        return text.split(separator: "\n").reversed().lazy
            .compactMap { (try? JSONSerialization.jsonObject(with: Data($0.utf8))) as? [String: Any] }
            .first { $0["event"] as? String == event }
    }

    /// Waits until the latest object of a kind is as wanted.
    func wait(_ event: String, seconds: Double = 30, until fits: ([String: Any]) -> Bool = { _ in true })
        -> [String: Any]?
    {
        let deadline = Date().addingTimeInterval(seconds)
        while Date() < deadline {
            if let object = latest(event), fits(object) { return object }
            Thread.sleep(forTimeInterval: 0.02)
        }
        return nil
    }

    func end() {
        if process.isRunning { process.terminate() }
        process.waitUntilExit()
    }
}

extension Programs {
    @Test
    func `a replica told of one relay finds the other, follows both, and keeps them for the next start`()
        throws
    {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent(
            "millrace-open-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let recording = folder.appendingPathComponent("g.mill").path
        let made = try Program([
            "generate", "swap?pools=5&accounts=200&tps=200&seconds=4", "--out", recording,
        ])
        #expect(made.status == 0, "\(made.errors)")
        let key = folder.appendingPathComponent("replica.key").path
        #expect(try Program(["keys", "generate", "--out", key]).status == 0)

        let sequencer = try RunningNode(
            ["sequencer", "--source", "recording:\(recording)", "--hold"], folder: folder, name: "sequencer")
        defer { sequencer.end() }
        let listening = try #require(sequencer.wait("listening"))
        let root = try #require(listening["peer"] as? String)
        let signer = try #require(listening["signer"] as? String)
        let first = try RunningNode(
            ["relay", "--parents", root, "--sequencer", signer], folder: folder, name: "first")
        defer { first.end() }
        let known = try #require(first.wait("listening")?["peer"] as? String)
        #expect(first.wait("ready") != nil)
        let second = try RunningNode(
            ["relay", "--parents", root, "--bootstrap", known, "--sequencer", signer], folder: folder,
            name: "second")
        defer { second.end() }
        #expect(second.wait("ready") != nil)
        let replica = try RunningNode(
            [
                "replica", "--bootstrap", known, "--sequencer", signer, "--genesis", recording, "--key", key,
                "--exit-at-end",
            ], folder: folder, name: "replica")
        defer { replica.end() }
        let found = replica.wait("status") { $0["parentsFound"] as? Int == 2 }
        #expect(found?["parents"] as? Int == 2)
        #expect(found?["peersReached"] as? Int == 2)
        // Long enough for anchors to be written.
        Thread.sleep(forTimeInterval: 10)
        kill(sequencer.process.processIdentifier, SIGUSR1)
        let end = try #require(replica.wait("final", seconds: 60))
        #expect(end["finished"] as? Bool == true, "\(end)")
        #expect(end["failure"] is NSNull)
        #expect(end["parents"] as? Int == 2)
        let anchors = try AnchorFile(path: key + ".anchors").load()
        #expect(anchors.count == 2)
        // One below the sequencer, and below the first relay too if it is the one with the greater key.
        let hops = try #require(second.latest("status")?["hops"] as? Int)
        #expect((1...2).contains(hops))
    }
}

/// The programs as a user runs them: real processes of the built binary, real sockets, real signals.

import Foundation
import Testing

/// Runs the binary that lies beside this test bundle.
struct Program {
    static let url: URL = {
        let arguments = ProcessInfo.processInfo.arguments
        let bundle = arguments.first { $0.hasSuffix(".xctest") } ?? arguments.first ?? ""
        return URL(fileURLWithPath: bundle).deletingLastPathComponent().appendingPathComponent("millrace")
    }()

    var status: Int32
    var output: String
    var errors: String

    /// Waits for the end; a process that takes longer than `seconds` is killed and fails the test.
    init(_ arguments: [String], seconds: Double = 120) throws {
        let process = Process()
        process.executableURL = Program.url
        process.arguments = arguments
        process.standardInput = FileHandle.nullDevice
        let folder = FileManager.default.temporaryDirectory
        let out = folder.appendingPathComponent("millrace-out-\(UUID().uuidString)")
        let err = folder.appendingPathComponent("millrace-err-\(UUID().uuidString)")
        for file in [out, err] { _ = FileManager.default.createFile(atPath: file.path, contents: nil) }
        defer { for file in [out, err] { try? FileManager.default.removeItem(at: file) } }
        process.standardOutput = try FileHandle(forWritingTo: out)
        process.standardError = try FileHandle(forWritingTo: err)
        try process.run()
        let deadline = Date().addingTimeInterval(seconds)
        while process.isRunning, Date() < deadline { Thread.sleep(forTimeInterval: 0.01) }
        if process.isRunning { kill(process.processIdentifier, SIGKILL) }
        process.waitUntilExit()
        status = process.terminationStatus
        output = String(decoding: try Data(contentsOf: out), as: UTF8.self)
        errors = String(decoding: try Data(contentsOf: err), as: UTF8.self)
    }

    var object: [String: Any] {
        (try? JSONSerialization.jsonObject(with: Data(output.utf8))) as? [String: Any] ?? [:]
    }
}

@Suite(.serialized) struct Programs {
    /// A fiftieth of the full rate: a debug build is that much slower.
    static let demo = [
        "demo", "--json", "--workload", "swap?pools=20", "--tps", "2000", "--accounts", "500", "--seconds",
        "4",
    ]

    @Test func `the demo ends in one state, with a verdict, in one JSON object`() throws {
        let run = try Program(Programs.demo + ["--replicas", "2", "--link", "rate=40,rtt=20,loss=0.01"])
        #expect(run.status == 0, "\(run.errors) \(run.output)")
        #expect(run.output.split(separator: "\n").count == 1)
        let object = run.object
        #expect(object["transactions"] as? Int == 8_000)
        let replicas = object["replicas"] as? [[String: Any]] ?? []
        #expect(replicas.count == 2)
        for replica in replicas {
            #expect(replica["stateCommitmentMatches"] as? Bool == true, "\(replica)")
            #expect(replica["verdict"] as? String != "falls-behind", "\(replica)")
        }
    }

    @Test func `a quiet network's few mini-blocks arrive too`() throws {
        let run = try Program([
            "demo", "--json", "--workload", "idle", "--tps", "20", "--accounts", "100", "--seconds", "3",
            "--replicas", "1", "--link", "rate=10,rtt=20",
        ])
        #expect(run.status == 0, "\(run.errors) \(run.output)")
        #expect(run.object["transactions"] as? Int == 60)
    }

    @Test func `killing a relay on the way leaves replicas with two parents in step`() throws {
        let run = try Program(
            Programs.demo + ["--replicas", "2", "--link", "rate=40,rtt=20,loss=0.01", "--kill-relay", "1.5"])
        #expect(run.status == 0, "\(run.errors) \(run.output)")
        #expect(run.object["killedRelay"] as? String == "relay-1")
        let replicas = run.object["replicas"] as? [[String: Any]] ?? []
        #expect(replicas.count == 2)
        for replica in replicas {
            #expect(replica["stateCommitmentMatches"] as? Bool == true, "\(replica)")
            #expect(replica["heightsBehind"] as? Int == 0, "\(replica)")
        }
    }

    @Test func `a line that cannot carry the stream is told so, with exit code 3`() throws {
        let run = try Program(Programs.demo + ["--replicas", "1", "--link", "rate=0.1,rtt=20"])
        #expect(run.status == 3, "\(run.errors) \(run.output)")
        #expect(run.object["verdict"] as? String == "falls-behind")
    }

    @Test func `profiles are listed with their sources`() throws {
        let all = try Program(["profiles", "--json"], seconds: 30)
        let profiles = try #require(all.object["profiles"] as? [[String: String]])
        #expect(all.status == 0 && profiles.count == 24)
        #expect(profiles.allSatisfy { Set($0.keys) == ["name", "down", "up", "about", "source"] })
        let one = try Program(["profiles", "DSL-25", "--json"], seconds: 30)
        #expect((one.object["profiles"] as? [[String: String]])?.first?["name"] == "dsl-25")
    }

    @Test(arguments: [
        (["bogus"], Int32(2), "Unexpected argument 'bogus'"),
        (["sequencer", "--source", "recording:/nowhere.mill"], 2, "/nowhere.mill"),
        (["sequencer", "--source", "nothing"], 2, "expected recording:FILE"),
        (["sequencer", "--source", "generate:swop"], 2, "swop"),
        (["relay"], 2, "sequencer"),
        (["relay", "--sequencer", "00"], 2, "64 hexadecimal digits"),
        (
            ["replica", "--parents", "mill://x@1", "--sequencer", String(repeating: "0", count: 64)], 2,
            "mill://KEY@HOST:PORT"
        ),
        (["replay", "x.mill", "--speed", "0"], 2, "--speed"),
        (["demo", "--replicas", "0"], 2, "--replicas"),
        (["demo", "--workload", "swap?pols=3"], 2, "pools"),
        (["demo", "--seconds", "1", "--tps", "100", "--accounts", "100", "--link", "rat=3"], 2, "rate"),
        (["keys", "show", "/nowhere"], 2, "/nowhere"),
        (
            [
                "impair", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--link",
                "trace:/nowhere.mm",
            ], 2,
            "/nowhere.mm: there is no such file"
        ),
        (["profiles", "dls-25"], 2, "did you mean \"dsl-25\"?"),
        (["impair", "--listen", "127.0.0.1:0", "--upstream", "127.0.0.1:9", "--link", "dsl-52"], 2, "dsl-5"),
    ])
    func `wrong arguments get one clear sentence`(arguments: [String], status: Int32, words: String) throws {
        let run = try Program(arguments, seconds: 30)
        #expect(run.status == status, "\(run.errors)")
        #expect(run.errors.contains(words), "\(run.errors)")
        #expect(run.output.isEmpty)
    }

    @Test func `a running node says how it is to whoever may open its status socket`() throws {
        let socket = FileManager.default.temporaryDirectory
            .appendingPathComponent("mr-\(UUID().uuidString.prefix(8)).sock").path
        let node = Process()
        node.executableURL = Program.url
        node.arguments = [
            "sequencer", "--source", "generate:idle?seconds=60", "--listen", "127.0.0.1:0", "--status-socket",
            socket,
        ]
        node.standardError = FileHandle.nullDevice
        try node.run()
        defer {
            node.terminate()
            node.waitUntilExit()
            // A node that ends takes its socket with it.
            #expect(!FileManager.default.fileExists(atPath: socket))
        }
        var asked = try Program(["status", "--json", "--status-socket", socket], seconds: 30)
        for _ in 0..<100 where asked.status != 0 {
            Thread.sleep(forTimeInterval: 0.1)
            asked = try Program(["status", "--json", "--status-socket", socket], seconds: 30)
        }
        #expect(asked.object["role"] as? String == "sequencer", "\(asked.errors)")
        #expect((asked.object["peers"] as? [Any])?.isEmpty == true)
        let plain = try Program(["status", "--peers", "--status-socket", socket], seconds: 30)
        #expect(plain.status == 0 && plain.output.hasPrefix("sequencer mill://"), "\(plain.output)")
        let nobody = try Program(["status", "--status-socket", "/nowhere.sock"], seconds: 30)
        #expect(nobody.status == 1 && nobody.errors.contains("no node answers at /nowhere.sock"))
    }

    @Test func `a port in use is told, not crashed on`() throws {
        let first = Process()
        first.executableURL = Program.url
        first.arguments = [
            "sequencer", "--source", "generate:idle?seconds=60", "--listen", "127.0.0.1:0", "--status-lines",
        ]
        let pipe = Pipe()
        first.standardOutput = pipe
        first.standardError = FileHandle.nullDevice
        try first.run()
        defer { first.terminate() }
        let line =
            String(decoding: pipe.fileHandleForReading.availableData, as: UTF8.self).split(separator: "\n")
            .first ?? ""
        let object = try JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any]
        let address = try #require(object?["address"] as? String)
        let second = try Program(
            ["sequencer", "--source", "generate:idle?seconds=60", "--listen", address], seconds: 30)
        #expect(second.status == 1)
        #expect(second.errors.contains("cannot be bound"), "\(second.errors)")
    }
}

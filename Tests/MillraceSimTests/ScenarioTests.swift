/// Scenario files: what ships is read, what the swarm writes reads back, and what is wrong is told with file and line.

import Foundation
import MillraceBase
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct ScenarioTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
        .deletingLastPathComponent()
        .deletingLastPathComponent().appendingPathComponent("Simulations")

    static func files(_ folder: URL) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "toml" }.sorted { $0.path < $1.path }
    }

    static func read(_ text: String) throws(ScenarioError) -> Scenario {
        try Scenario(toml: text, file: "s.toml")
    }

    @Test func `every scenario that ships is read, and reads back from what is written of it`() throws {
        let all = try ScenarioTests.files(ScenarioTests.folder)
        #expect(all.count >= 9)
        for file in all {
            let scenario = try ScenarioTests.read(try String(contentsOf: file, encoding: .utf8))
            var again = try ScenarioTests.read(scenario.toml())
            // Of a link only its settings are written, and what is promised is not.
            again.expect = scenario.expect
            for i in again.groups.indices { again.groups[i].link.text = scenario.groups[i].link.text }
            for i in again.sharedLines.indices {
                again.sharedLines[i].link.text = scenario.sharedLines[i].link.text
            }
            for i in again.groups.indices where scenario.groups[i].role == .sequencer {
                again.groups[i].parentCount = scenario.groups[i].parentCount
            }
            #expect(again == scenario, "\(file.lastPathComponent)")
        }
    }

    @Test
    func
        `parents are those with room for what their lines carry, then the nearest, and neighbours are others`()
        throws
    {
        let scenario = try ScenarioTests.read(
            """
            name = "rooms"
            regions = { names = ["here", "there"], rttMs = [[2, 90], [90, 2]] }
            [nodes]
            sequencer = { region = ["here"] }
            small = { role = "relay", count = 2, region = ["here"], uplinkMbit = 10 }
            large = { role = "relay", region = ["there"], uplinkMbit = 100 }
            tiny = { role = "relay", region = ["here"], uplinkMbit = 10, childrenMax = 1 }
            [nodes.replica]
            count = 25
            region = ["here"]
            parents = ["small", "large", "tiny"]
            parentCount = 1
            neighbours = ["small"]
            """)
        let nodes = Simulation.makeNodes(scenario, seed: 1)
        Simulation.choosePeers(scenario, nodes, seed: 1)
        Simulation.chooseNeighbours(scenario, nodes, seed: 1)
        func children(_ name: String) -> Int {
            nodes.filter { $0.role == .replica && nodes[Int($0.parents[0])].name == name }.count
        }
        // Ten times the line, ten times the children, wherever it is; and one that is full is not asked though it is near.
        #expect(children("tiny") == 1)
        #expect(children("large") == 20 && children("small-0") == 2 && children("small-1") == 2)
        for node in nodes where node.role == .replica {
            #expect(
                node.neighbours.count == 2 - node.parents.count { nodes[Int($0)].name.hasPrefix("small") })
            #expect(!node.neighbours.contains { node.parents.contains($0) })
        }
    }

    @Test func `a group that finds its parents is given none, and wants as many as its role does`() throws {
        let scenario = try ScenarioTests.read(
            """
            name = "open"
            [nodes]
            sequencer = {}
            seed = { role = "relay", count = 2 }
            relay = { count = 3, bootstrap = ["seed"] }
            replica = { count = 4, bootstrap = "seed", parents = ["relay"], parentCount = 5 }
            """)
        let groups = scenario.groups
        #expect(groups.map(\.name) == ["sequencer", "relay", "seed", "replica"])
        #expect(groups[1].parents == [] && groups[1].parentCount == 4)
        #expect(groups[2].bootstrap == [] && groups[2].parents == ["sequencer"])
        #expect(groups[3].parents == ["relay"] && groups[3].parentCount == 5)
        #expect(groups[3].bootstrap == ["seed"])
        #expect(throws: ScenarioError.self) {
            try ScenarioTests.read(
                "name = \"x\"\n[nodes]\nsequencer = {}\nreplica = { bootstrap = [\"sequencer\"] }")
        }
    }

    @Test(arguments: [UInt64(1), 7, 99, 1_234, 5_678, 99_999])
    func `what the swarm draws reads back from its file`(seed: UInt64) throws {
        let scenario = Swarm.scenario(seed)
        var again = try ScenarioTests.read(scenario.toml(remarks: ["a remark"]))
        for i in again.groups.indices {
            again.groups[i].link.text = scenario.groups[i].link.text
            #expect(
                again.groups[i].link.down.rateBitsPerSecond == scenario.groups[i].link.down.rateBitsPerSecond)
        }
        #expect(again.groups.map(\.name) == scenario.groups.map(\.name))
        #expect(again.groups.map(\.count) == scenario.groups.map(\.count))
        #expect(again.faults == scenario.faults)
        #expect(again.workload.text == scenario.workload.text)
    }

    @Test(arguments: [
        ("", "s.toml:1: a scenario has a \"name\""),
        ("name = \"a\"\nnodes = 3", "s.toml:2: \"nodes\" must be a table"),
        (
            "name = \"a\"\nlod = {}\n[nodes]\nsequencer = {}",
            "s.toml:2: unknown key \"lod\"; did you mean \"load\"?"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = { link = \"dls-25\" }",
            "s.toml:4: link \"dls-25\": there is no profile \"dls-25\"; did you mean \"dsl-25\"?"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = { count = 0 }",
            "s.toml:4: \"count\" must be a whole number from 1 to 20000"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = { cuont = 2 }",
            "s.toml:4: unknown key \"cuont\" of \"replica\"; did you mean \"count\"?"
        ),
        ("name = \"a\"\n[nodes]\nreplica = {}", "exactly one group has the role of sequencer"),
        ("name = \"a\"\n[nodes]\nsequencer = {}\nedge = {}", "s.toml:4: \"edge\" is no role"),
        (
            "name = \"a\"\nload = { workload = \"swop\" }\n[nodes]\nsequencer = {}",
            "s.toml:2: unknown workload `swop`"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = { parents = [\"rely\"] }\nrelay = {}",
            "did you mean \"relay\"?"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nrelay = { parents = [\"relay\"] }",
            "\"relay\" is its own ancestor"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = {}\n[[faults]]\nat = \"1s\"\ncrash = \"replicate\"",
            "s.toml:7: \"replicate\" names no nodes"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = {}\n[[faults]]\nat = \"soon\"\ncrash = \"replica\"",
            "s.toml:6: \"at\" is \"soon\", expected a time"
        ),
        ("name = \"a\"\n[nodes]\nsequencer = {}\nreplica = { link = \"trace:none.mm\" }", "s.toml:4:"),
        (
            "name = \"a\"\n[lines.street]\nlink = \"rate=50\"\n[nodes]\nsequencer = {}\nreplica = { behind = \"stret\" }",
            "s.toml:6: there is no line \"stret\": [lines] names those that nodes share; did you mean \"street\"?"
        ),
        (
            "name = \"a\"\n[lines.street]\nlnk = \"rate=50\"\n[nodes]\nsequencer = {}",
            "s.toml:3: unknown key \"lnk\" of \"street\"; did you mean \"link\"?"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = {}\n[[faults]]\nat = \"1s\"\nfor = \"2s\"\nchurn = \"replica\"",
            "s.toml:8: churn says how long nodes are there and gone"
        ),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\nreplica = {}\n[[faults]]\nat = \"1s\"\nup = \"1s\"\n"
                + "down = \"1s\"\nchurn = \"replica\"",
            "s.toml:9: churn says how long it goes on"
        ),
        ("name = \"a\"\n[+nodes]\nsequencer = {}", "s.toml:2: a table's header begins with a key"),
        ("name = \"a\"\nload = [1,\n}", "s.toml:3: \"}\" where a value"),
        ("name = \"a\"\n[nodes\nsequencer = {}", "s.toml:2:"),
        (
            "name = \"a\"\n[nodes]\nsequencer = {}\n[expect]\nlagMsP99 = \"fast\"",
            "s.toml:5: \"lagMsP99\" must be a number"
        ),
    ])
    func `what is wrong is one sentence with file and line`(text: String, expected: String) {
        do {
            _ = try ScenarioTests.read(text)
            Issue.record("read: \(text)")
        } catch {
            #expect(error.description.contains(expected), "\(error.description)")
        }
    }

    @Test func `any bytes give a scenario or an error`() throws {
        let whole = try String(
            contentsOf: ScenarioTests.folder.appendingPathComponent("regions.toml"), encoding: .utf8)
        var draws = Seed(3).generator("scenario bytes")
        for _ in 0..<1_500 {
            var bytes = Array(whole.utf8)
            for _ in 0..<(1 + draws.below(6)) {
                let at = Int(draws.below(UInt64(bytes.count)))
                if draws.below(2) == 0 { bytes[at] = UInt8(draws.below(128)) } else { bytes.remove(at: at) }
            }
            do { _ = try ScenarioTests.read(String(decoding: bytes, as: UTF8.self)) } catch {
                #expect(error.description.hasPrefix("s.toml"))
            }
        }
    }

    @Test func `seeds that once failed hold`() throws {
        let loads = SwarmLoads()
        let files = try ScenarioTests.files(ScenarioTests.folder.appendingPathComponent("seeds"))
        #expect(files.count >= 4)
        for file in files {
            guard let seed = UInt64(file.lastPathComponent.prefix { $0 != "-" }) else {
                Issue.record("\(file.lastPathComponent) has no seed in its name")
                continue
            }
            let scenario = try ScenarioTests.read(try String(contentsOf: file, encoding: .utf8))
            // The large loads are for the release build: `make simulate`.
            if scenario.workload.transactionsPerSecond > 5_000 { continue }
            let failure = try Swarm.check(scenario, seed: seed, loads: loads)
            #expect(failure == nil, "\(file.lastPathComponent): \(failure ?? "")")
        }
    }

    @Test func `an oracle finds a fault that is put in`() throws {
        // A replica whose parents both crash for good cannot converge: the machinery must say so.
        var scenario = Swarm.scenario(3)
        scenario.fidelity = .network
        scenario.workload = try WorkloadSpec("erc20?tps=2000&accounts=500&tokens=5")
        scenario.seconds = 3
        let relays = scenario.groups.filter { $0.role == .relay }.map(\.name)
        scenario.faults = relays.map { Fault(.crash, NodeSelector(group: $0), at: .seconds(1)) }
        let failure = try Swarm.check(scenario, seed: 3, loads: SwarmLoads())
        #expect(failure != nil)
    }
}

/// Attacks in scenarios: how they are written, and what small ones come to.

import Foundation
import MillraceBase
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct AttackTests {
    private static let open = """
        name = "open"
        load = { workload = "swap?pools=50", tps = 2_000, seconds = 3 }
        [nodes]
        sequencer = {}
        seed = { role = "relay", count = 2, link = "rate=1G,delay=1" }
        relay = { count = 2, link = "rate=1G,delay=2", bootstrap = ["seed"] }
        replica = { count = 3, link = "rate=25,rtt=40", bootstrap = ["seed"] }
        """
    private static let full = """
        name = "full"
        fidelity = "full"
        load = { workload = "erc20?accounts=200&tokens=2", tps = 500, seconds = 2 }
        [nodes]
        sequencer = {}
        relay = { count = 2, parentCount = 1 }
        replica = { count = 2, parents = ["relay"], parentCount = 2, link = "rate=25,rtt=20" }
        """

    private func refusal(_ base: String, _ attack: String) -> String? {
        do throws(ScenarioError) {
            _ = try ScenarioTests.read(base + "\n[[attacks]]\n" + attack)
            return nil
        } catch { return error.description }
    }

    @Test func `attacks that ship are read, and read back from what is written of them`() throws {
        let files = try ScenarioTests.files(ScenarioTests.folder.appendingPathComponent("attacks"))
        #expect(files.count >= 18)
        var kinds: Set<Attack.Kind> = []
        for file in files {
            let scenario = try ScenarioTests.read(try String(contentsOf: file, encoding: .utf8))
            #expect(!scenario.attacks.isEmpty, "\(file.lastPathComponent) has no attack")
            kinds.formUnion(scenario.attacks.map(\.kind))
            let again = try ScenarioTests.read(scenario.toml())
            #expect(again.attacks == scenario.attacks, "\(file.lastPathComponent)")
            #expect(again.groups.map(\.childrenMax) == scenario.groups.map(\.childrenMax))
            // Every one is judged by what becomes of honest nodes.
            #expect(scenario.expect.honestBanned == 0, "\(file.lastPathComponent)")
        }
        #expect(kinds.count == Attack.Kind.allCases.count)
    }

    @Test func `what is wrong with an attack is told with its line and the nearest name`() {
        let lines = AttackTests.open.split(separator: "\n", omittingEmptySubsequences: false).count
        #expect(
            refusal(AttackTests.open, "kind = \"eclipze\"\ntarget = \"replica\"")?.hasPrefix(
                "s.toml:\(lines + 2): there is no attack \"eclipze\"") == true)
        #expect(refusal(AttackTests.open, "kind = \"eclipze\"")?.contains("eclipse") == true)
        let unknown = refusal(AttackTests.open, "kind = \"dawn\"\nperHonst = 4")
        #expect(unknown == "s.toml:\(lines + 3): unknown key \"perHonst\"; did you mean \"perHonest\"?")
        // What another kind may say is unknown to this one.
        #expect(
            refusal(AttackTests.open, "kind = \"dawn\"\noneOf = 4")?.contains("unknown key \"oneOf\"") == true
        )
        #expect(refusal(AttackTests.open, "kind = \"eclipse\"")?.contains("\"target\"") == true)
        #expect(refusal(AttackTests.open, "kind = \"censor\"")?.contains("\"oneOf\"") == true)
        #expect(
            refusal(AttackTests.open, "kind = \"withhold\"\nnodes = \"replica\"")?.contains("only relays")
                == true)
        #expect(
            refusal(AttackTests.open, "kind = \"forge\"\nnodes = \"relay\"")?.contains("fidelity = \"full\"")
                == true)
        #expect(refusal(AttackTests.full, "kind = \"dawn\"")?.contains("bootstrap") == true)
        #expect(
            refusal(AttackTests.open, "kind = \"dawn\"\ncount = 1\nperHonest = 1")?.contains("\"perHonest\"")
                == true)
        #expect(refusal(AttackTests.open, "kind = \"dawn\"") == nil)
    }

    @Test func `what is promised of attacks needs an attack, and a bound needs its time`() {
        func refusal(_ expect: String) -> String? {
            do throws(ScenarioError) {
                _ = try ScenarioTests.read(expect)
                return nil
            } catch { return error.description }
        }
        let attack = AttackTests.open + "\n[[attacks]]\nkind = \"dawn\"\n"
        #expect(refusal(AttackTests.open + "\n[expect]\naccepted = 0")?.contains("[[attacks]]") == true)
        // It would hold of nothing.
        #expect(refusal(AttackTests.open + "\n[expect]\nconverges = true")?.contains("[[attacks]]") == true)
        #expect(refusal(attack + "[expect]\nlagTimesBaseline = 2")?.contains("recoveryMs") == true)
        #expect(refusal(attack + "[expect]\nrecoveryMs = 2")?.contains("lagTimesBaseline") == true)
        #expect(refusal(attack + "[expect]\nlagTimesBaseline = 2\nrecoveryMs = 2_000") == nil)
    }

    @Test func `a scenario at scale has as many more of everybody but the sequencer`() throws {
        let scenario = try ScenarioTests.read(
            AttackTests.open
                + "\n[[attacks]]\nkind = \"dawn\"\n[[attacks]]\nkind = \"spoof\"\ntarget = \"relay\"\nperSecond = 1"
        )
        let large = scenario.scaled(by: 5)
        #expect(large.nodeCount == 1 + 7 * 5)
        #expect(large.attacks.map(\.force) == [.perHonest(4), .count(5)])
        #expect(large.withAttackers().nodeCount == 36 * 5 + 5)
    }

    @Test func `strangers of one subnet never have more than its share, and stop nobody`() throws {
        let scenario = try ScenarioTests.read(
            AttackTests.open + """

                [[attacks]]
                kind = "co-location"
                count = 24
                at = "1s"
                [expect]
                converges = true
                honestBanned = 0
                """)
        let result = try run(scenario, seed: 1)
        let figures = try #require(result.attacks)
        #expect(result.failures == [])
        #expect(figures.attacks[0].seatsAtStrike > 0)
        // Two parents of eight.
        #expect(figures.attacks[0].seatsAtStrike <= 0.5)
        #expect(try run(scenario, seed: 1).traceHash == result.traceHash)
    }

    @Test func `an answer to a forged address is shorter than the question`() throws {
        let scenario = try ScenarioTests.read(
            AttackTests.open + """

                [[attacks]]
                kind = "spoof"
                target = "relay"
                perSecond = 400
                at = "500ms"
                for = "1s"
                [expect]
                amplification = 3
                converges = true
                """)
        let result = try run(scenario, seed: 1)
        let attack = try #require(result.attacks?.attacks.first)
        #expect(result.failures == [])
        #expect(attack.datagrams == 400)
        #expect(attack.arrived > 0)
        #expect(attack.amplification > 0)
        #expect(attack.amplification <= 1)
    }

    @Test func `two histories under one key stop every honest node, which holds the proof`() throws {
        let scenario = try ScenarioTests.read(
            AttackTests.full + """

                [[attacks]]
                kind = "equivocate"
                target = "relay-0"
                at = "500ms"
                [expect]
                equivocationProvenMs = 1_000
                """)
        let result = try run(scenario, seed: 1)
        #expect(result.failures == [])
        #expect(result.attacks?.equivocationProvenMs != nil)
        #expect(result.nodes.filter { $0.role == .replica }.allSatisfy { $0.stopped != nil })
    }

    @Test func `a replayed datagram is taken by no session, and an attack that does nothing is told`() throws
    {
        let replay = try ScenarioTests.read(
            AttackTests.full + """

                [[attacks]]
                kind = "replay"
                target = "replica"
                at = "500ms"
                [expect]
                accepted = 0
                converges = true
                honestBanned = 0
                """)
        let result = try run(replay, seed: 1)
        #expect(result.failures == [])
        #expect((result.attacks?.attacks[0].arrived ?? 0) > 50)
        let idle = try ScenarioTests.read(
            AttackTests.open + "\n[[attacks]]\nkind = \"dawn\"\ncount = 1\nat = \"2900ms\"")
        let calm = try run(idle, seed: 3)
        #expect(
            calm.attacks?.attacks[0].seatsAtStrike != 0
                || calm.failures.contains { $0.contains("nothing to do") })
    }

    @Test func `recovery is when every later second's p99 is within bounds`() {
        var book = DeliveryBook()
        func note(_ from: Int, _ to: Int, _ took: Int64) {
            for at in stride(from: from, to: to, by: 10) {
                book.note(sealedAfter: .milliseconds(Int64(at)), took: .milliseconds(took))
            }
        }
        note(0, 2_000, 20)
        note(2_000, 2_700, 300)
        note(2_700, 5_000, 25)
        #expect(book.p99() == 300)
        #expect(book.p99(30..<50) == 25)
        #expect(book.recovery(from: .seconds(2), bound: 40) == .milliseconds(700))
        #expect(book.recovery(from: .seconds(3), bound: 40) == .zero)
        #expect(book.recovery(from: .seconds(2), bound: 22) == nil)
    }

    private func run(_ scenario: Scenario, seed: UInt64) throws -> SimulationResult {
        let sizes = scenario.fidelity == .network ? SimulationTests.steady(scenario.workload) : nil
        let simulation = try Simulation(scenario, seed: seed, sizes: sizes)
        try simulation.run()
        #expect(simulation.ledgerFault == nil)
        return simulation.result(wallSeconds: 1)
    }
}

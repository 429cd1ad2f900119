import MillraceBase
import MillraceCrypto
import MillraceDiff
import Testing

@testable import MillraceWorkload

/// What a run of a workload leaves behind.
private struct Run {
    var state: State
    var diffs: [StateDiff] = []
    var genesis: [StateDiff] = []
    var counts: WriteCounts
    var workload: any Workload
}

private func run(_ text: String, miniBlocks: Int) throws -> Run {
    let spec = try WorkloadSpec(text)
    let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(99))
    var run = Run(state: stream.state, counts: WriteCounts(), workload: stream.workload)
    var diff = StateDiff()
    while try stream.nextGenesis(into: &diff) { run.genesis.append(diff) }
    for height in 1...UInt64(miniBlocks) {
        guard
            try stream.nextMiniBlock(
                transactions: spec.transactions(atHeight: height), sealedAtMicroseconds: 0, into: &diff)
        else { break }
        run.diffs.append(diff)
    }
    run.counts = stream.counts
    return run
}

@Suite struct GeneratedWorkloadTests {
    static let specs = [
        "swap?tps=4000&accounts=300&pools=12", "erc20?tps=4000&accounts=300&tokens=9",
        "mixed?tps=4000&accounts=300&pools=12",
        "idle?tps=50&accounts=100",
    ]

    @Test(arguments: specs)
    func `the same specification writes the same stream`(text: String) throws {
        let (a, b) = (try run(text, miniBlocks: 5), try run(text, miniBlocks: 5))
        #expect(a.genesis == b.genesis)
        #expect(a.diffs == b.diffs)
        let other = try run(text + "&seed=2", miniBlocks: 5)
        #expect(a.diffs != other.diffs)
    }

    @Test(arguments: specs)
    func `a longer stream begins with the shorter one`(text: String) throws {
        let (short, long) = (
            try run(text + "&seconds=1", miniBlocks: 4), try run(text + "&seconds=2", miniBlocks: 8)
        )
        #expect(short.genesis == long.genesis)
        #expect(short.diffs == Array(long.diffs.prefix(4)))
    }

    @Test(arguments: specs)
    func `each mini-block has its transactions, and a genesis cell is written once`(text: String) throws {
        let run = try run(text, miniBlocks: 20)
        let spec = try WorkloadSpec(text)
        #expect(run.diffs.map(\.transactions) == (1...20).map { UInt64(spec.transactions(atHeight: $0)) })
        for diff in run.genesis {
            #expect(diff.accountChanges.allSatisfy { $0.old == .absent })
            #expect(diff.slotChanges.allSatisfy { $0.old.isZero })
        }
    }

    @Test func `a swap writes two accounts, six slots and the accumulators once a second`() throws {
        let run = try run("swap?tps=1000&accounts=300&pools=4", miniBlocks: 200)
        #expect(run.counts.transactions == 2_000)
        // Coinbase and sender; a user who is both never happens.
        #expect(run.counts.accountWrites == 4_000)
        // Four pools, two seconds, two accumulators each.
        #expect(run.counts.slotWrites == 6 * 2_000 + 16)
        #expect(run.counts.contractWrites == 3 * 2_000)
    }

    @Test func `a transfer writes two accounts and two slots of one contract`() throws {
        let run = try run("erc20?tps=1000&accounts=300&tokens=9", miniBlocks: 200)
        #expect(run.counts.accountWrites == 4_000)
        #expect(run.counts.slotWrites == 4_000)
        #expect(run.counts.contractWrites == 2_000)
    }

    /// Tokens and ether only move: the sums over all holders do not change.
    @Test func `transfers and swaps conserve tokens and ether`() throws {
        for text in ["erc20?tps=4000&accounts=300&tokens=9", "swap?tps=4000&accounts=300&pools=5"] {
            let run = try run(text, miniBlocks: 10)
            for diff in run.diffs {
                var ether = U256.zero
                for change in diff.accountChanges {
                    ether = ether &+ change.new.balance &- change.old.balance
                }
                #expect(ether.isZero, "\(text), height \(diff.lastHeight)")
                var sums: [AccountID: U256] = [:]
                for change in diff.slotChanges {
                    let key = run.state.key(of: change.id)
                    if key.slot == U256(8) || key.slot == U256(9) || key.slot == U256(10) { continue }
                    guard isBalance(run, change.id) else { continue }
                    sums[key.account, default: .zero] =
                        sums[key.account, default: .zero] &+ change.new &- change.old
                }
                let balanced = sums.values.allSatisfy { $0.isZero }
                #expect(balanced, "\(text), height \(diff.lastHeight)")
            }
        }
    }

    /// Whether a slot is a balance, by the preimage it was first written with.
    private func isBalance(_ run: Run, _ id: SlotID) -> Bool {
        var index = Int(id.index)
        for diff in run.genesis + run.diffs {
            if index < diff.newSlots.count {
                if case .mapping = diff.newSlots[index].preimage { return true }
                return false
            }
            index -= diff.newSlots.count
        }
        return false
    }

    @Test func `slots given with a preimage are its hash`() throws {
        let run = try run("mixed?tps=4000&accounts=300&pools=12", miniBlocks: 20)
        var seen = 0
        for slot in (run.genesis + run.diffs).flatMap(\.newSlots) {
            switch slot.preimage {
            case .none: continue
            case .mapping(let base, let key):
                #expect(Keccak256.mappingSlot(key: key, base: base) == slot.key.slot)
            case .nested(let base, let outer, let inner):
                #expect(Keccak256.nestedSlot(base: base, outer: outer, inner: inner) == slot.key.slot)
            }
            seen += 1
        }
        #expect(seen > 1_000)
    }

    @Test func `mixed deploys, destroys and mints`() throws {
        let run = try run("mixed?tps=20000&accounts=300&pools=12", miniBlocks: 50)
        #expect(run.diffs.contains { !$0.newCodes.isEmpty })
        #expect(run.diffs.contains { !$0.destroyed.isEmpty })
        #expect(run.diffs.last?.transactions == 200)
    }

    @Test func `idle leaves most mini-blocks empty`() throws {
        let run = try run("idle", miniBlocks: 200)
        #expect(run.diffs.filter(\.isEmpty).count == 190)
        #expect(run.counts.transactions == 10)
    }
}

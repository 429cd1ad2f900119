/// Operations of the generated streams: every transaction is understood, and executing them gives every value of the diff.

import MillraceBase
import MillraceDiff
import MillraceWorkload
import Testing

@Suite struct WorkloadOperationTests {
    private struct Totals {
        var transactions = 0
        var understood = 0
        var swaps = 0
        var byFormula = 0
        var comparison = NaiveExecution.Comparison()
    }

    private func run(_ specification: String, miniBlocks: Int) throws -> Totals {
        let workload = GeneratedWorkload(try WorkloadSpec(specification))
        let state = State(seed: Seed(1))
        let builder = DiffBuilder(state: state, findsOperations: true)
        var diff = StateDiff()
        while try workload.nextGenesisChunk(into: builder) {
            builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
            try state.apply(diff)
            #expect(diff.operations.sections.isEmpty)
        }
        var totals = Totals()
        for height in 1...UInt64(miniBlocks) {
            for _ in 0..<500 { _ = try workload.nextTransaction(into: builder) }
            builder.seal(
                kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 5,
                into: &diff)
            try check(diff, on: state)
            totals.transactions += Int(diff.transactions)
            totals.understood += diff.operations.transactions.count
            for action in diff.operations.actions where action.kind == .swap {
                totals.swaps += 1
                if action.isByFormula { totals.byFormula += 1 }
            }
            let run = NaiveExecution(diff, on: state)
            #expect(run.stuck == 0)
            let comparison = run.compared(with: diff)
            totals.comparison.changed += comparison.changed
            totals.comparison.right += comparison.right
            totals.comparison.invented += comparison.invented
            try state.apply(diff)
        }
        return totals
    }

    /// The shape of operations that Spec 20.8 asks for.
    private func check(_ diff: StateDiff, on state: State) throws {
        let operations = diff.operations
        let section = try #require(operations.sections.first)
        #expect(operations.sections.count == 1)
        #expect(section.newAccounts == UInt32(diff.newAccounts.count))
        #expect(section.newSlots == UInt32(diff.newSlots.count))
        #expect(section.newFacts == UInt32(diff.newFacts.count))
        #expect(section.transactions == UInt32(operations.transactions.count))
        #expect(section.actions == UInt32(operations.actions.count))
        #expect(section.literals == UInt32(operations.literals.count))
        let senders = operations.transactions.map(\.sender)
        #expect(senders == senders.sorted())
        #expect(operations.actions.count == operations.transactions.reduce(0) { $0 + Int($1.actionCount) })
        var literals = 0
        for party in operations.actions.flatMap({ [$0.payer, $0.payee] }) {
            if let literal = party.literal {
                #expect(literal <= literals)
                literals = max(literals, literal + 1)
            } else {
                #expect(party.raw < UInt32(state.accountCount))
            }
        }
        #expect(literals == operations.literals.count)
        #expect(operations.literals.allSatisfy { state.account(at: $0) == nil })
    }

    @Test func `every swap is understood, by formula, and execution gives the diff`() throws {
        let totals = try run("swap?accounts=2000&pools=20&seed=3", miniBlocks: 6)
        #expect(totals.transactions == 3_000)
        #expect(totals.understood == totals.transactions)
        #expect(totals.swaps == totals.transactions)
        #expect(totals.byFormula == totals.swaps)
        #expect(totals.comparison.isExact)
    }

    @Test func `every token transfer is understood, and execution gives the diff`() throws {
        let totals = try run("erc20?accounts=2000&tokens=20&seed=3", miniBlocks: 6)
        #expect(totals.transactions == 3_000)
        #expect(totals.understood == totals.transactions)
        #expect(totals.comparison.isExact)
    }

    @Test func `most of a mixed stream is understood`() throws {
        let totals = try run("mixed?accounts=2000&pools=20&seed=3", miniBlocks: 6)
        #expect(totals.understood * 1_000 >= totals.transactions * 999)
        #expect(totals.comparison.right * 100 >= totals.comparison.changed * 90)
        #expect(totals.comparison.invented * 1_000 <= totals.comparison.changed)
    }
}

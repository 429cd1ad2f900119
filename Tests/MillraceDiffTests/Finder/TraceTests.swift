import MillraceBase
import Testing

@testable import MillraceDiff

@Suite struct TraceTests {
    let a = Address(high: 0xA, middle: 0, low: 0)
    let b = Address(high: 0xB, middle: 0, low: 0)

    @Test func `a trace has each changed key once per transaction, as found and as left, in order`() {
        var trace = TransactionTrace()
        trace.begin()
        let first = trace.append(
            TracedAccount(entry: 4, oldNonce: 1, newNonce: 1, oldBalance: 9, newBalance: 9))
        trace.accountsBase[first].newNonce = 2
        _ = trace.append(TracedSlot(entry: 7, old: 1, new: 2))
        trace.end()
        trace.begin()
        _ = trace.append(TracedSlot(entry: 7, old: 2, new: 3))
        _ = trace.append(TracedSlot(entry: 3, old: 0, new: 5))
        trace.end()
        #expect(trace.transactionCount == 2)
        #expect(trace.accounts(of: 0) == 0..<1)
        #expect(trace.accounts(of: 1).isEmpty)
        #expect(trace.slots(of: 1) == 1..<3)
        #expect(trace.accountsBase[0].newNonce == 2)
        #expect(trace.slotsBase[1].old == 2)
        trace.removeAll()
        #expect(trace.transactionCount == 0)
    }

    @Test func `writes outside transactions and of builders that do not look leave no operations`() {
        let state = State(seed: Seed(1))
        var diff = StateDiff()
        let quiet = DiffBuilder(state: state, findsOperations: false)
        quiet.beginTransaction()
        quiet.setAccount(a, balance: 1, nonce: 1)
        quiet.endTransaction()
        quiet.seal(
            kind: .transactions, firstHeight: 1, lastHeight: 1, sealedAtMicroseconds: 0, into: &diff)
        #expect(diff.operations == Operations())

        let builder = DiffBuilder(state: state, findsOperations: true)
        builder.setAccount(a, balance: 1, nonce: 1)
        builder.seal(
            kind: .transactions, firstHeight: 1, lastHeight: 1, sealedAtMicroseconds: 0, into: &diff)
        #expect(diff.operations.transactions.isEmpty)
        #expect(diff.operations.sections.count == 1)
        #expect(diff.operations.sections.first?.newAccounts == 1)
    }
}

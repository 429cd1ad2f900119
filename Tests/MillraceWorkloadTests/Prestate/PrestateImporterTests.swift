import MillraceBase
import MillraceDiff
import MillraceWorkload
import Testing

@Suite struct PrestateImporterTests {
    static let a = Address(high: 0, middle: 0, low: 0xAA)
    static let b = Address(high: 0, middle: 0, low: 0xBB)

    func transaction(_ text: String) throws -> PrestateTransaction {
        var transactions: [PrestateTransaction] = []
        let text = text.replacing("$a", with: PrestateImporterTests.a.hex).replacing(
            "$b", with: PrestateImporterTests.b.hex)
        try PrestateParser.parse(Array(text.utf8).span.bytes, into: &transactions)
        return try #require(transactions.first)
    }

    func run(
        _ blocks: [[String]], rule: MiniBlockRule = .transactions(100)
    ) throws -> (state: State, kinds: [DiffKind], totals: ImportTotals) {
        let state = State(seed: Seed(1))
        let importer = PrestateImporter(state: state, rule: rule)
        var kinds: [DiffKind] = []
        for block in blocks {
            try importer.add(block: block.map { try transaction($0) }) { diff throws(Never) in
                kinds.append(diff.kind)
            }
        }
        return (state, kinds, importer.totals)
    }

    func slot(_ state: State, _ address: Address, _ slot: U256) -> U256 {
        state.slot(at: address, slot).map { state.value(of: $0) } ?? .zero
    }

    @Test func `a block that finds what is there needs no bridge`() throws {
        let result = try run([
            ["{\"pre\":{},\"post\":{\"$a\":{\"balance\":\"0x5\"}}}"],
            ["{\"pre\":{\"$a\":{\"balance\":\"0x5\"}},\"post\":{\"$a\":{\"balance\":\"0x6\"}}}"],
        ])
        #expect(result.kinds == [.transactions, .transactions])
        #expect(result.totals.bridgeMiniBlocks == 0)
        #expect(result.state.height == 2)
    }

    @Test func `a block that finds something else is bridged first`() throws {
        let result = try run([
            [
                "{\"pre\":{},\"post\":{\"$a\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":\"0x1\",\"0x2\":\"0x2\"}}}}"
            ],
            [
                "{\"pre\":{\"$a\":{\"balance\":\"0x9\",\"storage\":{\"0x1\":\"0x7\"}}},"
                    + "\"post\":{\"$a\":{\"nonce\":1,\"storage\":{\"0x1\":\"0x8\"}}}}",
                "{\"pre\":{\"$b\":{\"balance\":\"0x3\"}},\"post\":{\"$b\":{\"balance\":\"0x4\"}}}",
            ],
        ])
        #expect(result.kinds == [.transactions, .bridge, .transactions])
        #expect(result.totals.bridgedAccounts == 2)
        #expect(result.totals.bridgedSlots == 1)
        let a = try #require(result.state.account(at: PrestateImporterTests.a))
        #expect(result.state.value(of: a) == AccountValue(balance: 9, nonce: 1))
        #expect(slot(result.state, PrestateImporterTests.a, 1) == 8)
        #expect(slot(result.state, PrestateImporterTests.a, 2) == 2)
    }

    @Test func `an account that did not exist had no storage either`() throws {
        let result = try run([
            [
                "{\"pre\":{},\"post\":{\"$a\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":\"0x1\",\"0x2\":\"0x2\"}}}}"
            ],
            [
                "{\"pre\":{},\"post\":{\"$a\":{\"nonce\":1,\"code\":\"0x6001\",\"storage\":{\"0x1\":\"0x3\"}}}}"
            ],
        ])
        #expect(result.kinds == [.transactions, .bridge, .transactions])
        #expect(slot(result.state, PrestateImporterTests.a, 1) == 3)
        #expect(slot(result.state, PrestateImporterTests.a, 2) == 0)
        let a = try #require(result.state.account(at: PrestateImporterTests.a))
        #expect(result.state.value(of: a).balance == 0)
        #expect(result.state.code(result.state.value(of: a).code) == [0x60, 0x01])
        #expect(result.totals.codeBytes == 2)
    }

    @Test func `a destroyed account loses all its storage`() throws {
        let result = try run([
            [
                "{\"pre\":{},\"post\":{\"$a\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":\"0x1\",\"0x2\":\"0x2\"}}}}"
            ],
            ["{\"pre\":{\"$a\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":\"0x1\"}}},\"post\":{}}"],
        ])
        #expect(result.kinds == [.transactions, .transactions])
        #expect(slot(result.state, PrestateImporterTests.a, 1) == 0)
        #expect(slot(result.state, PrestateImporterTests.a, 2) == 0)
        #expect(result.totals.slotWrites == 3)
    }

    @Test func `missing transactions inside a block are bridged where they are missing`() throws {
        let result = try run([
            [
                "{\"pre\":{\"$a\":{\"balance\":\"0x5\"}},\"post\":{\"$a\":{\"balance\":\"0x6\"}}}",
                "{\"pre\":{\"$a\":{\"balance\":\"0x9\"}},\"post\":{\"$a\":{\"balance\":\"0xa\"}}}",
                "{\"pre\":{\"$a\":{\"balance\":\"0xa\"}},\"post\":{\"$a\":{\"balance\":\"0xb\"}}}",
            ]
        ])
        #expect(result.kinds == [.bridge, .transactions, .bridge, .transactions])
        #expect(result.totals.transactions == 3)
        #expect(result.totals.bridgeMiniBlocks == 2)
    }

    @Test func `code that pre does not give stays`() throws {
        let result = try run([
            ["{\"pre\":{},\"post\":{\"$a\":{\"nonce\":1,\"code\":\"0x6001\"}}}"],
            ["{\"pre\":{\"$a\":{\"balance\":\"0x1\",\"nonce\":1}},\"post\":{\"$a\":{\"balance\":\"0x2\"}}}"],
            [
                "{\"pre\":{\"$a\":{\"balance\":\"0x2\",\"nonce\":1,\"code\":\"0x6002\"}},\"post\":{\"$a\":{\"balance\":\"0x3\"}}}"
            ],
        ])
        #expect(result.kinds == [.transactions, .bridge, .transactions, .bridge, .transactions])
        let a = try #require(result.state.account(at: PrestateImporterTests.a))
        #expect(result.state.code(result.state.value(of: a).code) == [0x60, 0x02])
    }

    @Test(
        arguments: [
            (MiniBlockRule.transactions(2), 3), (.transactions(1), 5), (.perBlock, 1),
            (.transactions(100), 1),
        ] as [(MiniBlockRule, UInt64)])
    func `mini-blocks hold as many transactions as asked`(rule: MiniBlockRule, count: UInt64) throws {
        let one = "{\"pre\":{\"$b\":{\"balance\":\"0x0\"}},\"post\":{}}"
        let result = try run([[one, one, one, one, one]], rule: rule)
        #expect(result.totals.miniBlocks == count)
        #expect(result.state.height == count)
    }
}

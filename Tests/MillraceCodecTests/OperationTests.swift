/// Operations: each rule explains what its transactions wrote; wrong ones cost bytes and nothing else; hostile ones are
/// refused or left out.

import MillraceBase
import MillraceDiff
import MillraceWorkload
import Testing

@testable import MillraceCodec

private typealias Names = TokenChain

/// A stream over the hand-made chain.
private final class Market {
    let pair = Pair()
    let chain: TokenChain

    init(_ more: (TokenChain) -> Void = { _ in }) throws {
        chain = TokenChain(pair.builder)
        chain.writeStart()
        more(chain)
        try pair.sealGenesis()
    }

    /// Every kind of operation there is, two of some.
    func writeAll() {
        chain.now += 12
        chain.transact(Names.alice, gas: 21_000) { chain.payEther(Names.alice, Names.bob, 12_345) }
        chain.transact(Names.bob) { chain.pay(Names.tokenA, Names.bob, Names.carol, 1_003) }
        chain.swapOnce(Names.alice, zeroForOne: true, amount: 10_000)
        chain.swapOnce(Names.bob, zeroForOne: false, amount: 7_777)
        chain.swapTwice(Names.bob, amount: 5_000)
        chain.changeSupply(Names.bob, Names.tokenC, by: 999)
    }

    /// The header of the payload sealed last.
    func header() throws -> PayloadHeader {
        let payload = pair.payload
        var reader = ByteReader(payload.span.bytes)
        return try PayloadHeader(from: &reader, payloadBytes: payload.count, base: pair.sender)
    }
}

@Test func `each rule explains what its transactions wrote`() throws {
    let market = try Market()
    let chain = market.chain
    let rules: [(String, Action.Kind, () -> Void)] = [
        ("ether", .ether, { chain.payEther(Names.alice, Names.bob, 12_345) }),
        ("a payee without an account", .ether, { chain.payEther(Names.alice, Names.newcomer, 500) }),
        ("a transfer", .transfer, { chain.pay(Names.tokenA, Names.alice, Names.bob, 77) }),
        ("to a first-time holder", .transfer, { chain.pay(Names.tokenA, Names.alice, Names.carol, 4_000) }),
        (
            "all of it", .transfer,
            { chain.pay(Names.tokenB, Names.bob, Names.alice, chain.holding(Names.tokenB, Names.bob)) }
        ),
        (
            "by allowance", .transfer,
            {
                chain.pay(Names.tokenA, Names.alice, Names.bob, 300)
                chain.allow(Names.tokenA, Names.alice, change: .zero &- 300)
            }
        ),
    ]
    for (name, kind, body) in rules {
        chain.transact(Names.alice, body)
        // Whoever gains from every transaction is the coinbase.
        chain.transact(Names.carol)
        try market.pair.seal()
        #expect(market.pair.diff.operations.actions.map(\.kind) == [kind], "\(name)")
        try expectNoPatches(market, name)
    }
    for zeroForOne in [true, false] {
        chain.now += 12
        chain.swapOnce(Names.alice, zeroForOne: zeroForOne, amount: 10_000)
        chain.swapOnce(Names.bob, zeroForOne: zeroForOne, amount: 4_321)
        try market.pair.seal()
        #expect(market.pair.diff.operations.actions.map(\.kind) == [.swap, .swap])
        #expect(market.pair.diff.operations.actions.allSatisfy { $0.isByFormula })
        try expectNoPatches(market, "swaps, \(zeroForOne)")
    }
    chain.now += 12
    chain.swapTwice(Names.bob, amount: 5_000)
    try market.pair.seal()
    #expect(market.pair.diff.operations.actions.map(\.isChained) == [false, true])
    try expectNoPatches(market, "two hops")
    for amount in [U256(999), .zero &- 999] {
        chain.changeSupply(Names.bob, Names.tokenC, by: amount)
        try market.pair.seal()
        #expect(market.pair.diff.operations.actions.map(\.kind) == [amount == 999 ? .mint : .burn])
        try expectNoPatches(market, "supply by \(amount)")
    }
    chain.transact(Names.alice, gas: 21_000, price: 30, burnt: 7) {
        chain.payEther(Names.alice, Names.bob, 7)
    }
    chain.transact(Names.bob, gas: 123_457, price: 19, burnt: 7)
    try market.pair.seal()
    #expect(market.pair.diff.operations.sections[0].baseFee == 7)
    try expectNoPatches(market, "a base fee")
}

@Test func `price sums that operations predict for another time follow from the state's`() throws {
    let market = try Market()
    let chain = market.chain
    for round in 0..<6 as Range<UInt32> {
        // The two pools' clocks differ: a payload has one time, its operations have the other.
        for (i, pool) in [
            (Names.pool, Names.tokenA, Names.tokenB), (Names.pool2, Names.tokenB, Names.tokenC),
        ]
        .enumerated() {
            chain.now = 1_700_000_000 + round * 12 + UInt32(1 - i) * 5
            for user in [Names.alice, Names.bob] {
                chain.transact(user, gas: 90_000) {
                    _ = chain.swap(
                        pool.0, pool.1, pool.2, zeroForOne: true, amount: 10_000, payer: user, payee: user)
                }
            }
        }
        try market.pair.seal()
        let header = try market.header()
        #expect(header.slotChanges >= 3, "\(header)")
        try market.pair.decode(market.pair.payload)
        #expect(market.pair.decoded.content == market.pair.diff.content, "round \(round)")
        try market.pair.advance()
    }
}

/// The payload sealed last is operations alone, and gives the diff back.
private func expectNoPatches(_ market: Market, _ name: String) throws {
    let header = try market.header()
    #expect(
        header.accountChanges == 0 && header.slotChanges == 0 && header.newSlots == 0, "\(name): \(header)")
    try market.pair.decode(market.pair.payload)
    #expect(market.pair.decoded.content == market.pair.diff.content, "\(name)")
    try market.pair.advance()
}

@Test func `patches cost nothing where operations explain everything`() throws {
    let market = try Market()
    market.pair.encoder.ledger = ColumnLedger()
    for _ in 0..<12 {
        market.writeAll()
        #expect(try market.pair.step())
    }
    let ledger = try #require(market.pair.encoder.ledger)
    for column in [ColumnLedger.Column.slotKeys, .slotValues, .accountValues, .accountKeys] {
        #expect(ledger[column] < 12 * 8, "\(column): \(ledger[column]) bits")
    }
    #expect(ledger[.amounts] > 100)
}

// MARK: Wrong effects

/// Bytes of a generated swap stream of which `wrong` of a thousand transactions have one effect that no rule expects.
private func bytesOfSwaps(wrong: UInt64) throws -> Int {
    let workload = GeneratedWorkload(try WorkloadSpec("swap?accounts=1000&pools=20&seed=5"))
    let pair = Pair()
    repeat {
        let more = try workload.nextGenesisChunk(into: pair.builder)
        try pair.sealGenesis()
        if !more { break }
    } while true
    var random = Seed(9).generator("wrong effects")
    var bytes = 0
    for _ in 0..<12 {
        for _ in 0..<100 { _ = try workload.nextTransaction(into: pair.builder) }
        try pair.seal(change: { diff in
            for _ in 0..<100 where random.below(1_000) < wrong { spoil(&diff, pair.sender, &random) }
        })
        try pair.decode(pair.payload)
        try #require(pair.decoded.content == pair.diff.content, "height \(pair.height)")
        bytes += pair.payload.count
        try pair.advance()
    }
    return bytes
}

private func spoil(_ diff: inout StateDiff, _ base: State, _ random: inout SeededGenerator) {
    let knownSlots = diff.slotChanges.filter { Int($0.id.index) < base.slotCount }.count
    let i = Int(random.below(UInt64(knownSlots)))
    switch random.below(4) {
    case 0:
        // Off by one: an amount, an allowance, a reserve, a price sum.
        let value = diff.slotChanges[i].new &+ 1
        if value != diff.slotChanges[i].old { diff.slotChanges[i].new = value }
    case 1:
        // Not written: an allowance that stays, a payee that gets nothing.
        diff.slotChanges.remove(at: i)
    case 2:
        // One more slot, of whatever contract.
        let id = SlotID(UInt32(random.below(UInt64(base.slotCount))))
        guard !diff.slotChanges.contains(where: { $0.id == id }) else { return }
        let old = base.value(of: id)
        let at = diff.slotChanges.firstIndex { $0.id > id } ?? diff.slotChanges.endIndex
        diff.slotChanges.insert(SlotChange(id: id, old: old, new: old &+ 1_000_003), at: at)
    default:
        // A balance off by a fee's worth.
        let at = Int(random.below(UInt64(diff.accountChanges.count)))
        diff.accountChanges[at].new.balance = diff.accountChanges[at].new.balance &+ 21_000
        if diff.accountChanges[at].new == diff.accountChanges[at].old {
            diff.accountChanges[at].new.balance = diff.accountChanges[at].new.balance &+ 1
        }
    }
}

@Test func `one wrong effect in a hundred transactions costs less than a quarter more`() throws {
    let (right, wrong) = (try bytesOfSwaps(wrong: 0), try bytesOfSwaps(wrong: 10))
    #expect(wrong > right)
    #expect(wrong * 4 < right * 5, "\(right) bytes, \(wrong) with wrong effects")
}

// MARK: Hostile operations

/// What a recording may hold in place of operations.
private let hostileChanges: [(String, @Sendable (inout StateDiff) -> Void)] = [
    ("a sender beyond all accounts", { $0.operations.transactions[5].sender = AccountID(0x7FFF_FFFF) }),
    ("senders that do not ascend", { $0.operations.transactions.reverse() }),
    ("a payee beyond all accounts", { $0.operations.actions[0].payee = Party(raw: 0x7FFF_FFF0) }),
    ("a literal nobody has", { $0.operations.actions[0].payee = Party(literal: 3) }),
    (
        "literals out of order",
        {
            $0.operations.literals += [TokenChain.newcomer, TokenChain.alice]
            $0.operations.sections[0].literals += 2
            $0.operations.actions[0].payer = Party(literal: 1)
            $0.operations.actions[0].payee = Party(literal: 0)
        }
    ),
    ("a literal less", { $0.operations.sections[0].literals += 1 }),
    ("a fact beyond all", { $0.operations.actions[1].fact = FactID(77_777) }),
    ("no fact", { for i in $0.operations.actions.indices { $0.operations.actions[i].fact = .none } }),
    (
        "facts of another kind",
        { diff in
            for i in diff.operations.actions.indices where diff.operations.actions[i].kind != .ether {
                diff.operations.actions[i].fact =
                    diff.operations.actions[i].kind == .swap ? FactID(0) : FactID(9)
            }
        }
    ),
    (
        "a spender that is none",
        { diff in
            for i in diff.operations.actions.indices { diff.operations.actions[i].spender = FactID(0) }
        }
    ),
    (
        "one turn twice",
        { diff in for i in diff.operations.actions.indices { diff.operations.actions[i].turn = 0 } }
    ),
    (
        "a turn beyond all",
        { diff in for i in diff.operations.actions.indices { diff.operations.actions[i].turn = .max } }
    ),
    ("chained first", { $0.operations.actions[0].isChained = true }),
    (
        "all chained",
        { diff in
            for i in diff.operations.actions.indices {
                diff.operations.actions[i].isChained = true
                diff.operations.actions[i].amount = .zero
            }
        }
    ),
    (
        "amounts of zero",
        { diff in for i in diff.operations.actions.indices { diff.operations.actions[i].amount = .zero } }
    ),
    (
        "no amount out and no formula",
        { diff in for i in diff.operations.actions.indices { diff.operations.actions[i].isByFormula = false }
        }
    ),
    (
        "swaps that wait for one another",
        { diff in
            for i in diff.operations.actions.indices where diff.operations.actions[i].isChained {
                // The second hop leads through the first pool, before the first hop.
                let first = diff.operations.actions[i - 1]
                diff.operations.actions[i].fact = first.fact
                diff.operations.actions[i].turn = first.turn
                diff.operations.actions[i - 1].turn = first.turn + 1
            }
        }
    ),
    ("too few actions", { $0.operations.actions.removeLast() }),
    ("more transactions than there are", { $0.operations.sections[0].transactions = .max }),
    ("more actions than there are", { $0.operations.transactions[0].actionCount = 33 }),
    ("more sections than heights", { $0.operations.sections.append(Section()) }),
    ("more slots than there are", { $0.operations.sections[0].newSlots += 1 }),
    ("a coinbase beyond all accounts", { $0.operations.sections[0].coinbase = AccountID(0x7FFF_FFFF) }),
    (
        "a mint's payer of its own",
        { diff in
            for i in diff.operations.actions.indices where diff.operations.actions[i].kind == .mint {
                diff.operations.actions[i].payer = Party(literal: 0)
                diff.operations.literals = [TokenChain.newcomer]
                diff.operations.sections[0].literals = 1
            }
        }
    ),
]

@Test func `operations that cannot be told are left out`() throws {
    let market = try Market()
    for (name, change) in hostileChanges {
        market.writeAll()
        try market.pair.seal(change: change)
        try market.pair.decode(market.pair.payload)
        #expect(market.pair.decoded.operations.transactions.isEmpty, "\(name)")
        #expect(market.pair.decoded.content == market.pair.diff.content, "\(name)")
        try market.pair.advance()
        // Whom they named counts on neither side.
        market.writeAll()
        #expect(try market.pair.step(), "after \(name)")
    }
}

@Test func `a refused payload leaves nothing behind, not even where a token keeps its amounts`() throws {
    // A second mapping of the same keys, which a wrong fact takes for the amounts.
    let market = try Market { chain in
        for user in [Names.alice, Names.bob] { chain.change(Names.tokenA, user, by: 5, base: 5) }
    }
    market.chain.transact(Names.alice) { market.chain.pay(Names.tokenA, Names.alice, Names.bob, 77) }
    try market.pair.seal()
    var other = market.pair.diff
    guard case .token(let contract, _, _)? = other.newFacts.first else {
        Issue.record("no token was learned")
        return
    }
    other.newFacts[0] = .token(contract: contract, base: 5, keyFirst: true)
    var payload: [UInt8] = []
    Codec().encode(other, base: market.pair.sender, into: &payload)
    try market.pair.decode(payload)
    #expect(market.pair.decoded.newFacts == other.newFacts)
    market.pair.decoder.takeBack()
    try expectNoPatches(market, "the right one")
}

@Test(arguments: [1, 2, 3, 4] as [UInt64])
func `damaged operations and garbage give a diff or an error, and no trace`(seed: UInt64) throws {
    let market = try Market()
    let pair = market.pair
    var random = Seed(seed).generator("damage")
    var (decoded, refused) = (0, 0)
    for _ in 0..<4 {
        market.writeAll()
        try pair.seal()
        for round in 0..<120 {
            var damaged = pair.payload
            if round % 4 == 0 {
                // Garbage behind a good header.
                for i in 9..<damaged.count { damaged[i] = UInt8(truncatingIfNeeded: random.next()) }
            } else {
                for _ in 0...random.below(3) {
                    damaged[Int(random.below(UInt64(damaged.count)))] ^= UInt8(1 << random.below(8))
                }
            }
            do {
                try pair.decode(damaged)
                decoded += 1
                // The state checks the rest and changes nothing if it refuses.
                let before = pair.receiver.slotCount
                do {
                    try pair.receiver.apply(pair.decoded)
                    try pair.receiver.revert(pair.decoded)
                } catch {}
                #expect(pair.receiver.slotCount == before)
                pair.decoder.takeBack()
            } catch {
                #expect(
                    error is CodecError && pair.decoded.isEmpty && pair.decoded.operations.actions.isEmpty)
                refused += 1
            }
        }
        try pair.decode(pair.payload)
        try #require(pair.decoded.content == pair.diff.content, "seed \(seed), height \(pair.height)")
        try pair.advance()
    }
    #expect(decoded > 0 && refused > 0)
}

/// Vectors of payloads with operations: one for each rule over the hand-made chain, and hostile ones of one failure each.

import MillraceBase
import MillraceDiff
import MillraceTestSupport

@testable import MillraceCodec

private typealias Names = TokenChain

func makeOperationVectors() throws -> [VectorFile] {
    var maker = VectorMaker()
    let chain = TokenChain(maker.pair.builder)
    try maker.step { _ in chain.writeStart() }
    // Whoever gains from every transaction is the coinbase: two in each mini-block.
    func transact(gas: UInt64 = 50_000, _ body: () -> Void) {
        chain.transact(Names.alice, gas: gas, body)
        chain.transact(Names.carol, gas: 21_000)
    }
    transact(gas: 21_000) { chain.payEther(Names.alice, Names.bob, 12_345) }
    try maker.good("operations-send", why: "ether from one to another, and a transaction that does nothing")
    transact(gas: 21_000) { chain.payEther(Names.alice, Names.newcomer, 500) }
    try maker.good("operations-new-payee", why: "ether to an address without an account, which gets one")
    transact { chain.pay(Names.tokenA, Names.alice, Names.bob, 77) }
    try maker.good("operations-token", why: "the fact of a token, and a transfer of it")
    transact { chain.pay(Names.tokenA, Names.alice, Names.carol, 4_000) }
    try maker.good("operations-new-holder", why: "a transfer to a first-time holder, whose slot is predicted")
    transact {
        chain.pay(Names.tokenA, Names.alice, Names.bob, 300)
        chain.allow(Names.tokenA, Names.alice, change: .zero &- 300)
    }
    try maker.good("operations-allowance", why: "facts of allowances and of a spender, which transfers")
    chain.now += 12
    chain.swapOnce(Names.alice, zeroForOne: true, amount: 10_000)
    chain.swapOnce(Names.bob, zeroForOne: false, amount: 4_321)
    try maker.good("operations-swap", why: "facts of a token and a pool, swaps both ways, moving price sums")
    chain.now += 12
    chain.swapTwice(Names.bob, amount: 5_000)
    chain.swapOnce(Names.bob, zeroForOne: true, amount: 800)
    try maker.good("operations-path", why: "a chained swap over two pools")
    chain.changeSupply(Names.bob, Names.tokenC, by: 999)
    try maker.good("operations-mint", why: "an amount and the supply rise")
    chain.changeSupply(Names.bob, Names.tokenC, by: .zero &- 500)
    try maker.good("operations-burn", why: "the same fall")
    transact { chain.pay(Names.tokenA, Names.alice, Names.bob, 77) }
    try maker.good("operations-wrong", why: "the payee gets one more than was paid: a patch") { diff in
        if let last = diff.slotChanges.indices.last {
            diff.slotChanges[last].new = diff.slotChanges[last].new &+ 1
        }
    }
    try addHostile(to: &maker, chain)
    return maker.vectors
}

private func addHostile(to maker: inout VectorMaker, _ chain: TokenChain) throws {
    func bad(_ name: String, expect: String, why: String, _ payload: [UInt8]) {
        maker.bad("operations-" + name, expect: expect, why: why, payload)
    }
    let pair = maker.pair
    chain.now += 12
    chain.swapTwice(Names.bob, amount: 5_000)
    chain.swapOnce(Names.bob, zeroForOne: true, amount: 800)
    try pair.seal()
    pair.encoder.takeBack()
    let whole = pair.diff
    var waits = whole
    for i in waits.operations.actions.indices where waits.operations.actions[i].isChained {
        let first = waits.operations.actions[i - 1]
        waits.operations.actions[i].fact = first.fact
        waits.operations.actions[i].turn = first.turn
        waits.operations.actions[i - 1].turn = first.turn + 1
        for j in waits.operations.actions.indices where j > i {
            waits.operations.actions[j].turn = 2
        }
    }
    bad(
        "wait", expect: "badOperation", why: "a second hop at the pool of the first, a turn before it",
        pair.raw(section: waits))
    var noPool = whole
    noPool.operations.actions[0].fact = FactID(0)
    bad("no-pool", expect: "badOperation", why: "a swap at a token", pair.raw(section: noPool))

    bad(
        "fact-kind", expect: "badOperation", why: "a fact of kind 6",
        pair.raw { writer in
            writer.bit(true, ModelMap.factMore)
            writer.tree(6, depth: 3, ModelMap.factKind)
        })
    func head(_ writer: inout ColumnWriter) {
        writer.bit(false, ModelMap.factMore)
        writer.bit(true, ModelMap.hasOperations)
        writer.bit(true, ModelMap.timestampSame)
        writer.bit(true, ModelMap.coinbaseSame)
        writer.bit(true, ModelMap.baseFeeSame)
    }
    let people = pair.encoder.people
    let lists = (0..<PopularityTable.classCount).reversed().filter {
        $0 == 0 || people.count(ofClass: $0) > 0
    }
    bad(
        "nobody", expect: "badOperation", why: "operations without a transaction",
        pair.raw { writer in
            head(&writer)
            for c in lists {
                writer.number(0, treeBits: ModelMap.shortNumberBits, ModelMap.senderCount(c))
            }
        })
    bad(
        "work", expect: "badCount", why: "more transactions than the payload pays for",
        pair.raw { writer in
            head(&writer)
            writer.number(1, treeBits: ModelMap.shortNumberBits, ModelMap.senderCount(lists[0]))
            var gaps = GapModel(
                count: 1, universe: people.count(ofClass: lists[0]), table: 4)
            gaps.encode(0, to: &writer)
            writer.number(
                1 << 20, treeBits: ModelMap.shortNumberBits, ModelMap.senderRepeats(lists[0]))
        })
    bad(
        "new-accounts", expect: "badKey", why: "told accounts that do not ascend",
        pair.raw { writer in
            writer.bit(false, ModelMap.factMore)
            writer.bit(false, ModelMap.hasOperations)
            writer.number(2, treeBits: ModelMap.shortNumberBits, ModelMap.newAccountCount)
            NewKeys.encode(
                accounts: [Names.newcomer, Address(high: 1, middle: 2, low: 3)], to: &writer)
        })
    var counted = [UInt8](repeating: 0, count: 40)
    counted.replaceSubrange(0..<5, with: [1, 1, 0, 0, 1])
    bad("counted-accounts", expect: "badCount", why: "new accounts in the header of the coded form", counted)
}

extension Pair {
    /// A payload of the next height whose first columns are what `write` writes, and which ends in zeroes.
    fileprivate func raw(_ write: (inout ColumnWriter) -> Void) -> [UInt8] {
        encoder.beginPayload(firstHeight: height, lastHeight: height)
        encoder.writer.reset()
        write(&encoder.writer)
        return rest()
    }

    /// The section of a diff, as far as it can be told.
    fileprivate func raw(section diff: StateDiff) -> [UInt8] {
        var diff = diff
        encoder.beginPayload(firstHeight: height, lastHeight: height)
        encoder.writer.reset()
        encoder.runner.begin(base: sender)
        encoder.predicted.removeAll()
        var cursor = SectionCursor()
        var section = diff.operations.sections[0]
        try? encoder.codeSection(&section, of: &diff, at: &cursor, base: sender, &encoder.writer)
        return rest()
    }

    private func rest() -> [UInt8] {
        encoder.writer.range.finish()
        var payload: [UInt8] = [1, 3, 0, 0, 0, 0, 0, 0, 0]
        payload.appendVarint(UInt64(encoder.writer.range.count))
        encoder.writer.range.append(to: &payload)
        encoder.writer.bits.append(to: &payload)
        encoder.takeBack()
        return payload + [UInt8](repeating: 0, count: 24)
    }
}

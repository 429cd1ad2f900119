import MillraceBase
import MillraceDiff
import Testing

@testable import MillraceCodec

@Test(arguments: 1...12 as ClosedRange<UInt64>)
func `what is decoded is what was encoded, over seconds and their windows`(seed: UInt64) throws {
    let pair = Pair()
    var writes = RandomWrites(seed: seed)
    writes.writeGenesis(into: pair.builder)
    try pair.sealGenesis()
    for _ in 0..<230 {
        for _ in 0..<writes.random.below(12) { writes.writeTransaction(into: pair.builder) }
        let equal = try pair.step(kind: writes.random.below(20) == 0 ? .bridge : .transactions)
        try #require(equal, "seed \(seed), height \(pair.height)")
    }
}

@Test func `equal streams give equal bytes from a codec used for other calls before`() throws {
    func payloads(disturbed: Bool) throws -> [[UInt8]] {
        let pair = Pair()
        var writes = RandomWrites(seed: 5)
        writes.writeGenesis(into: pair.builder)
        try pair.sealGenesis()
        var all: [[UInt8]] = []
        for _ in 0..<25 {
            for _ in 0..<10 { writes.writeTransaction(into: pair.builder) }
            try pair.seal()
            if disturbed {
                // A payload that fails leaves no trace.
                #expect(throws: CodecError.self) {
                    try pair.decode(pair.payload.dropLast(2) + [7, 9, 9, 9, 9])
                }
                #expect(pair.decoded.isEmpty)
            }
            try pair.decode(pair.payload)
            all.append(pair.payload)
            #expect(pair.decoded.content == pair.diff.content)
            try pair.advance()
        }
        return all
    }
    #expect(try payloads(disturbed: false) == payloads(disturbed: true))
}

@Test func `nothing written costs nothing`() throws {
    let pair = Pair()
    #expect(try pair.step())
    #expect(pair.payload.isEmpty)
    pair.builder.beginTransaction()
    pair.builder.endTransaction()
    #expect(try pair.step())
    #expect(pair.payload.count <= 12)
}

@Test(arguments: [1, 2, 3] as [UInt64])
func `a payload cut anywhere is refused`(seed: UInt64) throws {
    let pair = Pair()
    var writes = RandomWrites(seed: seed)
    writes.writeGenesis(into: pair.builder)
    try pair.sealGenesis()
    for _ in 0..<3 {
        for _ in 0..<6 { writes.writeTransaction(into: pair.builder) }
        try pair.seal()
        for count in 1..<max(pair.payload.count, 1) {
            #expect(throws: CodecError.self, "seed \(seed), cut to \(count)") {
                try pair.decode(Array(pair.payload.prefix(count)))
            }
        }
        #expect(throws: CodecError.self) { try pair.decode(pair.payload + [1]) }
        try pair.decode(pair.payload)
        #expect(pair.decoded.content == pair.diff.content)
        try pair.advance()
    }
}

@Test(arguments: 1...6 as ClosedRange<UInt64>)
func `damaged payloads give a diff the state can check or an error, never a trap`(seed: UInt64) throws {
    let pair = Pair()
    var writes = RandomWrites(seed: seed)
    writes.writeGenesis(into: pair.builder)
    try pair.sealGenesis()
    var decodedCount = 0
    let decoder = Codec()
    for _ in 0..<12 {
        for _ in 0..<8 { writes.writeTransaction(into: pair.builder) }
        try pair.seal()
        for _ in 0..<60 where !pair.payload.isEmpty {
            var damaged = pair.payload
            for _ in 0...writes.random.below(3) {
                damaged[Int(writes.random.below(UInt64(damaged.count)))] ^= UInt8(1 << writes.random.below(8))
            }
            // A decoder beside the stream's: a payload that decodes teaches the models.
            var diff = StateDiff()
            (diff.firstHeight, diff.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
            do {
                try decoder.decode(damaged.span.bytes, base: pair.receiver, into: &diff)
                decodedCount += 1
                checkShape(diff, base: pair.receiver)
            } catch {
                #expect(diff.isEmpty)
            }
        }
        try pair.decode(pair.payload)
        try pair.advance()
    }
    // Some damage leads to other valid values: the test would say nothing if none did.
    #expect(decodedCount > 0)
}

/// What the decoder promises of any diff it gives out.
private func checkShape(_ diff: StateDiff, base: State) {
    for i in diff.accountChanges.indices {
        let change = diff.accountChanges[i]
        #expect(i == 0 || diff.accountChanges[i - 1].id < change.id)
        #expect(Int(change.id.index) < base.accountCount + diff.newAccounts.count)
        #expect(change.old != change.new)
        #expect(
            change.old == (Int(change.id.index) < base.accountCount ? base.value(of: change.id) : .absent))
    }
    for i in diff.slotChanges.indices {
        let change = diff.slotChanges[i]
        #expect(i == 0 || diff.slotChanges[i - 1].id < change.id)
        #expect(Int(change.id.index) < base.slotCount + diff.newSlots.count)
        #expect(change.old != change.new)
        #expect(change.old == (Int(change.id.index) < base.slotCount ? base.value(of: change.id) : .zero))
    }
}

@Test func `a block of random words costs at most 1.01 of its raw size`() throws {
    let pair = Pair()
    var random = Seed(9).generator("codec.tests.words")
    func word() -> U256 { U256(random.next(), random.next(), random.next(), random.next()) }
    let contract = Address(high: 1, middle: 2, low: 3)
    pair.builder.setBalance(contract, to: 1)
    try pair.sealGenesis()
    for round in 0..<3 {
        for _ in 0..<2_000 { pair.builder.setSlot(contract, word(), to: word()) }
        let equal = try pair.step()
        #expect(equal)
        let raw = 2_000 * 64 + 20
        #expect(pair.payload.count * 100 <= raw * 101, "round \(round): \(pair.payload.count) of \(raw)")
    }
}

@Test func `both forms decode to the same`() throws {
    let pair = Pair()
    var writes = RandomWrites(seed: 77)
    writes.writeGenesis(into: pair.builder)
    try pair.sealGenesis()
    let other = Codec()
    for _ in 0..<40 {
        for _ in 0..<10 { writes.writeTransaction(into: pair.builder) }
        try pair.seal()
        var plain: [UInt8] = []
        PlainForm.encode(pair.diff, base: pair.sender, into: &plain)
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
        diff.sealedAtMicroseconds = pair.diff.sealedAtMicroseconds
        try other.decode(plain.span.bytes, base: pair.receiver, into: &diff)
        #expect(diff.content == pair.diff.content)
        for count in 1..<plain.count where count < 60 || count > plain.count - 60 {
            var cut = StateDiff()
            (cut.firstHeight, cut.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
            #expect(throws: CodecError.self) {
                let cutPlain = Array(plain.prefix(count))
                try other.decode(cutPlain.span.bytes, base: pair.receiver, into: &cut)
            }
        }
        try pair.decode(pair.payload)
        try pair.advance()
    }
}

@Test func `a few bytes cannot clear many slots`() throws {
    let pair = Pair()
    let (contract, slots) = (Address(high: 1, middle: 0, low: 0), 5_000 as UInt64)
    for i in 0..<slots { pair.builder.setSlot(contract, U256(i), to: 1) }
    try pair.sealGenesis()
    pair.builder.destroy(contract)
    try pair.seal()
    #expect(pair.diff.slotChanges.count == Int(slots))
    // Two slots a byte, and the encoder keeps to that.
    #expect(pair.payload.count >= Int(slots) / 2 && pair.payload.count < Int(slots) / 2 + 64)
    for count in [20, 64, Int(slots) / 2 - 8] {
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (1, 1)
        let short = Array(pair.payload.prefix(count))
        #expect(throws: CodecError.badCount(.work)) {
            try pair.decoder.decode(short.span.bytes, base: pair.receiver, into: &diff)
        }
        #expect(diff.isEmpty)
    }
    try pair.decode(pair.payload)
    #expect(pair.decoded.content == pair.diff.content)
}

@Test func `a few bytes cannot announce many keys`() throws {
    let pair = Pair()
    for i in 0..<5_000 as Range<UInt64> {
        pair.builder.setBalance(Address(high: i, middle: 0, low: 0), to: 1)
    }
    try pair.sealGenesis()
    var diff = StateDiff()
    (diff.firstHeight, diff.lastHeight) = (1, 1)
    // form, transactions, rawBytes, codes, accounts, slots, destroyed: none; 4,000 account changes in 12 bytes.
    let payload: [UInt8] = [1, 0, 0, 0, 0, 0, 0, 0xA0, 0x1F, 0, 0, 0]
    #expect(throws: CodecError.badCount(.accountChanges)) {
        try pair.decoder.decode(payload.span.bytes, base: pair.receiver, into: &diff)
    }
}

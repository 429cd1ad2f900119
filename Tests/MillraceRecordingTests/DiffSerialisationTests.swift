import MillraceBase
import MillraceDiff
import MillraceRecording
import Testing

@Suite struct DiffSerialisationTests {
    func decode(_ bytes: [UInt8]) throws(DiffSerialisationError) -> (diff: StateDiff, consumed: Int) {
        var diff = StateDiff()
        var reader = ByteReader(bytes.span.bytes)
        try DiffSerialisation.decode(&reader, into: &diff)
        return (diff, reader.offset)
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `what is written is read back, and nothing more is consumed`(seed: UInt64) throws {
        var g = Seed(seed).generator("serialisation")
        let kind: DiffKind = [.transactions, .bridge, .genesis][Int(seed % 3)]
        let diff = SomeDiffs.diff(&g, height: kind == .genesis ? 0 : 1 + g.below(1 << 40), kind: kind)
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        let count = bytes.count
        bytes.append(contentsOf: [1, 2, 3])
        let back = try decode(bytes)
        #expect(back.diff == diff, "seed \(seed)")
        #expect(back.consumed == count)
    }

    @Test(arguments: 0..<60 as Range<UInt64>)
    func `hints come back with their diff, windows and genesis included`(seed: UInt64) throws {
        var g = Seed(seed).generator("hints")
        let kind: DiffKind = [.transactions, .bridge, .genesis][Int(seed % 3)]
        var diff = SomeDiffs.diff(&g, height: kind == .genesis ? 0 : 1 + g.below(1 << 40), kind: kind)
        if kind != .genesis { diff.lastHeight += g.below(12) }
        SomeDiffs.addHints(&diff, &g)
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        let back = try decode(bytes + [1, 2, 3])
        #expect(back.diff == diff, "seed \(seed)")
        #expect(back.consumed == bytes.count)
    }

    @Test func `a diff without hints pays nothing for them`() {
        var g = Seed(1).generator("hints")
        var diff = SomeDiffs.diff(&g, height: 7)
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        #expect(bytes[0] == 0)
        diff.newFacts = [.supply(token: FactID(0), slot: 2)]
        var more: [UInt8] = []
        DiffSerialisation.append(diff, to: &more)
        // One fact in its count, tag, token and two bytes of slot; no operations; no origins.
        #expect(more[0] == 0x80 && more.dropFirst() == bytes.dropFirst() + [1, 3, 0, 1, 2, 0, 0])
    }

    /// Each spoils one count of the sections.
    @Test(arguments: 0..<7)
    func `operations that do not add up are left out, facts and origins stay`(which: Int) throws {
        var g = Seed(3).generator("hints")
        var diff = SomeDiffs.diff(&g, height: 7)
        SomeDiffs.addHints(&diff, &g)
        diff.newFacts = [.spender(Address(high: 1, middle: 2, low: 3))]
        diff.operations.sections[0].newFacts = 1
        let origins = diff.operations.origins
        #expect(!origins.isEmpty)
        var whole: [UInt8] = []
        DiffSerialisation.append(diff, to: &whole)
        #expect(try decode(whole).diff == diff)
        switch which {
        case 0: diff.operations.sections[0].newSlots += 1
        case 1: diff.operations.sections[0].transactions += 1
        case 2: diff.operations.sections[0].actions += 1
        case 3: diff.operations.sections[0].literals += 1
        case 4: diff.operations.sections.append(Section())
        case 5: diff.operations.sections = []
        default: diff.operations.sections[0].newFacts = .max
        }
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        var expected = diff
        expected.operations = Operations()
        expected.operations.origins = origins
        #expect(try decode(bytes).diff == expected)
    }

    @Test func `origins are written up to the first that is out of order or has no preimage`() throws {
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (1, 1)
        let origin = { (id: UInt32) in SlotOrigin(id: SlotID(id), preimage: .mapping(base: 1, key: 2)) }
        diff.operations.origins = [origin(3), origin(9), origin(9), origin(12)]
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        #expect(try decode(bytes).diff.operations.origins == [origin(3), origin(9)])
        diff.operations.origins = [origin(3), SlotOrigin(id: SlotID(4), preimage: .none)]
        bytes = []
        DiffSerialisation.append(diff, to: &bytes)
        #expect(try decode(bytes).diff.operations.origins == [origin(3)])
    }

    @Test(arguments: 0..<6 as Range<UInt64>)
    func `cut at any byte it is truncated, never a diff`(seed: UInt64) {
        var g = Seed(seed).generator("serialisation")
        var diff = SomeDiffs.diff(&g, height: 7)
        if seed % 2 == 1 { SomeDiffs.addHints(&diff, &g) }
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        for count in 0..<bytes.count {
            #expect(throws: DiffSerialisationError.self, "seed \(seed), \(count) bytes") {
                try decode(Array(bytes[..<count]))
            }
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `altered bytes give a diff that encodes to itself, or an error`(seed: UInt64) {
        var g = Seed(seed).generator("serialisation")
        var diff = SomeDiffs.diff(&g, height: 7)
        if seed % 2 == 1 { SomeDiffs.addHints(&diff, &g) }
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        for _ in 0..<200 {
            var altered = bytes
            altered[Int(g.below(UInt64(bytes.count)))] ^= UInt8(1 << g.below(8))
            guard let back = try? decode(altered) else { continue }
            var again: [UInt8] = []
            DiffSerialisation.append(back.diff, to: &again)
            #expect(again == Array(altered[..<back.consumed]), "seed \(seed)")
        }
    }

    @Test func `a preimage that does not hash to its slot is left out`() throws {
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (1, 1)
        diff.newSlots = [
            NewSlot(key: SlotKey(account: AccountID(0), slot: 5), preimage: .mapping(base: 1, key: 2))
        ]
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        #expect(try decode(bytes).diff.newSlots == [NewSlot(key: SlotKey(account: AccountID(0), slot: 5))])
    }
}

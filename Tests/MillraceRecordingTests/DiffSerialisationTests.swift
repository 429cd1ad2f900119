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

    @Test(arguments: 0..<6 as Range<UInt64>)
    func `cut at any byte it is truncated, never a diff`(seed: UInt64) {
        var g = Seed(seed).generator("serialisation")
        var bytes: [UInt8] = []
        DiffSerialisation.append(SomeDiffs.diff(&g, height: 7), to: &bytes)
        for count in 0..<bytes.count {
            #expect(throws: DiffSerialisationError.self, "seed \(seed), \(count) bytes") {
                try decode(Array(bytes[..<count]))
            }
        }
    }

    @Test(arguments: 0..<8 as Range<UInt64>)
    func `altered bytes give a diff that encodes to itself, or an error`(seed: UInt64) {
        var g = Seed(seed).generator("serialisation")
        var bytes: [UInt8] = []
        DiffSerialisation.append(SomeDiffs.diff(&g, height: 7), to: &bytes)
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

import MillraceBase
import MillraceDiff
import MillraceRecording
import Testing

@Suite struct RecordingTests {
    static let header = RecordingHeader(chainID: 4242, description: "a test")

    /// A recording of `count` mini-blocks with two genesis diffs and commitments, and what it holds.
    static func sample(seed: UInt64, count: UInt64, from first: UInt64 = 1) throws -> (
        bytes: [UInt8], items: [String]
    ) {
        var g = Seed(seed).generator("recording")
        let writer = try RecordingWriter(header: header)
        var items: [String] = []
        for _ in 0..<2 {
            var genesis = SomeDiffs.diff(&g, height: 0, kind: .genesis)
            // Genesis only touches what it introduces or what came before it.
            genesis.accountChanges.removeAll()
            genesis.slotChanges.removeAll()
            try writer.write(genesis: genesis)
            if !genesis.isEmpty { items.append("genesis \(genesis)") }
        }
        for height in first..<(first + count) {
            let diff = SomeDiffs.diff(&g, height: height, kind: height % 7 == 0 ? .bridge : .transactions)
            try writer.write(diff)
            items.append("diff \(diff)")
            if height % 100 == 0 || height == first + count - 1 {
                let hash = Hash32(word: SomeDiffs.word(&g))
                try writer.write(commitment: hash, height: height)
                items.append("commitment \(RecordedCommitment(height: height, commitment: hash))")
            }
        }
        return (try writer.finishedBytes(), items)
    }

    static func items(_ reader: RecordingReader) throws(RecordingError) -> [String] {
        var items: [String] = []
        while let item = try reader.next() {
            switch item {
            case .genesis(let diff): items.append("genesis \(diff)")
            case .diff(let diff): items.append("diff \(diff)")
            case .commitment(let commitment): items.append("commitment \(commitment)")
            }
        }
        return items
    }

    @Test(arguments: [0, 1, 2, 3] as [UInt64])
    func `what is written is read back in order`(seed: UInt64) throws {
        let sample = try RecordingTests.sample(seed: seed, count: 250)
        let reader = try RecordingReader(bytes: sample.bytes)
        #expect(reader.header == RecordingTests.header)
        #expect(try RecordingTests.items(reader) == sample.items, "seed \(seed)")
        #expect(reader.isComplete)
        #expect(reader.tornTail == nil)
        #expect(reader.totals.lastHeight == 250)
        #expect(reader.totals.bridgeMiniBlocks == 35)
        #expect(reader.totals.miniBlocks == 215)
        #expect(try reader.storedIndex() == reader.rebuiltIndex)
        #expect(reader.rebuiltIndex.entries.count == 3)
    }

    @Test func `equal contents give equal bytes`() throws {
        #expect(
            try RecordingTests.sample(seed: 5, count: 20).bytes
                == RecordingTests.sample(seed: 5, count: 20).bytes)
    }

    @Test func `cut at any byte everything before is read, and the cut is noticed`() throws {
        let sample = try RecordingTests.sample(seed: 1, count: 4)
        for count in 0..<sample.bytes.count {
            let cut = Array(sample.bytes[..<count])
            guard let reader = try? RecordingReader(bytes: cut) else { continue }
            let items = try RecordingTests.items(reader)
            #expect(sample.items.starts(with: items), "\(count) bytes")
            #expect(reader.tornTail?.code == .torn, "\(count) bytes")
            #expect(!reader.isComplete)
        }
    }

    @Test func `any flipped bit is found, and never taken for a torn tail`() throws {
        let sample = try RecordingTests.sample(seed: 2, count: 3)
        for at in 0..<sample.bytes.count {
            var altered = sample.bytes
            altered[at] ^= 1 << UInt8(at % 8)
            let error = #expect(throws: RecordingError.self, "byte \(at)") {
                try RecordingTests.items(RecordingReader(bytes: altered))
            }
            #expect(error?.code == .corrupt || error?.code == .notARecording, "byte \(at)")
        }
    }

    @Test func `seeking gives the tail`() throws {
        let sample = try RecordingTests.sample(seed: 3, count: 450, from: 51)
        let whole = sample.items.filter { $0.hasPrefix("diff") }
        let reader = try RecordingReader(bytes: sample.bytes)
        let index = try #require(try reader.storedIndex())
        for height in [1, 51, 60, 100, 101, 333, 500, 9_999] as [UInt64] {
            try reader.seek(to: height, using: index)
            let tail = try RecordingTests.items(reader).filter { $0.hasPrefix("diff") }
            #expect(whole.suffix(tail.count) == tail[...], "height \(height)")
            let wanted = Int(500 - min(max(height, 51), 500) + 1)
            #expect(tail.count >= wanted && tail.count < wanted + 100, "height \(height)")
        }
    }

    @Test func `a gap in the heights is refused`() throws {
        var g = Seed(9).generator("gap")
        let writer = try RecordingWriter(header: RecordingTests.header)
        try writer.write(SomeDiffs.diff(&g, height: 10))
        let gap = SomeDiffs.diff(&g, height: 12)
        #expect(throws: RecordingError.self) { try writer.write(gap) }
        #expect(throws: RecordingError.self) { try writer.write(commitment: .zero, height: 9) }
        let genesis = SomeDiffs.diff(&g, height: 0, kind: .genesis)
        #expect(throws: RecordingError.self) { try writer.write(genesis: genesis) }
    }
}

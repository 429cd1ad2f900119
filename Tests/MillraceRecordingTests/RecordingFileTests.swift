import Foundation
import MillraceBase
import MillraceDiff
import MillraceRecording
import Testing

/// Recordings on disk, and with a real state behind them.
@Suite struct RecordingFileTests {
    func withPath<R>(_ body: (String) throws -> R) throws -> R {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "millrace-\(UUID().uuidString).mill"
        ).path
        defer { try? FileManager.default.removeItem(atPath: path) }
        return try body(path)
    }

    static let header = RecordingHeader(chainID: 9, description: "on disk")

    /// Mini-blocks of random writes and the state they lead to.
    struct Stream {
        let state = State(seed: Seed(3))
        let builder: DiffBuilder
        var g: SeededGenerator
        var diff = StateDiff()

        init(seed: UInt64) {
            builder = DiffBuilder(state: state)
            g = Seed(seed).generator("stream")
        }

        mutating func write(keys: Int) {
            builder.beginTransaction()
            for _ in 0..<keys {
                let address = Address(high: 0, middle: 0, low: UInt32(g.below(50)))
                switch g.below(4) {
                case 0: builder.setBalance(address, to: U256(g.below(1_000)))
                case 1: builder.setCode(address, to: [UInt8(g.below(9)), 1])
                case 2 where g.below(8) == 0: builder.destroy(address)
                default: builder.setSlot(address, U256(g.below(40)), to: U256(g.below(3)))
                }
            }
            builder.endTransaction()
        }

        mutating func next(height: UInt64) throws -> StateDiff {
            write(keys: 30)
            builder.seal(
                kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: height,
                into: &diff)
            try state.apply(diff)
            return diff
        }

        var commitment: Hash32 { StateCommitment(of: state).commitmentNow() }
    }

    @Test func `a file appears only when finished`() throws {
        try withPath { path in
            var stream = Stream(seed: 1)
            do {
                let writer = try RecordingWriter(path: path, header: RecordingFileTests.header)
                try writer.write(stream.next(height: 1))
                try writer.flush()
                #expect(!FileManager.default.fileExists(atPath: path))
            }
            let folder = (path as NSString).deletingLastPathComponent
            let name = (path as NSString).lastPathComponent
            let left = try FileManager.default.contentsOfDirectory(atPath: folder).filter {
                $0.hasPrefix(name)
            }
            #expect(left.isEmpty, "the temporary file is gone")
        }
    }

    @Test(arguments: [0, 1, 2, 3] as [UInt64])
    func `a recording written on verifies, whether it was finished or torn`(seed: UInt64) throws {
        try withPath { path in
            var stream = Stream(seed: seed)
            let writer = try RecordingWriter(
                path: path, header: RecordingFileTests.header, appearance: .atOnce)
            for height in 1...130 as ClosedRange<UInt64> {
                try writer.write(stream.next(height: height))
                if height == 100 { try writer.write(commitment: stream.commitment, height: height) }
            }
            if seed % 2 == 0 {
                try writer.write(commitment: stream.commitment, height: 130)
                try writer.finish()
            } else {
                // A crash: the next frame is only half there.
                try writer.flush()
                let handle = try #require(FileHandle(forWritingAtPath: path))
                try handle.seekToEnd()
                try handle.write(contentsOf: [7, 7, 7, 7, 7])
                try handle.close()
            }
            let more = try RecordingWriter(appendingTo: path)
            #expect(more.totals.lastHeight == 130)
            for height in 131...250 as ClosedRange<UInt64> { try more.write(stream.next(height: height)) }
            try more.write(commitment: stream.commitment, height: 250)
            try more.finish()

            let reader = try RecordingReader(path: path)
            let report = try RecordingVerifier.verify(reader, state: State(seed: Seed(8)))
            #expect(report.stateCommitment == stream.commitment, "seed \(seed)")
            #expect(report.totals.miniBlocks == 250)
            #expect(try reader.storedIndex() == reader.rebuiltIndex)
        }
    }

    @Test func `a large genesis is split and gives the same state`() throws {
        var stream = Stream(seed: 5)
        // More cells than one genesis diff may have, and an account that comes long before its slots.
        let owner = Address(high: 0, middle: 0, low: 0)
        let count = RecordingLimits.cellsPerGenesisDiff
        for i in 0..<UInt64(count) {
            stream.builder.setBalance(Address(high: i, middle: 1, low: 0), to: 1)
            if i % 2 == 0 { stream.builder.setSlot(owner, U256(i), to: 7) }
        }
        var genesis = StateDiff()
        stream.builder.seal(
            kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &genesis)
        // They name an account that comes in a late part.
        genesis.newFacts = [
            .token(contract: AccountID(UInt32(count)), base: 1, keyFirst: true),
            .supply(token: FactID(0), slot: 2),
        ]
        try stream.state.apply(genesis)

        let writer = try RecordingWriter(header: RecordingFileTests.header)
        try writer.write(genesis: genesis)
        try writer.write(stream.next(height: 1))
        try writer.write(commitment: stream.commitment, height: 1)
        #expect(writer.totals.genesisDiffs > 1)
        let state = State(seed: Seed(8))
        let report = try RecordingVerifier.verify(
            RecordingReader(bytes: writer.finishedBytes()), state: state)
        #expect(report.stateCommitment == stream.commitment)
        #expect(state.facts == genesis.newFacts)
    }

    @Test func `a wrong commitment and a diff that does not fit are found`() throws {
        var stream = Stream(seed: 6)
        let diffs = [try stream.next(height: 1), try stream.next(height: 2)]
        let wrong = try RecordingWriter(header: RecordingFileTests.header)
        try wrong.write(diffs[0])
        try wrong.write(commitment: .zero, height: 1)
        var bytes = try wrong.finishedBytes()
        let mismatch = #expect(throws: RecordingError.self) {
            try RecordingVerifier.verify(RecordingReader(bytes: bytes), state: State(seed: Seed(8)))
        }
        #expect(mismatch?.code == .mismatch)

        let unfit = try RecordingWriter(header: RecordingFileTests.header)
        var second = diffs[1]
        (second.firstHeight, second.lastHeight) = (1, 1)
        try unfit.write(second)
        bytes = try unfit.finishedBytes()
        let error = #expect(throws: RecordingError.self) {
            try RecordingVerifier.verify(RecordingReader(bytes: bytes), state: State(seed: Seed(8)))
        }
        #expect(error?.code == .mismatch)
        #expect(error?.message.contains("frame 2: the diff of height 1") == true)
    }
}

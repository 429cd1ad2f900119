import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceTestSupport
import Testing

@testable import MillraceRecording

/// The vectors of chapter 70. `target: diff` is 70.5's bytes, `target: file` a whole recording.
@Suite struct RecordingVectorTests {
    /// "ok", or the name of the error.
    static func outcome(_ vector: VectorFile) -> String {
        if vector["target"] == "diff" {
            var diff = StateDiff()
            var reader = ByteReader(vector.bytes.span.bytes)
            do {
                try DiffSerialisation.decode(&reader, into: &diff)
            } catch {
                return "\(error)"
            }
            var again: [UInt8] = []
            DiffSerialisation.append(diff, to: &again)
            return reader.isAtEnd && again == vector.bytes ? "ok" : "not canonical"
        }
        do {
            let reader = try RecordingReader(bytes: vector.bytes)
            while try reader.next() != nil {}
            if let torn = reader.tornTail { return torn.code.rawValue }
            return "ok"
        } catch {
            return error.code.rawValue
        }
    }

    @Test func `every vector ends as it says`() throws {
        if VectorFile.isWriting {
            for vector in try RecordingVectors.all() { try vector.write(area: "recording") }
        }
        for vector in try VectorFile.all("recording") {
            #expect(RecordingVectorTests.outcome(vector) == vector.expect, "\(vector.name)")
        }
    }

    /// Compressed blocks may differ with another libzstd, so only the diffs must come out byte for byte.
    @Test func `the vectors are the ones this code makes`() throws {
        let stored = try VectorFile.all("recording")
        let made = try RecordingVectors.all()
        #expect(stored.map(\.name).sorted() == made.map(\.name).sorted())
        for vector in made where vector["target"] == "diff" {
            #expect(stored.first { $0.name == vector.name } == vector, "\(vector.name)")
        }
    }

    @Test func `the small file says what it should`() throws {
        let vector = try #require(try VectorFile.all("recording").first { $0.name == "file-small" })
        let state = State(seed: Seed(1))
        let report = try RecordingVerifier.verify(RecordingReader(bytes: vector.bytes), state: state)
        #expect(report.stateCommitment.hex == vector["commitment"])
        #expect(report.header.chainID == 1)
    }
}

/// Makes the vectors.
enum RecordingVectors {
    static func all() throws -> [VectorFile] { try diffs() + files() }

    // MARK: Diffs

    static func vector(
        _ name: String, _ expect: String, _ why: String, _ target: String, _ bytes: [UInt8],
        _ more: [(name: String, value: String)] = []
    ) -> VectorFile {
        VectorFile(
            name: name, fields: [("expect", expect), ("why", why), ("target", target)] + more, bytes: bytes)
    }

    static func bytes(_ diff: StateDiff) -> [UInt8] {
        var bytes: [UInt8] = []
        DiffSerialisation.append(diff, to: &bytes)
        return bytes
    }

    /// Heights 7, sealed at 70 ms, 2 transactions, 200 raw bytes; the six lists follow.
    static let head: [UInt8] = [0, 7, 0, 0xF0, 0xA2, 0x04, 2, 0xC8, 0x01]

    static func full() -> StateDiff {
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight, diff.sealedAtMicroseconds) = (7, 7, 70_000)
        (diff.transactions, diff.rawBytes) = (2, 200)
        diff.newCodes = [[0x60, 0x01]]
        diff.newAccounts = [Address(high: 1, middle: 2, low: 3), Address(high: 4, middle: 5, low: 6)]
        let account = AccountID(5)
        diff.newSlots = [
            NewSlot(key: SlotKey(account: account, slot: 3)),
            NewSlot(
                key: SlotKey(account: account, slot: Keccak256.mappingSlot(key: 0xAA, base: 1)),
                preimage: .mapping(base: 1, key: 0xAA)),
            NewSlot(
                key: SlotKey(account: account, slot: Keccak256.nestedSlot(base: 2, outer: 0xAA, inner: 0xBB)),
                preimage: .nested(base: 2, outer: 0xAA, inner: 0xBB)),
        ]
        diff.destroyed = [AccountID(1), AccountID(3)]
        diff.accountChanges = [
            AccountChange(id: AccountID(1), old: AccountValue(balance: 9, nonce: 1), new: .absent),
            AccountChange(
                id: AccountID(5), old: .absent, new: AccountValue(balance: 0, nonce: 1, code: CodeID(1))),
            AccountChange(
                id: AccountID(6), old: .absent,
                new: AccountValue(balance: U256(0, 0, 0, 1 << 63), nonce: 0)),
        ]
        diff.slotChanges = [
            SlotChange(id: SlotID(0), old: 5, new: 0), SlotChange(id: SlotID(2), old: 0, new: .max),
            SlotChange(id: SlotID(300), old: 0xFFFF, new: 0x1_0000),
        ]
        return diff
    }

    /// Every fact, every flag of an action, every form of origin.
    static func hints() -> StateDiff {
        var diff = full()
        let (token, other) = (FactID(0), FactID(1))
        diff.newFacts = [
            .token(contract: AccountID(5), base: 9, keyFirst: true),
            .token(contract: AccountID(6), base: 1, keyFirst: false), .allowances(token: token, base: 10),
            .supply(token: token, slot: 11), .spender(Address(high: 7, middle: 8, low: 9)),
            .pool(contract: AccountID(2), token0: token, token1: other, kept: 9_970),
        ]
        var section = Section()
        (section.newCodes, section.newAccounts, section.newSlots, section.newFacts) = (1, 2, 3, 6)
        (section.transactions, section.actions, section.literals) = (2, 4, 1)
        (section.timestamp, section.coinbase, section.baseFee) = (1_700_000_000, AccountID(0), 7)
        diff.operations.sections = [section]
        diff.operations.transactions = [
            Transaction(sender: AccountID(3), gas: 21_000, price: 2_000_000, actionCount: 1),
            Transaction(sender: AccountID(1), gas: 90_000, price: 2_000_000, actionCount: 3),
        ]
        let (payer, literal) = (Party(AccountID(1)), Party(literal: 0))
        var swap = Action(
            .swap, fact: FactID(5), payer: payer, payee: Party(AccountID(2)), amount: 1_000,
            spender: FactID(4))
        (swap.zeroForOne, swap.isByFormula) = (true, true)
        var second = Action(.swap, fact: FactID(5), payer: payer, payee: payer, amount: .zero)
        (second.isChained, second.amountOut, second.turn) = (true, 990, 1)
        diff.operations.actions = [
            Action(.ether, payer: Party(AccountID(3)), payee: literal, amount: 1), swap, second,
            Action(.mint, fact: token, payer: payer, payee: literal, amount: .max),
        ]
        diff.operations.literals = [Address(high: 1, middle: 1, low: 1)]
        diff.operations.origins = [
            SlotOrigin(id: SlotID(0), preimage: .mapping(base: 9, key: 0xAA)),
            SlotOrigin(id: SlotID(300), preimage: .nested(base: 10, outer: 0xAA, inner: 0xBB)),
        ]
        return diff
    }

    /// `hints` with other sections, as a faulty writer might leave them.
    static func hintBytes(_ change: (inout [UInt8]) -> Void) -> [UInt8] {
        var bytes = [head[0] | 0x80] + head.dropFirst() + [0, 0, 0, 0, 0, 0]
        change(&bytes)
        return bytes
    }

    static func diffs() -> [VectorFile] {
        var empty = StateDiff()
        (empty.firstHeight, empty.lastHeight, empty.sealedAtMicroseconds) = (7, 7, 70_000)
        (empty.transactions, empty.rawBytes) = (2, 200)
        let all = bytes(full())
        return [
            vector("diff-empty", "ok", "no list has anything in it", "diff", bytes(empty)),
            vector("diff-full", "ok", "every list, every form of slot and every flag", "diff", all),
            vector(
                "diff-truncated", "truncated", "diff-full without its last byte", "diff",
                Array(all.dropLast())),
            vector(
                "diff-kind", "unknownTag", "kind 3 is not one", "diff",
                [3] + head.dropFirst() + [0, 0, 0, 0, 0, 0]),
            vector(
                "diff-genesis-height", "heights", "genesis at height 7", "diff",
                [2] + head.dropFirst() + [0, 0, 0, 0, 0, 0]),
            vector(
                "diff-height-overflow", "heights", "the last height is 2^64 + 6", "diff",
                [0, 7] + [UInt8](repeating: 0xFF, count: 9) + [1, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
            vector(
                "diff-varint", "malformed", "transactions as 82 00, one byte too long", "diff",
                Array(head[..<6]) + [0x82, 0, 0, 0, 0, 0, 0, 0, 0]),
            vector("diff-code-empty", "nothing", "a code of no bytes", "diff", head + [1, 0, 0, 0, 0, 0, 0]),
            vector(
                "diff-count", "tooMany", "2^40 new accounts", "diff",
                head + [0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x20, 0, 0, 0, 0]),
            vector(
                "diff-slot-form", "unknownTag", "a new slot of form 3", "diff",
                head + [0, 0, 1, 0, 3, 0, 0, 0, 0]),
            vector(
                "diff-word-long", "malformed", "a slot of 33 bytes", "diff",
                head + [0, 0, 1, 0, 0, 33] + [UInt8](repeating: 1, count: 33) + [0, 0, 0]),
            vector(
                "diff-word-zero", "malformed", "a slot whose first byte is zero", "diff",
                head + [0, 0, 1, 0, 0, 2, 0, 1, 0, 0, 0]),
            vector(
                "diff-id", "idTooLarge", "account 2^32", "diff",
                head + [0, 0, 0, 1, 0x80, 0x80, 0x80, 0x80, 0x10, 0, 0]),
            vector(
                "diff-id-second", "idTooLarge", "account 2^32 - 1 and the next one", "diff",
                head + [0, 0, 0, 2, 0xFF, 0xFF, 0xFF, 0xFF, 0x0F, 0, 0, 0]),
            vector(
                "diff-flags-none", "nothing", "an account change with no flag", "diff",
                head + [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
            vector(
                "diff-flags-unknown", "unknownTag", "an account change with flag 3", "diff",
                head + [0, 0, 0, 0, 1, 0, 8, 0, 0, 0, 0]),
            vector(
                "diff-flags-lie", "nothing", "the nonce changes from 1 to 1", "diff",
                head + [0, 0, 0, 0, 1, 0, 2, 0, 1, 1, 0, 0]),
            vector(
                "diff-slot-same", "nothing", "a slot changes from 1 to 1", "diff",
                head + [0, 0, 0, 0, 0, 1, 0, 1, 1, 1, 1]),
            vector("hints-full", "ok", "every fact, action flag and form of origin", "diff", bytes(hints())),
            vector(
                "hints-truncated", "truncated", "hints-full without its last byte", "diff",
                Array(bytes(hints()).dropLast())),
            vector(
                "hints-none", "nothing", "the flag is set and no hint follows", "diff",
                hintBytes { $0 += [0, 0, 0] }),
            vector(
                "hints-fact-tag", "unknownTag", "a fact of tag 6", "diff",
                hintBytes { $0 += [1, 6, 0, 0, 0, 0] }),
            vector(
                "hints-fact-count", "tooMany", "2^20 facts in a few bytes", "diff",
                hintBytes { $0 += [0x80, 0x80, 0x40, 0, 0] }),
            vector(
                "hints-operations-tag", "unknownTag", "2 where 0 or 1 says whether operations follow", "diff",
                hintBytes { $0 += [0, 2, 0] }),
            vector(
                "hints-sections", "sections", "a section that counts a new slot where the diff has none",
                "diff", hintBytes { $0 += [0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0] }),
            vector(
                "hints-transactions", "tooMany", "2^20 transactions in a few bytes", "diff",
                hintBytes { $0 += [0, 1, 0, 0, 0, 0, 0x80, 0x80, 0x40, 0, 0, 0, 0, 0] }),
            vector(
                "hints-sender", "idTooLarge", "the first sender is -1", "diff",
                hintBytes { $0 += [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0] }),
            vector(
                "hints-action-kind", "unknownTag", "an action of kind 5", "diff",
                hintBytes { $0 += [0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0] }),
            vector(
                "hints-origin-form", "unknownTag", "an origin of form 0", "diff",
                hintBytes { $0 += [0, 0, 1, 0, 0, 0, 0] }),
        ]
    }

    // MARK: Files

    /// Frames by hand, so that everything around the fault is right.
    struct Builder {
        var bytes = RecordingFrame.magic
        var chain = RecordingFrame.firstChain
        var lastOffset = 0

        mutating func add(_ kind: FrameKind, _ body: [UInt8]) {
            lastOffset = bytes.count
            chain = RecordingFrame.append(kind, body: body, chain: chain, to: &bytes)
        }

        static let header = RecordingHeader(chainID: 1, description: "vector").body
    }

    static func block(_ diffs: [StateDiff], _ change: (inout DiffBlockHead) -> Void = { _ in }) -> [UInt8] {
        var raw: [UInt8] = []
        for diff in diffs { DiffSerialisation.append(diff, to: &raw) }
        var head = DiffBlockHead()
        head.count = diffs.count
        (head.firstHeight, head.lastHeight) = (diffs.first?.firstHeight ?? 0, diffs.last?.lastHeight ?? 0)
        head.rawByteCount = raw.count
        change(&head)
        var body: [UInt8] = []
        head.append(to: &body)
        ZstdCompressor().append(raw, to: &body)
        return body
    }

    static func diff(_ height: UInt64) -> StateDiff {
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (height, height)
        (diff.sealedAtMicroseconds, diff.transactions) = (height * 10_000, 1)
        diff.rawBytes = 52
        let id = AccountID(UInt32(height - 1))
        diff.newAccounts = [Address(high: height, middle: 0, low: 0)]
        diff.accountChanges = [AccountChange(id: id, old: .absent, new: AccountValue(balance: U256(height)))]
        return diff
    }

    static func files() throws -> [VectorFile] {
        let state = State(seed: Seed(1))
        try state.apply(diff(1))
        let commitment = StateCommitment(of: state).commitmentNow()
        let writer = try RecordingWriter(header: RecordingHeader(chainID: 1, description: "vector"))
        try writer.write(diff(1))
        try writer.write(commitment: commitment, height: 1)
        let good = try writer.finishedBytes()
        let firstEnd = 8 + 44 + Builder.header.count

        func file(_ build: (inout Builder) -> Void) -> [UInt8] {
            var builder = Builder()
            build(&builder)
            return builder.bytes
        }
        func flipped(_ at: Int) -> [UInt8] {
            var bytes = good
            bytes[at] ^= 1
            return bytes
        }
        func withHeader(_ at: Int, _ value: UInt8) -> [UInt8] {
            file {
                var body = Builder.header
                body[at] = value
                $0.add(.header, body)
            }
        }
        let header = Builder.header
        var index = RecordingIndex()
        index.totals.miniBlocks = 1
        let wrongIndex = index.body
        return [
            vector(
                "file-small", "ok", "one mini-block, one commitment", "file", good,
                [("commitment", commitment.hex)]),
            vector("file-magic", "notARecording", "the first byte is another", "file", flipped(0)),
            vector("file-version", "notARecording", "version 2", "file", withHeader(0, 2)),
            vector("file-kind", "notARecording", "kind 7", "file", withHeader(2, 7)),
            vector("file-reserved", "corrupt", "the reserved byte is 1", "file", withHeader(3, 1)),
            vector(
                "file-head-check", "corrupt", "a flipped bit in frame 2's length", "file", flipped(firstEnd)),
            vector("file-crc", "corrupt", "a flipped bit in frame 2's body", "file", flipped(firstEnd + 12)),
            vector(
                "file-chain", "corrupt", "a flipped bit in frame 1's chain value", "file",
                flipped(firstEnd - 1)),
            vector(
                "file-torn-head", "torn", "ends inside frame 2's head", "file", Array(good[..<(firstEnd + 5)])
            ),
            vector(
                "file-torn-body", "torn", "ends inside frame 2's body", "file",
                Array(good[..<(firstEnd + 20)])),
            vector("file-torn-end", "torn", "ends without index and end", "file", Array(good[..<firstEnd])),
            vector(
                "file-type", "corrupt", "a frame of type 9", "file",
                {
                    var builder = Builder()
                    builder.add(.header, header)
                    return builder.bytes + unknownFrame(builder.chain)
                }()),
            vector(
                "file-header-twice", "corrupt", "two headers", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.header, header)
                }),
            vector(
                "file-frame-dropped", "corrupt", "frame 2 is missing", "file",
                {
                    var builder = Builder()
                    builder.add(.header, header)
                    let before = builder.bytes
                    builder.add(.diffs, block([diff(1)]))
                    let end = builder.bytes.count
                    builder.add(.diffs, block([diff(2)]))
                    return before + builder.bytes[end...]
                }()),
            vector(
                "file-height-gap", "corrupt", "height 3 after height 1", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1)]))
                    $0.add(.diffs, block([diff(3)]))
                }),
            vector(
                "file-genesis-late", "corrupt", "genesis after a mini-block", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1)]))
                    $0.add(.genesis, [1, 0, 0, 1, 0])
                }),
            vector(
                "file-block-size", "corrupt", "a block of one byte more than its zstd frame has", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1)]) { $0.rawByteCount += 1 })
                }),
            vector(
                "file-block-bomb", "corrupt", "a block that claims 2^40 bytes", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1)]) { $0.rawByteCount = 1 << 40 })
                }),
            vector(
                "file-block-count", "corrupt", "a block that claims one diff too few", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1), diff(2)]) { $0.count = 1 })
                }),
            vector(
                "file-commitment-height", "corrupt", "a commitment for height 2 after height 1", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.diffs, block([diff(1)]))
                    $0.add(.commitment, RecordedCommitment(height: 2, commitment: .zero).body)
                }),
            vector(
                "file-index", "corrupt", "an index that counts a mini-block that is not there", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.index, wrongIndex)
                }),
            vector(
                "file-end", "corrupt", "an end frame that points elsewhere", "file",
                file {
                    $0.add(.header, header)
                    $0.add(.index, RecordingIndex().body)
                    var body: [UInt8] = []
                    body.appendLittleEndian(UInt64($0.lastOffset + 1))
                    $0.add(.end, body + RecordingFrame.endMagic)
                }),
        ]
    }

    /// A whole, well-formed frame of a type that does not exist.
    static func unknownFrame(_ chain: Hash32) -> [UInt8] {
        var bytes: [UInt8] = [0, 0, 0, 0, 9]
        let check = bytes.withUnsafeBytes { CRC32C.checksum($0) }
        for shift in [0, 8, 16] as [UInt32] { bytes.append(UInt8(truncatingIfNeeded: check >> shift)) }
        bytes.appendLittleEndian(UInt32(0))
        return bytes + Blake2b.hash((chain.bytes + bytes).span.bytes).bytes
    }
}

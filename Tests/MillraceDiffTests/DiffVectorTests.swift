/// The vectors of chapter 20: lists of writes with the ids and the commitment they lead to, and inclusion proofs.

import MillraceBase
import MillraceCrypto
import MillraceTestSupport
import Testing

@testable import MillraceDiff

/// The list of writes in a `diff` vector (Spec 20.11).
enum WriteList {
    enum Write {
        case endOfMiniBlock
        case balance(Address, U256)
        case nonce(Address, UInt64)
        case code(Address, [UInt8])
        case slot(Address, U256, U256)
        case destroy(Address)
    }

    static func encode(_ writes: [Write]) -> [UInt8] {
        var bytes: [UInt8] = []
        for write in writes {
            switch write {
            case .endOfMiniBlock:
                bytes.append(0)
            case .balance(let address, let balance):
                bytes.append(1)
                bytes.append(address)
                bytes.append(balance)
            case .nonce(let address, let nonce):
                bytes.append(2)
                bytes.append(address)
                bytes.appendLittleEndian(nonce)
            case .code(let address, let code):
                bytes.append(3)
                bytes.append(address)
                bytes.appendVarint(UInt64(code.count))
                bytes.append(contentsOf: code)
            case .slot(let address, let slot, let value):
                bytes.append(4)
                bytes.append(address)
                bytes.append(slot)
                bytes.append(value)
            case .destroy(let address):
                bytes.append(5)
                bytes.append(address)
            }
        }
        return bytes
    }

    /// Applies the list to an empty state; answers it and the diffs.
    static func run(_ bytes: [UInt8]) throws -> (State, [StateDiff]) {
        let state = State(seed: Seed(1))
        let builder = DiffBuilder(state: state)
        var diffs: [StateDiff] = []
        var reader = ByteReader(bytes.span.bytes)
        while !reader.isAtEnd {
            let operation = try reader.u8()
            if operation == 0 {
                var diff = StateDiff()
                let height = UInt64(diffs.count + 1)
                builder.seal(
                    kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 0,
                    into: &diff)
                try state.apply(diff)
                diffs.append(diff)
                continue
            }
            let address = try reader.address()
            switch operation {
            case 1: builder.setBalance(address, to: try reader.word())
            case 2: builder.setNonce(address, to: try reader.u64())
            case 3:
                let count = try reader.varint(atMost: StateLimits.codeBytesMax)
                builder.setCode(address, to: try reader.array(count))
            case 4:
                let slot = try reader.word()
                builder.setSlot(address, slot, to: try reader.word())
            case 5: builder.destroy(address)
            default: throw ByteError.malformed
            }
        }
        return (state, diffs)
    }
}

@Suite struct DiffVectorTests {
    static func address(_ n: UInt64) -> Address { Address(high: n << 56, middle: 0, low: UInt32(n)) }

    static let cases: [(name: String, why: String, writes: [WriteList.Write])] = {
        let (a, b, c) = (address(1), address(2), address(3))
        return [
            ("empty", "no cell at all: both roots are zero", []),
            (
                "one-account", "a tree of one leaf has that leaf as its root",
                [.balance(a, 1), .endOfMiniBlock]
            ),
            (
                "ids-by-address-not-by-order-of-writes",
                "ids within a mini-block go by address, then by account and slot",
                [
                    .slot(c, 9, 1), .slot(c, 2, 1), .balance(b, 5), .slot(a, U256(0, 0, 0, 1), 7),
                    .slot(a, 3, 7),
                    .endOfMiniBlock, .balance(address(0), 1), .slot(b, 1, 1), .endOfMiniBlock,
                ]
            ),
            (
                "comes-and-goes", "what nets to nothing within a mini-block gets no id",
                [
                    .balance(a, 1), .balance(a, 0), .slot(b, 1, 1), .slot(b, 1, 0), .code(c, [1]),
                    .code(c, []),
                    .balance(c, 1), .endOfMiniBlock,
                ]
            ),
            (
                "ids-outlive-values", "a cell that is emptied keeps its id and a leaf",
                [
                    .slot(a, 1, 1), .balance(a, 1), .endOfMiniBlock, .slot(a, 1, 0), .balance(a, 0),
                    .endOfMiniBlock,
                ]
            ),
            (
                "destroy-and-recreate", "destroying clears all slots; what is written after it stays",
                [
                    .slot(a, 1, 1), .slot(a, 2, 2), .slot(a, 3, 3), .nonce(a, 1), .code(a, [0x60, 0]),
                    .endOfMiniBlock,
                    .slot(a, 1, 9), .destroy(a), .slot(a, 2, 2), .balance(a, 7), .endOfMiniBlock,
                ]
            ),
            (
                "codes-by-hash", "codes get ids by hash within a mini-block, equal codes one id",
                [
                    .code(a, [1]), .code(b, [2]), .code(c, [1]), .endOfMiniBlock, .code(a, [3]),
                    .code(b, [1]),
                    .endOfMiniBlock,
                ]
            ),
            (
                "five-levels", "300 slots over 7 accounts, then every tenth changed",
                (0..<300).map { .slot(address($0 % 7), U256($0), U256($0 + 1)) } + [.endOfMiniBlock]
                    + stride(from: 0, to: 300, by: 10).map { .slot(address($0 % 7), U256($0), U256.max) }
                    + [.endOfMiniBlock]
            ),
        ]
    }()

    /// What a second implementation has to arrive at.
    static func fields(_ bytes: [UInt8]) throws -> [(name: String, value: String)] {
        let (state, diffs) = try WriteList.run(bytes)
        let commitment = StateCommitment(of: state).commitmentNow()
        var (accounts, slots, codes): ([UInt8], [UInt8], [UInt8]) = ([], [], [])
        for diff in diffs {
            for address in diff.newAccounts { accounts.append(address) }
            for slot in diff.newSlots {
                slots.appendLittleEndian(slot.key.account.index)
                slots.append(slot.key.slot)
            }
            for code in diff.newCodes { codes.append(Keccak256.hash(code)) }
        }
        return [
            ("miniBlocks", "\(diffs.count)"),
            ("accountChanges", diffs.map { "\($0.accountChanges.count)" }.joined(separator: " ")),
            ("slotChanges", diffs.map { "\($0.slotChanges.count)" }.joined(separator: " ")),
            ("accounts", Hex.encode(accounts)), ("slots", Hex.encode(slots)),
            ("codeHashes", Hex.encode(codes)),
            ("commitment", Hex.encode(commitment.bytes)),
        ]
    }

    @Test func `write lists lead to the ids and commitments in the vectors`() throws {
        if VectorFile.isWriting {
            for (name, why, writes) in DiffVectorTests.cases {
                let bytes = WriteList.encode(writes)
                try VectorFile(
                    name: name, fields: [("expect", "ok"), ("why", why)] + DiffVectorTests.fields(bytes),
                    bytes: bytes
                ).write(area: "diff")
            }
        }
        for vector in try VectorFile.all("diff") {
            for (name, value) in try DiffVectorTests.fields(vector.bytes) {
                #expect(vector[name] == value, "\(vector.name): \(name)")
            }
            let (state, _) = try WriteList.run(vector.bytes)
            #expect(
                Hex.encode(NaiveCommitment.commitment(state).bytes) == vector["commitment"], "\(vector.name)")
        }
    }

    @Test func `proofs in the vectors hold, or fail as they say`() throws {
        if VectorFile.isWriting {
            let (name, _, writes) = try #require(DiffVectorTests.cases.last)
            let (state, _) = try WriteList.run(WriteList.encode(writes))
            let commitment = StateCommitment(of: state)
            let hash = Hex.encode(commitment.commitmentNow().bytes)
            let slot = try #require(commitment.proof(of: SlotID(137)))
            let last = try #require(commitment.proof(of: SlotID(299)))
            let account = try #require(commitment.proof(of: AccountID(5)))
            func write(_ file: String, _ expect: String, _ why: String, _ bytes: [UInt8]) throws {
                try VectorFile(
                    name: file,
                    fields: [
                        ("expect", expect), ("why", why), ("state", "diff/\(name)"), ("commitment", hash),
                    ],
                    bytes: bytes
                ).write(area: "commitment")
            }
            try write(
                "slot", "ok", "a slot in the middle: three siblings on every level but the top", slot.bytes)
            try write("last-slot", "ok", "the right edge: missing children count as zero bytes", last.bytes)
            try write("account", "ok", "an account", account.bytes)
            var changed = slot
            guard case .slot(let address, let number, let value) = slot.cell else { return }
            changed.cell = .slot(address: address, slot: number, value: value &+ 1)
            try write("wrong-value", "mismatch", "another value does not lead to the root", changed.bytes)
            changed = slot
            changed.id = 138
            try write("wrong-id", "mismatch", "the id decides the path and is in the leaf", changed.bytes)
            changed = slot
            changed.siblings.swapAt(0, 1)
            try write("siblings-swapped", "mismatch", "siblings have an order", changed.bytes)
            changed = slot
            changed.parts.codeCount += 1
            try write("wrong-count", "mismatch", "counts are in the commitment", changed.bytes)
            try write("cut", "truncated", "one byte short", Array(slot.bytes.dropLast()))
            try write("trailing", "malformed", "one byte too many", slot.bytes + [0])
            changed = slot
            changed.id = 300
            try write("id-beyond-count", "malformed", "an id the state has not given out", changed.bytes)
            try write("unknown-kind", "malformed", "kinds are 1 and 2", [3] + Array(slot.bytes.dropFirst()))
        }
        for vector in try VectorFile.all("commitment") {
            let commitment = try #require(Hash32(hex: vector["commitment"] ?? ""))
            let outcome: String
            do throws(ByteError) {
                let proof = try StateCommitmentTests.decode(vector.bytes)
                outcome = proof.verifies(against: commitment) ? "ok" : "mismatch"
            } catch {
                outcome = error == .truncated ? "truncated" : "malformed"
            }
            #expect(outcome == vector.expect, "\(vector.name)")
        }
    }
}

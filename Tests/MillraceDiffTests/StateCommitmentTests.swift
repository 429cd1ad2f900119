import MillraceBase
import MillraceCrypto
import Testing

@testable import MillraceDiff

@Suite struct StateCommitmentTests {
    @Test(arguments: UInt64(1)...16)
    func
        `commitments made in small steps equal those from scratch, whatever is applied or taken back meanwhile`(
            seed: UInt64
        ) throws
    {
        let state = State(seed: Seed(seed))
        let builder = DiffBuilder(state: state)
        var writes = RandomWrites(seed: seed)
        // Half of the runs start with a state that is there already.
        if seed % 2 == 0 { try state.apply(writes.miniBlock(builder, height: 1)) }
        let commitment = StateCommitment(of: state)
        var expected: StateCheckpoint?
        var history: [StateDiff] = []
        for height in UInt64(2)...80 {
            if expected == nil, writes.generator.below(4) == 0 {
                expected = StateCheckpoint(
                    height: state.height, commitment: NaiveCommitment.commitment(state))
                commitment.freeze()
            }
            let diff = writes.miniBlock(builder, height: height)
            try state.apply(diff)
            history.append(diff)
            if writes.generator.below(8) == 0 {
                // The model forgets what is taken back.
                for diff in history.suffix(Int(writes.generator.below(4))).reversed() {
                    try state.revert(diff)
                    history.removeLast()
                }
                writes.naive = state.naive
            }
            if commitment.advance(leaves: Int(writes.generator.below(9))), let due = expected {
                #expect(commitment.latest == due, "seed \(seed), height \(height)")
                expected = nil
            }
        }
        let now = NaiveCommitment.commitment(state)
        #expect(commitment.commitmentNow() == now, "seed \(seed)")
    }

    static func decode(_ bytes: some Sequence<UInt8>) throws(ByteError) -> InclusionProof {
        let bytes = Array(bytes)
        return try InclusionProof(decoding: bytes.span.bytes)
    }

    @Test func `a large state commits in steps, and the stated pace is enough`() throws {
        let state = State(seed: Seed(5))
        let builder = DiffBuilder(state: state)
        var diff = StateDiff()
        for i in UInt64(0)..<5_000 {
            builder.setSlot(Address(high: i % 700, middle: 0, low: 0), U256(i), to: 1)
        }
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
        let commitment = StateCommitment(of: state)
        for round in UInt64(1)...3 {
            commitment.freeze()
            let expected = NaiveCommitment.commitment(state)
            let pace = commitment.leavesPerStep(steps: 10)
            var steps = 0
            while !commitment.advance(leaves: pace) {
                steps += 1
                // Changes in the meantime belong to the next commitment.
                builder.setSlot(
                    Address(high: 7, middle: 0, low: 0), U256(7 + 700 * (UInt64(steps) % 5)),
                    to: U256(round + 1))
                builder.seal(
                    kind: .transactions, firstHeight: 1, lastHeight: 1, sealedAtMicroseconds: 0, into: &diff)
                try state.apply(diff)
            }
            #expect(steps < 10)
            #expect(commitment.latest?.commitment == expected)
            #expect(commitment.dirtyCount <= 5)
        }
    }

    @Test(arguments: [1, 2, 3, 4, 5, 15, 16, 17, 64, 65, 300])
    func `every cell of states of many sizes has a proof, and no part of it can be changed`(count: Int) throws
    {
        let state = State(seed: Seed(1))
        let builder = DiffBuilder(state: state)
        var diff = StateDiff()
        for i in 0..<UInt64(count) {
            builder.setSlot(Address(high: i / 3 + 1, middle: 0, low: 0), U256(i), to: U256(i + 1))
            builder.setAccount(Address(high: i / 3 + 1, middle: 0, low: 0), balance: U256(i), nonce: 1)
        }
        builder.setCode(Address(high: 1, middle: 0, low: 0), to: [1, 2, 3])
        builder.seal(kind: .transactions, firstHeight: 1, lastHeight: 1, sealedAtMicroseconds: 0, into: &diff)
        try state.apply(diff)
        let commitment = StateCommitment(of: state)
        #expect(commitment.proof(of: SlotID(0)) == nil)
        let hash = commitment.commitmentNow()
        var proofs: [InclusionProof] = []
        for i in 0..<state.accountCount {
            proofs.append(try #require(commitment.proof(of: AccountID(UInt32(i)))))
        }
        for i in 0..<state.slotCount { proofs.append(try #require(commitment.proof(of: SlotID(UInt32(i))))) }
        for proof in proofs {
            #expect(proof.verifies(against: hash))
            #expect(!proof.verifies(against: .zero))
            #expect(try StateCommitmentTests.decode(proof.bytes) == proof)
        }
        for proof in [proofs[0], proofs[proofs.count / 2], proofs[proofs.count - 1]] {
            let bytes = proof.bytes
            for cut in bytes.indices {
                #expect(throws: ByteError.truncated) { try StateCommitmentTests.decode(bytes[..<cut]) }
            }
            #expect(throws: ByteError.malformed) { try StateCommitmentTests.decode(bytes + [0]) }
            for i in bytes.indices {
                var changed = bytes
                changed[i] ^= 1 << UInt8(i & 7)
                let holds = (try? StateCommitmentTests.decode(changed))?.verifies(against: hash) ?? false
                #expect(!holds, "byte \(i)")
            }
        }
    }

    @Test func `a changed cell has no proof until the next commitment`() throws {
        let state = State(seed: Seed(1))
        let builder = DiffBuilder(state: state)
        var diff = StateDiff()
        func write(_ value: U256, height: UInt64) throws {
            builder.setSlot(.zero, 1, to: value)
            builder.seal(
                kind: .transactions, firstHeight: height, lastHeight: height, sealedAtMicroseconds: 0,
                into: &diff)
            try state.apply(diff)
        }
        try write(1, height: 1)
        let commitment = StateCommitment(of: state)
        _ = commitment.commitmentNow()
        #expect(commitment.proof(of: SlotID(0)) != nil)
        try write(2, height: 2)
        #expect(commitment.proof(of: SlotID(0)) == nil)
        commitment.freeze()
        #expect(commitment.proof(of: SlotID(0)) == nil)
        commitment.finish()
        #expect(commitment.proof(of: SlotID(0)) != nil)
        #expect(commitment.latest?.height == 2)
    }
}

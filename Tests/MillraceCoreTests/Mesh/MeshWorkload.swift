/// Transfers between a few hundred accounts, and slot writes of a few contracts: enough for payloads of several shreds.

import MillraceBase
import MillraceDiff

final class MeshWorkload {
    let state: State
    private let builder: DiffBuilder
    private var generator: SeededGenerator
    private var diff = StateDiff()
    static let accounts: UInt64 = 2_000
    static let contracts: UInt64 = 16
    /// Few keys, written again and again: windows are then much smaller than their mini-blocks.
    var isHot = false

    init(seed: UInt64) {
        state = State(seed: Seed(1))
        builder = DiffBuilder(state: state)
        generator = Seed(seed).generator("workload")
        for i in 0..<MeshWorkload.accounts {
            builder.setAccount(MeshWorkload.address(i), balance: U256(1_000_000_000 + seed), nonce: 1)
        }
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        do {
            try state.apply(diff)
        } catch {
            preconditionFailure("the genesis diff does not apply: \(error)")
        }
    }

    static func address(_ i: UInt64) -> Address { Address(truncating: U256(0x1000_0000 &+ i &* 7)) }

    /// The diff of the next mini-block against `state`, which the sequencer applies.
    func next(height: UInt64, transactions: Int, sealedAtMicroseconds: UInt64) -> StateDiff {
        for _ in 0..<transactions {
            builder.beginTransaction()
            let from = MeshWorkload.address(generator.below(isHot ? 40 : MeshWorkload.accounts))
            let to = MeshWorkload.address(generator.below(isHot ? 40 : MeshWorkload.accounts * 2))
            let amount = U256(generator.below(1_000))
            builder.setBalance(from, to: builder.balance(of: from) &- amount)
            builder.setNonce(from, to: builder.nonce(of: from) &+ 1)
            builder.setBalance(to, to: builder.balance(of: to) &+ amount)
            let contract = MeshWorkload.address(generator.below(MeshWorkload.contracts))
            builder.setSlot(
                contract, U256(generator.below(isHot ? 8 : 1 << 16)),
                to: U256(generator.next(), generator.next(), generator.next(), generator.next()))
            builder.endTransaction()
        }
        builder.seal(
            kind: .transactions, firstHeight: height, lastHeight: height,
            sealedAtMicroseconds: sealedAtMicroseconds,
            into: &diff)
        return diff
    }
}

/// Spec 20.9 written down the plain way: every leaf and node from scratch, recursion instead of levels kept.

import MillraceBase
import MillraceCrypto
@testable import MillraceDiff

enum NaiveCommitment {
    static func root(_ leaves: [Hash32]) -> Hash32 {
        if leaves.isEmpty { return .zero }
        var level = leaves
        while level.count > 1 {
            level = stride(from: 0, to: level.count, by: 4).map { start in
                var message: [UInt8] = []
                for i in start..<(start + 4) { message.append(i < level.count ? level[i] : .zero) }
                return Blake2b.hash(message)
            }
        }
        return level[0]
    }

    static func accountLeaf(_ state: State, _ id: AccountID) -> Hash32 {
        let value = state.value(of: id)
        var message: [UInt8] = [1]
        message.appendLittleEndian(id.index)
        message.append(state.address(of: id))
        message.appendLittleEndian(value.nonce)
        message.append(value.balance)
        message.append(state.codeHash(value.code))
        return Blake2b.hash(message)
    }

    static func slotLeaf(_ state: State, _ id: SlotID) -> Hash32 {
        let key = state.key(of: id)
        var message: [UInt8] = [2]
        message.appendLittleEndian(id.index)
        message.append(state.address(of: key.account))
        message.append(key.slot)
        message.append(state.value(of: id))
        return Blake2b.hash(message)
    }

    static func commitment(_ state: State) -> Hash32 {
        var codes = Hash32.zero
        for i in 0..<state.codeCount {
            var message: [UInt8] = [3]
            message.append(codes)
            message.append(state.codeHash(CodeID(UInt32(i + 1))))
            codes = Blake2b.hash(message)
        }
        var message = Array("millrace.state.1".utf8)
        for count in [state.accountCount, state.slotCount, state.codeCount] {
            message.appendLittleEndian(UInt32(count))
        }
        message.append(root((0..<state.accountCount).map { accountLeaf(state, AccountID(UInt32($0))) }))
        message.append(root((0..<state.slotCount).map { slotLeaf(state, SlotID(UInt32($0))) }))
        message.append(codes)
        return Blake2b.hash(message)
    }
}

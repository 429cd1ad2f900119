import MillraceBase
import MillraceCrypto
import MillraceDiff

/// Well-formed diffs drawn from a seed. They fit no state; serialisation does not ask for that.
enum SomeDiffs {
    static func word(_ g: inout SeededGenerator) -> U256 {
        U256(g.next(), g.next(), g.next(), g.next()) >> Int(g.below(257))
    }

    static func slot(_ g: inout SeededGenerator) -> NewSlot {
        let account = AccountID(UInt32(g.below(1_000)))
        switch g.below(3) {
        case 0:
            return NewSlot(key: SlotKey(account: account, slot: word(&g)))
        case 1:
            let (base, key) = (U256(g.below(20)), word(&g))
            return NewSlot(
                key: SlotKey(account: account, slot: Keccak256.mappingSlot(key: key, base: base)),
                preimage: .mapping(base: base, key: key))
        default:
            let (base, outer, inner) = (U256(g.below(20)), word(&g), word(&g))
            return NewSlot(
                key: SlotKey(
                    account: account, slot: Keccak256.nestedSlot(base: base, outer: outer, inner: inner)),
                preimage: .nested(base: base, outer: outer, inner: inner))
        }
    }

    static func diff(_ g: inout SeededGenerator, height: UInt64, kind: DiffKind = .transactions) -> StateDiff
    {
        var diff = StateDiff()
        diff.kind = kind
        (diff.firstHeight, diff.lastHeight) = (height, height)
        diff.sealedAtMicroseconds = kind == .genesis ? 0 : height * 10_000 + g.below(50)
        diff.transactions = kind == .transactions ? g.below(2_000) : 0
        diff.rawBytes = kind == .transactions ? g.below(1 << 20) : 0
        for _ in 0..<g.below(3) {
            diff.newCodes.append((0...g.below(100)).map { _ in UInt8(truncatingIfNeeded: g.next()) })
        }
        for _ in 0..<g.below(5) { diff.newAccounts.append(Address(truncating: word(&g))) }
        for _ in 0..<g.below(6) { diff.newSlots.append(slot(&g)) }
        var id: UInt64 = 0
        if kind != .genesis {
            for _ in 0..<g.below(3) {
                id += g.below(1 << 12)
                diff.destroyed.append(AccountID(UInt32(id)))
                id += 1
            }
        }
        id = 0
        for _ in 0..<g.below(10) {
            id += g.below(1 << 20)
            let old = AccountValue(
                balance: word(&g), nonce: g.next() >> g.below(64), code: CodeID(UInt32(g.below(9))))
            var new = old
            let which = 1 + g.below(7)
            if which & 1 != 0 { new.balance = new.balance &+ U256(1 + g.below(1_000)) }
            if which & 2 != 0 { new.nonce = new.nonce &+ 1 }
            if which & 4 != 0 { new.code.index += 1 }
            diff.accountChanges.append(AccountChange(id: AccountID(UInt32(id)), old: old, new: new))
            id += 1
        }
        id = 0
        for _ in 0..<g.below(20) {
            id += g.below(1 << 20)
            let old = word(&g)
            diff.slotChanges.append(
                SlotChange(id: SlotID(UInt32(id)), old: old, new: old &+ U256(1 + g.next() >> 1)))
            id += 1
        }
        return diff
    }
}

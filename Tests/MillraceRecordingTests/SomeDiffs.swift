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

    static func fact(_ g: inout SeededGenerator) -> ContractFact {
        let account = AccountID(UInt32(g.below(1_000)))
        let token = FactID(UInt32(g.below(50)))
        switch g.below(5) {
        case 0: return .token(contract: account, base: word(&g), keyFirst: g.below(2) == 0)
        case 1: return .allowances(token: token, base: word(&g))
        case 2: return .supply(token: token, slot: word(&g))
        case 3: return .spender(Address(truncating: word(&g)))
        default:
            return .pool(
                contract: account, token0: token, token1: FactID(UInt32(g.below(50))),
                kept: UInt16(truncatingIfNeeded: g.next()))
        }
    }

    static func party(_ g: inout SeededGenerator) -> Party {
        g.below(3) == 0
            ? Party(literal: Int(g.below(1 << 31))) : Party(AccountID(UInt32(g.below(1 << 31))))
    }

    static func action(_ g: inout SeededGenerator) -> Action {
        let kind = Action.Kind.allCases[Int(g.below(5))]
        let fact = g.below(3) == 0 ? .none : FactID(UInt32(truncatingIfNeeded: g.below(1 << 20)))
        let spender = g.below(2) == 0 ? .none : FactID(UInt32(g.below(9)))
        var action = Action(
            kind, fact: fact, payer: party(&g), payee: party(&g), amount: word(&g), spender: spender)
        action.zeroForOne = g.below(2) == 0
        action.isChained = g.below(2) == 0
        action.isByFormula = g.below(2) == 0
        action.amountOut = g.below(2) == 0 ? .zero : word(&g)
        action.turn = UInt32(g.below(1 << 10))
        return action
    }

    /// Facts, operations and origins beside a diff; each height's section gets its share of what the diff counts.
    static func addHints(_ diff: inout StateDiff, _ g: inout SeededGenerator) {
        for _ in 0..<g.below(6) { diff.newFacts.append(fact(&g)) }
        let heights = diff.lastHeight - diff.firstHeight + 1
        var left = (
            diff.newCodes.count, diff.newAccounts.count, diff.newSlots.count, diff.newFacts.count
        )
        for height in 0..<heights {
            var section = Section()
            func share(_ left: inout Int) -> UInt32 {
                let count = height == heights - 1 ? left : Int(g.below(UInt64(left) + 1))
                left -= count
                return UInt32(count)
            }
            section.newCodes = share(&left.0)
            section.newAccounts = share(&left.1)
            section.newSlots = share(&left.2)
            section.newFacts = share(&left.3)
            section.timestamp = UInt32(truncatingIfNeeded: g.next())
            section.baseFee = g.next() >> g.below(64)
            if g.below(2) == 0 { section.coinbase = AccountID(UInt32(g.below(1 << 32))) }
            for _ in 0..<g.below(5) {
                let actions = (0..<g.below(4)).map { _ in action(&g) }
                diff.operations.transactions.append(
                    Transaction(
                        sender: AccountID(UInt32(g.below(1 << 32))), gas: g.next() >> g.below(64),
                        price: g.next() >> g.below(64), actionCount: UInt32(actions.count)))
                diff.operations.actions += actions
                section.actions += UInt32(actions.count)
                section.transactions += 1
            }
            for _ in 0..<g.below(3) {
                diff.operations.literals.append(Address(truncating: word(&g)))
                section.literals += 1
            }
            diff.operations.sections.append(section)
        }
        var id: UInt64 = 0
        for _ in 0..<g.below(5) {
            id += g.below(1 << 16)
            let preimage: SlotPreimage =
                g.below(2) == 0
                ? .mapping(base: word(&g), key: word(&g))
                : .nested(base: word(&g), outer: word(&g), inner: word(&g))
            diff.operations.origins.append(SlotOrigin(id: SlotID(UInt32(id)), preimage: preimage))
            id += 1
        }
    }
}

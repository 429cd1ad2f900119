/// What the transactions of a mini-block did, as far as it was understood: who paid whom how much of what. Spec 20.8.
///
/// Operations are hints beside a diff, as preimages are: the diff alone says what changed. An encoder predicts values from
/// them and sends what they get wrong, so that anything may stand here without harm. They are kept by recordings, carried
/// by payloads and concatenated when diffs are composed.
///
///     operations  ─ sections: one per height, in order; each counts its part of the arrays below
///                 ─ transactions: by sender within a section ─ each counts its actions
///                 ─ actions, literals

public import MillraceBase

/// One who pays or is paid: an account by id, or an address that has none.
public struct Party: Hashable, Sendable, BitwiseCopyable {
    /// An account id below 2^31; else 2^31 + an index into the section's part of `Operations.literals`.
    public var raw: UInt32
    @inlinable public init(raw: UInt32) { self.raw = raw }
    @inlinable public init(_ id: AccountID) { raw = id.index }
    @inlinable public init(literal index: Int) { raw = 0x8000_0000 | UInt32(truncatingIfNeeded: index) }

    @inlinable public var account: AccountID? { raw < 0x8000_0000 ? AccountID(raw) : nil }
    @inlinable public var literal: Int? { raw < 0x8000_0000 ? nil : Int(raw & 0x7FFF_FFFF) }
}

/// One transaction: the sender's nonce rises by one, `gas` × `price` leaves its balance, the actions follow.
public struct Transaction: Hashable, Sendable, BitwiseCopyable {
    /// Known before the section.
    public var sender: AccountID
    /// Gas used. Where only the fee is known, any two factors of it.
    public var gas: UInt64
    /// What the sender pays per gas, in wei.
    public var price: UInt64
    public var actionCount: UInt32

    public init(sender: AccountID, gas: UInt64, price: UInt64, actionCount: UInt32) {
        self.sender = sender
        self.gas = gas
        self.price = price
        self.actionCount = actionCount
    }
}

/// One step of a transaction.
public struct Action: Hashable, Sendable, BitwiseCopyable {
    public enum Kind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
        /// Balance from `payer` to `payee`.
        case ether = 0
        /// `fact` is the token; from `payer` to `payee`.
        case transfer = 1
        /// `fact` is the pool: `amount` of one token from `payer` to the pool, `amountOut` of the other from the pool to
        /// `payee`.
        case swap = 2
        /// `fact` is the token: `payee`'s amount and the supply rise.
        case mint = 3
        /// `fact` is the token: `payer`'s amount and the supply fall.
        case burn = 4
    }

    public var kind: Kind
    /// Token 0 is paid into the pool.
    public var zeroForOne = false
    /// A swap whose amount is the amount out of the swap before it in the transaction, paid straight into this pool.
    public var isChained = false
    /// A swap whose amount out follows from the reserves; else `amountOut` says.
    public var isByFormula = false
    public var fact: FactID
    /// The allowance of `payer` for this spender falls by `amount`; `.none`: none does.
    public var spender: FactID
    public var payer: Party
    public var payee: Party
    /// A chained swap's is zero here.
    public var amount: U256
    /// A swap's by formula is zero here.
    public var amountOut: U256
    /// The place of a swap among the section's swaps of its pool, from 0.
    public var turn: UInt32

    public init(
        _ kind: Kind, fact: FactID = .none, payer: Party, payee: Party, amount: U256, spender: FactID = .none
    ) {
        self.kind = kind
        self.fact = fact
        self.spender = spender
        self.payer = payer
        self.payee = payee
        self.amount = amount
        amountOut = .zero
        turn = 0
    }
}

/// What one height brought: how many of the diff's new keys, facts and operations are its own, in order.
public struct Section: Hashable, Sendable, BitwiseCopyable {
    public var newCodes: UInt32 = 0
    public var newAccounts: UInt32 = 0
    public var newSlots: UInt32 = 0
    public var newFacts: UInt32 = 0
    public var transactions: UInt32 = 0
    public var actions: UInt32 = 0
    public var literals: UInt32 = 0
    /// Block time in seconds, where a pool needs it; 0: not known.
    public var timestamp: UInt32 = 0
    /// Who gets gas × (price − base fee) of every transaction; `.max`: nobody known.
    public var coinbase = AccountID(.max)
    /// Per gas, in wei: burnt.
    public var baseFee: UInt64 = 0
    public init() {}
}

/// A known slot's number, as the source or a search has it.
public struct SlotOrigin: Hashable, Sendable, BitwiseCopyable {
    public var id: SlotID
    public var preimage: SlotPreimage
    public init(id: SlotID, preimage: SlotPreimage) {
        self.id = id
        self.preimage = preimage
    }
}

public struct Operations: Hashable, Sendable {
    /// None, or one per height of the diff.
    public var sections: [Section] = []
    /// By sender within a section; those of one sender in the order they ran.
    public var transactions: [Transaction] = []
    public var actions: [Action] = []
    public var literals: [Address] = []
    /// Origins of changed slots that were known before, ascending by id; never carried by payloads.
    public var origins: [SlotOrigin] = []

    public init() {}

    public mutating func removeAll() {
        sections.removeAll(keepingCapacity: true)
        transactions.removeAll(keepingCapacity: true)
        actions.removeAll(keepingCapacity: true)
        literals.removeAll(keepingCapacity: true)
        origins.removeAll(keepingCapacity: true)
    }
}

extension Operations {
    /// Those of one diff after those of another. Each keeps its sections; a diff without operations is a section without
    /// transactions, so that every height's new keys stay told apart.
    static func joined(_ first: StateDiff, _ second: StateDiff) -> Operations {
        var all = first.operations
        if all.sections.isEmpty { all.sections = first.sections }
        all.sections.append(contentsOf: second.sections)
        all.transactions.append(contentsOf: second.operations.transactions)
        all.actions.append(contentsOf: second.operations.actions)
        all.literals.append(contentsOf: second.operations.literals)
        all.origins = []
        return all
    }
}

extension StateDiff {
    /// The operations' sections, or the one that stands for a mini-block without any. Empty for a window whose heights
    /// cannot be told apart.
    public var sections: [Section] {
        if !operations.sections.isEmpty || !isSingle { return operations.sections }
        var section = Section()
        section.newCodes = UInt32(newCodes.count)
        section.newAccounts = UInt32(newAccounts.count)
        section.newSlots = UInt32(newSlots.count)
        section.newFacts = UInt32(newFacts.count)
        return [section]
    }
}

/// The canonical form of what a mini-block (or a window of them) wrote: last writer wins per key, keys as dense ids,
/// old and new values. Everything else in Millrace is made from it or into it: the builder seals one, the state applies
/// one, the codec carries one, a recording holds a sequence of them.
///
/// Canonical means: for a given base state and a given set of writes there is exactly one `StateDiff`. The rules are
/// on the fields; `State.apply` refuses a diff that breaks one.

public import MillraceBase

/// The dense id of an account: its position in the order of first appearance in the stream. Never reused.
public struct AccountID: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var index: UInt32
    @inlinable public init(_ index: UInt32) { self.index = index }
    @inlinable public static func < (a: AccountID, b: AccountID) -> Bool { a.index < b.index }
}

/// The dense id of a storage slot, in its own numbering. Never reused.
public struct SlotID: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var index: UInt32
    @inlinable public init(_ index: UInt32) { self.index = index }
    @inlinable public static func < (a: SlotID, b: SlotID) -> Bool { a.index < b.index }
}

/// The dense id of a piece of contract code (content-addressed by Keccak-256). `.none` is the empty code.
public struct CodeID: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var index: UInt32
    @inlinable public init(_ index: UInt32) { self.index = index }
    /// No code: an externally owned account. Real codes count from 1.
    public static let none = CodeID(0)
    @inlinable public static func < (a: CodeID, b: CodeID) -> Bool { a.index < b.index }
}

/// The value half of an account cell. All zero means the account is absent.
public struct AccountValue: Hashable, Sendable, BitwiseCopyable {
    public var balance: U256
    public var nonce: UInt64
    public var code: CodeID

    @inlinable public init(balance: U256 = .zero, nonce: UInt64 = 0, code: CodeID = .none) {
        self.balance = balance
        self.nonce = nonce
        self.code = code
    }

    public static let absent = AccountValue()
    @inlinable public var isAbsent: Bool { nonce == 0 && code == .none && balance.isZero }
}

/// The key half of a slot cell.
public struct SlotKey: Hashable, Sendable, BitwiseCopyable {
    public var account: AccountID
    /// The slot's number, as the EVM's SSTORE has it.
    public var slot: U256
    @inlinable public init(account: AccountID, slot: U256) {
        self.account = account
        self.slot = slot
    }
}

/// How a slot's number came about, where the source knows it (Solidity's storage layout).
public enum SlotPreimage: Hashable, Sendable, BitwiseCopyable {
    /// Not known, or a plain slot.
    case none
    /// keccak256(key ‖ base): an entry of the mapping declared at slot `base`.
    case mapping(base: U256, key: U256)
    /// keccak256(inner ‖ keccak256(outer ‖ base)): an entry of a mapping of mappings.
    case nested(base: U256, outer: U256, inner: U256)
}

/// A slot's first appearance in the stream.
public struct NewSlot: Hashable, Sendable, BitwiseCopyable {
    public var key: SlotKey
    public var preimage: SlotPreimage
    @inlinable public init(key: SlotKey, preimage: SlotPreimage = .none) {
        self.key = key
        self.preimage = preimage
    }
}

public struct AccountChange: Hashable, Sendable, BitwiseCopyable {
    public var id: AccountID
    public var old: AccountValue
    public var new: AccountValue
    @inlinable public init(id: AccountID, old: AccountValue, new: AccountValue) {
        self.id = id
        self.old = old
        self.new = new
    }
}

public struct SlotChange: Hashable, Sendable, BitwiseCopyable {
    public var id: SlotID
    public var old: U256
    public var new: U256
    @inlinable public init(id: SlotID, old: U256, new: U256) {
        self.id = id
        self.old = old
        self.new = new
    }
}

/// What a diff is for.
public enum DiffKind: UInt8, Sendable, BitwiseCopyable {
    /// The writes of transactions.
    case transactions = 0
    /// Closes a gap in a source whose blocks are not consecutive: counted apart, left out of every codec figure.
    case bridge = 1
    /// State that existed before the stream. Never on the wire; recordings and node start-up only.
    case genesis = 2
}

public struct StateDiff: Hashable, Sendable {
    public var kind: DiffKind = .transactions
    /// The first and the last mini-block covered. Heights count from 1; genesis diffs carry 0.
    public var firstHeight: UInt64 = 0
    public var lastHeight: UInt64 = 0
    /// The sequencer's wall clock when it sealed `lastHeight`, in Unix microseconds.
    public var sealedAtMicroseconds: UInt64 = 0
    /// Transactions merged into this diff.
    public var transactions: UInt64 = 0
    /// Bytes of the unmerged per-transaction diffs by the published measure: 52 per changed account, 20 per contract with
    /// changed slots, 64 per changed slot, plus deployed code.
    public var rawBytes: UInt64 = 0

    /// Codes not yet in the code table, in id order: `newCodes[i]` gets id `state.codeCount + 1 + i`.
    public var newCodes: [[UInt8]] = []
    /// Accounts not yet known, in id order: `newAccounts[i]` gets id `state.accountCount + i`. Each also has an account
    /// change or is the account of a new slot or (merged windows) has come and gone.
    public var newAccounts: [Address] = []
    /// Slots not yet known, in id order: `newSlots[i]` gets id `state.slotCount + i`.
    public var newSlots: [NewSlot] = []
    /// Accounts that were destroyed at some point, ascending. Their slots' clearing is written out in `slotChanges`.
    public var destroyed: [AccountID] = []
    /// Changed accounts, ascending by id, `old != new`.
    public var accountChanges: [AccountChange] = []
    /// Changed slots, ascending by id, `old != new`.
    public var slotChanges: [SlotChange] = []

    /// Hints: contract facts that appear for the first time, in id order, and what the transactions did.
    public var newFacts: [ContractFact] = []
    public var operations = Operations()

    public init() {}

    /// Nothing changed: no ids, no values.
    public var isEmpty: Bool {
        newCodes.isEmpty && newAccounts.isEmpty && newSlots.isEmpty && destroyed.isEmpty
            && accountChanges.isEmpty
            && slotChanges.isEmpty
    }

    /// Back to `init()`'s value, keeping the memory.
    public mutating func removeAll() {
        kind = .transactions
        (firstHeight, lastHeight, sealedAtMicroseconds, transactions, rawBytes) = (0, 0, 0, 0, 0)
        newCodes.removeAll(keepingCapacity: true)
        newAccounts.removeAll(keepingCapacity: true)
        newSlots.removeAll(keepingCapacity: true)
        destroyed.removeAll(keepingCapacity: true)
        accountChanges.removeAll(keepingCapacity: true)
        slotChanges.removeAll(keepingCapacity: true)
        newFacts.removeAll(keepingCapacity: true)
        operations.removeAll()
    }
}

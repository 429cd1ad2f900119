/// What geth's `prestateTracer` in diff mode says about one transaction: for each account that it changed, the value
/// before and what is different after. Spec 70.8.

public import MillraceBase

/// Which transactions belong to one block, where the input does not number its blocks.
public enum PrestateGroup: Hashable, Sendable {
    /// `"block": n` on the line or around it.
    case block(UInt64)
    /// The n-th array or JSON-RPC answer of the input: a trace of a whole block.
    case document(Int)
    /// Single results without a number: all of a file are one block.
    case loose
}

public struct PrestateTransaction: Equatable, Sendable {
    public var group: PrestateGroup
    /// Position in the block, where given.
    public var index: UInt64?
    public var hash: Hash32?
    /// Ascending by address, each once.
    public var accounts: [PrestateAccount]
    /// Where it stands in its file, counted from 1.
    public var line: Int

    public init(
        group: PrestateGroup = .loose, index: UInt64? = nil, hash: Hash32? = nil, accounts: [PrestateAccount],
        line: Int = 1
    ) {
        self.group = group
        self.index = index
        self.hash = hash
        self.accounts = accounts
        self.line = line
    }
}

public struct PrestateAccount: Equatable, Sendable {
    public struct Before: Equatable, Sendable {
        public var balance: U256
        public var nonce: UInt64
        /// Nil when not given (`disableCode`): unknown, not empty.
        public var code: [UInt8]?

        public init(balance: U256, nonce: UInt64, code: [UInt8]? = nil) {
            (self.balance, self.nonce, self.code) = (balance, nonce, code)
        }
    }

    /// Only what changed.
    public struct After: Equatable, Sendable {
        public var balance: U256?
        public var nonce: UInt64?
        public var code: [UInt8]?

        public init(balance: U256? = nil, nonce: UInt64? = nil, code: [UInt8]? = nil) {
            (self.balance, self.nonce, self.code) = (balance, nonce, code)
        }
    }

    public struct Slot: Equatable, Sendable, BitwiseCopyable {
        public var slot: U256
        public var old: U256
        public var new: U256

        public init(slot: U256, old: U256, new: U256) { (self.slot, self.old, self.new) = (slot, old, new) }
    }

    public var address: Address
    /// Nil: the account did not exist, and had no storage.
    public var before: Before?
    /// Nil: the account was destroyed, and its storage with it. Never nil together with `before`.
    public var after: After?
    /// Ascending, each once.
    public var slots: [Slot]

    public init(address: Address, before: Before?, after: After?, slots: [Slot] = []) {
        (self.address, self.before, self.after, self.slots) = (address, before, after, slots)
    }
}

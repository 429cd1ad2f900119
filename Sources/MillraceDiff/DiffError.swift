/// Why a diff was refused. Nothing has been changed when one of these is thrown.

public enum DiffError: Error, Equatable, Sendable {
    /// The old value in the diff is not the value the state (or the diff before) has there.
    case brokenChain(at: CellID)
    /// The heights of two diffs to be composed do not follow each other.
    case notConsecutive(lastHeight: UInt64, firstHeight: UInt64)
    /// The diff is not in canonical form.
    case notCanonical(CanonicalRule)
    /// A cell, account or code id that neither the state nor the diff knows.
    case unknownID(CellID)
    /// A key in the diff's lists of new keys already has an id.
    case alreadyKnown(CellID)
    /// The state's numbering is exhausted (`StateLimits`).
    case full
}

/// A place in the state.
public enum CellID: Hashable, Sendable, BitwiseCopyable {
    case account(AccountID)
    case slot(SlotID)
    case code(CodeID)
}

/// The rules of Spec 20.4, by name.
public enum CanonicalRule: Hashable, Sendable, BitwiseCopyable {
    /// `firstHeight` above `lastHeight`, or a genesis diff with heights, or another without.
    case heights
    /// Changes, or destroyed accounts, not strictly ascending by id.
    case idOrder
    /// A change whose old and new value are equal.
    case unchanged
    /// New keys of a single mini-block not strictly ascending (address; account id and slot; code hash).
    case newKeyOrder
    /// A new key of a single mini-block that has no value after it.
    case newKeyUnused
    /// A piece of code of no bytes, or of more than `StateLimits.codeBytesMax`.
    case codeLength
    /// A contract fact that refers to an account or a fact unknown so far.
    case fact
}

/// Bounds of the state's numbering.
public enum StateLimits {
    /// Accounts, and slots: ids stay below 2³¹, which leaves the builder a bit to mark stand-ins with.
    public static let cellCountMax = 0x7FFF_FFFF
    /// One piece of code. Ethereum's limit is 24,576 bytes (EIP-170); chains with a higher one fit.
    public static let codeBytesMax = 1 << 20
    /// Contract facts: 100 bytes each, kept for good.
    public static let factCountMax = 1 << 20
}

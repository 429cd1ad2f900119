/// What the followers of a stream know of contracts' storage, so that an operation can name a token or a pool in a few bits
/// and its slots follow. Spec 20.7.
///
/// A fact is learned from behaviour (a mapping whose entries are paid from one to another is a token's balances), not from
/// a list of addresses. It arrives in the diff that first needs it, gets the next `FactID`, and stays. Facts are hints, no
/// part of the state's content: a wrong one makes wrong predictions, which cost bits, and nothing else depends on it.

public import MillraceBase

/// The dense id of a contract fact: its position in the order of first appearance in the stream.
public struct FactID: Hashable, Comparable, Sendable, BitwiseCopyable {
    public var index: UInt32
    @inlinable public init(_ index: UInt32) { self.index = index }
    public static let none = FactID(.max)
    @inlinable public static func < (a: FactID, b: FactID) -> Bool { a.index < b.index }
}

public enum ContractFact: Hashable, Sendable, BitwiseCopyable {
    /// Amounts by holder: the slot of a holder is keccak256(holder ‖ base) where `keyFirst` (Solidity), else
    /// keccak256(base ‖ holder) (Vyper).
    case token(contract: AccountID, base: U256, keyFirst: Bool)
    /// What owners let spenders take of `token`: slot keccak256(spender ‖ keccak256(owner ‖ base)).
    case allowances(token: FactID, base: U256)
    /// The sum of all amounts of `token`, in a plain slot of its contract.
    case supply(token: FactID, slot: U256)
    /// A contract that takes tokens from their owners.
    case spender(Address)
    /// A constant-product pool as Uniswap V2 has it (slots 8, 9, 10); of what is paid in, `kept` ten-thousandths count.
    case pool(contract: AccountID, token0: FactID, token1: FactID, kept: UInt16)
}

extension ContractFact {
    /// Refers only to accounts and facts with ids below these.
    public func isBelow(accounts: Int, facts: Int) -> Bool {
        switch self {
        case .token(let contract, _, _): Int(contract.index) < accounts
        case .allowances(let token, _), .supply(let token, _): Int(token.index) < facts
        case .spender: true
        case .pool(let contract, let token0, let token1, let kept):
            Int(contract.index) < accounts && Int(token0.index) < facts && Int(token1.index) < facts
                && kept <= 10_000
        }
    }
}

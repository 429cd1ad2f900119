/// One holder's change of one token in the transaction at hand.

internal import MillraceBase

struct TokenMove: BitwiseCopyable {
    /// Stands for the slot of a holder in passing, whose amount ends as it began.
    static let noEntry = UInt32.max

    /// Index of the pending slot, or `noEntry`.
    let entry: UInt32
    let group: UInt32
    let party: Party
    let old: U256
    let new: U256
    /// What no action accounts for yet, modulo 2^256: upper half negative.
    var rest: U256
    /// No action accounts for all of it.
    var isLeft = false

    init(entry: UInt32, group: UInt32, party: Party, old: U256, new: U256) {
        self.entry = entry
        self.group = group
        self.party = party
        self.old = old
        self.new = new
        rest = new &- old
    }
}

/// One account's change of ether in the transaction at hand.
struct EtherMove: BitwiseCopyable {
    let party: Party
    /// Modulo 2^256, fees included.
    let difference: U256
    /// What no action accounts for yet.
    var rest: U256

    init(party: Party, difference: U256) {
        self.party = party
        self.difference = difference
        rest = difference
    }
}

extension U256 {
    /// As a two's complement number.
    @inline(__always) var isNegative: Bool { w3 >> 63 != 0 }
    @inline(__always) var negated: U256 { U256.zero &- self }
}

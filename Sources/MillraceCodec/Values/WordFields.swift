/// Ways a 256-bit word is cut into fields that change on their own: Solidity packs small variables into one slot. A pool's
/// slot of two reserves and a time stamp changes by two amounts that are differences elsewhere; as one number it would
/// change by 30 random bytes. Spec 30.7.4.

internal import MillraceBase

enum WordFields: Int, CaseIterable {
    /// Two numbers of 128 bits.
    case halves = 0
    /// Uniswap V2: two of 112 and one of 32.
    case reserves = 1
    /// Four numbers of 64 bits.
    case quarters = 2
    /// An address and what is packed above it.
    case address = 3
    /// Uniswap V3's slot 0: price, tick, observation index, two numbers of observations, fee and lock.
    case price = 4
    /// Its observations: time, two accumulators, a flag.
    case observation = 5
    /// An address or amount, 48 bits and 48.
    case allowance = 6
    /// An address, a time of 64 bits, and 32 more.
    case owner = 7

    static var countMax: Int { 6 }

    /// Widths from the lowest bits up, a byte each; they sum to 256.
    private var widths: UInt64 {
        switch self {
        case .halves: 0x8080
        case .reserves: 0x20_7070
        case .quarters: 0x4040_4040
        case .address: 0x60A0
        case .price: 0x1810_1010_18A0
        case .observation: 0x08A0_3820
        case .allowance: 0x30_30A0
        case .owner: 0x20_40A0
        }
    }

    var count: Int {
        switch self {
        case .halves, .address: 2
        case .reserves, .allowance, .owner: 3
        case .quarters, .observation: 4
        case .price: 6
        }
    }

    @inline(__always)
    func width(_ field: Int) -> Int { Int(widths >> UInt64(field * 8) & 0xFF) }

    /// The context of a field's operation and widths.
    func context(_ field: Int) -> Int {
        switch self {
        case .halves: 0
        case .reserves: field < 2 ? 1 : 2
        case .quarters: 3
        case .address: 4 + field
        case .price: 6 + field
        case .observation: 12 + field
        case .allowance: 16 + field
        case .owner: 19 + field
        }
    }
    static var contextCount: Int { 22 }

    /// Cuts the lowest field off `word`.
    @inline(__always)
    static func pop(_ word: inout U256, width: Int) -> U256 {
        let field = word & mask(width)
        word = word >> width
        return field
    }

    static func mask(_ width: Int) -> U256 { ~U256.zero >> (256 - width) }
}

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

    static var countMax: Int { 4 }

    /// Widths from the lowest bits up; they sum to 256.
    var widths: (Int, Int, Int, Int) {
        switch self {
        case .halves: (128, 128, 0, 0)
        case .reserves: (112, 112, 32, 0)
        case .quarters: (64, 64, 64, 64)
        case .address: (160, 96, 0, 0)
        }
    }

    var count: Int {
        switch self {
        case .halves, .address: 2
        case .reserves: 3
        case .quarters: 4
        }
    }

    @inline(__always)
    func width(_ field: Int) -> Int {
        let widths = widths
        return field == 0 ? widths.0 : field == 1 ? widths.1 : field == 2 ? widths.2 : widths.3
    }

    /// Cuts the lowest field off `word`.
    @inline(__always)
    static func pop(_ word: inout U256, width: Int) -> U256 {
        let field = word & mask(width)
        word = word >> width
        return field
    }

    static func mask(_ width: Int) -> U256 {
        switch width {
        case 32: U256(0xFFFF_FFFF)
        case 64: U256(.max)
        case 96: U256(.max, 0xFFFF_FFFF, 0, 0)
        case 112: U256(.max, 0xFFFF_FFFF_FFFF, 0, 0)
        case 128: U256(.max, .max, 0, 0)
        default: U256(.max, .max, 0xFFFF_FFFF, 0)
        }
    }
}

/// What a transaction costs, by branch (London's rules). Spec 75.3.

import MillraceBase

enum Gas {
    static let transaction: UInt64 = 21_000
    /// A slot that was zero becomes non-zero: 20,000 instead of 2,900.
    static let newSlot: UInt64 = 17_100
    /// The refund for a slot that becomes zero. Never above a fifth of the gas used, the refund's limit, in these calls.
    static let clearedSlot: UInt64 = 4_800
    /// The router compares the two tokens' addresses: the second order takes a longer way.
    static let tokenInIsSecond: UInt64 = 70
    /// The pair's two price accumulators, once in each block timestamp.
    static let accumulators: UInt64 = 10_416

    /// Calldata gas of a 32-byte word: 4 a zero byte, 16 another.
    static func word(_ value: U256) -> UInt64 {
        128 + 12
            * (nonZeroBytes(value.w0) + nonZeroBytes(value.w1) + nonZeroBytes(value.w2)
                + nonZeroBytes(value.w3))
    }

    static func word(_ value: UInt128) -> UInt64 { word(U256(wide: value)) }

    static func word(_ address: Address) -> UInt64 {
        128 + 12
            * (nonZeroBytes(address.high) + nonZeroBytes(address.middle) + nonZeroBytes(UInt64(address.low)))
    }

    /// Four bytes of function selector, none of them zero.
    static let selector: UInt64 = 64

    /// `transfer(to, amount)`.
    static func transfer(
        _ kind: TokenKind, to: Address, amount: UInt128, payerEmptied: Bool, payeeIsNew: Bool
    ) -> UInt64 {
        transaction + selector + word(to) + word(amount) + kind.transferGas + (payeeIsNew ? newSlot : 0)
            - (payerEmptied ? clearedSlot : 0)
    }

    /// Calldata of `swapExactTokensForTokens(amountIn, amountOutMin, path, to, deadline)` for a path of `count`
    /// tokens, the path itself apart: offset 0xA0, length and a deadline of four non-zero bytes.
    static func swapCalldata(amountIn: UInt128, amountOutMin: UInt128, to: Address) -> UInt64 {
        selector + word(amountIn) + word(amountOutMin) + word(to) + (128 + 12) + (128 + 12) + (128 + 48)
    }

    private static func nonZeroBytes(_ limb: UInt64) -> UInt64 {
        // Bit 7 of each byte: set when its lower seven bits or bit 7 itself are.
        let low = 0x7F7F_7F7F_7F7F_7F7F as UInt64
        return UInt64(((((limb & low) &+ low) | limb) & ~low).nonzeroBitCount)
    }
}

/// Where contracts live: addresses of accounts without a key, as the EVM derives them.

import MillraceBase
import MillraceCrypto

enum ContractAddress {
    static let router = Address(high: 0x7A25_0D56_30B4_CF53, middle: 0x9739_DF2C_5DAC_B4C6, low: 0x59F2_488D)
    private static let uniswapFactory = Address(
        high: 0x5C69_BEE7_01EF_814A, middle: 0x2B6A_3EDD_4B16_52CB, low: 0x9CC5_AA6F)
    /// keccak256 of the pair's creation code.
    private static let pairInitCodeHash = Hash32(
        word: U256(0x326C_3E7D_A348_845F, 0x403C_B768_DD02_CBEE, 0xB6F7_8547_8AA9_A39F, 0x96E8_AC42_7719_8FF8)
    )

    /// The pair of two tokens: CREATE2 by Uniswap's factory, salt = keccak256(token 0 ‖ token 1).
    static func pair(_ a: Address, _ b: Address) -> Address {
        var salt: [UInt8] = []
        salt.append(min(a, b))
        salt.append(max(a, b))
        var preimage: [UInt8] = [0xFF]
        preimage.append(uniswapFactory)
        preimage.append(Keccak256.hash(salt))
        preimage.append(pairInitCodeHash)
        return Address(truncating: Keccak256.hash(preimage).word)
    }

    /// CREATE: keccak256(rlp([sender, nonce])).
    static func created(by sender: Address, nonce: UInt64) -> Address {
        var number: [UInt8] = []
        var rest = nonce
        while rest > 0 {
            number.insert(UInt8(truncatingIfNeeded: rest), at: 0)
            rest >>= 8
        }
        var list: [UInt8] = [0x80 + 20]
        list.append(sender)
        if number.count == 1, number[0] < 0x80 {
            list.append(number[0])
        } else {
            list.append(0x80 + UInt8(number.count))
            list += number
        }
        return Address(truncating: Keccak256.hash([0xC0 + UInt8(list.count)] + list).word)
    }

    /// An address of no meaning: the last 20 bytes of keccak256(purpose ‖ u64be(number)).
    static func derived(_ purpose: StaticString, _ number: UInt64) -> Address {
        var preimage: [UInt8] = []
        purpose.withUTF8Buffer { preimage.append(contentsOf: $0) }
        preimage.appendLittleEndian(number.byteSwapped)
        return Address(truncating: Keccak256.hash(preimage).word)
    }
}

/// The five ERC-20 contracts of the workload files, as far as a transfer shows: where balances and allowances are stored and
/// what a call costs. Spec 75.2 and 75.3. The figures are those of the deployed bytecode under London's rules; the
/// tests compare them with every transaction of the workload files.

public import MillraceBase

public enum TokenKind: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    case usdc, dai, link, uni, weth

    /// The slot at which `mapping(address => uint) balances` is declared.
    public var balanceBase: U256 {
        switch self {
        case .usdc: 9
        case .dai: 2
        case .link: 1
        case .uni: 4
        case .weth: 3
        }
    }

    /// The slot at which `mapping(address => mapping(address => uint)) allowances` is declared.
    public var allowanceBase: U256 {
        switch self {
        case .usdc: 10
        case .dai: 3
        case .link: 2
        case .uni: 3
        case .weth: 4
        }
    }

    public var decimals: Int { self == .usdc ? 6 : 18 }

    /// One whole token in its smallest unit.
    var unit: UInt64 { self == .usdc ? 1_000_000 : 1_000_000_000_000_000_000 }

    /// Execution gas of `transfer` between two holders who keep a balance: without the 21,000 and the calldata.
    var transferGas: UInt64 {
        switch self {
        case .usdc: 23_552
        case .dai: 13_074
        case .link: 13_345
        case .uni: 18_462
        case .weth: 12_862
        }
    }

    /// Execution gas of the router's `swapExactTokensForTokens` from this token to WETH through a pair whose token 0 this is.
    var swapToWETHGas: UInt64 {
        switch self {
        case .usdc: 82_044
        case .dai: 69_033
        case .link: 68_611
        case .uni: 76_387
        case .weth: 0
        }
    }

    /// The same from WETH to this token through a pair whose token 0 is WETH.
    var swapFromWETHGas: UInt64 {
        switch self {
        case .usdc: 79_833
        case .dai: 68_618
        case .link: 68_942
        case .uni: 74_201
        case .weth: 0
        }
    }

    /// Where the contract is deployed on mainnet.
    public var mainnetAddress: Address {
        switch self {
        case .usdc: Address(high: 0xA0B8_6991_C621_8B36, middle: 0xC1D1_9D4A_2E9E_B0CE, low: 0x3606_EB48)
        case .dai: Address(high: 0x6B17_5474_E890_94C4, middle: 0x4DA9_8B95_4EED_EAC4, low: 0x9527_1D0F)
        case .link: Address(high: 0x5149_1077_1AF9_CA65, middle: 0x6AF8_40DF_F83E_8264, low: 0xECF9_86CA)
        case .uni: Address(high: 0x1F98_40A8_5D5A_F5BF, middle: 0x1D17_62F9_25BD_ADDC, low: 0x4201_F984)
        case .weth: Address(high: 0xC02A_AA39_B223_FE8D, middle: 0x0A0E_5C4F_27EA_D908, low: 0x3C75_6CC2)
        }
    }

    /// The contract's name in the workload files.
    public var name: String {
        switch self {
        case .usdc: "USDC"
        case .dai: "DAI"
        case .link: "LINK"
        case .uni: "UNI"
        case .weth: "WETH"
        }
    }
}

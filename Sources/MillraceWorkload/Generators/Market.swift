/// What is traded and held, and by whom: tokens and pools by popularity, the distributions of amounts, and each user's
/// portfolio. Constant through a run. Spec 75.4.2.

import MillraceBase

struct Market: Sendable {
    /// Tokens, WETH (token 0) included.
    let tokenCount: Int
    /// Draws the popularity rank of a pool or token by Zipf's law with exponent 1.
    let rankTable: AliasTable
    let accounts: Int
    private let portfolioKey: UInt64
    /// WETH is one of the tokens that are transferred (`erc20`), not only what all others are traded for.
    private let transfersWETH: Bool

    /// Wei above the base price.
    let tip = LogNormal(median: 1_000_000, sigmaQ16: 94_548)
    /// What a swap is worth, in wei: 0.05 WETH, natural standard deviation 1.5.
    let swapValue = LogNormal(median: 50_000_000_000_000_000, sigmaQ16: 141_822)
    /// What a transfer moves, in thousandths of a token: 100 tokens, natural standard deviation 1.8.
    let transferThousandths = LogNormal(median: 100_000, sigmaQ16: 170_186)

    init(spec: WorkloadSpec) {
        transfersWETH = spec.kind == .erc20
        let traded = spec.pools
        tokenCount = transfersWETH ? traded : traded + 1
        rankTable = AliasTable(zipf: 1 << 16, count: traded)
        accounts = spec.accounts
        portfolioKey = Seed(spec.seed).generator("workload portfolio").mixedKey
    }

    /// The token at a popularity rank: USDC, DAI, LINK and UNI are the first four; WETH, where it is transferred, fifth.
    func token(atRank rank: Int) -> Int {
        if !transfersWETH { return rank + 1 }
        return rank < 4 ? min(rank + 1, tokenCount - 1) : rank == 4 ? 0 : rank
    }

    /// The contract a token runs.
    func kind(ofToken token: Int) -> TokenKind {
        if token == 0 { return .weth }
        switch (token - 1) % 4 {
        case 0: return .usdc
        case 1: return .dai
        case 2: return .link
        default: return .uni
        }
    }

    func drawToken(_ random: inout SeededGenerator) -> Int { token(atRank: rankTable.sample(&random)) }

    // MARK: Portfolios

    /// Whether a user holds every token: those are the few most active ones.
    func holdsAll(_ user: Int) -> Bool { portfolioDraws(of: user) >= rankTable.count }

    /// How many draws make a user's portfolio: in proportion to activity, at least two. The same token may be drawn twice.
    func portfolioDraws(of user: Int) -> Int { max(2, accounts / (4 * (user + 1))) }

    /// The token of one draw of a user's portfolio.
    func portfolioToken(of user: Int, draw: Int) -> Int {
        var bits = portfolioKey ^ UInt64(user) << 24 ^ UInt64(draw)
        bits = (bits ^ bits >> 30) &* 0xBF58_476D_1CE4_E5B9
        bits = (bits ^ bits >> 27) &* 0x94D0_49BB_1331_11EB
        return token(atRank: rankTable.index(for: bits ^ bits >> 31))
    }

    /// A token the user held at the start, popular ones more often.
    func drawHeldToken(of user: Int, _ random: inout SeededGenerator) -> Int {
        if holdsAll(user) { return drawToken(&random) }
        return portfolioToken(of: user, draw: Int(random.below(UInt64(portfolioDraws(of: user)))))
    }
}

extension SeededGenerator {
    /// One draw, for a key.
    fileprivate var mixedKey: UInt64 {
        var copy = self
        return copy.next()
    }
}

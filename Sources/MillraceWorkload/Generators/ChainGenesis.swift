/// The state before a generated stream: contracts first, then the users in order with what they hold, in chunks. Every
/// user and every pool has a generator of its own. Spec 75.4.3.

import MillraceBase
import MillraceCrypto
import MillraceDiff

struct ChainGenesis {
    private enum Phase {
        case contracts
        /// From this user on.
        case users(Int)
        case done
    }
    private var phase = Phase.contracts
    private let spec: WorkloadSpec
    private let seed: Seed

    /// Seconds of the stream that users are endowed for.
    static let endowedSeconds: UInt64 = 3_600
    /// Wei of ether: 0.05, natural standard deviation 1.5.
    private let ether = LogNormal(median: 50_000_000_000_000_000, sigmaQ16: 141_822)
    /// Tokens in thousandths, where there is no price: 2,900 tokens, natural standard deviation 3.
    private let savings = LogNormal(median: 2_900_000, sigmaQ16: 283_645)
    /// A balance in swaps' worth, Q8: sixteen, natural standard deviation 2.
    private let swaps = LogNormal(median: 16 << 8, sigmaQ16: 189_096)
    /// Nonces: seven, natural standard deviation 2.
    private let nonce = LogNormal(median: 7, sigmaQ16: 189_096)
    /// A pool's WETH: 500, natural standard deviation 1.4.
    private let liquidity = LogNormal(median: 5_000_000_000_000_000_000, sigmaQ16: 132_367)
    /// Thousandths of a token per WETH: 300 tokens, natural standard deviation 2.
    private let price = LogNormal(median: 300_000, sigmaQ16: 189_096)

    init(spec: WorkloadSpec, seed: Seed) {
        self.spec = spec
        self.seed = seed
    }

    var isDone: Bool {
        if case .done = phase { true } else { false }
    }

    mutating func writeChunk(of workload: GeneratedWorkload, into builder: DiffBuilder) -> Bool {
        switch phase {
        case .contracts:
            writeContracts(of: workload, into: builder)
            phase = .users(0)
            return true
        case .users(let first):
            var user = first
            var cells = 0
            while user < spec.accounts, cells < WorkloadLimits.genesisChunkCells {
                cells += writeUser(user, of: workload, into: builder)
                user += 1
            }
            phase = user < spec.accounts ? .users(user) : .done
            return true
        case .done:
            return false
        }
    }

    // MARK: Contracts

    private func writeContracts(of workload: GeneratedWorkload, into builder: DiffBuilder) {
        let (chain, market) = (workload.chain, workload.market)
        builder.setAccount(chain.coinbase, balance: chain.coinbaseBalance, nonce: 0)
        func deploy(_ address: Address, _ code: String, balance: U256 = .zero) {
            builder.setAccount(address, balance: balance, nonce: 1)
            builder.setCode(address, to: StandInCode.bytes(named: code))
        }
        for token in 0..<market.tokenCount {
            let kind = market.kind(ofToken: token)
            let address =
                token <= 4 ? kind.mainnetAddress : ContractAddress.derived("millrace-token", UInt64(token))
            _ = chain.addToken(kind, at: address)
            deploy(address, kind.name, balance: token == 0 ? workload.sundries.wethEther : .zero)
            workload.holders.append([])
            workload.sundries.supplies.append(U256(0, 0x0A00_0000, 0, 0))
        }
        workload.sundries.writeContracts(into: builder)
        if spec.kind == .mixed {
            for token in 1..<market.tokenCount where chain.tokens[token].kind == .dai {
                builder.setSlot(chain.tokens[token].address, 1, to: workload.sundries.supplies[token])
            }
        }
        if chain.keepsAllowances {
            deploy(ContractAddress.router, "ROUTER")
            for token in 1..<market.tokenCount { writePool(of: token, chain, into: builder) }
        }
    }

    private func writePool(of token: Int, _ chain: Chain, into builder: DiffBuilder) {
        var random = seed.generator("workload pool", UInt64(token))
        let (token0, weth) = (chain.tokens[token], chain.tokens[0])
        let address = ContractAddress.pair(token0.address, weth.address)
        let wethReserve = min(max(liquidity.sample(&random) * 100, 1 << 60), 1 << 96)
        let thousandths = min(max(price.sample(&random), 100), 1 << 40)
        // Both factors are bounded: 2^96 × 2^40 / 10^18 is below 2^112 after the first division.
        let tokenReserve = max(
            1 << 40, wethReserve / 1_000_000_000 * thousandths / 1_000_000_000_000 * UInt128(token0.kind.unit)
        )
        let tokenIsZero = token0.address < weth.address
        let pair = UniswapPair(
            reserve0: tokenIsZero ? tokenReserve : wethReserve,
            reserve1: tokenIsZero ? wethReserve : tokenReserve,
            timestamp: GeneratedWorkload.startTimestamp - 1 - UInt32(random.below(60)),
            price0: U256(random.next(), random.next(), random.next() >> 24, 0),
            price1: U256(random.next(), random.next(), random.next() >> 24, 0))
        let pool = chain.pools[chain.addPool(token: token, at: address, pair: pair)]
        builder.setAccount(address, balance: .zero, nonce: 1)
        builder.setCode(address, to: StandInCode.bytes(named: "PAIR"))
        builder.setSlot(address, 6, to: min(token0.address, weth.address).word)
        builder.setSlot(address, 7, to: max(token0.address, weth.address).word)
        builder.setSlot(address, UniswapPair.reservesSlot, to: pair.reservesWord)
        builder.setSlot(address, UniswapPair.price0Slot, to: pair.price0)
        builder.setSlot(address, UniswapPair.price1Slot, to: pair.price1)
        builder.setSlot(address, 12, to: .one)
        chain.writeBalance(token0, owner: address, slot: pool.tokenBalanceSlot, tokenReserve, into: builder)
        chain.writeBalance(weth, owner: address, slot: pool.wethBalanceSlot, wethReserve, into: builder)
    }

    // MARK: Users

    /// Makes the next user. Answers the cells written.
    private func writeUser(_ user: Int, of workload: GeneratedWorkload, into builder: DiffBuilder) -> Int {
        let (chain, market) = (workload.chain, workload.market)
        var random = seed.generator("workload user", UInt64(user))
        // Transactions this user will send in the endowed time, a few more for luck.
        let expected = expectedTransactions(of: user, workload.userTable)
        let balance = ether.sample(&random) + expected * 600_000_000_000
        _ = chain.addUser(
            ContractAddress.derived("millrace-user", UInt64(user)),
            nonce: UInt64(clamping: min(nonce.sample(&random), 1 << 20) - 1), balance: balance)
        chain.writeAccount(user, into: builder)
        var cells = 1

        let draws = min(market.portfolioDraws(of: user), market.rankTable.count)
        let all = market.holdsAll(user)
        if chain.keepsAllowances {
            let worth = (swaps.sample(&random) + expected << 8) * 200_000_000_000_000
            cells += writeHolding(user, 0, balance: worth, allowance: worth * 3, of: workload, into: builder)
        }
        for draw in 0..<draws {
            let token = all ? market.token(atRank: draw) : market.portfolioToken(of: user, draw: draw)
            let kind = market.kind(ofToken: token)
            let held: UInt128
            if chain.keepsAllowances {
                // As many swaps' worth of the token, at the pool's price.
                let pair = chain.pools[token - 1].pair
                let tokenIsZero = chain.pools[token - 1].tokenIsZero
                let (tokenReserve, wethReserve) =
                    tokenIsZero ? (pair.reserve0, pair.reserve1) : (pair.reserve1, pair.reserve0)
                let worth =
                    (swaps.sample(&random) + (expected / UInt128(draws) + 1) << 8) * 200_000_000_000_000
                held = max(1, Market.convert(worth, from: wethReserve, to: tokenReserve))
            } else {
                let thousandths = savings.sample(&random) + expected / UInt128(draws) * 600_000
                held = min(thousandths, 1 << 60) * UInt128(kind.unit / 1_000)
            }
            cells += writeHolding(
                user, token, balance: held, allowance: held > UInt128.max / 4 ? held : held * 3, of: workload,
                into: builder)
            if !all { workload.holders[token].append(UInt32(user)) }
        }
        return cells
    }

    /// Adds and writes a holding; a token drawn twice is held once.
    private func writeHolding(
        _ user: Int, _ token: Int, balance: UInt128, allowance: UInt128, of workload: GeneratedWorkload,
        into builder: DiffBuilder
    ) -> Int {
        let chain = workload.chain
        guard chain.addHolding(user: user, token: token, balance: balance, allowance: allowance) else {
            return 0
        }
        let holding = chain.holdings[chain.holdings.count - 1]
        chain.writeBalance(holding, into: builder)
        if !chain.keepsAllowances { return 1 }
        chain.writeAllowance(holding, into: builder)
        return 2
    }

    private func expectedTransactions(of user: Int, _ table: AliasTable) -> UInt128 {
        let stream = UInt128(spec.transactionsPerSecond) * UInt128(ChainGenesis.endowedSeconds)
        return stream * UInt128(table.weight(of: user)) / UInt128(table.weightSum) + 16
    }
}

extension Market {
    /// An amount at the price a pool's reserves stand for; `to` must be below 2^112 and `from` not zero.
    static func convert(_ amount: UInt128, from: UInt128, to: UInt128) -> UInt128 {
        let product = amount.multipliedFullWidth(by: to)
        guard product.high < from else { return UInt128.max / 8 }
        return from.dividingFullWidth((product.high, product.low)).quotient
    }
}

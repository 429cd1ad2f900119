/// The built-in workloads `swap`, `erc20`, `mixed` and `idle`: a chain of made-up users and real contracts, driven by draws
/// from one seed. Spec 75.4.
///
/// Promises: the stream is a function of the specification; a longer one of the same specification begins with the shorter
/// one; every write is what the contracts would store (`Chain`). Users hold a *portfolio* of tokens that is drawn when
/// they are made, so that the state before the stream can be written without knowing the stream.
///
/// Users are endowed for an hour at the given rate. A stream ends (`nextTransaction` answers false) when a few hundred
/// drawn senders in a row cannot pay: not before hours, unless the parameters are extreme.

import MillraceBase
public import MillraceDiff

public final class GeneratedWorkload: Workload {
    public let spec: WorkloadSpec
    public var name: String { spec.text }

    let chain: Chain
    let market: Market
    /// Draws of the stream. Genesis draws from generators of its own, one per user or pool.
    var random: SeededGenerator
    /// Users by Zipf's law.
    let userTable: AliasTable
    /// Per token the users who hold some at the start and are not among the few who hold everything; `erc20`, `mixed`.
    var holders: [[UInt32]] = []
    var sundries: Sundries
    var freshAddresses: UInt64 = 0
    private var genesis: ChainGenesis
    private var transactions: UInt64 = 0

    /// 1 January 2026.
    public static let startTimestamp: UInt32 = 1_767_225_600
    /// Senders drawn for one transaction before the stream is given up.
    static let attemptsMax = 512

    public init(_ spec: WorkloadSpec) {
        self.spec = spec
        let seed = Seed(spec.seed)
        random = seed.generator("workload stream")
        chain = Chain(
            coinbase: ContractAddress.derived("millrace-coinbase", 0),
            coinbaseBalance: 12_345_678_901_234_567_890,
            timestamp: GeneratedWorkload.startTimestamp,
            keepsAllowances: spec.kind == .swap || spec.kind == .mixed)
        userTable = AliasTable(
            zipf: UInt64(spec.zipfTenThousandths) << 16 / 10_000, count: spec.accounts)
        market = Market(spec: spec)
        genesis = ChainGenesis(spec: spec, seed: seed)
        sundries = Sundries()
    }

    public func nextGenesisChunk(into builder: DiffBuilder) throws(WorkloadError) -> Bool {
        genesis.writeChunk(of: self, into: builder)
    }

    public func nextTransaction(into builder: DiffBuilder) throws(WorkloadError) -> Bool {
        precondition(genesis.isDone, "\(name): transactions are asked for before the genesis is through")
        let seconds = transactions / UInt64(spec.transactionsPerSecond)
        chain.timestamp = GeneratedWorkload.startTimestamp &+ UInt32(truncatingIfNeeded: seconds)
        for _ in 0..<GeneratedWorkload.attemptsMax {
            let written =
                switch spec.kind {
                case .swap: trySwap(into: builder)
                case .erc20: tryTransfer(into: builder)
                case .mixed: tryMixed(into: builder)
                case .idle: tryIdle(into: builder)
                }
            if written {
                transactions += 1
                return true
            }
        }
        return false
    }

    // MARK: Draws

    func drawUser() -> Int { userTable.sample(&random) }

    /// 2,000,000 wei for nine in ten, else 1,000,000 and a log-normal tip.
    func drawGasPrice() -> UInt64 {
        if random.chance(perMille: 900) { return 2_000_000 }
        return 1_000_000 + UInt64(clamping: min(market.tip.sample(&random), 1_000_000_000_000))
    }

    func drawFreshAddress() -> Address {
        freshAddresses += 1
        return ContractAddress.derived("millrace-fresh", freshAddresses &- 1)
    }
}

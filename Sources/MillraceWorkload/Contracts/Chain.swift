/// An exact model of what ERC-20 transfers and Uniswap V2 swaps store: the balances, allowances, reserves, nonces and fees
/// of a small chain, kept beside the real state so that a transaction's writes are computed, not looked up. Spec 75.2.
///
///     chain.transfer(token, from: user, to: .user(other), amount: …, gasPrice: …, into: builder)
///
/// Each method is one transaction: it checks that the transaction would succeed (false otherwise, nothing written), updates
/// the model and writes the same accounts and slots as the deployed contracts would, to the last wei of the fee. The tests
/// replay every transaction of the workload files through it. Failed transactions are not modelled.
///
/// Asks: ids given out by this chain only (arrays trap on others). Memory: about 64 bytes per user, 120 per holding.

public import MillraceBase
import MillraceCrypto
import MillraceDiff

public final class Chain {
    public struct Token: Sendable {
        public let kind: TokenKind
        public let address: Address
    }

    public struct User: Sendable {
        public let address: Address
        public fileprivate(set) var nonce: UInt64
        public fileprivate(set) var balance: UInt128
    }

    public struct Pool: Sendable {
        /// The token traded against token 0 of the chain, WETH.
        public let token: Int
        public let address: Address
        /// The token's address is below WETH's, so that it is the pair's token 0.
        public let tokenIsZero: Bool
        public internal(set) var pair: UniswapPair
        let tokenBalanceSlot: U256
        let wethBalanceSlot: U256
    }

    /// Who is paid.
    public enum Payee: Sendable {
        case user(Int)
        /// An address that never appeared before and, for the model, never will again.
        case fresh(Address)
    }

    /// Whether holdings carry the router's allowance: chains without swaps save the hashing.
    public let keepsAllowances: Bool
    public private(set) var tokens: [Token] = []
    public private(set) var users: [User] = []
    public internal(set) var pools: [Pool] = []
    var holdings = HoldingTable()
    public let coinbase: Address
    public private(set) var coinbaseBalance: U256
    /// Block time in seconds.
    public var timestamp: UInt32

    public init(coinbase: Address, coinbaseBalance: U256, timestamp: UInt32, keepsAllowances: Bool = true) {
        self.coinbase = coinbase
        self.coinbaseBalance = coinbaseBalance
        self.timestamp = timestamp
        self.keepsAllowances = keepsAllowances
    }

    // MARK: Setting up

    /// Token 0 must be WETH where there are pools.
    public func addToken(_ kind: TokenKind, at address: Address) -> Int {
        tokens.append(Token(kind: kind, address: address))
        return tokens.count - 1
    }

    public func addUser(_ address: Address, nonce: UInt64, balance: UInt128) -> Int {
        users.append(User(address: address, nonce: nonce, balance: balance))
        return users.count - 1
    }

    /// A pair of `token` and WETH whose token balances equal its reserves.
    public func addPool(token: Int, at address: Address, pair: UniswapPair) -> Int {
        let (token0, weth) = (tokens[token], tokens[0])
        pools.append(
            Pool(
                token: token, address: address, tokenIsZero: token0.address < weth.address, pair: pair,
                tokenBalanceSlot: Keccak256.mappingSlot(key: address.word, base: token0.kind.balanceBase),
                wethBalanceSlot: Keccak256.mappingSlot(key: address.word, base: weth.kind.balanceBase)))
        return pools.count - 1
    }

    /// Gives a user a balance and the router an allowance. Answers false when the user has the holding already.
    @discardableResult
    public func addHolding(user: Int, token: Int, balance: UInt128, allowance: UInt128 = 0) -> Bool {
        guard holdings.find(user: UInt32(user), token: UInt32(token)) == nil else { return false }
        _ = insertHolding(user, token, balance: balance, allowance: allowance)
        return true
    }

    public func balance(user: Int, token: Int) -> UInt128? {
        holdings.find(user: UInt32(user), token: UInt32(token)).map { holdings[$0].balance }
    }

    public func allowance(user: Int, token: Int) -> UInt128? {
        holdings.find(user: UInt32(user), token: UInt32(token)).map { holdings[$0].allowance }
    }

    private func insertHolding(_ user: Int, _ token: Int, balance: UInt128, allowance: UInt128) -> Int {
        let owner = users[user].address.word
        let kind = tokens[token].kind
        let allowanceSlot =
            keepsAllowances
            ? Keccak256.nestedSlot(base: kind.allowanceBase, outer: owner, inner: ContractAddress.router.word)
            : .zero
        return holdings.add(
            Holding(
                user: UInt32(user), token: UInt32(token), balance: balance, allowance: allowance,
                balanceSlot: Keccak256.mappingSlot(key: owner, base: kind.balanceBase),
                allowanceSlot: allowanceSlot))
    }

    func holding(_ user: Int, _ token: Int) -> Int {
        holdings.find(user: UInt32(user), token: UInt32(token))
            ?? insertHolding(user, token, balance: 0, allowance: 0)
    }

    // MARK: Writing

    /// The sender's account: one more nonce, less the fee and what was sent along.
    func writeSender(_ user: Int, fee: UInt128, value: UInt128 = 0, into sink: some WriteSink) {
        users[user].nonce += 1
        users[user].balance -= fee + value
        writeAccount(user, into: sink)
    }

    func writeAccount(_ user: Int, into sink: some WriteSink) {
        let account = users[user]
        sink.setAccount(account.address, balance: U256(wide: account.balance), nonce: account.nonce)
    }

    func credit(_ user: Int, _ value: UInt128, into sink: some WriteSink) {
        users[user].balance += value
        writeAccount(user, into: sink)
    }

    /// The whole fee goes to the coinbase.
    func writeCoinbase(fee: UInt128, into sink: some WriteSink) {
        coinbaseBalance = coinbaseBalance &+ U256(wide: fee)
        sink.setAccount(coinbase, balance: coinbaseBalance, nonce: 0)
    }

    func writeBalance(_ holding: Holding, into sink: some WriteSink) {
        writeBalance(
            tokens[Int(holding.token)], owner: users[Int(holding.user)].address, slot: holding.balanceSlot,
            holding.balance, into: sink)
    }

    func writeBalance(
        _ token: Token, owner: Address, slot: U256, _ balance: UInt128, into sink: some WriteSink
    ) {
        sink.setSlot(
            token.address, slot, to: U256(wide: balance),
            preimage: .mapping(base: token.kind.balanceBase, key: owner.word))
    }

    func writeAllowance(_ holding: Holding, into sink: some WriteSink) {
        let token = tokens[Int(holding.token)]
        sink.setSlot(
            token.address, holding.allowanceSlot, to: U256(wide: holding.allowance),
            preimage: .nested(
                base: token.kind.allowanceBase, outer: users[Int(holding.user)].address.word,
                inner: ContractAddress.router.word))
    }
}

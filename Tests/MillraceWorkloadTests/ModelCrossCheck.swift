import Foundation
import MillraceBase
import MillraceDiff
import MillraceRecording
import MillraceTestSupport
import Testing

@testable import MillraceWorkload

/// The contract model against the workload files, whose writes were themselves checked against a real EVM: a chain is set up
/// with the file's values before the stream, each transaction's parameters are read off its writes, and the model must
/// then store exactly what the file says, fee included.
@Suite struct ModelCrossCheck {
    @Test(arguments: files)
    func `the model stores what the workload files store`(name: String) throws {
        guard let url = TestData.url("workloads/\(name).sdw1.zst") else { return }
        let bytes = try InputFile.readAll(path: url.path, limit: 1 << 26)
        let reader = try SDW1Reader(bytes)
        let replay = try FileChain(reader, try SDW1Header(reader.headerText))
        var writes: [SDW1Write] = []
        var checked = 0
        while checked < transactionsMax, try reader.next(into: &writes) {
            let difference = replay.check(writes)
            if let difference {
                Issue.record("\(name), transaction \(checked): \(difference)")
                return
            }
            checked += 1
        }
        print("\(name): \(checked) transactions, branches \(replay.branches.sorted().joined(separator: " "))")
        #expect(checked == min(transactionsMax, reader.transactionCount))
    }

    // A debug build hashes a hundred times slower: two files and a few thousand transactions meet every branch there. In
    // a release build every transaction of every file is checked.
    #if DEBUG
    private static let files = ["erc20-zipf-round", "swap-zipf"]
    private let transactionsMax = 5_000
    #else
    private static let files = [
        "erc20-zipf", "erc20-uniform", "erc20-zipf-round", "swap-zipf", "swap-uniform",
    ]
    private let transactionsMax = Int.max
    #endif
}

/// Collects one transaction's writes under the keys' own names.
private final class WriteList: WriteSink {
    enum Key: Hashable {
        case account(Address)
        case slot(Address, U256)
    }
    var values: [Key: SDW1Value] = [:]
    var preimages: [Key: SlotPreimage] = [:]
    var problem: String?

    func beginTransaction() {}
    func endTransaction() {}
    func setAccount(_ address: Address, balance: U256, nonce: UInt64) {
        values[.account(address)] = .account(nonce: nonce, balance: balance)
    }
    func setSlot(_ address: Address, _ slot: U256, to value: U256, preimage: SlotPreimage) {
        values[.slot(address, slot)] = .slot(value)
        preimages[.slot(address, slot)] = preimage
    }
    func setCode(_ address: Address, to code: [UInt8]) { problem = "code set" }
    func destroy(_ address: Address) { problem = "account destroyed" }
}

private struct Broken: Error { let what: String }

/// A `Chain` with a file's contents, and what is needed to find a transaction's parameters.
private final class FileChain {
    private let reader: SDW1Reader
    private let chain: Chain
    private var values: [SDW1Value]
    private var tokens: [Address: Int] = [:]
    private var pools: [Address: Int] = [:]
    private var users: [Address: Int] = [:]
    var branches: Set<String> = []

    init(_ reader: SDW1Reader, _ header: SDW1Header) throws {
        self.reader = reader
        values = reader.keys.map { key in
            switch key {
            case .account(_, let nonce, let balance): .account(nonce: nonce, balance: balance)
            case .slot(_, _, _, let value): .slot(value)
            }
        }
        let coinbase = reader.literals[0]
        var coinbaseBalance = U256.zero
        for case .account(coinbase, _, let balance) in reader.keys { coinbaseBalance = balance }
        let hasPools = header.contracts.contains { $0.code == "PAIR" }
        chain = Chain(
            coinbase: coinbase, coinbaseBalance: coinbaseBalance, timestamp: 0, keepsAllowances: hasPools)

        // WETH first: token 0 is what pools trade against.
        let kinds = Dictionary(uniqueKeysWithValues: TokenKind.allCases.map { ($0.name, $0) })
        let named = header.contracts.compactMap { entry in
            kinds[entry.code].map { (reader.literals[entry.index], $0) }
        }
        let weth = named.first { $0.1 == .weth }
        // The others of the first four are at made-up addresses there.
        for kind in hasPools ? [TokenKind.usdc, .weth] : [.usdc] {
            #expect(named.first { $0.1 == kind }?.0 == kind.mainnetAddress, "\(kind)")
        }
        for (address, kind) in [weth].compactMap({ $0 }) + named.filter({ $0.0 != weth?.0 }) {
            tokens[address] = chain.addToken(kind, at: address)
        }
        let contracts = Set(header.contracts.map { reader.literals[$0.index] })

        for case .account(let address, let nonce, let balance) in reader.keys where address != coinbase {
            users[address] = chain.addUser(address, nonce: nonce, balance: balance.low128)
        }
        // Balances, and the router's allowances; the same storage slot must come out as in the file.
        var balances: [[Address]: U256] = [:]
        var allowances: [[Address]: U256] = [:]
        var pairTokens: [Address: Address] = [:]
        var words: [Address: [U256]] = [:]
        for case .slot(let contract, let slot, let preimage, let value) in reader.keys {
            switch preimage {
            case .mapping(let base, let key):
                let holder = Address(truncating: key)
                guard base == tokens[contract].map({ chain.tokens[$0].kind.balanceBase }) else {
                    throw Broken(what: "unknown mapping at base \(base)")
                }
                balances[[contract, holder]] = value
                if contracts.contains(holder) {
                    if contract != weth?.0 { pairTokens[holder] = contract }
                } else if users[holder] == nil {
                    users[holder] = chain.addUser(holder, nonce: 0, balance: 0)
                }
            case .nested(let base, let outer, let inner):
                guard base == tokens[contract].map({ chain.tokens[$0].kind.allowanceBase }),
                    Address(truncating: inner) == ContractAddress.router
                else { throw Broken(what: "unknown nested mapping at base \(base)") }
                allowances[[contract, Address(truncating: outer)]] = value
            case .none:
                guard let index = slot.asUInt64, (8...10).contains(index) else {
                    throw Broken(what: "slot \(slot)")
                }
                words[contract, default: [.zero, .zero, .zero]][Int(index) - 8] = value
            }
        }
        for (key, value) in balances.sorted(by: {
            $0.key[0] == $1.key[0] ? $0.key[1] < $1.key[1] : $0.key[0] < $1.key[0]
        }) {
            guard let user = users[key[1]], let token = tokens[key[0]] else { continue }
            chain.addHolding(
                user: user, token: token, balance: value.low128, allowance: allowances[key]?.low128 ?? 0)
        }
        for (pair, token) in pairTokens.sorted(by: { $0.key < $1.key }) {
            guard let word = words[pair], let weth = weth?.0, let number = tokens[token] else {
                throw Broken(what: "pair without reserves")
            }
            #expect(ContractAddress.pair(token, weth) == pair)
            pools[pair] = chain.addPool(
                token: number, at: pair,
                pair: UniswapPair(reserves: word[0], price0: word[1], price1: word[2]))
        }
    }

    /// Replays one transaction; a sentence when the model differs.
    func check(_ writes: [SDW1Write]) -> String? {
        let list = WriteList()
        guard let sender = writes.lazy.compactMap({ self.sender($0) }).first else { return "no sender" }
        let happened: Bool
        if let reserves = writes.first(where: { self.isReserves($0) }) {
            happened = swap(writes, reserves, sender, list)
        } else {
            happened = transfer(writes, sender, list)
        }
        guard happened else { return "the model refuses it" }
        var expected: [WriteList.Key: SDW1Value] = [:]
        for write in writes {
            switch reader.keys[write.key] {
            case .account(let address, _, _): expected[.account(address)] = write.value
            case .slot(let contract, let slot, let preimage, _):
                expected[.slot(contract, slot)] = write.value
                if list.preimages[.slot(contract, slot)] != preimage {
                    return "another preimage for \(contract) \(slot)"
                }
            }
            values[write.key] = write.value
        }
        if let problem = list.problem { return problem }
        return list.values == expected ? nil : "expected \(expected), the model writes \(list.values)"
    }

    private func transfer(_ writes: [SDW1Write], _ sender: (user: Int, fee: UInt128), _ list: WriteList)
        -> Bool
    {
        // The payer's slot falls, the payee's rises.
        var payee: (user: Int, token: Int, amount: UInt128, isNew: Bool)?
        for write in writes {
            guard case .slot(let contract, _, .mapping(_, let key), _) = reader.keys[write.key],
                let token = tokens[contract],
                case .slot(let old) = values[write.key], case .slot(let new) = write.value, new > old,
                let user = users[Address(truncating: key)]
            else { continue }
            payee = (user, token, (new &- old).low128, old.isZero)
        }
        guard let payee, let held = chain.balance(user: sender.user, token: payee.token) else { return false }
        let gas = Gas.transfer(
            chain.tokens[payee.token].kind, to: chain.users[payee.user].address, amount: payee.amount,
            payerEmptied: held == payee.amount, payeeIsNew: payee.isNew)
        guard let price = price(sender.fee, gas) else { return false }
        branches.insert(
            "\(chain.tokens[payee.token].kind)\(payee.isNew ? "-new" : "")\(held == payee.amount ? "-all" : "")"
        )
        return chain.transfer(
            payee.token, from: sender.user, to: .user(payee.user), amount: payee.amount, gasPrice: price,
            into: list)
    }

    private func swap(
        _ writes: [SDW1Write], _ reserves: SDW1Write, _ sender: (user: Int, fee: UInt128), _ list: WriteList
    ) -> Bool {
        guard case .slot(let address, _, _, _) = reader.keys[reserves.key], let pool = pools[address],
            case .slot(let old) = values[reserves.key], case .slot(let new) = reserves.value
        else { return false }
        let (before, after) = (UniswapPair(reserves: old), UniswapPair(reserves: new))
        let zeroForOne = after.reserve0 > before.reserve0
        let amountIn = zeroForOne ? after.reserve0 - before.reserve0 : after.reserve1 - before.reserve1
        let sellingToken = zeroForOne == chain.pools[pool].tokenIsZero
        chain.timestamp = after.timestamp
        let (tokenIn, tokenOut) = sellingToken ? (chain.pools[pool].token, 0) : (0, chain.pools[pool].token)
        guard let amountOut = before.amountOut(for: amountIn, zeroForOne: zeroForOne),
            let payer = chain.holdings.find(user: UInt32(sender.user), token: UInt32(tokenIn))
        else { return false }
        let isNew = chain.balance(user: sender.user, token: tokenOut) ?? 0 == 0
        let gas = chain.swapGas(
            pool, sellingToken: sellingToken, by: sender.user, amountIn: amountIn, amountOut: amountOut,
            payer: chain.holdings[payer], payeeIsNew: isNew)
        guard let price = price(sender.fee, gas) else { return false }
        branches.insert(
            "\(chain.tokens[tokenIn].kind)-\(chain.tokens[tokenOut].kind)\(isNew ? "-new" : "")"
                + (before.timestamp == after.timestamp ? "" : "-accumulated"))
        return chain.swap(
            pool, sellingToken: sellingToken, by: sender.user, amountIn: amountIn, gasPrice: price, into: list
        )
    }

    /// The gas price, if the model's gas explains the fee: a whole number of at least 1,000,000 wei.
    private func price(_ fee: UInt128, _ gas: UInt64) -> UInt64? {
        let (price, rest) = fee.quotientAndRemainder(dividingBy: UInt128(gas))
        return rest == 0 && price >= 1_000_000 ? UInt64(exactly: price) : nil
    }

    private func sender(_ write: SDW1Write) -> (user: Int, fee: UInt128)? {
        guard case .account(let address, _, _) = reader.keys[write.key], let user = users[address],
            case .account(_, let old) = values[write.key], case .account(_, let new) = write.value, old > new
        else { return nil }
        return (user, (old &- new).low128)
    }

    private func isReserves(_ write: SDW1Write) -> Bool {
        guard case .slot(_, let slot, .none, _) = reader.keys[write.key] else { return false }
        return slot == UniswapPair.reservesSlot
    }
}

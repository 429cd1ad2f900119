/// What `mixed` and `idle` are made of. Spec 75.4.6.

import MillraceBase
import MillraceDiff

/// The contracts beside tokens and pools.
struct Sundries {
    /// WETH's own ether.
    var wethEther = U256(0, 0x00A0_0000, 0, 0)
    /// Supplies of the tokens that can be minted, by token.
    var supplies: [U256] = []
    var collections = (0..<8).map {
        ItemCollection(address: ContractAddress.derived("millrace-collection", $0))
    }
    var feeds = (0..<16).map {
        PriceFeed(address: ContractAddress.derived("millrace-feed", $0), answer: 100_000_000 * ($0 + 1))
    }
    /// Contracts deployed by the stream and still there.
    var deployed: [Address] = []
    static let deployedMax = 4_096

    func writeContracts(into builder: DiffBuilder) {
        for collection in collections {
            builder.setAccount(collection.address, balance: .zero, nonce: 1)
            builder.setCode(collection.address, to: StandInCode.bytes(named: "COLLECTION"))
        }
        for feed in feeds {
            builder.setAccount(feed.address, balance: .zero, nonce: 1)
            builder.setCode(feed.address, to: StandInCode.bytes(named: "FEED"))
        }
    }
}

extension GeneratedWorkload {
    func tryMixed(into builder: DiffBuilder) -> Bool {
        switch random.below(1_000) {
        case 0..<380: tryTransfer(into: builder)
        case 380..<680: trySwap(into: builder)
        case 680..<760: trySwapTwice(into: builder)
        case 760..<880: trySend(into: builder)
        case 880..<920: tryMint(into: builder)
        case 920..<950: tryMintItem(into: builder)
        case 950..<980: tryReport(into: builder)
        case 980..<994: tryWrap(into: builder)
        case 994..<998: tryDeploy(into: builder)
        default: tryDestroy(into: builder)
        }
    }

    func tryIdle(into builder: DiffBuilder) -> Bool {
        switch random.below(10) {
        case 0..<5: trySend(into: builder)
        case 5..<8: tryTransfer(into: builder)
        default: tryReport(into: builder)
        }
    }

    /// One of the tokens with DAI's code, to its receiver's own call.
    private func tryMint(into builder: DiffBuilder) -> Bool {
        let token = market.drawToken(&random)
        guard chain.tokens[token].kind == .dai else { return false }
        let amount = min(market.transferThousandths.sample(&random), 1 << 60) * 1_000_000_000_000_000
        return chain.mint(
            token, amount: amount, to: drawUser(), supply: &sundries.supplies[token],
            gasPrice: drawGasPrice(),
            into: builder)
    }

    private func tryMintItem(into builder: DiffBuilder) -> Bool {
        let collection = Int(random.below(UInt64(sundries.collections.count)))
        return chain.mint(
            of: &sundries.collections[collection], to: drawUser(), gasPrice: drawGasPrice(), into: builder)
    }

    /// A new answer within 0.1 % of the last.
    private func tryReport(into builder: DiffBuilder) -> Bool {
        let feed = Int(random.below(UInt64(sundries.feeds.count)))
        let answer = sundries.feeds[feed].answer
        let next = answer - answer / 1_000 + random.below(answer / 500 + 1)
        return chain.report(
            to: &sundries.feeds[feed], answer: next, by: drawUser(), gasPrice: drawGasPrice(), into: builder)
    }

    private func tryWrap(into builder: DiffBuilder) -> Bool {
        let user = drawUser()
        let value = min(market.swapValue.sample(&random), chain.users[user].balance / 4)
        return chain.wrap(
            value, by: user, wethEther: &sundries.wethEther, gasPrice: drawGasPrice(), into: builder)
    }

    /// Random code of 64 to 1,087 bytes.
    private func tryDeploy(into builder: DiffBuilder) -> Bool {
        guard sundries.deployed.count < Sundries.deployedMax else { return false }
        var code: [UInt8] = [0xFE]
        for _ in 0..<(63 + random.below(1_024)) { code.append(UInt8(truncatingIfNeeded: random.next())) }
        let word = U256(random.next(), random.next(), random.next(), random.next())
        guard
            let address = chain.deploy(
                code, word: word, by: drawUser(), gasPrice: drawGasPrice(), into: builder)
        else { return false }
        sundries.deployed.append(address)
        return true
    }

    private func tryDestroy(into builder: DiffBuilder) -> Bool {
        guard !sundries.deployed.isEmpty else { return false }
        let index = Int(random.below(UInt64(sundries.deployed.count)))
        guard chain.destroy(sundries.deployed[index], by: drawUser(), gasPrice: drawGasPrice(), into: builder)
        else {
            return false
        }
        sundries.deployed.remove(at: index)
        return true
    }
}

/// What the transactions themselves are worth: an estimate of the bits that any coder, however clever, has to send for a
/// stream whose transactions are independent draws. From the operations that the source found, as
///
///     kind, sender, other parties, token or pool and direction, amount, gas price    each −log2 of its probability
///     less the order of a mini-block's transactions                                  log2(n!), but for swaps of one pool
///
/// Distributions are the generator's where its parameters are known, else fitted: users to Zipf's law by how often the same one
/// is drawn twice, amounts and tips to log-normal laws, small alphabets by their frequencies. A stream's users are taken as
/// drawn afresh each time: a coder may do better where they are not (portfolios, pay-outs of all one has).

import Glibc
import MillraceBase
import MillraceDiff

struct SourceEstimate {
    struct Part {
        var name: String
        var bitsPerTx: Double
        /// Where the distribution is from.
        var how: String
    }

    /// Sums to the whole; the order is negative.
    var parts: [Part]
    /// Transactions whose operations are known, of all.
    var understoodShare: Double
    var bytesPerTx: Double { parts.reduce(0) { $0 + $1.bitsPerTx } / 8 }
}

/// Zipf's law over the users, as far as it is known beforehand.
struct UserLaw {
    /// Nil: the accounts before the stream.
    var count: Int?
    /// Nil: fitted.
    var exponent: Double?
}

final class SourceEntropy {
    /// An amount's company: whose distribution it shares.
    private struct AmountGroup: Hashable {
        var kind: UInt8
        var fact: UInt32
        var zeroForOne: Bool
    }
    private struct AmountSums {
        var count = 0.0
        var logs = 0.0
        var squares = 0.0
        /// How many have so many decimal zeros at the end.
        var zeros = [UInt64](repeating: 0, count: 78)

        mutating func add(_ amount: U256) {
            let log = SourceEntropy.log2(of: amount)
            count += 1
            logs += log
            squares += log * log
            zeros[SourceEntropy.decimalZeros(amount)] += 1
        }
    }

    private var transactions: UInt64 = 0
    private var understood: UInt64 = 0
    private var shapes: [[UInt8]: UInt64] = [:]
    private var senders: [UInt32: UInt64] = [:]
    private var others: [UInt32: UInt64] = [:]
    private var newParties: UInt64 = 0
    private var facts: [UInt64: [UInt64: UInt64]] = [:]
    private var amounts: [AmountGroup: AmountSums] = [:]
    private var prices: [UInt64: UInt64] = [:]
    private var orderBits = 0.0

    /// A mini-block; accounts from `firstNew` on are its own.
    func add(_ diff: StateDiff, firstNew: Int) {
        transactions += diff.transactions
        var next = 0
        var swaps: [UInt32: Int] = [:]
        var known = 0
        for transaction in diff.operations.transactions {
            let actions = diff.operations.actions[next..<(next + Int(transaction.actionCount))]
            next = actions.endIndex
            if actions.isEmpty { continue }
            known += 1
            senders[transaction.sender.index, default: 0] += 1
            prices[transaction.price, default: 0] += 1
            var shape: [UInt8] = []
            for action in actions {
                shape.append(note(action, of: transaction.sender, firstNew: firstNew))
                if action.kind == .swap { swaps[action.fact.index, default: 0] += 1 }
            }
            shapes[shape, default: 0] += 1
        }
        understood += UInt64(known)
        orderBits += Entropy.orderBits(known) - swaps.values.reduce(0) { $0 + Entropy.orderBits($1) }
    }

    /// Answers what kind of action it is and where its parties are from, as one symbol.
    private func note(_ action: Action, of sender: AccountID, firstNew: Int) -> UInt8 {
        func role(_ party: Party, _ before: Party?) -> UInt8 {
            if party == Party(sender) { return 0 }
            if party == before { return 1 }
            if party.account.map({ Int($0.index) >= firstNew }) ?? true {
                newParties += 1
                return 2
            }
            others[party.raw, default: 0] += 1
            return 3
        }
        // Who is paid by a chained swap's or pays into a pool is said by the pools.
        let payer = action.isChained ? 1 : role(action.payer, nil)
        let payee = role(action.payee, action.payer)
        if action.kind != .ether {
            facts[UInt64(action.kind.rawValue), default: [:]][
                UInt64(action.fact.index) << 1 | (action.zeroForOne ? 1 : 0), default: 0] += 1
        }
        if !action.isChained { note(action.amount, action, kind: action.kind.rawValue) }
        if !action.amountOut.isZero { note(action.amountOut, action, kind: 16 + action.kind.rawValue) }
        return action.kind.rawValue << 5 | (action.isChained ? 16 : 0) | payer << 2 | payee
    }

    private func note(_ amount: U256, _ action: Action, kind: UInt8) {
        if amount.isZero { return }
        let group = AmountGroup(kind: kind, fact: action.fact.index, zeroForOne: action.zeroForOne)
        amounts[group, default: AmountSums()].add(amount)
    }

    static func log2(of value: U256) -> Double {
        let shift = max(0, value.bitWidth - 64)
        return Glibc.log2(Double((value >> shift).w0)) + Double(shift)
    }

    static func decimalZeros(_ value: U256) -> Int {
        var (rest, zeros) = (value, 0)
        let ten = U256(10)
        while zeros < 77 {
            let (quotient, remainder) = rest.quotientAndRemainder(dividingBy: ten)
            if !remainder.isZero { break }
            rest = quotient
            zeros += 1
        }
        return zeros
    }
}

// MARK: The estimate

extension SourceEntropy {
    /// Nil when less than 95 of 100 transactions are understood.
    func estimate(_ law: UserLaw, accountsBefore: Int) -> SourceEstimate? {
        guard understood > 0, Double(understood) >= 0.95 * Double(transactions) else { return nil }
        let count = Double(understood)
        let users = max(1, law.count ?? accountsBefore)
        func userBits(_ counts: [UInt32: UInt64]) -> (bits: Double, exponent: Double) {
            let exponent = law.exponent ?? Zipf.exponent(of: counts.values, users: users)
            return (Zipf(users: users, exponent: exponent).bits, exponent)
        }
        func how(_ exponent: Double) -> String {
            let text = "Zipf, exponent \(decimal(exponent, 2)) over \(users) users"
            return law.exponent != nil && law.count != nil ? "exact: \(text)" : "fitted: \(text)"
        }
        let sender = userBits(senders)
        let other = userBits(others)
        let otherDraws = Double(others.values.reduce(0, +))
        let amount = amountBits()
        var parts = [
            SourceEstimate.Part(
                name: "kinds and roles", bitsPerTx: Entropy.bits(of: shapes.values) / count,
                how: "fitted: frequencies"),
            SourceEstimate.Part(name: "senders", bitsPerTx: sender.bits, how: how(sender.exponent)),
            SourceEstimate.Part(
                name: "other parties", bitsPerTx: other.bits * otherDraws / count, how: how(other.exponent)),
            SourceEstimate.Part(
                name: "new addresses", bitsPerTx: 160 * Double(newParties) / count,
                how: "exact: 160 bits each"),
            SourceEstimate.Part(
                name: "tokens, pools, directions",
                bitsPerTx: facts.values.reduce(0) { $0 + Entropy.bits(of: $1.values) } / count,
                how: "fitted: frequencies"),
            SourceEstimate.Part(
                name: "amounts", bitsPerTx: amount / count,
                how: "fitted: log-normal for each token and direction, at the resolution of the digits"),
            SourceEstimate.Part(
                name: "gas prices", bitsPerTx: priceBits() / count,
                how: "fitted: the commonest price's share, log-normal for the others"),
        ]
        parts.append(
            SourceEstimate.Part(
                name: "free order", bitsPerTx: -orderBits / count,
                how: "exact: log2 of n! for each mini-block, less that of the swaps of each pool"))
        parts.removeAll { $0.bitsPerTx == 0 }
        return SourceEstimate(parts: parts, understoodShare: count / Double(max(transactions, 1)))
    }

    /// All amounts: each group has a mean of its own, the groups of a kind share their spread.
    private func amountBits() -> Double {
        var bits = 0.0
        for kind in Set(amounts.keys.map(\.kind)) {
            let groups = amounts.filter { $0.key.kind == kind }.map(\.value)
            let count = groups.reduce(0) { $0 + $1.count }
            let within = groups.reduce(0) { $0 + max(0, $1.squares - $1.logs * $1.logs / $1.count) }
            let degrees = max(1, count - Double(groups.count))
            // Of the logarithm to base 2; never finer than a unit.
            let sigma = max((within / degrees).squareRoot(), 1e-3)
            let logs = groups.reduce(0) { $0 + $1.logs }
            // −log2 of the density of a log-normal amount, in units: the logarithm's own, and a unit's share of it.
            let perDraw = Glibc.log2(sigma * (2 * Double.pi * M_E).squareRoot()) + Glibc.log2(M_LN2)
            bits += max(0, count * perDraw + logs)
            bits -= resolutionBits(groups, count)
        }
        return max(0, bits)
    }

    /// What round amounts save: every decimal zero at the end makes the grid ten times coarser, and how many there are has
    /// to be said. Nothing where digits are random.
    private func resolutionBits(_ groups: [AmountSums], _ count: Double) -> Double {
        var (zeros, said) = (0.0, 0.0)
        for group in groups {
            for (i, n) in group.zeros.enumerated() { zeros += Double(i) * Double(n) }
            said += Entropy.bits(of: group.zeros)
        }
        return zeros < 0.5 * count ? 0 : max(0, zeros * Glibc.log2(10) - said)
    }

    private func priceBits() -> Double {
        guard let common = prices.max(by: { ($0.value, $1.key) < ($1.value, $0.key) }) else { return 0 }
        let rest = prices.filter { $0.key != common.key }
        let draws = rest.values.reduce(0, +)
        var bits = Entropy.bits(of: [common.value, draws])
        if draws == 0 { return bits }
        // A tip over the least price, or the price as it is: whichever law fits better.
        let least = (rest.keys.min() ?? 1) &- 1
        bits +=
            [0, least].map { shift -> Double in
                var (logs, squares) = (0.0, 0.0)
                for (price, count) in rest {
                    let log = Glibc.log2(Double(price - shift))
                    logs += log * Double(count)
                    squares += log * log * Double(count)
                }
                let n = Double(draws)
                let sigma = max((max(0, squares - logs * logs / n) / max(1, n - 1)).squareRoot(), 1e-3)
                return n * (Glibc.log2(sigma * (2 * Double.pi * M_E).squareRoot()) + Glibc.log2(M_LN2)) + logs
            }.min() ?? 0
        // Frequencies are the better law where there are few prices.
        return max(0, min(bits, Entropy.bits(of: prices.values) + 64 * Double(prices.count)))
    }
}

/// Zipf's law over ranks from 1: probability in proportion to rank^−exponent.
struct Zipf {
    /// Σ k^−s, Σ k^−s · ln k, Σ k^−2s.
    private var sum = 0.0, logSum = 0.0, squareSum = 0.0
    private let exponent: Double

    init(users: Int, exponent: Double) {
        self.exponent = exponent
        // One by one at first; then in steps of a 256th, each taken at its middle.
        var k = 1
        while k <= users {
            let width = min(max(1, k / 256), users - k + 1)
            let middle = Double(k) + Double(width - 1) / 2
            let p = pow(middle, -exponent)
            sum += p * Double(width)
            logSum += p * Double(width) * log(middle)
            squareSum += p * p * Double(width)
            k += width
        }
    }

    /// Entropy of a draw.
    var bits: Double { max(0, (exponent * logSum / sum + log(sum)) / M_LN2) }
    /// The chance that two draws are the same.
    var collision: Double { squareSum / (sum * sum) }

    /// The exponent, from 0 to 4, at which two draws are the same as often as they were.
    static func exponent(of counts: some Sequence<UInt64>, users: Int) -> Double {
        var (total, pairs) = (0.0, 0.0)
        for count in counts {
            let n = Double(count)
            total += n
            pairs += n * (n - 1)
        }
        guard total > 1, users > 1 else { return 0 }
        let wanted = pairs / (total * (total - 1))
        var (low, high) = (0.0, 4.0)
        for _ in 0..<40 {
            let middle = (low + high) / 2
            if Zipf(users: users, exponent: middle).collision < wanted { low = middle } else { high = middle }
        }
        return low
    }
}

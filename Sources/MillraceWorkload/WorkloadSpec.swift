/// What to generate, as text: `swap?tps=100000&accounts=100000&zipf=1.0&seed=7&pools=200&seconds=20`. Spec 75.1.
///
/// The part before `?` names the workload; every parameter has a default, may be given once, and is refused with a suggestion
/// when its name is not known. `text` gives the canonical form, with everything written out that matters.

import MillraceBase

public struct WorkloadSpec: Hashable, Sendable {
    public enum Kind: String, Sendable, CaseIterable {
        /// Uniswap V2 swaps.
        case swap
        /// ERC-20 transfers.
        case erc20
        /// A bit of everything a busy chain does.
        case mixed
        /// A quiet network: most mini-blocks are empty.
        case idle
    }

    public var kind: Kind
    public var transactionsPerSecond: Int
    public var accounts: Int
    /// Exponent of Zipf's law over the accounts, in ten-thousandths; 0 is uniform.
    public var zipfTenThousandths: Int
    public var seed: UInt64
    /// Pools of `swap` and `mixed`; tokens of `erc20`.
    public var pools: Int
    /// How long; nil for without end.
    public var seconds: Int?

    public init(_ kind: Kind) {
        self.kind = kind
        transactionsPerSecond = kind == .idle ? 5 : 100_000
        accounts = kind == .idle ? 1_000 : 100_000
        zipfTenThousandths = 10_000
        seed = 1
        pools = kind == .erc20 ? 100 : kind == .idle ? 4 : 200
    }

    /// Mini-blocks in all; nil for without end.
    public var miniBlocks: UInt64? { seconds.map { UInt64($0) * 100 } }

    /// Transactions of the mini-block at a height, so that they add up to `transactionsPerSecond` each second and are
    /// spread evenly.
    public func transactions(atHeight height: UInt64) -> Int {
        let within = Int((height &- 1) % 100)
        return (within + 1) * transactionsPerSecond / 100 - within * transactionsPerSecond / 100
    }

    /// The canonical text.
    public var text: String {
        var text =
            "\(kind.rawValue)?tps=\(transactionsPerSecond)&accounts=\(accounts)&zipf=\(zipfText)&seed=\(seed)"
        text += "&\(kind == .erc20 ? "tokens" : "pools")=\(pools)"
        if let seconds { text += "&seconds=\(seconds)" }
        return text
    }

    private var zipfText: String {
        let fraction = String(10_000 + zipfTenThousandths % 10_000).dropFirst()
        let digits = fraction.reversed().drop { $0 == "0" }.reversed()
        return "\(zipfTenThousandths / 10_000)" + (digits.isEmpty ? "" : "." + String(digits))
    }
}

// MARK: Reading

extension WorkloadSpec {
    private static let parameters = ["tps", "accounts", "zipf", "seed", "pools", "tokens", "seconds"]

    /// Parses a specification. Any text gives a value or a `WorkloadError`.
    public init(_ text: String) throws(WorkloadError) {
        guard text.utf8.count <= WorkloadLimits.specificationBytesMax else {
            throw WorkloadError(
                "the workload is \(text.utf8.count) bytes long, expected at most \(WorkloadLimits.specificationBytesMax)"
            )
        }
        let halves = text.split(separator: "?", maxSplits: 1, omittingEmptySubsequences: false)
        let name = String(halves[0])
        guard let kind = Kind(rawValue: name) else {
            let known = Kind.allCases.map(\.rawValue)
            throw WorkloadError(
                "unknown workload `\(name)`, expected one of " + known.joined(separator: ", ")
                    + Suggestion.hint(for: name, among: known))
        }
        self.init(kind)
        var seen: [String] = []
        guard halves.count == 2, !halves[1].isEmpty else { return }
        for part in halves[1].split(separator: "&", omittingEmptySubsequences: false) {
            let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(
                String.init)
            guard sides.count == 2 else {
                throw WorkloadError(
                    "parameter `\(part)` of workload `\(name)` has no value, expected `name=value`")
            }
            if seen.contains(sides[0]) { throw WorkloadError("parameter `\(sides[0])` is given twice") }
            seen.append(sides[0])
            try set(sides[0], to: sides[1])
        }
    }

    /// Sets one parameter by its name, checking it as the text form does.
    public mutating func set(_ parameter: String, to value: String) throws(WorkloadError) {
        typealias Limit = WorkloadLimits
        switch parameter {
        case "tps":
            transactionsPerSecond = try WorkloadSpec.integer(
                value, parameter, 1...Limit.transactionsPerSecondMax)
        case "accounts": accounts = try WorkloadSpec.integer(value, parameter, 10...Limit.accountsMax)
        case "zipf": zipfTenThousandths = try WorkloadSpec.decimal(value, parameter)
        case "seed":
            guard let seed = WorkloadSpec.unsigned(value) else {
                throw WorkloadError("parameter `seed` is `\(value)`, expected an integer from 0 to 2^64 - 1")
            }
            self.seed = seed
        case "pools" where kind != .erc20, "tokens" where kind == .erc20:
            pools = try WorkloadSpec.integer(value, parameter, 2...Limit.tokensMax)
        case "seconds": seconds = try WorkloadSpec.integer(value, parameter, 1...Limit.secondsMax)
        default:
            let known = WorkloadSpec.parameters.filter { $0 != (kind == .erc20 ? "pools" : "tokens") }
            throw WorkloadError(
                "unknown parameter `\(parameter)` of workload `\(kind.rawValue)`, expected one of "
                    + known.joined(separator: ", ") + Suggestion.hint(for: parameter, among: known))
        }
    }

    private static func integer(
        _ text: String, _ parameter: String, _ range: ClosedRange<Int>
    ) throws(WorkloadError) -> Int {
        guard let value = unsigned(text), value <= UInt64(Int.max), range.contains(Int(value)) else {
            throw WorkloadError(
                "parameter `\(parameter)` is `\(text)`, expected an integer from \(range.lowerBound) to \(range.upperBound)"
            )
        }
        return Int(value)
    }

    /// Digits only: `Int("+5")` would be taken otherwise.
    private static func unsigned(_ text: String) -> UInt64? {
        text.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } ? UInt64(text) : nil
    }

    /// 0 to 4 with at most four decimals, in ten-thousandths.
    private static func decimal(_ text: String, _ parameter: String) throws(WorkloadError) -> Int {
        let parts = text.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false).map(
            String.init)
        let fraction = parts.count == 2 ? parts[1] : "0"
        if let whole = unsigned(parts[0]), whole <= 4, !fraction.isEmpty, fraction.utf8.count <= 4,
            let digits = unsigned(fraction + String(repeating: "0", count: 4 - fraction.utf8.count)),
            whole < 4 || digits == 0
        {
            return Int(whole) * 10_000 + Int(digits)
        }
        throw WorkloadError(
            "parameter `\(parameter)` is `\(text)`, expected a number from 0 to 4 with at most four decimals")
    }
}

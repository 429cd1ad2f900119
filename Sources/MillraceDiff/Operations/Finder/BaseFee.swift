/// The base fee of a mini-block from what its transactions burnt: the price per gas that divides every burn.
///
/// Plain ether gives it away, since its gas is known. Where there is none, it is the greatest price with which every
/// transaction used enough gas. A transaction may burn more (for blobs, by destroying a contract): a price is right when
/// it divides more than half of the burns. Memory: 16 bytes per transaction, kept.

struct BaseFee {
    /// Prices per gas that plain transactions would have burnt, and burns of other transactions.
    private static let candidatesMax = 8

    private var burns: [UInt128] = []
    private var candidates: [UInt128] = []
    private var divisor: UInt128 = 0
    private var least: UInt128 = .max

    mutating func add(burnt: UInt128, isPlain: Bool) {
        guard burnt > 0 else { return }
        burns.append(burnt)
        let plain = UInt128(FeeSplitter.plainGas)
        if isPlain, burnt % plain == 0, candidates.count < BaseFee.candidatesMax,
            !candidates.contains(burnt / plain)
        {
            candidates.append(burnt / plain)
        }
        least = min(least, burnt)
        var (a, b) = (divisor, burnt)
        while a != 0 { (a, b) = (b % a, a) }
        divisor = b
    }

    /// In wei per gas; 0 when nothing was burnt or nothing explains it.
    var found: UInt64 {
        guard divisor > 0 else { return 0 }
        for price in candidates {
            var divided = 0
            for burnt in burns where burnt % price == 0 { divided += 1 }
            if divided * 2 > burns.count { return UInt64(exactly: price) ?? 0 }
        }
        let plain = UInt128(FeeSplitter.plainGas)
        let gas = least / divisor
        if gas >= plain { return UInt64(exactly: divisor) ?? 0 }
        let first = (plain + gas - 1) / gas
        for factor in first..<(first + 1_000) where divisor % factor == 0 {
            return UInt64(exactly: divisor / factor) ?? 0
        }
        return 0
    }
}

/// The base fee of a mini-block from what its transactions burnt: the price per gas that divides every burn.

struct BaseFee {
    private var divisor: UInt128 = 0
    private var least: UInt128 = .max

    mutating func add(burnt: UInt128) {
        guard burnt > 0 else { return }
        least = min(least, burnt)
        var (a, b) = (divisor, burnt)
        while a != 0 { (a, b) = (b % a, a) }
        divisor = b
    }

    /// In wei per gas; 0 when nothing was burnt or nothing explains it.
    var found: UInt64 {
        guard divisor > 0 else { return 0 }
        let plain = UInt128(FeeSplitter.plainGas)
        // Plain ether is the cheapest transaction there is.
        if least % plain == 0, divisor % (least / plain) == 0 {
            return UInt64(exactly: least / plain) ?? 0
        }
        // The greatest divisor with which every transaction used enough gas.
        let gas = least / divisor
        if gas >= plain { return UInt64(exactly: divisor) ?? 0 }
        let first = (plain + gas - 1) / max(gas, 1)
        for factor in first..<(first + 1_000) where divisor % factor == 0 {
            return UInt64(exactly: divisor / factor) ?? 0
        }
        return 0
    }
}

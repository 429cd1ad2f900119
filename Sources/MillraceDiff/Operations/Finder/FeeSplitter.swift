/// Finds gas and price behind a fee where nothing is burnt, so that only their product is seen.
///
/// Any two factors would do; the likely ones cost least to code, because gas repeats by kind of transaction and price by
/// user. So, in order: 21,000 for plain ether; a price seen lately; an amount of gas that transactions of the same shape
/// used lately, or one that differs from it by some bytes of calldata (12 each); else the roundest price. Memory: fixed.

struct FeeSplitter {
    static let plainGas: UInt64 = 21_000
    static let gasMax: UInt64 = 30_000_000
    /// Zero and other bytes of calldata cost 4 and 16.
    private static let calldataStep: UInt64 = 12
    private static let stepsMax: UInt64 = 48
    private static let shapesMax = 4_096

    /// Amounts of gas seen lately in transactions of one shape, newest first; 0 for none.
    private struct Shape: BitwiseCopyable {
        var key: UInt64 = 0
        var gas: (UInt64, UInt64, UInt64, UInt64) = (0, 0, 0, 0)
    }

    /// Newest first; 0 for none.
    private var prices: InlineArray<8, UInt64> = .init(repeating: 0)
    private var shapes = [Shape](repeating: Shape(), count: FeeSplitter.shapesMax)

    /// Gas and price with gas × price = fee; nil when there are none below 2^64.
    mutating func split(_ fee: UInt128, shape: UInt64, isPlain: Bool) -> (gas: UInt64, price: UInt64)? {
        if fee == 0 { return (0, 0) }
        let place = Int(truncatingIfNeeded: shape % UInt64(FeeSplitter.shapesMax))
        if shapes[place].key != shape { shapes[place] = Shape(key: shape) }
        guard let found = factors(fee, shapes[place], isPlain: isPlain) else { return nil }
        let gas = shapes[place].gas
        if gas.0 != found.gas, found.gas >= FeeSplitter.plainGas {
            shapes[place].gas = (found.gas, gas.0, gas.1 == found.gas ? gas.2 : gas.1, gas.2)
        }
        remember(found.price)
        return found
    }

    private func factors(_ fee: UInt128, _ shape: Shape, isPlain: Bool) -> (gas: UInt64, price: UInt64)? {
        guard let small = UInt64(exactly: fee) else { return wideFactors(fee) }
        func byGas(_ gas: UInt64) -> (gas: UInt64, price: UInt64)? {
            guard gas >= FeeSplitter.plainGas, gas <= small, small % gas == 0 else { return nil }
            return (gas, small / gas)
        }
        if isPlain, let found = byGas(FeeSplitter.plainGas) { return found }
        for i in prices.indices where prices[i] != 0 {
            let (gas, rest) = small.quotientAndRemainder(dividingBy: prices[i])
            if rest == 0, gas >= FeeSplitter.plainGas, gas <= FeeSplitter.gasMax { return (gas, prices[i]) }
        }
        if let found = byGas(shape.gas.0) ?? byGas(shape.gas.1) ?? byGas(shape.gas.2) ?? byGas(shape.gas.3) {
            return found
        }
        if shape.gas.0 != 0 {
            for step in 1...FeeSplitter.stepsMax {
                let difference = step * FeeSplitter.calldataStep
                if let found = byGas(shape.gas.0 &+ difference) { return found }
                if shape.gas.0 > difference, let found = byGas(shape.gas.0 - difference) { return found }
            }
        }
        return byRoundestPrice(small)
    }

    /// The price with the most zeroes at its end that leaves a plausible amount of gas; one transaction's gas is the smallest
    /// that fits.
    private func byRoundestPrice(_ fee: UInt64) -> (gas: UInt64, price: UInt64) {
        var power: UInt64 = 1
        var powers: InlineArray<20, UInt64> = .init(repeating: 1)
        var count = 1
        while count < 20, fee % (power * 10) == 0 {
            power *= 10
            powers[count] = power
            count += 1
        }
        while count > 0 {
            count -= 1
            let rest = fee / powers[count]
            // Leading digits up to 200: gas in reach, the larger digits first, so that gas is small.
            if rest < FeeSplitter.plainGas { continue }
            let most = min(rest / FeeSplitter.plainGas, 200)
            var digits = most
            while digits > 0 {
                if rest % digits == 0, rest / digits <= FeeSplitter.gasMax {
                    return (rest / digits, digits * powers[count])
                }
                digits -= 1
            }
        }
        return (1, fee)
    }

    /// Fees of 2^64 wei and above.
    private func wideFactors(_ fee: UInt128) -> (gas: UInt64, price: UInt64)? {
        for i in prices.indices where prices[i] != 0 {
            let (gas, rest) = fee.quotientAndRemainder(dividingBy: UInt128(prices[i]))
            if rest == 0, gas <= UInt128(FeeSplitter.gasMax) { return (UInt64(gas), prices[i]) }
        }
        // A round price and whatever gas is left.
        var price: UInt64 = 1
        while price < 1_000_000_000_000, fee % UInt128(price * 10) == 0 { price *= 10 }
        return UInt64(exactly: fee / UInt128(price)).map { ($0, price) }
    }

    private mutating func remember(_ price: UInt64) {
        if prices[0] == price { return }
        var at = 1
        while at < prices.count - 1, prices[at] != price { at += 1 }
        while at > 0 {
            prices[at] = prices[at - 1]
            at -= 1
        }
        prices[0] = price
    }
}

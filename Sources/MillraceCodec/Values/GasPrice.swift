/// Finding the price most senders paid, from how much their balances fell: two falls that are price × gas have the price
/// in their greatest common divisor, usually alone. The encoder's business only; the decoder is told the price.

enum GasPrice {
    /// Pairs of falls to look at.
    private static var pairsMax: Int { 24 }
    /// Below this a divisor may be chance.
    private static var priceMin: UInt64 { 64 }

    /// The price that divides most of `falls`, `current` when that does well enough, 0 when none does.
    static func find(_ falls: UnsafeBufferPointer<UInt64>, current: UInt64) -> UInt64 {
        if falls.count < 4 { return current }
        let sample = min(falls.count, 4 * pairsMax)
        if current != 0, share(of: current, in: falls, sample) * 2 >= sample { return current }
        var best = current
        var bestShare = current == 0 ? 0 : share(of: current, in: falls, sample)
        var tried: (UInt64, UInt64) = (0, 0)
        for i in 0..<min(pairsMax, falls.count - 1) {
            let divisor = gcd(falls[i], falls[i + 1])
            // Half of all pairs of gas amounts share a factor: give the common ones up for their quotients.
            if divisor < priceMin || divisor == tried.0 || divisor == tried.1 { continue }
            tried = (divisor, tried.0)
            let found = share(of: divisor, in: falls, sample)
            if found > bestShare || (found == bestShare && divisor > best) {
                best = divisor
                bestShare = found
            }
        }
        return bestShare >= 3 && bestShare * 4 >= sample ? best : 0
    }

    private static func share(of price: UInt64, in falls: UnsafeBufferPointer<UInt64>, _ sample: Int) -> Int {
        var count = 0
        for i in 0..<sample where falls[i] % price == 0 { count += 1 }
        return count
    }

    private static func gcd(_ a: UInt64, _ b: UInt64) -> UInt64 {
        if a == 0 || b == 0 { return a | b }
        let shift = UInt64((a | b).trailingZeroBitCount)
        var a = a >> UInt64(a.trailingZeroBitCount)
        var b = b
        while b != 0 {
            b >>= UInt64(b.trailingZeroBitCount)
            if a > b { (a, b) = (b, a) }
            b -= a
        }
        return a << shift
    }
}

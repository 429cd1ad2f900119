/// Logarithms of counts: for reports only, where floating point is fine.

import Glibc

enum Entropy {
    /// −Σ n·log2(n / N): bits for all N draws at the frequencies they had.
    static func bits(of counts: some Sequence<UInt64>) -> Double {
        var (total, sum) = (0.0, 0.0)
        for count in counts where count > 0 {
            let n = Double(count)
            total += n
            sum += n * log2(n)
        }
        return total > 0 ? max(0, total * log2(total) - sum) : 0
    }

    /// log2(n!), which an order among n that does not matter is worth.
    static func orderBits(_ n: Int) -> Double { n < 2 ? 0 : lgamma(Double(n) + 1) / log(2) }
}

import Foundation
import MillraceBase
import Testing

@testable import MillraceWorkload

@Suite struct SamplingTests {
    @Test func `logarithms and powers agree with the mathematics`() {
        for n: UInt64 in [1, 2, 3, 5, 10, 1_000, 123_456_789, 1 << 40, .max] {
            let expected = Foundation.log2(Double(n))
            let got = Double(FixedPoint.log2(n)) / 4_294_967_296
            #expect(abs(got - expected) < 1e-8, "log2(\(n))")
        }
        for q in stride(from: 0, to: 100.0, by: 0.37) {
            let got = Double(FixedPoint.exp2(Int64(q * 4_294_967_296)))
            let expected = Foundation.exp2(Double(Int64(q * 4_294_967_296)) / 4_294_967_296)
            #expect(abs(got - expected) <= 1 + expected * 1e-12, "2^\(q)")
        }
        #expect(FixedPoint.exp2(-1) == 0)
        #expect(FixedPoint.exp2(40 << 32) == 1 << 40)
        #expect(FixedPoint.exp2(.max) == 1 << 127)
    }

    @Test(arguments: [(0.0, 10), (0.5, 100), (1.0, 1_000), (1.3, 7)])
    func `an alias table draws by Zipf's law`(exponent: Double, count: Int) {
        let table = AliasTable(zipf: UInt64(exponent * 65_536), count: count)
        var generator = Seed(3).generator("alias test")
        var hits = [Int](repeating: 0, count: count)
        let draws = 200_000
        for _ in 0..<draws { hits[table.sample(&generator)] += 1 }
        let norm = (1...count).reduce(0.0) { $0 + pow(Double($1), -exponent) }
        for rank in 1...min(count, 5) {
            let expected = Double(draws) * pow(Double(rank), -exponent) / norm
            #expect(abs(Double(hits[rank - 1]) - expected) < 5 * expected.squareRoot() + 1, "rank \(rank)")
        }
        #expect(hits.reduce(0, +) == draws)
    }

    @Test func `log-normal samples have their median and spread`() {
        let law = LogNormal(median: 1_000_000, sigmaQ16: 2 << 16)
        var generator = Seed(4).generator("log-normal test")
        let logs = (0..<20_000).map { _ in Foundation.log2(Double(law.sample(&generator))) }
        let mean = logs.reduce(0, +) / 20_000
        let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 20_000
        #expect(abs(mean - Foundation.log2(1_000_000)) < 0.06)
        #expect(abs(variance.squareRoot() - 2) < 0.06)
    }
}

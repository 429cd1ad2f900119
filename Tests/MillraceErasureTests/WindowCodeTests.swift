/// Parity over a window: its coefficients, its arithmetic against a naive one, and how often as many equations as unknowns
/// are not enough.

import MillraceBase
import Testing

@testable import MillraceErasure

@Test func `within its own slice a window's coefficients are the slice code's`() {
    for parity in 0..<16 {
        for data in 0..<32 {
            #expect(
                WindowCode.coefficient(parity: parity, data: data, distance: 0)
                    == ErasureCode.coefficient(parity: parity, data: data))
        }
    }
}

@Test func `no coefficient is zero, and all values are about as frequent`() {
    var counts = [Int](repeating: 0, count: 256)
    for coefficient in WindowCode.table.dropFirst(16 * 32) { counts[Int(coefficient)] += 1 }
    #expect(counts[0] == 0)
    // 7,680 draws of 255 values: 30 each on average.
    #expect(counts[1...].allSatisfy { (8...60).contains($0) })
}

@Test(arguments: Kernel.allCases, 0..<8 as Range<UInt64>)
func `accumulating is adding products`(kernel: Kernel, seed: UInt64) {
    var generator = Seed(seed).generator("accumulate")
    let bytes = Int(generator.below(300)) + 1
    let (sources, rows) = (Int(generator.below(20)) + 1, Int(generator.below(9)) + 1)
    var data = (0..<(sources * bytes)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    var sums = (0..<(rows * bytes)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    var coefficients = (0..<(rows * sources)).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    var expected = sums
    for row in 0..<rows {
        for source in 0..<sources {
            for at in 0..<bytes {
                expected[row * bytes + at] ^= GaloisField.product(
                    coefficients[row * sources + source], data[source * bytes + at])
            }
        }
    }
    data.withUnsafeMutableBytes { data in
        sums.withUnsafeMutableBytes { sums in
            var from = (0..<sources).map { data.baseAddress! + $0 * bytes }
            var to = (0..<rows).map { sums.baseAddress! + $0 * bytes }
            WindowCode.accumulate(
                bytes: bytes, sources: &from, sourceCount: sources, coefficients: &coefficients,
                destinations: &to, rows: rows, kernel: kernel)
        }
    }
    #expect(sums == expected, "seed \(seed)")
}

@Test(arguments: 0..<40 as Range<UInt64>)
func `a solved system gives back what the equations were made of`(seed: UInt64) {
    var generator = Seed(seed).generator("system")
    let unknowns = Int(generator.below(12)) + 1
    let equations = unknowns + Int(generator.below(4))
    let values = (0..<unknowns).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
    var system = LinearSystem()
    system.begin(unknowns: unknowns, equations: equations)
    var sums = [UInt8](repeating: 0, count: equations)
    for equation in 0..<equations {
        for unknown in 0..<unknowns where generator.below(4) > 0 {
            let coefficient = UInt8(truncatingIfNeeded: generator.next())
            system.set(equation: equation, unknown: unknown, coefficient)
            sums[equation] ^= GaloisField.product(coefficient, values[unknown])
        }
    }
    guard system.solve() else { return }
    for unknown in 0..<unknowns {
        var value: UInt8 = 0
        for equation in 0..<equations {
            value ^= GaloisField.product(system.share(of: equation, in: unknown), sums[equation])
        }
        #expect(value == values[unknown], "seed \(seed)")
    }
}

@Test func `too few equations, or equal ones, determine nothing`() {
    var system = LinearSystem()
    system.begin(unknowns: 2, equations: 1)
    system.set(equation: 0, unknown: 0, 1)
    let hasEnough = system.solve()
    #expect(!hasEnough)
    system.begin(unknowns: 2, equations: 2)
    for equation in 0..<2 {
        system.set(equation: equation, unknown: 0, 3)
        system.set(equation: equation, unknown: 1, 5)
    }
    let isIndependent = system.solve()
    #expect(!isIndependent)
}

/// Losses of `burst` data symbols in one slice, parity symbols 0 and 1 of the slices after it: a square system.
@Test func `fewer than one square system in a hundred is singular`() {
    var singular = 0
    var systems = 0
    for k in [9, 17, 32] {
        for burst in stride(from: 2, through: 16, by: 2) {
            for first in 0...(k - min(burst, k)) {
                let lost = Array(first..<min(first + burst, k))
                var system = LinearSystem()
                system.begin(unknowns: lost.count, equations: lost.count)
                for equation in lost.indices {
                    for (unknown, data) in lost.enumerated() {
                        system.set(
                            equation: equation, unknown: unknown,
                            WindowCode.coefficient(parity: equation % 2, data: data, distance: equation / 2))
                    }
                }
                systems += 1
                if !system.solve() { singular += 1 }
            }
        }
    }
    #expect(singular * 100 < systems, "\(singular) of \(systems)")
}

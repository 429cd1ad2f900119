/// Parity over a window of slices: what several slices lost together comes back from the parity of the next ones, byte for
/// byte, and what a relay makes again is the sequencer's.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

private let key = SigningKey(seed: Hash32(word: U256(42)))

private struct PoolSpent: Error {}

/// Slices of one chain, as sealed, with parity over windows.
private struct Chain {
    let pool = SlicePool(bytesMax: 1 << 24)
    var sealed: [SliceAssembler] = []
    var payloads: [[UInt8]] = []

    init(sizes: [Int], parityCount: Int, seed: UInt64) throws {
        var encoder = SliceEncoder(
            chainID: 1, epoch: 1, codecID: 1, originHash: Blake2b.hash([0]), key: key)
        var generator = Seed(seed).generator("payloads")
        for (n, size) in sizes.enumerated() {
            let bytes = (0..<size).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
            guard
                let made = encoder.encode(
                    bytes, seal: SliceSeal(height: UInt64(n) + 1, sealedAtMicroseconds: 1),
                    parityCount: parityCount, window: sealed.reversed(), pool: pool)
            else { throw PoolSpent() }
            payloads += made.count == 1 ? [bytes] : []
            sealed += made
        }
    }

    /// A receiver's slices: headers only.
    func received() throws -> [SliceAssembler] {
        try sealed.map { slice in
            let header = try SliceHeader.decode(slice.headerBytes.span.bytes)
            let encoded = slice.headerBytes.span.bytes
            guard let taken = pool.take(for: header, hash: slice.headerHash, encoded: encoded) else {
                throw PoolSpent()
            }
            return taken
        }
    }

    func give(_ stripe: Int, of place: Int, to slices: [SliceAssembler]) throws {
        let symbol = try #require(sealed[place].symbol(ofStripe: stripe))
        #expect(slices[place].insert(symbol, stripe: stripe) != .forged)
    }
}

@Test(arguments: 0..<24 as Range<UInt64>)
func `losses of several slices come back from parity of those slices and the next`(seed: UInt64) throws {
    var generator = Seed(seed).generator("losses")
    let sizes = (0..<20).map { _ in Int(generator.below(9_000)) + 1 }
    let chain = try Chain(sizes: sizes, parityCount: 3, seed: seed)
    let slices = try chain.received()
    let first = 4 + Int(generator.below(10))
    var lostCount = 0
    for (place, sealed) in chain.sealed.enumerated() {
        for stripe in 0..<Int(sealed.header.dataCount) {
            if place >= first, place < first + 2, stripe < 5 {
                lostCount += 1
            } else {
                try chain.give(stripe, of: place, to: slices)
            }
        }
    }
    var solver = WindowSolver()
    var given = 0
    for place in first..<20 {
        for j in 0..<3 {
            try chain.give(WireLimits.firstParityStripe + j, of: place, to: slices)
            given += 1
            let known = Array(slices[...max(place, first + 1)])
            let isSolved = solver.solve(known, from: first, payloads: .carried)
            if given < lostCount { #expect(!isSolved, "seed \(seed)") }
            guard isSolved else { continue }
            // One equation more than unknowns is enough nearly always, two always here.
            #expect(given <= lostCount + 2, "seed \(seed)")
            for n in slices.indices {
                #expect(slices[n].verify() == .verified, "seed \(seed)")
                #expect(Array(try #require(slices[n].payload)) == chain.payloads[n], "seed \(seed)")
            }
            return
        }
    }
    Issue.record("seed \(seed): \(lostCount) losses were not recovered by \(given) parity symbols")
}

@Test(arguments: 0..<6 as Range<UInt64>)
func `parity is made again byte for byte once its window is whole`(seed: UInt64) throws {
    var generator = Seed(seed).generator("sizes")
    let chain = try Chain(
        sizes: (0..<18).map { _ in Int(generator.below(20_000)) }, parityCount: 2, seed: seed)
    let slices = try chain.received()
    for (place, sealed) in chain.sealed.enumerated() {
        for stripe in 0..<Int(sealed.header.dataCount) { try chain.give(stripe, of: place, to: slices) }
    }
    for (n, slice) in slices.enumerated() where slice.header.parityCount > 0 {
        let window = slices[..<n].reversed() as [SliceAssembler]
        if n > 1 { #expect(slice.recreate(.max, window: window.prefix(min(n, 15) - 1)) == 0) }
        #expect(slice.recreate(.max, window: window[...]) == 3 << 32, "seed \(seed), slice \(n)")
        for stripe in 32..<34 {
            #expect(
                Array(try #require(slice.symbol(ofStripe: stripe)))
                    == Array(try #require(chain.sealed[n].symbol(ofStripe: stripe))))
        }
    }
}

@Test func `a window grows with the chain up to sixteen slices, and parity is as long as its longest symbol`()
    throws
{
    let chain = try Chain(
        sizes: [1_190, 10, 0, 500] + Array(repeating: 20, count: 16), parityCount: 1, seed: 1)
    let headers = chain.sealed.map(\.header)
    #expect(headers.map { Int($0.windowSpan) } == Array(1...16) + [16, 16, 16, 16])
    #expect(headers.prefix(4).map { Int($0.parityBytes) } == [1_190, 1_190, 0, 1_190])
    // The first slice lies 16 before the seventeenth, which does not cover it any more; nor the fourth from the twentieth on.
    #expect(
        headers[15].parityBytes == 1_190 && headers[16].parityBytes == 500 && headers[19].parityBytes == 20)
    for header in headers { try header.validate() }
}

@Test func `parity without its whole window says nothing`() throws {
    let chain = try Chain(sizes: [3_000, 3_000, 3_000], parityCount: 2, seed: 9)
    let slices = try chain.received()
    for stripe in [0, 1] { try chain.give(stripe, of: 2, to: slices) }
    try chain.give(32, of: 2, to: slices)
    var solver = WindowSolver()
    // The first slice is not there at all: the third one's window reaches beyond what is known.
    let withoutFirst = solver.solve(Array(slices[1...]), from: 1, payloads: .carried)
    #expect(!withoutFirst)
    for place in 0..<2 {
        for stripe in 0..<3 { try chain.give(stripe, of: place, to: slices) }
    }
    let withAll = solver.solve(slices, from: 2, payloads: .carried)
    #expect(withAll)
    #expect(slices[2].verify() == .verified)
}

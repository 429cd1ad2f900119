/// Slices made by the encoder and put together again by the assembler, over losses, forgeries and a sequencer that
/// contradicts itself.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

private let key = SigningKey(seed: Hash32(word: U256(42)))
private let origin = Blake2b.hash([0])

private func encoder(symbolBytesMax: Int = WireLimits.symbolBytesMax, dataCountMin: Int = 1) -> SliceEncoder {
    SliceEncoder(
        chainID: 1, epoch: 1, codecID: 1, originHash: origin, key: key, symbolBytesMax: symbolBytesMax,
        dataCountMin: dataCountMin)
}

private func payload(_ bytes: Int, seed: UInt64) -> [UInt8] {
    var generator = Seed(seed).generator("payload")
    return (0..<bytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
}

private let seal = SliceSeal(height: 1, sealedAtMicroseconds: 5)

private struct PoolSpent: Error {}

private func encoded(
    _ encoder: inout SliceEncoder, _ bytes: [UInt8], seal: SliceSeal, parityCount: Int, pool: SlicePool
) throws -> [SliceAssembler] {
    guard let slices = encoder.encode(bytes, seal: seal, parityCount: parityCount, pool: pool) else {
        throw PoolSpent()
    }
    return slices
}

private func take(_ pool: SlicePool, _ header: SliceHeader) throws -> SliceAssembler {
    let bytes = header.encoded
    guard let slice = pool.take(for: header, hash: header.hash, encoded: bytes.span.bytes) else {
        throw PoolSpent()
    }
    return slice
}

/// What a receiver does with a header's bytes.
private func receive(_ sealed: SliceAssembler, _ pool: SlicePool) throws -> SliceAssembler {
    let bytes = sealed.headerBytes
    let header = try SliceHeader.decode(bytes.span.bytes)
    let hash = SliceHeader.hash(encoded: bytes.span.bytes)
    #expect(hash == sealed.headerHash)
    #expect(header.isSigned(by: key.verifyingKey, hash: hash))
    return try take(pool, header)
}

private func symbol(_ slice: SliceAssembler, _ stripe: Int) throws -> [UInt8] {
    Array(try #require(slice.symbol(ofStripe: stripe)))
}

private func stripes(_ set: UInt64) -> [Int] { (0..<64).filter { set >> UInt64($0) & 1 == 1 } }

@Test(arguments: 0..<24 as Range<UInt64>)
func `any K symbols of a slice give the payload and every other symbol`(seed: UInt64) throws {
    var generator = Seed(seed).generator("loss")
    let pool = SlicePool(bytesMax: 1 << 20)
    var encoder = encoder()
    let bytes = payload(Int(generator.below(38_080)) + 1, seed: seed)
    let parity = Int(generator.below(17))
    let sealed = try encoded(&encoder, bytes, seal: seal, parityCount: parity, pool: pool)
    #expect(sealed.count == 1)
    let slice = try receive(sealed[0], pool)
    let k = Int(slice.header.dataCount)

    var order = stripes(sealed[0].allStripes)
    order.shuffle(using: &generator)
    for (n, stripe) in order.prefix(k).enumerated() {
        #expect(slice.missingCount == k - n, "seed \(seed)")
        #expect(slice.payload == nil)
        let answer = try symbol(sealed[0], stripe).withUnsafeBytes { slice.insert($0, stripe: stripe) }
        #expect(answer == (n == k - 1 ? .completed : .stored), "seed \(seed)")
    }
    #expect(slice.missingCount == 0)
    #expect(slice.verify() == .verified, "seed \(seed)")
    #expect(Array(try #require(slice.payload)) == bytes, "seed \(seed)")
    #expect(slice.have & ((1 << UInt64(k)) - 1) == (1 << UInt64(k)) - 1)

    let missing = slice.missingStripes
    #expect(slice.recreate(.max) == missing, "seed \(seed)")
    #expect(slice.missingStripes == 0)
    for stripe in stripes(slice.allStripes) {
        #expect(try symbol(slice, stripe) == symbol(sealed[0], stripe), "seed \(seed), stripe \(stripe)")
    }
}

@Test func `a large payload becomes even slices, chained`() throws {
    let pool = SlicePool(bytesMax: 1 << 22)
    var encoder = encoder()
    let bytes = payload(200_001, seed: 1)
    let first = try encoded(&encoder, bytes, seal: seal, parityCount: 1, pool: pool)
    #expect(first.count == 6)
    let next = try encoded(
        &encoder, [1], seal: SliceSeal(height: 2, sealedAtMicroseconds: 6), parityCount: 0, pool: pool)
    var previous = origin
    var whole: [UInt8] = []
    for slice in first + next {
        try slice.header.validate()
        #expect(slice.header.previousHeaderHash == previous)
        previous = slice.headerHash
    }
    for slice in first {
        #expect(slice.header.agrees(with: first[0].header))
        whole += try #require(slice.payload)
    }
    #expect(whole == bytes)
    #expect(!next[0].header.agrees(with: first[0].header))
    #expect(encoder.previousHeaderHash == previous)
}

@Test func `an empty payload is a header without symbols, verified at once`() throws {
    let pool = SlicePool(bytesMax: 0)
    var encoder = encoder()
    let run = SliceSeal(firstHeight: 1, lastHeight: 100, sealedAtMicroseconds: 5)
    let sealed = try encoded(&encoder, [], seal: run, parityCount: 4, pool: pool)
    #expect(sealed.count == 1 && sealed[0].headerBytes.count == 188)
    let slice = try receive(sealed[0], pool)
    #expect(slice.state == .verified && slice.missingCount == 0 && slice.allStripes == 0)
    #expect(slice.payload?.count == 0)
    #expect([1].withUnsafeBytes { slice.insert($0, stripe: 0) } == .forged)
}

@Test func `a small payload can be spread over more stripes`() throws {
    let pool = SlicePool(bytesMax: 1 << 20)
    var encoder = encoder(dataCountMin: 8)
    let sealed = try encoded(&encoder, payload(100, seed: 2), seal: seal, parityCount: 2, pool: pool)
    #expect(sealed[0].header.dataCount == 8 && sealed[0].header.symbolBytes == 13)
    let tiny = try encoded(&encoder, [1, 2, 3], seal: seal, parityCount: 2, pool: pool)
    #expect(tiny[0].header.dataCount == 3 && tiny[0].header.symbolBytes == 1)
    let few = try encoded(&encoder, payload(9, seed: 2), seal: seal, parityCount: 2, pool: pool)
    // ⌈9 / 8⌉ = 2 bytes a symbol: the last symbols are padding only.
    #expect(few[0].header.dataCount == 8 && few[0].header.symbolBytes == 2)
    for slice in sealed + tiny + few { try slice.header.validate() }
}

@Test func `with much parity slices are cut finer, eight shreds to twenty-one at 190,000 swaps a second`() {
    #expect(SliceEncoder.symbolBytesMax(parityCount: 4) == WireLimits.symbolBytesMax)
    let bytes = SliceEncoder.symbolBytesMax(parityCount: 8)
    #expect((18_000 + bytes - 1) / bytes == 21)
}

@Test func `forged, misplaced and repeated symbols change nothing`() throws {
    let pool = SlicePool(bytesMax: 1 << 20)
    var encoder = encoder()
    let sealed = try encoded(&encoder, payload(5_000, seed: 3), seal: seal, parityCount: 2, pool: pool)[0]
    let slice = try receive(sealed, pool)
    let good = try symbol(sealed, 1)
    func insert(_ bytes: [UInt8], _ stripe: Int) -> SliceAssembler.Insertion {
        bytes.withUnsafeBytes { slice.insert($0, stripe: stripe) }
    }
    for stripe in [-1, 0, 2, 5, 31, 32, 34, 47, 48, 64, 1_000, .max, .min] {
        #expect(insert(good, stripe) == .forged, "stripe \(stripe)")
    }
    for byte in [0, good.count - 1] {
        var bad = good
        bad[byte] ^= 1
        #expect(insert(bad, 1) == .forged)
    }
    #expect(insert([], 1) == .forged)
    #expect(insert(good + [0], 1) == .forged)
    #expect(insert(Array(good.dropLast()), 1) == .forged)
    #expect(slice.have == 0)
    #expect(insert(good, 1) == .stored)
    #expect(insert(good, 1) == .duplicate)
    #expect(insert([], 1) == .duplicate)
    #expect(slice.have == 2)
    #expect(slice.recreate(.max) == 0)
    #expect(slice.verify() == .collecting)
}

/// A header whose hashes are those of `symbols`, whatever they are, signed by the sequencer itself.
private func dishonest(_ symbols: [[UInt8]], dataCount: Int, payload: [UInt8]) -> SliceHeader {
    var header = SliceHeader()
    header.chainID = 1
    header.payloadBytes = UInt32(payload.count)
    header.sliceBytes = UInt32(payload.count)
    header.payloadHash = Blake2b.hash(payload)
    header.dataCount = UInt8(dataCount)
    header.parityCount = UInt8(symbols.count - dataCount)
    header.symbolBytes = UInt16(symbols[0].count)
    header.parityBytes = header.parityCount == 0 ? 0 : header.symbolBytes
    header.previousHeaderHash = origin
    for (n, symbol) in symbols.enumerated() {
        let stripe = n < dataCount ? n : 32 + n - dataCount
        header.shredHashes.append(
            symbol.withUnsafeBytes { ShredHash(of: $0, stripe: stripe, previousHeaderHash: origin) })
    }
    header.sign(with: key)
    return header
}

@Test func `a sequencer that signs what does not belong together is found out`() throws {
    let data: [[UInt8]] = [[1, 2], [3, 0]]
    let pool = SlicePool(bytesMax: 1 << 20)
    func assemble(_ header: SliceHeader, _ symbols: [[UInt8]], _ given: [Int]) throws -> SliceAssembler {
        let slice = try take(pool, header)
        for n in given {
            let stripe = n < 2 ? n : 30 + n
            #expect(symbols[n].withUnsafeBytes { slice.insert($0, stripe: stripe) } != .forged)
        }
        return slice
    }

    // Parity that is not the data's: recovery disagrees with the signed hash, and so does making it again.
    let wrongParity = data + [[9, 9]]
    let first = dishonest(wrongParity, dataCount: 2, payload: [1, 2, 3])
    #expect(try assemble(first, wrongParity, [0, 2]).recover() == .inconsistent)
    let whole = try assemble(first, wrongParity, [0, 1])
    #expect(whole.verify() == .verified)
    #expect(whole.recreate(.max) == 0 && whole.state == .inconsistent && whole.payload == nil)

    // A payload hash that is not the data's.
    var second = dishonest(data, dataCount: 2, payload: [1, 2, 3])
    second.payloadHash = .zero
    let slice = try assemble(second, data, [0, 1])
    #expect(slice.recover() == .whole)
    #expect(slice.verify() == .inconsistent && slice.payload == nil)

    // Padding that is not zero.
    let padded: [[UInt8]] = [[1, 2], [3, 4]]
    #expect(
        try assemble(dishonest(padded, dataCount: 2, payload: [1, 2, 3]), padded, [0, 1]).verify()
            == .inconsistent)
}

@Test func `parity over more slices than one is stored and not solved with alone`() throws {
    let data: [[UInt8]] = [[1, 2], [3, 0]]
    let pool = SlicePool(bytesMax: 1 << 20)
    let symbols = data + [[9, 9]]
    var header = dishonest(symbols, dataCount: 2, payload: [1, 2, 3])
    header.windowSpan = 16
    header.sign(with: key)
    let slice = try take(pool, header)
    #expect(symbols[2].withUnsafeBytes { slice.insert($0, stripe: 32) } == .stored)
    #expect(symbols[0].withUnsafeBytes { slice.insert($0, stripe: 0) } == .stored)
    #expect(slice.missingCount == 1 && slice.verify() == .collecting)
    #expect(symbols[1].withUnsafeBytes { slice.insert($0, stripe: 1) } == .completed)
    #expect(slice.verify() == .verified && slice.recreate(.max) == 0)
}

@Test func `a spent pool refuses and moves no chain`() throws {
    let pool = SlicePool(bytesMax: 64 * 1_024)
    var encoder = encoder()
    let before = encoder.previousHeaderHash
    #expect(encoder.encode(payload(100_000, seed: 4), seal: seal, parityCount: 0, pool: pool) == nil)
    #expect(encoder.previousHeaderHash == before && pool.lentCount == 0)
}

@Test func `a pool lends again what comes back, within its budget`() throws {
    let pool = SlicePool(bytesMax: 64 * 1_024)
    var encoder = encoder()
    var kept: [SliceAssembler] = []
    while let slices = encoder.encode(payload(10_000, seed: 5), seal: seal, parityCount: 0, pool: pool) {
        kept += slices
    }
    #expect(kept.count == 5 && pool.lentCount == 5 && pool.bytes <= pool.bytesMax)
    pool.give(kept.removeFirst())
    let again = try encoded(&encoder, payload(9_000, seed: 6), seal: seal, parityCount: 0, pool: pool)
    #expect(again[0].verify() == .verified && pool.lentCount == 5)
    #expect(Array(try #require(again[0].payload)) == payload(9_000, seed: 6))
    // A slice larger than what came back fits only if the free ones make room.
    for slice in kept + again { pool.give(slice) }
    #expect(pool.lentCount == 0)
    let large = try encoded(&encoder, payload(38_080, seed: 7), seal: seal, parityCount: 16, pool: pool)
    #expect(large.count == 1 && pool.bytes <= pool.bytesMax)
}

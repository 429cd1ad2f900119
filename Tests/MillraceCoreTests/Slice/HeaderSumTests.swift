/// Sums of headers: what is lost comes back from as many sums as there are unknowns, and any bytes are a sum or an error.

import MillraceBase
import MillraceErasure
import MillraceTestSupport
import MillraceWire
import Testing

@testable import MillraceCore

/// Headers of heights 1, 2, …: any bytes will do.
private struct Chain {
    var headers: [[UInt8]] = []
    init(count: Int, seed: UInt64) {
        var generator = Seed(seed).generator("headers")
        for _ in 0..<count {
            let bytes = 188 + Int(generator.below(UInt64(SliceHeader.encodedBytesMax - 187)))
            headers.append((0..<bytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) })
        }
    }

    func sum(endingAt height: Int) -> HeaderSum {
        let slices = (max(height - 15, 1)...height).reversed().map {
            SliceKey(firstHeight: UInt64($0), index: 0)
        }
        var sum = [UInt8](repeating: 0, count: HeaderSum.sumBytesMax)
        for (distance, key) in slices.enumerated() {
            HeaderSumMaker.add(
                headers[Int(key.firstHeight) - 1], WindowCode.coefficient(header: distance), to: &sum)
        }
        return HeaderSum(slices: slices, sum: sum)
    }
}

@Suite struct HeaderSumTests {
    @Test(arguments: 0..<16 as Range<UInt64>, [1, 2])
    func `headers lost one by one and in bursts come back`(seed: UInt64, every: Int) {
        let chain = Chain(count: 120, seed: seed)
        var generator = Seed(seed).generator("losses")
        var known: [SliceKey: [UInt8]] = [:]
        var recovery = HeaderRecovery()
        var waiting = 0
        var burst = 0
        for height in 1...chain.headers.count {
            let key = SliceKey(firstHeight: UInt64(height), index: 0)
            // Nothing is lost at the end, so that the last sums find everything.
            let isLost = height == 50 || generator.below(30) == 0
            if height <= 100, burst == 0, isLost { burst = 1 + Int(generator.below(3)) }
            if burst > 0 {
                burst -= 1
            } else {
                known[key] = chain.headers[height - 1]
                recovery.learned(key, chain.headers[height - 1])
                if height % every == 0 { recovery.add(chain.sum(endingAt: height), from: 0) { known[$0] } }
            }
            while let (found, header) = recovery.next() {
                #expect(header == chain.headers[Int(found.firstHeight) - 1])
                known[found] = header
                recovery.learned(found, header)
            }
            waiting = max(waiting, height - known.count)
        }
        #expect(waiting > 0)
        let lost = (1...chain.headers.count).filter {
            known[SliceKey(firstHeight: UInt64($0), index: 0)] == nil
        }
        // Sums go in the same bursts, and every second one is half as many.
        #expect(lost.isEmpty, "\(lost)")
        #expect(recovery.isEmpty)
    }

    @Test func `sums of another history give nothing, and do not spoil those of another parent`() {
        let (ours, theirs) = (Chain(count: 20, seed: 1), Chain(count: 20, seed: 2))
        var recovery = HeaderRecovery()
        let lost = SliceKey(firstHeight: 18, index: 0)
        func known(_ key: SliceKey) -> [UInt8]? {
            key == lost ? nil : ours.headers[Int(key.firstHeight) - 1]
        }
        for height in 18...20 { recovery.add(theirs.sum(endingAt: height), from: 0, header: known) }
        #expect(recovery.next() == nil)
        recovery.add(ours.sum(endingAt: 20), from: 1, header: known)
        #expect(recovery.next()?.header == ours.headers[17])
    }

    @Test func `sums are kept within bounds`() {
        let chain = Chain(count: 400, seed: 3)
        var recovery = HeaderRecovery()
        for height in stride(from: 16, through: 400, by: 4) {
            recovery.add(chain.sum(endingAt: height), from: 0) { _ in nil }
        }
        recovery.dropBelow(401)
        #expect(recovery.isEmpty)
    }

    @Test(arguments: [UInt64(1), 2])
    func `any bytes are a sum that is written as it was read, or an error`(seed: UInt64) {
        var generator = Seed(seed).generator("sums")
        var good = 0
        for _ in 0..<20_000 {
            var bytes = (0..<Int(generator.below(120))).map { _ in UInt8(truncatingIfNeeded: generator.next())
            }
            if bytes.count > 13, generator.below(4) > 0 {
                bytes.replaceSubrange(6..<9, with: [0, 0, 0])
                (bytes[0], bytes[10], bytes[11], bytes[12]) = (
                    0, 0, UInt8(generator.below(2)), bytes[12] % 18
                )
            }
            guard let sum = try? HeaderSum.decode(bytes.span.bytes) else { continue }
            good += 1
            var encoded: [UInt8] = []
            sum.encode(into: &encoded)
            #expect((try? HeaderSum.decode(encoded.span.bytes)) == sum)
        }
        #expect(good > 100)
    }

    @Test func `vectors`() throws {
        if VectorFile.isWriting { try writeVectors() }
        for vector in try VectorFile.all("header-sum") {
            do throws(FrameError) {
                let sum = try HeaderSum.decode(vector.bytes.span.bytes)
                #expect(vector.expect == "ok", "\(vector.name)")
                var encoded: [UInt8] = []
                sum.encode(into: &encoded)
                #expect(encoded == vector.bytes, "\(vector.name)")
                #expect(vector["slices"] == HeaderSumTests.text(sum.slices), "\(vector.name)")
            } catch {
                #expect(vector.expect == "\(error)", "\(vector.name)")
            }
        }
    }

    private static func text(_ slices: [SliceKey]) -> String {
        slices.map { "\($0.firstHeight)/\($0.index)" }.joined(separator: " ")
    }

    private func writeVectors() throws {
        func write(_ name: String, _ why: String, _ sum: HeaderSum, _ headers: [[UInt8]]) throws {
            var encoded: [UInt8] = []
            sum.encode(into: &encoded)
            let fields = [
                ("expect", "ok"), ("why", why), ("slices", HeaderSumTests.text(sum.slices)),
                ("headers", headers.map { Hex.encode($0) }.joined(separator: " ")),
            ]
            try VectorFile(name: name, fields: fields, bytes: encoded).write(area: "header-sum")
        }
        func refuse(_ name: String, _ expect: String, _ why: String, _ bytes: [UInt8]) throws {
            try VectorFile(name: name, fields: [("expect", expect), ("why", why)], bytes: bytes)
                .write(area: "header-sum")
        }
        let headers: [[UInt8]] = [[1, 2, 3, 4], [0x80, 0xFF], [9, 8, 7]]
        var sum = [UInt8](repeating: 0, count: 6)
        for (distance, header) in headers.enumerated() {
            HeaderSumMaker.add(header, WindowCode.coefficient(header: distance), to: &sum)
        }
        let plain = (0..<3).map { SliceKey(firstHeight: 1_000 - UInt64($0), index: 0) }
        try write(
            "plain", "the newest first; headers stand for longer ones", HeaderSum(slices: plain, sum: sum),
            headers)
        let apart = [
            SliceKey(firstHeight: 1_000, index: 1), SliceKey(firstHeight: 1_000, index: 0),
            SliceKey(firstHeight: 990, index: 2),
        ]
        try write(
            "apart", "two slices of one height, one of a run before", HeaderSum(slices: apart, sum: sum),
            headers)
        let head: [UInt8] = [0, 0xE8, 3, 0, 0, 0, 0, 0, 0, 0, 0]
        try refuse("no-slices", "outOfRange", "a sum of no slices", head + [1, 0, 1, 2, 3])
        try refuse("slices", "outOfRange", "a sum of 17 slices", head + [1, 17, 1, 2, 3])
        try refuse("flags", "outOfRange", "flags 2", head + [2, 1, 1, 2, 3])
        try refuse("far", "outOfRange", "a slice 101 heights before", head + [0, 2, 101, 0, 0, 1, 2, 3])
        try refuse("index", "outOfRange", "slice 1,024", head + [0, 2, 1, 0, 4, 1, 2, 3])
        try refuse(
            "before-zero", "outOfRange", "a height below zero",
            [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3, 1, 2, 3])
        try refuse("short", "outOfRange", "two bytes of sum hold no header", head + [1, 1, 1, 2])
        try refuse("cut", "truncated", "it ends inside a slice", head + [0, 2, 1])
    }
}

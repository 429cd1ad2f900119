/// Protocol-Spec/vectors/erasure: data symbols, then the parity symbols they must give. `MILLRACE_WRITE_VECTORS=1`
/// writes them again.

import MillraceBase
import MillraceTestSupport
import Testing

@testable import MillraceErasure

private struct Case {
    let name: String
    let why: String
    let dataCount: Int
    let parityCount: Int
    let symbolBytes: Int
}

private let cases = [
    Case(
        name: "one-of-one", why: "a single data symbol: parity 0 is it times 1/32", dataCount: 1,
        parityCount: 1,
        symbolBytes: 4),
    Case(
        name: "three-and-two", why: "small enough to check by hand", dataCount: 3, parityCount: 2,
        symbolBytes: 2),
    Case(
        name: "full", why: "32 data symbols and all 16 parity symbols", dataCount: 32, parityCount: 16,
        symbolBytes: 5),
]

/// Byte n of the data is 7n + 1 modulo 256.
private func data(_ count: Int) -> [UInt8] { (0..<count).map { UInt8(truncatingIfNeeded: $0 * 7 + 1) } }

private func write() throws {
    for item in cases {
        let code = try #require(
            ErasureCode(
                dataCount: item.dataCount, parityCount: item.parityCount, symbolBytes: item.symbolBytes))
        var symbols = data(item.dataCount * item.symbolBytes)
        symbols += [UInt8](repeating: 0, count: item.parityCount * item.symbolBytes)
        symbols.withUnsafeMutableBytes { code.encode($0.baseAddress!, kernel: .swift) }
        try VectorFile(
            name: item.name,
            fields: [
                ("expect", "ok"), ("why", item.why), ("dataCount", "\(item.dataCount)"),
                ("parityCount", "\(item.parityCount)"), ("symbolBytes", "\(item.symbolBytes)"),
            ], bytes: symbols
        ).write(area: "erasure")
    }
}

@Test func `vectors encode as written and recover after any loss they allow`() throws {
    if VectorFile.isWriting { try write() }
    for vector in try VectorFile.all("erasure") where vector.name != "window" {
        let k = try #require(vector["dataCount"].flatMap { Int($0) })
        let m = try #require(vector["parityCount"].flatMap { Int($0) })
        let bytes = try #require(vector["symbolBytes"].flatMap { Int($0) })
        let code = try #require(ErasureCode(dataCount: k, parityCount: m, symbolBytes: bytes))
        #expect(vector.bytes.count == code.totalBytes)
        for kernel in Kernel.allCases {
            var symbols = Array(vector.bytes.prefix(k * bytes)) + [UInt8](repeating: 0, count: m * bytes)
            symbols.withUnsafeMutableBytes { code.encode($0.baseAddress!, kernel: kernel) }
            #expect(symbols == vector.bytes, "\(vector.name)")
            for lost in 0...min(k, m) {
                var damaged = vector.bytes
                for i in 0..<(lost * bytes) { damaged[i] = 0xFF }
                let have = code.allStripes & ~(1 << UInt64(lost) - 1)
                let recovered = damaged.withUnsafeMutableBytes {
                    code.recover($0.baseAddress!, have: have, kernel: kernel)
                }
                #expect(recovered && damaged == vector.bytes, "\(vector.name), \(lost) lost")
            }
        }
    }
}

/// Slices of 3, 2 and 1 data symbols of 4, 3 and 2 bytes: the oldest first.
private let windowShapes = [(3, 4), (2, 3), (1, 2)]

/// The parity of the last slice over all three.
private func windowParity(_ data: [UInt8], parity: Int) -> [UInt8] {
    var sum = [UInt8](repeating: 0, count: 4)
    var start = 0
    for (place, shape) in windowShapes.enumerated() {
        for symbol in 0..<shape.0 {
            let coefficient = WindowCode.coefficient(
                parity: parity, data: symbol, distance: windowShapes.count - 1 - place)
            for at in 0..<shape.1 {
                sum[at] ^= GaloisField.product(coefficient, data[start + symbol * shape.1 + at])
            }
        }
        start += shape.0 * shape.1
    }
    return sum
}

@Test func `the vector of a window has the parity of its three slices`() throws {
    let count = windowShapes.reduce(0) { $0 + $1.0 * $1.1 }
    if VectorFile.isWriting {
        let symbols = data(count)
        try VectorFile(
            name: "window",
            fields: [("expect", "ok"), ("why", "parity over three slices of different symbol sizes")],
            bytes: symbols + windowParity(symbols, parity: 0) + windowParity(symbols, parity: 1)
        ).write(area: "erasure")
    }
    let vector = try #require(try VectorFile.all("erasure").first { $0.name == "window" })
    let symbols = Array(vector.bytes.prefix(count))
    #expect(
        Array(vector.bytes.dropFirst(count))
            == windowParity(symbols, parity: 0) + windowParity(symbols, parity: 1))
}

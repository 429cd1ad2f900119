/// Erasure coding beside ISA-L called directly through its C interface. Throughput counts the slice's data bytes.
///
/// The peer encodes with tables made beforehand, which is the best ISA-L can do; it recovers as its manual has it: take K
/// rows of the generator, invert them, expand the rows of the lost symbols, multiply.

import ArgumentParser
import MillraceBase
import MillraceErasure

#if MILLRACE_ISAL
import CISAL
#endif

struct ErasureBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "erasure", abstract: "Reed–Solomon parity and recovery, beside ISA-L.")
    @OptionGroup var options: BenchOptions

    func run() throws {
        var report = BenchReport("erasure")
        for (k, m, bytes) in [(28, 4, 1_130), (32, 16, 1_190), (8, 2, 1_190)] {
            guard let code = ErasureCode(dataCount: k, parityCount: m, symbolBytes: bytes) else { continue }
            let megabytes = Double(k * bytes) / 1e6
            let symbols = UnsafeMutableRawPointer.allocate(byteCount: code.totalBytes, alignment: 64)
            defer { symbols.deallocate() }
            var generator = Seed(1).generator("erasure")
            for i in 0..<code.totalBytes {
                symbols.storeBytes(
                    of: UInt8(truncatingIfNeeded: generator.next()), toByteOffset: i, as: UInt8.self)
            }
            let shape = "K \(k) P \(m) × \(bytes) B"
            func mine(_ name: String, _ kernel: Kernel, _ peer: Double?) {
                let encode = rate(seconds: options.seconds) { code.encode(symbols, kernel: kernel) }
                report.row(
                    "encode \(shape), \(name)", encode * megabytes, "MB/s", peer: peer.map { _ in "C" }, peer)
            }
            #if MILLRACE_ISAL
            let peer = Peer(k, m, bytes, symbols)
            mine("ISA-L", .isal, rate(seconds: options.seconds) { peer.encode() } * megabytes)
            #endif
            mine("Swift", .swift, nil)
            for lost in [1, 2, min(4, m), m] where lost <= m {
                let have = code.allStripes & ~(1 << UInt64(lost) - 1)
                #if MILLRACE_ISAL
                let theirs = rate(seconds: options.seconds) { peer.recover(lost) } * megabytes
                let ours = rate(seconds: options.seconds) {
                    _ = code.recover(symbols, have: have, kernel: .isal)
                }
                report.row(
                    "recover \(lost) of \(shape), ISA-L", ours * megabytes, "MB/s", peer: "C, k × k inverse",
                    theirs)
                #endif
                let twin = rate(seconds: options.seconds) {
                    _ = code.recover(symbols, have: have, kernel: .swift)
                }
                report.row("recover \(lost) of \(shape), Swift", twin * megabytes, "MB/s")
            }
        }
        report.print(json: options.json)
    }
}

#if MILLRACE_ISAL
/// ISA-L as a C program would use it, with the same code.
private final class Peer {
    let k: Int, m: Int, bytes: Int
    var generator: [UInt8]
    var tables: [UInt8]
    var data: [UnsafeMutablePointer<UInt8>?]
    var parity: [UnsafeMutablePointer<UInt8>?]

    init(_ k: Int, _ m: Int, _ bytes: Int, _ symbols: UnsafeMutableRawPointer) {
        (self.k, self.m, self.bytes) = (k, m, bytes)
        var rows: [UInt8] = []
        for j in 0..<m { for i in 0..<k { rows.append(ErasureCode.coefficient(parity: j, data: i)) } }
        var expanded = [UInt8](repeating: 0, count: 32 * k * m)
        ec_init_tables(Int32(k), Int32(m), &rows, &expanded)
        tables = expanded
        var identity = [UInt8](repeating: 0, count: k * k)
        for i in 0..<k { identity[i * k + i] = 1 }
        generator = identity + rows
        let base = symbols.assumingMemoryBound(to: UInt8.self)
        data = (0..<k).map { base + $0 * bytes }
        parity = (0..<m).map { base + (k + $0) * bytes }
    }

    func encode() { ec_encode_data(Int32(bytes), Int32(k), Int32(m), &tables, &data, &parity) }

    /// The first `lost` data symbols from the rest and the first `lost` parity symbols.
    func recover(_ lost: Int) {
        withUnsafeTemporaryAllocation(of: UInt8.self, capacity: 2 * k * k + 32 * k * lost) { room in
            guard let rows = room.baseAddress else { return }
            let inverse = rows + k * k
            let expanded = inverse + k * k
            withUnsafeTemporaryAllocation(of: UnsafeMutablePointer<UInt8>?.self, capacity: k) { sources in
                guard let sources = sources.baseAddress else { return }
                for n in 0..<k {
                    let row = n < k - lost ? n + lost : k + n - (k - lost)
                    for i in 0..<k { rows[n * k + i] = generator[row * k + i] }
                    sources[n] = row < k ? data[row] : parity[row - k]
                }
                gf_invert_matrix(rows, inverse, Int32(k))
                ec_init_tables(Int32(k), Int32(lost), inverse, expanded)
                ec_encode_data(Int32(bytes), Int32(k), Int32(lost), expanded, sources, &data)
            }
        }
    }
}
#endif

/// Slices end to end on one core: what a sequencer pays to seal a mini-block, a relay to admit its shreds, a replica to
/// put it together. Limits beside: the mini-blocks of 100,000 transactions per second (100 a second).

import ArgumentParser
import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceWire

struct SliceBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "slices", abstract: "Sealing, admitting and recovering slices.")
    @OptionGroup var options: BenchOptions

    func run() throws {
        var report = BenchReport("slices")
        let key = SigningKey(seed: Hash32(word: U256(1)))
        let pool = SlicePool(bytesMax: 1 << 20)
        let payload = (0..<30_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let needed = 100.0
        var encoder = SliceEncoder(chainID: 1, epoch: 1, codecID: 1, originHash: .zero, key: key)
        let seal = SliceSeal(height: 1, sealedAtMicroseconds: 1)
        guard let sealed = encoder.encode(payload, seal: seal, parityCount: 4, pool: pool)?.first else {
            return
        }
        let headerBytes = sealed.headerBytes
        let header = try SliceHeader.decode(headerBytes.span.bytes)
        let k = Int(header.dataCount)

        var spare = encoder
        report.row(
            "seal 30 kB + 4 parity",
            rate(seconds: options.seconds) {
                for slice in spare.encode(payload, seal: seal, parityCount: 4, pool: pool) ?? [] {
                    pool.give(slice)
                }
            }, "mini-blocks/s", peer: "needed", needed)
        report.row(
            "header: decode, hash, verify",
            rate(seconds: options.seconds) {
                let bytes = headerBytes.span.bytes
                guard let header = try? SliceHeader.decode(bytes) else { return }
                precondition(header.isSigned(by: key.verifyingKey, hash: SliceHeader.hash(encoded: bytes)))
            }, "headers/s", peer: "needed", needed)
        let hash = SliceHeader.hash(encoded: headerBytes.span.bytes)
        func receive(_ stripes: [Int]) -> SliceAssembler? {
            guard let slice = pool.take(for: header, hash: hash, encoded: headerBytes.span.bytes) else {
                return nil
            }
            for stripe in stripes {
                if let symbol = sealed.symbol(ofStripe: stripe) { _ = slice.insert(symbol, stripe: stripe) }
            }
            return slice
        }
        let all = Array(0..<k)
        let admitted = rate(seconds: options.seconds) { if let slice = receive(all) { pool.give(slice) } }
        report.row(
            "admit: hash and store", admitted * Double(k), "shreds/s", peer: "needed", needed * Double(k))
        for lost in [0, 1, 4] {
            let stripes = Array(all.dropFirst(lost)) + (0..<lost).map { 32 + $0 }
            report.row(
                "admit, recover \(lost), verify",
                rate(seconds: options.seconds) {
                    guard let slice = receive(stripes) else { return }
                    precondition(slice.verify() == .verified)
                    pool.give(slice)
                }, "mini-blocks/s", peer: "needed", needed)
        }
        report.print(json: options.json)
    }
}

import CMillraceShims
import MillraceBase
import Testing

struct CRC32CTests {
    struct Known: Sendable {
        let bytes: [UInt8]
        let sum: UInt32
    }

    // RFC 3720, B.4, and the customary check value of "123456789".
    static let known: [Known] = [
        Known(bytes: [UInt8](repeating: 0, count: 32), sum: 0x8A91_36AA),
        Known(bytes: [UInt8](repeating: 0xFF, count: 32), sum: 0x62A8_AB43),
        Known(bytes: [UInt8](0..<32), sum: 0x46DD_794E),
        Known(bytes: [UInt8]((0..<32).reversed()), sum: 0x113F_DB5C),
        Known(bytes: [UInt8]("123456789".utf8), sum: 0xE306_9283),
        Known(bytes: [], sum: 0),
    ]

    @Test(arguments: known)
    func `known values come out of the instruction and of the table`(known: Known) {
        #expect(mr_crc32c(0, known.bytes, known.bytes.count) == known.sum)
        #expect(mr_crc32c_table(0, known.bytes, known.bytes.count) == known.sum)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `instruction, table and piecewise agree at every length and alignment`(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let bytes = (0..<300).map { _ in UInt8(truncatingIfNeeded: random.next()) }
        bytes.withUnsafeBytes { all in
            for count in 0...256 {
                let part = all.baseAddress! + Int(random.below(40))
                let whole = mr_crc32c(0, part, count)
                #expect(whole == mr_crc32c_table(0, part, count), "seed \(seed)")
                let cut = Int(random.below(UInt64(count + 1)))
                #expect(whole == mr_crc32c(mr_crc32c(0, part, cut), part + cut, count - cut), "seed \(seed)")
            }
        }
    }
}

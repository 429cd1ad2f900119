/// Slice headers as bytes, and slices as lists of symbols, good and bad.

import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceWire

private let key = SigningKey(seed: Hash32(word: U256(42)))

private func seal(_ payload: [UInt8], parityCount: Int, commitment: Bool = false) -> [SliceAssembler] {
    var encoder = SliceEncoder(
        chainID: 1, epoch: 0, codecID: 1, originHash: .zero, key: key, symbolBytesMax: 64)
    let seal = SliceSeal(
        height: 200, sealedAtMicroseconds: 1,
        commitment: commitment ? SliceCommitment(height: 200, hash: .zero) : nil)
    return encoder.encode(payload, seal: seal, parityCount: parityCount, pool: SlicePool(bytesMax: 1 << 20))
        ?? []
}

extension FuzzTarget {
    static let sliceHeader = FuzzTarget(
        "slice-header", bytesMax: 1_024,
        seeds: {
            [([], 0), ([1, 2, 3], 2), ([UInt8](repeating: 7, count: 3_000), 16)].flatMap { payload, parity in
                [false, true].flatMap { commitment in
                    seal(payload, parityCount: parity, commitment: commitment).map(\.headerBytes)
                }
            }
        },
        run: { bytes in
            guard let header = try? SliceHeader.decode(bytes.bytes) else { return }
            promise(header.encoded == Array(bytes), "a header has two encodings")
            promise(
                header.encodedBytes <= WireLimits.sliceHeaderBytesMax, "a header is larger than the largest")
            promise(
                header.payloadRange.upperBound <= Int(header.payloadBytes),
                "a slice reaches behind its payload")
            promise(
                header.shredCount * Int(header.symbolBytes) <= WireLimits.shredCountMax
                    * WireLimits.symbolBytesMax,
                "a header asks for more memory than a slice may have")
            promise(SliceHeader.hash(encoded: bytes.bytes) == header.hash, "two hashes of one header")
            _ = header.isSigned(by: key.verifyingKey)
        })

    /// Byte 0: payload size; byte 1: parity; then operations of one byte kind, one byte stripe, and what the kind takes.
    static let sliceAssembler = FuzzTarget(
        "slice-assembler", bytesMax: 512,
        seeds: {
            [
                [4, 2, 0, 0, 0, 1, 0, 32, 3, 0, 4, 0],
                [200, 16, 1, 3, 9, 2, 0, 0, 0, 1, 0, 2, 0, 33, 0, 34, 3, 0, 4, 7],
            ]
        },
        run: { bytes in
            var input = FuzzInput(bytes)
            let payload = (0..<(Int(input.u8()) * 8)).map { UInt8(truncatingIfNeeded: $0 &* 37) }
            let sealed = seal(payload, parityCount: Int(input.u8()) % 17)
            guard let source = sealed.first else { return }
            let pool = SlicePool(bytesMax: 1 << 17)
            let header = source.headerBytes
            guard let decoded = try? SliceHeader.decode(header.span.bytes),
                let slice = pool.take(for: decoded, hash: source.headerHash, encoded: header.span.bytes)
            else { preconditionFailure("a sealed slice was refused") }
            while !input.isAtEnd {
                let (kind, stripe) = (input.u8() % 5, Int(input.u8()))
                let before = slice.have
                switch kind {
                case 0:
                    guard let symbol = source.symbol(ofStripe: stripe) else { continue }
                    let answer = slice.insert(symbol, stripe: stripe)
                    promise(answer != .forged, "a genuine symbol was refused")
                    promise(
                        (answer == .duplicate) == (before >> UInt64(stripe) & 1 == 1), "a wrong duplicate")
                case 1:
                    guard let symbol = source.symbol(ofStripe: stripe), !symbol.isEmpty else { continue }
                    var forged = Array(symbol)
                    forged[input.below(forged.count)] ^= input.u8() | 1
                    forged.withUnsafeBytes { _ = slice.insert($0, stripe: stripe) }
                    promise(slice.have == before, "a forged symbol was stored")
                case 2:
                    let raw = input.bytes(Int(input.u8()))
                    raw.withUnsafeBytes { _ = slice.insert($0, stripe: stripe &- 100) }
                    promise(slice.have & ~source.have == 0, "a stripe that does not exist")
                case 3:
                    let state = slice.verify()
                    promise(state != .inconsistent, "an honest slice is inconsistent")
                    promise(
                        (state == .verified) == (slice.missingCount == 0),
                        "K symbols are not enough, or fewer are")
                default:
                    _ = slice.recreate(UInt64(input.u32()) << 16)
                }
                promise(slice.have & before == before, "a symbol was lost")
                if let whole = slice.payload {
                    promise(
                        whole.elementsEqual(source.payload ?? .init(start: nil, count: 0)), "another payload")
                }
            }
            for stripe in 0..<64 {
                guard let symbol = slice.symbol(ofStripe: stripe) else { continue }
                promise(source.symbol(ofStripe: stripe)?.elementsEqual(symbol) ?? false, "another symbol")
            }
        })
}

/// Slice headers: one encoding each, total decoding, and every rule of Spec 40.3 with a header that breaks only it.

import MillraceBase
import MillraceCrypto
import MillraceTestSupport
import Testing

@testable import MillraceWire

private let testKey = SigningKey(seed: Hash32(word: U256(42)))

/// A plausible header of a slice with `dataCount` symbols.
private func sampleHeader(dataCount: Int = 3, parityCount: Int = 2, commitment: Bool = false) -> SliceHeader {
    var header = SliceHeader()
    header.chainID = 6_342
    header.epoch = 7
    header.firstHeight = 1_234
    header.lastHeight = 1_234
    header.sealedAtMicroseconds = 1_700_000_000_123_456
    header.codecID = 1
    header.payloadBytes = UInt32(dataCount * 100)
    header.sliceBytes = UInt32(dataCount * 100)
    header.symbolBytes = dataCount == 0 ? 0 : 100
    header.dataCount = UInt8(dataCount)
    header.parityCount = UInt8(dataCount == 0 ? 0 : parityCount)
    header.parityBytes = header.parityCount == 0 ? 0 : 100
    header.payloadHash = Blake2b.hash(dataCount == 0 ? [] : [1, 2, 3])
    header.previousHeaderHash = Blake2b.hash([4, 5, 6])
    if commitment { header.commitment = SliceCommitment(height: 1_200, hash: Blake2b.hash([7])) }
    for i in 0..<header.shredCount {
        header.shredHashes.append(ShredHash(low: UInt64(i) * 0x0101_0101_0101_0101, high: UInt32(i)))
    }
    header.sign(with: testKey)
    return header
}

private func decodeError(_ bytes: [UInt8]) -> WireError? {
    do throws(WireError) {
        _ = try SliceHeader.decode(bytes.span.bytes)
        return nil
    } catch { return error }
}

@Test(arguments: [(0, 0), (1, 0), (3, 2), (32, 16)], [false, true])
func `a header comes back as it was`(shape: (Int, Int), commitment: Bool) throws {
    let header = sampleHeader(dataCount: shape.0, parityCount: shape.1, commitment: commitment)
    let bytes = header.encoded
    #expect(bytes.count == header.encodedBytes)
    let decoded = try SliceHeader.decode(bytes.span.bytes)
    #expect(decoded == header)
    #expect(decoded.encoded == bytes)
    #expect(decoded.isSigned(by: testKey.verifyingKey))
    #expect(SliceHeader.hash(encoded: bytes.span.bytes) == header.hash)
}

@Test func `the largest header and the largest shred fit one datagram`() {
    let header = sampleHeader(dataCount: 32, parityCount: 16, commitment: true)
    #expect(header.encodedBytes == WireLimits.sliceHeaderBytesMax)
    #expect(WireLimits.sliceHeaderBytesMax + 16 <= WireLimits.framesBytesMax)
    #expect(WireLimits.symbolBytesMax == 1_190)
    #expect(
        (Limits.payloadBytesMax + WireLimits.sliceBytesMax - 1) / WireLimits.sliceBytesMax
            <= WireLimits.sliceCountMax)
}

@Test func `a header cut anywhere is truncated, and one byte more is trailing`() {
    let bytes = sampleHeader(commitment: true).encoded
    for count in 0..<bytes.count {
        #expect(decodeError(Array(bytes[..<count])) == .truncated, "cut at \(count)")
    }
    #expect(decodeError(bytes + [0]) == .trailing)
}

@Test func `any flipped bit is refused by the decoder or by the signature`() throws {
    let bytes = sampleHeader(commitment: true).encoded
    for bit in 0..<(bytes.count * 8) {
        var flipped = bytes
        flipped[bit / 8] ^= 1 << UInt8(bit % 8)
        guard let header = try? SliceHeader.decode(flipped.span.bytes) else { continue }
        #expect(!header.isSigned(by: testKey.verifyingKey), "bit \(bit)")
        #expect(header.encoded == flipped, "two encodings of one header, bit \(bit)")
    }
}

@Test func `the hash leaves the signature out and nothing else`() {
    let header = sampleHeader()
    var other = header
    other.signature = SigningKey(seed: Hash32(word: U256(1))).sign([0])
    #expect(other.hash == header.hash)
    other.sealedAtMicroseconds += 1
    #expect(other.hash != header.hash)
}

@Test func `another key's signature is not the sequencer's`() {
    var header = sampleHeader()
    header.sign(with: SigningKey(seed: Hash32(word: U256(43))))
    #expect(!header.isSigned(by: testKey.verifyingKey))
}

/// A header that breaks one rule.
private struct Broken {
    let name: String
    let why: String
    let expect: WireError
    let make: @Sendable (inout SliceHeader) -> Void

    init(
        _ name: String, _ expect: WireError, _ why: String,
        _ make: @escaping @Sendable (inout SliceHeader) -> Void
    ) {
        (self.name, self.expect, self.why, self.make) = (name, expect, why, make)
    }

    var bytes: [UInt8] {
        var header = sampleHeader()
        make(&header)
        header.sign(with: testKey)
        return header.encoded
    }
}

private let broken: [Broken] = [
    Broken("height-zero", .outOfRange, "heights count from 1") { $0.firstHeight = 0 },
    Broken("height-above-limit", .outOfRange, "heights are below 2^48") {
        ($0.firstHeight, $0.lastHeight) = (1 << 48, 1 << 48)
    },
    Broken("heights-reversed", .outOfRange, "the last height is before the first") { $0.lastHeight = 1_233 },
    Broken("stamp-above-limit", .outOfRange, "stamps are below 2^56 microseconds") {
        $0.sealedAtMicroseconds = 1 << 56
    },
    Broken("slice-count-zero", .outOfRange, "a payload has at least one slice") { $0.sliceCount = 0 },
    Broken("slice-index-at-count", .outOfRange, "slices count from 0") { $0.sliceIndex = 1 },
    Broken("slice-count-above-limit", .outOfRange, "at most 1,024 slices") { $0.sliceCount = 1_025 },
    Broken("payload-above-limit", .outOfRange, "a payload is at most 26,476,544 bytes") {
        $0.payloadBytes = 26_476_545
    },
    Broken("symbol-above-limit", .outOfRange, "a symbol is at most 1,190 bytes") {
        ($0.payloadBytes, $0.sliceBytes, $0.symbolBytes) = (3 * 1_191, 3 * 1_191, 1_191)
    },
    Broken("window-span-zero", .outOfRange, "the window span counts the slice itself") { $0.windowSpan = 0 },
    Broken("window-span-above-limit", .outOfRange, "a window is at most 16 slices") { $0.windowSpan = 17 },
    Broken("run-with-payload", .inconsistent, "only empty mini-blocks may share a header at cadence 0") {
        $0.lastHeight = 1_240
    },
    Broken("window-unaligned", .inconsistent, "a 100 ms window starts at a height of 1 modulo 10") {
        ($0.cadence, $0.firstHeight, $0.lastHeight) = (.c1, 1_232, 1_241)
    },
    Broken("window-too-short", .inconsistent, "a 100 ms window has 10 heights") {
        ($0.cadence, $0.firstHeight, $0.lastHeight) = (.c1, 1_231, 1_239)
    },
    Broken("share-not-even", .inconsistent, "a slice holds its even share of the payload") {
        $0.sliceBytes -= 1
    },
    Broken("symbol-size-not-even", .inconsistent, "symbols are the slice's bytes over K, rounded up") {
        $0.symbolBytes = 101
    },
    Broken("bytes-without-symbols", .inconsistent, "a payload needs at least one data symbol") {
        ($0.dataCount, $0.parityCount, $0.parityBytes, $0.shredHashes) = (0, 0, 0, [])
    },
    Broken("parity-above-limit", .outOfRange, "a parity symbol is at most 1,190 bytes") {
        ($0.windowSpan, $0.parityBytes) = (2, 1_191)
    },
    Broken("parity-too-short", .inconsistent, "parity is as long as the longest symbol it covers") {
        ($0.windowSpan, $0.parityBytes) = (16, 99)
    },
    Broken("parity-not-its-own", .inconsistent, "parity over one slice has that slice's symbol size") {
        $0.parityBytes = 101
    },
    Broken("parity-bytes-without-parity", .inconsistent, "no parity has no length") {
        ($0.parityCount, $0.shredHashes) = (0, Array($0.shredHashes.prefix(3)))
    },
    Broken("symbols-without-bytes", .inconsistent, "an empty payload has no symbols") {
        ($0.payloadBytes, $0.sliceBytes, $0.symbolBytes) = (0, 0, 0)
    },
    Broken("commitment-off-boundary", .inconsistent, "commitments are those of EVM blocks") {
        $0.commitment = SliceCommitment(height: 1_201, hash: .zero)
    },
    Broken("commitment-ahead", .inconsistent, "a commitment cannot be of a later height") {
        $0.commitment = SliceCommitment(height: 1_300, hash: .zero)
    },
]

@Test func `each rule has a header that only it refuses`() {
    for item in broken { #expect(decodeError(item.bytes) == item.expect, "\(item.name)") }
}

@Test func `a run of empty mini-blocks stays within one EVM block`() throws {
    var header = sampleHeader(dataCount: 0)
    (header.firstHeight, header.lastHeight) = (1_201, 1_300)
    try header.validate()
    header.lastHeight = 1_301
    #expect(throws: WireError.inconsistent) { try header.validate() }
}

@Test func `reserved bits and an unknown version are refused before anything else`() {
    let bytes = sampleHeader().encoded
    let changes: [(offset: Int, bits: UInt8, expect: WireError)] = [
        (0, 2, .unknownVersion), (1, 4, .reserved), (1, 128, .reserved), (7, 1, .reserved),
    ]
    for change in changes {
        var changed = bytes
        changed[change.offset] |= change.bits
        #expect(decodeError(changed) == change.expect, "byte \(change.offset), bits \(change.bits)")
    }
    var cadence = bytes
    cadence[2] = 6
    #expect(decodeError(cadence) == .outOfRange)
    var symbols = bytes
    symbols[5] = 33
    #expect(decodeError(symbols) == .outOfRange)
}

@Test(arguments: 0..<16 as Range<UInt64>)
func `shares of a payload are even, in order and cover it`(seed: UInt64) {
    var generator = Seed(seed).generator("shares")
    let bytes = Int(generator.below(UInt64(Limits.payloadBytesMax) + 1))
    let count = Int(generator.below(1_024)) + 1
    var end = 0
    for index in 0..<count {
        let share = SliceHeader.shareOfPayload(bytes, index: index, count: count)
        #expect(share.lowerBound == end, "seed \(seed)")
        #expect(share.count == bytes / count || share.count == bytes / count + 1, "seed \(seed)")
        end = share.upperBound
    }
    #expect(end == bytes, "seed \(seed)")
}

@Test func `a symbol is genuine at its own stripe of its own slice only`() {
    var header = sampleHeader()
    let symbol = [UInt8](repeating: 9, count: 100)
    let hash = symbol.withUnsafeBytes {
        ShredHash(of: $0, stripe: 33, previousHeaderHash: header.previousHeaderHash)
    }
    header.shredHashes = Array(repeating: hash, count: 5)
    func isGenuine(_ symbol: [UInt8], _ stripe: Int) -> Bool {
        symbol.withUnsafeBytes { header.isGenuine($0, stripe: stripe) }
    }
    #expect((-3..<60).filter { isGenuine(symbol, $0) } == [33])
    #expect(!isGenuine(Array(symbol.dropLast()), 33))
    #expect(!isGenuine([], 33))
    header.previousHeaderHash = .zero
    #expect(!isGenuine(symbol, 33))
}

// MARK: Protocol-Spec/vectors/slice

private func writeVectors() throws {
    let key = testKey.verifyingKey
    func write(
        _ name: String, _ expect: String, _ why: String, _ bytes: [UInt8], _ more: [(String, String)] = []
    ) throws {
        try VectorFile(
            name: name,
            fields: [("expect", expect), ("why", why), ("verifyingKey", Hex.encode(key.bytes))] + more,
            bytes: bytes
        ).write(area: "slice")
    }
    func good(_ name: String, _ why: String, _ header: SliceHeader) throws {
        try write(name, "ok", why, header.encoded, [("headerHash", Hex.encode(header.hash.bytes))])
    }
    try good("three-and-two", "three data and two parity symbols", sampleHeader())
    var window = sampleHeader()
    (window.windowSpan, window.parityBytes) = (16, 1_190)
    window.sign(with: testKey)
    try good("window", "parity over 16 slices, one of which has longer symbols", window)
    try good("with-commitment", "an EVM block's commitment travels along", sampleHeader(commitment: true))
    try good(
        "largest", "32 data and 16 parity symbols and a commitment",
        sampleHeader(dataCount: 32, parityCount: 16, commitment: true))
    var run = sampleHeader(dataCount: 0)
    (run.firstHeight, run.lastHeight, run.isEndOfStream) = (1_201, 1_300, true)
    run.sign(with: testKey)
    try good("empty-run-end", "100 empty mini-blocks, and the end of the stream", run)

    let bytes = sampleHeader().encoded
    try write("cut", "truncated", "the last byte of the signature is missing", Array(bytes.dropLast()))
    try write("longer", "trailing", "one byte follows the signature", bytes + [0])
    var changed = bytes
    changed[0] = 2
    try write("version-2", "unknownVersion", "a layout this chapter does not describe", changed)
    changed = bytes
    changed[1] = 4
    try write("reserved-flag", "reserved", "bit 2 of the flags has no meaning", changed)
    changed = bytes
    changed[2] = 6
    try write("cadence-6", "outOfRange", "cadences are 0…5", changed)
    for item in broken { try write(item.name, item.expect.rawValue, item.why, item.bytes) }
    changed = bytes
    changed[bytes.count - 1] ^= 1
    try write("signature-flipped", "badSignature", "decodes; the signature is not the key's", changed)
}

@Test func `vectors decode or fail as they say`() throws {
    if VectorFile.isWriting { try writeVectors() }
    for vector in try VectorFile.all("slice") {
        let key = try #require(vector.hex("verifyingKey").flatMap { VerifyingKey($0) })
        var outcome = "ok"
        do throws(WireError) {
            let header = try SliceHeader.decode(vector.bytes.span.bytes)
            if !header.isSigned(by: key) { outcome = "badSignature" }
            #expect(header.encoded == vector.bytes, "\(vector.name)")
            if let hash = vector.hex("headerHash") { #expect(header.hash.bytes == hash, "\(vector.name)") }
        } catch { outcome = error.rawValue }
        #expect(outcome == vector.expect, "\(vector.name)")
    }
}

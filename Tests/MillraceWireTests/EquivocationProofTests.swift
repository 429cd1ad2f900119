/// Proofs of equivocation: two headers in short, checked by anybody, made by nobody but the sequencer.

import MillraceBase
import MillraceCrypto
import MillraceTestSupport
import MillraceWire
import Testing

private let testKey = SigningKey(seed: Hash32(word: U256(42)))

private func header(_ change: (inout SliceHeader) -> Void = { _ in }) -> SliceHeader {
    var header = SliceHeader()
    header.chainID = 6_342
    header.epoch = 7
    header.firstHeight = 1_234
    header.lastHeight = 1_234
    header.sealedAtMicroseconds = 1_700_000_000_123_456
    header.codecID = 1
    header.payloadBytes = 300
    header.sliceBytes = 300
    header.symbolBytes = 100
    header.dataCount = 3
    header.payloadHash = Blake2b.hash([1, 2, 3])
    header.previousHeaderHash = Blake2b.hash([4, 5, 6])
    header.shredHashes = (0..<3).map { ShredHash(low: $0, high: 9) }
    change(&header)
    header.sign(with: testKey)
    return header
}

private func proof(_ a: SliceHeader, _ b: SliceHeader) -> EquivocationProof? {
    let (a, b) = (a.encoded, b.encoded)
    return EquivocationProof(a.span.bytes, b.span.bytes)
}

private func outcome(_ bytes: [UInt8]) -> String {
    do throws(WireError) {
        let proof = try EquivocationProof.decode(bytes.span.bytes)
        return proof.isSigned(by: testKey.verifyingKey) ? "ok" : "badSignature"
    } catch { return error.rawValue }
}

@Suite struct EquivocationProofTests {
    private let other = header { $0.payloadHash = Blake2b.hash([9]) }

    @Test func `a summary has the hash of its header, whatever the header's size`() throws {
        for (data, commitment) in [(0, false), (1, true), (32, false), (32, true)] {
            var whole = header()
            whole.dataCount = UInt8(data)
            whole.shredHashes = (0..<data).map { ShredHash(low: UInt64($0), high: 1) }
            whole.payloadBytes = data == 0 ? 0 : UInt32(data * 100)
            whole.sliceBytes = whole.payloadBytes
            if data == 0 { whole.symbolBytes = 0 }
            if commitment { whole.commitment = SliceCommitment(height: 1_200, hash: Blake2b.hash([7])) }
            whole.sign(with: testKey)
            let bytes = whole.encoded
            let summary = HeaderSummary(ofEncoded: bytes.span.bytes)
            #expect(summary.hash == whole.hash)
            #expect(summary.hash == SliceHeader.hash(encoded: bytes.span.bytes))
            #expect(summary.isSigned(by: testKey.verifyingKey))
            #expect(summary.bytes.count == (commitment ? 260 : 220))
        }
    }

    @Test func `two headers for one slice are a proof, in one order whoever makes it`() throws {
        let made = try #require(proof(header(), other))
        #expect(made == proof(other, header()))
        #expect(made.height == 1_234 && made.chainID == 6_342 && made.epoch == 7)
        #expect(made.isSigned(by: testKey.verifyingKey))
        #expect(made.encoded.count == 440)
        #expect(try EquivocationProof.decode(made.encoded.span.bytes) == made)
    }

    @Test func `headers that an honest sequencer signs are no proof`() {
        let first = header()
        #expect(proof(first, first) == nil)
        let next = header {
            ($0.firstHeight, $0.lastHeight) = (1_235, 1_235)
            $0.previousHeaderHash = first.hash
        }
        #expect(proof(first, next) == nil)
        let later = header { ($0.firstHeight, $0.lastHeight) = (1_300, 1_300) }
        #expect(proof(first, later) == nil)
        #expect(proof(first, header { $0.epoch = 8 }) == nil)
        #expect(proof(first, header { $0.chainID = 1 }) == nil)
        // The second slice of two.
        let two = header {
            ($0.sliceCount, $0.payloadBytes) = (2, 600)
        }
        let second = header {
            ($0.sliceCount, $0.sliceIndex, $0.payloadBytes) = (2, 1, 600)
            $0.previousHeaderHash = two.hash
        }
        #expect(proof(two, second) == nil)
    }

    @Test func `a broken chain, slices that disagree and heights that overlap are proofs`() {
        let first = header()
        #expect(proof(first, header { ($0.firstHeight, $0.lastHeight) = (1_235, 1_235) }) != nil)
        let two = header { ($0.sliceCount, $0.payloadBytes) = (2, 600) }
        let disagreeing = header {
            ($0.sliceCount, $0.sliceIndex, $0.payloadBytes) = (2, 1, 600)
            $0.sealedAtMicroseconds += 1
            $0.previousHeaderHash = two.hash
        }
        #expect(proof(two, disagreeing) != nil)
        func run(_ heights: ClosedRange<UInt64>) -> SliceHeader {
            header {
                ($0.firstHeight, $0.lastHeight) = (heights.lowerBound, heights.upperBound)
                ($0.payloadBytes, $0.sliceBytes, $0.symbolBytes, $0.dataCount) = (0, 0, 0, 0)
                $0.shredHashes = []
            }
        }
        #expect(proof(run(1_201...1_210), run(1_205...1_214)) != nil)
        #expect(proof(run(1_201...1_210), run(1_221...1_230)) == nil)
    }

    @Test func `a proof cut anywhere fails, and no flipped bit goes unnoticed`() throws {
        let bytes = try #require(proof(header(), other)).encoded
        for count in 0..<bytes.count { #expect(outcome(Array(bytes.prefix(count))) != "ok") }
        for bit in stride(from: 0, to: bytes.count * 8, by: 3) {
            var changed = bytes
            changed[bit / 8] ^= 1 << UInt8(bit % 8)
            #expect(outcome(changed) != "ok", "bit \(bit)")
        }
    }

    @Test func `evidence vectors`() throws {
        if VectorFile.isWriting { try writeVectors() }
        for vector in try VectorFile.all("evidence") {
            #expect(outcome(vector.bytes) == vector.expect, "\(vector.name)")
        }
    }

    private func writeVectors() throws {
        func write(_ name: String, _ expect: String, _ why: String, _ bytes: [UInt8]) throws {
            let fields = [
                ("expect", expect), ("why", why), ("verifyingKey", Hex.encode(testKey.verifyingKey.bytes)),
            ]
            try VectorFile(name: name, fields: fields, bytes: bytes).write(area: "evidence")
        }
        let same = try #require(proof(header(), other))
        try write("one-slice", "ok", "two headers for one slice", same.encoded)
        let next = header {
            ($0.firstHeight, $0.lastHeight) = (1_235, 1_235)
            $0.commitment = SliceCommitment(height: 1_200, hash: Blake2b.hash([7]))
        }
        try write(
            "broken-chain", "ok", "the second, with a commitment, names another before it",
            try #require(proof(header(), next)).encoded)
        try write("cut", "truncated", "the last byte is missing", Array(same.encoded.dropLast()))
        try write("longer", "trailing", "one byte follows", same.encoded + [0])
        try write(
            "order", "inconsistent", "the two the other way round", same.second.bytes + same.first.bytes)
        try write("twice", "inconsistent", "one header twice", same.first.bytes + same.first.bytes)
        var changed = same.encoded
        changed[0] = 2
        try write("version-2", "unknownVersion", "a header of another version", changed)
        changed = same.encoded
        changed[439] ^= 1
        try write("signature-flipped", "badSignature", "the second signature is not the key's", changed)
    }
}

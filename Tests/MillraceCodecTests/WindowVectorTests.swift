/// The vectors of `Protocol-Spec/vectors/window`: bytes of a c1 window (Spec 30.15) of heights 1 to 10 over the empty
/// state. Where one is good, `commitment` is of the state after it, and `popularity` what its follower has then, as whoever
/// followed c0 has.

import MillraceBase
import MillraceDiff
import MillraceTestSupport
import Testing

@testable import MillraceCodec

private let payer = Address(high: 0xA11C_E000_0000_0000, middle: 0, low: 1)
private let payee = Address(high: 0xB0B0_0000_0000_0000, middle: 0, low: 2)

private func makeVectors() throws -> [VectorFile] {
    // Ten mini-blocks of one payment each, followed at c0.
    let pair = Pair()
    var parts: [StateDiff] = []
    for height in 1...UInt64(10) {
        pair.builder.beginTransaction()
        pair.builder.setAccount(payer, balance: U256(1_000_000 - height * 1_000), nonce: height)
        pair.builder.setAccount(payee, balance: U256(height * 1_000), nonce: 0)
        pair.builder.endTransaction()
        try pair.seal()
        try pair.decode(pair.payload)
        pair.encoder.dropUntold(&pair.diff)
        parts.append(pair.diff)
        try pair.advance()
    }
    let popularity = try #require(pair.decoder.popularityBytes())
    let commitment = StateCommitment(of: pair.receiver).commitmentNow()
    let window = try parts.dropFirst().reduce(parts[0]) { try StateDiff.compose($0, $1) }
    func payload(_ diff: StateDiff) -> [UInt8] {
        var payload: [UInt8] = []
        Codec(cadence: .c1).encode(diff, base: State(seed: Seed(3)), into: &payload)
        return payload
    }
    let told = payload(window)
    let values = payload(Codec.valuesOnly(window))
    func good(_ name: String, _ why: String, _ bytes: [UInt8]) -> VectorFile {
        VectorFile(
            name: name,
            fields: [
                ("expect", "ok"), ("why", why), ("commitment", commitment.hex),
                ("popularity", Hex.encode(popularity)),
            ], bytes: bytes)
    }
    func bad(_ name: String, _ expect: String, _ why: String, _ bytes: [UInt8]) -> VectorFile {
        VectorFile(name: name, fields: [("expect", expect), ("why", why)], bytes: bytes)
    }
    return [
        good(
            "operations", "all operations are told, and no popularity",
            Codec.windowBytes(popularity: [], payload: told)),
        good(
            "values", "values alone, and the popularity after the window",
            Codec.windowBytes(popularity: popularity, payload: values)),
        bad("empty", "truncated", "not even a length", []),
        bad(
            "popularity-cut", "truncated", "a popularity of more bytes than there are",
            [UInt8(values.count + 1)] + values),
        bad("popularity-short", "badPopularity", "two tables of three, and an empty payload", [2, 0, 0]),
        bad(
            "popularity-bad", "badPopularity", "a popularity that is none",
            Codec.windowBytes(popularity: [0xFF], payload: values)),
        bad(
            "payload-cut", "truncated", "the payload ends inside its header",
            Codec.windowBytes(popularity: [], payload: Array(told.prefix(3)))),
    ]
}

@Suite struct WindowVectorTests {
    @Test func `window vectors are what the encoder writes`() throws {
        let made = try makeVectors()
        if VectorFile.isWriting { for vector in made { try vector.write(area: "window") } }
        let stored = try VectorFile.all("window")
        #expect(stored.map(\.name) == made.map(\.name).sorted())
        for vector in made {
            #expect(stored.first { $0.name == vector.name } == vector, "\(vector.name)")
        }
    }

    @Test func `every window vector does what it says, and none changes anything when it is refused`() throws
    {
        for vector in try VectorFile.all("window") {
            let state = State(seed: Seed(3))
            let codec = Codec(cadence: .c1)
            var diff = StateDiff()
            (diff.firstHeight, diff.lastHeight) = (1, 10)
            var found = "ok"
            do throws(CodecError) {
                let popularity = try codec.decodeWindow(vector.bytes.span.bytes, base: state, into: &diff)
                // A vector whose diff does not apply would be a mistake here, not in the window.
                if (try? state.apply(diff)) == nil { Issue.record("\(vector.name) does not apply") }
                codec.advance(past: diff, state: state)
                if let popularity { try codec.join(popularity: popularity.span.bytes, state: state) }
            } catch {
                found = String("\(error)".prefix { $0 != "(" })
            }
            #expect(found == vector.expect, "\(vector.name): \(vector["why"] ?? "")")
            guard vector.expect == "ok" else { continue }
            #expect(StateCommitment(of: state).commitmentNow().hex == vector["commitment"], "\(vector.name)")
            #expect(codec.popularityBytes() == vector.hex("popularity"), "\(vector.name)")
        }
    }
}

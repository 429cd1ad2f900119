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
    var diffs: [StateDiff] = []
    var parts = WindowForm.emptyParts
    for height in 1...UInt64(10) {
        pair.builder.beginTransaction()
        pair.builder.setAccount(payer, balance: U256(1_000_000 - height * 1_000), nonce: height)
        pair.builder.setAccount(payee, balance: U256(height * 1_000), nonce: 0)
        pair.builder.endTransaction()
        try pair.seal()
        WindowForm.append(pair.payload, to: &parts)
        try pair.decode(pair.payload)
        pair.encoder.dropUntold(&pair.diff)
        diffs.append(pair.diff)
        try pair.advance()
    }
    let popularity = try #require(pair.decoder.popularityBytes())
    let commitment = StateCommitment(of: pair.receiver).commitmentNow()
    let window = try diffs.dropFirst().reduce(diffs[0]) { try StateDiff.compose($0, $1) }
    let state = State(seed: Seed(3))
    let codec = Codec(cadence: .c1)
    var payload: [UInt8] = []
    codec.encode(Codec.valuesOnly(window), base: state, into: &payload)
    try state.apply(window)
    codec.advance(past: Codec.valuesOnly(window), state: state)
    let corrections = try #require(codec.popularityCorrections(to: pair.decoder, past: window))
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
        good("in-parts", "the payloads of c0, one behind the other", parts),
        good(
            "values", "values alone, and corrections: the payee was named, and no nonce says so",
            WindowForm.values(corrections: corrections, payload: payload)),
        bad("empty", "truncated", "not even a form", []),
        bad("form", "unknownForm", "neither parts nor values", [2] + parts.dropFirst()),
        bad("parts-cut", "truncated", "the last part is shorter than it says", parts.dropLast()),
        bad("parts-few", "truncated", "nine parts for ten heights", [0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
        bad("parts-many", "trailingBytes", "eleven parts for ten heights", Array(repeating: 0, count: 12)),
        bad(
            "corrections-cut", "truncated", "corrections of more bytes than there are",
            [1, UInt8(payload.count + 1)] + payload),
        bad("corrections-short", "badPopularity", "two lists of three", [1, 2, 0, 0]),
        bad("corrections-long", "badPopularity", "a byte behind the third list", [1, 4, 0, 0, 0, 0]),
        bad(
            "corrections-below", "badPopularity", "a weight below zero",
            WindowForm.values(corrections: [1, 0, 0x81, 1, 0, 0], payload: payload)),
        bad(
            "corrections-none", "badPopularity", "a correction that corrects nothing",
            WindowForm.values(corrections: [1, 0, 0, 0, 0], payload: payload)),
        bad(
            "corrections-unknown", "badPopularity", "an account the state does not have",
            WindowForm.values(corrections: [1, 2, 2, 0, 0], payload: payload)),
        bad(
            "payload-cut", "truncated", "the payload ends inside its header",
            WindowForm.values(corrections: corrections, payload: Array(payload.prefix(3)))),
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

    @Test func `every window vector does what it says`() throws {
        for vector in try VectorFile.all("window") {
            let state = State(seed: Seed(3))
            let codec = Codec(cadence: .c1)
            var diff = StateDiff()
            var found = "ok"
            do throws(Codec.WindowError) {
                try codec.follow(
                    window: vector.bytes.span.bytes, of: .c1, from: 1, sealedAtMicroseconds: 0, state: state,
                    diff: &diff
                ) { _ in }
            } catch {
                // A vector whose diff does not apply would be a mistake here, not in the window.
                if case .undecodable(let reason) = error {
                    found = String("\(reason)".prefix { $0 != "(" })
                } else {
                    Issue.record("\(vector.name) does not apply: \(error)")
                }
            }
            #expect(found == vector.expect, "\(vector.name): \(vector["why"] ?? "")")
            guard vector.expect == "ok" else { continue }
            #expect(StateCommitment(of: state).commitmentNow().hex == vector["commitment"], "\(vector.name)")
            #expect(codec.popularityBytes() == vector.hex("popularity"), "\(vector.name)")
        }
    }
}

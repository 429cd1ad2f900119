/// The vectors of `Protocol-Spec/vectors/codec`. A vector's body is the payload of one mini-block. `before1`, `before2`, … are
/// the payloads of heights 1, 2, … from the empty state; the body has the next height. Where the vector is good, `plain` is
/// the same diff in plain form, facts left away.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceTestSupport
import Testing

@testable import MillraceCodec

private let alice = Address(high: 0xA11C_E000_0000_0000, middle: 0, low: 1)
private let bob = Address(high: 0xB0B0_0000_0000_0000, middle: 0, low: 2)
private let token = Address(high: 0xC000_0000_0000_0000, middle: 0, low: 3)

struct VectorMaker {
    let pair = Pair()
    var before: [[UInt8]] = []
    var vectors: [VectorFile] = []

    mutating func step(_ write: (DiffBuilder) -> Void) throws {
        pair.builder.beginTransaction()
        write(pair.builder)
        pair.builder.endTransaction()
        try pair.seal()
        try pair.decode(pair.payload)
        try pair.advance()
        before.append(pair.payload)
    }

    /// Seals, adds the payload as a good vector, moves on.
    mutating func good(_ name: String, why: String, _ write: (DiffBuilder) -> Void) throws {
        pair.builder.beginTransaction()
        write(pair.builder)
        pair.builder.endTransaction()
        try good(name, why: why)
    }

    /// The same for transactions written already; `change` may spoil the diff.
    mutating func good(_ name: String, why: String, _ change: (inout StateDiff) -> Void = { _ in }) throws {
        try pair.seal(change: change)
        var plain: [UInt8] = []
        PlainForm.encode(pair.diff, base: pair.sender, into: &plain)
        vectors.append(
            file(name, expect: "ok", why: why, extra: [("plain", Hex.encode(plain))], pair.payload))
        try pair.decode(pair.payload)
        try pair.advance()
        before.append(pair.payload)
    }

    /// What the writes give as the next payload; nothing may follow.
    func last(_ write: (DiffBuilder) -> Void) throws -> [UInt8] {
        pair.builder.beginTransaction()
        write(pair.builder)
        pair.builder.endTransaction()
        try pair.seal()
        return pair.payload
    }

    mutating func bad(_ name: String, expect: String, why: String, _ payload: [UInt8]) {
        vectors.append(file(name, expect: expect, why: why, extra: [], payload))
    }

    private func file(
        _ name: String, expect: String, why: String, extra: [(name: String, value: String)],
        _ payload: [UInt8]
    ) -> VectorFile {
        var fields: [(name: String, value: String)] = [("expect", expect), ("why", why)]
        for (i, payload) in before.enumerated() { fields.append(("before\(i + 1)", Hex.encode(payload))) }
        return VectorFile(name: name, fields: fields + extra, bytes: payload)
    }
}

private func makeVectors() throws -> [VectorFile] {
    var maker = VectorMaker()
    try maker.good("new-accounts", why: "two accounts appear, by address") { builder in
        builder.setAccount(alice, balance: U256(1_000_000_000_000_000_000), nonce: 4)
        builder.setAccount(bob, balance: U256(5), nonce: 0)
    }
    try maker.good("fee-and-balancer", why: "a nonce step, a fall, and one account that takes it up") {
        builder in
        builder.setAccount(alice, balance: U256(1_000_000_000_000_000_000 - 42_000_000_000), nonce: 5)
        builder.setBalance(bob, to: U256(42_000_000_005))
    }
    try maker.good("new-slots", why: "a contract with code, small slots, a hashed one and its neighbour") {
        builder in
        builder.setCode(token, to: [0x60, 0x01])
        builder.setSlot(token, 1, to: U256(1_000))
        builder.setSlot(token, 2, to: U256(0xFFFF, 7, 9, 0xABC0_0000_0000_0000))
        builder.setSlot(token, U256(11, 22, 33, 44 << 56), to: U256(123_456_789_012_345_678))
        builder.setSlot(token, U256(12, 22, 33, 44 << 56), to: U256(999_999_999_999_999_999))
    }
    try maker.good(
        "reference-and-fields", why: "an equal difference by reference, a packed word field by field"
    ) { builder in
        builder.setSlot(token, 2, to: U256(0xFFFF, 7 + 345_678_901_234 << 30, 9, 0xABC0_0000_0000_0000))
        builder.setSlot(
            token, U256(11, 22, 33, 44 << 56), to: U256(123_456_789_012_345_678 - 98_765_432_109_877))
        builder.setSlot(
            token, U256(12, 22, 33, 44 << 56), to: U256(999_999_999_999_999_999 + 98_765_432_109_877))
    }
    try maker.good(
        "destroyed", why: "a contract destroyed: its clearings are implied, one slot is kept by a successor"
    ) { builder in
        builder.destroy(token)
        builder.setSlot(token, 1, to: U256(1_000))
    }
    try maker.good("clear-and-round", why: "a balance cleared, a round amount") { builder in
        builder.setAccount(alice, balance: .zero, nonce: 6)
        builder.setBalance(bob, to: U256(42_000_000_005 + 250_000_000_000_000_000))
    }
    let time: UInt64 = 1_700_000_000
    try maker.good(
        "names", why: "an entry of a mapping, one of a nested one, an array's element, a neighbour"
    ) {
        builder in
        let key = alice.word
        let entry = Keccak256.mappingSlot(key: key, base: 3)
        builder.setSlot(token, entry, to: 5, preimage: .mapping(base: 3, key: key))
        builder.setSlot(token, entry &+ 1, to: 6)
        builder.setSlot(
            token, Keccak256.nestedSlot(base: 4, outer: key, inner: bob.word), to: ~U256.zero,
            preimage: .nested(base: 4, outer: key, inner: bob.word))
        builder.setSlot(token, Keccak256.hash(U256(6).bigEndianBytes).word &+ 2, to: 9)
        builder.setAccount(alice, balance: 3, nonce: 7)
        builder.setSlot(token, 8, to: U256(1 << 60) | U256(5 << 60) << 112 | U256(time - 12) << 224)
        builder.setSlot(token, 9, to: 3)
        builder.setSlot(token, 10, to: 4)
    }
    try maker.good("words", why: "a pool's accumulators, its time, an address, all ones, a word met before") {
        builder in
        builder.setSlot(token, 8, to: U256((1 << 60) + 9) | U256((5 << 60) - 40) << 112 | U256(time) << 224)
        builder.setSlot(token, 9, to: U256(3) &+ (U256(60) << 112))
        builder.setSlot(
            token, 10, to: U256(4) &+ (U256(1) << 112).quotientAndRemainder(dividingBy: 5).quotient &* 12)
        builder.setSlot(token, 1, to: alice.word)
        builder.setSlot(token, 3, to: ~U256.zero)
        builder.setSlot(token, 4, to: alice.word | U256(time) << 160)
        builder.setSlot(token, 5, to: alice.word | U256(time) << 160)
        builder.setBalance(alice, to: 4)
    }
    try maker.good("codes", why: "the dictionary as a code, and half of it again") { builder in
        builder.setCode(alice, to: CodeDictionary.bytes)
        builder.setCode(bob, to: Array(CodeDictionary.bytes.prefix(150)))
    }
    try maker.good("window-end", why: "the tenth height: bob is in a class of his own") { builder in
        builder.setBalance(bob, to: builder.balance(of: bob) &+ 1)
    }
    try maker.good("window-start", why: "the eleventh height: all restarts, bob is cold again") { builder in
        builder.setBalance(bob, to: builder.balance(of: bob) &+ 1)
        builder.setSlot(token, 1, to: 7)
    }

    var hostile = VectorMaker()
    try hostile.step { builder in
        builder.setBalance(alice, to: 1)
        builder.setBalance(bob, to: 2)
    }
    hostile.bad("unknown-form", expect: "unknownForm", why: "form 3", [3, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    hostile.bad(
        "genesis", expect: "unknownForm", why: "genesis has no payload", [0x21, 1, 0, 0, 0, 0, 0, 0, 0, 0])
    hostile.bad("cut-header", expect: "truncated", why: "the counts are missing", [1, 1, 0, 0])
    hostile.bad(
        "long-varint", expect: "badCount", why: "transactions as a varint that is not minimal",
        [1, 0x81, 0, 0, 0, 0, 0, 0, 0, 0, 0])
    hostile.bad(
        "too-many-accounts", expect: "badCount", why: "an address is 20 bytes",
        [1, 1, 0, 0, 1, 0, 0, 0, 0, 0])
    hostile.bad(
        "more-changes-than-accounts", expect: "badCount", why: "three changes, two accounts",
        [1, 1, 0, 0, 0, 0, 0, 3, 0, 0])
    hostile.bad(
        "range-bytes", expect: "badCount", why: "more bytes of range stream than there are",
        [1, 1, 0, 0, 0, 0, 0, 0, 0, 9])
    hostile.bad(
        "plain-unchanged", expect: "badValue", why: "an account changed to what it is",
        [2, 1, 0, 0, 0, 0, 0, 1, 0, 0] + [UInt8](repeating: 0, count: 31) + [1, 0, 0])
    hostile.bad(
        "plain-unknown-id", expect: "badKey", why: "a change of account 2 of two",
        [2, 1, 0, 0, 0, 0, 0, 1, 0, 2] + [UInt8](repeating: 0, count: 31) + [9, 0, 0])
    hostile.bad(
        "plain-cut", expect: "truncated", why: "the balance is cut", [2, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0])
    let whole = try hostile.last { $0.setBalance(alice, to: 77) }
    try hostile.pair.decode(whole)
    hostile.bad("trailing", expect: "trailingBytes", why: "a byte after the last column", whole + [7])
    return maker.vectors + hostile.vectors + (try makeOperationVectors())
}

@Test func `vectors are what the encoder writes`() throws {
    let made = try makeVectors()
    if VectorFile.isWriting { for vector in made { try vector.write(area: "codec") } }
    let stored = try VectorFile.all("codec")
    #expect(stored.map(\.name) == made.map(\.name).sorted())
    for vector in made {
        #expect(stored.first { $0.name == vector.name } == vector, "\(vector.name)")
    }
}

@Test func `every vector decodes to what it says`() throws {
    for vector in try VectorFile.all("codec") {
        let state = State(seed: Seed(3))
        let codec = Codec()
        var diff = StateDiff()
        var height: UInt64 = 1
        while let before = vector.hex("before\(height)") {
            (diff.firstHeight, diff.lastHeight) = (height, height)
            try codec.decode(before.span.bytes, base: state, into: &diff)
            try state.apply(diff)
            codec.advance(past: diff, state: state)
            height += 1
        }
        (diff.firstHeight, diff.lastHeight) = (height, height)
        let payload = vector.bytes
        guard vector.expect == "ok" else {
            var found = "ok"
            do {
                try codec.decode(payload.span.bytes, base: state, into: &diff)
            } catch {
                found = String("\(error)".prefix { $0 != "(" })
            }
            #expect(found == vector.expect, "\(vector.name): \(vector["why"] ?? "")")
            continue
        }
        try codec.decode(payload.span.bytes, base: state, into: &diff)
        let coded = diff
        let plain = try #require(vector.hex("plain"))
        try codec.decode(plain.span.bytes, base: state, into: &diff)
        // Facts have no plain form.
        diff.newFacts = coded.newFacts
        #expect(coded.content == diff.content, "\(vector.name)")
        try state.apply(coded)
    }
}

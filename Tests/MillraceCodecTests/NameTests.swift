/// Slots named by what they are, and codes by the model: round trips rule by rule, and damage.

import MillraceBase
import MillraceCrypto
import MillraceDiff
import Testing

@testable import MillraceCodec

private func address(_ i: UInt64) -> Address {
    Address(high: i &* 0x9E37_79B9_7F4A_7C15, middle: i ^ 0x5555, low: UInt32(i))
}

/// A chain with a hundred accounts, ten of them contracts whose slots it knows.
private func makePair(spread: Bool) throws -> Pair {
    let pair =
        spread
        ? Pair(
            accounts: IDSpread(known: 100, universe: 1 << 27), slots: IDSpread(known: 330, universe: 1 << 30))
        : Pair()
    for i in 0..<100 as Range<UInt64> {
        pair.builder.setAccount(address(i), balance: U256(1 << 40 + i), nonce: 3)
    }
    for c in 0..<10 as Range<UInt64> {
        for k in 0..<30 as Range<UInt64> {
            pair.builder.setSlot(
                address(c), Keccak256.mappingSlot(key: address(k).word, base: U256(c)), to: U256(1000 + k))
        }
        for s in 0..<3 as Range<UInt64> { pair.builder.setSlot(address(c), U256(s * 7), to: U256(5 + s)) }
    }
    try pair.sealGenesis()
    return pair
}

private func touch(_ pair: Pair, _ accounts: some Sequence<UInt64>) {
    for i in accounts {
        pair.builder.setAccount(address(i), balance: pair.builder.balance(of: address(i)) &- 5, nonce: 4)
    }
}

@Test(arguments: [false, true])
func `new slots cost a few bytes each where their preimages are given`(spread: Bool) throws {
    let pair = try makePair(spread: spread)
    let contract = address(4)
    touch(pair, 20..<60)
    #expect(try pair.step())
    let without = pair.payload.count
    for i in 20..<60 as Range<UInt64> {
        let key = address(i).word
        pair.builder.setSlot(
            contract, Keccak256.mappingSlot(key: key, base: 9), to: U256(77),
            preimage: .mapping(base: 9, key: key))
    }
    for i in 20..<60 as Range<UInt64> {
        pair.builder.setAccount(address(i), balance: pair.builder.balance(of: address(i)) &- 5, nonce: 5)
    }
    #expect(try pair.step())
    #expect(pair.payload.count < without + 120)
}

@Test(arguments: 1...8 as ClosedRange<UInt64>)
func `slots of every kind of name come back, and survive damage`(seed: UInt64) throws {
    let pair = try makePair(spread: seed % 2 == 0)
    var random = Seed(seed).generator("codec.tests.names")
    func word() -> U256 { U256(random.next(), random.next(), random.next(), random.next()) }
    var decodedCount = 0
    for round in 0..<12 as Range<UInt64> {
        touch(pair, (0..<100).filter { _ in random.below(3) == 0 })
        for _ in 0..<60 {
            let contract = random.below(20) == 0 ? address(1000 + round) : address(random.below(12))
            let key = random.below(6) == 0 ? U256(random.below(1 << 20)) : address(random.below(130)).word
            let other = random.below(4) == 0 ? word() : address(random.below(140)).word
            let base = random.below(8) == 0 ? word() : U256(random.below(20))
            let value = U256(1 + random.below(1 << 30))
            switch random.below(9) {
            case 0: pair.builder.setSlot(contract, U256(random.below(200)), to: value)
            case 1, 2:
                let slot = Keccak256.mappingSlot(key: key, base: base)
                pair.builder.setSlot(contract, slot, to: value, preimage: .mapping(base: base, key: key))
                for d in 0..<random.below(4) { pair.builder.setSlot(contract, slot &+ U256(d), to: value) }
            case 3:
                // The base of a Vyper mapping stands in front.
                pair.builder.setSlot(
                    contract, Keccak256.mappingSlot(key: 3, base: key), to: value,
                    preimage: .mapping(base: key, key: 3))
            case 4:
                pair.builder.setSlot(
                    contract, Keccak256.nestedSlot(base: base, outer: key, inner: other), to: value,
                    preimage: .nested(base: base, outer: key, inner: other))
            case 5:
                let start = Keccak256.hash(U256(random.below(70)).bigEndianBytes).word
                pair.builder.setSlot(contract, start &+ U256(random.below(1000)), to: value)
            case 6:
                // Wrong hints cost their place here and nothing else.
                pair.builder.setSlot(contract, word(), to: value, preimage: .mapping(base: base, key: key))
            case 7: pair.builder.setSlot(contract, word(), to: value)
            default:
                let known = address(random.below(10))
                pair.builder.setSlot(
                    known, Keccak256.mappingSlot(key: address(random.below(30)).word, base: U256(4)),
                    to: value)
            }
        }
        try pair.seal()
        // Origins of known slots, some right, some not.
        for change in pair.diff.slotChanges where Int(change.id.index) < pair.sender.slotCount {
            let key = pair.sender.key(of: change.id)
            for k in 0..<30 as Range<UInt64> {
                let base = U256(random.below(10))
                if random.below(50) == 0
                    || Keccak256.mappingSlot(key: address(k).word, base: base) == key.slot
                {
                    pair.diff.operations.origins.append(
                        SlotOrigin(id: change.id, preimage: .mapping(base: base, key: address(k).word)))
                    break
                }
            }
        }
        pair.payload.removeAll()
        let encoder = Codec(accounts: pair.encoder.accountSpread, slots: pair.encoder.slotSpread)
        encoder.encode(pair.diff, base: pair.sender, into: &pair.payload)
        let decoder = Codec(accounts: pair.encoder.accountSpread, slots: pair.encoder.slotSpread)
        var diff = StateDiff()
        func decode(_ payload: [UInt8]) throws {
            (diff.firstHeight, diff.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
            diff.sealedAtMicroseconds = pair.diff.sealedAtMicroseconds
            try decoder.decode(payload.span.bytes, base: pair.receiver, into: &diff)
        }
        for _ in 0..<80 {
            var damaged = pair.payload
            damaged[Int(random.below(UInt64(damaged.count)))] ^= UInt8(1 << random.below(8))
            if random.below(3) == 0 {
                for i in damaged.count / 4..<damaged.count {
                    damaged[i] = UInt8(truncatingIfNeeded: random.next())
                }
            }
            do {
                try Codec(accounts: pair.encoder.accountSpread, slots: pair.encoder.slotSpread)
                    .decode(damaged.span.bytes, base: pair.receiver, into: &diff)
                decodedCount += 1
            } catch {
                #expect(diff.isEmpty)
            }
        }
        try decode(pair.payload)
        pair.diff.operations.origins = []
        #expect(diff.slotChanges == pair.diff.slotChanges, "seed \(seed), round \(round)")
        #expect(diff.newSlots == pair.diff.content.newSlots, "seed \(seed), round \(round)")
        #expect(diff.accountChanges == pair.diff.accountChanges, "seed \(seed), round \(round)")
        pair.decoded = diff
        try pair.sender.apply(pair.diff)
        try pair.receiver.apply(diff)
    }
    #expect(decodedCount >= 0)
}

// MARK: Codes

private func contractCode(_ seed: UInt64, bytes: Int) -> [UInt8] {
    var random = Seed(seed).generator("codec.tests.codes")
    let words: [[UInt8]] = (0..<12).map { i in
        i % 3 == 0
            ? [0x60, UInt8(random.below(255))]
            : i % 3 == 1 ? [0x61, 1, UInt8(random.below(255)), 0x57] : [0x50, 0x90, 0x52]
    }
    var code: [UInt8] = [0x60, 0x80, 0x60, 0x40]
    while code.count < bytes { code += words[Int(random.below(12))] }
    return Array(code.prefix(bytes))
}

@Test func `codes come back: clones, proxies, runs, noise, one byte`() throws {
    let pair = Pair()
    var random = Seed(3).generator("codec.tests.noise")
    let code = contractCode(1, bytes: 9_000)
    var near = code
    near[4_000] ^= 1
    near.insert(7, at: 6_000)
    let proxy =
        (Hex.decode("363d3d373d3d3d363d73") ?? []) + Array(repeating: 0xAB, count: 20)
        + (Hex.decode("5af43d82803e903d91602b57fd5bf3") ?? [])
    let rounds: [[[UInt8]]] = [
        [code], [near], [proxy], [proxy + [1]], [[0x00]], [[UInt8](repeating: 0, count: 24_000)],
        [(0..<3_000).map { _ in UInt8(truncatingIfNeeded: random.next()) }],
        [contractCode(2, bytes: 20_000), near + [5], code + code, proxy + [9]],
    ]
    var sizes: [Int] = []
    for (i, codes) in rounds.enumerated() {
        for (j, code) in codes.enumerated() { pair.builder.setCode(address(UInt64(i * 10 + j)), to: code) }
        #expect(try pair.step(), "round \(i)")
        sizes.append(pair.payload.count)
    }
    #expect(sizes[0] < 5_000)
    // Near clones and runs cost next to nothing, noise no more than itself.
    #expect(sizes[1] < 280)
    #expect(sizes[2] < 80)
    #expect(sizes[5] < 300)
    #expect(sizes[6] < 3_090)
}

@Test(arguments: 1...4 as ClosedRange<UInt64>)
func `damaged codes are refused or decode to other codes, within their work`(seed: UInt64) throws {
    let pair = Pair()
    var random = Seed(seed).generator("codec.tests.codes.damage")
    pair.builder.setCode(address(1), to: contractCode(seed, bytes: 3_000))
    #expect(try pair.step())
    pair.builder.setCode(
        address(2), to: contractCode(seed, bytes: 3_000) + contractCode(seed + 1, bytes: 500))
    pair.builder.setCode(address(3), to: contractCode(seed + 9, bytes: 700))
    try pair.seal()
    for _ in 0..<200 {
        var damaged = pair.payload
        for _ in 0...random.below(3) {
            damaged[Int(random.below(UInt64(damaged.count)))] ^= UInt8(1 << random.below(8))
        }
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
        do {
            try Codec().decode(damaged.span.bytes, base: pair.receiver, into: &diff)
            #expect(diff.newCodes.reduce(0) { $0 + $1.count } <= 256 * (damaged.count + 1))
        } catch {
            #expect(diff.isEmpty)
        }
    }
    try pair.decode(pair.payload)
    #expect(pair.decoded.content == pair.diff.content)
}

@Test(arguments: 1...6 as ClosedRange<UInt64>)
func `random bytes are never more than an error`(seed: UInt64) throws {
    let pair = try makePair(spread: false)
    var random = Seed(seed).generator("codec.tests.bytes")
    for _ in 0..<400 {
        let count = 12 + Int(random.below(200))
        var payload: [UInt8] = [1, 1, 9]
        payload += [UInt8(random.below(3)), UInt8(random.below(3)), UInt8(random.below(40)), 0]
        payload += [UInt8(random.below(60)), UInt8(random.below(90)), UInt8(count / 2)]
        for _ in 0..<count { payload.append(UInt8(truncatingIfNeeded: random.next())) }
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (1, 1)
        do {
            try Codec().decode(payload.span.bytes, base: pair.receiver, into: &diff)
        } catch {
            #expect(diff.isEmpty)
        }
    }
}

// MARK: Words

private func reserves(_ r0: UInt64, _ r1: UInt64, _ time: UInt64) -> U256 {
    U256(r0) | U256(r1) << 112 | U256(time) << 224
}

@Test func `words that follow from time, accounts and each other cost a few bits`() throws {
    let pair = Pair()
    let (pool, owner) = (address(1), address(2))
    let time: UInt64 = 1_700_000_000
    for i in 0..<20 as Range<UInt64> { pair.builder.setAccount(address(i), balance: 1 << 60, nonce: 1) }
    pair.builder.setSlot(pool, 8, to: reserves(1 << 60, 3 << 61, time - 24))
    pair.builder.setSlot(pool, 9, to: U256(7, 7, 7, 0))
    pair.builder.setSlot(pool, 10, to: U256(8, 8, 8, 0))
    for i in 0..<12 as Range<UInt64> { pair.builder.setSlot(owner, U256(i), to: U256(i + 1)) }
    try pair.sealGenesis()

    let old = (pair.builder.slotValue(pool, 9), pair.builder.slotValue(pool, 10))
    pair.builder.setSlot(pool, 8, to: reserves((1 << 60) - 1000, (3 << 61) + 6001, time))
    pair.builder.setSlot(
        pool, 9,
        to: old.0 &+ ((U256(3 << 61) << 112).quotientAndRemainder(dividingBy: U256(1 << 60)).quotient) &* 24)
    pair.builder.setSlot(
        pool, 10,
        to: old.1 &+ ((U256(1 << 60) << 112).quotientAndRemainder(dividingBy: U256(3 << 61)).quotient) &* 24)
    pair.builder.setAccount(address(5), balance: 5, nonce: 2)
    pair.builder.setSlot(owner, 0, to: address(5).word)
    pair.builder.setSlot(owner, 1, to: U256(time))
    pair.builder.setSlot(owner, 2, to: ~U256.zero)
    let packed = address(5).word | U256(time) << 160
    for i in 3..<9 as Range<UInt64> { pair.builder.setSlot(owner, U256(i), to: packed) }
    // A price, and an allowance of everything.
    pair.builder.setSlot(owner, 9, to: (U256(1) << 160) &- 1 | U256(time + 5) << 160 | U256(1) << 208)
    #expect(try pair.step())
    #expect(pair.payload.count < 110)
}

@Test(arguments: 1...6 as ClosedRange<UInt64>)
func `words of every kind come back, and survive damage`(seed: UInt64) throws {
    let pair = Pair()
    var random = Seed(seed).generator("codec.tests.words.kinds")
    func word() -> U256 { U256(random.next(), random.next(), random.next(), random.next()) }
    for i in 0..<20 as Range<UInt64> { pair.builder.setAccount(address(i), balance: 1 << 60, nonce: 1) }
    for i in 0..<6 as Range<UInt64> {
        for slot in 8...20 as ClosedRange<UInt64> { pair.builder.setSlot(address(i), U256(slot), to: word()) }
    }
    try pair.sealGenesis()
    for round in 0..<25 as Range<UInt64> {
        let time = 1_700_000_000 + 12 * round
        var seen: [U256] = []
        for i in 0..<8 as Range<UInt64> where random.below(2) == 0 {
            pair.builder.setBalance(address(i), to: U256(random.next()))
        }
        for _ in 0..<25 {
            let contract = address(random.below(7))
            let slot = U256(8 + random.below(16))
            let value: U256
            switch random.below(9) {
            case 0: value = U256(time)
            case 1: value = ~U256.zero
            case 2: value = address(random.below(25)).word
            case 3: value = seen.isEmpty ? .zero : seen[Int(random.below(UInt64(seen.count)))]
            case 4: value = reserves(random.next(), random.next(), time)
            case 5: value = U256(time) | (word() >> 32) << 32
            case 6: value = address(random.below(25)).word | U256(time) << 160 | U256(random.below(9)) << 224
            case 7:
                // One field of a packed word.
                let old = pair.builder.slotValue(contract, slot)
                value = old ^ (U256(random.below(1 << 20)) << Int(random.below(240)))
            default: value = word()
            }
            seen.append(value)
            pair.builder.setSlot(contract, slot, to: value)
        }
        try pair.seal()
        for _ in 0..<40 {
            var damaged = pair.payload
            damaged[Int(random.below(UInt64(damaged.count)))] ^= UInt8(1 << random.below(8))
            var diff = StateDiff()
            (diff.firstHeight, diff.lastHeight) = (pair.diff.firstHeight, pair.diff.lastHeight)
            do {
                try Codec().decode(damaged.span.bytes, base: pair.receiver, into: &diff)
                for change in diff.slotChanges { #expect(change.old != change.new) }
            } catch {
                #expect(diff.isEmpty)
            }
        }
        try pair.decode(pair.payload)
        #expect(pair.decoded.content == pair.diff.content, "seed \(seed), round \(round)")
        try pair.advance()
    }
}

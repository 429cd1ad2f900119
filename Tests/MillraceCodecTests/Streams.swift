/// Streams of diffs for the codec's tests: drawn from a seed through the builder, so that each is canonical.

import MillraceBase
import MillraceCodec
import MillraceDiff

/// A sequencer's and a replica's side of one stream.
final class Pair {
    let sender = State(seed: Seed(1))
    let receiver = State(seed: Seed(2))
    let encoder: Codec
    let decoder: Codec
    let builder: DiffBuilder
    var height: UInt64 = 0
    var payload: [UInt8] = []
    var diff = StateDiff()
    var decoded = StateDiff()

    init(accounts: IDSpread = .none, slots: IDSpread = .none) {
        encoder = Codec(accounts: accounts, slots: slots)
        decoder = Codec(accounts: accounts, slots: slots)
        builder = DiffBuilder(state: sender)
    }

    /// Seals what was written as genesis, on both sides.
    func sealGenesis() throws {
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try sender.apply(diff)
        try receiver.apply(diff)
    }

    /// Seals the next mini-block, changes it if asked, and encodes it into `payload`.
    func seal(kind: DiffKind = .transactions, change: (inout StateDiff) -> Void = { _ in }) throws {
        height += 1
        builder.seal(
            kind: kind, firstHeight: height, lastHeight: height, sealedAtMicroseconds: height * 10_000,
            into: &diff)
        change(&diff)
        payload.removeAll()
        encoder.encode(diff, base: sender, into: &payload)
    }

    /// Decodes any payload as that of the mini-block sealed last.
    func decode(_ payload: [UInt8]) throws {
        (decoded.firstHeight, decoded.lastHeight) = (diff.firstHeight, diff.lastHeight)
        decoded.sealedAtMicroseconds = diff.sealedAtMicroseconds
        try decoder.decode(payload.span.bytes, base: receiver, into: &decoded)
    }

    /// Both sides move on.
    func advance() throws {
        try sender.apply(diff)
        encoder.advance(past: diff, state: sender)
        try receiver.apply(decoded)
        decoder.advance(past: decoded, state: receiver)
    }

    /// A whole step; true when the diff came back as it was.
    func step(kind: DiffKind = .transactions) throws -> Bool {
        try seal(kind: kind)
        try decode(payload)
        let equal = decoded.content == diff.content
        try advance()
        return equal
    }
}

extension StateDiff {
    /// Without hints: what a payload must bring back whatever its operations are.
    var content: StateDiff {
        var copy = self
        copy.newSlots = newSlots.map { NewSlot(key: $0.key) }
        copy.operations = Operations()
        return copy
    }
}

/// Writes of every kind the codec has a way of coding, and of none.
struct RandomWrites {
    var random: SeededGenerator
    var accounts: [Address] = []

    init(seed: UInt64, accounts count: Int = 60) {
        random = Seed(seed).generator("codec.tests")
        for _ in 0..<count { accounts.append(freshAddress()) }
    }

    mutating func freshAddress() -> Address {
        Address(high: random.next(), middle: random.next(), low: UInt32(truncatingIfNeeded: random.next()))
    }

    mutating func account() -> Address {
        // A few are popular.
        let r = random.below(UInt64(accounts.count))
        return accounts[Int(random.below(r + 1))]
    }

    mutating func word(bits: UInt64 = 256) -> U256 {
        U256(random.next(), random.next(), random.next(), random.next()) >> Int(256 - random.below(bits + 1))
    }

    mutating func writeGenesis(into builder: DiffBuilder) {
        for address in accounts {
            builder.setAccount(address, balance: word(bits: 90), nonce: random.below(50))
            if random.below(3) == 0 {
                builder.setCode(address, to: [UInt8](repeating: UInt8(random.below(4)), count: 5))
                for slot in 0..<20 { builder.setSlot(address, U256(UInt64(slot)), to: word()) }
            }
        }
    }

    mutating func writeTransaction(into builder: DiffBuilder) {
        builder.beginTransaction()
        defer { builder.endTransaction() }
        let (from, to) = (account(), account())
        switch random.below(12) {
        case 0...3:
            // A payment with a fee of price × gas, a coinbase, and a token's two balances and allowance.
            let fee = U256(21_000 + 1_000 * random.below(4)) &* U256(2_000_000)
            let balance = builder.balance(of: from)
            guard balance > fee else { return }
            builder.setAccount(from, balance: balance &- fee, nonce: builder.nonce(of: from) + 1)
            let coinbase = accounts[0]
            if from != coinbase { builder.setBalance(coinbase, to: builder.balance(of: coinbase) &+ fee) }
            let token = accounts[Int(random.below(5))]
            let amount = word(bits: 80)
            for (slot, rises) in [
                (random.below(9), false), (random.below(9) + 9, true), (random.below(9), false),
            ] {
                let value = builder.slotValue(token, U256(slot))
                builder.setSlot(token, U256(slot), to: rises ? value &+ amount : value &- amount)
            }
        case 4:
            // Two packed amounts and a time stamp.
            let value = builder.slotValue(to, 8)
            let low = U256(random.next()) << 20
            builder.setSlot(to, 8, to: (value &+ low) &+ (low << 112))
        case 5:
            accounts.append(freshAddress())
            builder.setBalance(
                accounts[accounts.count - 1], to: U256(random.below(1000)) &* U256(1_000_000_000_000_000))
        case 6:
            // Hashed slots, and neighbours of one.
            let slot = word()
            for i in 0..<random.below(4) { builder.setSlot(to, slot &+ U256(i), to: word(bits: 200)) }
        case 7:
            builder.setSlot(to, U256(random.below(30)), to: .zero)
        case 8:
            builder.destroy(to)
            if random.below(2) == 0 { builder.setSlot(to, U256(random.below(20)), to: word(bits: 8)) }
            if random.below(2) == 0 { builder.setAccount(to, balance: 7, nonce: 1) }
        case 9:
            builder.setCode(
                to, to: [UInt8](repeating: UInt8(random.below(250)), count: Int(random.below(40))))
        case 10:
            builder.setAccount(from, balance: word(), nonce: random.next() >> random.below(64))
        default:
            for _ in 0..<random.below(20) { builder.setSlot(to, U256(random.below(40)), to: word()) }
        }
    }
}

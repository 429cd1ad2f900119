/// Followers of four cadences of one stream: they arrive at the same state, may change places where the coarser cadence
/// restarts, and make each other's payloads.

import MillraceBase
import MillraceDiff
import MillraceTestSupport
import MillraceWorkload
import Testing

@testable import MillraceCodec

/// A stream of mini-blocks as it was sealed.
private struct Sealed {
    var genesis: [StateDiff] = []
    var diffs: [StateDiff] = []
    var final = State(seed: Seed(1))

    /// Transactions of all kinds, operations found.
    static func mixed(seed: UInt64, tps: Int, heights: UInt64) throws -> Sealed {
        var spec = WorkloadSpec(.mixed)
        (spec.transactionsPerSecond, spec.accounts, spec.pools, spec.seed) = (tps, 600, 12, seed)
        let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(1))
        var sealed = Sealed()
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) { sealed.genesis.append(diff) }
        for height in 1...heights {
            _ = try stream.nextMiniBlock(
                transactions: spec.transactions(atHeight: height), sealedAtMicroseconds: height * 10_000,
                into: &diff)
            sealed.diffs.append(diff)
        }
        sealed.final = stream.state
        return sealed
    }

    /// Writes of every kind, about one transaction to two mini-blocks.
    static func random(seed: UInt64, findsOperations: Bool, heights: UInt64) throws -> Sealed {
        var sealed = Sealed()
        let builder = DiffBuilder(state: sealed.final, findsOperations: findsOperations)
        var writes = RandomWrites(seed: seed)
        writes.writeGenesis(into: builder)
        var diff = StateDiff()
        builder.seal(kind: .genesis, firstHeight: 0, lastHeight: 0, sealedAtMicroseconds: 0, into: &diff)
        try sealed.final.apply(diff)
        sealed.genesis.append(diff)
        for height in 1...heights {
            if writes.random.below(3) == 0 { writes.writeTransaction(into: builder) }
            builder.seal(
                kind: .transactions, firstHeight: height, lastHeight: height,
                sealedAtMicroseconds: height * 10_000, into: &diff)
            try sealed.final.apply(diff)
            sealed.diffs.append(diff)
        }
        return sealed
    }

    func start(seed: UInt64) throws -> State {
        let state = State(seed: Seed(seed))
        for diff in genesis { try state.apply(diff) }
        return state
    }
}

/// Diffs of one cadence to those of another, coarser one.
private func windows(_ diffs: [StateDiff], _ cadence: Cadence) throws -> [StateDiff] {
    var diffs = diffs
    while let first = diffs.first {
        let merged = Int(cadence.heights / (first.lastHeight - first.firstHeight + 1))
        if merged <= 1 { break }
        let step = merged % 10 == 0 ? 10 : merged
        diffs = try stride(from: 0, to: diffs.count, by: step).map { start in
            try diffs[(start + 1)..<(start + step)].reduce(diffs[start]) { try StateDiff.compose($0, $1) }
        }
    }
    return diffs
}

/// The payloads of one cadence, from diffs of that or of a finer one.
private func payloads(_ diffs: [StateDiff], _ cadence: Cadence, of sealed: Sealed) throws -> [[UInt8]] {
    let (state, codec) = (try sealed.start(seed: 5), Codec(cadence: cadence))
    return try windows(diffs, cadence).map { diff in
        var payload: [UInt8] = []
        codec.encode(diff, base: state, into: &payload)
        try state.apply(diff)
        codec.advance(past: diff, state: state)
        return payload
    }
}

private final class Follower {
    let state: State
    let codec: Codec
    var height: UInt64 = 0
    var decoded: [StateDiff] = []

    init(_ state: State, _ codec: Codec, height: UInt64 = 0) {
        (self.state, self.codec, self.height) = (state, codec, height)
    }

    /// Takes the payload at its height of the codec's cadence.
    func step(_ payloads: [Cadence: [[UInt8]]]) throws {
        let heights = codec.cadence.heights
        let payload = try #require(payloads[codec.cadence]?[Int(height / heights)])
        var diff = StateDiff()
        (diff.firstHeight, diff.lastHeight) = (height + 1, height + heights)
        diff.sealedAtMicroseconds = (height + heights) * 10_000
        try codec.decode(payload.span.bytes, base: state, into: &diff)
        try state.apply(diff)
        codec.advance(past: diff, state: state)
        height += heights
        decoded.append(diff)
    }

    /// Takes part in the stream up to a height, or as far beyond as its window goes.
    func follow(_ payloads: [Cadence: [[UInt8]]], to end: UInt64, before step: (Follower) -> Void = { _ in })
        throws
    {
        while height < end {
            step(self)
            try self.step(payloads)
        }
    }

    func isLike(_ other: State) -> Bool {
        state.accountCount == other.accountCount && state.slotCount == other.slotCount
            && (0..<state.accountCount).allSatisfy {
                let id = AccountID(UInt32($0))
                return state.address(of: id) == other.address(of: id)
                    && state.value(of: id) == other.value(of: id)
            }
            && (0..<state.slotCount).allSatisfy {
                let id = SlotID(UInt32($0))
                return state.key(of: id) == other.key(of: id) && state.value(of: id) == other.value(of: id)
            }
            && state.facts == other.facts
            && StateCommitment(of: state).commitmentNow() == StateCommitment(of: other).commitmentNow()
    }
}

private func check(_ sealed: Sealed, seed: UInt64, switches: Int) throws {
    let end = UInt64(sealed.diffs.count)
    var all: [Cadence: [[UInt8]]] = [:]
    for cadence in Cadence.allCases { all[cadence] = try payloads(sealed.diffs, cadence, of: sealed) }

    // One follower of each cadence, and one whom nobody ever restarted but the stream.
    var followers: [Cadence: Follower] = [:]
    for cadence in Cadence.allCases {
        let follower = Follower(try sealed.start(seed: 7), Codec(cadence: cadence))
        try follower.follow(all, to: end)
        #expect(follower.isLike(sealed.final), "seed \(seed), \(cadence)")
        followers[cadence] = follower
    }
    let popularity = try #require(followers[.c0]?.codec.popularityBytes())
    for follower in followers.values { #expect(follower.codec.popularityBytes() == popularity) }

    // Relays make the coarser payloads from what they have decoded.
    for (finer, coarser) in [
        (Cadence.c0, [Cadence.c1, .c2, .c3]), (.c1, [.c1, .c2, .c3]), (.c2, [.c2, .c3]),
    ] {
        let decoded = try #require(followers[finer]?.decoded)
        for cadence in coarser {
            #expect(
                try payloads(decoded, cadence, of: sealed) == all[cadence],
                "seed \(seed): \(cadence) from what a follower of \(finer) decoded")
        }
    }

    // Followers that change their cadence wherever they may.
    var used: Set<Cadence> = []
    for run in 0..<switches {
        var random = Seed(seed &* 100 &+ UInt64(run)).generator("cadences")
        let follower = Follower(try sealed.start(seed: 9), Codec(cadence: .c0))
        try follower.follow(all, to: end) { follower in
            let open = Cadence.allCases.filter {
                follower.height % $0.restartHeights == 0 && follower.height + $0.heights <= end
            }
            if !open.isEmpty, random.below(4) != 0 {
                follower.codec.change(to: open[Int(random.below(UInt64(open.count)))])
            }
            used.insert(follower.codec.cadence)
        }
        #expect(follower.isLike(sealed.final), "seed \(seed), run \(run)")
        #expect(follower.codec.popularityBytes() == popularity)
    }
    #expect(used.count > 1, "seed \(seed)")

    // Whoever has the state and the popularity at a restart joins there.
    for cadence in Cadence.allCases {
        let middle = end / 2 / cadence.restartHeights * cadence.restartHeights
        let known = Follower(try sealed.start(seed: 11), Codec(cadence: .c1))
        try known.follow(all, to: middle)
        let snapshot = try sealed.start(seed: 13)
        for diff in sealed.diffs.prefix(Int(middle)) { try snapshot.apply(diff) }
        let joiner = Follower(snapshot, Codec(cadence: cadence), height: middle)
        let bytes = try #require(known.codec.popularityBytes())
        try joiner.codec.join(popularity: bytes.span.bytes, state: snapshot)
        #expect(joiner.codec.popularityBytes() == bytes)
        try joiner.follow(all, to: end)
        #expect(joiner.isLike(sealed.final), "seed \(seed), joined \(cadence) at \(middle)")
        #expect(joiner.codec.popularityBytes() == popularity)
    }
}

@Test(arguments: [1] as [UInt64])
func `followers of all cadences of a mixed stream agree, change places and relay`(seed: UInt64) throws {
    try check(try .mixed(seed: seed, tps: 200, heights: 2_000), seed: seed, switches: 3)
}

@Test(arguments: zip([1, 2] as [UInt64], [false, true]))
func `followers of all cadences of random writes agree, change places and relay`(
    seed: UInt64, findsOperations: Bool
) throws {
    try check(
        try .random(seed: seed, findsOperations: findsOperations, heights: 2_000), seed: seed, switches: 3)
}

@Test func `popularity is taken or refused as a whole, whatever the bytes`() throws {
    let sealed = try Sealed.mixed(seed: 3, tps: 1_000, heights: 50)
    let all = [Cadence.c0: try payloads(sealed.diffs, .c0, of: sealed)]
    let follower = Follower(try sealed.start(seed: 7), Codec())
    try follower.follow(all, to: 50)
    let bytes = try #require(follower.codec.popularityBytes())
    #expect(bytes.count > 100)
    let codec = Codec()
    for count in stride(from: 0, to: bytes.count, by: 7) {
        let cut = Array(bytes.prefix(count))
        #expect(throws: CodecError.badPopularity) {
            try codec.join(popularity: cut.span.bytes, state: follower.state)
        }
    }
    let long = bytes + [0]
    #expect(throws: CodecError.badPopularity) {
        try codec.join(popularity: long.span.bytes, state: follower.state)
    }
    // A state that does not know the ids.
    #expect(throws: CodecError.badPopularity) {
        try codec.join(popularity: bytes.span.bytes, state: State(seed: Seed(1)))
    }
    var random = Seed(4).generator("popularity")
    var taken = 0
    for _ in 0..<300 {
        var damaged = bytes
        for _ in 0...random.below(3) {
            damaged[Int(random.below(UInt64(damaged.count)))] = UInt8(truncatingIfNeeded: random.next())
        }
        do {
            try codec.join(popularity: damaged.span.bytes, state: follower.state)
            // What is taken is given back, whatever it means.
            #expect(codec.popularityBytes() == damaged)
            taken += 1
        } catch {
            #expect(error == .badPopularity)
        }
    }
    #expect(taken > 0)
}

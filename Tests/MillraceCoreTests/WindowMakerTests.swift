/// What the sequencer makes of mini-blocks for catching up: whoever takes its windows, in parts or by values, is where whoever
/// took the mini-blocks is, in state, in ids and in what is popular.

import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceWorkload
import Testing

@testable import MillraceCore

/// A stream as a follower of c0 sees it, and the windows made of it.
private final class MadeStream {
    var genesis: [StateDiff] = []
    var windows: [WindowPayload] = []
    /// After this many heights: the commitment, and what is popular.
    var after: [UInt64: (commitment: Hash32, popularity: [UInt8])] = [:]

    init(_ kind: WorkloadSpec.Kind, tps: Int, heights: UInt64, seed: UInt64) throws {
        var spec = WorkloadSpec(kind)
        (spec.transactionsPerSecond, spec.accounts, spec.pools, spec.seed) = (tps, 60, 4, seed)
        let stream = WorkloadStream(GeneratedWorkload(spec), seed: Seed(1))
        let state = State(seed: Seed(2))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) {
            try state.apply(diff)
            genesis.append(diff)
        }
        let codec = Codec()
        let maker = WindowMaker(state: state)
        let commitment = StateCommitment(of: state)
        for height in 1...heights {
            _ = try stream.nextMiniBlock(
                transactions: spec.transactions(atHeight: height), sealedAtMicroseconds: height * 10_000,
                into: &diff)
            var payload: [UInt8] = []
            codec.encode(diff, base: state, into: &payload)
            try state.apply(diff)
            codec.advance(past: diff, state: state)
            codec.dropUntold(&diff)
            windows += try maker.add(diff, payload: payload)
            if height % Cadence.quarter.heights == 0 {
                after[height] = (commitment.commitmentNow(), try #require(codec.popularityBytes()))
            }
        }
    }

    func start() throws -> State {
        let state = State(seed: Seed(3))
        for diff in genesis { try state.apply(diff) }
        return state
    }

    func window(_ cadence: Cadence, after height: UInt64) throws -> WindowPayload {
        try #require(windows.first { $0.cadence == cadence && $0.firstHeight == height + 1 })
    }
}

@Suite struct WindowMakerTests {
    /// Some of the orders in which windows may follow each other, those in parts between.
    private static let ways: [[Cadence]] = [
        [.c3], [.half, .half], [.quarter, .quarter, .half], [.half, .quarter, .quarter],
        [.c2, .c2] + Array(repeating: .c1, count: 5) + [.quarter, .half],
        Array(repeating: .c2, count: 5) + [.quarter, .quarter],
    ]

    @Test(arguments: [WorkloadSpec.Kind.swap, .mixed, .erc20])
    func `whichever windows are taken, the state is that of whoever took mini-blocks`(
        kind: WorkloadSpec.Kind
    ) throws {
        let made = try MadeStream(kind, tps: 700, heights: 1_000, seed: 7)
        var byValues = 0
        for way in WindowMakerTests.ways {
            let state = try made.start()
            let commitment = StateCommitment(of: state)
            let codec = Codec()
            var diff = StateDiff()
            for cadence in way {
                let window = try made.window(cadence, after: state.height)
                if window.bytes.first == WindowForm.values.rawValue { byValues += 1 }
                _ = try codec.follow(
                    window: window.bytes.span.bytes, of: cadence, from: window.firstHeight,
                    sealedAtMicroseconds: window.sealedAtMicroseconds, state: state, diff: &diff
                ) { _ in }
                #expect(state.height == window.lastHeight)
                guard let expected = made.after[state.height] else { continue }
                let place = "at \(state.height) by \(cadence) of \(way)"
                #expect(commitment.commitmentNow() == expected.commitment, "\(place)")
                #expect(codec.popularityBytes() == expected.popularity, "\(place)")
            }
            #expect(state.height == 1_000)
        }
        #expect(byValues > 0)
    }
}

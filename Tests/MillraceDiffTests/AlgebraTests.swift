import MillraceBase
import Testing

@testable import MillraceDiff

@Suite struct AlgebraTests {
    /// Mini-blocks 1…count over one state.
    func stream(seed: UInt64, count: UInt64) throws -> [StateDiff] {
        let state = State(seed: Seed(seed))
        let builder = DiffBuilder(state: state)
        var writes = RandomWrites(seed: seed)
        return try (1...count).map { height in
            let diff = writes.miniBlock(builder, height: height)
            try state.apply(diff)
            return diff
        }
    }

    func fold(_ diffs: some Sequence<StateDiff>) throws -> StateDiff? {
        try diffs.reduce(StateDiff?.none) { merged, next in
            try merged.map { merged throws in try StateDiff.compose(merged, next) } ?? next
        }
    }

    @Test(arguments: UInt64(1)...10)
    func `followers of any cadence end in the same cells and ids`(seed: UInt64) throws {
        let stream = try stream(seed: seed, count: 40)
        let fine = State(seed: Seed(seed))
        for diff in stream { try fine.apply(diff) }
        for width in [2, 5, 10, 40] {
            let coarse = State(seed: Seed(seed))
            var before: [(StateDiff, Cells)] = []
            for start in stride(from: 0, to: 40, by: width) {
                let window = try #require(try fold(stream[start..<(start + width)]))
                before.append((window, coarse.cells))
                try coarse.apply(window)
            }
            #expect(coarse.cells == fine.cells, "seed \(seed), width \(width)")
            for (window, cells) in before.reversed() {
                try coarse.revert(window)
                #expect(coarse.cells == cells, "seed \(seed), width \(width)")
            }
        }
    }

    @Test(arguments: UInt64(1)...10)
    func `composition is associative`(seed: UInt64) throws {
        let d = try stream(seed: seed, count: 9)
        for i in stride(from: 0, to: 9, by: 3) {
            let left = try StateDiff.compose(StateDiff.compose(d[i], d[i + 1]), d[i + 2])
            let right = try StateDiff.compose(d[i], StateDiff.compose(d[i + 1], d[i + 2]))
            #expect(left == right, "seed \(seed)")
        }
    }

    @Test(arguments: UInt64(1)...10)
    func `a diff and its inverse leave values alone, and ids remain`(seed: UInt64) throws {
        let state = State(seed: Seed(seed))
        let builder = DiffBuilder(state: state)
        var writes = RandomWrites(seed: seed)
        for height in stride(from: UInt64(1), to: 40, by: 2) {
            let before = state.naive
            writes.naive = before
            let diff = writes.miniBlock(builder, height: height)
            try state.apply(diff)
            let counts = (state.accountCount, state.slotCount)
            var back = diff.inverted
            (back.firstHeight, back.lastHeight) = (height + 1, height + 1)
            let nothing = try StateDiff.compose(diff, back)
            #expect(nothing.accountChanges.isEmpty && nothing.slotChanges.isEmpty, "seed \(seed)")
            try state.apply(back)
            #expect(state.naive == before, "seed \(seed)")
            #expect((state.accountCount, state.slotCount) == counts, "seed \(seed)")
        }
    }

    @Test func `a gap in heights and a broken chain are told apart`() throws {
        var first = StateDiff()
        (first.firstHeight, first.lastHeight) = (1, 1)
        first.slotChanges = [SlotChange(id: SlotID(4), old: 1, new: 2)]
        var second = first
        (second.firstHeight, second.lastHeight) = (2, 2)
        #expect(throws: DiffError.brokenChain(at: .slot(SlotID(4)))) { try StateDiff.compose(first, second) }
        second.slotChanges[0].old = 2
        second.slotChanges[0].new = 1
        #expect(try StateDiff.compose(first, second).slotChanges.isEmpty)
        second.firstHeight = 3
        second.lastHeight = 3
        #expect(throws: DiffError.notConsecutive(lastHeight: 1, firstHeight: 3)) {
            try StateDiff.compose(first, second)
        }
        first.lastHeight = .max
        #expect(throws: DiffError.notConsecutive(lastHeight: .max, firstHeight: 3)) {
            try StateDiff.compose(first, second)
        }
    }
}

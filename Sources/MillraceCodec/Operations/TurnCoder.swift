/// In which order a pool's swaps ran: for each turn the swap among those left, evenly. The only order that matters, and the
/// only one that is told. Spec 30.12.7.

internal import MillraceBase
internal import MillraceDiff

/// What is left of 0 ..< count while one after the other is taken: by rank from place and back.
struct Permutation: ~Copyable {
    private var tree = Scratch<UInt32>(capacity: 256)
    private var few: UInt64 = 0
    private var count = 0
    private var isSmall: Bool { count <= 64 }
    private var top = 1

    /// All are left.
    mutating func fill(_ count: Int) {
        self.count = count
        if isSmall {
            few = count == 64 ? .max : (1 << UInt64(count)) - 1
            return
        }
        tree.ensure(count + 1)
        // A Fenwick tree of ones: each cell counts as many as its lowest bit.
        for i in 1...count { tree.base[i] = UInt32(i & -i) }
        top = 1
        while top * 2 <= count { top *= 2 }
    }

    /// How many before this place are left; takes it.
    mutating func take(place: Int) -> Int {
        if isSmall {
            let bit: UInt64 = 1 << UInt64(place)
            few &= ~bit
            return (few & (bit &- 1)).nonzeroBitCount
        }
        var rank = 0
        var i = place
        while i > 0 {
            rank &+= Int(tree.base[i])
            i &= i &- 1
        }
        remove(place &+ 1)
        return rank
    }

    /// The place with so many left before it; takes it. `rank` is below what is left.
    mutating func take(rank: Int) -> Int {
        if isSmall {
            var bits = few
            for _ in 0..<rank { bits &= bits &- 1 }
            let place = bits.trailingZeroBitCount
            few &= ~(1 << UInt64(place & 63))
            return place
        }
        var place = 0
        var left = UInt32(truncatingIfNeeded: rank)
        var step = top
        while step > 0 {
            let next = place &+ step
            if next <= count, tree.base[next] <= left {
                left &-= tree.base[next]
                place = next
            }
            step >>= 1
        }
        remove(place &+ 1)
        return place
    }

    private func remove(_ position: Int) {
        var i = position
        while i <= count {
            tree.base[i] &-= 1
            i &+= i & -i
        }
    }
}

extension Codec {
    func codeTurns<C: ColumnCoder & ~Copyable>(
        _ section: Section, of diff: inout StateDiff, at cursor: SectionCursor, _ coder: inout C
    ) throws(CodecError) {
        let count = Int(section.actions)
        operationScratch.swaps.ensure(count)
        operationScratch.swapsOther.ensure(count)
        let swaps = operationScratch.swaps.base
        var swapCount = 0
        for i in 0..<count {
            let action = diff.operations.actions[cursor.actions + i]
            guard action.kind == .swap else { continue }
            swaps[swapCount] = UInt64(action.fact.index) << 32 | UInt64(i)
            swapCount &+= 1
        }
        sortByUpperHalf(swaps, count: swapCount, other: operationScratch.swapsOther.base)
        var from = 0
        while from < swapCount {
            var end = from &+ 1
            while end < swapCount, swaps[end] >> 32 == swaps[from] >> 32 { end &+= 1 }
            if C.isReader {
                readTurns(from, end, of: &diff, at: cursor, &coder)
            } else {
                writeTurns(from, end, of: diff, at: cursor, &coder)
            }
            from = end
        }
        if coder.isOverrun { throw .truncated }
    }

    private func readTurns<C: ColumnCoder & ~Copyable>(
        _ from: Int, _ end: Int, of diff: inout StateDiff, at cursor: SectionCursor, _ coder: inout C
    ) {
        let count = end - from
        if count == 1 { return }
        operationScratch.turns.fill(count)
        for turn in 0..<count {
            let rank = coder.code(index: 0, below: count &- turn)
            let place = operationScratch.turns.take(rank: rank)
            let action = cursor.actions + Int(operationScratch.swaps.base[from &+ place] & 0xFFFF_FFFF)
            diff.operations.actions[action].turn = UInt32(truncatingIfNeeded: turn)
        }
    }

    private func writeTurns<C: ColumnCoder & ~Copyable>(
        _ from: Int, _ end: Int, of diff: borrowing StateDiff, at cursor: SectionCursor, _ coder: inout C
    ) {
        let count = end - from
        if count == 1 { return }
        // Places by turn.
        let byTurn = operationScratch.swapsOther.base
        for place in 0..<count {
            let action = cursor.actions + Int(operationScratch.swaps.base[from &+ place] & 0xFFFF_FFFF)
            byTurn[Int(diff.operations.actions[action].turn)] = UInt64(place)
        }
        operationScratch.turns.fill(count)
        for turn in 0..<count {
            let rank = operationScratch.turns.take(place: Int(byTurn[turn]))
            _ = coder.code(index: rank, below: count &- turn)
        }
    }
}

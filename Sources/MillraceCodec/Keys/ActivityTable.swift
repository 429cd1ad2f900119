/// Which keys the payloads since the last restart patched, and the lists by class that follow from it: one table for accounts,
/// one for slots. A patched key is written as a gap in the list of its class.
///
/// Within a payload the lists stand still. Afterwards, once its diff has been applied, the keys it patched are noted, and the
/// lists are made anew: one pass over the keys in reach, 3 ns each. Keys that operations predicted leave no trace here, and
/// cost nothing.
///
/// Bound: a payload that would bring more than `hotCountMax` keys into reach brings none.

final class ActivityTable {
    /// 4 MiB of ids.
    static var hotCountMax: Int { 1 << 20 }

    /// By id; ids beyond have no history. Nothing but zeroes but for the ids in reach.
    private var histories = Scratch<UInt16>(capacity: 1024)
    private var historyCount = 0
    /// The bit of the last payload noted.
    private var last: UInt16 = 0

    /// Ids with a history, ascending.
    private var hot = Scratch<UInt32>(capacity: 1024)
    private var hotCount = 0
    /// The same ids by class, ascending within a class; class `c` occupies `starts[c]..<starts[c + 1]`.
    private var listed = Scratch<UInt32>(capacity: 1024)
    private let starts: UnsafeMutablePointer<Int>

    /// Ids that the payload under way patches, in any order, each once.
    private var patched = Scratch<UInt32>(capacity: 1024)
    private var patchedCount = 0
    private var fresh = Scratch<UInt32>(capacity: 1024)
    private var spare = Scratch<UInt32>(capacity: 1024)

    /// Working memory of one payload: ids or positions sorted into classes.
    private var sorted = Scratch<UInt32>(capacity: 1024)

    /// Where cold ids lie in the numbering that they are named in.
    private let spread: IDSpread

    init(spread: IDSpread) {
        self.spread = spread
        starts = .allocate(capacity: ActivityClass.count + 1)
        starts.initialize(repeating: 0, count: ActivityClass.count + 1)
    }

    deinit { starts.deallocate() }

    @inline(__always)
    private static func classOf(
        _ id: Int, _ histories: UnsafeMutablePointer<UInt16>, _ count: Int, _ last: UInt16
    ) -> Int {
        guard id < count else { return ActivityClass.cold }
        let history = histories[id]
        return history == 0 ? ActivityClass.cold : ActivityClass.of(history, last: last)
    }

    // MARK: Coding a set of known keys

    /// Writes ids, strictly ascending and below `known`.
    func encode(
        _ ids: UnsafePointer<UInt32>, count: Int, known: Int, table: Int, to writer: inout ColumnWriter
    ) {
        let cold = encodeHot(ids, count: count, total: count, known: known, table: table, to: &writer)
        if cold.count > 0 { encodeCold(cold.ids, count: cold.count, known: known, table: table, to: &writer) }
    }

    /// Writes those of the ids that have a history; gives the others, ascending, lent until the next call. `total` keys are
    /// to be named in all, these and others.
    func encodeHot(
        _ ids: UnsafePointer<UInt32>, count: Int, total: Int, known: Int, table: Int,
        to writer: inout ColumnWriter
    ) -> (ids: UnsafePointer<UInt32>, count: Int) {
        var coldCount = 0
        sorted.ensure(count)
        let sorted = sorted.base
        withUnsafeTemporaryAllocation(of: Int.self, capacity: 2 * ActivityClass.count + 1) { places in
            guard let ends = places.baseAddress else { return }
            let sizes = ends + ActivityClass.count
            sizes.initialize(repeating: 0, count: ActivityClass.count + 1)
            let (histories, historyCount, last) = (histories.base, historyCount, last)
            for i in 0..<count {
                sizes[ActivityTable.classOf(Int(ids[i]), histories, historyCount, last)] &+= 1
            }
            var sum = 0
            for c in 0..<ActivityClass.count {
                ends[c] = sum
                sum += sizes[c]
            }
            for i in 0..<count {
                let c = ActivityTable.classOf(Int(ids[i]), histories, historyCount, last)
                sorted[ends[c]] = ids[i]
                ends[c] &+= 1
            }
            coldCount = sizes[ActivityClass.cold]
            var left = total
            for c in (1..<ActivityClass.count).reversed() where left > 0 && starts[c + 1] > starts[c] {
                let size = sizes[c]
                writer.number(
                    UInt64(size), treeBits: ModelMap.shortNumberBits,
                    ModelMap.classSize(table) + c * ModelMap.numberCells(ModelMap.shortNumberBits))
                guard size > 0 else { continue }
                left -= size
                encodeListed(sorted + (ends[c] - size), count: size, class: c, table: table, to: &writer)
            }
        }
        return (UnsafePointer(sorted), coldCount)
    }

    private func encodeListed(
        _ ids: UnsafePointer<UInt32>, count: Int, class c: Int, table: Int, to writer: inout ColumnWriter
    ) {
        let list = UnsafePointer(listed.base + starts[c])
        let size = starts[c + 1] - starts[c]
        var gaps = GapModel(count: count, universe: size, table: table)
        var next = 0
        for i in 0..<count {
            // The id is in the list, at `next` or later: gallop, then halve.
            let id = ids[i]
            let place = firstIndex(in: list, from: next, below: size) { $0 >= id }
            gaps.encode(place - next, to: &writer)
            next = place + 1
        }
    }

    /// Cold keys are numbered by their places with those of the ids in reach left out.
    func encodeCold(
        _ ids: UnsafePointer<UInt32>, count: Int, known: Int, table: Int, to writer: inout ColumnWriter
    ) {
        let hot = UnsafePointer(hot.base)
        var gaps = GapModel(count: count, universe: coldPlaces(known: known), table: table)
        var below = 0
        var next = 0
        for i in 0..<count {
            let id = ids[i]
            below = firstIndex(in: hot, from: below, below: hotCount) { $0 >= id }
            let place = spread.place(of: Int(id)) - below
            gaps.encode(place - next, to: &writer)
            next = place + 1
        }
    }

    /// Reads a set of `count` ids below `known` into `ids`, ascending. `other` is as large.
    func decode(
        into ids: UnsafeMutablePointer<UInt32>, other: UnsafeMutablePointer<UInt32>, count: Int, known: Int,
        table: Int, from reader: inout ColumnReader
    ) throws(CodecError) {
        let found = try decodeHot(into: ids, total: count, known: known, table: table, from: &reader)
        if found < count {
            try decodeCold(into: ids + found, count: count - found, known: known, table: table, from: &reader)
        }
        sortAscending(ids, count: count, other: other)
    }

    /// Reads the keys with a history among `total` keys; gives their number.
    func decodeHot(
        into ids: UnsafeMutablePointer<UInt32>, total: Int, known: Int, table: Int,
        from reader: inout ColumnReader
    ) throws(CodecError) -> Int {
        var found = 0
        for c in (1..<ActivityClass.count).reversed() where found < total && starts[c + 1] > starts[c] {
            let universe = starts[c + 1] - starts[c]
            let size = Int(
                truncatingIfNeeded: reader.number(
                    treeBits: ModelMap.shortNumberBits,
                    ModelMap.classSize(table) + c * ModelMap.numberCells(ModelMap.shortNumberBits)))
            guard size <= total - found, size <= universe else { throw .badKey }
            guard size > 0 else { continue }
            var gaps = GapModel(count: size, universe: universe, table: table)
            let list = listed.base + starts[c]
            var next = 0
            for _ in 0..<size {
                let place = next + (try gaps.decode(from: &reader))
                ids[found] = list[place]
                found += 1
                next = place + 1
            }
            if reader.isOverrun { throw .truncated }
        }
        return found
    }

    /// Reads `count` keys without a history, ascending; at least one.
    func decodeCold(
        into ids: UnsafeMutablePointer<UInt32>, count: Int, known: Int, table: Int,
        from reader: inout ColumnReader
    ) throws(CodecError) {
        let universe = coldPlaces(known: known)
        guard count <= universe else { throw .badKey }
        var gaps = GapModel(count: count, universe: universe, table: table)
        let hot = UnsafePointer(hot.base)
        var next = 0
        var below = 0
        for i in 0..<count {
            let place = next + (try gaps.decode(from: &reader))
            // The `place`-th not in reach: as many hot ones lie below it as satisfy place(hot[j]) - j <= place.
            below = firstIndex(in: hot, from: below, below: hotCount, counting: place)
            guard let id = spread.id(at: place + below) else { throw .badKey }
            ids[i] = UInt32(truncatingIfNeeded: id)
            next = place + 1
        }
        if reader.isOverrun { throw .truncated }
    }

    private func coldPlaces(known: Int) -> Int { spread.places(known) - hotCount }

    /// The first index at or after `start` whose element satisfies `condition`, which stays true once it is; `end` if none.
    @inline(__always)
    private func firstIndex(
        in list: UnsafePointer<UInt32>, from start: Int, below end: Int, where condition: (UInt32) -> Bool
    ) -> Int {
        var low = start
        var step = 1
        while low + step <= end, !condition(list[low + step - 1]) {
            low += step
            step *= 2
        }
        var high = min(low + step - 1, end)
        while low < high {
            let middle = (low + high) / 2
            if condition(list[middle]) { high = middle } else { low = middle + 1 }
        }
        return low
    }

    @inline(__always)
    private func firstIndex(
        in list: UnsafePointer<UInt32>, from start: Int, below end: Int, counting place: Int
    ) -> Int {
        var low = start
        var step = 1
        while low + step <= end, spread.place(of: Int(list[low + step - 1])) - (low + step - 1) <= place {
            low += step
            step *= 2
        }
        var high = min(low + step - 1, end)
        while low < high {
            let middle = (low + high) / 2
            if spread.place(of: Int(list[middle])) - middle > place {
                high = middle
            } else {
                low = middle + 1
            }
        }
        return low
    }

    // MARK: Following the stream

    /// No key has a history.
    func restart() {
        let (histories, hot) = (histories.base, hot.base)
        for i in 0..<hotCount { histories[Int(hot[i])] = 0 }
        hotCount = 0
        patchedCount = 0
        starts.update(repeating: 0, count: ActivityClass.count + 1)
    }

    /// Takes down the keys that the payload under way patches, in any order, each once, till `endPayload` or `forget`.
    func patch(_ ids: UnsafePointer<UInt32>, count: Int) {
        patched.ensure(count)
        patched.base.update(from: ids, count: count)
        patchedCount = count
    }

    /// Likewise, some more of them.
    @inline(__always)
    func patch(_ id: UInt32) {
        if patchedCount == patched.capacity { patched.grow(to: patchedCount + 1, keeping: patchedCount) }
        patched.base[patchedCount] = id
        patchedCount &+= 1
    }

    /// The payload under way leaves no trace.
    func forget() { patchedCount = 0 }

    /// The payload under way, the `index`-th since the restart (0…9), has been applied.
    func endPayload(_ index: Int) {
        last = 1 << UInt16(truncatingIfNeeded: index)
        if patchedCount + hotCount == 0 { return }
        fresh.ensure(patchedCount)
        var freshCount = 0
        for i in 0..<patchedCount {
            let id = Int(patched.base[i])
            if id >= historyCount { extendHistories(to: id + 1) }
            let history = histories.base[id]
            if history == 0 {
                fresh.base[freshCount] = UInt32(truncatingIfNeeded: id)
                freshCount += 1
            }
            histories.base[id] = history | last
        }
        patchedCount = 0
        if freshCount > ActivityTable.hotCountMax - hotCount {
            for i in 0..<freshCount { histories.base[Int(fresh.base[i])] = 0 }
            freshCount = 0
        }
        merge(freshCount)
        list()
    }

    private func extendHistories(to count: Int) {
        histories.grow(to: count, keeping: historyCount)
        let capacity = histories.capacity
        (histories.base + historyCount).initialize(repeating: 0, count: capacity - historyCount)
        historyCount = capacity
    }

    /// Merges the ids that came into reach into `hot`.
    private func merge(_ freshCount: Int) {
        guard freshCount > 0 else { return }
        spare.ensure(max(freshCount, hotCount + freshCount))
        sortAscending(fresh.base, count: freshCount, other: spare.base)
        let (hot, fresh, into) = (hot.base, fresh.base, spare.base)
        var (i, j, out) = (0, 0, 0)
        while i < hotCount, j < freshCount {
            if hot[i] < fresh[j] {
                into[out] = hot[i]
                i &+= 1
            } else {
                into[out] = fresh[j]
                j &+= 1
            }
            out &+= 1
        }
        (into + out).update(from: hot + i, count: hotCount - i)
        (into + out + (hotCount - i)).update(from: fresh + j, count: freshCount - j)
        hotCount += freshCount
        swap(&self.hot, &spare)
    }

    /// Builds the lists by class.
    private func list() {
        listed.ensure(hotCount)
        starts.update(repeating: 0, count: ActivityClass.count + 1)
        let (hot, listed, histories, last, starts) = (hot.base, listed.base, histories.base, last, starts)
        for i in 0..<hotCount {
            starts[ActivityClass.of(histories[Int(hot[i])], last: last) &+ 1] &+= 1
        }
        for c in 0..<ActivityClass.count { starts[c + 1] += starts[c] }
        // Filling moves each start to its class's end, which is the next one's start: shift back afterwards.
        for i in 0..<hotCount {
            let c = ActivityClass.of(histories[Int(hot[i])], last: last)
            listed[starts[c]] = hot[i]
            starts[c] &+= 1
        }
        for c in (1...ActivityClass.count).reversed() { starts[c] = starts[c - 1] }
        starts[0] = 0
    }
}

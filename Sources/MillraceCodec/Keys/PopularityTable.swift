/// How often operations have named each id, and the lists by popularity that follow: senders, payees, pools and tokens are
/// named by a class and a place in its list. Spec 30.12.2.
///
/// Weights grow by `unit` for each mention; classes are half octaves of weight, so that within one a uniform place costs
/// next to nothing. The lists stand still for a window of ten heights; ids mentioned for the first time in a window are
/// listed apart as *fresh*. What counts is operations and heights alone, which are the same in every cadence, so that
/// followers of all agree at every height.
///
/// Bound: weights are halved every 1,000 heights, and at the end of any window that leaves more than `hotCountMax` ids.

final class PopularityTable {
    static var hotCountMax: Int { 1 << 20 }
    /// Weight of one mention.
    static var unit: UInt32 { 4 }
    /// Class 0 is cold, the last is fresh; between them the half octaves of weight.
    static var classCount: Int { 62 }
    static var cold: Int { 0 }
    static var fresh: Int { 61 }
    /// The lists are made anew after as many heights.
    static var windowHeights: UInt64 { 10 }
    static var halvingHeights: UInt64 { 1_000 }
    private static let freshBit: UInt32 = 1 << 31
    static var weightMax: Int { 1 << 29 }

    /// By id; bit 31 marks the fresh. Ids beyond have none.
    private var weights = Scratch<UInt32>(capacity: 1024)
    /// By id: the place in its class's list, for those that have one.
    private var places = Scratch<UInt32>(capacity: 1024)
    private var weightCount = 0

    /// Ids with a weight, ascending.
    private var hot = Scratch<UInt32>(capacity: 1024)
    private var hotCount = 0
    private var listed = Scratch<UInt32>(capacity: 1024)
    private let starts: UnsafeMutablePointer<Int>

    /// Fresh ids, ascending.
    private var freshIDs = Scratch<UInt32>(capacity: 1024)
    private(set) var freshCount = 0
    /// Mentions of the window under way, in order, with repeats; those from `sectionStart` on are of the section under way.
    private var noted = Scratch<UInt32>(capacity: 1024)
    private var notedCount = 0
    private var sectionStart = 0
    private var spare = Scratch<UInt32>(capacity: 1024)
    private var other = Scratch<UInt32>(capacity: 1024)

    init() {
        starts = .allocate(capacity: PopularityTable.classCount + 1)
        starts.initialize(repeating: 0, count: PopularityTable.classCount + 1)
    }

    deinit { starts.deallocate() }

    // MARK: Asking

    @inline(__always)
    func classOf(_ id: UInt32) -> Int {
        guard Int(id) < weightCount else { return PopularityTable.cold }
        let weight = weights.base[Int(id)]
        if weight & PopularityTable.freshBit != 0 { return PopularityTable.fresh }
        return PopularityTable.classOf(weight: weight)
    }

    @inline(__always)
    private static func classOf(weight: UInt32) -> Int {
        if weight == 0 { return cold }
        let bits = 31 &- weight.leadingZeroBitCount
        let half = bits == 0 ? 0 : Int(weight >> UInt32(truncatingIfNeeded: bits &- 1)) & 1
        return min(1 &+ bits &* 2 &+ half, fresh - 1)
    }

    /// Ids in a class's list; that of the cold one is not kept.
    @inline(__always)
    func count(ofClass c: Int) -> Int {
        c == PopularityTable.fresh ? freshCount : c == PopularityTable.cold ? 0 : starts[c &+ 1] &- starts[c]
    }

    /// The id at a place of a class that has so many.
    @inline(__always)
    func id(inClass c: Int, at place: Int) -> UInt32 {
        c == PopularityTable.fresh ? freshIDs.base[place] : listed.base[starts[c] &+ place]
    }

    /// The place of an id in its class's list. Not for cold ids.
    @inline(__always)
    func place(of id: UInt32, inClass c: Int) -> Int {
        if c != PopularityTable.fresh { return Int(places.base[Int(id)]) }
        var low = 0
        var high = freshCount
        while low < high {
            let middle = (low &+ high) >> 1
            if freshIDs.base[middle] < id { low = middle &+ 1 } else { high = middle }
        }
        return low
    }

    // MARK: Joining

    /// No window is under way: the ids listed and their weights say all.
    var isSettled: Bool { notedCount == 0 && freshCount == 0 }

    /// Ids with a weight, ascending; those of a window under way left out.
    var entries: [(id: UInt32, weight: UInt32)] {
        (0..<hotCount).map { (hot.base[$0], weights.base[Int(hot.base[$0])] & ~PopularityTable.freshBit) }
    }

    func set(_ entries: Entries) {
        for i in 0..<hotCount { weights.base[Int(hot.base[i])] = 0 }
        for i in 0..<freshCount { weights.base[Int(freshIDs.base[i])] = 0 }
        (hotCount, freshCount, notedCount, sectionStart) = (0, 0, 0, 0)
        hot.ensure(entries.ids.count)
        for (id, weight) in zip(entries.ids, entries.weights) {
            reach(Int(id))
            weights.base[Int(id)] = weight
            hot.base[hotCount] = id
            hotCount += 1
        }
        list()
    }

    // MARK: Following

    @inline(__always)
    func note(_ id: UInt32) {
        if notedCount == noted.capacity { noted.grow(to: notedCount + 1, keeping: notedCount) }
        noted.base[notedCount] = id
        notedCount &+= 1
    }

    /// The mentions since the last call were those of `height`.
    func endSection(height: UInt64) {
        if height % PopularityTable.windowHeights == 0 {
            let isHalving = height % PopularityTable.halvingHeights == 0
            // Nothing has changed that is listed: a window told by values is passed quickly.
            if notedCount == 0, freshCount == 0, !isHalving { return sectionStart = 0 }
            endWindow()
            if isHalving { halve() }
            while hotCount > PopularityTable.hotCountMax { halve() }
            list()
        } else {
            refresh()
        }
        sectionStart = notedCount
    }

    private func reach(_ id: Int) {
        guard id >= weightCount else { return }
        let count = max(id + 1, weightCount * 2)
        weights.grow(to: count, keeping: weightCount)
        places.grow(to: count, keeping: weightCount)
        (weights.base + weightCount).update(repeating: 0, count: weights.capacity - weightCount)
        weightCount = min(weights.capacity, places.capacity)
    }

    /// Merges the section's cold mentions into the fresh ones.
    private func refresh() {
        spare.ensure(notedCount - sectionStart)
        other.ensure(notedCount - sectionStart)
        var added = 0
        for i in sectionStart..<notedCount {
            let id = noted.base[i]
            reach(Int(id))
            if weights.base[Int(id)] == 0 {
                weights.base[Int(id)] = PopularityTable.freshBit
                spare.base[added] = id
                added &+= 1
            }
        }
        if added == 0 { return }
        sortAscending(spare.base, count: added, other: other.base)
        freshIDs.grow(to: freshCount + added, keeping: freshCount)
        merge(spare.base, added, into: freshIDs.base, freshCount)
        freshCount += added
    }

    /// Merges ascending `added` into ascending `list`, from the end, in place.
    private func merge(
        _ added: UnsafePointer<UInt32>, _ addedCount: Int, into list: UnsafeMutablePointer<UInt32>,
        _ count: Int
    ) {
        var (i, j, out) = (count &- 1, addedCount &- 1, count &+ addedCount &- 1)
        while j >= 0 {
            if i >= 0, list[i] > added[j] {
                list[out] = list[i]
                i &-= 1
            } else {
                list[out] = added[j]
                j &-= 1
            }
            out &-= 1
        }
    }

    private func endWindow() {
        for i in 0..<freshCount { weights.base[Int(freshIDs.base[i])] = 0 }
        freshCount = 0
        spare.ensure(notedCount)
        other.ensure(notedCount)
        var added = 0
        for i in 0..<notedCount {
            let id = noted.base[i]
            reach(Int(id))
            let weight = weights.base[Int(id)]
            if weight == 0 {
                spare.base[added] = id
                added &+= 1
            }
            weights.base[Int(id)] = min(weight &+ PopularityTable.unit, UInt32(PopularityTable.weightMax))
        }
        notedCount = 0
        if added == 0 { return }
        sortAscending(spare.base, count: added, other: other.base)
        hot.grow(to: hotCount + added, keeping: hotCount)
        merge(spare.base, added, into: hot.base, hotCount)
        hotCount += added
    }

    private func halve() {
        var kept = 0
        for i in 0..<hotCount {
            let id = hot.base[i]
            let weight = weights.base[Int(id)] >> 1
            weights.base[Int(id)] = weight
            if weight != 0 {
                hot.base[kept] = id
                kept &+= 1
            }
        }
        hotCount = kept
    }

    private func list() {
        listed.ensure(hotCount)
        starts.update(repeating: 0, count: PopularityTable.classCount + 1)
        for i in 0..<hotCount {
            starts[PopularityTable.classOf(weight: weights.base[Int(hot.base[i])]) &+ 1] &+= 1
        }
        for c in 0..<PopularityTable.classCount { starts[c + 1] += starts[c] }
        withUnsafeTemporaryAllocation(of: Int.self, capacity: PopularityTable.classCount) { ends in
            for c in 0..<PopularityTable.classCount { ends[c] = starts[c] }
            for i in 0..<hotCount {
                let id = hot.base[i]
                let c = PopularityTable.classOf(weight: weights.base[Int(id)])
                let at = ends[c]
                listed.base[at] = id
                places.base[Int(id)] = UInt32(truncatingIfNeeded: at &- starts[c])
                ends[c] = at &+ 1
            }
        }
    }
}

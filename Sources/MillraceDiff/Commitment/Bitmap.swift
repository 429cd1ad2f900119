/// A growable set of small integers, one bit each, scanned in ascending order word by word.

struct Bitmap: ~Copyable {
    private var words = CellArray<UInt64>()

    var wordCount: Int { words.count }
    var bytes: Int { words.bytes }

    /// Room for the integers below `count`; those added are not members.
    mutating func extend(to count: Int) { words.extend(to: (count + 63) / 64, repeating: 0) }

    @inline(__always)
    func contains(_ i: Int) -> Bool { words.base[i >> 6] >> UInt64(i & 63) & 1 != 0 }

    /// Adds `i`, which must be below the extent; true when it is new.
    @inline(__always)
    func insert(_ i: Int) -> Bool {
        let bit = UInt64(1) << UInt64(i & 63)
        let word = words.base + (i >> 6)
        if word.pointee & bit != 0 { return false }
        word.pointee |= bit
        return true
    }

    @inline(__always)
    func remove(_ i: Int) { words.base[i >> 6] &= ~(UInt64(1) << UInt64(i & 63)) }

    @inline(__always)
    func word(_ index: Int) -> UInt64 { words.base[index] }

    /// Removes every member from `start` on.
    func removeAll(from start: Int) {
        guard start < words.count * 64 else { return }
        words.base[start >> 6] &= (UInt64(1) << UInt64(start & 63)) &- 1
        for i in ((start >> 6) + 1)..<max((start >> 6) + 1, words.count) { words.base[i] = 0 }
    }

    var memberCount: Int {
        var count = 0
        for i in 0..<words.count { count += words.base[i].nonzeroBitCount }
        return count
    }
}

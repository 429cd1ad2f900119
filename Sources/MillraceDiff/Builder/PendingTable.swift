/// The builder's index of what the current mini-block has touched: open addressing over entries that know their own place.
///
/// Sealing empties it in O(1): a place counts as taken only while the entry it names exists and names the place in turn (a
/// sparse set), so nothing has to be wiped every 10 ms, however large one mini-block once was. Load ≤ 0.5.

protocol PendingEntry: BitwiseCopyable {
    var hash: UInt64 { get }
    /// Where in the table the entry is filed; written by the table only.
    var place: UInt32 { get set }
}

struct PendingTable<Entry: PendingEntry>: ~Copyable {
    private(set) var entries = CellArray<Entry>(capacity: 1024)
    private var table: UnsafeMutablePointer<UInt32>
    private var mask: UInt32

    init() {
        table = .allocate(capacity: 4096)
        table.initialize(repeating: 0, count: 4096)
        mask = 4095
    }

    deinit { table.deallocate() }

    @inline(__always) var count: Int { entries.count }
    @inline(__always) var base: UnsafeMutablePointer<Entry> { entries.base }

    @inline(__always)
    func find(_ hash: UInt64, where isKey: (UnsafeMutablePointer<Entry>) -> Bool) -> Int? {
        let (entries, count) = (entries.base, UInt32(truncatingIfNeeded: entries.count))
        var place = UInt32(truncatingIfNeeded: hash) & mask
        while true {
            let index = table[Int(place)]
            guard index < count, entries[Int(index)].place == place else { return nil }
            if entries[Int(index)].hash == hash, isKey(entries + Int(index)) { return Int(index) }
            place = (place &+ 1) & mask
        }
    }

    /// Adds an entry whose key is not here; answers its index.
    mutating func insert(_ entry: Entry) -> Int {
        let index = entries.count
        if index * 2 > Int(mask) { grow() }
        entries.append(entry)
        file(index)
        return index
    }

    mutating func removeAll() { entries.removeAll() }

    private mutating func file(_ index: Int) {
        let entries = entries.base
        var place = UInt32(truncatingIfNeeded: entries[index].hash) & mask
        while true {
            let other = table[Int(place)]
            guard other < UInt32(index), entries[Int(other)].place == place else { break }
            place = (place &+ 1) & mask
        }
        table[Int(place)] = UInt32(index)
        entries[index].place = place
    }

    private mutating func grow() {
        let places = (Int(mask) + 1) * 2
        table.deallocate()
        table = .allocate(capacity: places)
        table.initialize(repeating: 0, count: places)
        mask = UInt32(places - 1)
        // Filing in order of index: an entry not filed yet has a higher index than those `file` looks at.
        for index in 0..<entries.count { file(index) }
    }
}

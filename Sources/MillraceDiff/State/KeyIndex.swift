/// Key → dense id, by open addressing with linear probing. The index holds no keys: an entry is 32 bits of the key's hash
/// and the id, and the key is compared in the cell array. 8 bytes per entry at a load of 0.4 to 0.8, no allocation per
/// entry, one cache miss here and one in the cells per successful lookup.
///
///     entry   tag: upper 32 bits of the hash │ id + 1 (0: the place is empty)
///     home    lower bits of the hash
///
/// The owner supplies the hash, the comparison and, for growth and removal, the hash of a stored id.

struct KeyIndex: ~Copyable {
    private var table: UnsafeMutablePointer<UInt64>
    private var mask: Int
    private(set) var count: Int

    init(capacity: Int = 0) {
        let places = KeyIndex.places(for: capacity)
        table = .allocate(capacity: places)
        table.initialize(repeating: 0, count: places)
        mask = places - 1
        count = 0
    }

    init(copying other: borrowing KeyIndex) {
        table = .allocate(capacity: other.mask + 1)
        table.initialize(from: other.table, count: other.mask + 1)
        mask = other.mask
        count = other.count
    }

    deinit { table.deallocate() }

    var bytes: Int { (mask + 1) * 8 }

    /// A power of two that holds `count` entries at a load of at most 0.8.
    private static func places(for count: Int) -> Int {
        var places = 64
        while places * 4 < count * 5 { places *= 2 }
        return places
    }

    @inline(__always)
    func find(_ hash: UInt64, where isKey: (UInt32) -> Bool) -> UInt32? {
        let tag = hash >> 32
        var place = Int(truncatingIfNeeded: hash) & mask
        while true {
            let entry = table[place]
            if entry == 0 { return nil }
            if entry >> 32 == tag {
                let id = UInt32(truncatingIfNeeded: entry) &- 1
                if isKey(id) { return id }
            }
            place = (place &+ 1) & mask
        }
    }

    /// Reads the key's home place, so that the line is on its way when `find` comes: looking up a batch in two passes
    /// lets the processor overlap the misses.
    @inline(__always)
    func touch(_ hash: UInt64) -> UInt64 { table[Int(truncatingIfNeeded: hash) & mask] }

    /// Adds an id whose key is not here.
    mutating func insert(_ hash: UInt64, id: UInt32, rehash: (UInt32) -> UInt64) {
        if (count + 1) * 5 > (mask + 1) * 4 { resize(for: count * 2, rehash: rehash) }
        place(hash, id: id)
        count += 1
    }

    mutating func reserve(_ minimum: Int, rehash: (UInt32) -> UInt64) {
        if minimum * 5 > (mask + 1) * 4 { resize(for: minimum, rehash: rehash) }
    }

    /// Removes an id that is here, closing the gap so that later probes need no tombstones.
    mutating func remove(_ hash: UInt64, id: UInt32, rehash: (UInt32) -> UInt64) {
        var hole = Int(truncatingIfNeeded: hash) & mask
        while UInt32(truncatingIfNeeded: table[hole]) != id &+ 1 {
            precondition(table[hole] != 0, "removing an id the index does not hold")
            hole = (hole &+ 1) & mask
        }
        var next = (hole &+ 1) & mask
        while table[next] != 0 {
            let home = Int(truncatingIfNeeded: rehash(UInt32(truncatingIfNeeded: table[next]) &- 1)) & mask
            // The entry may move into the hole unless its home lies cyclically in (hole, next].
            if (next &- home) & mask >= (next &- hole) & mask {
                table[hole] = table[next]
                hole = next
            }
            next = (next &+ 1) & mask
        }
        table[hole] = 0
        count -= 1
    }

    private mutating func place(_ hash: UInt64, id: UInt32) {
        var place = Int(truncatingIfNeeded: hash) & mask
        while table[place] != 0 { place = (place &+ 1) & mask }
        table[place] = (hash >> 32) << 32 | UInt64(id &+ 1)
    }

    private mutating func resize(for entries: Int, rehash: (UInt32) -> UInt64) {
        let (old, oldPlaces) = (table, mask + 1)
        let places = KeyIndex.places(for: max(entries, count + 1))
        table = .allocate(capacity: places)
        table.initialize(repeating: 0, count: places)
        mask = places - 1
        for i in 0..<oldPlaces where old[i] != 0 {
            let id = UInt32(truncatingIfNeeded: old[i]) &- 1
            place(rehash(id), id: id)
        }
        old.deallocate()
    }
}

/// The slices a node holds, by height: in the making, complete, and kept for repair and catch-up.
///
///     floor                    tip            floor + heightsMax
///       │ kept, oldest goes first │ not seen yet │
///
/// A ring indexed by height, so that finding a slice costs one load and no hashing. Symbols live in a `SlicePool` with a
/// byte budget; when that is spent, or the ring is full, the oldest heights go, as far as the owner allows
/// (`evictableThrough`). If that is not far enough, `admit` refuses: a replica that is far behind does not collect new
/// slices in place of those it needs first.

import MillraceBase
import MillraceWire

final class SliceStore {
    /// 16,384 mini-blocks of 10 ms: 163 s.
    static let heightsMax: UInt64 = 16_384

    let pool: SlicePool
    private var table: [HeightEntry?]
    /// The slice asked for last: shreds come slice by slice.
    private var latest: SliceRecord?
    /// The lowest height that may be held; 0 until the first slice comes.
    private(set) var floor: UInt64 = 0
    /// The highest height held.
    private(set) var tip: UInt64 = 0
    /// Heights up to here may be dropped to make room.
    var evictableThrough: UInt64 = 0
    /// Symbol memory of the slices held.
    private(set) var bytes = 0

    init(bytesMax: Int, payloads: PayloadForm) {
        pool = SlicePool(bytesMax: max(bytesMax, 1 << 20), payloads: payloads)
        table = Array(repeating: nil, count: Int(SliceStore.heightsMax))
    }

    /// Fixes the lowest height before anything is held.
    func begin(at height: UInt64) {
        precondition(floor == 0, "the store has begun already")
        floor = max(height, 1)
    }

    /// Lets heights from `height` on be held, where so far nothing below the floor was ever held. False when the ring does not
    /// reach that far.
    func lowerFloor(to height: UInt64) -> Bool {
        guard floor > 0, height > 0, height <= floor, tip < height + SliceStore.heightsMax else {
            return false
        }
        floor = height
        return true
    }

    /// What covers `height`, if anything does.
    func entry(_ height: UInt64) -> HeightEntry? {
        guard floor > 0, height >= floor, let entry = table[Int(height % SliceStore.heightsMax)],
            entry.firstHeight <= height, height <= entry.lastHeight
        else { return nil }
        return entry
    }

    func record(_ key: SliceKey) -> SliceRecord? {
        if let latest, latest.key == key { return latest }
        guard key.cadence == .c0, let entry = entry(key.firstHeight), Int(key.index) < entry.slices.count
        else { return nil }
        guard let record = entry.slices[Int(key.index)] else { return nil }
        latest = record.key == key ? record : nil
        return record
    }

    /// The slice before `record` in the chain, if it is held.
    func previous(of record: SliceRecord) -> SliceRecord? {
        let key = record.key
        if key.index > 0 { return entry(key.firstHeight)?.slices[Int(key.index) - 1] }
        return lastSlice(through: key.firstHeight - 1)
    }

    /// The last slice of what covers `height`, if it is held.
    func lastSlice(through height: UInt64) -> SliceRecord? {
        guard height > 0, let last = entry(height)?.slices.last else { return nil }
        return last
    }

    /// The slice after `record` in the chain, if it is held.
    func next(of record: SliceRecord) -> SliceRecord? {
        let header = record.assembler.header
        if !header.isLastSlice { return entry(header.firstHeight)?.slices[Int(header.sliceIndex) + 1] }
        guard let first = entry(header.lastHeight + 1)?.slices.first else { return nil }
        return first
    }

    /// Up to 15 slices before `record` (before the next one, if it is nil), the nearest first: what its parity may cover.
    func window(before record: SliceRecord?) -> [SliceRecord] {
        var found: [SliceRecord] = []
        var before = record.map { previous(of: $0) } ?? lastSlice(through: tip)
        while let slice = before, found.count < WireLimits.windowSpanMax - 1 {
            found.append(slice)
            before = previous(of: slice)
        }
        return found
    }

    /// Whether a slice of these heights could be held now, dropping older ones if need be.
    func mayHold(_ height: UInt64) -> Bool {
        if floor == 0 { return true }
        return height >= floor
            && (height < floor + SliceStore.heightsMax || height - SliceStore.heightsMax < evictableThrough)
    }

    /// Takes memory for a slice whose header has been verified, and places it. Nil when there is no room.
    func admit(
        _ header: SliceHeader, hash: Hash32, encoded: RawSpan, shared: [UInt8]? = nil, now: Instant
    ) -> SliceRecord? {
        if floor == 0 { begin(at: header.firstHeight) }
        guard header.firstHeight >= floor, makeRoom(through: header.lastHeight) else { return nil }
        var assembler = pool.take(for: header, hash: hash, encoded: encoded, shared: shared)
        while assembler == nil, dropOldest() {
            assembler = pool.take(for: header, hash: hash, encoded: encoded, shared: shared)
        }
        guard let assembler else { return nil }
        return place(SliceRecord(assembler: assembler, now: now), now: now)
    }

    /// Places slices that are complete already: the sequencer's own.
    func adopt(_ assembler: SliceAssembler, now: Instant) -> SliceRecord? {
        let header = assembler.header
        if floor == 0 { begin(at: header.firstHeight) }
        guard makeRoom(through: header.lastHeight) else { return nil }
        guard let record = place(SliceRecord(assembler: assembler, now: now), now: now) else { return nil }
        entry(header.firstHeight)?.markComplete(record)
        return record
    }

    private func place(_ record: SliceRecord, now: Instant) -> SliceRecord? {
        let header = record.assembler.header
        let entry: HeightEntry
        if let present = self.entry(header.firstHeight) {
            entry = present
        } else {
            // A run that overlaps what is held: two signed stories about one height. The first one stays.
            for height in header.firstHeight...header.lastHeight where self.entry(height) != nil {
                pool.give(record.assembler)
                return nil
            }
            entry = HeightEntry(header: header, now: now)
            for height in header.firstHeight...header.lastHeight {
                table[Int(height % SliceStore.heightsMax)] = entry
            }
        }
        guard Int(header.sliceIndex) < entry.slices.count, entry.slices[Int(header.sliceIndex)] == nil else {
            pool.give(record.assembler)
            return nil
        }
        entry.slices[Int(header.sliceIndex)] = record
        bytes += symbolBytes(record)
        tip = max(tip, header.lastHeight)
        return record
    }

    /// Moves the floor until `height` lies within the ring.
    private func makeRoom(through height: UInt64) -> Bool {
        if height < floor + SliceStore.heightsMax { return true }
        let lowest = height - SliceStore.heightsMax + 1
        guard lowest - 1 <= evictableThrough else { return false }
        dropBelow(lowest)
        return true
    }

    /// Gives up the lowest height held. False when the owner still needs it, or when nothing is held.
    @discardableResult
    func dropOldest() -> Bool {
        guard floor > 0, floor <= evictableThrough, floor <= tip else { return false }
        drop(floor)
        return true
    }

    private func drop(_ height: UInt64) {
        guard let entry = entry(height) else {
            floor = height + 1
            return
        }
        latest = nil
        for record in entry.slices {
            guard let record else { continue }
            bytes -= symbolBytes(record)
            pool.give(record.assembler)
        }
        for covered in entry.firstHeight...entry.lastHeight {
            table[Int(covered % SliceStore.heightsMax)] = nil
        }
        floor = max(floor, entry.lastHeight + 1)
    }

    /// Drops everything below `height`: what a replica has applied and does not serve.
    func dropBelow(_ height: UInt64) {
        while floor > 0, floor < height {
            if floor > tip {
                floor = height
            } else {
                drop(floor)
            }
        }
    }

    private func symbolBytes(_ record: SliceRecord) -> Int {
        SliceAssembler.bytesNeeded(for: record.assembler.header)
    }
}

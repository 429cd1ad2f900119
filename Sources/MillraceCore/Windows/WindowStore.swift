/// The windows of the coarser cadences that a node holds: in the making, complete, and kept for those who ask.
///
/// Windows are few (a c3 window is ten seconds), so each cadence has a short sorted list and not a ring. There may be holes:
/// a relay holds what its children asked for. Symbols live in one `SlicePool` per cadence with a byte budget of its own, so
/// that many small windows never push out the large ones. When room is needed, the window that was used longest ago goes,
/// as far as the owner allows (`evictableThrough`).

import MillraceBase
import MillraceWire

/// All slices of one window.
final class WindowEntry {
    let cadence: Cadence
    let firstHeight: UInt64
    let lastHeight: UInt64
    let sealedAtMicroseconds: UInt64
    let payloadBytes: Int
    /// As many as the header of any slice says; nil where the slice's own header is not here.
    private(set) var slices: [SliceRecord?]
    private(set) var placedCount = 0
    private(set) var completeCount = 0
    var usedAt: Instant

    init(header: SliceHeader, now: Instant) {
        cadence = header.cadence
        firstHeight = header.firstHeight
        lastHeight = header.lastHeight
        sealedAtMicroseconds = header.sealedAtMicroseconds
        payloadBytes = Int(header.payloadBytes)
        slices = Array(repeating: nil, count: Int(header.sliceCount))
        usedAt = now
    }

    var isComplete: Bool { completeCount == slices.count }
    var firstHeader: SliceHeader? { slices.lazy.compactMap { $0 }.first?.assembler.header }
    /// What the sequencer signed about an earlier boundary; it travels in the first slice.
    var commitment: SliceCommitment? { slices[0]?.assembler.header.commitment }

    func place(_ record: SliceRecord) -> Bool {
        let index = Int(record.key.index)
        guard index < slices.count, slices[index] == nil else { return false }
        slices[index] = record
        placedCount += 1
        return true
    }

    func markComplete(_ record: SliceRecord) {
        if record.isComplete { return }
        record.isComplete = true
        completeCount += 1
    }
}

final class WindowStore {
    /// How many are held, by cadence (c1, c2, c3, halves, quarters). Mini-blocks are held for 163 s (`SliceStore.heightsMax`),
    /// and who stands before that, and not at a window's start, has no way on. So what leads from a mini-block to the next start
    /// of a c3 window is held a little longer: 192 s of c2, 200 s of quarters and of halves; 51 s of c1, which mini-blocks
    /// stand in for; and 85 minutes of c3. The budget ends earlier at a full stream.
    static let windowsMax = [512, 192, 512, 40, 80]
    /// Shares of the budget in sixteenths, by cadence (c1, c2, c3, halves, quarters): a c1 window is of use for a second or
    /// two, a c3 window for minutes.
    static let shares16 = [2, 3, 6, 3, 2]

    private let pools: [SlicePool]
    /// Per cadence, ascending.
    private var windows: [[WindowEntry]] = [[], [], [], [], []]
    /// Windows that end up to here may be dropped to make room.
    var evictableThrough = UInt64.max
    /// Symbol memory of the windows held.
    private(set) var bytes = 0

    init(bytesMax: Int, payloads: PayloadForm) {
        // The largest payload is 26 MB: each cadence can hold one.
        pools = WindowStore.shares16.map {
            SlicePool(bytesMax: max(bytesMax / 16 * $0, 32 << 20), payloads: payloads)
        }
    }

    private static func place(_ cadence: Cadence) -> Int? {
        cadence == .c0 ? nil : Int(cadence.rawValue) - 1
    }

    // MARK: Looking

    /// The window of this cadence that begins at `firstHeight`.
    func entry(_ cadence: Cadence, _ firstHeight: UInt64) -> WindowEntry? {
        guard let place = WindowStore.place(cadence) else { return nil }
        let index = index(place, firstHeight)
        guard index < windows[place].count, windows[place][index].firstHeight == firstHeight else {
            return nil
        }
        return windows[place][index]
    }

    func record(_ key: SliceKey) -> SliceRecord? {
        guard let entry = entry(key.cadence, key.firstHeight), Int(key.index) < entry.slices.count else {
            return nil
        }
        return entry.slices[Int(key.index)]
    }

    /// The first place whose window begins at `firstHeight` or later.
    private func index(_ place: Int, _ firstHeight: UInt64) -> Int {
        var (low, high) = (0, windows[place].count)
        while low < high {
            let middle = (low + high) / 2
            if windows[place][middle].firstHeight < firstHeight { low = middle + 1 } else { high = middle }
        }
        return low
    }

    /// The lowest and the highest height of the windows held of a cadence; nil when there are none.
    func extent(_ cadence: Cadence) -> (first: UInt64, last: UInt64)? {
        guard let place = WindowStore.place(cadence), let first = windows[place].first,
            let last = windows[place].last
        else { return nil }
        return (first.firstHeight, last.lastHeight)
    }

    /// The pool of a cadence's slices, for whoever makes them.
    func pool(_ cadence: Cadence) -> SlicePool {
        guard let place = WindowStore.place(cadence) else { preconditionFailure("c0 has a store of its own") }
        return pools[place]
    }

    // MARK: Placing

    /// Takes memory for a slice whose header has been verified, and places it. Nil when there is no room, or when the header
    /// does not fit what is held.
    func admit(_ header: SliceHeader, hash: Hash32, encoded: RawSpan, now: Instant) -> SliceRecord? {
        guard let place = WindowStore.place(header.cadence) else { return nil }
        var assembler = pools[place].take(for: header, hash: hash, encoded: encoded)
        while assembler == nil, dropOne(place, keeping: header.firstHeight) {
            assembler = pools[place].take(for: header, hash: hash, encoded: encoded)
        }
        guard let assembler else { return nil }
        return self.place(SliceRecord(assembler: assembler, now: now), at: place, now: now)
    }

    /// Places a slice that is complete already: the sequencer's own.
    func adopt(_ assembler: SliceAssembler, now: Instant) {
        let header = assembler.header
        guard let place = WindowStore.place(header.cadence),
            let record = self.place(SliceRecord(assembler: assembler, now: now), at: place, now: now)
        else { return }
        entry(header.cadence, header.firstHeight)?.markComplete(record)
    }

    private func place(_ record: SliceRecord, at place: Int, now: Instant) -> SliceRecord? {
        let header = record.assembler.header
        let at = index(place, header.firstHeight)
        let entry: WindowEntry
        if at < windows[place].count, windows[place][at].firstHeight == header.firstHeight {
            entry = windows[place][at]
        } else {
            entry = WindowEntry(header: header, now: now)
        }
        let isNew = entry.placedCount == 0
        if isNew, windows[place].count == WindowStore.windowsMax[place],
            !dropOne(place, keeping: header.firstHeight)
        {
            pools[place].give(record.assembler)
            return nil
        }
        guard entry.slices.count == Int(header.sliceCount), entry.place(record) else {
            pools[place].give(record.assembler)
            return nil
        }
        entry.usedAt = now
        if isNew { windows[place].insert(entry, at: index(place, header.firstHeight)) }
        bytes += WindowStore.symbolBytes(record)
        return record
    }

    // MARK: Dropping

    /// Gives up the window used longest ago, of equals the lowest. False when there is none that may go.
    @discardableResult
    func dropOne(_ cadence: Cadence, keeping firstHeight: UInt64) -> Bool {
        guard let place = WindowStore.place(cadence) else { return false }
        return dropOne(place, keeping: firstHeight)
    }

    @discardableResult
    private func dropOne(_ place: Int, keeping firstHeight: UInt64) -> Bool {
        var oldest: Int?
        for (i, entry) in windows[place].enumerated()
        where entry.lastHeight <= evictableThrough && entry.firstHeight != firstHeight {
            if let known = oldest, windows[place][known].usedAt <= entry.usedAt { continue }
            oldest = i
        }
        guard let oldest else { return false }
        drop(place, oldest)
        return true
    }

    private func drop(_ place: Int, _ index: Int) {
        for record in windows[place].remove(at: index).slices {
            guard let record else { continue }
            bytes -= WindowStore.symbolBytes(record)
            pools[place].give(record.assembler)
        }
    }

    /// Drops windows that end below `height`: what a replica has applied and does not serve.
    func dropBelow(_ height: UInt64) {
        for place in windows.indices {
            while let first = windows[place].first, first.lastHeight < height { drop(place, 0) }
        }
    }

    private static func symbolBytes(_ record: SliceRecord) -> Int {
        record.assembler.header.shredCount * Int(record.assembler.header.symbolBytes)
    }
}

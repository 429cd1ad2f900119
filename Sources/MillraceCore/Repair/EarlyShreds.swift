/// Shreds whose slice header is not here yet: they wait, unverified, in a small fixed pool, and go nowhere before they
/// are verified (Spec 60.5, rule 4). The oldest gives way to the newest.

import MillraceBase
import MillraceWire

final class EarlyShreds {
    /// Three slices' worth of a 100,000 TPS stream over 30 slices of round trip at 10 % lost headers.
    static let shredsMax = 256

    struct Slot: BitwiseCopyable {
        var key: SliceKey
        var index: Int
        var count: Int
        var parent: Int
        var isUsed: Bool
    }

    /// A slice that waits for its header.
    struct Orphan: BitwiseCopyable {
        var key: SliceKey
        var since: Instant
        var askAt: Instant
        var attempts = 0
        /// Parents that answered a request for it with MISS, by index.
        var missedBy: UInt64 = 0
    }
    static let orphansMax = 64

    private let memory: UnsafeMutableRawPointer
    /// By reference symbols have a length and no bytes.
    private let payloads: PayloadForm
    private var slots: [Slot]
    private var nextSlot = 0
    /// Slots used lie among so many before `nextSlot`.
    private var span = 0
    private var usedCount = 0
    private(set) var orphans: [Orphan] = []

    init(payloads: PayloadForm) {
        self.payloads = payloads
        let slotBytes = payloads == .carried ? WireLimits.symbolBytesMax : 0
        memory = .allocate(byteCount: EarlyShreds.shredsMax * slotBytes, alignment: 64)
        let unused = Slot(
            key: SliceKey(firstHeight: 0, index: 0), index: 0, count: 0, parent: 0, isUsed: false)
        slots = Array(repeating: unused, count: EarlyShreds.shredsMax)
        orphans.reserveCapacity(EarlyShreds.orphansMax)
    }

    deinit { memory.deallocate() }

    /// Keeps the shred. Answers whose older one had to go for it, if one had to.
    func insert(
        _ key: SliceKey, index: Int, symbol: UnsafeRawBufferPointer, parent: Int, now: Instant,
        askAfter: Interval
    ) -> Int? {
        guard let source = symbol.baseAddress, symbol.count <= WireLimits.symbolBytesMax else { return nil }
        let place = nextSlot
        nextSlot = (nextSlot + 1) % EarlyShreds.shredsMax
        span = min(span + 1, EarlyShreds.shredsMax)
        let evicted = slots[place].isUsed ? slots[place].parent : nil
        if evicted == nil { usedCount += 1 }
        slots[place] = Slot(key: key, index: index, count: symbol.count, parent: parent, isUsed: true)
        if payloads == .carried {
            (memory + place * WireLimits.symbolBytesMax).copyMemory(from: source, byteCount: symbol.count)
        }
        if orphans.last?.key != key, !orphans.contains(where: { $0.key == key }) {
            if orphans.count == EarlyShreds.orphansMax { orphans.removeFirst() }
            orphans.append(Orphan(key: key, since: now, askAt: now + askAfter))
        }
        return evicted
    }

    /// Hands over and forgets the shreds of `key`, whose header has come.
    func drain(
        _ key: SliceKey, _ body: (_ index: Int, _ symbol: UnsafeRawBufferPointer, _ parent: Int) -> Void
    ) {
        guard let orphan = orphans.firstIndex(where: { $0.key == key }) else { return }
        orphans.remove(at: orphan)
        // Oldest first, so that shreds are forwarded in the order they came.
        for back in (0..<span).reversed() {
            let place = (nextSlot + EarlyShreds.shredsMax - 1 - back) % EarlyShreds.shredsMax
            guard slots[place].isUsed, slots[place].key == key else { continue }
            slots[place].isUsed = false
            usedCount -= 1
            body(slots[place].index, symbol(at: place), slots[place].parent)
        }
        if usedCount == 0 { span = 0 }
    }

    private func symbol(at place: Int) -> UnsafeRawBufferPointer {
        switch payloads {
        case .carried:
            UnsafeRawBufferPointer(
                start: memory + place * WireLimits.symbolBytesMax, count: slots[place].count)
        case .byReference:
            UnsafeRawBufferPointer(start: SliceAssembler.absentSymbol, count: slots[place].count)
        }
    }

    func update(_ index: Int, _ orphan: Orphan) { orphans[index] = orphan }

    /// A parent does not hold the header: the next is asked at once.
    func missed(_ key: SliceKey, by parent: Int, now: Instant) {
        guard let place = orphans.firstIndex(where: { $0.key == key }) else { return }
        orphans[place].missedBy |= 1 << UInt64(parent)
        orphans[place].askAt = now
    }

    /// Forgets orphans below `height`: their mini-block is complete or given up.
    func dropBelow(_ height: UInt64) {
        if orphans.isEmpty { return }
        orphans.removeAll { $0.key.firstHeight < height }
        if orphans.isEmpty, usedCount > 0 {
            for i in 0..<EarlyShreds.shredsMax { slots[i].isUsed = false }
            usedCount = 0
            span = 0
        }
    }
}

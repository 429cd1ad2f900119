/// Datagrams under way: where from, where to, and the bytes that are really there. Slots are used again. A shred whose symbol
/// is known by reference has some thirty bytes: they lie behind the flight's record, on one line of memory with it, because
/// a thousand nodes' datagrams are long out of the nearest caches when they arrive. A header with its hashes has a few
/// hundred, and a datagram in full 1,232: those lie in slabs of their own.
///
/// A flight is owned by the one event that names it; whoever takes that event gives the flight back.

import CPrefetch
import MillraceBase

struct Flight: BitwiseCopyable {
    var from: UInt32
    var to: UInt32
    /// The sender's port when it sent: a NAT that has given the port away drops what comes back to it.
    var fromPort: UInt16
    var toPort: UInt16
    /// Bytes in the slab.
    var count: UInt16
    /// Bytes of UDP payload on the wire: `count` and what is known by reference.
    var wireBytes: UInt16
    /// One bit was flipped under way: `Passage.noBit` for none.
    var flippedBit: UInt32
    var slot: UInt32
    /// Which of the slabs; 0 when the bytes lie behind this record.
    var slab: UInt8
    /// A line on the way has marked it.
    var isMarked = false
}

struct FlightPool: ~Copyable {
    private static let lineBytes = 64
    private static let bytesBehind = MemoryLayout<Flight>.stride
    private static let smallMax = lineBytes - bytesBehind

    private var lines = Slab(slotBytes: lineBytes)
    private var middle = Slab(slotBytes: 512)
    private var large = Slab(slotBytes: 1_536)
    private(set) var inFlight = 0

    init() {}

    /// Copies `bytes` (at most 1,536) and answers the flight's number. Each field is written once, where it stays.
    @inline(__always)
    mutating func take(
        from: UInt32, to: UInt32, fromPort: UInt16, toPort: UInt16, wireBytes: UInt16,
        flippedBit: UInt32 = .max, _ bytes: UnsafeRawBufferPointer
    ) -> UInt32 {
        let index = lines.take()
        let slab: UInt8
        let slot: UInt32
        let start: UnsafeMutableRawPointer
        if bytes.count <= FlightPool.smallMax {
            (slab, slot) = (0, index)
            start = lines.start(index) + FlightPool.bytesBehind
        } else if bytes.count <= middle.slotBytes {
            (slab, slot) = (1, middle.take())
            start = middle.start(slot)
        } else {
            (slab, slot) = (2, large.take())
            start = large.start(slot)
        }
        record(index).initialize(
            to: Flight(
                from: from, to: to, fromPort: fromPort, toPort: toPort, count: UInt16(bytes.count),
                wireBytes: wireBytes, flippedBit: flippedBit, slot: slot, slab: slab))
        if let base = bytes.baseAddress { start.copyMemory(from: base, byteCount: bytes.count) }
        inFlight += 1
        return index
    }

    subscript(index: UInt32) -> Flight {
        get { record(index).pointee }
        nonmutating _modify { yield &record(index).pointee }
    }

    @inline(__always)
    private func record(_ index: UInt32) -> UnsafeMutablePointer<Flight> {
        lines.start(index).assumingMemoryBound(to: Flight.self)
    }

    @inline(__always)
    private func start(of flight: Flight) -> UnsafeMutableRawPointer {
        switch flight.slab {
        case 0: lines.start(flight.slot) + FlightPool.bytesBehind
        case 1: middle.start(flight.slot)
        default: large.start(flight.slot)
        }
    }

    /// The bytes of a flight, to be changed in place by its receiver.
    func bytes(of flight: Flight) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start(of: flight), count: Int(flight.count))
    }

    /// Fetches a flight's record, and the bytes behind it: it will be asked for soon.
    @inline(__always)
    func foresee(_ index: UInt32) { millrace_prefetch(lines.start(index)) }

    mutating func give(_ index: UInt32) {
        let flight = self[index]
        switch flight.slab {
        case 0: break
        case 1: middle.give(flight.slot)
        default: large.give(flight.slot)
        }
        lines.give(index)
        inFlight -= 1
    }
}

/// Equal slots in chunks that never move.
private struct Slab: ~Copyable {
    static let chunkSlots = 1_024
    /// How many slots ahead memory is asked for.
    static let foresight = 6
    let slotBytes: Int
    private var chunks: [UnsafeMutableRawPointer] = []
    private var free: [UInt32] = []

    init(slotBytes: Int) { self.slotBytes = slotBytes }

    deinit { for chunk in chunks { chunk.deallocate() } }

    mutating func take() -> UInt32 {
        if let slot = free.popLast() {
            if free.count >= Slab.foresight {
                millrace_prefetch(start(free[free.count - Slab.foresight]))
            }
            return slot
        }
        let first = UInt32(chunks.count * Slab.chunkSlots)
        chunks.append(.allocate(byteCount: Slab.chunkSlots * slotBytes, alignment: 64))
        free.append(contentsOf: (first + 1..<first + UInt32(Slab.chunkSlots)).reversed())
        return first
    }

    @inline(__always)
    func start(_ slot: UInt32) -> UnsafeMutableRawPointer {
        chunks[Int(slot) / Slab.chunkSlots] + Int(slot) % Slab.chunkSlots * slotBytes
    }

    mutating func give(_ slot: UInt32) { free.append(slot) }
}

/// Datagrams under way: where from, where to, and the bytes that are really there. Slots are used again; bytes lie in slabs
/// of two sizes, because a datagram whose symbols are known by reference has some sixty bytes and one in full has 1,232.
///
/// A flight is owned by the one event that names it; whoever takes that event gives the flight back.

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
    /// Which of the two slabs.
    var isLarge: Bool
}

struct FlightPool: ~Copyable {
    private var flights: [Flight] = []
    private var free: [UInt32] = []
    private var small = Slab(slotBytes: 192)
    private var large = Slab(slotBytes: 1_280)
    private(set) var inFlight = 0

    init() {}

    /// Copies `bytes` (at most 1,280) and answers the flight's number.
    mutating func take(_ flight: Flight, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var flight = flight
        flight.count = UInt16(bytes.count)
        flight.isLarge = bytes.count > small.slotBytes
        if flight.isLarge {
            flight.slot = large.take()
            large.bytes(flight.slot).copyMemory(from: bytes)
        } else {
            flight.slot = small.take()
            small.bytes(flight.slot).copyMemory(from: bytes)
        }
        inFlight += 1
        if let index = free.popLast() {
            flights[Int(index)] = flight
            return index
        }
        flights.append(flight)
        return UInt32(flights.count - 1)
    }

    subscript(index: UInt32) -> Flight {
        get { flights[Int(index)] }
        _modify { yield &flights[Int(index)] }
    }

    /// The bytes of a flight, to be changed in place by its receiver.
    func bytes(of flight: Flight) -> UnsafeMutableRawBufferPointer {
        let all = flight.isLarge ? large.bytes(flight.slot) : small.bytes(flight.slot)
        return UnsafeMutableRawBufferPointer(rebasing: all[..<Int(flight.count)])
    }

    mutating func give(_ index: UInt32) {
        let flight = flights[Int(index)]
        if flight.isLarge { large.give(flight.slot) } else { small.give(flight.slot) }
        inFlight -= 1
        free.append(index)
    }
}

/// Equal slots in chunks that never move.
private struct Slab: ~Copyable {
    static let chunkSlots = 1_024
    let slotBytes: Int
    private var chunks: [UnsafeMutableRawPointer] = []
    private var free: [UInt32] = []

    init(slotBytes: Int) { self.slotBytes = slotBytes }

    deinit { for chunk in chunks { chunk.deallocate() } }

    mutating func take() -> UInt32 {
        if let slot = free.popLast() { return slot }
        let first = UInt32(chunks.count * Slab.chunkSlots)
        chunks.append(.allocate(byteCount: Slab.chunkSlots * slotBytes, alignment: 64))
        free.append(contentsOf: (first + 1..<first + UInt32(Slab.chunkSlots)).reversed())
        return first
    }

    func bytes(_ slot: UInt32) -> UnsafeMutableRawBufferPointer {
        let chunk = chunks[Int(slot) / Slab.chunkSlots]
        return UnsafeMutableRawBufferPointer(
            start: chunk + Int(slot) % Slab.chunkSlots * slotBytes, count: slotBytes)
    }

    mutating func give(_ slot: UInt32) { free.append(slot) }
}

/// Datagrams under way: where from, where to, and the bytes that are really there. Slots are used again; bytes lie in slabs
/// of three sizes, because a shred whose symbol is known by reference has some fifty bytes, a header with its hashes a few
/// hundred, and a datagram in full 1,232.
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
    /// Which of the slabs.
    var slab: UInt8
}

struct FlightPool: ~Copyable {
    private var flights: [Flight] = []
    private var free: [UInt32] = []
    private var small = Slab(slotBytes: 64)
    private var middle = Slab(slotBytes: 512)
    private var large = Slab(slotBytes: 1_280)
    private(set) var inFlight = 0

    init() {}

    /// Copies `bytes` (at most 1,280) and answers the flight's number.
    mutating func take(_ flight: Flight, _ bytes: UnsafeRawBufferPointer) -> UInt32 {
        var flight = flight
        flight.count = UInt16(bytes.count)
        if bytes.count <= small.slotBytes {
            flight.slab = 0
            flight.slot = small.take()
        } else if bytes.count <= middle.slotBytes {
            flight.slab = 1
            flight.slot = middle.take()
        } else {
            flight.slab = 2
            flight.slot = large.take()
        }
        start(of: flight).copyMemory(
            from: bytes.baseAddress ?? UnsafeRawPointer(start(of: flight)), byteCount: bytes.count)
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

    @inline(__always)
    private func start(of flight: Flight) -> UnsafeMutableRawPointer {
        switch flight.slab {
        case 0: small.start(flight.slot)
        case 1: middle.start(flight.slot)
        default: large.start(flight.slot)
        }
    }

    /// The bytes of a flight, to be changed in place by its receiver.
    func bytes(of flight: Flight) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(start: start(of: flight), count: Int(flight.count))
    }

    /// Fetches a flight's record: it will be asked for soon.
    @inline(__always)
    func foresee(_ index: UInt32) {
        flights.withUnsafeBufferPointer { millrace_prefetch($0.baseAddress.map { $0 + Int(index) }) }
    }

    /// Fetches a flight's bytes.
    @inline(__always)
    func foreseeBytes(_ index: UInt32) { millrace_prefetch(start(of: flights[Int(index)])) }

    mutating func give(_ index: UInt32) {
        let flight = flights[Int(index)]
        switch flight.slab {
        case 0: small.give(flight.slot)
        case 1: middle.give(flight.slot)
        default: large.give(flight.slot)
        }
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

    @inline(__always)
    func start(_ slot: UInt32) -> UnsafeMutableRawPointer {
        chunks[Int(slot) / Slab.chunkSlots] + Int(slot) % Slab.chunkSlots * slotBytes
    }

    mutating func give(_ slot: UInt32) { free.append(slot) }
}

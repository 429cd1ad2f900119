/// Bytes of datagrams under way, in slots of equal size: what an impairing proxy holds between arrival and departure.
///
/// Slots come in chunks of 256 made when first needed, up to a bound; a taken slot is a number. Nothing else is allocated,
/// and the store never shrinks.
struct DatagramStore: ~Copyable {
    static let slotBytes = 2_048
    private static let chunkSlots = 256

    private let slotsMax: Int
    private var chunks: [UnsafeMutableRawPointer] = []
    private var free: [UInt32] = []
    private(set) var taken = 0

    /// At most `bytesMax` bytes, and at least one chunk.
    init(bytesMax: Int) {
        let chunkBytes = DatagramStore.slotBytes * DatagramStore.chunkSlots
        slotsMax = max(1, bytesMax / chunkBytes) * DatagramStore.chunkSlots
    }

    deinit { for chunk in chunks { chunk.deallocate() } }

    /// A free slot, or nil when all are taken.
    mutating func take() -> UInt32? {
        if free.isEmpty {
            let made = chunks.count * DatagramStore.chunkSlots
            guard made < slotsMax else { return nil }
            chunks.append(
                .allocate(byteCount: DatagramStore.slotBytes * DatagramStore.chunkSlots, alignment: 64))
            free.reserveCapacity(made + DatagramStore.chunkSlots)
            for i in (made..<(made + DatagramStore.chunkSlots)).reversed() { free.append(UInt32(i)) }
        }
        taken += 1
        return free.removeLast()
    }

    mutating func give(_ slot: UInt32) {
        taken -= 1
        free.append(slot)
    }

    func bytes(_ slot: UInt32) -> UnsafeMutableRawPointer {
        let (chunk, index) = Int(slot).quotientAndRemainder(dividingBy: DatagramStore.chunkSlots)
        return chunks[chunk] + index * DatagramStore.slotBytes
    }
}

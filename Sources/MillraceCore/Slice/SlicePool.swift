/// Where slices come from and go back to: a bounded stock of `SliceAssembler`s whose memory is used again, so that a
/// node in its stride allocates nothing for symbols.
///
/// The budget counts the symbol memory of all slices, lent and free. When it is spent, `take` answers nil and the owner
/// gives an old slice back first: a retention ring is exactly that. Memory of a slice only grows, to the largest it has
/// held (≤ 57,120 bytes), in steps of 4 KiB, so sizes settle quickly.
///
/// A slice may be given back once and not used afterwards; the pool forgets nothing and checks the count.

public import MillraceBase
public import MillraceWire

public final class SlicePool {
    /// What all slices' symbols may take.
    public let bytesMax: Int
    /// What they take.
    public private(set) var bytes = 0
    /// Slices lent out.
    public private(set) var lentCount = 0
    private var free: [SliceAssembler] = []
    private let payloads: PayloadForm

    public init(bytesMax: Int) {
        self.bytesMax = bytesMax
        payloads = .carried
    }

    /// With payloads by reference the budget is kept as ever, and no memory is taken.
    package init(bytesMax: Int, payloads: PayloadForm) {
        self.bytesMax = bytesMax
        self.payloads = payloads
    }

    /// A slice that collects for `header`, whose signature the caller has verified; `encoded` are the header's bytes.
    /// Nil when the budget is spent.
    public func take(for header: SliceHeader, hash: Hash32, encoded: RawSpan) -> SliceAssembler? {
        take(for: header, hash: hash, encoded: encoded, shared: nil)
    }

    /// `shared`: the same bytes as an array that others hold too.
    func take(
        for header: SliceHeader, hash: Hash32, encoded: RawSpan, shared: [UInt8]?
    ) -> SliceAssembler? {
        guard let slice = take(bytes: SliceAssembler.bytesNeeded(for: header)) else { return nil }
        slice.begin(header: header, hash: hash, encoded: encoded, shared: shared)
        return slice
    }

    public func give(_ slice: SliceAssembler) {
        precondition(lentCount > 0, "more slices given back than were taken")
        lentCount -= 1
        free.append(slice)
    }

    func take(bytes needed: Int) -> SliceAssembler? {
        let rounded = (needed + 4_095) & ~4_095
        if let slice = free.last {
            let growth = max(0, rounded - slice.capacityBytes)
            guard bytes + growth <= bytesMax || makeRoom(growth) else { return nil }
            // `makeRoom` takes free slices from the bottom; this one went if it was the only one left.
            if let last = free.last, last === slice {
                free.removeLast()
                slice.reserve(rounded)
                bytes += growth
                lentCount += 1
                return slice
            }
        }
        guard bytes + rounded <= bytesMax else { return nil }
        let slice = SliceAssembler(payloads)
        slice.reserve(rounded)
        bytes += rounded
        lentCount += 1
        return slice
    }

    /// Drops free slices until `growth` more bytes fit.
    private func makeRoom(_ growth: Int) -> Bool {
        while bytes + growth > bytesMax, !free.isEmpty {
            bytes -= free.removeFirst().capacityBytes
        }
        return bytes + growth <= bytesMax
    }
}

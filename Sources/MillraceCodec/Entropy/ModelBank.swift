/// The adaptive probabilities of one follower, in one block of memory.
///
///     cell    bits 31…10: probability that the next bit is 1, of 2^22
///             bits  9…0:  how often the cell has been used, stopping at `usesMax`
///
/// After a bit, the probability moves towards it by 1 / (uses + 1.5): fast while the cell knows little, slowly later
/// (Spec 30.4.2). Encoder and decoder do the same integer arithmetic, so their banks stay equal.
///
/// The bank is copied before each payload (tens of KiB, some microseconds), so that a payload that fails half-way, or that an
/// encoder gives up, leaves no trace in it.

/// A view of the cells, lent by `ModelBank` to the coders of one payload.
struct Models {
    /// `ModelMap.count` cells, preceded by the table of rates.
    let cells: UnsafeMutablePointer<UInt32>

    @inline(__always)
    func adapt(_ index: Int, cell: UInt32, bit: Bool) {
        let uses = Int(cell & 0x3FF)
        let probability = Int64(cell >> 10)
        let target: Int64 = bit ? 0x3F_FFFF : 0
        let rate = Int64(cells[uses &- ModelBank.rateCount])
        let moved = probability &+ (((target &- probability) &* rate) >> 16)
        cells[index] =
            UInt32(truncatingIfNeeded: moved) << 10
            | UInt32(truncatingIfNeeded: uses &+ (uses < ModelBank.usesMax ? 1 : 0))
    }
}

final class ModelBank {
    static var usesMax: Int { 127 }
    static var rateCount: Int { 128 }

    private let memory: UnsafeMutablePointer<UInt32>
    private let saved: UnsafeMutablePointer<UInt32>
    let models: Models

    init() {
        memory = .allocate(capacity: ModelBank.rateCount + ModelMap.count)
        saved = .allocate(capacity: ModelMap.count)
        saved.initialize(repeating: 0, count: ModelMap.count)
        for uses in 0..<ModelBank.rateCount {
            // 65536 / (uses + 1.5)
            (memory + uses).initialize(to: UInt32(131_072 / (2 * uses + 3)))
        }
        models = Models(cells: memory + ModelBank.rateCount)
        models.cells.initialize(repeating: 1 << 31, count: ModelMap.count)
    }

    deinit {
        memory.deallocate()
        saved.deallocate()
    }

    /// Every probability one half, every cell unused.
    func reset() { models.cells.update(repeating: 1 << 31, count: ModelMap.count) }

    func save() { saved.update(from: models.cells, count: ModelMap.count) }
    func restore() { models.cells.update(from: saved, count: ModelMap.count) }
}

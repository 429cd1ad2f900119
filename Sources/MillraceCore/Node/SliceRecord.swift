/// One slice as a node holds it: the assembler with its symbols, and what repair knows about it.

import MillraceBase
import MillraceWire

final class SliceRecord {
    let key: SliceKey
    let assembler: SliceAssembler
    /// Every shred the slice has.
    let shreds: StripeSet
    let dataCount: Int
    let parityCount: Int
    let firstSeenAt: Instant
    var lastShredAt: Instant
    /// Payload verified (a follower) or made here (the sequencer).
    var isComplete = false

    // Repair (followers only).

    /// Shreds that came by contract; `have` also has what was repaired and re-created.
    var arrived = StripeSet.empty
    /// What the owner has been told of, to forward.
    var told = StripeSet.empty
    /// Data that does not come by contract any more, and how much of it has to be asked for: `Following.balance` says.
    var lost = StripeSet.empty
    var short = 0
    /// Asked for and not yet answered, in any request.
    var inFlight = StripeSet.empty
    /// Parents that answered a request for this slice with MISS, by index.
    var missedBy: UInt64 = 0
    /// Requests for shreds of it that ran out of time.
    var attempts = 0
    /// Parity in hand that `Following.equations` counts.
    var equations = 0
    /// Parents whose part in it has been judged, by index.
    var judgedOf: UInt64 = 0
    /// Parents that sent its header themselves, by index.
    var headerFrom: UInt64 = 0
    /// Fetched by catch-up, so nothing comes by contract.
    var isBacklog = false

    init(assembler: SliceAssembler, now: Instant) {
        self.assembler = assembler
        key = assembler.header.key
        dataCount = Int(assembler.header.dataCount)
        parityCount = Int(assembler.header.parityCount)
        shreds = StripeSet(bits: assembler.allStripes)
        firstSeenAt = now
        lastShredAt = now
    }

    /// Data that is not here.
    var missingData: StripeSet { StripeSet(bits: assembler.missingData) }
    var have: StripeSet { StripeSet(bits: assembler.have) }
}

/// All slices of one payload: a mini-block, or a run of empty ones.
final class HeightEntry {
    let firstHeight: UInt64
    let lastHeight: UInt64
    /// As many as the header of any slice says; nil where the slice's own header is not here.
    var slices: [SliceRecord?]
    private(set) var completeCount = 0
    let createdAt: Instant

    init(header: SliceHeader, now: Instant) {
        firstHeight = header.firstHeight
        lastHeight = header.lastHeight
        slices = Array(repeating: nil, count: Int(header.sliceCount))
        createdAt = now
    }

    var isComplete: Bool { completeCount == slices.count }
    var firstRecord: SliceRecord? {
        for record in slices { if let record { return record } }
        return nil
    }
    var firstHeader: SliceHeader? { slices.lazy.compactMap { $0 }.first?.assembler.header }

    func markComplete(_ record: SliceRecord) {
        if record.isComplete { return }
        record.isComplete = true
        completeCount += 1
    }
}

/// One cadence of a measurement: an encoder and a decoder side by side, each with its own state, from the stream's beginning.
/// Every payload is decoded and compared, and its bytes and times added up once the figures have begun.

import Glibc
import MillraceBase
import MillraceCodec
import MillraceCrypto
import MillraceDiff
import MillraceWire

/// How large a state cold keys are named in; 0: the stream's own.
struct ColdState {
    var accounts = 1 << 27
    var slots = 1 << 30
}

/// Where a core's time goes, the columns apart.
enum Stage: String, CaseIterable {
    case encode
    case encodeAdvance = "encode.advance"
    case decode
    case apply = "decode.apply"
    case decodeAdvance = "decode.advance"

    var isEncoding: Bool { self == .encode || self == .encodeAdvance }
}

/// A block of its own, or the whole stream.
struct UnitTally {
    var name: String
    var transactions: UInt64 = 0
    var rawBytes: UInt64 = 0
    var payloadBytes = 0
    var ratioToRaw: Double { payloadBytes == 0 ? 0 : Double(rawBytes) / Double(payloadBytes) }
}

final class CadenceRun {
    let cadence: Cadence
    private let cold: ColdState
    /// Whether the time of columns is taken too.
    private let isProfiled: Bool
    /// Nil: the base is the stream's own state.
    private var ownBase: State?
    private var follower = State(seed: Seed(2))
    private var encoder = Codec()
    private var decoder = Codec()
    private var isFollowing = false
    private var payload: [UInt8] = []
    private var decoded = StateDiff()

    private(set) var payloads = 0
    private(set) var bridges = 0
    private(set) var transactions: UInt64 = 0
    private(set) var payloadBytes = 0
    private(set) var rawBytes: UInt64 = 0
    private(set) var mergedBytes = 0
    private(set) var changes = 0
    private(set) var largestRatioToMerged = 0.0
    private(set) var ledger = ColumnLedger()
    /// The decoder's columns: time only.
    private(set) var decoderLedger = ColumnLedger()
    /// Of the passes in which columns were timed, in nanoseconds by the same clock.
    private(set) var profiledEncode: Int64 = 0
    private(set) var profiledDecode: Int64 = 0
    private var again: [UInt8] = []
    private var hash = Blake2bStream()
    /// Over all payloads so far, those that are left out of the figures too. Closes the run.
    private(set) lazy var payloadHash: Hash32 = hash.finish()
    private(set) var units: [UnitTally] = []
    private var nanoseconds = [Int64](repeating: 0, count: Stage.allCases.count)

    /// c0 encodes against the stream's state, the others against one of their own, which stands at their window's start.
    init(_ cadence: Cadence, cold: ColdState, isProfiled: Bool) {
        self.cadence = cadence
        self.cold = cold
        self.isProfiled = isProfiled
        if cadence != .c0 { ownBase = State(seed: Seed(3)) }
        if isProfiled {
            ledger.clock = { CadenceRun.wallNow() }
            decoderLedger.clock = { CadenceRun.wallNow() }
        }
    }

    // MARK: Figures

    func nanoseconds(_ stage: Stage) -> Int64 { nanoseconds[Stage.allCases.firstIndex(of: stage) ?? 0] }
    var encodeSeconds: Double { seconds { $0.isEncoding } }
    var decodeSeconds: Double { seconds { !$0.isEncoding } }

    private func seconds(_ isOf: (Stage) -> Bool) -> Double {
        let sum = Stage.allCases.reduce(Int64(0)) { $0 + (isOf($1) ? nanoseconds($1) : 0) }
        return Double(max(sum, 1)) * 1e-9
    }

    private func spend(_ stage: Stage, _ start: Int64, _ end: Int64) {
        nanoseconds[Stage.allCases.firstIndex(of: stage) ?? 0] += end - start
    }

    /// Processor time of this thread: what a core spends, whatever else the machine does.
    static func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    /// The time of day's steady sister, for columns: asking for a thread's own time takes longer than some columns do.
    static func wallNow() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }

    // MARK: The stream

    /// Forgets the state; what follows stands for itself.
    func beginUnit(_ name: String) {
        follower = State(seed: Seed(2))
        if ownBase != nil { ownBase = State(seed: Seed(3)) }
        isFollowing = false
        units.append(UnitTally(name: name))
    }

    /// A genesis diff; the caller applies it to the stream's state.
    func follow(genesis diff: StateDiff) throws {
        if let ownBase { try CadenceRun.apply(diff, to: ownBase) }
        try CadenceRun.apply(diff, to: follower)
    }

    /// Encodes, applies (to the stream's state too, where that is the base), decodes, applies, compares.
    func roundTrip(_ diff: StateDiff, streamState: State, counts: Bool) throws {
        let base = ownBase ?? streamState
        if !isFollowing { beginFollowing(base) }
        let merged = counts ? MergedForm.publishedBytes(diff, state: base) : 0

        payload.removeAll(keepingCapacity: true)
        var diff = diff
        let start = CadenceRun.now()
        encoder.dropCostlyOperations(of: &diff, base: base)
        encoder.encode(diff, base: base, into: &payload)
        let encoded = CadenceRun.now()
        noteInHash(payload)
        if counts { try chargeColumns(diff, base: base) }
        try CadenceRun.apply(diff, to: base)
        let applied = CadenceRun.now()
        encoder.advance(past: diff, state: base)
        let advanced = CadenceRun.now()

        (decoded.firstHeight, decoded.lastHeight) = (diff.firstHeight, diff.lastHeight)
        decoded.sealedAtMicroseconds = diff.sealedAtMicroseconds
        let decodeStart = CadenceRun.now()
        try decode(diff)
        let decodeEnd = CadenceRun.now()
        if counts, isProfiled { try timeDecoder(diff) }
        let applyStart = CadenceRun.now()
        try CadenceRun.apply(decoded, to: follower)
        let followerApplied = CadenceRun.now()
        decoder.advance(past: decoded, state: follower)
        let end = CadenceRun.now()
        guard same(decoded, diff) else {
            throw Failure(.verification, "\(place(diff)): what was decoded is not what was encoded")
        }
        if !counts { return }
        spend(.encode, start, encoded)
        spend(.encodeAdvance, applied, advanced)
        spend(.decode, decodeStart, decodeEnd)
        spend(.apply, applyStart, followerApplied)
        spend(.decodeAdvance, followerApplied, end)
        tally(diff, payloadBytes: payload.count, mergedBytes: merged)
    }

    /// Encodes once more, with the ledger this time: counting bits takes time that the codec is not to blame for.
    private func chargeColumns(_ diff: StateDiff, base: State) throws {
        encoder.takeBack()
        again.removeAll(keepingCapacity: true)
        encoder.ledger = ledger
        encoder.ledger?.beginTiming()
        let start = CadenceRun.wallNow()
        encoder.encode(diff, base: base, into: &again)
        profiledEncode += CadenceRun.wallNow() - start
        if let charged = encoder.ledger { ledger = charged }
        encoder.ledger = nil
        guard again == payload else {
            throw Failure(.verification, "\(place(diff)): encoded twice, its payloads differ")
        }
    }

    /// Its length in eight bytes, lowest first, and the payload.
    private func noteInHash(_ payload: [UInt8]) {
        withUnsafeBytes(of: UInt64(payload.count).littleEndian) { hash.update($0) }
        hash.update(payload)
    }

    private func timeDecoder(_ diff: StateDiff) throws {
        decoder.takeBack()
        decoder.ledger = decoderLedger
        decoder.ledger?.beginTiming()
        let start = CadenceRun.wallNow()
        try decode(diff)
        profiledDecode += CadenceRun.wallNow() - start
        if let charged = decoder.ledger { decoderLedger = charged }
        decoder.ledger = nil
    }

    private func decode(_ diff: StateDiff) throws {
        let payload = payload
        do {
            try decoder.decode(payload.span.bytes, base: follower, into: &decoded)
        } catch {
            throw Failure(.verification, "\(place(diff)): its payload does not decode (\(error))")
        }
    }

    private func tally(_ diff: StateDiff, payloadBytes bytes: Int, mergedBytes merged: Int) {
        payloads += 1
        transactions += diff.transactions
        rawBytes += diff.rawBytes
        mergedBytes += merged
        changes += diff.accountChanges.count + diff.slotChanges.count
        payloadBytes += bytes
        if merged > 0 { largestRatioToMerged = max(largestRatioToMerged, Double(bytes) / Double(merged)) }
        guard !units.isEmpty else { return }
        units[units.count - 1].transactions += diff.transactions
        units[units.count - 1].rawBytes += diff.rawBytes
        units[units.count - 1].payloadBytes += bytes
    }

    /// Keys of before the stream are spread over a state of the size asked for.
    private func beginFollowing(_ base: State) {
        func codec() -> Codec {
            Codec(
                cadence: cadence,
                accounts: IDSpread(
                    known: cold.accounts == 0 ? 0 : base.accountCount, universe: cold.accounts),
                slots: IDSpread(known: cold.slots == 0 ? 0 : base.slotCount, universe: cold.slots))
        }
        encoder = codec()
        decoder = codec()
        isFollowing = true
    }

    private func place(_ diff: StateDiff) -> String {
        let heights =
            diff.isSingle
            ? "mini-block \(diff.lastHeight)" : "mini-blocks \(diff.firstHeight) to \(diff.lastHeight)"
        return units.last.map { "\(heights) of block \($0.name)" } ?? heights
    }

    static func apply(_ diff: StateDiff, to state: State) throws {
        do {
            try state.apply(diff)
        } catch {
            throw Failure(
                .verification, "mini-block \(diff.lastHeight): the state refuses the diff (\(error))")
        }
    }

    /// Equal but for hints and preimages, which a payload may leave behind.
    private func same(_ a: StateDiff, _ b: StateDiff) -> Bool {
        guard a.newSlots.count == b.newSlots.count else { return false }
        for i in a.newSlots.indices where a.newSlots[i].key != b.newSlots[i].key { return false }
        return a.kind == b.kind && a.transactions == b.transactions && a.rawBytes == b.rawBytes
            && a.newCodes == b.newCodes && a.newAccounts == b.newAccounts && a.destroyed == b.destroyed
            && a.accountChanges == b.accountChanges && a.slotChanges == b.slotChanges
    }
}

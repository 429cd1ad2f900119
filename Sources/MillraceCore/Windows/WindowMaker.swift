/// The sequencer's coarser cadences: mini-blocks gathered into aligned windows of 10, 100, 250, 500 and 1,000 heights (Spec
/// 30.15, 40.2).
///
///     payloads    ─▶ windows in parts: what c0 carried, one behind the other
///     mini-blocks ──10──▶ c1 ──25──▶ quarter ──2──▶ half ──2──▶ c3: composed, to be told by values where that is shorter
///     state       ──────── stands at the start of the quarter under way ───────
///
/// Parts cost nothing to make. Values are encoded against a state of this maker's own, for two reasons. By the time a window
/// is whole, the sequencer's state is at the window's end and goes on every 10 ms, while encoding ten seconds of a full stream
/// takes tenths of a second; with a state of its own this work is done on another thread, and no mini-block waits for it. And
/// one state serves all cadences: it follows by whole quarters, and for a coarser window it is taken back to that window's
/// start and forward again, which costs a few nanoseconds per changed cell against hundreds for encoding it. The price is the
/// memory of one more state, at the sequencer only.
///
/// Deterministic: equal diffs give equal payloads, byte for byte, on any machine. Knows no time.
///
/// Bounds: at most 39 composed diffs wait, all within the last 1,000 heights, and the payloads of these five times. A window that
/// no payload can carry is not made: followers take it at a finer cadence.

public import MillraceBase
import MillraceCodec
public import MillraceDiff

/// One window's payload, as it is cut into slices.
public struct WindowPayload: Sendable {
    public var cadence: Cadence
    public var firstHeight: UInt64
    public var lastHeight: UInt64
    /// When the last height was sealed.
    public var sealedAtMicroseconds: UInt64
    public var transactions: UInt64
    public var bytes: [UInt8]
}

public final class WindowMaker {
    /// Finest first: the order in which windows that end together are made.
    public static let cadences: [Cadence] = [.c1, .c2, .quarter, .half, .c3]
    /// Told by its value, a changed cell never took less in any stream: more of them are not worth a try.
    static let bytesPerCellMin = 4
    /// A second holds too few writes of one key for its values to be shorter where operations are told.
    static let finestByValues = Cadence.quarter

    /// A cadence's window under way.
    private struct Tier {
        var cadence: Cadence
        /// Of what it holds; 0: nothing.
        var firstHeight: UInt64 = 0
        /// Diffs of the next finer cadence since the window began.
        var diffs: [StateDiff] = []
        /// The window in parts so far.
        var bytes = WindowForm.emptyParts
        /// Of these, the payloads'.
        var payloadBytes = 0
        var transactions: UInt64 = 0
        /// Popularity at its start; of those that may be told by values.
        var popularity: [UInt8] = []
    }

    private let state: State
    private var tiers = WindowMaker.cadences.map { Tier(cadence: $0) }
    /// Counts what operations name, mini-block by mini-block.
    private let counting = Codec(cadence: .c1)
    /// Encodes values, from what was popular at a window's start.
    private let codec = Codec(cadence: .quarter)
    /// Windows that no payload could carry.
    public private(set) var leftOut = 0

    /// `state` is what the first diff applies to; it is copied.
    public init(state: State) {
        self.state = State(copying: state)
        notePopularity(at: 0)
    }

    /// Takes the next mini-block, as it was told at `c0`, without the operations that its payload left out, and the payload.
    /// Answers the windows that end with it.
    public func add(_ diff: StateDiff, payload: [UInt8]) throws(DiffError) -> [WindowPayload] {
        counting.advance(past: diff, state: state)
        for i in tiers.indices {
            if tiers[i].firstHeight == 0 { tiers[i].firstHeight = diff.firstHeight }
            tiers[i].transactions += diff.transactions
            tiers[i].payloadBytes += payload.count
            // More is not made.
            if tiers[i].bytes.count <= Limits.payloadBytesMax {
                WindowForm.append(payload, to: &tiers[i].bytes)
            }
        }
        var made: [WindowPayload] = []
        var part = Codec.valuesOnly(diff)
        for i in tiers.indices {
            let cadence = tiers[i].cadence
            // A quarter is made of tenths of a second, not of seconds.
            if cadence != .c2 { tiers[i].diffs.append(part) }
            guard diff.lastHeight % cadence.heights == 0 else {
                if cadence == .c2 { continue }
                break
            }
            if cadence != .c2 { part = try WindowMaker.compose(tiers[i].diffs) }
            if let bytes = try end(tiers[i], part, at: diff.lastHeight) {
                made.append(
                    WindowPayload(
                        cadence: cadence, firstHeight: diff.lastHeight - cadence.heights + 1,
                        lastHeight: diff.lastHeight, sealedAtMicroseconds: diff.sealedAtMicroseconds,
                        transactions: tiers[i].transactions, bytes: bytes))
            }
            tiers[i] = Tier(cadence: cadence)
        }
        notePopularity(at: diff.lastHeight)
        return made
    }

    /// Some tiers begin after `height`.
    private func notePopularity(at height: UInt64) {
        guard height % WindowMaker.finestByValues.heights == 0 else { return }
        let popularity = counting.popularityBytes() ?? []
        for i in tiers.indices
        where tiers[i].cadence >= WindowMaker.finestByValues && height % tiers[i].cadence.heights == 0 {
            tiers[i].popularity = popularity
        }
    }

    /// The bytes of a window that ends at `height`, whose diff is `window` where it may be told by values; nil when it is not
    /// made. Takes the state past a quarter.
    private func end(_ tier: Tier, _ window: StateDiff, at height: UInt64) throws(DiffError) -> [UInt8]? {
        let follows = tier.cadence == WindowMaker.finestByValues
        // A stream that is taken up inside a window has no whole one before the next.
        let isWhole = tier.firstHeight == height - tier.cadence.heights + 1
        var bytes = tier.bytes
        if isWhole, WindowMaker.isWorthTrying(tier, window) {
            if !follows { try state.revert(window) }
            let payload = encode(window, tier)
            try state.apply(window)
            codec.advance(past: window, state: state)
            let values = WindowForm.values(
                corrections: codec.popularityCorrections(to: counting, past: window) ?? [], payload: payload)
            // Spec 30.15, rule 2: values take a third of the processor, or less.
            if values.count <= tier.payloadBytes + tier.payloadBytes / 8 { bytes = values }
        } else if follows {
            try state.apply(window)
        }
        guard isWhole else { return nil }
        if bytes.count <= Limits.payloadBytesMax { return bytes }
        leftOut += 1
        return nil
    }

    private static func isWorthTrying(_ tier: Tier, _ window: StateDiff) -> Bool {
        let cells = window.accountChanges.count + window.slotChanges.count
        return tier.cadence >= finestByValues && cells * bytesPerCellMin <= tier.payloadBytes
            && max(window.accountChanges.count, window.slotChanges.count, window.newSlots.count)
                <= CodecLimits.keyCountMax
    }

    /// What followers have at the window's start is known here: the state, and popularity.
    private func encode(_ window: StateDiff, _ tier: Tier) -> [UInt8] {
        let popularity = tier.popularity
        let isJoined = (try? codec.join(popularity: popularity.span.bytes, state: state)) != nil
        precondition(isJoined, "popularity that was counted here is refused")
        codec.change(to: tier.cadence)
        var values: [UInt8] = []
        codec.encode(window, base: state, into: &values)
        return values
    }

    private static func compose(_ parts: [StateDiff]) throws(DiffError) -> StateDiff {
        // By pairs: every change is copied three or four times, and not five as when one part after the other is added.
        var row = parts
        while row.count > 1 {
            var pairs: [StateDiff] = []
            for i in stride(from: 0, to: row.count, by: 2) {
                pairs.append(i + 1 < row.count ? try StateDiff.compose(row[i], row[i + 1]) : row[i])
            }
            row = pairs
        }
        return row[0]
    }
}

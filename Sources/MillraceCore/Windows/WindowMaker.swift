/// The sequencer's coarser cadences: mini-blocks composed into aligned windows of 10, 100 and 1,000 heights, each encoded
/// against the state at its start (Spec 30.2, 40.2).
///
///     mini-blocks ──10──▶ c1 window ──10──▶ c2 window ──10──▶ c3 window
///     state       ──────── stands at the start of the c1 window under way ───────
///
/// The state it encodes against is one of its own, for two reasons. By the time a window is whole, the sequencer's state is
/// at the window's end and goes on every 10 ms, while encoding ten seconds of a full stream takes about two; with a state of
/// its own this work is done on another thread, and no mini-block waits for it. And one state serves all cadences: it
/// follows by whole c1 windows, and for a coarser window it is taken back to that window's start and forward again, which
/// costs a few nanoseconds per changed cell against microseconds for encoding it. The price is the memory of one more
/// state, at the sequencer only.
///
/// Deterministic: equal diffs give equal payloads, byte for byte, on any machine. Knows no time.
///
/// Bounds: at most 30 composed diffs wait, all within the last 1,000 heights. A window that no payload can carry, or whose
/// operations no payload can tell, is not made: followers take it at a finer cadence.

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
    public static let cadences: [Cadence] = [.c1, .c2, .c3]

    private let state: State
    private let codecs: [Codec]
    /// For each cadence the diffs of the next finer one since its window began.
    private var parts: [[StateDiff]] = [[], [], []]
    /// Bytes of the next finer windows since, for c2 and c3.
    private var partBytes = [0, 0, 0]
    /// What a changed cell takes, told by its value: some two bytes of name and six of value.
    static let bytesPerCell = 9
    /// Windows that no payload could carry.
    public private(set) var leftOut = 0

    /// `state` is what the first diff applies to; it is copied.
    public init(state: State) {
        self.state = State(copying: state)
        codecs = WindowMaker.cadences.map { Codec(cadence: $0) }
    }

    /// Takes the next mini-block, as it was told at `c0`: without the operations that its payload left out. Answers the
    /// windows that end with it.
    public func add(_ diff: StateDiff) throws(DiffError) -> [WindowPayload] {
        var made: [WindowPayload] = []
        var part = diff
        // Bytes of the finer windows that make up the one at hand; 0 when not known.
        var finerBytes = 0
        for (i, cadence) in WindowMaker.cadences.enumerated() {
            parts[i].append(part)
            partBytes[i] += finerBytes
            guard part.lastHeight % cadence.heights == 0 else { return made }
            let window = try WindowMaker.compose(parts[i])
            finerBytes = partBytes[i]
            parts[i].removeAll(keepingCapacity: true)
            partBytes[i] = 0
            // The state stands at the start of a c1 window; from there on it is taken back.
            if i > 0 { try state.revert(window) }
            if let payload = try pass(window, cadence, codecs[i], finerBytes: finerBytes) {
                made.append(
                    WindowPayload(
                        cadence: cadence, firstHeight: window.firstHeight, lastHeight: window.lastHeight,
                        sealedAtMicroseconds: window.sealedAtMicroseconds, transactions: window.transactions,
                        bytes: payload))
                finerBytes = payload.count
            } else {
                finerBytes = 0
            }
            part = window
        }
        return made
    }

    /// Encodes the window, applies and passes it. Nil when it is not made.
    private func pass(
        _ window: StateDiff, _ cadence: Cadence, _ codec: Codec, finerBytes: Int
    ) throws(DiffError) -> [UInt8]? {
        // A stream that is taken up inside a window has no whole one before the next.
        let isWhole = window.lastHeight - window.firstHeight == cadence.heights - 1
        let cells = window.accountChanges.count + window.slotChanges.count
        let isByValues = cells * WindowMaker.bytesPerCell < finerBytes / 8 * 7
        let payload = isWhole ? encode(window, codec, isByValues: isByValues) : nil
        try state.apply(window)
        codec.advance(past: window, state: state)
        guard let payload else { return nil }
        // At a window's end no mention waits, so there is always one.
        let popularity = isByValues ? codec.popularityBytes() ?? [] : []
        let bytes = Codec.windowBytes(popularity: popularity, payload: payload)
        if bytes.count <= Limits.payloadBytesMax { return bytes }
        leftOut += 1
        return nil
    }

    /// Nil when no payload can carry the window as finer cadences told it.
    private func encode(_ window: StateDiff, _ codec: Codec, isByValues: Bool) -> [UInt8]? {
        guard
            max(window.accountChanges.count, window.slotChanges.count, window.newSlots.count)
                <= CodecLimits.keyCountMax
        else {
            leftOut += 1
            return nil
        }
        var payload: [UInt8] = []
        codec.encode(isByValues ? Codec.valuesOnly(window) : window, base: state, into: &payload)
        if isByValues {
            // Its operations are counted all the same.
            codec.takeBack()
            return payload
        }
        if !codec.leftOutOperations { return payload }
        codec.takeBack()
        leftOut += 1
        return nil
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

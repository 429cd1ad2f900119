/// The soonest way to the tip on a fast line (`WindowRoute`), from what is here, under way and said to be there; asked for in its
/// order (Spec 60.13, rule 6).
///
/// Bounds: one plan looks at no more than the slices that may be wanted at once, a hundred tenths of a second for each c3 window.

import MillraceBase
import MillraceWire

extension WindowFollowing {
    /// So many heights before its end a window is thought of.
    static let inSightMax: UInt64 = 100
    /// So long, in milliseconds, a line may be idle before a window that is being made.
    static let idleMax: Int64 = 100

    /// What is known of the line and of the processor, where the line carries more than the stream and windows are all there is.
    func route(_ tip: UInt64) -> WindowRoute? {
        let now = endpoint.now
        guard control.mode == .steps, control.told == nil, control.isTakenForFast(now: now) else {
            return nil
        }
        let underWay = fetch.underWay
        let wire = control.bytesPerSecond == 0 ? control.needed * 5 / 2 : control.bytesPerSecond
        return WindowRoute(
            bytesPerMillisecond: Int64(clamping: wire * 16 / CadenceControl.wirePerPayload16 / 1_000),
            perHeight: fetch.pace.perHeight, tip: tip,
            missing: { [unowned self] in missingBytes($0, at: $1, underWay) },
            delay: { [unowned self] in delay($0, at: $1, tip) })
    }

    /// Wants the windows of the soonest way. Answers where they end.
    func follow(
        _ route: WindowRoute, from start: UInt64, _ keys: inout [SliceKey], atMost limit: Int
    ) -> UInt64 {
        var at = start
        // What is asked for comes first, whatever is wanted now.
        var progress = WindowRoute.Progress(
            line: Int64(fetch.outstanding * WireLimits.symbolBytesMax) / max(route.bytesPerMillisecond, 1),
            state: pauseAhead)
        while keys.count < limit {
            var first = Cadence.c1
            var end = at + Cadence.c1.heights
            if let coarsest = WindowRoute.byValues.first(where: { isInSight($0, at: at, route.tip) }) {
                probe(coarsest, at: at, route.tip, &keys)
                first = route.soonest(coarsest, at: at, after: progress).first
                // Decided for a whole quarter.
                end = at + max(first, .quarter).heights
            }
            if first == .c1 {
                while at < end, keys.count < limit {
                    guard let part = part(at: at, route.tip) else { return at }
                    progress = route.parts(part, at: at, after: progress)
                    want(part, at + 1, &keys, atMost: limit)
                    at += part.heights
                }
                continue
            }
            if at == start { (heldAt, heldFor) = (start, first) }
            guard end <= route.tip, let after = route.whole(first, at: at, after: progress) else { return at }
            if let delay = route.delay(first, at), delay > 0 {
                // Rather than nothing, what it is made of: then that may turn out to be sooner here.
                if delay > progress.line + WindowFollowing.idleMax {
                    meanwhile(first, at: at, route, &keys, limit)
                }
                return at
            }
            want(first, at + 1, &keys, atMost: limit)
            progress = after
            at = end
        }
        return at
    }

    /// The window in parts to go on with: a tenth of a second, or a whole one where nobody has that any more.
    func part(at start: UInt64, _ tip: UInt64) -> Cadence? {
        [Cadence.c1, .c2].first {
            start % $0.heights == 0 && start + $0.heights <= tip && !isMissed($0, at: start, finally: false)
        }
    }

    /// The line would be idle until a window is made: wants the coarsest of what it is made of that is there.
    func meanwhile(
        _ cadence: Cadence, at start: UInt64, _ route: WindowRoute, _ keys: inout [SliceKey], _ limit: Int
    ) {
        var at = start
        while at < start + cadence.heights, keys.count < limit {
            let finer = WindowRoute.byValues.first {
                $0 < cadence && at % $0.heights == 0 && at + $0.heights <= route.tip
                    && route.delay($0, at) == 0
            }
            guard let next = finer ?? part(at: at, route.tip) else { return }
            want(next, at + 1, &keys, atMost: limit)
            at += next.heights
        }
    }

    /// It begins here, and is over or will be soon.
    func isInSight(_ cadence: Cadence, at start: UInt64, _ tip: UInt64) -> Bool {
        start % cadence.heights == 0 && start + cadence.heights <= tip + WindowFollowing.inSightMax
            && !isMissed(cadence, at: start, finally: true)
    }

    /// Asks for the first slice of windows that are over and may be made by now.
    func probe(_ coarsest: Cadence, at start: UInt64, _ tip: UInt64, _ keys: inout [SliceKey]) {
        for cadence in WindowRoute.byValues where cadence <= coarsest {
            guard start % cadence.heights == 0, start + cadence.heights <= tip,
                store.entry(cadence, start + 1) == nil, !isMissed(cadence, at: start, finally: false),
                Int64(clamping: tip - start - cadence.heights) * 10 < WindowFollowing.encoding(cadence) * 2
            else { continue }
            keys.append(SliceKey(firstHeight: start + 1, cadence: cadence, index: 0))
        }
    }

    /// What encoding is taken to last, in milliseconds: a twelfth of a window told by values.
    static func encoding(_ cadence: Cadence) -> Int64 {
        cadence >= .quarter ? cadence.span.milliseconds / 12 : 0
    }

    func delay(_ cadence: Cadence, at start: UInt64, _ tip: UInt64) -> Int64? {
        if store.entry(cadence, start + 1) != nil { return 0 }
        let last = start + cadence.heights
        let ahead = last > tip ? Int64(clamping: last - tip) : -Int64(clamping: tip - last)
        let made = min(max(ahead * 10 + WindowFollowing.encoding(cadence), 0), 1_000_000)
        let miss = missed.first { $0.cadence == cadence && $0.first == start + 1 }
        if miss?.isFinal ?? false { return nil }
        let delay = max(made, miss.map { ($0.until - endpoint.now).milliseconds } ?? 0)
        return delay == 0 ? 0 : max(delay, pauseAhead)
    }

    func missingBytes(
        _ cadence: Cadence, at start: UInt64,
        _ underWay: [(cadence: Cadence, firstHeight: UInt64, shreds: Int)]
    ) -> Int64 {
        let coming = underWay.first { $0.cadence == cadence && $0.firstHeight == start + 1 }?.shreds ?? 0
        guard let entry = store.entry(cadence, start + 1), let header = entry.firstHeader else {
            return max(Int64(clamping: guessedBytes(cadence)) - Int64(coming * WireLimits.symbolBytesMax), 0)
        }
        if entry.isComplete { return 0 }
        let all = max(entry.slices.count * Int(header.dataCount), 1)
        return Int64(entry.payloadBytes / all) * Int64(max(all - shredsHere(entry) - coming, 0))
    }

    func guessedBytes(_ cadence: Cadence) -> UInt64 {
        if let bytes = latestBytes[Int(cadence.rawValue)] { return bytes }
        let parts = control.bytesPerHeight256 * cadence.heights / 256
        // Of each doubling about a fifth is saved.
        switch cadence {
        case .c0, .c1, .c2: return parts
        case .quarter: return parts * 13 / 16
        case .half: return parts * 10 / 16
        case .c3: return parts * 8 / 16
        }
    }

    /// Data shreds of it, since many slices are under way at once.
    func shredsHere(_ entry: WindowEntry) -> Int {
        var here = 0
        for case let record? in entry.slices {
            here += Int(record.assembler.header.dataCount) - record.assembler.missingCount
        }
        return here
    }
}

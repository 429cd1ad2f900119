/// Which windows bring a replica on soonest, on a line that carries the stream: what each takes of the line and of the processor,
/// and when it can be had. Pure; integers only; knows no peers.
///
///     line       ───c3───┤──────half──────┤┄┄┄┄ idle ┄┄┄┄┤──quarter──┤
///     processor          ├─c3─┤           ├─half─┤                   ├─quarter─┤
///                                            a quarter is over at ──▶ and encoded: is it worth waiting for, or are the
///                                            tenths of a second that it is made of sooner here?
///
/// A window is compared with the finer ones of the same stretch, by when the state would be at its end. It may be over or not,
/// known to be there or not, and partly here; so may they. On a fast line waiting is dear and the processor counts, on a slow one
/// bytes do; no rule with fixed times holds for both.

import MillraceBase

struct WindowRoute {
    /// When the line is free and where the state would be at the end of what was looked at, in milliseconds from now.
    struct Progress: Equatable {
        var line: Int64 = 0
        var state: Int64 = 0
    }

    /// Windows told by values, the coarsest first.
    static let byValues: [Cadence] = [.c3, .half, .quarter]

    /// What the line brings of payload.
    var bytesPerMillisecond: Int64
    /// What applying takes, in µs a height.
    var perHeight: (values: Int64, parts: Int64)
    var tip: UInt64
    /// Bytes of a window that are not here.
    var missing: (Cadence, _ start: UInt64) -> Int64
    /// In how many milliseconds it can be asked for; nil when it will not be made.
    var delay: (Cadence, _ start: UInt64) -> Int64?

    /// The next finer cadence told by values.
    static func half(of cadence: Cadence) -> Cadence? {
        cadence == .c3 ? .half : cadence == .half ? .quarter : nil
    }

    /// The window of this cadence, taken as it is.
    func whole(_ cadence: Cadence, at start: UInt64, after before: Progress) -> Progress? {
        guard let delay = delay(cadence, start) else { return nil }
        let line = max(before.line, delay) + missing(cadence, start) / max(bytesPerMillisecond, 1)
        let state = max(before.state, line) + Int64(cadence.heights) * perHeight.values / 1_000
        return Progress(line: line, state: state)
    }

    /// Tenths of a second, up to the end of this window.
    func parts(_ cadence: Cadence, at start: UInt64, after before: Progress) -> Progress {
        var bytes: Int64 = 0
        var at = start
        while at < start + cadence.heights {
            bytes += missing(.c1, at)
            at += Cadence.c1.heights
        }
        let line = max(
            before.line + bytes / max(bytesPerMillisecond, 1), delay(.c1, at - Cadence.c1.heights) ?? 0)
        // Each is applied while the next one comes.
        let work = Int64(cadence.heights) * perHeight.parts / 1_000
        let last = Int64(Cadence.c1.heights) * perHeight.parts / 1_000
        return Progress(line: line, state: max(max(before.state, before.line) + work, line + last))
    }

    /// The soonest way over the stretch of this window, and the cadence it begins with: the window itself, one of those told by
    /// values that it is made of, or c1.
    func soonest(_ cadence: Cadence, at start: UInt64, after before: Progress) -> (
        first: Cadence, Progress
    ) {
        var best: (first: Cadence, Progress)
        if let half = WindowRoute.half(of: cadence) {
            let first = soonest(half, at: start, after: before)
            best = (first.first, soonest(half, at: start + half.heights, after: first.1).1)
        } else {
            best = (.c1, parts(cadence, at: start, after: before))
        }
        if let whole = whole(cadence, at: start, after: before), whole.state <= best.1.state {
            best = (cadence, whole)
        }
        return best
    }
}

/// Parents say that they serve windows, and none has come yet: how long the first one is waited for, as if they had (Spec 60.13).
///
///     tried ──half a second──▶ not tried ──ten seconds──▶ tried
///       └── mini-blocks that were asked for go first: while any are to come, up to three seconds
///
/// On a full line mini-blocks would always go before windows; so a trial that brought nothing is not made again at once.

import MillraceBase

struct WindowTrial {
    static let usual = Interval.milliseconds(500)
    static let most = Interval.seconds(3)
    static let again = Interval.seconds(10)

    private var until: Instant?
    private var began = Instant.zero

    /// Whether windows are waited for now. `isBehindOthers`: what was asked for before goes first.
    mutating func isOn(isBehindOthers: Bool, now: Instant) -> Bool {
        if until.map({ now >= $0 + WindowTrial.again }) ?? true {
            began = now
            until = now + WindowTrial.usual
        }
        guard let until, now < until else { return false }
        if isBehindOthers { self.until = min(now + WindowTrial.usual, began + WindowTrial.most) }
        return true
    }

    /// Nothing is wanted any more: the next one begins anew.
    mutating func end() { until = nil }
}

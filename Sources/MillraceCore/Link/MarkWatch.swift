/// What routers' marks say (Spec 55.4, rule 11): a queue has stood in one of them for longer than a burst. A mark is believed for
/// a round trip and a little, which is when what was done about it shows, and when the next would have come.
///
/// A way that marks most of what passes while nothing waits anywhere marks for its own reasons, or somebody on it does: then
/// marks say nothing for a minute, so that such a way costs a sender its speed for a second and not for ever.

import MillraceBase

struct MarkWatch {
    /// A router that marks one datagram does so again within 100 ms while the queue stands (RFC 8289's interval).
    static let memory = Interval.milliseconds(100)
    static let datagramsOfDoubt: Int64 = 512
    static let distrust = Interval.seconds(60)

    private var fullUntil = Instant.zero
    private var distrustedUntil = Instant.zero
    /// Since the last judgement.
    private var received: Int64 = 0
    private var marked: Int64 = 0
    private var sawQueue = false

    /// A queue stands, by what was marked lately.
    func saysFull(now: Instant) -> Bool { now < fullUntil }

    /// `isShort`: by its delays the report shows no queue.
    mutating func note(_ report: LinkReport, isShort: Bool, roundTrip: Interval, now: Instant) {
        if report.datagramsMarked <= 0, marked == 0 { return }
        received += max(report.datagramsReceived, 0)
        marked += max(report.datagramsMarked, 0)
        sawQueue = sawQueue || !isShort
        if received >= MarkWatch.datagramsOfDoubt {
            if marked * 2 > received, !sawQueue {
                distrustedUntil = now + MarkWatch.distrust
                fullUntil = .zero
            }
            (received, marked, sawQueue) = (0, 0, false)
        }
        if report.datagramsMarked > 0, now >= distrustedUntil {
            fullUntil = now + roundTrip + MarkWatch.memory
        }
    }
}

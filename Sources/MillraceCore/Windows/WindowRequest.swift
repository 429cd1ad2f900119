/// One request for a slice of a window, or a part of it, as its asker sees it: what is still to come, and when that is lost
/// (Spec 60.13, rule 5). Pure: told of answers and of time by `WindowFetch`.
///
///     sent ──repeated once, where datagrams are lost──▶ answered ──▶ all of it here
///       │                                                 │ past what is missing: 20 ms of reordering
///       ├── nothing for a patience ──▶ lost ◀─────────────┤ nothing at all of that parent for a pause
///       └── a later request of the parent is answered: 20 ms, and as long as answers take ──▶ lost
///
/// A parent answers lower heights first, those of one height in the order of requests, each in a row from the lowest shred on,
/// but for what it has to fetch itself first.

import MillraceBase
import MillraceWire

struct WindowRequest {
    /// When a later request is being answered, or a later shred of this one, so much reordering is forgiven.
    static let tolerance = Interval.milliseconds(20)
    /// Where datagrams are lost, a request goes a second time so much later: in another datagram, before it could be answered.
    static let repeatAfter = Interval.milliseconds(8)

    let key: SliceKey
    let parent: Int
    let withHeader: Bool
    let sentAt: Instant
    let order: UInt64
    /// Still expected.
    private(set) var shreds: StripeSet
    /// Shreds still to come, as far as known.
    private(set) var outstanding: Int
    private(set) var deadline: Instant
    private(set) var isAnswered = false
    private(set) var overtakenAt: Instant?
    private var isRepeated = false

    init(
        _ key: SliceKey, _ shreds: StripeSet, withHeader: Bool, of parent: Int, outstanding: Int,
        order: UInt64,
        sentAt: Instant, deadline: Instant
    ) {
        self.key = key
        self.parent = parent
        self.withHeader = withHeader
        self.sentAt = sentAt
        self.order = order
        self.shreds = shreds
        self.outstanding = outstanding
        self.deadline = deadline
    }

    /// A shred of it came. `missing` is what the slice lacks without it; nil while its header is not here, which says how many
    /// there are. Answers whether it is the first.
    mutating func answered(_ index: Int, missing: StripeSet?, now: Instant) -> Bool {
        let isFirst = !isAnswered
        isAnswered = true
        if shreds.contains(index) {
            shreds.remove(index)
            outstanding = max(0, outstanding - 1)
        }
        if let rest = missing?.intersection(shreds), !rest.isEmpty, rest.bits >> UInt64(index) == 0 {
            overtakenAt = overtakenAt ?? now
        }
        return isFirst
    }

    /// A shred of `other`, of the same parent, came: what a parent sends goes on as long as it sends. `pause` is how long an
    /// answer that has begun is waited for, `patience` any other.
    mutating func hears(of other: WindowRequest, patience: Interval, pause: Interval, now: Instant) {
        if overtakenAt != nil { return }
        deadline = isAnswered && pause < patience ? now + pause : max(deadline, now + patience)
        if order < other.order, key.firstHeight <= other.key.firstHeight { overtakenAt = now }
    }

    /// Of one without an answer, the parent may have to fetch the slice first: as long as answers take lately.
    func isLost(latest: Interval, now: Instant) -> Bool {
        guard let overtakenAt else { return now >= deadline }
        return now - overtakenAt >= WindowRequest.tolerance + (isAnswered ? .zero : latest)
    }

    /// Whether it is to be sent a second time now; then it is taken to be.
    mutating func repeats(now: Instant) -> Bool {
        if isAnswered || isRepeated || now - sentAt < WindowRequest.repeatAfter { return false }
        isRepeated = true
        return true
    }

    /// Nobody listened for so long: what came meanwhile is still to be taken from the socket.
    mutating func stoodStill(for interval: Interval) {
        deadline = deadline + interval
        overtakenAt = overtakenAt.map { $0 + interval }
    }
}

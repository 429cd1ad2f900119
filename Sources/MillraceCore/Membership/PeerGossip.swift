/// What one session has said and been told about membership, and what it may still ask (Spec 65.4, 65.6).

import MillraceBase
import MillraceWire

struct PeerGossip {
    /// We dialled its address for the tables' sake, then.
    var dialledAt: Instant?
    /// Its address is proven to be where it listens: we reached it there, or it came from where its record says.
    var isReached = false

    // What it told.

    /// How far it is from the sequencer; nil: it has no stream, or has not said.
    var hops: UInt8?
    var childrenFree: UInt16 = 0
    var hasToldPlace = false
    /// Of its own record; 0 for none yet.
    var recordIssuedAt: UInt64 = 0
    /// It refused a contract: it is no candidate before then.
    var refusedUntil = Instant.zero

    // What it was told.

    var toldRecordIssuedAt: UInt64 = 0
    var toldHops: UInt8?
    var toldChildrenFree: UInt16?

    // Peer exchange.

    /// Our latest request, while its answer may come.
    var request: UInt16?
    var hasEverAsked = false
    var nextAskAt = Instant.zero
    var answers = GossipBudget(MembershipLimits.answersMax)
    var records = GossipBudget(MembershipLimits.recordsMax)
    /// Requests beyond the budget.
    var surplus = 0
}

/// So many at once, then one per interval.
struct GossipBudget {
    private var left: Int
    private let most: Int
    private var refilledAt = Instant.zero

    init(_ most: Int) {
        self.most = most
        left = most
    }

    mutating func take(now: Instant) -> Bool {
        let interval = MembershipLimits.answerInterval.nanoseconds
        let due = (now - refilledAt).nanoseconds / interval
        if due > 0 {
            left = Int(min(Int64(most), Int64(left) + min(due, Int64(most))))
            refilledAt = now
        }
        guard left > 0 else { return false }
        left -= 1
        return true
    }
}

/// One parent, configured or found: its session, its contract, and whether it keeps it.
///
///     down ──connect──▶ connecting ──established──▶ up ──closed, or nothing heard──▶ down (backoff) ─▶ …
///                                                   │ ▲
///                                   silent on its   ▼ │ probation over
///                                   stripes       silent
///
/// `silent` keeps the session: the parent still answers requests, but it is owed no stripe until it has been quiet for a
/// probation that doubles with every lapse.

import MillraceBase
import MillraceCrypto
import MillraceWire

struct ParentLink {
    enum State: Equatable {
        case down(until: Instant)
        case connecting(since: Instant)
        case up
        /// Owed nothing until then.
        case silent(until: Instant)
    }

    static let connectTimeout = Interval.seconds(2)
    static let backoffMin = Interval.milliseconds(250)
    static let backoffMax = Interval.seconds(5)
    static let probationMin = Interval.seconds(2)
    static let probationMax = Interval.seconds(64)
    static let leaseMilliseconds: UInt32 = 10_000

    let endpoint: PeerEndpoint
    /// Found at run time (`Membership`), and so replaceable.
    var isDiscovered = false
    /// No parent but a *neighbour*: it tells how far it is, has no contract and owes nothing, and is asked for what parents do
    /// not give (Spec 60.6, rule 7).
    var isNeighbour = false
    /// What we may ask of it then.
    var allowance = RepairAllowance()
    /// Removed then: the place is kept until nothing names it any more.
    var retiredAt: Instant?
    var state: State = .down(until: .zero)
    var session: SessionID?
    var connectFailures = 0

    // The contract.

    /// Serial of the latest SUBSCRIBE, and of the latest ACCEPT.
    var serial: UInt32 = 0
    var acceptedSerial: UInt32 = 0
    var acceptedAt: Instant = .zero
    var askedAt: Instant = .zero
    var renewAt: Instant = .zero
    var subscribeAttempts = 0
    var stripes = StripeSet.empty
    /// And of parity only what `StripeSet.sparing` says.
    var sparesParity = false
    var headers = HeaderTerms.none

    // Forged, or of another history?

    struct Dispute: BitwiseCopyable {
        var key: SliceKey
        var until: Instant
        var shreds: Int
    }
    /// Shreds of it that others' headers refute, while it is asked for its own.
    var dispute: Dispute?
    /// It was asked once; there is no second time in one session.
    var isDisputed = false
    static let disputedMax = 64

    // Does it keep it?

    /// Its score says that others should have its stripes, if they can (Spec 66.7).
    var isDeferred = false

    /// It is to show first that it gives anything (`ParentWatch`): since when, and what it gave.
    var isOnTrial = false
    var trialSince: Instant = .zero
    var trialShreds = 0
    /// It has given shreds by contract.
    var hasDelivered = false
    /// Since when it owes shreds of every slice, and from which height on; since when it owes headers, when it last sent one, and
    /// how many others sent since.
    var owesShredsSince: Instant?
    var owesFrom: UInt64 = 0
    var owesHeadersSince: Instant?
    var lastHeaderAt: Instant = .zero
    var headersUnheard = 0
    /// When a request to it last ran out of time, and how many did since it answered one.
    var unansweredAt: Instant = .zero
    var unanswered = 0
    var lastAnswerAt: Instant = .zero

    /// Slices and shreds it owed since it last sent one, and since when.
    var owedSlices = 0
    var owedShreds = 0
    var owedSince: Instant?
    /// Nothing is held against it before this.
    var graceUntil: Instant = .zero
    var lapses = 0
    var lastShredAt: Instant = .zero
    /// When it last answered a request: answers come before what contracts owe.
    var answeredAt: Instant = .zero
    /// When it last answered a request for heights: these answers come last, one request after the other.
    var broughtHeightsAt: Instant = .zero
    /// The highest height that came in answer to the latest of those requests that is answered, and when that was sent.
    var brought: (height: UInt64, sentAt: Instant) = (0, .zero)
    /// When it last said that it dropped what it owed.
    var refusedAt: Instant?
    /// The most advanced shred it sent by contract, that of the last checkpoint, and the one before: shreds of its
    /// stripes up to `passed` are lost, not late.
    var progress = StreamPosition.none
    var checkpoint = StreamPosition.none
    var passed = StreamPosition.none
    var checkpointAt: Instant = .zero

    init(endpoint: PeerEndpoint) { self.endpoint = endpoint }

    var isRetired: Bool { retiredAt != nil }
    var isUsable: Bool { state == .up && !isRetired && !isOnTrial && !isNeighbour }
    /// It has a session: it can be asked.
    var isConnected: Bool {
        switch state {
        case .up, .silent: true
        case .down, .connecting: false
        }
    }
    /// A neighbour that was found: a parent's place is the next thing it is for.
    var isStandby: Bool { isNeighbour && isDiscovered && !isRetired }
    /// It has one, and could have a contract.
    var isParent: Bool { isConnected && !isNeighbour }

    /// A shred came by contract. Answers whether the parent is on trial.
    mutating func delivered(_ position: StreamPosition, now: Instant) -> Bool {
        lastShredAt = now
        hasDelivered = true
        resetDebt()
        if position > progress { progress = position }
        return isOnTrial
    }

    /// A height came in answer to a request for heights.
    mutating func noteBrought(_ height: UInt64, askedAt: Instant, now: Instant) {
        broughtHeightsAt = now
        if askedAt > brought.sentAt || askedAt == brought.sentAt && height > brought.height {
            brought = (height, askedAt)
        }
    }

    mutating func resetDebt() {
        owedSlices = 0
        owedShreds = 0
        owedSince = nil
    }

    var probation: Interval {
        min(ParentLink.probationMin * Int64(1 << min(lapses, 5)), ParentLink.probationMax)
    }

    var backoff: Interval {
        min(ParentLink.backoffMin * Int64(1 << min(connectFailures, 5)), ParentLink.backoffMax)
    }
}

/// A place in the order in which a parent sends: height, slice, shred.
struct StreamPosition: Comparable, BitwiseCopyable {
    var height: UInt64
    /// Slice index and shred index, one behind the other.
    var place: UInt32

    static let none = StreamPosition(height: 0, place: 0)

    init(height: UInt64, place: UInt32) {
        self.height = height
        self.place = place
    }

    init(_ key: SliceKey, shred: Int) {
        height = key.firstHeight
        place = UInt32(key.index) << 8 | UInt32(truncatingIfNeeded: shred)
    }

    static func < (a: StreamPosition, b: StreamPosition) -> Bool {
        a.height != b.height ? a.height < b.height : a.place < b.place
    }
}

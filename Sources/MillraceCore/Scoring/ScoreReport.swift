/// A peer's score as operators see it: every term with its value, its unit and the points it gives (Spec 66.2).

/// What a score leads to, the worse the later.
public enum PeerStanding: UInt8, Sendable, BitwiseCopyable, Hashable, CaseIterable {
    case good
    /// Its stripes go to a better parent when there is one.
    case deferred
    /// It is owed nothing until its score has faded; it may still be asked.
    case probation
    /// The session is closed, and its key is refused for a time.
    case banned

    public var name: String {
        switch self {
        case .good: "good"
        case .deferred: "deferred"
        case .probation: "probation"
        case .banned: "banned"
        }
    }
}

public struct ScoreReport: Hashable, Sendable, BitwiseCopyable {
    /// One term: what was measured, and how many points it gives.
    public struct Term: Hashable, Sendable, BitwiseCopyable {
        public var value: Int64 = 0
        public var points: Int = 0
        public init(value: Int64 = 0, points: Int = 0) {
            self.value = value
            self.points = points
        }
    }

    public var standing = PeerStanding.good
    public var points = 0
    public var withheldFast = Term()
    public var withheldSlow = Term()
    public var forged = Term()
    public var broken = Term()
    public var flood = Term()
    public var lapses = Term()
    public var short = Term()
    public var excessLoss = Term()
    public var late = Term()
    public var unanswered = Term()
    public var useful = Term()
    public var colocated = Term()
    /// The wire's own loss on the way from this peer, in a thousand: shown, and no term.
    public var lossPerMille = 0
    /// Bytes of shreds and headers from it that were not what the sequencer signed, since it is known.
    public var forgedBytes: UInt64 = 0

    public init() {}

    /// Terms by name, in the order of Spec 66.2; the unit ends the name.
    public var terms: [(name: String, term: Term)] {
        [
            ("withheldFastPerMille", withheldFast), ("withheldSlowPerMille", withheldSlow),
            ("forgedMilli", forged), ("brokenPromisesPerMille", broken), ("floodFrames", flood),
            ("lapsesMilli", lapses), ("shortPerMille", short), ("excessLossPerMille", excessLoss),
            ("lateMicroseconds", late), ("unansweredPerMille", unanswered),
            ("usefulRepairsPerMille", useful), ("colocatedPeers", colocated),
        ]
    }
}

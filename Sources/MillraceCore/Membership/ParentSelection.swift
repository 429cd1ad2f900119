/// Whom of the peers at hand to take as a parent: a pure function of what is known about them (Spec 65.7).
///
/// Promises: no subnet gets more than its share of the seats, however many peers it offers. A relay takes only what is nearer to
/// the sequencer than itself, and of that the nearest, so that contracts form no loop and the tree stays flat; a relay with one
/// parent may take a second that is as far as itself, if that one's key is the smaller, which cannot go round in a circle
/// either. A replica, which nobody follows, takes any: it draws, because a claim to be near costs nothing.

import MillraceBase
import MillraceCrypto
import MillraceWire

struct ParentCandidate: BitwiseCopyable {
    var key: PublicKey
    var group: SubnetGroup
    /// As it told.
    var hops: UInt8
    /// It is a neighbour already.
    var isNeighbour = false
}

struct ParentSelection {
    var wanted: Int
    /// What this node tells of itself; nil without a stream. Only a relay has one.
    var ownHops: UInt8?
    var isRelay: Bool
    var ownKey: PublicKey
    /// Of the seats taken by peers that were found, the configured ones left out: an operator's choice has no share.
    var groups: [SubnetGroup]
    /// Seats taken in all.
    var taken: Int

    var perGroup: Int { MembershipLimits.parentsPerGroup(of: wanted) }

    func hasShare(_ group: SubnetGroup) -> Bool { groups.count { $0 == group } < perGroup }

    /// Whether this node may stand below it.
    func mayFollow(_ candidate: ParentCandidate) -> Bool {
        guard candidate.hops < FrameLimits.hopsMax else { return false }
        guard isRelay, let ownHops else { return true }
        if candidate.hops == ownHops { return taken == 1 && candidate.key < ownKey }
        return candidate.hops < ownHops
    }

    /// The next to take; nil when the seats are full or nobody fits.
    func next(of candidates: [ParentCandidate], _ generator: inout SecretStream) -> ParentCandidate? {
        guard taken < wanted else { return nil }
        var fitting = candidates.filter { hasShare($0.group) && mayFollow($0) }
        if isRelay, let nearest = fitting.map(\.hops).min() { fitting.removeAll { $0.hops > nearest } }
        if fitting.isEmpty { return nil }
        return fitting[Int(generator.next() % UInt64(fitting.count))]
    }
}

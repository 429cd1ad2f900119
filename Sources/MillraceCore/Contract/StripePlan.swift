/// Which parent sends which stripe: a pure function of the parents that can be used (Spec 60.4, rule 5).
///
/// Data stripe i goes to usable parent i mod n, so that every parent has the same share whatever K is (runs would leave
/// the last parents idle: at 100,000 TPS a slice has about 27 of its 32 data stripes). Parity stripes are dealt from the
/// other end. The first two usable parents also send headers: a lost header would block a whole slice, and
/// who hears two hears of two histories. Where losses come in bursts, the second sends each once more, later.

import MillraceBase
import MillraceWire

struct StripePlan: Equatable {
    static let headerParents = 2

    /// Stripes by parent index; empty for parents that are not usable.
    private(set) var stripes: [StripeSet]
    private(set) var headers: [HeaderCopies]
    /// The parent of each stripe; -1 for stripes nobody sends.
    private(set) var owner: [Int8]

    init(usable: [Bool], parityStripes: Int, sendsHeadersAgain: Bool = false) {
        stripes = Array(repeating: .empty, count: usable.count)
        headers = Array(repeating: [], count: usable.count)
        owner = Array(repeating: -1, count: StripeSet.stripesMax)
        let parents = usable.indices.filter { usable[$0] }
        if parents.isEmpty { return }
        for stripe in 0..<StripeSet.dataStripesMax { assign(stripe, to: parents[stripe % parents.count]) }
        let parity = min(max(parityStripes, 0), StripeSet.parityStripesMax)
        for j in 0..<parity {
            assign(StripeSet.dataStripesMax + j, to: parents[parents.count - 1 - j % parents.count])
        }
        for parent in parents.prefix(StripePlan.headerParents) { headers[parent] = .first }
        if sendsHeadersAgain { headers[parents[min(1, parents.count - 1)]].insert(.later) }
    }

    private mutating func assign(_ stripe: Int, to parent: Int) {
        stripes[parent].insert(stripe)
        owner[stripe] = Int8(parent)
    }
}

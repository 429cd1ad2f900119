/// Which parent sends which stripe: a pure function of the parents that can be used (Spec 60.4, rule 5).
///
/// Data stripe i goes to usable parent i mod n, so that every parent has the same share whatever K is (runs would leave
/// the last parents idle: at 100,000 TPS a slice has about 27 of its 32 data stripes). Parity stripes are dealt from the
/// other end. One parent also sends headers, as soon as it has them; the next one sends sums of headers, from which a lost one
/// comes back (`HeaderSum`): a lost header would block a whole slice. With one parent, it sends both.

import MillraceBase
import MillraceWire

struct StripePlan: Equatable {
    /// Stripes by parent index; empty for parents that are not usable.
    private(set) var stripes: [StripeSet]
    private(set) var headers: [HeaderTerms]
    /// The parent of each stripe; -1 for stripes nobody sends.
    private(set) var owner: [Int8]

    /// `turn` says which of the usable parents sends headers, in turn.
    init(usable: [Bool], parityStripes: Int, turn: Int = 0, sumEvery: UInt8 = 0) {
        stripes = Array(repeating: .empty, count: usable.count)
        headers = Array(repeating: .none, count: usable.count)
        owner = Array(repeating: -1, count: StripeSet.stripesMax)
        let parents = usable.indices.filter { usable[$0] }
        if parents.isEmpty { return }
        for stripe in 0..<StripeSet.dataStripesMax { assign(stripe, to: parents[stripe % parents.count]) }
        let parity = min(max(parityStripes, 0), StripeSet.parityStripesMax)
        for j in 0..<parity {
            assign(StripeSet.dataStripesMax + j, to: parents[parents.count - 1 - j % parents.count])
        }
        let first = parents[turn % parents.count]
        let second = parents[(turn + 1) % parents.count]
        headers[first] = HeaderTerms(atOnce: true, sumEvery: first == second ? sumEvery : 0)
        if first != second { headers[second] = HeaderTerms(sumEvery: sumEvery) }
    }

    private mutating func assign(_ stripe: Int, to parent: Int) {
        stripes[parent].insert(stripe)
        owner[stripe] = Int8(parent)
    }
}

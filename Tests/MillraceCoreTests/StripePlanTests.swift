/// Which parent has which stripe, and that nothing moves without need.

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Suite struct StripePlanTests {
    private typealias Standing = StripePlan.Standing

    private func owners(_ plan: StripePlan, _ stripes: Range<Int>) -> [Int] {
        stripes.map { Int(plan.owner[$0]) }
    }

    @Test func `parents that give have equal shares of any slice`() {
        for n in 1...16 {
            let plan = StripePlan(Array(repeating: .giving, count: n), parityStripes: 4)
            for k in 0...32 {
                let shares = (0..<n).map { parent in owners(plan, 0..<k).count { $0 == parent } }
                #expect((shares.max() ?? 0) - (shares.min() ?? 0) <= 1, "\(n) parents, \(k) shreds")
            }
            #expect(plan.headers[0].atOnce)
        }
    }

    @Test func `a parent that falls silent loses its stripes to those that give, and no other stripe moves`()
    {
        var standings = Array(repeating: Standing.heard, count: 8)
        (standings[0], standings[1], standings[7]) = (.giving, .giving, .giving)
        let before = StripePlan(standings, parityStripes: 1, sumEvery: 2)
        standings[1] = .unusable
        let after = StripePlan(standings, parityStripes: 1, sumEvery: 2, after: before)
        for stripe in 0..<48 where before.owner[stripe] != 1 {
            #expect(after.owner[stripe] == before.owner[stripe], "stripe \(stripe)")
        }
        for stripe in 0..<32 where before.owner[stripe] == 1 {
            #expect([0, 7].contains(after.owner[stripe]), "stripe \(stripe)")
        }
        #expect(after.headers[0] == before.headers[0])
        #expect(after.headers[7].sumEvery == 2)
        // It has its share again when it can be asked again.
        standings[1] = .giving
        let restored = StripePlan(standings, parityStripes: 1, sumEvery: 2, after: after)
        #expect(restored.owner == before.owner)
    }

    @Test func `what nobody has heard of for a while goes to somebody who is heard`() {
        let before = StripePlan([.heard, .heard, .giving], parityStripes: 0)
        let standings: [Standing] = [.heard, .unheard, .giving]
        #expect(before.isDoubtful(standings))
        let after = StripePlan(standings, parityStripes: 0, after: before)
        #expect(!after.isDoubtful(standings))
        #expect(after.stripes[1].isEmpty && after.headers[1].isEmpty)
        // Where nobody is heard, nobody is better than another.
        let silence: [Standing] = [.unheard, .unheard, .unheard]
        #expect(!before.isDoubtful(silence))
        #expect(
            owners(StripePlan(silence, parityStripes: 0, after: before), 0..<32) == owners(before, 0..<32))
    }

    @Test func `headers go to the next parent when it is its turn`() {
        let standings: [Standing] = [.giving, .giving, .giving]
        let first = StripePlan(standings, parityStripes: 0, sumEvery: 4)
        let second = StripePlan(standings, parityStripes: 0, turn: 1, sumEvery: 4, after: first)
        #expect(second.headers[1].atOnce && second.headers[2].sumEvery == 4)
        // One that is gone has no place in the order, one that cannot be used keeps it.
        let gone = StripePlan([.gone, .giving, .giving], parityStripes: 0)
        #expect(owners(gone, 0..<4) == [1, 2, 1, 2])
        let nobody = StripePlan([.gone, .unusable], parityStripes: 2).stripes
        #expect(nobody == [.empty, .empty])
    }
}

/// Shreds that wait for their header, and of whom that is asked (Spec 60.5, rule 4; 60.6, rule 4).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Suite struct EarlyShredsTests {
    private let key = SliceKey(firstHeight: 7, index: 0)
    private let start = Instant.zero + .seconds(1)

    @Test func `a parent without a header is not asked for it again before the others were`() throws {
        let early = EarlyShreds(payloads: .carried)
        let symbol = [UInt8](repeating: 3, count: 100)
        _ = symbol.withUnsafeBytes {
            early.insert(key, index: 2, symbol: $0, parent: 0, now: start, askAfter: .milliseconds(5))
        }
        var orphan = try #require(early.orphans.first)
        #expect(orphan.askAt == start + .milliseconds(5) && orphan.missedBy == 0)
        orphan.askAt = start + .milliseconds(100)
        early.update(0, orphan)
        early.missed(key, by: 1, now: start + .milliseconds(30))
        orphan = try #require(early.orphans.first)
        #expect(orphan.askAt == start + .milliseconds(30) && orphan.missedBy == 0b10)
        early.missed(SliceKey(firstHeight: 8, index: 0), by: 0, now: start)
        #expect(early.orphans.count == 1 && early.orphans[0].missedBy == 0b10)
    }
}

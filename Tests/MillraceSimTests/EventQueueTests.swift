/// The queue against a sorted array.

import MillraceBase
import Testing

@testable import MillraceSim

@Suite struct EventQueueTests {
    @Test(arguments: [UInt64(1), 2, 3, 4])
    func `events leave by time, and by order of putting in where times are equal`(seed: UInt64) {
        var queue = EventQueue()
        var expected: [(at: UInt64, order: UInt64)] = []
        var draws = Seed(seed).generator("queue test")
        var now: UInt64 = 0
        var order: UInt64 = 0
        var popped = 0
        for _ in 0..<20_000 {
            // Some at once, some within a bucket, some within the calendar, some far beyond it, some equal.
            if draws.below(5) < 3 {
                let spans: [UInt64] = [1, 20_000, 5_000_000, 300_000_000, 90_000_000_000]
                let at = now + draws.below(spans[Int(draws.below(5))])
                queue.push(Event(at: at, kind: .timer))
                expected.append((at, order))
                order += 1
            } else if let least = expected.indices.min(by: { expected[$0] < expected[$1] }) {
                let event = queue.pop(through: .max)
                #expect(event?.at == expected[least].at)
                #expect(event?.order == expected[least].order)
                now = expected[least].at
                expected.remove(at: least)
                popped += 1
            }
            if expected.count > 400 {
                while expected.count > 100 {
                    guard let least = expected.indices.min(by: { expected[$0] < expected[$1] }),
                        let event = queue.pop(through: .max)
                    else { break }
                    #expect(event.order == expected[least].order)
                    now = event.at
                    expected.remove(at: least)
                }
            }
        }
        #expect(popped > 1_000)
        #expect(queue.count == expected.count)
    }

    @Test func `an event later than the end stays`() {
        var queue = EventQueue()
        queue.push(Event(at: 2_000_000, kind: .timer))
        #expect(queue.pop(through: 1_999_999) == nil)
        #expect(queue.pop(through: 2_000_000) != nil)
        #expect(queue.pop(through: .max) == nil)
    }
}

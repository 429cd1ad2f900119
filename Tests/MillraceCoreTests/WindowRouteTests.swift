/// Which windows are the soonest way over a gap, on a line of so many bytes a millisecond.

import MillraceBase
import Testing

@testable import MillraceCore

/// The sizes of a stream of 100,000 swaps a second; nothing is here, and values take a twelfth of their window to be encoded.
private func route(
    bytesPerMillisecond rate: Int64, tip: UInt64, here: [Cadence: Int64] = [:], lacking: Set<Cadence> = []
) -> WindowRoute {
    let bytes: [Cadence: Int64] = [
        .c1: 94_000, .quarter: 1_850_000, .half: 3_000_000, .c3: 4_700_000,
    ]
    return WindowRoute(
        bytesPerMillisecond: rate, perHeight: (values: 467, parts: 2_800), tip: tip,
        missing: { cadence, _ in max((bytes[cadence] ?? 0) - (here[cadence] ?? 0), 0) },
        delay: { cadence, start in
            if lacking.contains(cadence) { return nil }
            let made = cadence >= .quarter ? cadence.span.milliseconds / 12 : 0
            return max((Int64(start + cadence.heights) - Int64(tip)) * 10 + made, 0)
        })
}

@Suite struct WindowRouteTests {
    let now = WindowRoute.Progress()

    @Test func `of what was over long ago the coarsest window is the soonest`() {
        #expect(
            route(bytesPerMillisecond: 2_700, tip: 3_000).soonest(.c3, at: 1_000, after: now).first == .c3)
        #expect(route(bytesPerMillisecond: 500, tip: 3_000).soonest(.c3, at: 1_000, after: now).first == .c3)
    }

    @Test func `a fast line does not wait for a quarter that is just over, a slow one does`() {
        let fast = route(bytesPerMillisecond: 5_000, tip: 2_480).soonest(.quarter, at: 2_250, after: now)
        #expect(fast.first == .c1)
        let slow = route(bytesPerMillisecond: 1_000, tip: 2_480).soonest(.quarter, at: 2_250, after: now)
        #expect(slow.first == .quarter)
    }

    @Test func `what the line is busy with until a window is made costs no wait`() {
        let route = route(bytesPerMillisecond: 2_700, tip: 2_480)
        let busy = WindowRoute.Progress(line: 450, state: 450)
        #expect(route.soonest(.quarter, at: 2_250, after: busy).first == .quarter)
    }

    @Test func `what is nearly here is taken, whatever else would be shorter from the beginning`() {
        let here = route(bytesPerMillisecond: 2_700, tip: 2_500, here: [.half: 2_000_000])
        #expect(here.soonest(.c3, at: 1_000, after: now).first == .half)
        let begun = route(bytesPerMillisecond: 2_700, tip: 2_600, here: [.c1: 80_000])
        #expect(begun.soonest(.quarter, at: 2_250, after: now).first == .c1)
    }

    @Test func `what will not be made is left out`() {
        let route = route(bytesPerMillisecond: 2_700, tip: 3_000, lacking: [.c3, .quarter])
        #expect(route.soonest(.c3, at: 1_000, after: now).first == .half)
        #expect(route.soonest(.quarter, at: 1_000, after: now).first == .c1)
        #expect(route.whole(.c3, at: 1_000, after: now) == nil)
    }

    @Test
    func `windows in parts are applied while the next ones come, one told by values when all of it is here`()
    {
        let route = route(bytesPerMillisecond: 1_880, tip: 3_000)
        // 25 tenths of a second of 50 ms each, and the last one's 28 ms.
        #expect(route.parts(.quarter, at: 1_000, after: now) == .init(line: 1_250, state: 1_278))
        #expect(route.whole(.quarter, at: 1_000, after: now) == .init(line: 984, state: 1_100))
        // A busy processor is what counts then.
        let busy = WindowRoute.Progress(line: 0, state: 2_000)
        #expect(route.parts(.quarter, at: 1_000, after: busy).state == 2_700)
    }
}

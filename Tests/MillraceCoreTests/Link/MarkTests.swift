/// Routers' marks (Spec 55.4, rule 11): answered as a standing queue is, by a line that marks and by one that marks everything.

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Suite struct MarkTests {
    @Test func `a stream that a marking line cannot carry is slowed down before anything is lost`() {
        let bed = LinkBed("rate=6,delay=20,aqm=codel,ecn=on,queue=250000")
        let flow = bed.add(.stream(kilobitsPerSecond: 9_000))
        bed.run(.seconds(6))
        bed.measure()
        bed.run(.seconds(6))
        #expect(flow.sender.isLimited)
        #expect(bed.lossShare == 0)
        #expect(bed.megabits(over: .seconds(6)) > 5.0)
        // The median: the router's queue is near its own target of 5 ms.
        #expect(bed.percentile(0.5, of: bed.queueing) < 25)
        #expect(flow.told.last.map { $0.marked > 0 } ?? false)
    }

    @Test func `two senders share a line that marks`() {
        let bed = LinkBed("rate=10,delay=15,aqm=codel,ecn=on,queue=250000")
        bed.add(.greedy)
        bed.add(.greedy, after: .seconds(2))
        bed.run(.seconds(8))
        bed.measure()
        bed.run(.seconds(8))
        #expect(bed.lossShare == 0)
        #expect(bed.megabits(over: .seconds(8)) > 8.0)
        #expect(bed.fairness > 0.8)
    }

    private static func report(_ step: Int64, marked: Int64) -> LinkReport {
        LinkReport(
            roundTrip: .microseconds(40_000), delay: 700_000, delayLeast: 700_000, datagramsSent: 30,
            datagramsReceived: 30, bytes: 30 * 1_260, microseconds: 40_000, isBacklogged: step > 20,
            datagramsMarked: marked)
    }

    private static func at(_ step: Int64) -> Instant {
        Instant(nanoseconds: 1_000_000_000) + .milliseconds(40 * step)
    }

    @Test func `marks without delay make a way full, and none after them let it go`() {
        var controller = RateController(ceilingBytesPerSecond: 12_500_000, now: Self.at(0))
        for step in Int64(1)...20 { controller.update(Self.report(step, marked: 0), now: Self.at(step)) }
        #expect(!controller.isLimited && controller.rate == 12_500_000)
        for step in Int64(21)...30 { controller.update(Self.report(step, marked: 1), now: Self.at(step)) }
        #expect(controller.isLimited)
        let least = controller.rate
        for step in Int64(31)...80 { controller.update(Self.report(step, marked: 0), now: Self.at(step)) }
        #expect(controller.rate > least)
    }

    @Test func `a way that marks everything is not believed`() {
        var controller = RateController(ceilingBytesPerSecond: 12_500_000, now: Self.at(0))
        for step in Int64(1)...20 { controller.update(Self.report(step, marked: 0), now: Self.at(step)) }
        for step in Int64(21)...400 { controller.update(Self.report(step, marked: 30), now: Self.at(step)) }
        // Sixteen seconds later it sends more than what it was slowed down to.
        #expect(controller.rate > 30 * 1_260 * 25)
    }
}

/// Slices of windows as they are asked for: of whom, how long an answer is waited for, and when what is missing of it is lost.

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

private let start = Instant.zero + .seconds(1)

private func shreds(_ range: Range<Int>) -> StripeSet {
    var set = StripeSet.empty
    for i in range { set.insert(i) }
    return set
}

private func request(_ first: UInt64 = 101, index: UInt16 = 0, order: UInt64 = 1) -> WindowRequest {
    WindowRequest(
        SliceKey(firstHeight: first, cadence: .c1, index: index), shreds(0..<8), withHeader: true, of: 0,
        outstanding: 8, order: order, sentAt: start, deadline: start + .milliseconds(400))
}

@Suite struct WindowRequestTests {
    private let latest = Interval.milliseconds(60)

    @Test func `what nothing comes of is lost at its deadline, and not before`() {
        let asked = request()
        #expect(!asked.isLost(latest: latest, now: start + .milliseconds(399)))
        #expect(asked.isLost(latest: latest, now: start + .milliseconds(400)))
    }

    @Test
    func
        `shreds before the one that came are lost after a little reordering, those behind it are on their way`()
    {
        var asked = request()
        let at = start + .milliseconds(100)
        let isFirst = asked.answered(6, missing: shreds(2..<8), now: at)
        #expect(isFirst)
        // The last one is still to come.
        #expect(!asked.isLost(latest: latest, now: at + .milliseconds(50)))
        let isFirstAgain = asked.answered(7, missing: shreds(2..<6), now: at)
        #expect(!isFirstAgain)
        #expect(asked.outstanding == 6)
        #expect(!asked.isLost(latest: latest, now: at + .milliseconds(19)))
        #expect(asked.isLost(latest: latest, now: at + .milliseconds(20)))
    }

    @Test func `without the header nobody knows which shred is the last`() {
        var asked = request()
        let at = start + .milliseconds(100)
        _ = asked.answered(7, missing: nil, now: at)
        #expect(!asked.isLost(latest: latest, now: at + .milliseconds(100)))
    }

    @Test func `an answer that has begun is given up after a pause of its parent, not after a patience`() {
        var asked = request()
        let at = start + .milliseconds(100)
        _ = asked.answered(6, missing: shreds(7..<8), now: at)
        asked.hears(of: asked, patience: .milliseconds(370), pause: .milliseconds(120), now: at)
        #expect(!asked.isLost(latest: latest, now: at + .milliseconds(119)))
        #expect(asked.isLost(latest: latest, now: at + .milliseconds(120)))
    }

    @Test func `as long as its parent sends other things it is waited for`() {
        var asked = request(order: 2)
        let other = request(order: 1)
        let at = start + .milliseconds(350)
        asked.hears(of: other, patience: .milliseconds(370), pause: .milliseconds(120), now: at)
        #expect(!asked.isLost(latest: latest, now: start + .milliseconds(700)))
        #expect(asked.isLost(latest: latest, now: start + .milliseconds(720)))
    }

    @Test
    func `a late answer is no lost one: of what was overtaken, as long is waited as answers take lately`() {
        var asked = request(order: 1)
        let later = request(201, order: 2)
        let at = start + .milliseconds(100)
        asked.hears(of: later, patience: .milliseconds(370), pause: .milliseconds(120), now: at)
        #expect(!asked.isLost(latest: latest, now: at + .milliseconds(79)))
        #expect(asked.isLost(latest: latest, now: at + .milliseconds(80)))
        // It had to be fetched first, and begins to come now.
        _ = asked.answered(0, missing: shreds(0..<8), now: at + .milliseconds(70))
        #expect(asked.isLost(latest: latest, now: at + .milliseconds(79)))
        // Lower heights come first, whatever the order of requests.
        var higher = request(301, order: 1)
        higher.hears(of: later, patience: .milliseconds(370), pause: .milliseconds(120), now: at)
        #expect(!higher.isLost(latest: latest, now: at + .milliseconds(300)))
    }

    @Test func `time in which nobody listened does not count`() {
        var asked = request()
        asked.stoodStill(for: .milliseconds(470))
        #expect(!asked.isLost(latest: latest, now: start + .milliseconds(869)))
        #expect(asked.isLost(latest: latest, now: start + .milliseconds(870)))
    }

    @Test func `a request is repeated once, and not when it is answered`() {
        var asked = request()
        var repeated: [Bool] = []
        for time in [7, 8, 9] as [Int64] { repeated.append(asked.repeats(now: start + .milliseconds(time))) }
        #expect(repeated == [false, true, false])
        var answered = request()
        _ = answered.answered(0, missing: nil, now: start + .milliseconds(5))
        let isRepeated = answered.repeats(now: start + .milliseconds(8))
        #expect(!isRepeated)
    }

    @Test
    func `a parent answers a request once, until many others have come, and another slice under its number`()
    {
        var recent = RecentRequests()
        let key = SliceKey(firstHeight: 101, cadence: .c1, index: 0)
        let other = SliceKey(firstHeight: 201, cadence: .c1, index: 0)
        var news: [Bool] = []
        for number in [7, 7] + (100..<131) + [7, 131, 7] as [UInt16] {
            news.append(recent.isNew(number, key))
        }
        #expect(news == [true, false] + Array(repeating: true, count: 31) + [false, true, true])
        let isNew = recent.isNew(7, other)
        #expect(isNew)
    }
}

@Suite struct SoonestParentTests {
    @Test func `the nearest is asked, until what it has to send takes longer than the way to another`() {
        func soonest(asked: Int) -> Int? {
            var soonest = SoonestParent(lineBytesPerSecond: 3_000_000, among: 2)
            soonest.consider(0, roundTrip: .milliseconds(20), bytesPerSecond: 0, shredsAsked: asked)
            soonest.consider(1, roundTrip: .milliseconds(60), bytesPerSecond: 0, shredsAsked: 0)
            return soonest.parent
        }
        // 40 ms at 1.5 MB/s are 48 datagrams of 1,232 bytes.
        #expect(soonest(asked: 48) == 0)
        #expect(soonest(asked: 49) == 1)
    }

    @Test
    func `one that sends fast has more to send, one that is idle is taken to have its part of the line`() {
        var soonest = SoonestParent(lineBytesPerSecond: 2_000_000, among: 2)
        #expect(soonest.fair == 1_000_000)
        soonest.consider(0, roundTrip: .milliseconds(40), bytesPerSecond: 10_000, shredsAsked: 64)
        soonest.consider(1, roundTrip: .milliseconds(40), bytesPerSecond: 2_000_000, shredsAsked: 96)
        #expect(soonest.parent == 1)
    }

    @Test func `of equals the first is taken, and nobody of none`() {
        var soonest = SoonestParent(lineBytesPerSecond: 0, among: 0)
        #expect(soonest.parent == nil)
        soonest.consider(3, roundTrip: .milliseconds(40), bytesPerSecond: 0, shredsAsked: 0)
        soonest.consider(1, roundTrip: .milliseconds(40), bytesPerSecond: 0, shredsAsked: 0)
        #expect(soonest.parent == 3)
    }
}

@Suite struct WindowTrialTests {
    private func at(_ milliseconds: Int64) -> Instant { start + .milliseconds(milliseconds) }

    @Test func `windows are tried for half a second, and again ten seconds later`() {
        var trial = WindowTrial()
        var isOn: [Bool] = []
        for time in [0, 499, 500, 10_400, 10_500, 10_999, 11_000] as [Int64] {
            isOn.append(trial.isOn(isBehindOthers: false, now: at(time)))
        }
        #expect(isOn == [true, true, false, false, true, true, false])
    }

    @Test func `while mini-blocks that were asked for are to come it goes on, for three seconds at most`() {
        var trial = WindowTrial()
        let isOn = (0..<40).map { trial.isOn(isBehindOthers: $0 < 15, now: at(Int64($0) * 100)) }
        // The last of them came at 1,400 ms.
        #expect(isOn.firstIndex(of: false) == 19)
        trial.end()
        let long = (0..<40).map { trial.isOn(isBehindOthers: true, now: at(20_000 + Int64($0) * 100)) }
        #expect(long.firstIndex(of: false) == 30)
    }

    @Test func `once nothing is wanted the next gap has a trial of its own`() {
        var trial = WindowTrial()
        _ = trial.isOn(isBehindOthers: false, now: at(0))
        let isOver = !trial.isOn(isBehindOthers: false, now: at(600))
        trial.end()
        let isNew = trial.isOn(isBehindOthers: false, now: at(700))
        #expect(isOver && isNew)
    }
}

/// What a full line is known by on both sides, and what is not taken for one (Spec 55.3, 55.5, 55.6).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

private func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: 1_000_000_000) + .milliseconds(milliseconds)
}

private func report(queue: Int64, isBacklogged: Bool = false, isBusy: Bool = false) -> LinkReport {
    LinkReport(
        roundTrip: .microseconds(50_000 + queue), delay: 700_000 + queue, delayLeast: 700_000 + queue,
        datagramsSent: 30, datagramsReceived: 30, bytes: 30 * 1_260, microseconds: 40_000,
        isBacklogged: isBacklogged, isBusy: isBusy)
}

@Test func `a receiver that is busy is not taken for a full way`() {
    var controller = RateController(ceilingBytesPerSecond: 12_500_000, now: at(0))
    for step in Int64(1)...200 {
        let busy = (50..<150).contains(step)
        controller.update(report(queue: busy ? 300_000 : 0, isBusy: busy), now: at(step * 40))
        #expect(!controller.isLimited)
    }
    #expect(controller.rate == 12_500_000)
    for step in Int64(201)...215 { controller.update(report(queue: 300_000), now: at(step * 40)) }
    #expect(controller.isLimited)
    // Limited and blind, it keeps what it had.
    let share = controller.share
    for step in Int64(216)...240 {
        controller.update(report(queue: 300_000, isBacklogged: true, isBusy: true), now: at(step * 40))
    }
    #expect(controller.share >= share)
    #expect(controller.rate >= share * 9 / 10)
}

@Test func `feedback says that its receiver was busy once, and not for ever`() {
    var record = ReceiveRecord()
    record.came(key: 0x1_0001, counter: 0, bytes: 100, isBusy: true, now: at(0))
    record.came(key: 0x1_0001, counter: 1, bytes: 100, now: at(1))
    #expect(record.feedback(now: at(2)).isBusy)
    record.came(key: 0x1_0001, counter: 2, bytes: 100, now: at(3))
    #expect(!record.feedback(now: at(4)).isBusy)
}

private func height(_ first: UInt64, request: UInt16, shreds: UInt64 = 0b111) -> Work {
    Work(
        key: SliceKey(firstHeight: first, index: 0), shreds: StripeSet(bits: shreds), withHeader: true,
        request: request)
}

@Test func `windows of lower heights go first, those of one height in the order of requests`() {
    var queue = WorkQueue(capacity: 16)
    var done: [Bool] = []
    for (first, request) in [(21, 1), (31, 2), (11, 3), (21, 4), (11, 5)] {
        done.append(queue.insertByHeight(height(UInt64(first), request: UInt16(request))))
        // What is being sent is finished first.
        if request == 1 { _ = queue.next() }
    }
    #expect(done.allSatisfy { $0 })
    var requests: [UInt16?] = []
    while let work = queue.next() {
        requests.append(work.request)
        queue.dropFront()
    }
    #expect(requests == [1, 3, 5, 4, 2])
    let isEmpty = queue.isEmpty
    #expect(isEmpty)
}

@Test func `what waits already is not queued twice, and answers the newer request`() {
    var queue = WorkQueue(capacity: 16)
    var done: [Bool] = []
    let waiting = UInt64(5)...7
    for first in waiting { done.append(queue.append(height(first, request: 1))) }
    let next = queue.next()
    #expect(next?.key.firstHeight == 5)
    for first in waiting { done.append(queue.renew(height(first, request: 2))) }
    let isNew = !queue.renew(height(8, request: 2))
    var counts = [queue.waiting]
    done.append(queue.renew(height(7, request: 3, shreds: 0b1111)))
    counts.append(queue.waiting)
    #expect(isNew && done.allSatisfy { $0 })
    #expect(counts == [12, 13])
    var requests: [UInt16?] = []
    while let work = queue.next() {
        requests.append(work.request)
        queue.dropFront()
    }
    #expect(requests == [2, 2, 3])
    // Empty again.
    let isGone = !queue.renew(height(6, request: 4))
    #expect(isGone)
}

@Test func `what may be under way is for feedback that is late, and for a burst of it where there is room`() {
    var controller = RateController(ceilingBytesPerSecond: 12_500_000, now: at(0))
    // Nothing is known.
    #expect(controller.bytesInFlightMax == 1_250_000 * 270 / 1_000 + 65_536)
    for step in Int64(1)...20 { controller.update(report(queue: 0), now: at(step * 40)) }
    // 30 datagrams in 40 ms: what was found is less than what anybody may begin with.
    #expect(controller.bytesInFlightMax == 1_250_000 * 800 / 1_000 + 65_536)
    for step in Int64(21)...30 { controller.update(report(queue: 300_000), now: at(step * 40)) }
    #expect(controller.isLimited)
    #expect(controller.bytesInFlightMax <= max(controller.deliveredMost * 300 / 1_000, 262_144) + 65_536)
}

@Test func `heights that wait for a full way are told of, with a contract or without, and windows are not`() {
    let child = Child(pacingKilobitsPerSecond: 100_000, now: at(0))
    #expect(!child.isFull(ownLineIsFull: true, now: at(0)))
    _ = child.bulk.append(height(5, request: 1))
    #expect(!child.isFull(ownLineIsFull: true, now: at(1)))
    _ = child.heights.append(height(5, request: 2))
    #expect(child.isFull(ownLineIsFull: true, now: at(1)))
    // Nothing holds them up but their turn.
    #expect(!child.isFull(ownLineIsFull: false, now: at(1)))
}

/// Half-seconds of a line that loses 5 % in bursts; answers the stripes bought after each.
private func decide(
    _ parity: inout ParityController, from begin: Int64, count: Int64, isFull: (Int64) -> Bool
) -> [Int] {
    (begin..<begin + count).map { step in
        for slice in 0..<50 {
            parity.note(expected: 9, missing: slice % 7 == 0 ? 3 : 0, dataCount: 9)
        }
        _ = parity.decide(
            roundTrip: .milliseconds(100), queued: .zero, isFull: isFull(step), ceiling: 4,
            now: at(step * 500))
        return parity.stripes
    }
}

@Test func `a line that is full gets less parity at once, and more later each time that failed`() {
    var parity = ParityController(floor: 1)
    let bought = decide(&parity, from: 0, count: 10) { _ in false }
    #expect(bought.last ?? 0 >= 2)
    let shed = decide(&parity, from: 10, count: 3) { _ in true }
    #expect(shed.last == 0)
    // As soon as there is any parity again, the line is full again.
    var tries: [Int64] = []
    var before = 0
    for step in Int64(13)..<200 {
        let stripes = decide(&parity, from: step, count: 1) { _ in before > 0 }[0]
        if stripes > before { tries.append(step) }
        before = stripes
    }
    let waits = zip(tries.dropFirst(), tries).map(-)
    #expect(tries.count >= 3 && tries.count <= 6)
    #expect(tries[0] - 13 >= 8)
    #expect(waits == waits.sorted())
    // And when there is room, it has what it needs in the end.
    #expect(decide(&parity, from: 200, count: 160) { _ in false }.last ?? 0 >= 2)
}

@Test(arguments: [(dataCount: 9, floor: 1, stripes: 3), (16, 0, 6), (27, 1, 6), (4, 1, 2), (4, 3, 6)])
func `before losses are known, on a long way, parity is a third of a slice`(
    dataCount: Int, floor: Int, stripes: Int
) {
    var parity = ParityController(floor: floor)
    parity.begin(roundTrip: .milliseconds(100))
    #expect(parity.stripes == floor && !parity.isPrudent)
    parity.begin(roundTrip: .milliseconds(300))
    #expect(parity.stripes == 6)
    #expect(parity.sparesParity == (floor <= 1))
    for _ in 0..<100 { parity.note(expected: 8, missing: 0, dataCount: dataCount) }
    let isChanged = parity.decide(roundTrip: .milliseconds(300), queued: .zero, ceiling: 8, now: at(500))
    // The terms change though the number may not.
    #expect(isChanged == (floor <= 1))
    #expect(parity.stripes == stripes)
    #expect(!parity.sparesParity)
}

@Test(arguments: [(missing: 0, stripes: 1), (1, 2)])
func `before losses are known, beside a parent, a slice has two shreds of parity of its own`(
    missing: Int, stripes: Int
) {
    var parity = ParityController(floor: 1)
    parity.begin(roundTrip: .milliseconds(29))
    #expect(parity.stripes == 2 && parity.isPrudent && parity.sparesParity)
    // One in fifty, or none: what is measured first counts.
    for slice in 0..<50 { parity.note(expected: 9, missing: slice % 6 == 0 ? missing : 0, dataCount: 9) }
    let isChanged = parity.decide(roundTrip: .milliseconds(14), queued: .zero, ceiling: 4, now: at(500))
    #expect(isChanged && parity.stripes == stripes && !parity.isPrudent && !parity.sparesParity)
}

@Test func `a full line gives back half of what was bought in ignorance`() {
    var parity = ParityController(floor: 1)
    parity.begin(roundTrip: .milliseconds(300))
    let isChanged = parity.decide(
        roundTrip: .milliseconds(300), queued: .zero, isFull: true, ceiling: 8, now: at(500))
    // Slices of nine are taken for granted: three stripes were bought of each.
    #expect(isChanged && parity.stripes == 1 && !parity.sparesParity)
}

@Test
func `a queue that grows slowly and never goes away is the way's, and one that comes and goes is noise`() {
    func isLimited(_ queue: (Int64) -> Int64) -> Bool {
        var controller = RateController(ceilingBytesPerSecond: 12_500_000, now: .zero)
        // Twenty reports a second, for eight seconds.
        for step in 1...160 as ClosedRange<Int64> {
            controller.update(report(queue: queue(step)), now: .zero + .milliseconds(50) * step)
        }
        return controller.isLimited
    }
    // Ten milliseconds more in every second: no single one is more than a little above those before it.
    #expect(isLimited { $0 * 500 })
    // As much on average as that has after four seconds, but it is gone twice in every second.
    #expect(!isLimited { $0 % 10 < 2 ? 0 : min($0 * 500, 20_000) })
}

@Test func `a shred is waited for as long as the latest answers took, whatever the way does now and then`() {
    var way = RoundTrip()
    for sample in [100, 190, 100, 190, 100, 190, 102, 101, 103] as [Int64] { way.add(.milliseconds(sample)) }
    #expect(way.timeout > .milliseconds(200))
    #expect(way.timeoutShort == .milliseconds(103 + 16))
    // The queue is there again: so is the patience.
    way.add(.milliseconds(180))
    #expect(way.timeoutShort == .milliseconds(180 + 16))
}

@Test
func `a burst of the measured length makes nobody silent, and one parent's silence is no burst for long`() {
    // V/µ of 15: bursts of eight.
    #expect(Following.shredsInABurst(dispersion16: 15 * 16, owed: 14) == 14 * 8)
    #expect(Following.shredsInABurst(dispersion16: 15 * 16, owed: 1) == Following.burstSlicesMax)
    #expect(Following.shredsInABurst(dispersion16: 2 * 16, owed: 14) == 21)
    #expect(Following.shredsInABurst(dispersion16: 15 * 16, owed: 0) == Following.silentShreds)
}

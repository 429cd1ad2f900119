/// Who counts what: datagrams sent, datagrams received, and what a line brings (Spec 55.2, 55.3, 55.7).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

private func at(_ milliseconds: Int64) -> Instant {
    Instant(nanoseconds: 1_000_000_000) + .milliseconds(milliseconds)
}

@Test func `numbers go on where a new key begins`() {
    var record = SendRecord()
    for counter in UInt64(40)..<50 { record.sent(key: 0x9_0007, counter: counter, bytes: 100, now: at(0)) }
    for counter in UInt64(0)..<5 { record.sent(key: 0x9_0008, counter: counter, bytes: 100, now: at(1)) }
    #expect(record.next == 16)
    #expect(record.number(key: 7, counter: 40) == 1)
    #expect(record.number(key: 7, counter: 49) == 10)
    #expect(record.number(key: 8, counter: 0) == 11)
    // Never sent, and a key that nobody has.
    #expect(record.number(key: 7, counter: 50) == nil)
    #expect(record.number(key: 8, counter: 5) == nil)
    #expect(record.number(key: 9, counter: 0) == nil)
    #expect(record.number(key: 8, counter: .max) == nil)
    #expect(record.bytesInFlight == 1_500)
    record.tell(through: 11)
    #expect(record.bytesInFlight == 400)
}

@Test func `what is under way is remembered however much it is, up to the bound`() {
    var record = SendRecord()
    let count = UInt64(SendRecord.datagramsMax) + 500
    for counter in 0..<count {
        record.sent(key: 0x1_0001, counter: counter, bytes: 10, now: at(Int64(counter)))
    }
    #expect(record[1] == nil)
    #expect(record[600]?.bytes == 6_000)
    #expect(record[count]?.sentAt == at(Int64(count) - 1))
    #expect(record.bytesInFlight == count * 10)
    record.giveUp()
    #expect(record.bytesInFlight == 0)
}

@Test func `feedback is rare when little comes and bounded when much does`() {
    var record = ReceiveRecord()
    var told = 0
    for counter in UInt64(0)..<1_000 {
        let now = at(Int64(counter))
        record.came(key: 0x1_0001, counter: counter, bytes: 1_232, now: now)
        if record.isDue(now: now) {
            let feedback = record.feedback(now: now)
            #expect(feedback.largest == counter && feedback.received == counter + 1)
            told += 1
        }
    }
    #expect((45...50).contains(told))
    told = 0
    for counter in UInt64(1_000)..<1_020 {
        let now = at(Int64(counter - 980) * 50)
        record.came(key: 0x1_0001, counter: counter, bytes: 60, now: now)
        if record.isDue(now: now) {
            _ = record.feedback(now: now)
            told += 1
        }
    }
    #expect((4...6).contains(told))
}

@Test func `feedback names the datagram after the longest silence`() {
    var record = ReceiveRecord()
    var counter: UInt64 = 0
    for begins in [Int64(0), 10, 22] {
        for place in 0..<6 {
            record.came(key: 0x1_0001, counter: counter, bytes: 1_000, now: at(begins + Int64(place)))
            counter += 1
        }
    }
    let told = record.feedback(now: at(28))
    #expect(told.largest == 17)
    #expect(told.earlierBy == 5)
    #expect(told.earlierMicroseconds == 5_000)
}

@Test func `a datagram under the old key is not counted under the new one`() {
    var record = ReceiveRecord()
    record.came(key: 0x1_0001, counter: 900, bytes: 100, now: at(0))
    record.came(key: 0x1_0002, counter: 0, bytes: 100, now: at(1))
    record.came(key: 0x1_0001, counter: 901, bytes: 100, now: at(2))
    let told = record.feedback(now: at(3))
    #expect(told.key == 2 && told.largest == 0 && told.received == 1)
}

@Test func `nothing is measured by a number that went past the record`() {
    // 20 ms of way in either direction. Number 20 is a question about the path, and number 21 is sent before its feedback comes.
    func sent(_ counter: UInt64) -> Int64 {
        counter == 20 ? 995 : counter == 21 ? 1_030 : Int64(counter) * 50
    }
    var events: [(at: Int64, counter: UInt64, isFeedback: Bool)] = []
    for counter in UInt64(0)..<60 {
        if counter != 20 { events.append((sent(counter), counter, false)) }
        events.append((sent(counter) + 40, counter, true))
    }
    events.sort { $0.at < $1.at }
    var link = LinkSender(ceilingBytesPerSecond: 12_500_000, now: at(0))
    for (time, counter, isFeedback) in events {
        if !isFeedback {
            link.sent(key: 0x1_0001, counter: counter, bytes: 100, now: at(time))
            continue
        }
        let arrival = UInt32(truncatingIfNeeded: at(sent(counter) + 20).nanoseconds / 1_000)
        link.feedback(
            LinkFeedback(
                key: 1, largest: counter, received: counter + 1, bytes: (counter + 1) * 100, at: arrival),
            now: at(time))
        // What it says came is under way no more.
        if counter == 20 { #expect(link.bytesInFlight == 128) }
    }
    #expect(link.queueDelay == .zero)
    #expect(link.controller.roundTripLeast == .milliseconds(40))
    #expect(!link.isLimited)
}

@Test func `whatever feedback claims, a sender takes it without harm`() {
    var generator = Seed(5).generator("feedback")
    var link = LinkSender(ceilingBytesPerSecond: 12_500_000, now: at(0))
    var counter: UInt64 = 0
    for step in 0..<20_000 {
        let now = at(Int64(step))
        link.sent(key: 0x1_0001, counter: counter, bytes: 1_000, now: now)
        counter += 1
        let wild = generator.below(2) == 0
        link.feedback(
            LinkFeedback(
                key: UInt16(1 + generator.below(2)), largest: wild ? generator.next() >> 2 : counter - 1,
                received: max(generator.next() >> UInt64(2 + generator.below(60)), 1),
                bytes: generator.next() >> UInt64(2 + generator.below(60)),
                at: UInt32(truncatingIfNeeded: generator.next()),
                earlierBy: UInt32(truncatingIfNeeded: generator.below(50)),
                earlierMicroseconds: UInt32(truncatingIfNeeded: generator.next()),
                marked: generator.next() >> UInt64(2 + generator.below(60))), now: now)
        link.handleTimeout(now: now)
        #expect(link.bytesPerSecond >= RateController.rateMin && link.bytesPerSecond <= 12_500_000)
        #expect(link.controller.bytesInFlightMax > 0)
    }
}

/// A line's meter, and what the line brings it.
private struct LineBed {
    var line = LineMeter()
    var now = at(0)

    mutating func bring(_ datagrams: Int, every interval: Interval) {
        for _ in 0..<datagrams {
            line.came(bytes: 1_222, now: now)
            now = now + interval
        }
    }
}

@Test func `a line is known by what it brings while it is full`() {
    var bed = LineBed()
    bed.bring(1_000, every: .milliseconds(1))
    #expect((9_900...10_100).contains(bed.line.bytesPerSecond / 125))
    #expect(bed.line.carriesKilobitsPerSecond(now: bed.now) == nil)
    bed.line.setFull(true, now: bed.now)
    bed.bring(1_000, every: .milliseconds(1))
    bed.line.setFull(false, now: bed.now)
    #expect((9_900...10_100).contains(bed.line.carriesKilobitsPerSecond(now: bed.now) ?? 0))
    #expect(bed.line.carriesKilobitsPerSecond(now: bed.now + .seconds(61)) == nil)
}

@Test func `what little was asked for says nothing of the line, and the least of what filled it neither`() {
    var bed = LineBed()
    // A status now and then; the window in which the line fills is not counted as one that was full.
    bed.bring(10, every: .milliseconds(50))
    bed.line.setFull(true, now: bed.now)
    bed.bring(500, every: .milliseconds(1))
    bed.line.setFull(false, now: bed.now)
    bed.bring(10, every: .milliseconds(50))
    bed.line.setFull(true, now: bed.now)
    bed.bring(300, every: .milliseconds(2))
    #expect((9_900...10_100).contains(bed.line.carriesKilobitsPerSecond(now: bed.now) ?? 0))
    bed.line.forget()
    #expect(bed.line.carriesKilobitsPerSecond(now: bed.now) == nil)
    bed.bring(300, every: .milliseconds(2))
    #expect((4_900...5_100).contains(bed.line.carriesKilobitsPerSecond(now: bed.now) ?? 0))
}

@Test func `a line that brings more than it did when it was full is not known any more`() {
    var bed = LineBed()
    bed.line.setFull(true, now: bed.now)
    bed.bring(500, every: .milliseconds(2))
    bed.line.setFull(false, now: bed.now)
    #expect((4_900...5_100).contains(bed.line.carriesKilobitsPerSecond(now: bed.now) ?? 0))
    // A quarter of a second may be what waited in the socket.
    bed.bring(250, every: .milliseconds(1))
    bed.bring(500, every: .milliseconds(2))
    #expect(bed.line.carriesKilobitsPerSecond(now: bed.now) != nil)
    bed.bring(1_000, every: .milliseconds(1))
    #expect(bed.line.carriesKilobitsPerSecond(now: bed.now) == nil)
}

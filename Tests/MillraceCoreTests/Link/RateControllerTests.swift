/// The rate controller over modelled links, on virtual time (Spec 55.4, 55.5).

import Foundation
import MillraceBase
import MillraceLink
import MillraceTestSupport
import Testing

@testable import MillraceCore

private func bed(
    _ text: String, _ sources: [LinkBed.Source], apart: Interval = .zero, warmUp: Int64 = 5,
    seconds: Int64 = 8, seed: UInt64 = 1
) -> LinkBed {
    let bed = LinkBed(text, seed: seed)
    for (index, source) in sources.enumerated() { bed.add(source, after: apart * Int64(index)) }
    bed.run(.seconds(warmUp))
    bed.measure()
    bed.run(.seconds(seconds))
    return bed
}

@Test(arguments: [(6, 20), (6, 100), (20, 50), (20, 300), (60, 50)])
func `a source that is always behind fills the link and keeps its queue short`(megabits: Int, roundTrip: Int)
{
    let bed = bed("rate=\(megabits),rtt=\(roundTrip),queue=1000ms", [.greedy])
    #expect(bed.megabits(over: .seconds(8)) >= 0.9 * Double(megabits))
    #expect(bed.percentile(0.95, of: bed.standing) <= 40)
}

@Test(arguments: [20, 40, 100])
func `a way that carries six times as much again is full soon`(roundTrip: Int) {
    // Ten seconds of 25 Mbit/s, ten of 4, and 25 again.
    let bed = bed(
        "trace=25:25:4:4:25:25:25:25@5000,rtt=\(roundTrip)", [.greedy, .greedy], warmUp: 20, seconds: 1)
    #expect(bed.megabits(over: .seconds(1)) >= 0.5 * 25)
    bed.measure()
    bed.run(.seconds(1))
    #expect(bed.megabits(over: .seconds(1)) >= 0.9 * 25)
    #expect(bed.lossShare <= 0.02)
}

@Test(arguments: [10, 50, 200, 1_000])
func `any length of buffer is filled without loss that lasts`(milliseconds: Int) {
    let bed = bed("rate=10,rtt=60,queue=\(milliseconds)ms", [.greedy])
    #expect(bed.megabits(over: .seconds(8)) >= 9)
    #expect(bed.percentile(0.95, of: bed.standing) <= 40)
    #expect(bed.lossShare <= 0.03)
}

@Test(arguments: ["1%", "5%", "10%", "5%,burst=3", "5%,burst=8"])
func `loss by chance does not lower the rate`(loss: String) {
    let bed = bed("rate=20,rtt=60,loss=\(loss)", [.greedy])
    let lost = loss.hasPrefix("10") ? 0.1 : loss.hasPrefix("5") ? 0.05 : 0.01
    #expect(bed.megabits(over: .seconds(8)) >= 0.85 * 20 * (1 - lost))
}

@Test(
    arguments: [
        "rtt=40,loss=2%,burst=3", "rtt=300,loss=2%,burst=3", "rtt=100,loss=5%,burst=8",
        "rtt=300,loss=5%,burst=3",
    ], [UInt64(1), 3, 6])
func `losses in bursts are no policer, though they come and go`(link: String, seed: UInt64) {
    let bed = bed("rate=25,queue=200ms,\(link)", [.greedy], warmUp: 2, seed: seed)
    #expect(bed.megabits(over: .seconds(8)) >= 0.85 * 25)
}

@Test(arguments: [
    "rate=12,rtt=50", "rate=9,rtt=50", "rate=12,rtt=100,loss=10%",
    "rate=100,rtt=200,jitter=10,loss=5%,burst=3", "rate=25,rtt=300,loss=5%,burst=8",
])
func `a source that the link carries is never slowed down`(link: String) {
    let bed = LinkBed(link)
    let flow = bed.add(.stream(kilobitsPerSecond: 8_200))
    bed.run(.seconds(3))
    var slowed = 0
    bed.run(.seconds(8)) { if flow.sender.controller.isLimited || flow.backlog > 12_000 { slowed += 1 } }
    #expect(slowed == 0)
}

@Test(arguments: [20, 50, 300])
func `more than the link carries waits at the sender and not in the link`(roundTrip: Int) {
    let stream = LinkBed.Source.stream(kilobitsPerSecond: 4_100)
    let bed = bed("rate=6,rtt=\(roundTrip)", [stream, stream])
    #expect(bed.megabits(over: .seconds(8)) >= 0.9 * 6)
    #expect(bed.percentile(0.5, of: bed.standing) <= 40)
    #expect(bed.percentile(0.95, of: bed.standing) <= 60)
    #expect(bed.lossShare < 0.01)
    #expect(bed.fairness >= 0.9)
    #expect(bed.flows.allSatisfy { $0.sender.isLimited })
}

@Test(arguments: [(6, 20), (20, 50), (6, 200)])
func `two flows share a bottleneck, though one came later`(megabits: Int, roundTrip: Int) {
    let bed = bed(
        "rate=\(megabits),rtt=\(roundTrip),queue=150ms", [.greedy, .greedy], apart: .seconds(3), warmUp: 12)
    #expect(bed.megabits(over: .seconds(8)) >= 0.9 * Double(megabits))
    #expect(bed.fairness >= 0.9)
}

@Test func `eight senders that start at once come to terms`() {
    let bed = bed(
        "rate=20,rtt=50,queue=150ms", Array(repeating: .greedy, count: 8), apart: .milliseconds(300),
        warmUp: 15)
    #expect(bed.megabits(over: .seconds(8)) >= 18)
    #expect(bed.lossShare < 0.02)
}

@Test(arguments: [16_000, 64_000])
func `a policer is noticed though it delays nothing`(burst: Int) {
    let bed = bed(
        "rate=30,rtt=60,queue=200ms,policer=5,policerburst=\(burst)", [.stream(kilobitsPerSecond: 8_200)])
    #expect(bed.megabits(over: .seconds(8)) >= 4.5)
    #expect(bed.lossShare < 0.05)
}

@Test(arguments: [LinkBed.Source.stream(kilobitsPerSecond: 8_200), .greedy], [UInt64(1), 2, 3])
func `a policer on a lossy way is kept to, and not forgotten`(source: LinkBed.Source, seed: UInt64) {
    let bed = bed(
        "rate=30,rtt=60,queue=200ms,policer=5,policerburst=16000,loss=2%,burst=3", [source], seed: seed)
    #expect(bed.megabits(over: .seconds(8)) >= 3.5)
    // Who took chance for all of it would lose a third.
    #expect(bed.lossShare < 0.08)
}

@Test func `a clock that leaps ahead changes nothing for long`() {
    let bed = LinkBed("rate=20,rtt=50")
    bed.add(.greedy)
    bed.run(.seconds(4))
    bed.clockAhead = .seconds(1_007)
    bed.run(.seconds(1))
    bed.clockAhead = .seconds(1_030)
    bed.run(.seconds(1))
    bed.measure()
    bed.run(.seconds(4))
    #expect(bed.megabits(over: .seconds(4)) >= 18)
    #expect(bed.percentile(0.95, of: bed.standing) <= 40)
}

@Test func `after a silence of the way nothing is under way that is not told of`() {
    let bed = LinkBed("rate=20,rtt=50,outage=3s+2s")
    let flow = bed.add(.stream(kilobitsPerSecond: 8_200))
    bed.run(.milliseconds(2_900))
    bed.run(.milliseconds(1_900))
    // What was in flight when it began, and no more than the bound.
    #expect(flow.sender.record.bytesInFlight <= 800_000)
    bed.run(.seconds(3))
    bed.measure()
    bed.run(.seconds(2))
    #expect(bed.megabits(over: .seconds(2)) >= 8)
}

@Test func `feedback costs less than one percent of a stream, and little when nothing is sent`() {
    let bed = LinkBed("rate=100,rtt=40")
    let flow = bed.add(.stream(kilobitsPerSecond: 4_100))
    bed.run(.seconds(4))
    #expect(Double(flow.feedbackBytes) < 0.01 * Double(flow.deliveredBytes))
    let idle = LinkBed("rate=100,rtt=40")
    // STATUS alone: twenty datagrams a second.
    let quiet = idle.add(.stream(kilobitsPerSecond: 200))
    idle.run(.seconds(4))
    #expect(quiet.feedbackBytes * 8 / 4 < 10_000)
}

@Test(arguments: [
    ("mahimahi/TMobile-LTE-driving.down.mm", 2.0), ("mahimahi/Verizon-LTE-short.down.mm", 2.0),
    ("starlink/autobahn-down-0.rate", 4.0),
])
func `a recorded cell or satellite is followed`(name: String, least: Double) throws {
    guard let url = TestData.url("traces/\(name)"), let format = TraceFile.Format(path: name) else { return }
    let trace = try TraceFile.parse(Array(try Data(contentsOf: url)), format: format, name: name)
    let bed = LinkBed("rtt=60,queue=1000ms", trace: trace)
    bed.add(.stream(kilobitsPerSecond: 8_200))
    bed.run(.seconds(5))
    bed.measure()
    bed.run(.seconds(20))
    #expect(bed.megabits(over: .seconds(20)) > least)
    #expect(bed.lossShare < 0.1)
}

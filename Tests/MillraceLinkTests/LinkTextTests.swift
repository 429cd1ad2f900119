import Foundation
import MillraceBase
import MillraceLink
import Testing

struct LinkTextTests {
    @Test func `every key is read`() throws {
        let link = try LinkParameters(
            text: "rate=25, bucket=3000, queue=64KB, aqm=codel, rtt=100, jitter=2.5, loss=1%, burst=3, "
                + "reorder=0.001, reorderby=8ms, "
                + "duplicate=0.5%, corrupt=0.000001, mtu=1500, overhead=48")
        #expect(link.rateBitsPerSecond == 25_000_000)
        #expect(link.bucketBytes == 3_000)
        #expect(link.queue == .bytes(65_536))
        #expect(link.management == .coDel)
        #expect(link.delay == .milliseconds(50))
        #expect(link.jitter == .microseconds(2_500))
        #expect(link.loss == .percent(1))
        #expect(link.lossBurstThousandths == 3_000)
        #expect(link.reorder == .partsPerMillion(1_000))
        #expect(link.reorderBy == .milliseconds(8))
        #expect(link.duplicate == .partsPerMillion(5_000))
        #expect(link.corrupt == .partsPerMillion(1))
        #expect(link.mtuBytes == 1_500)
        #expect(link.overheadBytes == 48)
        #expect(try LinkParameters(text: link.text) == link)
    }

    @Test func `states, policers, marks and outages are read and printed`() throws {
        let link = try LinkParameters(
            text:
                "rate=9,policer=5,policerburst=3000,aqm=codel,ecn=on,outage=1.5s+20/3s,good=90,bad=2.5,lossbad=50%"
        )
        #expect(link.policer == PolicerParameters(bitsPerSecond: 5_000_000, burstBytes: 3_000))
        #expect(link.marksECN)
        #expect(
            link.outage
                == Outage(start: .milliseconds(1_500), length: .milliseconds(20), every: .seconds(3)))
        #expect(
            link.lossStates
                == LossStates(
                    .datagrams(goodThousandths: 90_000, badThousandths: 2_500), lossBad: .percent(50)))
        #expect(try LinkParameters(text: link.text) == link)
        let timed = try LinkParameters(text: "goodms=900,badms=30ms,lossgood=0.1%")
        #expect(
            timed.lossStates
                == LossStates(
                    .time(good: .milliseconds(900), bad: .milliseconds(30)),
                    lossGood: .partsPerMillion(1_000)))
        #expect(try LinkParameters(text: timed.text) == timed)
        // States take the place of a profile's loss.
        let worse = try LinkParameters(text: "dsl-25,goodms=900,badms=30")
        #expect(worse.loss == .zero && worse.lossStates != nil)
        #expect(try LinkParameters(text: "mobile-metered,policer=3").policer?.burstBytes == 64_000)
        #expect(try LinkParameters(text: "mobile-metered,policer=none").policer == nil)
        #expect(try LinkParameters(text: "policer=3").policer?.burstBytes == 65_536)
    }

    @Test(arguments: [
        ("500k", 500_000), ("2.5M", 2_500_000), ("1G", 1_000_000_000), ("0.000001", 1),
        ("1000000", 1_000_000_000_000),
    ])
    func `rates have units`(text: String, bits: UInt64) throws {
        #expect(try LinkParameters(text: "rate=\(text)").rateBitsPerSecond == bits)
    }

    @Test func `queues are bytes or time`() throws {
        #expect(try LinkParameters(text: "rate=8,queue=100ms").queueBytesMax == 100_000)
        #expect(try LinkParameters(text: "rate=8,queue=2MB").queueBytesMax == 2_097_152)
        #expect(try LinkParameters(text: "queue=100ms").queueBytesMax == 0)
        #expect(try LinkParameters(text: "rate=1000000,queue=60000ms").queueBytesMax == 7_500_000_000_000)
    }

    @Test func `a profile has two directions and may be changed`() throws {
        let down = try LinkParameters(text: "dsl-25")
        let up = try LinkParameters(text: "DSL-25", direction: .up)
        #expect(down.rateBitsPerSecond == 25_000_000 && up.rateBitsPerSecond == 5_000_000)
        let worse = try LinkParameters(text: "dsl-25,loss=2%")
        #expect(worse.loss == .percent(2) && worse.rateBitsPerSecond == 25_000_000)
        #expect(try LinkParameters(text: "none") == LinkParameters())
        #expect(LinkParameters().text == "none")
        #expect(try LinkParameters(text: "lte,rate=none").trace == nil)
    }

    @Test(arguments: LinkProfile.all.map(\.name))
    func `every profile is read in both directions and printed again`(name: String) throws {
        let profile = try #require(LinkProfile.named(name))
        for direction in [LinkDirection.down, .up] {
            let link = try LinkParameters(text: name, direction: direction)
            #expect(try LinkParameters(text: profile.text(direction)) == link)
            #expect(try LinkParameters(text: link.text) == link)
            #expect(link.meanRateBitsPerSecond != nil && link.delay > .zero && link.loss > .zero)
            // A slice's datagrams must fit, and something must be able to wait.
            #expect(link.mtuBytes >= 1_280 + 60 && link.queueBytesMax >= 1_500)
        }
        #expect(profile.about.hasSuffix(".") && !profile.source.isEmpty)
    }

    @Test func `the specification's table is the program's`() throws {
        let spec = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Protocol-Spec/80-link-model.md")
        let lines = try String(contentsOf: spec, encoding: .utf8).split(separator: "\n").map(String.init)
        for profile in LinkProfile.all {
            let up = profile.up == profile.down ? "the same" : "`\(profile.up)`"
            let row = "| `\(profile.name)` | `\(profile.down)` | \(up) |"
            let isThere = lines.contains(row)
            #expect(isThere, "\(row)")
        }
    }

    @Test func `there are 24 profiles, each with a name of its own, and none besides`() {
        #expect(LinkProfile.all.count == 24)
        #expect(Set(LinkProfile.all.map(\.name)).count == 24)
        #expect(LinkProfile.all.allSatisfy { $0.name == $0.name.lowercased() && $0.name != "none" })
        #expect(LinkProfile.named("none")?.parameters(.down) == LinkParameters())
    }

    @Test(arguments: [
        ("lose=0.01", "link \"lose=0.01\": unknown key \"lose\"; did you mean \"loss\"?"),
        ("rate=25,latency=3", "link \"rate=25,latency=3\": unknown key \"latency\""),
        ("starling", "link \"starling\": there is no profile \"starling\"; did you mean \"starlink\"?"),
        (
            "rate=fast",
            "link \"rate=fast\": rate=fast is not a rate in Mbit/s (or with a unit: 500k, 2.5M, 1G), at most 1,000,000 Mbit/s"
        ),
        ("loss=1.5", "link \"loss=1.5\": loss=1.5 is not a share between 0 and 1 (0.01, or 1%)"),
        ("rate=25,rate=3", "link \"rate=25,rate=3\": \"rate\" is set twice"),
        ("delay=5,rtt=3", "link \"delay=5,rtt=3\": \"rtt\" is set twice"),
        ("rate=25,dsl-25", "link \"rate=25,dsl-25\": \"dsl-25\" has no value; settings are key=value"),
    ])
    func `a mistake is one sentence`(text: String, sentence: String) {
        let error = #expect(throws: LinkTextError.self) { _ = try LinkParameters(text: text) }
        #expect(error?.description == sentence)
    }

    @Test(arguments: [
        "", ",", "rate=", "rate=-1", "rate=0", "rate=1e3", "rate=1000001", "rate=.5", "rate=5.",
        "rate=1.0000001",
        "rate=99999999999999999999",
        "delay=60001", "rtt=-1", "jitter=1s", "loss=101%", "loss=0.0000000000001", "burst=0.5", "burst=1001",
        "queue=-5", "queue=2GB",
        "queue=9999999999999KB", "queue=1.5KB", "aqm=red", "mtu=67", "mtu=65536", "overhead=1001", "trace=",
        "trace=5",
        "trace=5@", "trace=0:0@10",
        "trace=5:x@10", "trace=5@0", "bucket=1.5", "reorderby=0", "rate=25,,loss=1", "=5", "loss=%",
        "duplicate=2",
        "good=5", "badms=3", "good=5,badms=3", "good=5,bad=2,loss=1%", "good=0.5,bad=2",
        "goodms=3600001,badms=1",
        "goodms=0,badms=1", "lossbad=1", "lossgood=2,good=5,bad=3", "good=5,bad=3,burst=2", "policer=0",
        "policerburst=5", "policerburst=0,policer=3", "policer=fast", "ecn=yes", "outage=5", "outage=5+",
        "outage=+5",
        "outage=5+0", "outage=5+3/3", "outage=5+3/2", "outage=5+3/", "outage=5+3/9/9", "outage=-1+3",
        "outage=5s+3601s", "outage=604801s+1", "outage=99999999999999999999s+1", "scale=2", "scale=",
        "corrupt=NaN", "rate=２５",
    ])
    func `anything else is refused`(text: String) {
        #expect(throws: LinkTextError.self) { _ = try LinkParameters(text: text) }
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `printing and reading give the same link, and mangled text never traps`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<300 {
            var link = LinkParameters()
            if random.below(2) == 0 { link.rateBitsPerSecond = 1 + random.below(LinkLimits.bitsPerSecondMax) }
            if random.below(4) == 0 {
                link.rateBitsPerSecond = nil
                link.trace = RateTrace(
                    bitsPerSecond: (0...random.below(5)).map { _ in 1 + random.below(1 << 30) },
                    step: .milliseconds(1 + Int64(random.below(1_000))))
            }
            link.queue =
                random.below(2) == 0
                ? .bytes(Int(random.below(1 << 30))) : .time(.nanoseconds(Int64(random.below(1 << 34))))
            link.delay = .nanoseconds(Int64(random.below(1 << 35)))
            link.jitter = .nanoseconds(Int64(random.below(1 << 35)))
            link.loss = Probability(partsPerTrillion: random.below(Probability.scale))
            link.lossBurstThousandths = 1_000 + random.below(999_000)
            link.corrupt = Probability(partsPerTrillion: random.below(Probability.scale))
            link.mtuBytes = 68 + Int(random.below(1_000))
            if random.below(3) == 0 {
                link.policer = PolicerParameters(
                    bitsPerSecond: 1 + random.below(1 << 36), burstBytes: 1 + Int(random.below(1 << 20)))
            }
            if random.below(3) == 0 {
                let length = 1_000 + Int64(random.below(1 << 40))
                link.outage = Outage(
                    start: .nanoseconds(Int64(random.below(1 << 48))), length: .nanoseconds(length),
                    every: random.below(2) == 0
                        ? nil : .nanoseconds(length + 1 + Int64(random.below(1 << 40))))
            }
            if random.below(3) == 0 {
                link.loss = .zero
                link.lossBurstThousandths = 1_000
                link.lossStates = LossStates(
                    random.below(2) == 0
                        ? .datagrams(
                            goodThousandths: 1_000 + random.below(1 << 29),
                            badThousandths: 1_000 + random.below(1 << 29))
                        : .time(
                            good: .nanoseconds(1_000 + Int64(random.below(1 << 41))),
                            bad: .nanoseconds(1_000 + Int64(random.below(1 << 41)))),
                    lossGood: Probability(partsPerTrillion: random.below(Probability.scale)),
                    lossBad: Probability(partsPerTrillion: random.below(Probability.scale)))
            }
            link.marksECN = random.below(2) == 0
            let text = link.text
            #expect(try LinkParameters(text: text) == link, "seed \(seed): \(text)")
            var bytes = Array(text.utf8)
            for _ in 0...random.below(3) {
                bytes[Int(random.below(UInt64(bytes.count)))] =
                    Array("=,.%0@:km9".utf8)[Int(random.below(10))]
            }
            // Whatever was read must also be usable.
            if let mangled = try? LinkParameters(text: String(decoding: bytes, as: UTF8.self)) {
                var model = LinkModel(mangled, seed: Seed(seed))
                for i in 0..<50 as Range<UInt64> {
                    _ = model.pass(
                        bytes: Int(random.below(70_000)), now: Instant(nanoseconds: i * random.below(1 << 40))
                    )
                }
                _ = model.pass(bytes: 1_000, now: .distantFuture)
            }
        }
    }
}

struct SuggestionTests {
    @Test func `near names are suggested and far ones are not`() {
        #expect(Suggestion.nearest(to: "lose", among: ["loss", "rate"]) == "loss")
        #expect(Suggestion.nearest(to: "RATE", among: ["loss", "rate"]) == "rate")
        // Two neighbours swapped are one edit.
        #expect(Suggestion.nearest(to: "tsp", among: ["zipf", "tps", "tokens"]) == "tps")
        #expect(Suggestion.nearest(to: "latency", among: ["loss", "rate"]) == nil)
        #expect(Suggestion.nearest(to: "", among: []) == nil)
    }
}

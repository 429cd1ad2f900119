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
            #expect(lines.contains("| `\(profile.name)` | `\(profile.down)` | \(up) |"))
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

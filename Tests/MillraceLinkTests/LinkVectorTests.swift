import MillraceBase
import MillraceLink
import MillraceTestSupport
import Testing

struct LinkVectorTests {
    static let made:
        [(name: String, why: String, link: String, seed: UInt64, index: UInt64, bytes: Int, every: UInt64)] =
            [
                ("independent-loss", "each datagram is lost for itself", "loss=25%", 1, 0, 100, 1_000_000),
                ("gilbert-loss", "losses come in runs of three", "loss=25%,burst=3", 1, 0, 100, 1_000_000),
                ("index", "the other direction has other losses", "loss=25%,burst=3", 1, 1, 100, 1_000_000),
                (
                    "rate-and-queue", "a remainder is carried, then the tail is dropped", "rate=7,queue=4000",
                    1, 0, 1_000, 700_000
                ),
                (
                    "bucket", "a burst leaves at once, the rest at the rate", "rate=8,bucket=4000,queue=1MB",
                    1, 0, 1_000, 500_000
                ),
                (
                    "trace", "rates in turn, one of them zero", "trace=8:0:3.3@5,queue=1MB", 1, 0, 1_000,
                    1_000_000
                ),
                (
                    "codel", "a standing queue is shortened", "rate=2,queue=10MB,aqm=codel", 1, 0, 1_000,
                    3_500_000
                ),
                (
                    "jitter", "delay wanders in straight lines between knots", "delay=5,jitter=8", 9, 0, 10,
                    3_000_000
                ),
                ("reorder", "some are held back", "delay=5,reorder=20%,reorderby=4", 9, 0, 10, 1_000_000),
                (
                    "copies-and-errors", "duplicates have errors of their own", "duplicate=30%,corrupt=40%",
                    9, 0, 3, 1_000_000
                ),
                (
                    "everything", "all stages at once", "wifi-congested,duplicate=1%,corrupt=1%,aqm=codel",
                    77, 0, 1_232, 480_000
                ),
                (
                    "states-in-datagrams", "two states with shares of their own",
                    "good=8,bad=4,lossgood=5%,lossbad=70%", 1, 0, 100, 1_000_000
                ),
                ("states-in-time", "states last for time", "goodms=9,badms=4", 1, 0, 100, 1_000_000),
                (
                    "states-after-silence", "after a long silence the state is drawn anew",
                    "goodms=3,badms=3,lossbad=90%", 1, 0, 100, 500_000_000
                ),
                (
                    "policer", "what exceeds rate and burst is dropped, nothing waits",
                    "policer=6,policerburst=6000", 1, 0, 1_000, 1_000_000
                ),
                (
                    "outage", "a trace stands still while the link is down",
                    "trace=8:2@3,queue=20000,outage=5+7/30", 1, 0, 1_000, 1_500_000
                ),
                (
                    "outage-without-rate", "what waited leaves at once", "delay=2,outage=5+7/30,queue=4000",
                    1,
                    0, 1_000, 1_000_000
                ),
                (
                    "ecn", "a standing queue is marked", "rate=2,queue=10MB,aqm=codel,ecn=on", 1, 0, 1_000,
                    3_500_000
                ),
                (
                    "too-long", "a packet longer than the link's", "mtu=1280,overhead=40", 1, 0, 1_241,
                    1_000_000
                ),
            ]

    /// Fair queues: datagram *i* is of the flow that digit *i* of `flows` names, over and over.
    static let fair: [(name: String, why: String, link: String, flows: String, bytes: Int, every: UInt64)] = [
        (
            "fq-codel", "a flow of one datagram in four waits for nobody", "rate=2,queue=10MB,aqm=fq-codel",
            "0001", 1_000, 3_500_000
        ),
        (
            "fq-codel-full", "the fattest flow loses its head", "rate=2,queue=9000,aqm=fq-codel", "00102",
            1_000, 1_000_000
        ),
        (
            "fq-codel-ecn", "a standing queue is marked", "rate=2,queue=10MB,aqm=fq-codel,ecn=on", "01",
            1_000, 3_500_000
        ),
    ]

    static let refused: [(name: String, why: String, link: String)] = [
        ("refused-unknown-key", "lose is not a key", "lose=1%"),
        ("refused-repeated", "delay is set twice", "delay=5,rtt=10"),
        ("refused-share", "a share is at most one", "loss=101%"),
        ("refused-digits", "a bit per second cannot be divided", "rate=1.0000001"),
        ("refused-name", "no such profile", "dial-up"),
        ("refused-states", "one length is missing", "goodms=90"),
        ("refused-outage", "longer than its period", "outage=5+30/20"),
        ("refused-scale", "nothing to multiply", "rtt=60,scale=2"),
        ("refused-aqm", "no such management", "rate=2,aqm=red"),
        ("refused-empty", "no text", ""),
    ]

    static func body(
        _ link: String, _ seed: UInt64, _ index: UInt64, _ bytes: Int, _ every: UInt64, _ count: Int,
        flows: String? = nil
    ) throws -> [UInt8] {
        var model = LinkModel(try LinkParameters(text: link), seed: Seed(seed), index: index)
        var passages: [Passage] = []
        if let flows {
            let digits = flows.utf8.map { UInt64($0 &- 48) }
            passages = Array(repeating: Passage(fate: .lost, at: .zero), count: count)
            for i in 0..<count {
                let now = Instant(nanoseconds: UInt64(i) * every)
                let fate = model.offer(
                    bytes: bytes, flow: digits[i % digits.count], token: UInt64(i), now: now)
                if let fate { passages[i] = Passage(fate: fate, at: now) }
            }
            while let next = model.nextService { model.advance(to: next) }
            while let outcome = model.nextOutcome() { passages[Int(outcome.token)] = outcome.passage }
        } else {
            for i in 0..<count {
                passages.append(model.pass(bytes: bytes, now: Instant(nanoseconds: UInt64(i) * every)))
            }
        }
        var out: [UInt8] = []
        for passage in passages {
            out += [passage.fate.rawValue, (passage.isDuplicated ? 1 : 0) + (passage.isMarked ? 2 : 0), 0, 0]
            out.appendLittleEndian(passage.flippedBit)
            out.appendLittleEndian(passage.duplicateFlippedBit)
            out.appendLittleEndian(passage.at.nanoseconds)
        }
        return out
    }

    @Test func `every vector comes out of the model`() throws {
        if VectorFile.isWriting {
            for v in LinkVectorTests.made {
                let count = v.name == "codel" || v.name == "ecn" ? 200 : v.name == "too-long" ? 2 : 64
                let fields = [
                    ("expect", "ok"), ("why", v.why), ("link", v.link), ("seed", "\(v.seed)"),
                    ("index", "\(v.index)"),
                    ("bytes", "\(v.bytes)"), ("everyNanoseconds", "\(v.every)"),
                ]
                let body = try LinkVectorTests.body(v.link, v.seed, v.index, v.bytes, v.every, count)
                try VectorFile(name: v.name, fields: fields.map { (name: $0.0, value: $0.1) }, bytes: body)
                    .write(area: "link")
            }
            for v in LinkVectorTests.fair {
                let fields = [
                    ("expect", "ok"), ("why", v.why), ("link", v.link), ("seed", "1"), ("index", "0"),
                    ("bytes", "\(v.bytes)"), ("everyNanoseconds", "\(v.every)"), ("flows", v.flows),
                ]
                let body = try LinkVectorTests.body(v.link, 1, 0, v.bytes, v.every, 200, flows: v.flows)
                try VectorFile(name: v.name, fields: fields.map { (name: $0.0, value: $0.1) }, bytes: body)
                    .write(area: "link")
            }
            for v in LinkVectorTests.refused {
                let fields = [
                    (name: "expect", value: "refused"), (name: "why", value: v.why),
                    (name: "link", value: v.link),
                ]
                try VectorFile(name: v.name, fields: fields, bytes: []).write(area: "link")
            }
        }
        let all = try VectorFile.all("link")
        #expect(
            all.count == LinkVectorTests.made.count + LinkVectorTests.fair.count
                + LinkVectorTests.refused.count)
        for vector in all {
            let link = try #require(vector["link"])
            guard vector.expect == "ok" else {
                #expect(vector.expect == "refused")
                #expect(throws: LinkTextError.self, "\(vector.name)") { _ = try LinkParameters(text: link) }
                continue
            }
            let seed = try #require(vector["seed"].flatMap { UInt64($0) })
            let index = try #require(vector["index"].flatMap { UInt64($0) })
            let bytes = try #require(vector["bytes"].flatMap { Int($0) })
            let every = try #require(vector["everyNanoseconds"].flatMap { UInt64($0) })
            let found = try LinkVectorTests.body(
                link, seed, index, bytes, every, vector.bytes.count / 20, flows: vector["flows"])
            #expect(found == vector.bytes, "\(vector.name)")
        }
    }
}

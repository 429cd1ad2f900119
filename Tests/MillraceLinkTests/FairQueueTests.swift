/// FQ-CoDel on links (Spec 80.3, rule 6a): what it does to flows, that nothing is lost count of, and that a shell's pipe tells of
/// what is dropped while it waits.

import MillraceBase
import MillraceLink
import Testing

struct FairQueueTests {
    struct Sent { var flow: UInt64; var at: UInt64; var bytes: Int }

    /// Offers all and serves until nothing waits: what became of each, by its number.
    static func outcomes(_ text: String, _ sent: [Sent], seed: UInt64 = 1) throws -> ([Passage], LinkModel) {
        var model = LinkModel(try LinkParameters(text: text), seed: Seed(seed))
        #expect(model.isFair)
        var told: [Passage?] = Array(repeating: nil, count: sent.count)
        func take() throws {
            while let outcome = model.nextOutcome() {
                let index = Int(outcome.token)
                #expect(told[index] == nil, "a datagram has one outcome")
                told[index] = outcome.passage
            }
        }
        for (i, datagram) in sent.enumerated() {
            let now = Instant(nanoseconds: datagram.at)
            let fate = model.offer(bytes: datagram.bytes, flow: datagram.flow, token: UInt64(i), now: now)
            if let fate { told[i] = Passage(fate: fate, at: now) }
            try take()
        }
        while let next = model.nextService {
            model.advance(to: next)
            try take()
        }
        return (try told.map { try #require($0) }, model)
    }

    /// `rate` in Mbit/s offered by a flow, in datagrams of `bytes`, packets and all.
    static func flow(_ flow: UInt64, mbit: Double, bytes: Int, seconds: Double) -> [Sent] {
        let every = Double((bytes + 28) * 8) / mbit * 1_000
        return stride(from: Double(flow) * 1_000, to: seconds * 1e9, by: every).map {
            Sent(flow: flow, at: UInt64($0), bytes: bytes)
        }
    }

    static func merged(_ flows: [[Sent]]) -> [Sent] {
        flows.flatMap { $0 }.sorted { ($0.at, $0.flow) < ($1.at, $1.flow) }
    }

    @Test func `a small flow beside a greedy one hardly waits`() throws {
        let sent = FairQueueTests.merged([
            FairQueueTests.flow(1, mbit: 20, bytes: 1_200, seconds: 5),
            FairQueueTests.flow(2, mbit: 1, bytes: 200, seconds: 5),
        ])
        let (told, _) = try FairQueueTests.outcomes("rate=10,queue=1MB,aqm=fq-codel", sent)
        let small = sent.indices.filter { sent[$0].flow == 2 }
        // At most two of the greedy flow's packets, and its own, go before it: 982 µs each.
        for i in small {
            #expect(told[i].isDelivered)
            #expect((told[i].at - Instant(nanoseconds: sent[i].at)).microseconds < 3_200)
        }
        // First in, first out, the same flow waits in the greedy one's queue.
        var plain = LinkModel(try LinkParameters(text: "rate=10,queue=1MB"), seed: Seed(1))
        var worst = Interval.zero
        for datagram in sent {
            let now = Instant(nanoseconds: datagram.at)
            let passage = plain.pass(bytes: datagram.bytes, now: now)
            if datagram.flow == 2, passage.isDelivered { worst = max(worst, passage.at - now) }
        }
        #expect(worst > .milliseconds(400))
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `greedy flows get equal shares, whatever each offers`(seed: UInt64) throws {
        let sent = FairQueueTests.merged([
            FairQueueTests.flow(1, mbit: 40, bytes: 1_200, seconds: 4),
            FairQueueTests.flow(2, mbit: 12, bytes: 1_200, seconds: 4),
            FairQueueTests.flow(3, mbit: 15, bytes: 300, seconds: 4),
        ])
        let (told, model) = try FairQueueTests.outcomes("rate=12,queue=200000,aqm=fq-codel", sent, seed: seed)
        var bytes: [UInt64: Int] = [:]
        for i in sent.indices where told[i].isDelivered && told[i].at < .zero + .seconds(4) {
            bytes[sent[i].flow, default: 0] += sent[i].bytes + 28
        }
        // 12 Mbit/s for four seconds, by three.
        for flow in [1, 2, 3] as [UInt64] {
            let share = Double(bytes[flow] ?? 0) / 2_000_000
            #expect(share > 0.97 && share < 1.03, "flow \(flow) has \(share) of its share")
        }
        #expect(model.counters.queueFull > 0)
        #expect(model.counters.offeredDatagrams == UInt64(sent.count))
        let delivered = UInt64(told.count { $0.isDelivered })
        #expect(model.counters.deliveredDatagrams == delivered)
        #expect(
            model.counters.queueFull + model.counters.managed + delivered == UInt64(sent.count))
    }

    @Test func `one flow that is never idle passes exactly the rate`() throws {
        let sent = FairQueueTests.flow(7, mbit: 14, bytes: 1_200, seconds: 3)
        let (told, _) = try FairQueueTests.outcomes("rate=7.3,queue=1MB,aqm=fq-codel", sent)
        let delivered = told.filter(\.isDelivered)
        let last = try #require(delivered.map(\.at).max())
        // The first begins at 7 µs.
        let bits = UInt64(delivered.count) * 1_228 * 8
        #expect(last.nanoseconds == 7_000 + bits * 1_000_000_000 / 7_300_000)
    }

    @Test func `a standing queue of one flow is shortened, and marked instead where marks are on`() throws {
        let sent = FairQueueTests.flow(1, mbit: 11, bytes: 1_200, seconds: 20)
        let (dropped, model) = try FairQueueTests.outcomes("rate=10,queue=10MB,aqm=fq-codel", sent)
        #expect(model.counters.managed > 100 && model.counters.queueFull == 0)
        let late = sent.indices.suffix(2_000).filter { dropped[$0].isDelivered }
        let waits = late.map { (dropped[$0].at - Instant(nanoseconds: sent[$0].at)).microseconds }.sorted()
        // Held near the target of 5 ms: first in, first out without management it would be 2 s by now.
        #expect(waits[waits.count / 2] < 100_000)
        let (marked, marking) = try FairQueueTests.outcomes(
            "rate=10,queue=10MB,aqm=fq-codel,ecn=on", Array(sent.prefix(4_000)))
        #expect(marking.counters.managed == 0 && marking.counters.marked > 10)
        let (arrived, signs) = (marked.filter(\.isDelivered).count, marked.filter(\.isMarked).count)
        #expect(arrived == marked.count && signs > 10)
    }

    @Test func `a datagram alone always has room, and the fattest flow pays for the rest`() throws {
        let sent =
            (0..<40).map { FairQueueTests.Sent(flow: 1, at: 0, bytes: 1_000 + $0 % 2) }
            + [FairQueueTests.Sent(flow: 2, at: 1, bytes: 1_000)]
        let (told, _) = try FairQueueTests.outcomes("rate=1,queue=10000,aqm=fq-codel", sent)
        #expect(told[40].isDelivered)
        #expect(told.prefix(40).contains { $0.fate == .queueFull })
        let (alone, _) = try FairQueueTests.outcomes(
            "rate=1,queue=1,aqm=fq-codel", [FairQueueTests.Sent(flow: 1, at: 0, bytes: 1_000)])
        #expect(alone[0].isDelivered)
    }

    @Test func `an outage holds a fair queue, and nothing is forgotten`() throws {
        let sent = FairQueueTests.merged([
            FairQueueTests.flow(1, mbit: 1, bytes: 500, seconds: 1),
            FairQueueTests.flow(2, mbit: 1, bytes: 500, seconds: 1),
        ])
        let (told, _) = try FairQueueTests.outcomes("rate=10,queue=1MB,aqm=fq-codel,outage=200+300", sent)
        for passage in told where passage.isDelivered {
            #expect(!(passage.at > .zero + .milliseconds(200) && passage.at < .zero + .milliseconds(500)))
        }
        #expect(told.count { $0.isDelivered } > sent.count / 2)
    }

    @Test(arguments: [1, 2, 3, 4] as [UInt64])
    func `a pipe tells of every token once, dropped or not`(seed: UInt64) throws {
        var draws = Seed(seed).generator("fair pipe")
        var pipe = LinkPipe(
            try LinkParameters(text: "rate=5,queue=20000,aqm=fq-codel,delay=3,loss=5%,duplicate=10%"),
            seed: Seed(seed))
        var open: Set<UInt64> = []
        var arrived = 0
        var dropped = 0
        var now = Instant.zero
        func take() {
            while let arrival = pipe.popDelivered(now: now) {
                #expect(arrival.at <= now)
                if arrival.isDropped { dropped += 1 } else { arrived += 1 }
                if arrival.isLast { #expect(open.remove(arrival.token) != nil) }
            }
        }
        for token in 0..<3_000 as Range<UInt64> {
            now = now + .microseconds(Int64(draws.below(1_600)))
            take()
            let bytes = 1 + Int(draws.below(1_200))
            if pipe.send(bytes: bytes, token: token, flow: draws.below(5), now: now) == .delivered {
                open.insert(token)
            }
        }
        while let next = pipe.nextDeadline {
            now = max(now, next)
            take()
        }
        #expect(open.isEmpty && pipe.count == 0)
        #expect(dropped > 0 && arrived > 1_000)
    }

    @Test func `the text form names it`() throws {
        let link = try LinkParameters(text: "rate=10,aqm=fq-codel")
        #expect(link.management == .fairCoDel)
        #expect(try LinkParameters(text: link.text) == link)
        // Without a rate nothing waits, and any link answers at once.
        #expect(!LinkModel(try LinkParameters(text: "aqm=fq-codel,delay=5"), seed: Seed(1)).isFair)
    }
}

struct OriginTests {
    @Test func `traces and outages count from the link's origin`() throws {
        let text = "trace=8:0:3.3@5,queue=1MB"
        let origin = Instant.zero + .milliseconds(3_007)
        var early = LinkModel(try LinkParameters(text: text), seed: Seed(1))
        var late = LinkModel(try LinkParameters(text: text), seed: Seed(1), origin: origin)
        for i in 0..<60 as Range<Int64> {
            let after = Interval.microseconds(i * 900)
            let one = early.pass(bytes: 1_000, now: .zero + after)
            let two = late.pass(bytes: 1_000, now: origin + after)
            #expect(one.at - .zero == two.at - origin)
        }
        var model = LinkModel(
            try LinkParameters(text: "rate=100,outage=5+10/100"), seed: Seed(1), origin: origin)
        #expect(!model.isDown(at: .zero + .milliseconds(8)))
        #expect(!model.isDown(at: origin + .milliseconds(4)))
        #expect(model.isDown(at: origin + .milliseconds(5)) && model.isDown(at: origin + .milliseconds(114)))
        #expect(model.pass(bytes: 100, now: origin + .milliseconds(6)).at >= origin + .milliseconds(15))
    }
}

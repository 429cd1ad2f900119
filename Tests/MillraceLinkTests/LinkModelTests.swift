import MillraceBase
import MillraceLink
import Testing

func link(_ text: String, seed: UInt64 = 1) throws -> LinkModel {
    LinkModel(try LinkParameters(text: text), seed: Seed(seed))
}

struct RateAndQueueTests {
    @Test(arguments: ["rate=25,queue=1MB", "rate=7.3,queue=100ms", "rate=1.000001,queue=20000,overhead=0"])
    func `a link that is never idle passes exactly its rate`(text: String) throws {
        var model = try link(text)
        let parameters = model.parameters
        let rate = try #require(parameters.rateBitsPerSecond)
        // Offered at twice the rate, in datagrams of odd sizes.
        var now = Instant.zero
        var random = SeededGenerator(seed: 5)
        var wireBytes: UInt64 = 0
        var last = Instant.zero
        let end = Instant.zero + .seconds(8)
        var backwards = 0
        while now < end {
            let bytes = 1 + Int(random.below(1_400))
            let passage = model.pass(bytes: bytes, now: now)
            if passage.isDelivered {
                wireBytes += UInt64(bytes + parameters.overheadBytes)
                if passage.at < last { backwards += 1 }
                last = passage.at
            }
            now = now + .nanoseconds(Int64(UInt64(bytes + parameters.overheadBytes) * 4_000_000_000 / rate))
        }
        #expect(backwards == 0)
        // The last one leaves when all bits before it have left: exact to the nanosecond, no drift in a million datagrams.
        #expect(last.nanoseconds == UInt64((wireBytes * 8).multipliedFullWidth(by: 1_000_000_000).low / rate))
        #expect(model.counters.queueFull > 0)
        #expect(model.counters.queueBytesPeak <= parameters.queueBytesMax)
    }

    @Test(arguments: [1, 2, 3, 4, 5, 6] as [UInt64])
    func `rate, bucket and tail drop agree with a naive model`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var parameters = LinkParameters()
        let rate = 1_000_000 + random.below(50_000_000)
        parameters.rateBitsPerSecond = rate
        parameters.queue = .bytes(Int(random.below(30_000)))
        parameters.bucketBytes = seed % 2 == 0 ? 0 : Int(random.below(10_000))
        var model = LinkModel(parameters, seed: Seed(seed))

        // Naive: everything in bit-nanoseconds since zero, everything remembered.
        var departures: [(at: UInt64, bytes: Int)] = []
        var finish: UInt64 = 0  // in 1/rate ns
        let bucket = UInt64(parameters.bucketBytes) * 8 * 1_000_000_000 / rate
        var now: UInt64 = 0
        for _ in 0..<3_000 {
            now += random.below(2 * 8 * 700 * 1_000_000_000 / rate)
            if random.below(100) == 0 { now += 50_000_000 }
            let bytes = Int(random.below(1_300))
            let wire = bytes + 28
            let backlog = departures.filter { $0.at > now }.map(\.bytes).reduce(0, +)
            let passage = model.pass(bytes: bytes, now: Instant(nanoseconds: now))
            if backlog > 0, backlog + wire > parameters.queueBytesMax {
                #expect(passage.fate == .queueFull, "seed \(seed)")
                continue
            }
            // Whole nanoseconds begin a busy period; inside one the remainder is kept.
            if finish / rate < now { finish = now * rate }
            finish += UInt64(wire) * 8 * 1_000_000_000
            let busy = finish / rate
            let at = max(now, busy > bucket ? busy - bucket : 0)
            #expect(passage.isDelivered && passage.at.nanoseconds == at, "seed \(seed)")
            departures.append((at, wire))
        }
        #expect(model.counters.offeredDatagrams == 3_000)
    }

    @Test func `a bucket lets a burst through at once and keeps the rate`() throws {
        var model = try link("rate=8,bucket=10000,queue=1MB,overhead=0")  // 1 byte a microsecond
        let times = (0..<30).map { _ in model.pass(bytes: 1_000, now: .zero).at.nanoseconds }
        #expect(times.prefix(10).allSatisfy { $0 == 0 })
        #expect(Array(times[10...]) == (1...20).map { UInt64($0) * 1_000_000 })
    }

    @Test func `nothing waits longer than the queue is long`() throws {
        var model = try link("rate=10,queue=50ms")
        var worst = Interval.zero
        for i in 0..<20_000 {
            let now = Instant.zero + .microseconds(Int64(i) * 500)
            let passage = model.pass(bytes: 1_000, now: now)
            if passage.isDelivered { worst = max(worst, passage.at - now) }
        }
        #expect(worst <= .milliseconds(50) && worst > .milliseconds(48))
        let share = Double(model.counters.queueFull) / 20_000
        // 16.4 Mbit/s offered on 10: 39 % must go.
        #expect(abs(share - (1 - 10 / (1_028 * 8 / 500.0))) < 0.01)
    }

    @Test func `an empty queue admits a datagram of any size, and a link without rate never queues`() throws {
        var small = try link("rate=1,queue=10")
        #expect(small.pass(bytes: 1_200, now: .zero).isDelivered)
        #expect(small.pass(bytes: 1_200, now: .zero).fate == .queueFull)
        var free = try link("delay=5")
        for _ in 0..<100 { #expect(free.pass(bytes: 1_200, now: .zero).at == .zero + .milliseconds(5)) }
        #expect(free.queuedBytes(now: .zero) == 0)
    }

    @Test func `a trace is followed step by step`() throws {
        // 8 Mbit/s, nothing, 4 Mbit/s, 100 ms each: 1,000 bytes take 1 ms, then wait, then 2 ms.
        var model = try link("trace=8:0:4@100,overhead=0,queue=10MB")
        let times = (0..<160).map { _ in model.pass(bytes: 1_000, now: .zero).at.nanoseconds / 1_000 }
        #expect(times[0] == 1_000 && times[99] == 100_000)
        #expect(times[100] == 202_000 && times[149] == 300_000)
        #expect(times[150] == 301_000)
        // Mean 4 Mbit/s over a long time.
        var long = try link("trace=8:0:4@100,overhead=0,queue=10MB")
        var last = Instant.zero
        for i in 0..<5_000 { last = long.pass(bytes: 1_000, now: .zero + .milliseconds(Int64(i) * 2)).at }
        #expect(last <= .zero + .milliseconds(10_200))
    }

    @Test func `CoDel leaves a light load alone and shortens a standing queue`() throws {
        func meanWait(_ text: String, microsecondsApart: Int64) throws -> (Double, LinkCounters) {
            var model = try link(text)
            var sum = 0.0
            for i in 0..<40_000 {
                let now = Instant.zero + .microseconds(Int64(i) * microsecondsApart)
                let passage = model.pass(bytes: 1_222, now: now)
                if passage.isDelivered, i >= 20_000 { sum += (passage.at - now).asMilliseconds }
            }
            let delivered = model.counters.deliveredDatagrams
            return (sum / Double(max(delivered / 2, 1)), model.counters)
        }
        // 1,250 bytes at 10 Mbit/s take 1 ms.
        let light = try meanWait("rate=10,queue=200ms,aqm=codel", microsecondsApart: 1_100)
        #expect(light.1.managed == 0 && light.1.queueFull == 0)
        let tail = try meanWait("rate=10,queue=200ms", microsecondsApart: 970)
        let managed = try meanWait("rate=10,queue=200ms,aqm=codel", microsecondsApart: 970)
        #expect(tail.0 > 190)
        #expect(managed.0 < 40)
        #expect(managed.1.managed > 0 && managed.1.queueFull == 0)
        // It drops about what does not fit, not more than a little beyond.
        #expect(Double(managed.1.managed) < 40_000 * 0.06)
    }
}

struct LossTests {
    /// Mean loss and mean burst length over n datagrams.
    func measure(_ text: String, _ n: Int, seed: UInt64) throws -> (
        loss: Double, burst: Double, histogram: [Int: Int]
    ) {
        var model = try link(text, seed: seed)
        var lost = 0
        var bursts: [Int: Int] = [:]
        var run = 0
        for i in 0..<n {
            let fate = model.pass(bytes: 100, now: Instant(nanoseconds: UInt64(i) * 1_000)).fate
            if fate == .lost {
                lost += 1
                run += 1
            } else if run > 0 {
                bursts[run, default: 0] += 1
                run = 0
            }
        }
        #expect(model.counters.lost == UInt64(lost))
        let count = bursts.values.reduce(0, +)
        return (
            Double(lost) / Double(n),
            Double(bursts.reduce(0) { $0 + $1.key * $1.value }) / Double(max(count, 1)), bursts
        )
    }

    @Test(arguments: [0.001, 0.02, 0.3], [1, 2] as [UInt64])
    func `independent losses come at their rate`(p: Double, seed: UInt64) throws {
        let n = 100_000
        let found = try measure("loss=\(p)", n, seed: seed)
        let sigma = (p * (1 - p) / Double(n)).squareRoot()
        #expect(abs(found.loss - p) < 5 * sigma, "seed \(seed)")
        #expect(abs(found.burst - 1 / (1 - p)) < 0.1, "seed \(seed)")
    }

    @Test(arguments: [(0.01, 3.0), (0.02, 8.0), (0.2, 2.5)], [1, 2] as [UInt64])
    func `losses in bursts have the stationary rate and the mean length asked for`(
        pb: (Double, Double), seed: UInt64
    ) throws {
        let (p, b) = pb
        let n = 200_000
        let found = try measure("loss=\(p),burst=\(b)", n, seed: seed)
        // Gilbert: the variance of the mean is that of independent losses times (1+λ)/(1−λ), λ = 1 − r − q.
        let r = 1 / b
        let q = r * p / (1 - p)
        let lambda = 1 - r - q
        let sigma = (p * (1 - p) / Double(n) * (1 + lambda) / (1 - lambda)).squareRoot()
        #expect(abs(found.loss - p) < 5 * sigma, "seed \(seed): \(found.loss)")
        let bursts = Double(n) * p / b
        let sigmaBurst = (b * b * (1 - r) / bursts).squareRoot()
        #expect(abs(found.burst - b) < 5 * sigmaBurst, "seed \(seed): \(found.burst)")
        // Geometric: a share r of the bursts has length one.
        let ones = Double(found.histogram[1, default: 0]) / bursts
        #expect(abs(ones - r) < 6 * (r / bursts).squareRoot() + 5 * sigma / p, "seed \(seed)")
    }

    @Test func `certain loss and none are exact`() throws {
        #expect(try measure("loss=1,burst=3", 1_000, seed: 1).loss == 1)
        #expect(try measure("loss=0,burst=3", 1_000, seed: 1).loss == 0)
    }

    @Test func `losses take the link's time, for they happen behind the queue`() throws {
        var model = try link("rate=8,overhead=0,queue=10MB,loss=50%")
        var last = Instant.zero
        for _ in 0..<1_000 { last = model.pass(bytes: 1_000, now: .zero).at }
        #expect(last.nanoseconds == 1_000_000_000)
    }
}

struct DelayTests {
    @Test(arguments: [
        "delay=20,jitter=5", "delay=50,jitter=30", "delay=2,jitter=10", "rate=40,delay=20,jitter=7",
    ])
    func `jitter stays within its width, is centred, and reorders nothing`(text: String) throws {
        var model = try link(text)
        let delay = model.parameters.delay.asMilliseconds
        let width = model.parameters.jitter.asMilliseconds
        var last = Instant.zero
        var sum = 0.0
        var least = Double.infinity
        var most = 0.0
        var backwards = 0
        let n = 50_000
        for i in 0..<n {
            let now = Instant.zero + .microseconds(Int64(i) * 1_200)
            let at = model.pass(bytes: 1_000, now: now).at
            if at < last { backwards += 1 }
            last = at
            let taken = (at - now).asMilliseconds
            sum += taken
            least = min(least, taken)
            most = max(most, taken)
        }
        #expect(backwards == 0)
        #expect(least >= max(delay - width, 0) - 0.001)
        let transmission = model.parameters.rateBitsPerSecond == nil ? 0 : 0.206
        #expect(most <= delay + width + transmission)
        #expect(most > delay + width * 0.6)
        if delay >= width { #expect(abs(sum / Double(n) - delay - transmission) < width * 0.2) }
    }

    @Test func `a share of datagrams is overtaken`() throws {
        var pipe = LinkPipe(try LinkParameters(text: "delay=10,reorder=5%,reorderby=3"), seed: Seed(3))
        var order: [UInt64] = []
        for i in 0..<20_000 as Range<UInt64> {
            let now = Instant.zero + .microseconds(Int64(i) * 100)
            while let arrival = pipe.popDelivered(now: now) { order.append(arrival.token) }
            _ = pipe.send(bytes: 100, token: i, now: now)
        }
        while let arrival = pipe.popDelivered(now: .distantFuture) { order.append(arrival.token) }
        #expect(order.sorted() == Array(0..<20_000))
        var highest: UInt64 = 0
        var late = 0
        for token in order {
            if token < highest { late += 1 }
            highest = max(highest, token)
        }
        // Held back by less than the 100 µs to the next one, a datagram keeps its place: 1 in 30.
        #expect((700...1_150).contains(late))
        #expect((850...1_150).contains(Int(pipe.model.counters.reordered)))
    }
}

struct CopyTests {
    @Test func `duplicates and flipped bits come at their rates and touch nothing else`() throws {
        var plain = try link("delay=10,jitter=2,loss=5%,burst=2,reorder=1%")
        var full = try link("delay=10,jitter=2,loss=5%,burst=2,reorder=1%,duplicate=2%,corrupt=3%")
        let n = 60_000
        var bits: Set<UInt32> = []
        var differences = 0
        for i in 0..<n {
            let now = Instant.zero + .microseconds(Int64(i) * 50)
            let a = plain.pass(bytes: 10, now: now)
            let b = full.pass(bytes: 10, now: now)
            if a.fate != b.fate || a.at != b.at { differences += 1 }
            if b.flippedBit != Passage.noBit { bits.insert(b.flippedBit) }
            if b.isDuplicated, b.duplicateAt != b.at { differences += 1 }
        }
        #expect(differences == 0)
        let delivered = Double(full.counters.deliveredDatagrams)
        #expect(abs(Double(full.counters.duplicated) / delivered - 0.02) < 0.003)
        #expect(abs(Double(full.counters.corrupted) / (delivered * 1.02) - 0.03) < 0.004)
        #expect(bits == Set(0..<80))
    }

    @Test func `too long a datagram vanishes, and an empty one has no bit to flip`() throws {
        var model = try link("mtu=1280,corrupt=100%")
        #expect(model.pass(bytes: 1_252, now: .zero).isDelivered)
        #expect(model.pass(bytes: 1_253, now: .zero).fate == .tooLong)
        #expect(model.pass(bytes: 0, now: .zero).flippedBit == Passage.noBit)
        #expect(model.pass(bytes: 1, now: .zero).flippedBit < 8)
    }

    @Test func `a pipe hands out every copy and says which is the last`() throws {
        var pipe = LinkPipe(try LinkParameters(text: "delay=1,duplicate=100%"), seed: Seed(1))
        #expect(pipe.nextDeadline == nil)
        for token in 0..<3 as Range<UInt64> {
            #expect(pipe.send(bytes: 9, token: token, now: .zero) == .delivered)
        }
        #expect(pipe.count == 6)
        #expect(pipe.nextDeadline == .zero + .milliseconds(1))
        #expect(pipe.popDelivered(now: .zero) == nil)
        var seen: [String] = []
        while let arrival = pipe.popDelivered(now: .zero + .milliseconds(1)) {
            seen.append("\(arrival.token)\(arrival.isLast ? "." : "")")
        }
        #expect(seen == ["0", "0.", "1", "1.", "2", "2."])
    }
}

struct DeterminismTests {
    @Test func `equal seeds give equal links, other seeds and indexes others`() throws {
        let parameters = try LinkParameters(text: "wifi-congested,duplicate=1%,corrupt=1%")
        func run(_ seed: UInt64, _ index: UInt64) -> [Passage] {
            var model = LinkModel(parameters, seed: Seed(seed), index: index)
            return (0..<2_000).map {
                model.pass(bytes: 1_000, now: Instant(nanoseconds: UInt64($0) * 300_000))
            }
        }
        #expect(run(1, 0) == run(1, 0))
        #expect(run(1, 0) != run(2, 0))
        #expect(run(1, 0) != run(1, 1))
    }

    @Test func `time that runs backwards is taken as standing still`() throws {
        var model = try link("rate=1,delay=1")
        let first = model.pass(bytes: 100, now: .zero + .seconds(5))
        let second = model.pass(bytes: 100, now: .zero)
        #expect(second.at > first.at)
    }

    @Test(arguments: [
        "delay=5", "rate=10,queue=4000,mtu=1000", "rate=25,rtt=100,loss=10%,burst=3,jitter=2",
        "rate=2,queue=10MB,aqm=codel", "trace=8:0:3.3@5,queue=1MB", "rate=9,outage=300ms+100ms/1s,policer=5",
    ])
    func `a plain link tells by a time what it says in full`(text: String) throws {
        var (full, short) = (try link(text), try link(text))
        #expect(full.isPlain)
        var differing = 0
        for i in 0..<5_000 as Range<UInt64> {
            let now = Instant(nanoseconds: i * 400_000)
            let bytes = i % 50 == 0 ? 1_400 : 900
            let passage = full.pass(bytes: bytes, now: now)
            let at = short.arrival(bytes: bytes, now: now)
            if at != (passage.isDelivered ? passage.at : nil) { differing += 1 }
        }
        #expect(differing == 0)
        #expect(full.counters == short.counters)
    }

    @Test(arguments: [
        "reorder=1%", "duplicate=1%", "corrupt=1%", "rate=9,aqm=fq-codel", "rate=9,aqm=codel,ecn=on",
    ])
    func `a link of which a time does not say all is not plain`(text: String) throws {
        #expect(!(try link(text).isPlain))
    }

    /// Known outputs: a change here changes every simulation.
    @Test func `the first fates of a seed are pinned`() throws {
        var model = try link("rate=25,rtt=100,loss=10%,burst=3,jitter=2", seed: 7)
        var hash: UInt64 = 0
        for i in 0..<5_000 as Range<UInt64> {
            let passage = model.pass(bytes: 1_000, now: Instant(nanoseconds: i * 350_000))
            hash =
                (hash ^ passage.at.nanoseconds ^ UInt64(passage.fate.rawValue) << 60) &* 0x0000_0100_0000_01B3
        }
        #expect(hash == pinned)
    }
    private let pinned: UInt64 = 9_498_907_728_513_557_439
}

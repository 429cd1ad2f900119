import MillraceBase
import MillraceLink
import Testing

/// What the model does against formulas, over fixed seeds: bounds are five standard errors, so nothing here is a matter of
/// luck twice.
struct ClosedFormTests {
    /// Exponential with mean 1, for arrivals; only tests may use floating point.
    private static func exponential(_ random: inout SeededGenerator) -> Double {
        // −ln u by the generator's own bits: u = 2^-k × (1 + f).
        var u = Double(random.next() >> 11) * 0x1p-53
        if u == 0 { u = 0x1p-54 }
        return -logarithm(u)
    }

    /// ln x for x in (0, 1], to 1e-12: the C library is not needed for this.
    private static func logarithm(_ x: Double) -> Double {
        let e = Double(x.exponent)
        let z = (x.significand - 1) / (x.significand + 1)
        var term = z
        var sum = 0.0
        var k = 1.0
        while term.magnitude > 1e-14 {
            sum += term / k
            term *= z * z
            k += 2
        }
        return e * 0.693_147_180_559_945_3 + 2 * sum
    }

    @Test(arguments: [0.5, 0.8, 0.9], [1, 2] as [UInt64])
    func `Poisson arrivals at a constant rate wait as an M/D/1 queue does`(load: Double, seed: UInt64) throws
    {
        // 1,000 bytes at 8 Mbit/s take 1 ms; the mean wait before that is ρ/(2(1−ρ)) ms.
        var model = try link("rate=8,overhead=0,queue=1000MB", seed: seed)
        var random = SeededGenerator(seed: seed)
        // Mean over batches: waits are correlated over about 1/(1−ρ)² services, a batch is much longer.
        let batches = 20
        let perBatch = 5_000
        var now = 0.0
        var means: [Double] = []
        for batch in 0...batches {
            var sum = 0.0
            for _ in 0..<perBatch {
                now += ClosedFormTests.exponential(&random) / load * 1e6
                let sent = Instant(nanoseconds: UInt64(now))
                sum += (model.pass(bytes: 1_000, now: sent).at - sent).asMilliseconds - 1
            }
            if batch > 0 { means.append(sum / Double(perBatch)) }
        }
        let mean = means.reduce(0, +) / Double(batches)
        let variance = means.map { ($0 - mean) * ($0 - mean) }.reduce(0, +) / Double(batches - 1)
        let error = (variance / Double(batches)).squareRoot()
        let wanted = load / (2 * (1 - load))
        #expect(abs(mean - wanted) < 5 * error, "seed \(seed): \(mean) ± \(error), not \(wanted)")
        #expect(error < wanted * 0.12)
    }

    @Test(arguments: [1, 2, 3] as [UInt64])
    func `what a policer passes conforms to its rate and burst over every interval`(seed: UInt64) throws {
        let (rate, burst) = (3_000_000.0, 9_000)
        var model = try link("policer=3,policerburst=\(burst),overhead=0", seed: seed)
        var random = SeededGenerator(seed: seed)
        var now: UInt64 = 0
        var passed: [(at: UInt64, bytes: Int)] = []
        var dropped = 0
        for _ in 0..<4_000 {
            now += random.below(random.below(50) == 0 ? 60_000_000 : 2_000_000)
            let bytes = 1 + Int(random.below(1_400))
            let passage = model.pass(bytes: bytes, now: Instant(nanoseconds: now))
            if passage.isDelivered {
                #expect(passage.at.nanoseconds == now, "a policer delays nothing")
                passed.append((now, bytes))
            } else {
                #expect(passage.fate == .policed)
                dropped += 1
                // It had no choice: with this one, the longest conforming stretch would be too long.
                var room = false
                var sum = bytes
                for p in passed.reversed() {
                    sum += p.bytes
                    if Double(sum) > Double(burst) + rate / 8 * Double(now - p.at) / 1e9 - 1e-6 {
                        room = true; break
                    }
                }
                #expect(room || bytes > burst, "seed \(seed)")
            }
        }
        // No stretch of what passed is above burst + rate × time (checked for every pair of ends).
        var worst = 0.0
        for i in passed.indices {
            var sum = 0
            for j in i..<min(i + 100, passed.count) {
                sum += passed[j].bytes
                worst = max(worst, Double(sum) - rate / 8 * Double(passed[j].at - passed[i].at) / 1e9)
            }
        }
        #expect(worst <= Double(burst) + 1e-6 && worst > Double(burst) * 0.9)
        #expect(model.counters.policed == UInt64(dropped) && dropped > 400)
    }

    @Test(arguments: [(16, 4, 0.05), (12, 2, 0.02), (20, 4, 0.2)], [1, 2] as [UInt64])
    func `more than m of n are lost as often as the binomial says`(block: (Int, Int, Double), seed: UInt64)
        throws
    {
        let (n, m, p) = block
        var model = try link("loss=\(p)", seed: seed)
        let blocks = 20_000
        var failed = 0
        for b in 0..<blocks {
            var lost = 0
            for i in 0..<n
            where !model.pass(bytes: 9, now: Instant(nanoseconds: UInt64(b * n + i))).isDelivered {
                lost += 1
            }
            if lost > m { failed += 1 }
        }
        // P(X ≤ m), term by term.
        var term = 1.0
        for _ in 0..<n { term *= 1 - p }
        var sum = term
        for k in 1...m {
            term *= Double(n - k + 1) / Double(k) * p / (1 - p)
            sum += term
        }
        let wanted = 1 - sum
        let error = (wanted * (1 - wanted) / Double(blocks)).squareRoot()
        #expect(abs(Double(failed) / Double(blocks) - wanted) < 5 * error, "seed \(seed)")
    }

    @Test(arguments: [(50.0, 4.0, 0.01, 0.6), (200.0, 10.0, 0.0, 1.0)], [1, 2] as [UInt64])
    func `states counted in datagrams lose their stationary share`(
        given: (Double, Double, Double, Double), seed: UInt64
    ) throws {
        let (good, bad, lossGood, lossBad) = given
        var model = try link("good=\(good),bad=\(bad),lossgood=\(lossGood),lossbad=\(lossBad)", seed: seed)
        let n = 150_000
        var lost: [Bool] = []
        lost.reserveCapacity(n)
        for i in 0..<n {
            lost.append(!model.pass(bytes: 9, now: Instant(nanoseconds: UInt64(i))).isDelivered)
        }
        let pBad = bad / (good + bad)
        let wanted = pBad * lossBad + (1 - pBad) * lossGood
        #expect(abs(try #require(model.parameters.lossStates).meanLoss - wanted) < 1e-9)
        // Variance of the mean: independent part and the state's, correlated as λ^k with λ = 1 − 1/good − 1/bad.
        let lambda = 1 - 1 / good - 1 / bad
        let state = pBad * (1 - pBad) * (lossBad - lossGood) * (lossBad - lossGood)
        let variance = (wanted * (1 - wanted) + state * 2 * lambda / (1 - lambda)) / Double(n)
        let mean = Double(lost.filter { $0 }.count) / Double(n)
        #expect(abs(mean - wanted) < 5 * variance.squareRoot(), "seed \(seed): \(mean), not \(wanted)")
        // Two in a row: wanted² + the state's covariance at distance one.
        let pairs = Double(zip(lost, lost.dropFirst()).filter { $0 && $1 }.count) / Double(n - 1)
        #expect(abs(pairs - (wanted * wanted + state * lambda)) < 12 * variance.squareRoot(), "seed \(seed)")
    }

    @Test(arguments: [10_000, 100_000, 1_000_000] as [UInt64], [1, 2] as [UInt64])
    func `states counted in time lose the same share whatever the spacing, and for as long`(
        spacing: UInt64, seed: UInt64
    ) throws {
        let (good, bad) = (90.0, 10.0)
        var model = try link("goodms=\(good),badms=\(bad)", seed: seed)
        let n = 150_000
        var lost = 0
        var bursts: [UInt64] = []
        var began: UInt64?
        for i in 0..<n {
            let now = UInt64(i) * spacing
            if model.pass(bytes: 9, now: Instant(nanoseconds: now)).isDelivered {
                if let start = began { bursts.append(now - start) }
                began = nil
            } else {
                lost += 1
                if began == nil { began = now }
            }
        }
        // The share of time in the bad state over T: variance 2·p(1−p)·τ/T, 1/τ = 1/good + 1/bad.
        let p = bad / (good + bad)
        let total = Double(n) * Double(spacing) / 1e6
        let tau = good * bad / (good + bad)
        let error = (2 * p * (1 - p) * tau / total + p * (1 - p) / Double(n)).squareRoot()
        #expect(abs(Double(lost) / Double(n) - p) < 5 * error, "seed \(seed)")
        // A burst lasts about as long as the state (states shorter than the spacing are not all seen).
        if spacing <= 100_000 {
            let mean = Double(bursts.reduce(0, +)) / Double(bursts.count) / 1e6
            #expect(
                abs(mean - bad) < 5 * bad / Double(bursts.count).squareRoot() + 0.2, "seed \(seed): \(mean)")
        }
    }

    @Test func `a link nobody used for a century answers at once`() throws {
        var model = try link("goodms=0.002,badms=0.001,lossbad=0.5,outage=1+1/3,rate=5")
        for year in 0..<1_000 as Range<UInt64> {
            _ = model.pass(bytes: 100, now: Instant(nanoseconds: year * 10_000_000_000_000_000))
        }
        let last = model.pass(bytes: 100, now: .distantFuture)
        #expect(last.at >= Instant(nanoseconds: 10_000_000_000_000_000))
    }
}

struct OutageTests {
    @Test func `nothing leaves during an outage, and what waits leaves after it`() throws {
        // A byte a microsecond; down from 10 ms to 15 ms.
        var model = try link("rate=8,overhead=0,queue=1MB,outage=10+5")
        let times = (0..<20).map { _ in model.pass(bytes: 1_000, now: .zero).at.nanoseconds / 1_000 }
        let wanted = (1...20 as ClosedRange<UInt64>).map { (n: UInt64) -> UInt64 in
            n * 1_000 + (n > 10 ? 5_000 : 0)
        }
        #expect(times == wanted)
        // Sent while it is down; half sent when it goes down.
        var other = try link("rate=8,overhead=0,outage=10+5")
        #expect(
            other.pass(bytes: 1_000, now: .zero + .microseconds(9_500)).at == .zero + .microseconds(15_500))
        #expect(other.pass(bytes: 1_000, now: .zero + .milliseconds(12)).at == .zero + .microseconds(16_500))
        #expect(other.pass(bytes: 1_000, now: .zero + .milliseconds(30)).at == .zero + .milliseconds(31))
    }

    @Test func `arrivals of an outage fill the queue to its limit`() throws {
        var model = try link("rate=8,overhead=0,queue=10000,outage=0s+1s")
        let fates = (0..<30).map { model.pass(bytes: 1_000, now: .zero + .milliseconds($0)).fate }
        #expect(fates.filter { $0 == .delivered }.count == 10 && fates.last == .queueFull)
        // Without a rate they wait too, and leave all at once.
        var free = try link("delay=3,outage=5+5/20")
        #expect(free.pass(bytes: 9, now: .zero + .milliseconds(4)).at == .zero + .milliseconds(7))
        #expect(free.pass(bytes: 9, now: .zero + .milliseconds(5)).at == .zero + .milliseconds(13))
        #expect(free.pass(bytes: 9, now: .zero + .milliseconds(9)).at == .zero + .milliseconds(13))
        #expect(free.pass(bytes: 9, now: .zero + .milliseconds(10)).at == .zero + .milliseconds(13))
        #expect(free.pass(bytes: 9, now: .zero + .milliseconds(27)).at == .zero + .milliseconds(33))
    }

    @Test(arguments: 1...6 as ClosedRange<UInt64>)
    func `outages agree with a model that looks at every microsecond`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let start = random.below(5_000)
        let length = 1 + random.below(2_000)
        let every = length + 1 + random.below(3_000)
        // 8 Mbit/s: a byte a microsecond.
        func text(_ n: UInt64) -> String {
            let thousandths = String(1_000 + n % 1_000).dropFirst()
            return "\(n / 1_000).\(thousandths)"
        }
        var model = try link(
            "rate=8,overhead=0,queue=100MB,outage=\(text(start))+\(text(length))/\(text(every))", seed: seed)
        func isDown(_ at: UInt64) -> Bool { at >= start && (at - start) % every < length }
        var now: UInt64 = 0
        var busy: UInt64 = 0
        for _ in 0..<400 {
            now += random.below(3_000)
            let bytes = 1 + random.below(1_400)
            var at = max(now, busy)
            var left = bytes
            while left > 0 {
                if !isDown(at) { left -= 1 }
                at += 1
            }
            busy = at
            let passage = model.pass(bytes: Int(bytes), now: Instant(nanoseconds: now * 1_000))
            #expect(passage.at.nanoseconds == at * 1_000, "seed \(seed)")
        }
    }

    @Test func `marking takes the place of dropping`() throws {
        func run(_ text: String) throws -> (LinkCounters, Int) {
            var model = try link(text)
            var marked = 0
            for i in 0..<20_000 as Range<Int64> {
                let passage = model.pass(bytes: 1_222, now: .zero + .microseconds(i * 970))
                if passage.isMarked {
                    #expect(passage.isDelivered)
                    marked += 1
                }
            }
            return (model.counters, marked)
        }
        let dropping = try run("rate=10,queue=200ms,aqm=codel")
        #expect(dropping.1 == 0 && dropping.0.managed > 0 && dropping.0.marked == 0)
        // Nobody slows down for the marks here, so the queue stays and the tail is dropped.
        let marking = try run("rate=10,queue=200ms,aqm=codel,ecn=on")
        #expect(marking.1 > 0 && marking.0.marked == UInt64(marking.1) && marking.0.managed == 0)
        let idle = try run("rate=20,queue=200ms,aqm=codel,ecn=on")
        #expect(idle.1 == 0)
    }
}

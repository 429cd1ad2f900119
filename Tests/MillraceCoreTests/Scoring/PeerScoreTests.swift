import MillraceBase
import Testing

@testable import MillraceCore

@Suite struct `Peer scores` {
    // MARK: Withholding

    @Test(
        arguments: [(50, 1), (50, 8), (200, 1), (200, 20), (400, 30)] as [(UInt64, UInt64)],
        [UInt64(1), 2, 3])
    func `an honest relay behind a lossy line is not punished`(_ line: (UInt64, UInt64), _ seed: UInt64) {
        var peer = ScoredLine(seed: seed)
        (peer.lossPerMille, peer.burst) = line
        // The best parent's line is as bad: it is ours.
        peer.best.lossPerMille = Int(line.0)
        _ = peer.run(heights: 3_000)
        #expect(peer.score.report().withheldSlow.value == 0)
        #expect(peer.standings.allSatisfy { $0 == .good }, "\(peer.score.report())")
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `a line much worse than the others' moves stripes and does no more`(_ seed: UInt64) {
        var peer = ScoredLine(seed: seed)
        peer.lossPerMille = 300
        peer.best.lossPerMille = 10
        _ = peer.run(heights: 6_000)
        #expect(peer.standings.last == .deferred)
        #expect(!peer.standings.contains(.probation) && !peer.standings.contains(.banned))
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5, 6, 7, 8])
    func `a stealth dropper of 30 percent is found within two seconds at 5 percent loss`(_ seed: UInt64) {
        var peer = ScoredLine(seed: seed)
        peer.lossPerMille = 50
        peer.burst = 3
        peer.withheldPerMille = 300
        let found = peer.run(heights: 1_000, until: .probation)
        #expect(
            found.map { $0 <= .milliseconds(2_000) } == true, "seed \(seed): \(String(describing: found))")
    }

    @Test func `long good service hides nothing: a defector is found as soon as a newcomer`() {
        var old = ScoredLine(seed: 4)
        _ = old.run(heights: 60_000)
        #expect(old.standings.allSatisfy { $0 == .good })
        old.withheldPerMille = 300
        var new = ScoredLine(seed: 4)
        new.withheldPerMille = 300
        let (a, b) = (old.run(heights: 1_000, until: .probation), new.run(heights: 1_000, until: .probation))
        // What it was owed in the last half second is full of good shreds: that dilutes the fast term, for that long.
        #expect(a.map { $0 <= .milliseconds(1_000) } == true, "\(String(describing: a))")
        #expect(b.map { $0 <= .milliseconds(1_000) } == true, "\(String(describing: b))")
    }

    @Test func `one who withholds in short spells is kept in mind`() {
        var peer = ScoredLine(seed: 5)
        _ = peer.run(heights: 3_000)
        var probations = 0
        for _ in 0..<20 {
            peer.withheldPerMille = 500
            _ = peer.run(heights: 30)
            peer.withheldPerMille = 0
            _ = peer.run(heights: 170)
            probations += 1
        }
        #expect(peer.score.report().withheldSlow.points > 0)
        #expect(peer.standings.contains(.probation))
    }

    @Test(arguments: [UInt64(100), 300, 600])
    func `reordering is not withholding`(_ overtaken: UInt64) {
        var peer = ScoredLine(seed: 6)
        peer.overtakenPerMille = overtaken
        _ = peer.run(heights: 3_000)
        #expect(peer.score.report().withheldSlow.value == 0)
        #expect(peer.standings.allSatisfy { $0 == .good })
    }

    @Test func `a relay that says what it lacks loses its share at worst`() {
        var peer = ScoredLine(seed: 7)
        peer.withheldPerMille = 300
        peer.admits = true
        _ = peer.run(heights: 6_000)
        let report = peer.score.report()
        #expect(report.withheldSlow.value == 0)
        #expect(report.short.value > 250)
        #expect(peer.standings.last == .deferred)
        #expect(!peer.standings.contains(.probation))
    }

    @Test func `one that skips numbers has a bad line for all we know, and is treated so`() {
        var peer = ScoredLine(seed: 8)
        peer.withheldPerMille = 300
        peer.pretendsLoss = true
        let found = peer.run(heights: 2_000, until: .deferred)
        #expect(found.map { $0 <= .seconds(15) } == true, "\(String(describing: found))")
        #expect(peer.score.report().withheldSlow.value == 0)
    }

    @Test func `shreds said to be dropped are not withheld`() {
        var peer = ScoredLine(seed: 9)
        peer.score.dropped(10_000)
        peer.withheldPerMille = 300
        _ = peer.run(heights: 500)
        #expect(peer.score.report().withheldSlow.value == 0)
        #expect(peer.score.report().short.value > 250)
    }

    @Test(arguments: [UInt64(1), 2])
    func `small shreds that share a datagram are lost together without blame`(_ seed: UInt64) {
        // Ten shreds of 100 bytes fit one datagram; here each has its own, which only widens the credit.
        var peer = ScoredLine(seed: seed)
        peer.symbolBytes = 100
        peer.shredsPerSlice = 2
        peer.lossPerMille = 100
        peer.best.lossPerMille = 100
        _ = peer.run(heights: 3_000)
        #expect(peer.standings.allSatisfy { $0 == .good })
    }

    @Test func `gaps cannot be saved up`() {
        var credit = LossCredit()
        let start = Instant(nanoseconds: 10_000_000_000)
        credit.note(gaps: 10, now: start)
        #expect(credit.explain(shreds: 4, bytesEach: 1_208, now: start + .seconds(1)) == 4)
        #expect(credit.explain(shreds: 4, bytesEach: 1_208, now: start + .seconds(3)) == 4)
        #expect(credit.explain(shreds: 4, bytesEach: 1_208, now: start + .seconds(4)) == 0)
        credit.note(gaps: 3, now: start + .seconds(10))
        credit.note(gaps: -2, now: start + .seconds(10))
        #expect(credit.explain(shreds: 4, bytesEach: 1_208, now: start + .seconds(10)) == 1)
    }

    // MARK: The other terms

    private let start = Instant(nanoseconds: 5_000_000_000)

    private func fresh() -> PeerScore { PeerScore(now: start) }

    @Test func `one forgery defers, two bring probation, three a ban`() {
        var score = fresh()
        let expected: [PeerStanding] = [.deferred, .probation, .banned]
        for standing in expected {
            score.offended(bytes: 1_200, now: start)
            #expect(score.review(.init(), forgivesWithholding: false, now: start) == standing)
        }
        #expect(score.forgedBytes == 3_600)
    }

    @Test func `one forgery is forgotten in minutes`() {
        var score = fresh()
        score.offended(bytes: 100, now: start)
        #expect(score.review(.init(), forgivesWithholding: false, now: start + .seconds(30)) == .deferred)
        #expect(score.review(.init(), forgivesWithholding: false, now: start + .seconds(120)) == .good)
    }

    @Test func `bans double from a minute to an hour`() {
        var score = fresh()
        var now = start
        var lengths: [Int64] = []
        for _ in 0..<8 {
            let until = score.ban(now: now)
            lengths.append((until - now).milliseconds / 1_000)
            #expect(score.standing == .banned)
            now = until
            score.readmit(now: now)
            #expect(score.standing == .good)
        }
        #expect(lengths == [60, 120, 240, 480, 960, 1_920, 3_600, 3_600])
    }

    @Test func `a have-map answered by MISS is a broken promise, a MISS without one is not`() {
        var (liar, honest) = (fresh(), fresh())
        for _ in 0..<20 {
            liar.missed(shreds: 2, claimed: true, now: start)
            honest.missed(shreds: 2, claimed: false, now: start)
        }
        #expect(liar.review(.init(), forgivesWithholding: false, now: start) == .probation)
        #expect(honest.review(.init(), forgivesWithholding: false, now: start) == .good)
    }

    @Test func `requests that go unanswered cost the share and no more`() {
        var score = fresh()
        for _ in 0..<100 { score.ignored(shreds: 4, now: start) }
        #expect(score.report().unanswered.value == 1_000)
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .deferred)
    }

    @Test func `every third request unanswered is a lossy line`() {
        var score = fresh()
        for i in 0..<300 {
            if i % 3 == 0 {
                score.ignored(shreds: 2, now: start)
            } else {
                score.answered(shreds: 2, claimed: true, now: start)
                score.helped(shreds: 1, now: start)
            }
        }
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .good)
        #expect(score.report().useful.value == 500)
        #expect(score.report().points == 0)
    }

    @Test func `what is lost while heights are pulled is not measured, but explains what is missing`() {
        var score = fresh()
        score.arrivals(expected: 10_000, genuine: 7_000, isMeasured: false, now: start)
        score.judged(owed: 100, missing: 40, symbolBytes: 1_200, admitted: false, now: start)
        #expect(score.lossPerMille == 0)
        #expect(score.report().points == 0)
        // What it numbers after that counts from there.
        score.arrivals(expected: 20_000, genuine: 17_000, now: start)
        #expect(score.isLossMeasured && score.lossPerMille == 0)
    }

    @Test func `refusals of before a contract explain nothing of it`() {
        var score = fresh()
        score.dropped(500)
        score.beginContract()
        score.judged(owed: 100, missing: 40, symbolBytes: 1_200, admitted: false, now: start)
        #expect(score.report().withheldSlow.value == 400)
        score = fresh()
        score.beginContract()
        score.dropped(500)
        score.judged(owed: 100, missing: 40, symbolBytes: 1_200, admitted: false, now: start)
        #expect(score.report().withheldSlow.value == 0)
        #expect(score.report().short.value == 400)
    }

    @Test func `a flood is held against it by the frame`() {
        var score = fresh()
        score.flooded(frames: 400, now: start)
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .good)
        score.flooded(frames: 4_000, now: start)
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .banned)
    }

    @Test func `lateness counts against the best parent and not against distance`() {
        var score = fresh()
        for _ in 0..<200 { score.arrived(behindFirst: .milliseconds(100), now: start) }
        // A parent 200 ms farther away, there and back, may be 100 ms behind.
        var far = PeerScore.Comparison()
        far.fartherBy = .milliseconds(200)
        #expect(score.report(far).late.points == 0)
        // All are as late: then nobody is.
        var all = PeerScore.Comparison()
        all.late = .milliseconds(95)
        #expect(score.report(all).late.points == 0)
        // Near, and late all the same.
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .deferred)
        // It is timed no more, and forgotten.
        #expect(score.review(.init(), forgivesWithholding: false, now: start + .seconds(150)) == .good)
        for _ in 0..<2_000 { score.arrived(behindFirst: .seconds(9), now: start + .seconds(151)) }
        let later = start + .seconds(151)
        #expect(score.review(.init(), forgivesWithholding: false, now: later) == .deferred)
    }

    @Test func `all quality at its worst together stays below probation`() {
        var score = fresh()
        for _ in 0..<500 {
            score.arrived(behindFirst: .seconds(1), now: start)
            score.ignored(shreds: 8, now: start)
            score.judged(owed: 8, missing: 8, symbolBytes: 1_190, admitted: true, now: start)
        }
        score.arrivals(expected: 10_000, genuine: 10, now: start)
        #expect(score.report().points == PeerScore.qualityMax)
        #expect(score.review(.init(), forgivesWithholding: false, now: start) == .deferred)
    }

    @Test func `when all parents seem to withhold, the cause is not a parent`() {
        var peer = ScoredLine(seed: 10)
        peer.withheldPerMille = 300
        _ = peer.run(heights: 100)
        let now = peer.now
        #expect(peer.score.isWithholding)
        #expect(peer.score.review(.init(), forgivesWithholding: true, now: now) != .banned)
        var fresh = PeerScore(now: now)
        fresh.judged(owed: 1_000, missing: 400, symbolBytes: 1_190, admitted: false, now: now)
        #expect(fresh.review(.init(), forgivesWithholding: true, now: now) == .good)
    }

    @Test func `the first parent of a height starts the race and the others are timed once`() {
        var race = ArrivalRace()
        #expect(race.arrived(parent: 2, height: 500, now: start) == .zero)
        #expect(race.arrived(parent: 2, height: 500, now: start + .milliseconds(1)) == nil)
        #expect(race.arrived(parent: 0, height: 500, now: start + .milliseconds(7)) == .milliseconds(7))
        #expect(race.arrived(parent: 0, height: 501, now: start + .milliseconds(7)) == .zero)
        #expect(race.arrived(parent: 1, height: 500, now: start + .seconds(5)) == .seconds(1))
        // Its place went to a later height.
        #expect(race.arrived(parent: 3, height: 564, now: start) == .zero)
        #expect(race.arrived(parent: 3, height: 500, now: start) == nil)
        #expect(race.arrived(parent: 99, height: 500, now: start) == nil)
    }

    // MARK: Any events

    @Test(arguments: 0..<20 as Range<UInt64>)
    func `any events at any times give points within bounds`(_ seed: UInt64) {
        var random = Seed(seed).generator("events")
        var score = PeerScore(now: .zero)
        var now = Instant.zero
        func number() -> Int {
            switch random.below(4) {
            case 0: Int(random.below(100))
            case 1: Int(random.below(1 << 40))
            case 2: .max
            default: -Int(random.below(1 << 40))
            }
        }
        for _ in 0..<2_000 {
            switch random.below(12) {
            case 0:
                now = Instant(
                    nanoseconds: random.below(8) == 0
                        ? random.next() : now.nanoseconds &+ random.below(1 << 32))
            case 1: score.arrivals(expected: random.next() >> 2, genuine: random.next(), now: now)
            case 2:
                score.judged(
                    owed: number(), missing: number(), symbolBytes: Int(random.below(2_000)),
                    admitted: random.below(2) == 0, now: now)
            case 3: score.offended(bytes: number(), now: now)
            case 4: score.answered(shreds: number(), claimed: true, now: now)
            case 5: score.missed(shreds: number(), claimed: true, now: now)
            case 6: score.ignored(shreds: number(), now: now)
            case 7: score.flooded(frames: number(), now: now)
            case 8:
                score.arrived(
                    behindFirst: Interval(nanoseconds: Int64(truncatingIfNeeded: random.next())), now: now)
            case 9: score.dropped(random.next())
            case 10: score.excuse(datagrams: number(), now: now)
            default: if random.below(10) == 0 { score.beginSession(now: now) }
            }
            let report = score.report()
            #expect(report.points >= 0 && report.points <= PeerScore.pointsMax, "seed \(seed)")
            for (name, term) in report.terms {
                #expect(term.points >= 0 && term.value >= 0, "seed \(seed): \(name)")
            }
            _ = score.review(.init(), forgivesWithholding: random.below(2) == 0, now: now)
        }
    }
}

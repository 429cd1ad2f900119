/// One parent as a scorer sees it: a stream of slices, numbered datagrams on a line that loses some, and whatever the parent
/// does to them. Everything from one seed.

import MillraceBase

@testable import MillraceCore

struct ScoredLine {
    var score: PeerScore
    var now = Instant(nanoseconds: 10_000_000_000)
    private var random: SeededGenerator
    private var counter: UInt64 = 0
    private var genuine: UInt64 = 0
    /// Slices under way: what of them is missing, and when they are judged.
    private var waiting: [(at: Instant, missing: Int, admitted: Bool)] = []
    /// Datagrams that were overtaken and come later.
    private var overtaken: [Instant] = []
    private var height = 0

    var shredsPerSlice = 4
    var symbolBytes = 1_190
    /// In a thousand. `burst`: mean length of a run of losses.
    var lossPerMille: UInt64 = 0
    var burst: UInt64 = 1
    var overtakenPerMille: UInt64 = 0
    /// Shreds of a thousand that it leaves out.
    var withheldPerMille: UInt64 = 0
    /// Says with STATUS that it does not hold what it leaves out.
    var admits = false
    /// A gap in its numbers for whatever it leaves out: it pretends that the wire lost it.
    var pretendsLoss = false
    private var isLosing = false

    var standings: [PeerStanding] = []
    var best = PeerScore.Comparison()

    init(seed: UInt64) {
        random = Seed(seed).generator("line")
        score = PeerScore(now: now)
        score.beginSession(now: now)
    }

    private mutating func isLost() -> Bool {
        if lossPerMille == 0 { return false }
        if burst <= 1 { return random.below(1_000) < lossPerMille }
        // Two states: the share of time in the losing one is the loss, its mean stay the burst.
        if isLosing {
            if random.below(burst) == 0 { isLosing = false }
        } else if random.below((1_000 - lossPerMille) * burst) < lossPerMille {
            isLosing = true
        }
        return isLosing
    }

    /// Mini-blocks of 10 ms. Answers when the standing first was `standing` or worse.
    mutating func run(heights: Int, until standing: PeerStanding? = nil) -> Interval? {
        let start = now
        for _ in 0..<heights {
            var missing = 0
            for _ in 0..<shredsPerSlice {
                if random.below(1_000) < withheldPerMille {
                    missing += 1
                    if pretendsLoss { counter += 1 }
                    continue
                }
                counter += 1
                if isLost() {
                    missing += 1
                } else if random.below(1_000) < overtakenPerMille {
                    overtaken.append(now + .milliseconds(15))
                } else {
                    genuine += 1
                }
            }
            // STATUS and the like.
            if height % 5 == 0 {
                counter += 1
                if !isLost() { genuine += 1 }
            }
            waiting.append((now + .milliseconds(250), missing, admits))
            height += 1
            now = now + .milliseconds(10)
            let due = overtaken.count { $0 <= now }
            overtaken.removeFirst(due)
            genuine += UInt64(due)
            if height % 5 == 0 { score.arrivals(expected: counter, genuine: genuine, now: now) }
            while let slice = waiting.first, slice.at <= now {
                waiting.removeFirst()
                score.judged(
                    owed: shredsPerSlice, missing: slice.missing, symbolBytes: symbolBytes,
                    admitted: slice.admitted, now: now)
            }
            if height % 10 == 0 {
                let reached = score.review(best, forgivesWithholding: false, now: now)
                standings.append(reached)
                if let standing, reached.rawValue >= standing.rawValue { return now - start }
            }
        }
        return nil
    }
}

/// All peers' scores: what a node remembers of those that left, what quality is compared with, and whether something is wrong
/// here rather than there (Spec 66.6).
///
/// A local fault never punishes a peer. The node was not running when two turns lie more than `faultGap` apart: for a second
/// nothing is judged, and contracts count from then on anew. Datagrams lost in front of this node are gaps in every peer's
/// numbers, and explained. When every parent that is judged seems to withhold, the cause is not a parent.
///
/// Bounds: `AdmissionLimits.rememberedScoresMax` scores of peers that left; of more, the one with the fewest points goes.

import MillraceBase

struct ScoreBoard {
    static let turnInterval = Interval.milliseconds(100)
    /// A core with something to follow is called every 20 ms at least.
    static let faultGap = Interval.milliseconds(300)
    static let faultGrace = Interval.seconds(1)

    var race = ArrivalRace()
    /// Heights up to here were judged where parents had passed them.
    var judgedTo: UInt64 = 0
    /// Heights of which something was left to be judged, ascending.
    private var open: [UInt64] = []
    private var remembered: [(key: Hash32, score: PeerScore)] = []
    private var lastCalledAt: Instant
    private var faultUntil = Instant.zero
    private(set) var nextTurnAt: Instant
    /// Pauses of this node that were noticed.
    private(set) var faults = 0

    init(now: Instant) {
        lastCalledAt = now
        nextTurnAt = now
    }

    // MARK: Heights

    /// Those of a second of stream, and of one turn after an outage.
    static let openMax = 1_024

    mutating func leaveOpen(_ height: UInt64) {
        if open.count == ScoreBoard.openMax { open.removeFirst() }
        open.append(height)
    }

    /// Takes the lowest height left open, if it is no higher than `last`.
    mutating func nextOpen(through last: UInt64) -> UInt64? {
        guard let height = open.first, height <= last else { return nil }
        return open.removeFirst()
    }

    // MARK: Local faults

    /// The node is running. Call it whenever time is told to the core.
    mutating func called(now: Instant) {
        if now - lastCalledAt > ScoreBoard.faultGap {
            faultUntil = now + ScoreBoard.faultGrace
            faults = min(faults + 1, 1_000_000)
        }
        lastCalledAt = now
    }

    func isFaulty(now: Instant) -> Bool { now < faultUntil }

    /// Whether scores are due to be looked at; if so, the next time is set.
    mutating func isDue(now: Instant) -> Bool {
        guard now >= nextTurnAt else { return false }
        nextTurnAt = now + ScoreBoard.turnInterval
        return true
    }

    // MARK: Memory

    /// The score of a peer that comes (again).
    mutating func score(of key: Hash32, now: Instant) -> PeerScore {
        guard let place = remembered.firstIndex(where: { $0.key == key }) else { return PeerScore(now: now) }
        var score = remembered.remove(at: place).score
        score.advance(to: now)
        score.readmit(now: now)
        return score
    }

    /// Keeps the score of a peer that leaves, if anything is held against it.
    mutating func remember(_ key: Hash32, _ score: PeerScore, now: Instant) {
        remembered.removeAll { $0.key == key }
        if score.isClean { return }
        if remembered.count == AdmissionLimits.rememberedScoresMax {
            var least = 0
            for i in remembered.indices
            where remembered[i].score.weight < remembered[least].score.weight { least = i }
            remembered.remove(at: least)
        }
        remembered.append((key, score))
    }

    func isBanned(_ key: Hash32, now: Instant) -> Bool {
        remembered.contains { $0.key == key && $0.score.standing == .banned && now < $0.score.bannedUntil }
    }
}

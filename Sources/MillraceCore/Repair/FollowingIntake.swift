/// How a follower takes the stream: as its contracts bring it, or, when its line cannot carry that, by asking for heights
/// in order (Spec 55.6).
///
///     live ──parents refuse what the link does not carry──▶ ending ──all have heard──▶ pulling ──near the tip──▶ live
///
/// What parents refuse had waited 400 ms because less arrives than they have: that is a rate, not loss. A return that does not
/// last makes the next pulling longer.
///
/// Why pull: a follower needs every height in order. While parents push more than the line carries, what is lost is lost
/// here and there, every slice has holes, and repairs come on top of the overload. Pulled, all that the line carries is
/// the oldest heights, whole; and it is the follower that knows what it still needs.

import MillraceBase
import MillraceWire

enum Intake {
    case live
    /// Parents have been asked for nothing; what they sent before they heard it is still coming.
    case ending(until: Instant)
    case pulling(since: Instant)
}

extension Following {
    /// How long heights are pulled at least, and when they last were.
    struct Pulling {
        var least = Following.pullingMin
        var endedAt: Instant?
    }

    /// Refusals of different parents within this time have one cause.
    static let refusalMemory = Interval.seconds(1)
    static let pullingMin = Interval.milliseconds(200)
    static let pullingMax = Interval.seconds(16)
    /// A return to the stream that ends within this time has failed.
    static let returnFailsWithin = Interval.seconds(10)

    /// A parent says that it dropped what it owed. One of many has a poor way of its own, and its stripes go to others;
    /// half of them have one thing in common: our line.
    func refused(by i: Int, now: Instant) {
        parents[i].refusedAt = now
        guard case .live = intake, !parents[i].stripes.isEmpty || !parents[i].headers.isEmpty else { return }
        var connected = 0
        var refusing = 0
        for parent in parents where parent.isParent {
            connected += 1
            if parent.refusedAt.map({ now - $0 <= Following.refusalMemory }) ?? false { refusing += 1 }
        }
        if refusing * 2 >= connected || isLineFull {
            beginPulling(now: now)
        } else {
            silence(i, now: now)
            replan(now: now)
        }
    }

    /// Half of the parents say that their ways here are full: what they have in common is our line.
    var isLineFull: Bool {
        var connected = 0
        var full = 0
        for i in parents.indices where parents[i].isParent {
            connected += 1
            if ask(i, { $0.status.isFull }) ?? false { full += 1 }
        }
        return full > 0 && full * 2 >= connected
    }

    /// Nothing comes from this parent because our line has no room for it yet.
    func waitsForLine(_ i: Int) -> Bool { ask(i) { $0.status.isFull } ?? false && isLineFull }

    /// Parents owe what their contracts say, and may be judged by it. While heights are pulled, and before all have heard
    /// that nothing is wanted, neither what does not come nor when it comes says anything of a parent.
    var takesStream: Bool { if case .live = intake { true } else { false } }

    private func beginPulling(now: Instant) {
        var longest = Interval.milliseconds(50)
        for i in parents.indices where parents[i].isParent {
            longest = max(longest, peer(i)?.roundTrip.timeout ?? .zero)
        }
        let failed = pulling.endedAt.map { now - $0 < Following.returnFailsWithin } ?? false
        pulling.least = failed ? min(pulling.least * 2, Following.pullingMax) : Following.pullingMin
        intake = .ending(until: now + longest)
        replan(now: now)
    }

    func reviewIntake(now: Instant) {
        switch intake {
        case .live:
            break
        case .ending(let until):
            let haveHeard = parents.allSatisfy { !$0.isParent || $0.acceptedSerial == $0.serial }
            guard haveHeard || now >= until else { return }
            intake = .pulling(since: now)
            line.forget()
            replan(now: now)
        case .pulling(let since):
            line.setFull(isLineFull, now: now)
            guard now - since >= pulling.least, let tip = commonTip else { return }
            var longest = Interval.zero
            for i in parents.indices where parents[i].isUsable {
                longest = max(longest, peer(i)?.roundTrip.current ?? .zero)
            }
            // As many heights as are made while an answer is under way, and what of it was lost is asked for again, and a
            // little: answers to catch-up come before the stream, so the rest comes beside it.
            let margin = UInt64(longest.milliseconds / 5) + 15
            guard next + margin >= tip else { return }
            liveAgain(now: now)
            replan(now: now)
        }
    }

    func liveAgain(now: Instant) {
        if takesStream { return }
        intake = .live
        pulling.endedAt = endpoint.now
        line.setFull(false, now: now)
    }

    /// Shreds that may be asked for at once. A parent sends answers at the pace of the way, so while heights are pulled only
    /// its queue has to be bounded.
    var windowShreds: Int {
        guard case .pulling = intake else { return window.shreds }
        var longest = Interval.zero
        for i in parents.indices where parents[i].isParent {
            longest = max(longest, peer(i)?.roundTrip.minimum ?? .zero)
        }
        // Lost shreds count until their request ends, so the cap is a few times that of a follower that is not behind.
        return min(max(line.shreds(roundTrip: longest), RepairWindow.shredsAtStart * 2), window.shredsMax * 4)
    }

    /// Heights asked for in one request while heights are pulled.
    static let pulledHeightsMax = 16
    /// A request whose answer has not begun waits so long at most behind others.
    static let turnMax = Interval.seconds(2)

    /// Whether the answer to this request comes yet: a parent answers in order, and it is still at something that was asked for
    /// before. Asked for again, it would come twice.
    func waitsItsTurn(_ request: RepairRequest, now: Instant) -> Bool {
        guard case .catchUp = request.kind, !request.isAnswered, now - request.sentAt < Following.turnMax,
            parents.indices.contains(request.parent), let peer = peer(request.parent),
            now - parents[request.parent].broughtHeightsAt
                < max(peer.roundTrip.timeout, Following.answerPauseMax)
        else { return false }
        // What was asked for later comes already: the request was lost.
        return !requests.active.contains { slot in
            guard let other = requests[requests.number(slot: slot)], case .catchUp = other.kind else {
                return false
            }
            return other.parent == request.parent && other.isAnswered && other.sentAt > request.sentAt
        }
    }

    /// Whether a request for heights is over before its time: its parent answers in order of heights, and higher ones have come,
    /// one tolerance ago, that were asked for later. What did not come of it was lost, or the request itself was.
    func isOvertaken(_ number: UInt16, _ request: RepairRequest, now: Instant) -> Bool {
        guard case .catchUp(_, let last) = request.kind, parents.indices.contains(request.parent) else {
            return false
        }
        let brought = parents[request.parent].brought
        guard brought.height > last, brought.sentAt >= request.sentAt else { return false }
        if request.overtakenAt == .distantFuture {
            var late = request
            late.overtakenAt = now
            requests.update(number, late)
            return false
        }
        return now - request.overtakenAt >= (peer(request.parent)?.roundTrip.reorderTolerance ?? .zero)
    }

    /// Which parent answers soonest: the round trip, and what is asked of it already at the rate at which it sends. One that is
    /// not busy is taken to send its part of what the line brings.
    func parentToPull(height: UInt64) -> Int? {
        var asked = (0..<parents.count).map { _ in 0 }
        for slot in requests.active {
            if let request = requests[requests.number(slot: slot)] {
                asked[request.parent] += request.outstanding
            }
        }
        let fair = max(line.bytesPerSecond / Int64(max(parents.count, 1)), 1)
        var best: Int?
        var bestTime = Interval.zero
        for i in parents.indices where mayAsk(i, missedBy: 0, height: height, isOld: true) {
            guard !parents[i].isNeighbour, let peer = peer(i) else { continue }
            let rate = max(peer.arrivals.bytesPerSecond, fair)
            let waits = Int64(min(asked[i], 1 << 20)) * Int64(Limits.datagramBytesMax) * 1_000_000 / rate
            let time = peer.roundTrip.current + .microseconds(waits)
            if best == nil || time < bestTime {
                best = i
                bestTime = time
            }
        }
        return best
    }

    /// A tip that half of the parents have reached: neither one that claims too much nor one that is behind decides.
    private var commonTip: UInt64? { tipTold { $0 / 2 } }

    /// Of the tips that parents tell, the one at this place of so many, the lowest first; nil when none has told one. Asked
    /// several times a mini-block, so it allocates nothing.
    func tipTold(place: (Int) -> Int) -> UInt64? {
        withUnsafeTemporaryAllocation(of: UInt64.self, capacity: Following.parentsMax) { tips in
            var count = 0
            for i in parents.indices where parents[i].isParent && count < tips.count {
                guard let tip = ask(i, { $0.status.tip }), tip > 0 else { continue }
                // Inserted where it belongs: they are few.
                var at = count
                while at > 0, tips[at - 1] > tip {
                    tips.initializeElement(at: at, to: tips[at - 1])
                    at -= 1
                }
                tips.initializeElement(at: at, to: tip)
                count += 1
            }
            return count == 0 ? nil : tips[min(max(place(count), 0), count - 1)]
        }
    }

    /// What parent `i` may send: its part of what the line carries, by stripes, and a quarter more, since the parts are only
    /// guessed. 0 when nothing is known, and while heights are pulled, which shows what the line carries.
    func budget(of i: Int, now: Instant) -> UInt32 {
        let usable = max(parents.count { $0.isUsable }, 1)
        if config.linkKilobitsPerSecond > 0 { return config.linkKilobitsPerSecond / UInt32(usable) }
        guard case .live = intake, let line = line.carriesKilobitsPerSecond(now: now) else { return 0 }
        let all = parents.reduce(0) { $0 + $1.stripes.count }
        if all == 0 { return 0 }
        return UInt32(clamping: UInt64(line) * 5 / 4 * UInt64(parents[i].stripes.count) / UInt64(all))
    }
}

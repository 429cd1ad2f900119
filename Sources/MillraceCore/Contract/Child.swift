/// A child's contract and what it is owed.

import MillraceBase
import MillraceWire

final class Child {
    // First what every shred looks at.

    /// Latest terms granted.
    private(set) var terms: ContractTerms
    private(set) var leaseUntil: Instant
    var nextStatusAt: Instant
    /// The highest height forwarded.
    var latestHeight: UInt64 = 0
    /// The queue was full at this height: what comes behind it is refused whole, until the child asks anew or the queue has
    /// drained (Spec 55.6).
    private(set) var refusesBehind: UInt64?
    /// The slice whose sum of headers is owed, and headers since the last sum.
    var sumOwed: SliceKey?
    private var headersSinceSum = 0
    /// Headers and data shreds that the contract owes, in stream order.
    var live = WorkQueue(capacity: 2_048)
    /// Answers to repair requests: first, because a replica is waiting for them.
    var repairs = WorkQueue(capacity: 512)
    /// Answers to catch-up: before the stream, because a child needs heights in order.
    var heights = WorkQueue(capacity: 1_024)
    /// Parity shreds that it owes: for idle slots only.
    var parity = WorkQueue(capacity: 64)
    /// Windows: sent when nothing else waits, the lowest heights first.
    var bulk = WorkQueue(capacity: 1_024)
    var pacer: Pacer
    /// What the way to it carries, and what is under way.
    var link: LinkSender
    var windowRequests = RecentRequests()
    private var repairAllowance = RepairAllowance()
    /// It has had stripes: what it asks for without a contract now, it needs to have one again.
    private var hadContract = false
    /// A contract that it let go of to ask for heights instead: it will want it back, so its room on our line is kept for a
    /// lease.
    private(set) var reserved: ContractTerms?
    private var reservedUntil = Instant.zero
    /// Bytes a second of the contract that it was refused for want of room; 0 when it has been given one since.
    var refusedNeed: Int64 = 0
    /// Since when it has had stripes without a break.
    private(set) var servedSince: Instant
    var dropped: UInt64 = 0
    /// Parity found no idle slot since the last STATUS.
    var parityDropped = false

    /// A child that has asked for repair or catch-up without a contract has the empty one.
    init(pacingKilobitsPerSecond: UInt32, now: Instant) {
        terms = ContractTerms(serial: 0, stripes: .empty, headers: .none, leaseMilliseconds: 0)
        leaseUntil = now
        link = LinkSender(ceilingBytesPerSecond: Int64(pacingKilobitsPerSecond) * 125, now: now)
        pacer = Pacer(kilobitsPerSecond: pacingKilobitsPerSecond, now: now)
        nextStatusAt = now
        servedSince = now
    }

    func grant(_ terms: ContractTerms, pacingKilobitsPerSecond: UInt32, now: Instant) {
        if !isOwed(now: now) || self.terms.stripes.isEmpty { servedSince = now }
        if !terms.stripes.isEmpty {
            reserved = nil
        } else if isOwed(now: now), !self.terms.stripes.isEmpty {
            reserved = self.terms
            reservedUntil = now + .milliseconds(Int64(self.terms.leaseMilliseconds))
        }
        self.terms = terms
        leaseUntil = now + .milliseconds(Int64(terms.leaseMilliseconds))
        link.setCeiling(bytesPerSecond: Int64(pacingKilobitsPerSecond) * 125)
        if !terms.stripes.isEmpty { hadContract = true }
        if !isOwed(now: now) { forgetStream() }
    }

    func end(serial: UInt32) {
        terms.serial = serial
        terms.stripes = .empty
        terms.headers = .none
        reserved = nil
        forgetStream()
    }

    /// The contract that takes room on our line: what it is owed, or was a moment ago.
    func roomFor(now: Instant) -> ContractTerms? {
        isOwed(now: now) ? terms : now < reservedUntil ? reserved : nil
    }

    private func forgetStream() {
        sumOwed = nil
        live.removeAll()
        parity.removeAll()
        refusesBehind = nil
        parityDropped = false
    }

    func isOwed(now: Instant) -> Bool {
        now < leaseUntil && (!terms.headers.isEmpty || !terms.stripes.isEmpty)
    }

    /// A header is there. Whether the contract has a sum that ends with it.
    func owesSum() -> Bool {
        headersSinceSum += 1
        guard terms.headers.sumEvery > 0, headersSinceSum >= Int(terms.headers.sumEvery) else { return false }
        headersSinceSum = 0
        return true
    }

    var isIdle: Bool {
        repairs.isEmpty && heights.isEmpty && live.isEmpty && parity.isEmpty && bulk.isEmpty
    }
    var waiting: Int {
        repairs.waiting + heights.waiting + live.waiting + parity.waiting + bulk.waiting
    }

    /// When the next datagram may go, something waiting: when pace and allowance allow, or what is under way is given up.
    var nextSend: Instant {
        guard link.maySend else { return link.giveUpAt ?? .distantFuture }
        return isHeldBack ? max(pacer.nextSend, repairAllowance.nextAt(repairRate)) : pacer.nextSend
    }

    // MARK: Repair

    private var repairRate: RepairAllowance.Rate { hadContract ? .contract : .stranger }

    /// Repair waits, and the child's allowance has room for it.
    func mayRepair(now: Instant) -> Bool {
        if repairs.isEmpty { return false }
        repairAllowance.fill(repairRate, now: now)
        return repairAllowance.hasRoom
    }

    func noteRepaired() { repairAllowance.take(1) }

    /// Nothing waits but repair beyond the allowance: the way is not what holds it up.
    var isHeldBack: Bool {
        !repairs.isEmpty && !repairAllowance.hasRoom && heights.isEmpty && live.isEmpty && parity.isEmpty
            && bulk.isEmpty
    }

    /// Takes the pace from what is known of the link.
    func setPace(now: Instant) {
        pacer.setRate(bytesPerSecond: link.bytesPerSecond)
        pacer.fill(now: now)
    }

    // MARK: Overload

    /// How long the stream may wait. A child takes what has not come 500 ms after its header for lost, and what waits longer
    /// is better asked for by height.
    static let waitMax = Interval.milliseconds(400)

    /// Whether shreds of this height still find room. The unit is the height: of a slice of which half the shreds come
    /// nothing can be used, and what is behind a gap waits for it. What is refused is the newest: a child needs heights in
    /// order, and those that wait here are the ones it needs first.
    func admits(height: UInt64, count: Int, most: Int, now: Instant) -> Bool {
        let waits = live.first.map { now - $0.queuedAt } ?? .zero
        if let behind = refusesBehind {
            if height <= behind { return !live.isFull }
            if waits * 2 > Child.waitMax { return false }
            refusesBehind = nil
        }
        if waits <= Child.waitMax, live.waiting + count <= most, !live.isFull { return true }
        refusesBehind = latestHeight
        return height <= latestHeight && !live.isFull
    }

    /// A mini-block is a burst, so what waits no longer than two of them is no sign of anything.
    static let waitUsual = Interval.milliseconds(20)

    /// A queue stands in front of the way, or what the contract owes or heights that were asked for are held up or dropped here
    /// instead, because the way is full or our own line is.
    func isFull(ownLineIsFull: Bool, now: Instant) -> Bool {
        guard link.isLimited || ownLineIsFull else { return false }
        if !heights.isEmpty { return true }
        guard isOwed(now: now) else { return false }
        return parityDropped || link.queueDelay.microseconds > RateController.guardMin
            || live.first.map { now - $0.queuedAt > Child.waitUsual } ?? false
    }

    /// Whether this height was refused whole.
    func refuses(height: UInt64) -> Bool { refusesBehind.map { height > $0 } ?? false }

    /// The height up to which everything owed has been sent; nil when nothing waits.
    var sentThrough: UInt64? {
        if let first = live.first { return max(first.key.firstHeight, 1) - 1 }
        return refusesBehind
    }
}

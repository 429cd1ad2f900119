/// A child's contract and what it is owed.

import MillraceBase
import MillraceWire

final class Child {
    /// Latest terms granted.
    private(set) var terms: ContractTerms
    private(set) var leaseUntil: Instant
    var pacer: Pacer
    /// Answers to repair requests: first, because a replica is waiting for them.
    var repairs = WorkQueue(minimumCapacity: 512)
    /// What the contract owes, in stream order.
    var live = WorkQueue(minimumCapacity: 2_048)
    /// Catch-up: sent when nothing else waits.
    var bulk = WorkQueue(minimumCapacity: 2_048)
    var dropped: UInt64 = 0
    /// The slice whose sum of headers is owed, and headers since the last sum.
    var sumOwed: SliceKey?
    private var headersSinceSum = 0
    var nextStatusAt: Instant

    /// A child that has asked for repair or catch-up without a contract has the empty one.
    init(pacingKilobitsPerSecond: UInt32, now: Instant) {
        terms = ContractTerms(serial: 0, stripes: .empty, headers: .none, leaseMilliseconds: 0)
        leaseUntil = now
        pacer = Pacer(kilobitsPerSecond: pacingKilobitsPerSecond, now: now)
        nextStatusAt = now
    }

    func grant(_ terms: ContractTerms, pacingKilobitsPerSecond: UInt32, now: Instant) {
        self.terms = terms
        leaseUntil = now + .milliseconds(Int64(terms.leaseMilliseconds))
        pacer.setRate(kilobitsPerSecond: pacingKilobitsPerSecond)
    }

    func end(serial: UInt32) {
        terms.serial = serial
        terms.stripes = .empty
        terms.headers = .none
        live.removeAll()
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

    var isIdle: Bool { repairs.isEmpty && live.isEmpty && bulk.isEmpty }
    var waiting: Int { repairs.waiting + live.waiting + bulk.waiting }
}

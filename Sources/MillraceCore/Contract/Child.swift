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
    /// The slice whose header is owed once more when the next one is there.
    var headerOwedLater: SliceKey?
    var nextStatusAt: Instant

    /// A child that has asked for repair or catch-up without a contract has the empty one.
    init(pacingKilobitsPerSecond: UInt32, now: Instant) {
        terms = ContractTerms(serial: 0, stripes: .empty, headers: [], leaseMilliseconds: 0)
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
        terms.headers = []
        live.removeAll()
    }

    func isOwed(now: Instant) -> Bool {
        now < leaseUntil && (!terms.headers.isEmpty || !terms.stripes.isEmpty)
    }

    var isIdle: Bool { repairs.isEmpty && live.isEmpty && bulk.isEmpty }
    var waiting: Int { repairs.waiting + live.waiting + bulk.waiting }
}

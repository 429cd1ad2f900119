/// The addresses a node knows, in two tables of fixed size (Spec 65.5): *new* for what others told, *tried* for peers that
/// were reached at their address. Where an entry may stand is decided by a secret hash of groups, so that whoever controls few
/// subnets, or speaks from few, can fill a bounded share and cannot choose whom to displace:
///
///     new     128 buckets × 16    4 buckets for each source group      one source fills at most 64 of 2,048
///     tried    64 buckets × 8     2 buckets for each address group     one subnet fills at most 16 of 512
///
/// Nothing that works is displaced by something unknown: an address told displaces only what has failed, and a peer that was
/// reached displaces one only after that one was tested and did not answer (`Collision`).
///
/// Deterministic: from one seed and one order of calls the same tables follow. The dictionary is for look-up alone; choices are
/// made over arrays.

import MillraceBase
import MillraceCrypto
import MillraceWire

struct PeerTables {
    static let newBuckets = 128
    static let newSlots = 16
    static let newBucketsPerSource = 4
    static let triedBuckets = 64
    static let triedSlots = 8
    static let triedBucketsPerGroup = 2
    static let entriesMax = newBuckets * newSlots + triedBuckets * triedSlots
    /// Tests that are owed to tried peers somebody wants to displace. Beyond it a candidate waits in *new* for another chance.
    static let collisionsMax = 16
    /// Failures in a row after which an address that never worked is given up, and one that did.
    static let failuresMaxNew = 3
    static let failuresMaxTried = 8
    /// An address that failed is left alone for 10 s, doubling with each failure up to 16 times that.
    static let retryInterval = Interval.seconds(10)

    struct Entry {
        var key: PublicKey
        var address: PeerAddress
        var group: SubnetGroup
        /// The group that told of it first.
        var source: SubnetGroup
        /// Nil for one that was only named, as an alternative or a seed: it cannot be passed on.
        var record: PeerRecord?
        var isTried = false
        /// Bucket × slots + slot in its table.
        fileprivate(set) var place = 0
        var failures = 0
        var lastAttempt: Instant?
        var lastSuccess: Instant?
        /// When it was reached first.
        var reachedAt: Instant?

        func isExpired(wallMicroseconds: UInt64) -> Bool {
            record.map { $0.expiresAtMicroseconds <= wallMicroseconds } ?? false
        }
        /// Not worth its place any more.
        var isHopeless: Bool {
            failures >= (lastSuccess == nil ? PeerTables.failuresMaxNew : PeerTables.failuresMaxTried)
        }
        func mayBeDialled(now: Instant) -> Bool {
            guard let lastAttempt else { return true }
            let wait = failures == 0 ? 1 : 1 << min(failures - 1, 4)
            return now - lastAttempt >= PeerTables.retryInterval * Int64(wait)
        }
    }

    enum Learned: Equatable {
        case added
        /// Its record is newer than the one we had.
        case renewed
        case known
        /// Its place is taken by something that is not worse.
        case noRoom
    }

    /// A peer that was reached, and whose place in *tried* another holds: the other is to be tested.
    struct Collision: Equatable {
        var candidate: PublicKey
        var incumbent: PublicKey
    }

    private var slots: [Entry?] = []
    private var free: [Int] = []
    private var index: [PublicKey: Int] = [:]
    private var new = [Int32](repeating: -1, count: newBuckets * newSlots)
    private var tried = [Int32](repeating: -1, count: triedBuckets * triedSlots)
    private(set) var newCount = 0
    private(set) var triedCount = 0
    private(set) var collisions: [Collision] = []
    private let hash: SipHash24

    init(seed: Seed) {
        var secrets = SecretStream(seed, purpose: "peer tables")
        hash = SipHash24(secrets.next(), secrets.next())
    }

    // MARK: Asking

    subscript(key: PublicKey) -> Entry? { index[key].flatMap { slots[$0] } }

    /// Every entry of *tried*, by place.
    func forEachTried(_ body: (Entry) -> Void) {
        for slot in tried where slot >= 0 {
            if let entry = slots[Int(slot)] { body(entry) }
        }
    }

    /// How many entries of a group stand in *tried*.
    func triedCount(of group: SubnetGroup) -> Int {
        var count = 0
        forEachTried { if $0.group == group { count += 1 } }
        return count
    }

    // MARK: Learning

    /// Somebody of the group `source` told of a peer, with its record or without.
    mutating func learn(
        _ key: PublicKey, at address: PeerAddress, record: PeerRecord?, from source: SubnetGroup,
        wallMicroseconds: UInt64
    ) -> Learned {
        if let slot = index[key], let entry = slots[slot] {
            return renew(slot, entry, address, record)
        }
        var entry = Entry(
            key: key, address: address, group: SubnetGroup(address), source: source, record: record)
        entry.place = newPlace(entry)
        if new[entry.place] >= 0 {
            guard let holder = slots[Int(new[entry.place])],
                holder.isHopeless || holder.isExpired(wallMicroseconds: wallMicroseconds)
            else { return .noRoom }
            remove(holder.key)
        }
        insertNew(entry)
        return .added
    }

    private mutating func renew(_ slot: Int, _ old: Entry, _ address: PeerAddress, _ record: PeerRecord?)
        -> Learned
    {
        guard let record,
            record.issuedAtMicroseconds > old.record?.issuedAtMicroseconds ?? 0
        else { return .known }
        // A signed address counts more than one that somebody named; another address than the one reached is unproven. Its
        // place stays: places are a matter of who told of it first.
        slots[slot]?.record = record
        if old.address != address {
            if old.isTried { demote(slot) }
            slots[slot]?.address = address
            slots[slot]?.failures = 0
            slots[slot]?.lastAttempt = nil
            if let entry = slots[slot], SubnetGroup(address) != entry.group { regroup(entry, at: address) }
        }
        return .renewed
    }

    /// An entry moved to another subnet stands where that subnet's entries stand; without room it goes.
    private mutating func regroup(_ entry: Entry, at address: PeerAddress) {
        remove(entry.key)
        var moved = entry
        moved.group = SubnetGroup(address)
        moved.isTried = false
        moved.place = newPlace(moved)
        if new[moved.place] < 0 { insertNew(moved) }
    }

    // MARK: Attempts

    mutating func dialled(_ key: PublicKey, now: Instant) {
        guard let slot = index[key] else { return }
        slots[slot]?.lastAttempt = now
    }

    mutating func failed(_ key: PublicKey, now: Instant) {
        guard let slot = index[key], var entry = slots[slot] else { return }
        entry.failures = min(entry.failures + 1, 64)
        entry.lastAttempt = now
        slots[slot] = entry
        settleCollision(lostBy: key)
        if entry.isHopeless { remove(key) }
    }

    /// The peer was reached at its address, and its record is genuine. It moves to *tried*, or waits in *new* for the test of the
    /// one that stands in its place; without room there either it is not kept.
    mutating func reached(
        _ record: PeerRecord, key: PublicKey, from source: SubnetGroup, now: Instant, wallMicroseconds: UInt64
    ) {
        if index[key] == nil {
            let entry = Entry(
                key: key, address: record.address, group: SubnetGroup(record.address), source: source,
                record: record)
            let place = triedPlace(entry)
            if tried[place] < 0 {
                // It needs no place in *new* first.
                insert(entry, inTriedAt: place)
            } else {
                _ = learn(
                    key, at: record.address, record: record, from: source, wallMicroseconds: wallMicroseconds)
            }
        } else {
            _ = learn(
                key, at: record.address, record: record, from: source, wallMicroseconds: wallMicroseconds)
        }
        guard let slot = index[key], let held = slots[slot] else { return }
        slots[slot]?.failures = 0
        slots[slot]?.lastSuccess = now
        slots[slot]?.lastAttempt = now
        if held.reachedAt == nil { slots[slot]?.reachedAt = now }
        // One that was to be tested has answered: who wanted its place does not get it.
        collisions.removeAll { $0.incumbent == key }
        guard !held.isTried, held.record != nil else { return }
        let home = triedPlace(held)
        if tried[home] < 0 {
            promote(slot, to: home)
        } else if let incumbent = slots[Int(tried[home])] {
            guard collisions.count < PeerTables.collisionsMax,
                !collisions.contains(where: { $0.candidate == key || $0.incumbent == incumbent.key })
            else { return }
            collisions.append(Collision(candidate: key, incumbent: incumbent.key))
        }
    }

    /// The incumbent did not answer its test: the candidate takes its place, and it goes back to *new*.
    private mutating func settleCollision(lostBy incumbent: PublicKey) {
        guard let at = collisions.firstIndex(where: { $0.incumbent == incumbent }) else { return }
        let collision = collisions.remove(at: at)
        guard let loser = index[incumbent], let winner = index[collision.candidate],
            let entry = slots[winner], !entry.isTried
        else { return }
        demote(loser)
        let place = triedPlace(entry)
        if tried[place] < 0 { promote(winner, to: place) }
    }

    mutating func remove(_ key: PublicKey) {
        guard let slot = index.removeValue(forKey: key), let entry = slots[slot] else { return }
        if entry.isTried {
            tried[entry.place] = -1
            triedCount -= 1
        } else {
            new[entry.place] = -1
            newCount -= 1
        }
        slots[slot] = nil
        free.append(slot)
        collisions.removeAll { $0.candidate == key || $0.incumbent == key }
    }

    // MARK: Choosing

    /// One of *new* or of *tried* that fits: of the buckets that have one, a bucket is drawn, then one of its entries. So what a
    /// group can be drawn for is bounded by the buckets it can reach, however many entries it has. Linear in the table.
    func draw(
        tried fromTried: Bool, _ generator: inout SecretStream, where fits: (Entry) -> Bool
    ) -> Entry? {
        let perBucket = fromTried ? PeerTables.triedSlots : PeerTables.newSlots
        let table = fromTried ? tried : new
        var fitting: [Int32] = []
        /// Where each bucket's entries begin in `fitting`.
        var begins: [Int] = []
        var last = -1
        for (place, slot) in table.enumerated() where slot >= 0 {
            guard let entry = slots[Int(slot)], fits(entry) else { continue }
            if place / perBucket != last {
                last = place / perBucket
                begins.append(fitting.count)
            }
            fitting.append(slot)
        }
        if begins.isEmpty { return nil }
        let bucket = Int(generator.next() % UInt64(begins.count))
        let end = bucket + 1 < begins.count ? begins[bucket + 1] : fitting.count
        let count = UInt64(end - begins[bucket])
        return slots[Int(fitting[begins[bucket] + Int(generator.next() % count)])]
    }

    // MARK: Places

    private mutating func take(_ entry: Entry) -> Int {
        let slot: Int
        if let last = free.popLast() {
            slot = last
            slots[slot] = entry
        } else {
            slot = slots.count
            slots.append(entry)
        }
        index[entry.key] = slot
        return slot
    }

    private mutating func insertNew(_ entry: Entry) {
        new[entry.place] = Int32(take(entry))
        newCount += 1
    }

    private mutating func insert(_ entry: Entry, inTriedAt place: Int) {
        var held = entry
        held.isTried = true
        held.place = place
        tried[place] = Int32(take(held))
        triedCount += 1
    }

    private mutating func promote(_ slot: Int, to place: Int) {
        guard let entry = slots[slot] else { return }
        new[entry.place] = -1
        newCount -= 1
        tried[place] = Int32(slot)
        triedCount += 1
        slots[slot]?.isTried = true
        slots[slot]?.place = place
    }

    /// From *tried* to *new*; without room there, away.
    private mutating func demote(_ slot: Int) {
        guard let entry = slots[slot], entry.isTried else { return }
        let place = newPlace(entry)
        guard new[place] < 0 else { return remove(entry.key) }
        tried[entry.place] = -1
        triedCount -= 1
        new[place] = Int32(slot)
        newCount += 1
        slots[slot]?.isTried = false
        slots[slot]?.place = place
    }

    private func newPlace(_ entry: Entry) -> Int {
        let spread = digest(1, entry.group.value, entry.source.value) % UInt64(PeerTables.newBucketsPerSource)
        let bucket = Int(digest(2, entry.source.value, spread) % UInt64(PeerTables.newBuckets))
        let slot = Int(digest(3, UInt64(bucket), entry) % UInt64(PeerTables.newSlots))
        return bucket * PeerTables.newSlots + slot
    }

    private func triedPlace(_ entry: Entry) -> Int {
        let spread = digest(4, 0, entry) % UInt64(PeerTables.triedBucketsPerGroup)
        let bucket = Int(digest(5, entry.group.value, spread) % UInt64(PeerTables.triedBuckets))
        let slot = Int(digest(6, UInt64(bucket), entry) % UInt64(PeerTables.triedSlots))
        return bucket * PeerTables.triedSlots + slot
    }

    private func digest(_ purpose: UInt64, _ a: UInt64, _ b: UInt64) -> UInt64 {
        var words = (purpose.littleEndian, a.littleEndian, b.littleEndian)
        return withUnsafeBytes(of: &words) { hash.hash($0) }
    }

    /// Of a peer: its key and address, so that neither alone chooses a place.
    private func digest(_ purpose: UInt64, _ a: UInt64, _ entry: Entry) -> UInt64 {
        let key = entry.key.bytes.withUnsafeBytes { hash.hash($0) }
        let address = digest(purpose, entry.address.high, entry.address.low)
        return digest(purpose ^ UInt64(entry.address.port) << 8, a ^ address, key)
    }
}

public import MillraceBase

/// What a link does with one datagram, decided at the moment it is sent.
public struct Passage: Equatable, Sendable, BitwiseCopyable {
    public enum Fate: UInt8, Equatable, Sendable, BitwiseCopyable {
        case delivered
        /// Longer than the link's packets may be.
        case tooLong
        /// The queue was full.
        case queueFull
        /// The queue's management dropped it to shorten the wait.
        case managed
        case lost
        /// Above the policed rate.
        case policed
    }

    public var fate: Fate
    /// When it arrives (delivered), or when it was gone.
    public var at: Instant
    /// When its duplicate arrives; `.distantFuture` when there is none.
    public var duplicateAt = Instant(nanoseconds: .max)
    /// Which bit of the payload is flipped on arrival, or `Passage.noBit`; for the original and the duplicate.
    public var flippedBit = Passage.noBit
    public var duplicateFlippedBit = Passage.noBit
    /// Marked *congestion experienced* where it would have been dropped to shorten the wait; its duplicate too.
    public var isMarked = false

    public static let noBit = UInt32.max

    public init(fate: Fate, at: Instant) {
        self.fate = fate
        self.at = at
    }

    public var isDelivered: Bool { fate == .delivered }
    public var isDuplicated: Bool { duplicateAt.nanoseconds != .max }
}

/// What became of a datagram that a fair link had waiting.
public struct LinkOutcome: Equatable, Sendable, BitwiseCopyable {
    /// What the sender called it.
    public var token: UInt64
    public var passage: Passage
}

/// What a link did so far.
public struct LinkCounters: Equatable, Sendable {
    public var offeredDatagrams: UInt64 = 0
    public var offeredBytes: UInt64 = 0
    /// Originals that arrive, intact or not; duplicates are counted apart.
    public var deliveredDatagrams: UInt64 = 0
    public var deliveredBytes: UInt64 = 0
    public var tooLong: UInt64 = 0
    public var queueFull: UInt64 = 0
    public var managed: UInt64 = 0
    public var policed: UInt64 = 0
    public var marked: UInt64 = 0
    public var lost: UInt64 = 0
    public var reordered: UInt64 = 0
    public var duplicated: UInt64 = 0
    public var corrupted: UInt64 = 0
    /// The most that ever waited.
    public var queueBytesPeak = 0

    public init() {}
}

/// One direction of a link, sans-IO: policer → rate and queue → loss → delay, jitter, reordering → duplication → corruption
/// (Spec 80).
///
/// A link is first in, first out, so a datagram's whole future is known when it is sent: `pass` answers it at once, and
/// keeps no datagram. The simulator puts the answer into its own event queue; a shell uses `LinkPipe`, which holds
/// datagrams until they arrive. Equal parameters, seed, index and calls give equal answers on every machine. Where a datagram
/// arrives or does not and nothing else can be said of it (`isPlain`), `arrival` answers the same by a time alone.
///
/// Only a queue that serves flows in turn (`isFair`, FQ-CoDel) cannot know: what comes later may go first. There a datagram is
/// *offered* with its flow and a token, and what becomes of it is told by `nextOutcome` at or after `nextService`:
///
///     offer ─▶ waiting ──nextService reached, advance──▶ outcome: passage (delivered, managed, queueFull, lost)
///
/// Asks: times never decrease (a smaller one is taken as the last). Bounds: `LinkLimits.datagramsMax` entries of sixteen
/// bytes (of 64, if fair); whatever the parameters hold is clamped once, in `init`. `pass` allocates nothing once its queue has
/// grown.
public struct LinkModel: Sendable {
    // First what every datagram looks at.

    public private(set) var counters = LinkCounters()
    private var lastNow = Instant.zero
    /// When the rate would have served everything sent so far (the virtual finish time of a token bucket), on the clock
    /// that stands still in outages.
    private var busyUntil = Instant.zero
    /// Datagrams that came through the queue: the counter of every later draw.
    private var number: UInt64 = 0
    private var waiting = Queue<Waiting>(empty: Waiting())
    private var waitingBytes = 0

    // Clamped from the parameters, so that `pass` looks nothing up.
    private let overheadBytes: Int
    private let mtuBytes: Int
    /// Whether anything can ever wait: there is a rate, or an outage.
    private let hasQueue: Bool
    private let queueBytesMax: Int
    private let bucketTime: Interval
    private let marksECN: Bool
    private let reorder: Probability
    private let reorderMost: UInt64
    private let duplicate: Probability
    private let corrupt: Probability

    private var schedule: RateSchedule
    private let hasOutage: Bool
    private let hasPolicer: Bool
    private let hasCoDel: Bool
    /// Whether datagrams are offered and served, because the queue serves flows in turn. Else they pass.
    public let isFair: Bool
    /// Datagrams arrive once, as they were sent and unmarked, or not at all.
    public let isPlain: Bool
    private var travel: TravelTime
    private var loss: LossProcess
    private let reorderDraws: CounterDraws
    private let reorderByDraws: CounterDraws
    private let duplicateDraws: CounterDraws
    private let corruptDraws: CounterDraws
    private let bitDraws: CounterDraws

    // What only some links have.

    private let outage: Outage?
    private var policer: Policer?
    private var coDel: CoDel?
    /// The queue of a fair link; empty for all others, whose datagrams are decided at once. Not an optional: to look at one
    /// of that size is to copy it, for every datagram.
    private var fair: [FairQueue]
    private var outcomes = Queue<LinkOutcome>(
        empty: LinkOutcome(token: 0, passage: Passage(fate: .lost, at: .zero)))
    public let parameters: LinkParameters

    private struct Waiting: BitwiseCopyable {
        /// When it has left the queue and the wire is free again.
        var until = Instant.zero
        var bytes = 0
    }

    /// `index` tells apart links that share a seed (the two directions of one, for instance). Traces and outages count from
    /// `origin`; before it a trace stands where its repetition backwards says, and there is no outage.
    public init(_ parameters: LinkParameters, seed: Seed, index: UInt64 = 0, origin: Instant = .zero) {
        self.parameters = parameters
        let rate = parameters.meanRateBitsPerSecond
        overheadBytes = min(max(parameters.overheadBytes, 0), 1_000)
        mtuBytes = parameters.mtuBytes
        outage = parameters.outage.map { $0.beginning(at: origin) }
        hasOutage = parameters.outage != nil
        hasPolicer = parameters.policer != nil
        hasCoDel = parameters.management == .coDel
        hasQueue = rate != nil || parameters.outage != nil
        if case .time = parameters.queue, rate == nil {
            queueBytesMax = LinkLimits.queueBytesMax
        } else {
            queueBytesMax = min(parameters.queueBytesMax, LinkLimits.queueBytesMax)
        }
        marksECN = parameters.marksECN
        reorder = parameters.reorder
        reorderMost = UInt64(max(min(parameters.reorderBy, LinkLimits.delayMax).nanoseconds, 1))
        duplicate = parameters.duplicate
        corrupt = parameters.corrupt
        schedule = RateSchedule(parameters, origin: origin)
        policer = parameters.policer.map(Policer.init)
        loss = LossProcess(parameters, seed, index)
        coDel = parameters.management == .coDel ? CoDel(parameters) : nil
        // Without rate and outage nothing waits, and there is nothing to be fair about.
        isFair = parameters.management == .fairCoDel && (rate != nil || parameters.outage != nil)
        isPlain =
            !isFair && !parameters.marksECN && parameters.reorder == .zero && parameters.duplicate == .zero
            && parameters.corrupt == .zero
        fair =
            isFair ? [FairQueue(parameters, CounterDraws(seed, "link flow", index))] : []
        travel = TravelTime(parameters, CounterDraws(seed, "link jitter", index))
        reorderDraws = CounterDraws(seed, "link reorder", index)
        reorderByDraws = CounterDraws(seed, "link reorder by", index)
        duplicateDraws = CounterDraws(seed, "link duplicate", index)
        corruptDraws = CounterDraws(seed, "link corrupt", index)
        bitDraws = CounterDraws(seed, "link bit", index)
        if parameters.bucketBytes > 0, let rate {
            let bits = UInt64(min(parameters.bucketBytes, LinkLimits.queueBytesMax)) * 8
            // ≤ 2^33 bits: times 10^9 stays below 2^63.
            bucketTime = .nanoseconds(Int64(clamping: bits * 1_000_000_000 / max(rate, 1)))
        } else {
            bucketTime = .zero
        }
    }

    /// Sends a datagram of `bytes` of UDP payload at `now`. Asks for a link that is not fair.
    public mutating func pass(bytes: Int, now: Instant) -> Passage {
        let now = max(now, lastNow)
        lastNow = now
        let bytes = min(max(bytes, 0), LinkLimits.datagramBytesMax)
        let wireBytes = bytes + overheadBytes
        if let refusal = refusal(bytes, wireBytes, now) { return Passage(fate: refusal, at: now) }
        var departure = Departure(at: now, isManaged: false)
        if hasQueue {
            guard let through = throughQueue(wireBytes, now) else {
                counters.queueFull &+= 1
                return Passage(fate: .queueFull, at: now)
            }
            departure = through
            if departure.isManaged, !marksECN {
                counters.managed &+= 1
                return Passage(fate: .managed, at: departure.at)
            }
            if departure.isManaged { counters.marked &+= 1 }
        }

        return beyondQueue(bytes, departure)
    }

    /// `pass`, told by when the datagram arrives; nil: it does not. Asks for a plain link. An answer in two registers costs the
    /// simulator half of what one of 40 bytes does.
    public mutating func arrival(bytes: Int, now: Instant) -> Instant? {
        let now = max(now, lastNow)
        lastNow = now
        let bytes = min(max(bytes, 0), LinkLimits.datagramBytesMax)
        let wireBytes = bytes + overheadBytes
        if refusal(bytes, wireBytes, now) != nil { return nil }
        var departure = now
        if hasQueue {
            guard let through = throughQueue(wireBytes, now) else {
                counters.queueFull &+= 1
                return nil
            }
            if through.isManaged {
                counters.managed &+= 1
                return nil
            }
            departure = through.at
        }
        let number = self.number
        self.number &+= 1
        if loss.loses(number, at: departure) {
            counters.lost &+= 1
            return nil
        }
        counters.deliveredDatagrams &+= 1
        counters.deliveredBytes &+= UInt64(bytes)
        return departure + travel.time(at: departure)
    }

    // MARK: A fair queue

    /// Offers a datagram of `bytes` of `flow` at `now`. Nil: it waits, and an outcome will have its token; else it is gone. Asks
    /// for a fair link.
    public mutating func offer(bytes: Int, flow: UInt64, token: UInt64, now: Instant) -> Passage.Fate? {
        let now = max(now, lastNow)
        advance(to: now)
        lastNow = now
        let bytes = min(max(bytes, 0), LinkLimits.datagramBytesMax)
        let wireBytes = bytes + overheadBytes
        if let refusal = refusal(bytes, wireBytes, now) { return refusal }
        guard isFair, fairCount < LinkLimits.datagramsMax else {
            counters.queueFull &+= 1
            return .queueFull
        }
        let packet = FairQueue.Packet(token: token, bytes: bytes, wireBytes: wireBytes, since: now)
        fair[0].append(packet, flow: flow)
        advance(to: now)
        // Above the limit the fattest flow pays, whoever came last; a datagram alone always has room.
        while fairBytes > queueBytesMax, fairCount > 1 { dropFromFattest(now) }
        noteQueuePeak()
        return nil
    }

    /// When the wire is free for the next datagram that waits; nil when none does.
    public var nextService: Instant? {
        guard fairCount > 0 else { return nil }
        return max(lastNow, realTime(busyUntil - bucketTime, lastNow))
    }

    /// Serves what the wire had time for until `now`; `nextOutcome` tells of it.
    public mutating func advance(to now: Instant) {
        while let at = nextService, at <= now {
            lastNow = at
            serve(at)
        }
    }

    /// What became of a datagram that waited.
    public mutating func nextOutcome() -> LinkOutcome? {
        guard outcomes.count > 0 else { return nil }
        defer { outcomes.removeFirst() }
        return outcomes.first
    }

    private var fairCount: Int { isFair ? fair[0].count : 0 }
    private var fairBytes: Int { isFair ? fair[0].bytes : 0 }

    private mutating func serve(_ now: Instant) {
        var dropped: [FairQueue.Packet] = []
        let packet = fair[0].next(now: now) { dropped.append($0) }
        for packet in dropped {
            counters.managed &+= 1
            settle(packet, Passage(fate: .managed, at: now))
        }
        guard let packet else { return }
        if packet.isMarked { counters.marked &+= 1 }
        var clock = now
        if hasOutage, let outage { clock = outage.upTime(at: now) }
        busyUntil = schedule.finish(bytes: packet.wireBytes, from: max(clock, busyUntil))
        let departure = realTime(max(clock, busyUntil - bucketTime), now)
        forget(until: now)
        if departure > now { wait(until: departure, packet.wireBytes) }
        settle(packet, beyondQueue(packet.bytes, Departure(at: departure, isManaged: packet.isMarked)))
    }

    private mutating func dropFromFattest(_ now: Instant) {
        var dropped: [FairQueue.Packet] = []
        fair[0].dropFromFattest { dropped.append($0) }
        for packet in dropped {
            counters.queueFull &+= 1
            settle(packet, Passage(fate: .queueFull, at: now))
        }
    }

    private mutating func settle(_ packet: FairQueue.Packet, _ passage: Passage) {
        outcomes.append(LinkOutcome(token: packet.token, passage: passage))
    }

    // MARK: Stages

    /// Counts the datagram in, and answers what stops it before the queue.
    @inline(__always)
    private mutating func refusal(_ bytes: Int, _ wireBytes: Int, _ now: Instant) -> Passage.Fate? {
        counters.offeredDatagrams &+= 1
        counters.offeredBytes &+= UInt64(bytes)
        guard wireBytes <= mtuBytes else {
            counters.tooLong &+= 1
            return .tooLong
        }
        if hasPolicer, policer?.admits(wireBytes, now: now) == false {
            counters.policed &+= 1
            return .policed
        }
        return nil
    }

    /// What happens to a datagram that has left the queue.
    @inline(__always)
    private mutating func beyondQueue(_ bytes: Int, _ departure: Departure) -> Passage {
        let number = self.number
        self.number &+= 1
        if loss.loses(number, at: departure.at) {
            counters.lost &+= 1
            return Passage(fate: .lost, at: departure.at)
        }

        var passage = Passage(fate: .delivered, at: departure.at + travel.time(at: departure.at))
        passage.isMarked = departure.isManaged
        if reorder.partsPerTrillion > 0, reorder.happens(reorderDraws[number]) {
            counters.reordered &+= 1
            passage.at = passage.at + .nanoseconds(Int64(1 + reorderByDraws.below(reorderMost, at: number)))
        }
        counters.deliveredDatagrams &+= 1
        counters.deliveredBytes &+= UInt64(bytes)
        if duplicate.partsPerTrillion > 0, duplicate.happens(duplicateDraws[number]) {
            counters.duplicated &+= 1
            passage.duplicateAt = passage.at
        }
        if corrupt.partsPerTrillion > 0, bytes > 0 {
            passage.flippedBit = flippedBit(bytes, 2 &* number)
            if passage.isDuplicated { passage.duplicateFlippedBit = flippedBit(bytes, 2 &* number &+ 1) }
            if passage.flippedBit != Passage.noBit { counters.corrupted &+= 1 }
            if passage.duplicateFlippedBit != Passage.noBit { counters.corrupted &+= 1 }
        }
        return passage
    }

    /// Bytes that wait or are being sent at `now`.
    public mutating func queuedBytes(now: Instant) -> Int {
        let now = max(now, lastNow)
        if isFair { advance(to: now) }
        forget(until: now)
        return waitingBytes + fairBytes
    }

    /// An outage is under way.
    public func isDown(at now: Instant) -> Bool {
        guard let outage else { return false }
        return outage.end(at: now) > now
    }

    private struct Departure {
        var at: Instant
        /// CoDel would drop it.
        var isManaged: Bool
    }

    /// When the datagram has left through rate and queue; nil when the queue is full.
    @inline(__always)
    private mutating func throughQueue(_ wireBytes: Int, _ now: Instant) -> Departure? {
        forget(until: now)
        // An empty queue admits any datagram: a limit below one would otherwise close the link.
        guard waitingBytes == 0 || waitingBytes + wireBytes <= queueBytesMax,
            waiting.count < LinkLimits.datagramsMax
        else {
            return nil
        }
        // The rate's clock stands still in outages (Spec 80.3, rule 3).
        var clock = now
        if hasOutage, let outage { clock = outage.upTime(at: now) }
        var isManaged = false
        if hasCoDel {
            let start = realTime(max(clock, busyUntil - bucketTime), now)
            isManaged = coDel?.drops(sojourn: start - now, now: start) == true
            if isManaged, !marksECN {
                if start > now { wait(until: start, wireBytes) }
                return Departure(at: start, isManaged: true)
            }
        }
        busyUntil = schedule.finish(bytes: wireBytes, from: max(clock, busyUntil))
        let departure = realTime(max(clock, busyUntil - bucketTime), now)
        if departure > now { wait(until: departure, wireBytes) }
        return Departure(at: departure, isManaged: isManaged)
    }

    /// The real time of one on the rate's clock; nothing leaves before the end of an outage under way.
    @inline(__always)
    private func realTime(_ up: Instant, _ now: Instant) -> Instant {
        guard hasOutage, let outage else { return up }
        return max(outage.time(ofUp: up), outage.end(at: now))
    }

    @inline(__always)
    private mutating func wait(until: Instant, _ wireBytes: Int) {
        waiting.append(Waiting(until: until, bytes: wireBytes))
        waitingBytes += wireBytes
        noteQueuePeak()
    }

    @inline(__always)
    private mutating func noteQueuePeak() {
        counters.queueBytesPeak = max(counters.queueBytesPeak, waitingBytes + fairBytes)
    }

    @inline(__always)
    private mutating func forget(until now: Instant) {
        while waiting.count > 0, waiting.first.until <= now {
            waitingBytes -= waiting.first.bytes
            waiting.removeFirst()
        }
    }

    @inline(__always)
    private func flippedBit(_ bytes: Int, _ counter: UInt64) -> UInt32 {
        guard corrupt.happens(corruptDraws[counter]) else { return Passage.noBit }
        return UInt32(bitDraws.below(UInt64(bytes) * 8, at: counter))
    }
}

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
    }

    public var fate: Fate
    /// When it arrives (delivered), or when it was gone.
    public var at: Instant
    /// When its duplicate arrives; `.distantFuture` when there is none.
    public var duplicateAt = Instant.distantFuture
    /// Which bit of the payload is flipped on arrival, or `Passage.noBit`; for the original and the duplicate.
    public var flippedBit = Passage.noBit
    public var duplicateFlippedBit = Passage.noBit

    public static let noBit = UInt32.max

    public var isDelivered: Bool { fate == .delivered }
    public var isDuplicated: Bool { duplicateAt != .distantFuture }
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
    public var lost: UInt64 = 0
    public var reordered: UInt64 = 0
    public var duplicated: UInt64 = 0
    public var corrupted: UInt64 = 0
    /// The most that ever waited.
    public var queueBytesPeak = 0

    public init() {}
}

/// One direction of a link, sans-IO: rate → queue → loss → delay, jitter, reordering → duplication → corruption (Spec 80).
///
/// A link is first in, first out, so a datagram's whole future is known when it is sent: `pass` answers it at once, and
/// keeps no datagram. The simulator puts the answer into its own event queue; a shell uses `LinkPipe`, which holds
/// datagrams until they arrive. Equal parameters, seed, index and calls give equal answers on every machine.
///
/// Asks: times never decrease (a smaller one is taken as the last). Bounds: `LinkLimits.datagramsMax` entries of sixteen bytes.
public struct LinkModel: Sendable {
    public let parameters: LinkParameters
    public private(set) var counters = LinkCounters()

    private let queueBytesMax: Int
    private let bucketTime: Interval
    private let jitterPeriod: UInt64
    private var schedule: RateSchedule
    private var loss: LossProcess
    private var coDel: CoDel?
    private let jitterDraws: CounterDraws
    private let reorderDraws: CounterDraws
    private let reorderByDraws: CounterDraws
    private let duplicateDraws: CounterDraws
    private let corruptDraws: CounterDraws
    private let bitDraws: CounterDraws

    private struct Waiting: BitwiseCopyable {
        /// When it has left the queue and the wire is free again.
        var until: Instant
        var bytes: Int
    }
    private var waiting = Queue<Waiting>()
    private var waitingBytes = 0

    private var lastNow = Instant.zero
    /// When the rate would have served everything sent so far (the virtual finish time of a token bucket).
    private var busyUntil = Instant.zero
    /// Datagrams that came through the queue: the counter of every later draw.
    private var number: UInt64 = 0

    /// `index` tells apart links that share a seed (the two directions of one, for instance).
    public init(_ parameters: LinkParameters, seed: Seed, index: UInt64 = 0) {
        self.parameters = parameters
        queueBytesMax = min(parameters.queueBytesMax, LinkLimits.queueBytesMax)
        schedule = RateSchedule(parameters)
        loss = LossProcess(parameters, seed, index)
        coDel = parameters.management == .coDel ? CoDel(parameters) : nil
        jitterDraws = CounterDraws(seed, "link jitter", index)
        reorderDraws = CounterDraws(seed, "link reorder", index)
        reorderByDraws = CounterDraws(seed, "link reorder by", index)
        duplicateDraws = CounterDraws(seed, "link duplicate", index)
        corruptDraws = CounterDraws(seed, "link corrupt", index)
        bitDraws = CounterDraws(seed, "link bit", index)
        if parameters.bucketBytes > 0, let rate = parameters.meanRateBitsPerSecond {
            let bits = UInt64(min(parameters.bucketBytes, LinkLimits.queueBytesMax)) * 8
            // ≤ 2^33 bits: times 10^9 stays below 2^63.
            bucketTime = .nanoseconds(Int64(clamping: bits * 1_000_000_000 / max(rate, 1)))
        } else {
            bucketTime = .zero
        }
        // Slopes of at most a half: time under way never runs backwards, so jitter alone reorders nothing.
        jitterPeriod = UInt64(max(10_000_000, min(parameters.jitter, LinkLimits.delayMax).nanoseconds * 4))
    }

    /// Sends a datagram of `bytes` of UDP payload at `now`.
    public mutating func pass(bytes: Int, now: Instant) -> Passage {
        let now = max(now, lastNow)
        lastNow = now
        let bytes = min(max(bytes, 0), LinkLimits.datagramBytesMax)
        counters.offeredDatagrams &+= 1
        counters.offeredBytes &+= UInt64(bytes)

        let wireBytes = bytes + min(max(parameters.overheadBytes, 0), 1_000)
        guard wireBytes <= parameters.mtuBytes else {
            counters.tooLong &+= 1
            return Passage(fate: .tooLong, at: now)
        }
        guard let departure = throughQueue(wireBytes, now) else {
            counters.queueFull &+= 1
            return Passage(fate: .queueFull, at: now)
        }
        if departure.isManaged {
            counters.managed &+= 1
            return Passage(fate: .managed, at: departure.at)
        }

        let number = self.number
        self.number &+= 1
        if loss.loses(number) {
            counters.lost &+= 1
            return Passage(fate: .lost, at: departure.at)
        }

        var passage = Passage(fate: .delivered, at: departure.at + travelTime(at: departure.at))
        if parameters.reorder > .zero, parameters.reorder.happens(reorderDraws[number]) {
            counters.reordered &+= 1
            let most = UInt64(max(min(parameters.reorderBy, LinkLimits.delayMax).nanoseconds, 1))
            passage.at = passage.at + .nanoseconds(Int64(1 + reorderByDraws.below(most, at: number)))
        }
        counters.deliveredDatagrams &+= 1
        counters.deliveredBytes &+= UInt64(bytes)
        if parameters.duplicate > .zero, parameters.duplicate.happens(duplicateDraws[number]) {
            counters.duplicated &+= 1
            passage.duplicateAt = passage.at
        }
        if parameters.corrupt > .zero, bytes > 0 {
            passage.flippedBit = flippedBit(bytes, 2 &* number)
            if passage.isDuplicated { passage.duplicateFlippedBit = flippedBit(bytes, 2 &* number &+ 1) }
            if passage.flippedBit != Passage.noBit { counters.corrupted &+= 1 }
            if passage.duplicateFlippedBit != Passage.noBit { counters.corrupted &+= 1 }
        }
        return passage
    }

    /// Bytes that wait or are being sent at `now`.
    public mutating func queuedBytes(now: Instant) -> Int {
        forget(until: max(now, lastNow))
        return waitingBytes
    }

    // MARK: Stages

    /// When the datagram has left through rate and queue; nil when the queue is full.
    private mutating func throughQueue(_ wireBytes: Int, _ now: Instant) -> (at: Instant, isManaged: Bool)? {
        guard parameters.meanRateBitsPerSecond != nil else { return (now, false) }
        forget(until: now)
        // An empty queue admits any datagram: a limit below one would otherwise close the link.
        guard waitingBytes == 0 || waitingBytes + wireBytes <= queueBytesMax,
            waiting.count < LinkLimits.datagramsMax
        else {
            return nil
        }
        let start = max(now, busyUntil - bucketTime)
        if coDel != nil, coDel?.drops(sojourn: start - now, now: start) == true {
            if start > now { wait(until: start, wireBytes) }
            return (start, true)
        }
        busyUntil = schedule.finish(bytes: wireBytes, from: max(now, busyUntil))
        let departure = max(now, busyUntil - bucketTime)
        if departure > now { wait(until: departure, wireBytes) }
        return (departure, false)
    }

    private mutating func wait(until: Instant, _ wireBytes: Int) {
        waiting.append(Waiting(until: until, bytes: wireBytes))
        waitingBytes += wireBytes
        counters.queueBytesPeak = max(counters.queueBytesPeak, waitingBytes)
    }

    private mutating func forget(until now: Instant) {
        while let first = waiting.first, first.until <= now {
            waitingBytes -= first.bytes
            waiting.removeFirst()
        }
    }

    /// Delay and jitter of a datagram that departs at `time`.
    ///
    /// Jitter belongs to the moment, not to the datagram: it is drawn uniformly at knots a period apart and runs straight
    /// between them, as the queues of other people's traffic grow and shrink. Drawn for each datagram instead, it would
    /// either reorder every stream or, kept in order, delay each datagram by the largest draw nearby.
    private func travelTime(at time: Instant) -> Interval {
        let delay = min(max(parameters.delay, .zero), LinkLimits.delayMax)
        let width = min(max(parameters.jitter, .zero), LinkLimits.delayMax).nanoseconds
        guard width > 0 else { return delay }
        let knot = time.nanoseconds / jitterPeriod
        let within = Int64(time.nanoseconds % jitterPeriod)
        let before = Int64(jitterDraws.below(UInt64(2 * width + 1), at: knot)) - width
        let after = Int64(jitterDraws.below(UInt64(2 * width + 1), at: knot &+ 1)) - width
        // ≤ 1.2e11 × 2.4e11: the product needs 128 bits only for jitters of seconds, so divide early there.
        let shift: Int64 = width > 1_000_000_000 ? 1 << 14 : 1
        let moved = (after - before) / shift * within / (Int64(jitterPeriod) / shift)
        return max(delay + .nanoseconds(before + moved), .zero)
    }

    private func flippedBit(_ bytes: Int, _ counter: UInt64) -> UInt32 {
        guard parameters.corrupt.happens(corruptDraws[counter]) else { return Passage.noBit }
        return UInt32(bitDraws.below(UInt64(bytes) * 8, at: counter))
    }
}

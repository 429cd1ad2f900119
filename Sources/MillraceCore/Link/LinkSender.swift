/// The sender's half of the link layer, one per child: what is under way, what feedback says about it, and how fast to
/// send (Spec 55.4). Ties `SendRecord` to `RateController`.
///
/// A peer's feedback is a claim: numbers that were never sent are ignored, counts are clamped to what was sent, and the
/// worst a liar gets is what its contract owes at the ceiling.

import MillraceBase
import MillraceWire

struct LinkSender {
    /// UDP and IPv4 headers, which the link carries too.
    static let packetOverhead: Int64 = 28
    /// Without feedback for so long, what is under way is lost.
    static let silenceMin = Interval.seconds(1)

    private(set) var record = SendRecord()
    private var heardAt: Instant
    private(set) var controller: RateController
    /// The latest feedback taken.
    private var last: LinkFeedback?
    private var lastNumber: UInt64 = 0
    /// Clocks are not synchronised: delays are differences to the first.
    private var delayReference: UInt32 = 0

    init(ceilingBytesPerSecond: Int64, now: Instant) {
        controller = RateController(ceilingBytesPerSecond: ceilingBytesPerSecond, now: now)
        heardAt = now
    }

    mutating func setCeiling(bytesPerSecond: Int64) { controller.setCeiling(bytesPerSecond: bytesPerSecond) }

    mutating func sent(key: UInt32, counter: UInt64, bytes: Int, now: Instant) {
        if record.bytesInFlight == 0 { heardAt = max(heardAt, now) }
        record.sent(
            key: key, counter: counter, bytes: bytes + Int(LinkSender.packetOverhead), now: now)
    }

    /// Nothing waits.
    mutating func noteIdle() { record.noteIdle() }

    /// Whether another datagram may be under way.
    var maySend: Bool { bytesInFlight < bytesInFlightMax }
    var bytesInFlight: UInt64 { record.bytesInFlight }
    var bytesInFlightMax: UInt64 { UInt64(controller.bytesInFlightMax) }

    var bytesPerSecond: Int64 { controller.rate }

    /// A queue stands in front of the way, or a policer cuts.
    var isLimited: Bool { controller.isLimited }

    /// The standing queue in front of the way.
    var queueDelay: Interval { .microseconds(controller.queueMicroseconds) }

    /// It is longer than bursts and noise make it: what is sent now delays all that follows.
    var isQueueLong: Bool { controller.isQueueLong }

    mutating func feedback(_ told: LinkFeedback, now: Instant) {
        guard let number = record.number(key: told.key, counter: told.largest), let entry = record[number]
        else { return }
        defer {
            heardAt = now
            record.tell(through: number)
        }
        // Nothing of it but that it came is known. The next feedback counts it with the others.
        if entry.isUntimed { return }
        // An old one that came late says nothing new.
        guard let before = last, before.key == told.key else {
            last = told
            lastNumber = number
            delayReference = told.at &- microseconds(entry.sentAt)
            return
        }
        guard number > lastNumber, told.received > before.received, told.bytes >= before.bytes,
            let previous = record[lastNumber]
        else {
            // Forgotten, or nonsense: begin anew from here.
            if number > lastNumber {
                last = told
                lastNumber = number
            }
            return
        }
        let sent = Int64(clamping: number - lastNumber)
        let received = min(Int64(clamping: told.received - before.received), sent)
        // Bytes received are at most those sent, whatever is claimed.
        let sentBytes = Int64(clamping: entry.bytes &- previous.bytes)
        let claimed = Int64(clamping: told.bytes - before.bytes)
        let bytes = min(min(claimed, 1 << 40) + received * LinkSender.packetOverhead, sentBytes)
        // Counts of marks only grow; of what came, at most all was marked.
        let marked =
            told.marked > before.marked ? min(Int64(clamping: told.marked - before.marked), received) : 0
        let span = Int64(Int32(bitPattern: told.at &- before.at))
        let sentSpan = (entry.sentAt - previous.sentAt).microseconds
        let delay = self.delay(told.at, entry.sentAt)
        var least = delay
        if told.earlierBy > 0, UInt64(told.earlierBy) < number,
            let earlier = record[number - UInt64(told.earlierBy)], !earlier.isUntimed
        {
            least = min(least, self.delay(told.at &- told.earlierMicroseconds, earlier.sentAt))
        }
        last = told
        lastNumber = number
        // A clock that was set back gives a span that is no time.
        guard span > 0, span < 60_000_000 else { return }
        controller.update(
            LinkReport(
                roundTrip: now - entry.sentAt, delay: delay, delayLeast: least, datagramsSent: sent,
                datagramsReceived: received, bytes: bytes, microseconds: max(span, min(sentSpan, 60_000_000)),
                isBacklogged: entry.idles == previous.idles, isBusy: told.isBusy, datagramsMarked: marked),
            now: now)
    }

    private func microseconds(_ instant: Instant) -> UInt32 {
        UInt32(truncatingIfNeeded: instant.nanoseconds / 1_000)
    }

    private func delay(_ at: UInt32, _ sentAt: Instant) -> Int64 {
        Int64(Int32(bitPattern: at &- microseconds(sentAt) &- delayReference))
    }

    /// When what is under way is to be given up; nil while nothing is, or feedback came lately.
    var giveUpAt: Instant? {
        record.bytesInFlight == 0
            ? nil : heardAt + max(LinkSender.silenceMin, controller.roundTripLeast * 4)
    }

    mutating func handleTimeout(now: Instant) {
        guard let at = giveUpAt, now >= at else { return }
        record.giveUp()
        heardAt = now
    }
}

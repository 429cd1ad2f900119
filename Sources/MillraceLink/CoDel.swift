internal import MillraceBase

/// CoDel (RFC 8289): drops at the head of a queue whose shortest wait has stayed above a target for a whole interval, then
/// at a rising rate until the wait is short again.
///
/// One clause of the RFC is left out where a link is first in, first out: never to drop when less than a packet waits. It would
/// make a datagram's fate depend on those behind it; instead the target is at least two packets' time, which serves the same
/// end on slow links. `FairQueue`, which knows what waits, has both.
struct CoDel: Sendable {
    private let target: Interval
    private let interval = Interval.milliseconds(100)
    private var firstAbove: Instant?
    private var isDropping = false
    private var dropNext = Instant.zero
    private var count: UInt64 = 0
    private var lastCount: UInt64 = 0

    init(_ parameters: LinkParameters) {
        var target = Interval.milliseconds(5)
        if let rate = parameters.meanRateBitsPerSecond, rate > 0 {
            let packets = Interval.nanoseconds(Int64(clamping: 2 * 1_500 * 8 * 1_000_000_000 / rate))
            if packets > target { target = packets }
        }
        self.target = target
    }

    /// What is left behind a datagram must exceed this, where that is known (RFC 8289, 4.4: MAXPACKET).
    static let packetBytes = 1_500

    /// Whether the datagram that reaches the head of the queue at `now` after waiting `sojourn` is dropped; `leftBytes` wait
    /// behind it, where that is known.
    mutating func drops(sojourn: Interval, now: Instant, leftBytes: Int = .max) -> Bool {
        let mayDrop = isAbove(sojourn, now, leftBytes)
        if isDropping {
            if !mayDrop {
                isDropping = false
                return false
            }
            guard now >= dropNext else { return false }
            count += 1
            dropNext = controlLaw(from: dropNext)
            return true
        }
        guard mayDrop else { return false }
        isDropping = true
        // Soon after the last dropping period, take up near where it ended (RFC 8289, 5.5).
        let delta = count - lastCount
        count = delta > 1 && now - dropNext < interval * 16 ? delta : 1
        lastCount = count
        dropNext = controlLaw(from: now)
        return true
    }

    private mutating func isAbove(_ sojourn: Interval, _ now: Instant, _ leftBytes: Int) -> Bool {
        if sojourn < target || leftBytes <= CoDel.packetBytes {
            firstAbove = nil
            return false
        }
        guard let firstAbove else {
            firstAbove = now + interval
            return false
        }
        return now >= firstAbove
    }

    /// The interval divided by the square root of the count, in integers: √count to a thousandth.
    private func controlLaw(from time: Instant) -> Instant {
        let root = CoDel.squareRoot(min(count, 1 << 40) * 1_000_000)
        return time + .nanoseconds(interval.nanoseconds * 1_000 / Int64(max(root, 1)))
    }

    static func squareRoot(_ n: UInt64) -> UInt64 {
        guard n > 1 else { return n }
        var x: UInt64 = 1 << UInt64((65 - n.leadingZeroBitCount) / 2)
        while true {
            let y = (x + n / x) / 2
            if y >= x { return x }
            x = y
        }
    }
}

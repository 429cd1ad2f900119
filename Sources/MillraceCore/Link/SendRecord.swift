/// What was sent to one child and not yet told of: for each datagram when, and how many bytes had been sent by then.
///
/// Numbers count datagrams of the session whatever key they went under: a key's counter plus where it began. Bounds: a
/// ring that grows by doubling to `datagramsMax` places of 24 bytes and then forgets the oldest, which costs samples and
/// nothing else.
///
/// A keepalive, and a question about the path or its length, take numbers of the session and go past this record. When
/// they were sent is not known here, so no time is ever measured by them.

import MillraceBase

struct SendRecord {
    struct Entry: BitwiseCopyable {
        var sentAt = Instant.zero
        /// Bytes up to and with this datagram, UDP and IP headers counted.
        var bytes: UInt64 = 0
        /// How often there had been nothing to send.
        var idles: UInt32 = 0
        /// It went past this record: `sentAt` is only when that was noticed.
        var isUntimed = false
    }

    static let datagramsMin = 64
    /// 80 Mbit/s for a second of round trip.
    static let datagramsMax = 8_192

    private var ring = Array(repeating: Entry(), count: datagramsMin)
    /// The number of the next datagram.
    private(set) var next: UInt64 = 0
    /// Everything up to here was told of: received or lost.
    private(set) var told: UInt64 = 0
    private(set) var latest = Entry()
    private var toldBytes: UInt64 = 0
    /// Keys by the low half of their connection id, and which number their counter 0 has.
    private var key: UInt16 = 0
    private var base: UInt64 = 0
    private var oldKey: UInt16 = 0
    private var oldBase: UInt64 = 0
    private var idles: UInt32 = 0

    /// Bytes that are under way as far as is known.
    var bytesInFlight: UInt64 { latest.bytes &- toldBytes }

    /// Nothing waits to be sent: what is measured from here on says what the source has, not what the link carries.
    mutating func noteIdle() { idles &+= 1 }

    mutating func sent(key: UInt32, counter: UInt64, bytes: Int, now: Instant) {
        let key = UInt16(truncatingIfNeeded: key)
        if key != self.key || next == 0 {
            (oldKey, oldBase) = (self.key, base)
            self.key = key
            base = max(next, 1) &- counter
            if next == 0 { next = 1 }
        }
        let number = base &+ counter
        let entry = Entry(sentAt: now, bytes: latest.bytes &+ UInt64(max(bytes, 0)), idles: idles)
        guard number >= next, number &- next < UInt64(SendRecord.datagramsMax) else { return }
        while number &- told >= UInt64(ring.count), ring.count < SendRecord.datagramsMax { grow() }
        while next < number {
            ring[Int(next) & (ring.count - 1)] = Entry(
                sentAt: now, bytes: latest.bytes, idles: idles, isUntimed: true)
            next &+= 1
        }
        ring[Int(number) & (ring.count - 1)] = entry
        next = number &+ 1
        latest = entry
    }

    private mutating func grow() {
        var larger = Array(repeating: Entry(), count: ring.count * 2)
        let first = next > UInt64(ring.count) ? next - UInt64(ring.count) : 0
        for number in first..<next {
            larger[Int(number) & (larger.count - 1)] = ring[Int(number) & (ring.count - 1)]
        }
        ring = larger
    }

    /// The number of a datagram that a peer names; nil when it was never sent.
    func number(key: UInt16, counter: UInt64) -> UInt64? {
        guard counter < 1 << 62 else { return nil }
        let number: UInt64
        if key == self.key {
            number = base &+ counter
        } else if key == oldKey {
            number = oldBase &+ counter
            // The old key's numbers end where the new key's began.
            if number >= base { return nil }
        } else {
            return nil
        }
        return number > 0 && number < next ? number : nil
    }

    /// Nil when it has been forgotten.
    subscript(number: UInt64) -> Entry? {
        guard number < next, next - number <= UInt64(ring.count) else { return nil }
        return ring[Int(number) & (ring.count - 1)]
    }

    mutating func tell(through number: UInt64) {
        guard number > told, let entry = self[number] else { return }
        told = number
        toldBytes = entry.bytes
    }

    /// Nothing was told for so long that what is under way is lost.
    mutating func giveUp() {
        guard next > 0 else { return }
        told = next - 1
        toldBytes = latest.bytes
    }
}

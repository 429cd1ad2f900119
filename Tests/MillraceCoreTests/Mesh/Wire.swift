/// One direction of a test wire: rate with a drop-tail queue, delay, jitter, loss. Deterministic for a seed.

import MillraceBase

struct WireParameters {
    var delay = Interval.milliseconds(10)
    var jitter = Interval.zero
    /// Lost datagrams per 1,000.
    var lossPerMille: UInt64 = 0
    /// 0: unlimited.
    var megabitsPerSecond: Int64 = 0
    /// Finer than the above, and instead of it.
    var kilobitsPerSecond: Int64 = 0
    var queue = Interval.milliseconds(100)
    /// Payload bytes flipped per 1,000 datagrams.
    var corruptPerMille: UInt64 = 0
    /// UDP payload; longer datagrams are lost.
    var bytesMax = Int.max
}

struct Wire {
    var parameters: WireParameters
    var isCut = false
    private var generator: SeededGenerator
    private var freeAt = Instant.zero
    private(set) var bytes: UInt64 = 0
    private(set) var dropped = 0

    init(_ parameters: WireParameters, seed: UInt64) {
        self.parameters = parameters
        generator = Seed(seed).generator("wire")
    }

    /// When the datagram arrives; nil when it does not.
    mutating func send(_ count: Int, now: Instant) -> Instant? {
        if isCut || count > parameters.bytesMax { return nil }
        bytes += UInt64(count + 28)
        var leaves = now
        let rate =
            parameters.kilobitsPerSecond > 0
            ? parameters.kilobitsPerSecond : parameters.megabitsPerSecond * 1_000
        if rate > 0 {
            let start = max(freeAt, now)
            if start - now > parameters.queue {
                dropped += 1
                return nil
            }
            leaves = start + .nanoseconds(Int64(count + 28) * 8_000_000 / rate)
            freeAt = leaves
        }
        if generator.below(1_000) < parameters.lossPerMille { return nil }
        let jitter = Int64(generator.below(UInt64(max(parameters.jitter.nanoseconds, 1))))
        return leaves + parameters.delay + .nanoseconds(jitter)
    }

    mutating func corrupt(_ bytes: inout [UInt8]) {
        if parameters.corruptPerMille > 0, generator.below(1_000) < parameters.corruptPerMille, !bytes.isEmpty
        {
            bytes[Int(generator.below(UInt64(bytes.count)))] ^= UInt8(1 << generator.below(8))
        }
    }
}

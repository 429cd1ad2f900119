/// What the wire may have eaten of one peer's stream, in bytes (Spec 66.4, rules 2 to 4).
///
/// A session numbers its datagrams, so a number that never came is a datagram that was lost on the way (or skipped by the
/// sender, which looks the same). Each such gap is worth the most bytes that a datagram holds; each missing shred costs its
/// frame. A missing shred that finds no credit was not in any datagram: it was withheld. The bound is exact whatever order
/// shreds go in and however many share a datagram, and it errs only for the peer.
///
/// Credit is kept by its age in four places of a second, the oldest is used first, and what is older than that is gone: gaps
/// of control frames cannot be saved up for later.

import MillraceBase
import MillraceWire

struct LossCredit: BitwiseCopyable {
    static let placeNanoseconds: Int64 = 1_000_000_000
    static let places: Int64 = 4
    /// What one lost datagram may have carried.
    static let datagramBytes = Int64(WireLimits.framesBytesMax)
    /// More than four seconds at 2 Gbit/s need not be told apart.
    static let bytesMax: Int64 = 1 << 30

    private var place: Int64 = 0
    /// Youngest first.
    private var bytes: (Int64, Int64, Int64, Int64) = (0, 0, 0, 0)

    var available: Int64 { bytes.0 + bytes.1 + bytes.2 + bytes.3 }

    private mutating func turn(to now: Instant) {
        let current = Int64(clamping: now.nanoseconds) / LossCredit.placeNanoseconds
        var steps = min(current - place, LossCredit.places)
        if steps > 0 { place = current }
        while steps > 0 {
            bytes = (0, bytes.0, bytes.1, bytes.2)
            steps -= 1
        }
    }

    /// Gaps that appeared, or closed again because datagrams had only been overtaken.
    mutating func note(gaps: Int64, now: Instant) {
        turn(to: now)
        let datagrams = max(min(gaps, LossCredit.bytesMax / LossCredit.datagramBytes), -LossCredit.bytesMax)
        if datagrams >= 0 {
            bytes.0 = min(bytes.0 + datagrams * LossCredit.datagramBytes, LossCredit.bytesMax)
        } else {
            _ = spend(-datagrams * LossCredit.datagramBytes)
        }
    }

    /// How many of `shreds`, of `bytesEach`, gaps explain. They are paid for.
    mutating func explain(shreds: Int, bytesEach: Int, now: Instant) -> Int {
        turn(to: now)
        let each = Int64(min(max(bytesEach, 1), 65_536))
        let affordable = Int(available / each)
        let explained = min(max(shreds, 0), affordable)
        _ = spend(Int64(explained) * each)
        return explained
    }

    /// Takes up to `wanted` bytes, the oldest first.
    private mutating func spend(_ wanted: Int64) -> Int64 {
        var rest = wanted
        func take(_ from: inout Int64) {
            let taken = min(from, rest)
            from -= taken
            rest -= taken
        }
        take(&bytes.3)
        take(&bytes.2)
        take(&bytes.1)
        take(&bytes.0)
        return wanted - rest
    }
}

/// A node's own line up, which all its children share: what it carries, what contracts need of it, and what may go now (Spec
/// 60.4, rule 10).
///
///     the line        ├────────────── 14/16 promised: headers and data of contracts ──────────────┼─ 1/16 ─┼─ 1/16 ─┤
///                                                                                                 repair,   control, and
///                                                                                                 parity    what is not
///                     ├────────────────────── 15/16 sent at most: the pacer ───────────────────────────────┤ counted
///
/// What a contract needs is measured and not claimed: every header says how many shreds its slice has and how long they are, so
/// a stripe's bytes a height are known whoever takes it, and heights are sealed a hundred a second however they come. Parity is
/// never promised: it goes when nothing else waits for anybody, so a line that is short loses it first, and only then is a
/// contract ended.
///
/// Why not let each child's rate find its share (55.4): a line that carries nine tenths of what it owes gives each child nine
/// tenths, which is a stream for none of them. One child less is a stream for all the others, and that one is told where else
/// to ask.
///
/// Bounds: two arrays of 49 numbers. Integers only; a header's counts and lengths are bounded by its decoder.

import MillraceBase
import MillraceWire

struct Uplink {
    static let window = Interval.milliseconds(250)
    static let parts: Int64 = 16
    static let partsPromised: Int64 = 14
    static let partsSent: Int64 = 15
    /// Around a shred in a datagram of its own: its frame, the session, UDP and IP.
    static let shredOverhead = Int64(8 + WireLimits.sessionBytes) + LinkSender.packetOverhead

    /// Bytes a second of the line; 0 where it is not known, and then nothing is held back.
    let bytesPerSecond: Int64
    private var pacer: Pacer
    /// By stripe, and last of headers: bytes of the heights since the window began, and bytes a second as they have been lately.
    private var bytes = Array(repeating: Int64(0), count: StripeSet.stripesMax + 1)
    private var rates = Array(repeating: Int64(0), count: StripeSet.stripesMax + 1)
    private var heights: Int64 = 0
    private var windowBegan: Instant
    private var isMeasured = false
    /// Windows in a row at whose end more was owed than is promised.
    private(set) var windowsShort = 0

    private static let heightsPerSecond = 1_000_000_000 / Limits.miniBlockInterval.nanoseconds
    /// Fewer tell nothing, and wait for the next window.
    private static let heightsOfWindow: Int64 = 20

    init(kilobitsPerSecond: UInt32, now: Instant) {
        bytesPerSecond = Int64(kilobitsPerSecond) * 125
        pacer = Pacer(kilobitsPerSecond: 0, now: now)
        pacer.setRate(bytesPerSecond: bytesPerSecond / Uplink.parts * Uplink.partsSent)
        windowBegan = now
    }

    var isKnown: Bool { bytesPerSecond > 0 }
    var promised: Int64 { bytesPerSecond / Uplink.parts * Uplink.partsPromised }

    // MARK: What the stream needs

    /// A slice began.
    mutating func note(_ header: SliceHeader, headerBytes: Int) {
        for stripe in 0..<min(Int(header.dataCount), StripeSet.dataStripesMax) {
            bytes[stripe] += Int64(header.symbolBytes) + Uplink.shredOverhead
        }
        for stripe in 0..<min(Int(header.parityCount), StripeSet.parityStripesMax) {
            bytes[StripeSet.dataStripesMax + stripe] += Int64(header.parityBytes) + Uplink.shredOverhead
        }
        bytes[StripeSet.stripesMax] += Int64(headerBytes) + Uplink.shredOverhead
        if header.sliceIndex == 0 { heights += Int64(min(header.lastHeight - header.firstHeight, 1_000)) + 1 }
    }

    /// Closes the window when it is over. Answers whether it was: then contracts are to be looked at.
    mutating func closeWindow(now: Instant) -> Bool {
        guard now - windowBegan >= Uplink.window else { return false }
        windowBegan = now
        if heights < Uplink.heightsOfWindow { return true }
        for i in rates.indices {
            let rate = min(bytes[i], 1 << 40) * Uplink.heightsPerSecond / heights
            rates[i] = isMeasured ? (rates[i] + rate) / 2 : rate
            bytes[i] = 0
        }
        heights = 0
        isMeasured = true
        return true
    }

    /// Bytes a second of headers and data under a contract. Nothing before the stream has been seen.
    func need(_ terms: ContractTerms) -> Int64 {
        var need: Int64 = 0
        for stripe in 0..<StripeSet.dataStripesMax where terms.stripes.contains(stripe) {
            need += rates[stripe]
        }
        if terms.headers.atOnce { need += rates[StripeSet.stripesMax] }
        if terms.headers.sumEvery > 0 { need += rates[StripeSet.stripesMax] / Int64(terms.headers.sumEvery) }
        return need
    }

    /// What all contracts need at the end of a window: whether it is more than the line carries, and the stream `waits` for it;
    /// or more than is promised, for so long that it is no chance.
    mutating func isShort(of need: Int64, waits: Bool) -> Bool {
        windowsShort = need > promised ? windowsShort + 1 : 0
        return need > bytesPerSecond && waits || windowsShort >= Uplink.windowsOfShortage
    }
    /// A second: a burst of large mini-blocks is no reason to end a contract.
    static let windowsOfShortage = 4

    // MARK: Sending

    mutating func fill(now: Instant) { if isKnown { pacer.fill(now: now) } }
    var maySend: Bool { !isKnown || pacer.maySend }
    mutating func spend(bytes: Int) { if isKnown { pacer.spend(bytes: bytes) } }
    /// When more may go; the past where that is now.
    var nextSend: Instant { isKnown ? pacer.nextSend : .zero }
}

/// How long datagrams may be on the way to one child (RFC 8899; Spec 55.8): found out by asking with a datagram of that
/// length, since no message of a router can be believed and none is needed.
///
///     base ──1,372 answered──▶ 1,372 ──1,444──▶ 1,444 ──1,472──▶ 1,472
///      ▲            three times unanswered: no longer ones for ten minutes
///      └── what is in use is unanswered three times: a black hole; nothing longer than the base for a minute
///
/// What is longer than the base is asked for again every second in which it was used, so a way that has changed swallows
/// datagrams for a second and three timeouts. Bounds: nine questions in a search, one under way, and none of a way that is
/// not used. Pure; the caller sends what `question` answers and tells of answers.

import MillraceBase

struct PathMTU {
    /// What every path carries.
    static let base = Limits.datagramBytesMax
    /// UDP payloads that are tried, in order: 1,420 of a WireGuard tunnel and 1,492 of PPPoE less 48 for IPv6 and UDP, 1,500 of
    /// Ethernet less 28 for IPv4 and UDP.
    static let sizes = [1_372, 1_444, 1_472]
    static let sizeMax = 1_472
    static let attemptsMax = 3
    /// A session's first second has better things to do.
    static let quiet = Interval.seconds(1)
    static let confirmInterval = Interval.seconds(1)
    static let timeoutMin = Interval.milliseconds(200)
    static let raiseInterval = Interval.seconds(600)
    static let holeInterval = Interval.seconds(60)

    private struct Question: BitwiseCopyable {
        var token: UInt32
        var size: Int
        var attempts: Int
    }

    /// UDP payload that has come through.
    private(set) var size = base
    /// Longest that is tried; the base when nothing is.
    private let most: Int
    private var asked: Question?
    /// Did not come through, until then.
    private var tooLong = Int.max
    private var tooLongUntil = Instant.zero
    private var wasUsed = false
    /// When `question` is to be called next.
    private(set) var nextAt: Instant
    private(set) var holes = 0

    init(most: Int, now: Instant) {
        self.most = min(most, PathMTU.sizeMax)
        nextAt = most > PathMTU.base ? now + PathMTU.quiet : .distantFuture
    }

    /// A datagram of so many bytes was sent.
    mutating func sent(bytes: Int) { if bytes > PathMTU.base { wasUsed = true } }

    /// Another way: what was found says nothing of it.
    mutating func pathChanged(now: Instant) {
        guard most > PathMTU.base else { return }
        let holes = holes
        self = PathMTU(most: most, now: now)
        self.holes = holes
    }

    /// How long a datagram to send now, with `token`, to be answered with it; nil: none. `timeout`: of the round trip.
    /// `size` may have become the base.
    mutating func question(token: UInt32, timeout: Interval, now: Instant) -> Int? {
        guard now >= nextAt else { return nil }
        if let asked {
            if asked.attempts < PathMTU.attemptsMax {
                return ask(token, asked.size, attempts: asked.attempts + 1, timeout, now)
            }
            gaveUp(asked.size, now: now)
        }
        if now >= tooLongUntil { tooLong = .max }
        if let longer = PathMTU.sizes.first(where: { $0 > size && $0 <= most && $0 < tooLong }) {
            return ask(token, longer, attempts: 1, timeout, now)
        }
        if wasUsed {
            wasUsed = false
            return ask(token, size, attempts: 1, timeout, now)
        }
        nextAt = now + PathMTU.confirmInterval
        return nil
    }

    private mutating func ask(
        _ token: UInt32, _ size: Int, attempts: Int, _ timeout: Interval, _ now: Instant
    ) -> Int {
        asked = Question(token: token, size: size, attempts: attempts)
        nextAt = now + max(timeout, PathMTU.timeoutMin)
        return size
    }

    private mutating func gaveUp(_ size: Int, now: Instant) {
        asked = nil
        tooLong = size
        tooLongUntil = now + PathMTU.raiseInterval
        guard size == self.size else { return }
        self.size = PathMTU.base
        tooLong = PathMTU.base
        tooLongUntil = now + PathMTU.holeInterval
        wasUsed = false
        holes += 1
    }

    /// An answer came; whether it was to the question under way.
    mutating func answered(_ token: UInt32, now: Instant) -> Bool {
        guard let question = asked, question.token == token else { return false }
        nextAt = question.size > size ? now : now + PathMTU.confirmInterval
        size = max(size, question.size)
        asked = nil
        return true
    }
}

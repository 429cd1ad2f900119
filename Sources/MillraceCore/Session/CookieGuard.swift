/// Cookies: what a table asks of strangers while it is under load (Spec 50.4, rules 8 to 13).
///
///     init, mac2 zero ──▶ strained? ──no──▶ Diffie-Hellman
///                            │yes
///                            ▼
///                 cookie to the address it names, nothing kept
///                            │
///                            ▼
///                 init again, mac2 made with the cookie ──▶ limits by sender ──▶ Diffie-Hellman
///
/// A cookie is a hash of the sender's address under a secret that changes every two minutes: whoever shows it has received
/// a datagram there, and only then do limits by sender make sense (before, anybody could use up another's share). An
/// answer is 80 bytes to 152. A stranger that is asked for a cookie costs two hashes and one short encryption.
///
/// Bounds: `repliesMax` cookies wait to be sent, then inits go unanswered; the limits' tables have a fixed size.

import MillraceBase
import MillraceCrypto

struct CookieGuard {
    static let secretLifetime = Interval.seconds(120)
    /// Shorter than the secret's life, so that an initiator does not show a cookie that has just expired.
    static let cookieLifetime = Interval.seconds(115)
    /// Once strained, for so long at least.
    static let strainInterval = Interval.seconds(1)
    static let repliesMax = 256
    /// Handshakes a second under load: of one host, and of one neighbourhood.
    static let hostPerSecond: Int64 = 10
    static let neighbourhoodPerSecond: Int64 = 40

    struct Reply {
        var bytes: [UInt8]
        var to: PeerAddress
    }

    private var secret = Hash32.zero
    private var secretUntil = Instant.zero
    private var strainedUntil = Instant.zero
    /// Cookies offered faster than this keep the strain on.
    private var offered: HandshakeBudget
    private var senders: SenderLimits
    private let sealingKeyOfOurs: Hash32
    private let sealingKeyOfNobody: Hash32
    private var replies: [Reply] = []
    private var nextReply = 0

    init(config: SessionConfig, key: SipHash24, now: Instant) {
        offered = HandshakeBudget(perSecond: max(config.handshakesPerSecondMax / 2, 1), now: now)
        senders = SenderLimits(key: key)
        sealingKeyOfOurs = HandshakeWire.cookieKey(of: config.identity.publicKey, prologue: config.prologue)
        sealingKeyOfNobody = HandshakeWire.cookieKey(of: .unknown, prologue: config.prologue)
    }

    func isStrained(now: Instant) -> Bool { now < strainedUntil }
    mutating func strain(now: Instant) {
        strainedUntil = max(strainedUntil, now + CookieGuard.strainInterval)
    }

    private mutating func renew(_ secrets: inout SecretStream, now: Instant) {
        guard now >= secretUntil else { return }
        secret = secrets.next32()
        secretUntil = now + CookieGuard.secretLifetime
    }

    private func cookie(of address: PeerAddress) -> Hash32 {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(address.high)
        bytes.appendLittleEndian(address.low)
        bytes.appendLittleEndian(UInt16(address.port))
        return Blake2b.hash(bytes.span.bytes, key: secret)
    }

    /// Whether the init shows the cookie that its sender's address was given.
    mutating func isProven(_ datagram: [UInt8], from: PeerAddress, secrets: inout SecretStream, now: Instant)
        -> Bool
    {
        let shown = datagram.suffix(HandshakeWire.macBytes)
        if shown.allSatisfy({ $0 == 0 }) { return false }
        renew(&secrets, now: now)
        let end = datagram.count - HandshakeWire.macBytes
        return Array(shown) == HandshakeWire.mac(over: Array(datagram[..<end]), key: cookie(of: from))
    }

    /// Limits of a sender whose address is proven.
    mutating func admit(_ from: PeerAddress, now: Instant) -> Bool { senders.admit(from, now: now) }

    /// Queues a cookie for whoever sent this init. False when too many wait.
    mutating func offer(
        to datagram: [UInt8], _ type: HandshakeType, from: PeerAddress, secrets: inout SecretStream,
        now: Instant
    ) -> Bool {
        if !offered.take(now: now) { strain(now: now) }
        guard replies.count < CookieGuard.repliesMax else { return false }
        renew(&secrets, now: now)
        var nonce: [UInt8] = []
        for _ in 0..<3 { nonce.appendLittleEndian(secrets.next()) }
        let end = type.byteCount - 2 * HandshakeWire.macBytes
        let sealed = CookieSeal.seal(
            cookie(of: from), key: type == .xxInit ? sealingKeyOfNobody : sealingKeyOfOurs, nonce: nonce,
            ad: Array(datagram[end..<(end + HandshakeWire.macBytes)]))
        replies.append(
            Reply(
                bytes: HandshakeWire.cookieReply(
                    to: HandshakeWire.word(datagram, 4), nonce: nonce, sealed: sealed),
                to: from))
        return true
    }

    /// Whether `popReply` has something to do.
    var hasReplies: Bool { !replies.isEmpty }

    mutating func popReply() -> Reply? {
        guard nextReply < replies.count else {
            if nextReply > 0 {
                replies.removeAll(keepingCapacity: true)
                nextReply = 0
            }
            return nil
        }
        nextReply += 1
        return replies[nextReply - 1]
    }
}

/// Handshakes a second by host and by neighbourhood, in two tables of fixed size under a secret hash. Two that fall into
/// one place evict each other, which gives both more than their share and never less.
struct SenderLimits {
    static let places = 2_048

    private struct Entry {
        var tag: UInt64 = 0
        var budget: HandshakeBudget
    }

    private var hosts: [Entry?] = Array(repeating: nil, count: places)
    private var neighbourhoods: [Entry?] = Array(repeating: nil, count: places)
    private let hash: SipHash24

    init(key: SipHash24) { hash = key }

    mutating func admit(_ address: PeerAddress, now: Instant) -> Bool {
        if AddressGroup.isLocal(address) { return true }
        return SenderLimits.take(
            AddressGroup.host(address).hash(hash, salt: 0), CookieGuard.hostPerSecond, &hosts, now)
            && SenderLimits.take(
                AddressGroup.neighbourhood(address).hash(hash, salt: 1), CookieGuard.neighbourhoodPerSecond,
                &neighbourhoods, now)
    }

    private static func take(_ tag: UInt64, _ perSecond: Int64, _ table: inout [Entry?], _ now: Instant)
        -> Bool
    {
        let place = Int(tag % UInt64(places))
        var entry = table[place] ?? Entry(tag: tag, budget: HandshakeBudget(perSecond: perSecond, now: now))
        if entry.tag != tag {
            entry = Entry(tag: tag, budget: HandshakeBudget(perSecond: perSecond, now: now))
        }
        let isAdmitted = entry.budget.take(now: now)
        table[place] = entry
        return isAdmitted
    }
}

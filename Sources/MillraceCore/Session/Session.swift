/// One slot of the session table.
///
///     free ──connect──▶ connecting ──response──▶ established ──idle, expired, replaced──▶ free
///       └────init─────▶ answering ───first datagram, or XX's final───▶ established
///
/// A rekey leaves the state alone: it fills `next` (responder) or moves `current` to `previous` (initiator).

import MillraceBase
import MillraceCrypto

struct Session: BitwiseCopyable {
    enum State: UInt8, BitwiseCopyable { case free, connecting, answering, established }

    // First what every datagram looks at.

    var state = State.free
    /// Whether a datagram has come under `current`: until then an initiator keeps proving itself.
    var isConfirmed = false
    var isRekeyDue = false
    var generation: UInt32 = 0
    /// Places in the key store.
    var current: Int?
    var next: Int?
    var lastReceived = Instant.zero
    var lastSent = Instant.zero
    var arrivals = SessionArrivals()
    var address = PeerAddress.unspecified

    var previous: Int?
    /// Whether the caller knows this session's name: it asked for it, or it was reported.
    var isAnnounced = false
    var peer = PublicKey.unknown

    var confirmAt = Instant.distantFuture
    var confirmInterval = Interval.zero

    /// The cookie the peer asked us to show, and when it came.
    var cookie: Hash32?
    var cookieAt = Instant.zero
    /// When the caller may be told again of an address that is not proven.
    var pathNewsAt = Instant.zero
    var rekeyNotBefore = Instant.zero
    var handshakeRTT: Interval?

    var wantsHandshake = false
    var wantsKeepalive = false
    /// Whether an entry for this slot stands in the queue of outgoing work; outlives the session.
    var isQueued = false

    /// A genuine datagram came under the keys at `place`; `numbers` of the peer's became known by it. Answers whether that is
    /// all: the keys are those in use, and it came from where the peer is.
    mutating func came(expected numbers: UInt64, under place: Int, from: PeerAddress, at now: Instant) -> Bool
    {
        arrivals.expected &+= numbers
        arrivals.genuine &+= 1
        lastReceived = now
        return current == place && isConfirmed && next != place && address == from
    }
}

/// A handshake that has begun and not ended, or whose last message may have to be sent again.
struct PendingHandshake {
    enum Role {
        /// We sent an init and wait for the response.
        case initiator(NoiseHandshake)
        /// We sent an XX response and wait for the final.
        case responder(NoiseHandshake)
        /// Our last message, kept until the peer has shown that it got it.
        case answered
    }

    var role: Role
    /// Where our connection id's keys are or will be.
    var place: Int
    /// Our latest datagram, and where it goes.
    var datagram: [UInt8]
    var address: PeerAddress
    /// The first bytes of the init that we answered: the same init gets the same answer.
    var initMac: [UInt8] = []
    var attempts = 1
    var startedAt: Instant
    var retryAt: Instant
    var giveUpAt: Instant
}

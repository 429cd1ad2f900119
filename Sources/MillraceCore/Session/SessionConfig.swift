/// What a session layer is told at its start. Every duration and count is ours; nothing here comes from a peer.

public import MillraceBase
public import MillraceCrypto

public struct SessionConfig: Sendable {
    /// The node's own key.
    public var identity: StaticKeyPair
    /// What both sides must agree on before they can talk: see `prologue(chainID:)`.
    public var prologue: [UInt8]
    /// Unix microseconds at the `now` of the table's start: stamps on handshakes must grow from run to run.
    public var startMicroseconds: UInt64

    /// Sessions in all states together.
    public var sessionsMax = 1_024
    /// Sessions a stranger has begun and not yet confirmed. Beyond it the oldest goes.
    public var halfOpenMax = 256
    /// Handshakes answered per second, with a burst of a second: each costs about 0.2 ms.
    public var handshakesPerSecondMax: Int64 = 200
    /// Sessions that strangers at one host (an IPv4 address, an IPv6 /64) may have, and those of one neighbourhood (/24, /48).
    /// Local addresses and `knownPeers` are not counted. A few replicas behind one home's address are common; 64 in one /24 are a
    /// sixteenth of the table.
    public var sessionsPerHostMax = 16
    public var sessionsPerNeighbourhoodMax = 64
    /// Whether peers that are not in `knownPeers` may connect.
    public var allowsUnknownPeers = true
    /// Peers that may always connect.
    public var knownPeers: Set<PublicKey> = []

    /// An init is sent again after so long; a confirmation too, at first, doubling up to four times itself.
    public var handshakeRetry = Interval.milliseconds(250)
    /// An init is sent so often before a fresh one takes its place: for as long as an answer to the first may take.
    static let initRepeats = 12
    /// A handshake that is not complete by then is given up.
    public var handshakeTimeout = Interval.seconds(5)
    /// Age of keys at which their initiator makes new ones; the responder waits `rekeyPatience` longer.
    public var rekeyAfter = Interval.seconds(120)
    public var rekeyPatience = Interval.seconds(15)
    /// Age at which keys are no longer used at all.
    public var keyLifetime = Interval.seconds(180)
    /// Datagrams sealed under one key before new ones are made.
    public var rekeyAfterDatagrams: UInt64 = 1 << 30
    /// A session that has sent nothing for so long sends an empty datagram.
    public var keepalive = Interval.seconds(2)
    /// A session that has heard nothing for so long is closed: ten keepalives, so that a quarter lost closes one in a million.
    public var idleTimeout = Interval.seconds(20)
    /// Datagrams have their session's framing and length but are neither encrypted nor checked (`PayloadForm.byReference`).
    package var leavesDatagramsOpen = false
    /// Then handshakes need no curve either.
    var agreement: KeyAgreement { leavesDatagramsOpen ? .standIn : .curve25519 }

    public init(identity: StaticKeyPair, prologue: [UInt8], startMicroseconds: UInt64) {
        self.identity = identity
        self.prologue = prologue
        self.startMicroseconds = startMicroseconds
    }

    /// `millrace`, the protocol's version, the chain: peers of another network fail at the first message. (Spec 50.2)
    public static func prologue(chainID: UInt64) -> [UInt8] {
        var bytes = Array("millrace".utf8)
        bytes.append(protocolVersion)
        bytes.appendLittleEndian(chainID)
        return bytes
    }

    public static let protocolVersion: UInt8 = 1
}

/// Names a session: a slot and how often it has been used. An old name is answered with nil, never with a stranger's session.
public struct SessionID: Hashable, Sendable, BitwiseCopyable {
    public var index: UInt32
    public var generation: UInt32

    public init(index: UInt32, generation: UInt32) {
        self.index = index
        self.generation = generation
    }
}

extension SessionID: CustomStringConvertible {
    public var description: String { "session \(index).\(generation)" }
}

/// What the session layer reports. The caller drains events after every call.
public enum SessionEvent: Equatable, Sendable, BitwiseCopyable {
    /// Both sides hold the keys and the address is proven: datagrams may be sealed.
    case established(SessionID, PublicKey, PeerAddress)
    /// Gone; the name is not used again.
    case closed(SessionID, SessionCloseReason)
    /// A genuine datagram came from another address. The session stays where it is until the caller has proven that the peer
    /// receives there, and calls `move`.
    case pathSeen(SessionID, PeerAddress)
    /// The session has moved.
    case addressChanged(SessionID, PeerAddress)
}

public enum SessionCloseReason: String, Equatable, Sendable, BitwiseCopyable {
    /// No answer to our handshake.
    case handshakeTimeout
    /// Nothing heard for `idleTimeout`.
    case idle
    /// The keys grew too old and no new ones could be made.
    case keysExpired
    /// The same peer has made a newer session.
    case replaced
    /// The peer answered a rekey as a stranger would: it has lost the session, and a new one stands in its place.
    case peerRestarted
}

/// What became of a datagram.
public enum Received: Equatable, Sendable {
    /// Genuine: the decrypted bytes lie at `range` of the datagram. Empty for a keepalive.
    case frames(SessionID, range: Range<Int>)
    /// A handshake message, taken.
    case handshake
    case ignored(IgnoreReason)
}

/// Why a datagram was dropped. None of these says who sent it: addresses can be forged.
public enum IgnoreReason: String, CaseIterable, Equatable, Sendable, BitwiseCopyable {
    /// Shorter than any datagram of ours, or not the length of its type.
    case badLength
    /// A type or a connection id that nobody here has.
    case unknownConnection
    /// A connection whose handshake is not finished.
    case notReady
    /// Seen before, or older than the window.
    case replay
    /// The tag or the handshake is not genuine.
    case notGenuine
    /// Keys past their lifetime.
    case expiredKeys
    /// mac1 is wrong: the sender does not know whom it talks to, or talks another network's language.
    case badMac1
    /// More handshakes than the budget.
    case rateLimited
    /// Under load, a cookie was sent (or there are too many): the sender is to show that it receives at its address.
    case cookieSent
    /// An init that was answered at another address.
    case otherAddress
    /// No room for another session.
    case tableFull
    /// Too many sessions of this host or its neighbourhood.
    case crowded
    /// The peer is not welcome here.
    case refusedPeer
    /// An init not newer than the last from the same peer.
    case oldTimestamp
    /// Both sides began at once and the other's init gives way to ours.
    case crossing
    /// The caller has not drained events.
    case backlog
}

/// The peer's datagrams in one session, by their numbers: what is `expected` and not `genuine` was lost on the way (or is still
/// under way). Numbers begin anew with each rekey, and what is lost at the end of old keys is not seen.
public struct SessionArrivals: Equatable, Sendable, BitwiseCopyable {
    public var expected: UInt64 = 0
    public var genuine: UInt64 = 0
    public var rekeys: UInt64 = 0

    public init() {}
}

/// Counts since the start. Bytes are UDP payload.
public struct SessionCounters: Equatable, Sendable, BitwiseCopyable {
    public var datagramsOpened: UInt64 = 0
    public var datagramsSealed: UInt64 = 0
    /// Bytes of headers and tags, keepalives and handshakes sent: what sessions cost.
    public var overheadBytesSent: UInt64 = 0
    public var handshakesAnswered: UInt64 = 0
    public var handshakesCompleted: UInt64 = 0
    public var cookiesSent: UInt64 = 0
    public var sessionsCrowdedOut: UInt64 = 0
    public var rekeys: UInt64 = 0
    public var ignored: UInt64 = 0
    public var ignoredAsReplay: UInt64 = 0
    public var ignoredAsNotGenuine: UInt64 = 0

    public init() {}
}

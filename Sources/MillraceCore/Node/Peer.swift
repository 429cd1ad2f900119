/// One established session and what hangs on it: the datagram being filled, the round trip, the peer's have-map, its
/// contract as a child, its link as a parent.

import MillraceBase
import MillraceWire

final class Peer {
    // First what every datagram looks at.

    let session: SessionID
    /// Its session has ended, and nothing knows it any more.
    var isGone = false
    /// The datagram being filled for this peer.
    var open: BufferHandle?
    var openCount = 0
    /// Bytes of symbols by reference in it: they take room and are not there.
    var openLeftOut = 0
    /// Bytes of frames that a datagram to it has room for: `Endpoint.setDatagramBytes`.
    var framesBytesMax = WireLimits.framesBytesMax
    var bytesSent: UInt64 = 0
    /// The contract it has with us as our child.
    var child: Child?
    var address: PeerAddress

    /// Our link to it as our parent; its index in `Following.parents`.
    var parentIndex: Int?
    var lastReceivedAt: Instant
    var bytesReceived: UInt64 = 0
    var offences = 0
    /// What came from it; counted for parents.
    var arrivals = ReceiveRecord()
    var allowance: FrameAllowance
    var roundTrip = RoundTrip()
    /// The peer's latest STATUS.
    var status = StreamStatus()

    let key: Hash32
    /// It was a parent: stream frames that come before this are late, not an offence.
    var wasParentUntil = Instant.zero
    /// What was said between us about membership.
    var gossip = PeerGossip()
    /// How often it was told of a proof of misbehaviour; the most when it knows.
    var evidenceTellings = 0

    /// What the way to it carries, where it is a child.
    var mtu: PathMTU

    var pingToken: UInt32 = 0
    var pingSentAt: Instant?
    var nextPingAt: Instant
    var pingsSent = 0

    /// What it has done, and what follows from it.
    var score: PeerScore
    var judging = Judging()
    /// A frame was over its allowance since the last turn.
    var isFlooding = false
    /// An address it has been seen at and has not proven.
    var path: PathProbe?
    /// No address is probed before this: it answered with a token that was never sent.
    var pathBlockedUntil = Instant.zero

    init(
        session: SessionID, key: Hash32, address: PeerAddress, score: PeerScore, datagramBytesMax: Int,
        now: Instant
    ) {
        self.session = session
        self.key = key
        self.address = address
        self.score = score
        self.score.beginSession(now: now)
        allowance = FrameAllowance(now: now)
        lastReceivedAt = now
        nextPingAt = now
        mtu = PathMTU(most: datagramBytesMax, now: now)
    }
}

/// A question sent to an address that a session was seen at: only who receives there knows the token (Spec 50.5, rule 4).
struct PathProbe: BitwiseCopyable {
    let address: PeerAddress
    let token: UInt32
    var attempts = 0
    var nextAt = Instant.zero
}

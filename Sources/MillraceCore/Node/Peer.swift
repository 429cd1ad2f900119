/// One established session and what hangs on it: the datagram being filled, the round trip, the peer's have-map, its
/// contract as a child, its link as a parent.

import MillraceBase
import MillraceWire

final class Peer {
    let session: SessionID
    let key: Hash32
    var address: PeerAddress
    var roundTrip = RoundTrip()
    /// The peer's latest STATUS.
    var status = StreamStatus()
    var lastReceivedAt: Instant

    /// The contract it has with us as our child.
    var child: Child?
    /// Our link to it as our parent; its index in `Following.parents`.
    var parentIndex: Int?
    /// It was a parent: stream frames that come before this are late, not an offence.
    var wasParentUntil = Instant.zero
    /// What was said between us about membership.
    var gossip = PeerGossip()
    /// How often it was told of a proof of misbehaviour; the most when it knows.
    var evidenceTellings = 0

    /// The datagram being filled for this peer.
    var open: BufferHandle?
    var openCount = 0
    /// Bytes of symbols by reference in it: they take room and are not there.
    var openLeftOut = 0

    var pingToken: UInt32 = 0
    var pingSentAt: Instant?
    var nextPingAt: Instant
    var pingsSent = 0

    var offences = 0
    var bytesReceived: UInt64 = 0
    var bytesSent: UInt64 = 0

    init(session: SessionID, key: Hash32, address: PeerAddress, now: Instant) {
        self.session = session
        self.key = key
        self.address = address
        lastReceivedAt = now
        nextPingAt = now
    }

    /// Offences before the session is closed. One garbled frame or forged shred cannot come from the wire (datagrams are
    /// authenticated), but a peer that relays in good faith may be mistaken once.
    static let offencesMax = 3
}

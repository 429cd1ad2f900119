/// What a core hands to its shell: datagrams to send and events to report. Both are small trivial values; a datagram's
/// bytes stay in the core's buffer pool and travel by handle.

public import MillraceBase
public import MillraceWire

/// A datagram to send. Read it with `bytes(of:)`, then give it back with `release(_:)`, sent or not.
///
/// No more than 31 bytes, of which lengths take two each: with the word whether there is one, an answer fits into four registers.
public struct OutgoingDatagram: BitwiseCopyable, Sendable {
    public let buffer: BufferHandle
    public let to: PeerAddress
    @usableFromInline let length: UInt16
    private let leftOut: UInt16

    /// The caller owes a count that a datagram can have.
    public init(buffer: BufferHandle, count: Int, to: PeerAddress) {
        self.init(buffer: buffer, count: count, to: to, leftOutBytes: 0)
    }

    /// `leftOutBytes`: what the wire carries besides `count`, symbols by reference (simulation only).
    package init(buffer: BufferHandle, count: Int, to: PeerAddress, leftOutBytes: Int) {
        self.buffer = buffer
        self.to = to
        length = UInt16(count)
        leftOut = UInt16(leftOutBytes)
    }

    @inlinable public var count: Int { Int(length) }
    package var leftOutBytes: Int { Int(leftOut) }
}

public enum CoreOutput: BitwiseCopyable, Sendable {
    case send(OutgoingDatagram)
    case event(CoreEvent)
    /// All that others wait for has been handed out: let it leave before asking on. The next call of `nextOutput` does work that
    /// can wait (a mini-block's share of the state commitment, a fifth to a third of what it takes in all).
    case flush
}

/// Something a peer did that a correct peer does not do.
public enum Offence: UInt8, BitwiseCopyable, Sendable, CaseIterable {
    /// A frame that cannot be parsed, in an authenticated datagram.
    case malformedFrame
    /// A shred that does not have the hash its signed header gives it.
    case invalidShred
    /// A slice header that does not parse, or whose signature is not the sequencer's.
    case invalidHeader
    /// A frame that this peer has no business sending.
    case unexpectedFrame
    /// More requests than the bounded queues hold.
    case flood
    /// A peer record that its key did not sign, or one in another's name.
    case invalidRecord
    /// A proof of misbehaviour that proves nothing.
    case invalidProof
}

/// Why a node stopped for good. A replica applies nothing after one of these; a relay, which only the last can stop, forwards
/// nothing.
public enum StopReason: BitwiseCopyable, Sendable, Hashable {
    /// The state after EVM boundary `height` is not the one the sequencer signed.
    case commitmentMismatch(height: UInt64, signed: Hash32, computed: Hash32)
    /// The verified payload of `height` does not decode against the state: sequencer and replica have parted.
    case undecodable(height: UInt64)
    /// No parent holds `height` any more; a snapshot is needed.
    case beyondRetention(height: UInt64, floor: UInt64)
    /// The sequencer signed two different headers for one slice, or headers that do not chain. `StreamCore.evidence` is the
    /// proof, if the contradiction lies in two headers.
    case equivocation(height: UInt64)
}

public enum CoreEvent: BitwiseCopyable, Sendable {
    /// A session is up. The key is the peer's X25519 public key.
    case peerUp(PeerAddress, key: Hash32)
    case peerDown(PeerAddress)
    case offence(PeerAddress, Offence)
    /// A peer's score says that it cheats: its session ended, and its key is refused for a while.
    case banned(PeerAddress, key: Hash32)
    /// A parent fell silent (or came back): its stripes are now with others.
    case parentSilent(PeerAddress)
    case parentRestored(PeerAddress)
    /// A parent refused the contract.
    case refused(PeerAddress, RefusalReason)
    /// A mini-block was applied (replica only). The shell's wall clock less `sealedAtMicroseconds` is the lag.
    case applied(AppliedMiniBlock)
    /// The state after `height` is the one the sequencer signed (replica only).
    case commitmentMatches(height: UInt64, Hash32)
    /// The follower goes on with another cadence: it has everything up to `height` (replica only).
    case cadence(from: Cadence, to: Cadence, height: UInt64)
    /// Every height of an ended stream is here and, on a replica, applied and checked.
    case streamEnded(height: UInt64)
    case stopped(StopReason)
    /// Whom to ask first after a restart has changed: `StreamCore.anchors` has so many now.
    case anchorsChanged(count: Int)
}

public struct AppliedMiniBlock: BitwiseCopyable, Sendable, Hashable {
    public var firstHeight: UInt64
    public var lastHeight: UInt64
    public var transactions: UInt64
    public var sealedAtMicroseconds: UInt64
    public var payloadBytes: Int
    /// c0 for a mini-block or a run of empty ones; a coarser one for a window.
    public var cadence: Cadence = .c0
    /// It was fetched by catch-up: its lag says how far behind the node was, not how fast the stream is.
    public var caughtUp: Bool
}

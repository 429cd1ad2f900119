/// What a shell drives: the same few calls for the sequencer, a relay and a replica.
///
/// Mutate once (a datagram, a timeout, a mini-block), or a batch of times, then drain `nextOutput()` until nil; then ask
/// `nextDeadline`. A datagram is decrypted where it lies, so its bytes are the core's to change during the call and
/// nobody's afterwards. Draining is where queued shreds become datagrams, child by child: batches of calls before it
/// make runs of equal datagrams to one address, which is what GSO wants.
///
/// Not Sendable: a core lives on one thread.

public import MillraceBase
public import MillraceWire

public protocol StreamCore: AnyObject {
    func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant)
    /// The same, with what a router wrote on the datagram under way: `isMarked` says that a queue stands in it (ECN's CE). A core
    /// that sends no feedback may leave it to the other.
    func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, isMarked: Bool, now: Instant)
    func handleTimeout(now: Instant)
    /// When `handleTimeout` is due; nil when only a datagram can change anything. May be in the past: then at once.
    var nextDeadline: Instant? { get }
    func nextOutput() -> CoreOutput?
    /// The next output, when that is a datagram; nil when it is an event, or when there is none. For shells that send many: an
    /// output of any kind is twice the size. A core may leave all of them to `nextOutput`.
    func nextDatagram() -> OutgoingDatagram?
    /// The bytes of an outgoing datagram's buffer (its first `count` are the datagram), until it is released.
    func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer
    func release(_ handle: BufferHandle)
    var statistics: CoreStatistics { get }
    var peers: [PeerReport] { get }
    /// Peers worth asking first after a restart; kept by the shell when `CoreEvent.anchorsChanged` says so.
    var anchors: [PeerRecord] { get }
    /// The proof for which the stream was stopped: `EquivocationProof.decode` reads it.
    var evidence: [UInt8]? { get }
    /// Tells every peer goodbye; drain outputs once more afterwards.
    func close(now: Instant)
}

extension StreamCore {
    public func nextDatagram() -> OutgoingDatagram? { nil }
    public func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, isMarked: Bool, now: Instant
    ) { receive(datagram, from: address, now: now) }
    public var anchors: [PeerRecord] { [] }
    public var evidence: [UInt8]? { nil }
}

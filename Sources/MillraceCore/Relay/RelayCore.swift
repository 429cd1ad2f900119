/// A relay: follows parents and serves children, and keeps no state. It forwards a shred the moment it has verified it,
/// never waits for a slice, and when a slice is complete re-creates the shreds that did not come, so that a loss in front
/// of the relay is not a loss behind it (Spec 60.5).
///
/// Bounds: slices kept for repair and catch-up within `serving.retentionBytesMax`; the oldest go first. What no parent
/// has sent for 10 s is given up.

public import MillraceBase
public import MillraceWire

public final class RelayCore: StreamCore {
    static let givesUpAfter = Interval.seconds(10)

    private let node: StreamNode
    private let fetch: WindowFetch
    private let windows: WindowRelay
    private var isDirty = true
    private var hasStopped = false

    public init(config: RelayConfig, seed: Seed, now: Instant) {
        let store = SliceStore(bytesMax: config.serving.retentionBytesMax, payloads: config.stream.payloads)
        store.evictableThrough = .max
        var made: Following?
        let windowStore = WindowStore(
            bytesMax: config.serving.retentionBytesMax, payloads: config.stream.payloads)
        node = StreamNode(
            stream: config.stream, store: store, windows: windowStore, seed: seed, now: now,
            sequencerKey: config.sequencerKey, serving: config.serving, membership: config.membership
        ) { endpoint in
            made = Following(
                config: config.following, stream: config.stream, sequencerKey: config.sequencerKey,
                endpoint: endpoint,
                store: store, firstHeight: 0, recreates: true, givesUpAfter: RelayCore.givesUpAfter, now: now)
            return made
        }
        guard let made, let serving = node.serving else { preconditionFailure("a relay follows and serves") }
        fetch = WindowFetch(
            following: made, endpoint: node.endpoint, store: windowStore,
            shredsMax: config.following.windowShredsMax)
        fetch.parts = WindowParts(store: store, payloads: config.stream.payloads)
        made.fetch = fetch
        windows = WindowRelay(fetch: fetch, serving: serving, endpoint: node.endpoint)
    }

    public func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        receive(datagram, from: address, isMarked: false, now: now)
    }

    public func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, isMarked: Bool, now: Instant
    ) {
        isDirty = true
        node.receive(datagram, from: address, isMarked: isMarked, now: now)
    }

    public func handleTimeout(now: Instant) {
        isDirty = true
        node.handleTimeout(now: now)
        fetch.handleTimeout(now: node.endpoint.now)
    }

    public var nextDeadline: Instant? {
        guard let deadline = node.nextDeadline, let fetching = fetch.nextDeadline else {
            return node.nextDeadline
        }
        return min(deadline, fetching)
    }

    public func nextOutput() -> CoreOutput? {
        pump()
        return node.endpoint.popOutput()
    }

    public func nextDatagram() -> OutgoingDatagram? {
        pump()
        return node.endpoint.popDatagram()
    }

    /// Makes outputs of what has changed, once those from before are gone.
    private func pump() {
        guard isDirty, !node.endpoint.hasOutputs else { return }
        isDirty = false
        if !hasStopped, let height = node.following?.equivocationAt {
            hasStopped = true
            node.endpoint.emit(.stopped(.equivocation(height: height)))
        }
        node.pump()
    }

    public func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer {
        node.endpoint.bytes(of: handle)
    }
    public func release(_ handle: BufferHandle) { node.endpoint.release(handle) }

    public var statistics: CoreStatistics {
        var all = node.statistics
        all.streamEnded = isFinished
        return all
    }
    public var peers: [PeerReport] { node.peers }
    public var anchors: [PeerRecord] { node.membership.anchors }
    public var evidence: [UInt8]? { node.evidence.proof?.encoded }
    /// Whom it knows; for tests.
    var membershipTables: PeerTables { node.membership.tables }
    /// The stream has ended and every height from where this relay joined is here.
    public var isFinished: Bool {
        node.following?.endHeight.map { node.following?.completeThrough ?? 0 >= $0 } ?? false
    }

    /// From now on it cheats so (tests and simulations).
    package func misbehave(_ misconduct: Misconduct?) { node.serving?.misconduct = misconduct }

    /// From now on it leaves out so many of a thousand shreds that it owes.
    package func withhold(perMille: Int) {
        var misconduct = Misconduct()
        misconduct.withheldPerMille = perMille
        misbehave(misconduct)
    }

    /// Headers that other nodes of this simulation have decoded are not decoded again.
    package func share(_ headers: HeaderMemo) { node.endpoint.headers = headers }

    public func close(now: Instant) {
        isDirty = true
        node.closeAll(now: now)
    }
}

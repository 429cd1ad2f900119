/// A replica: follows parents, decodes and applies every mini-block in order, and compares its state with the signed
/// commitment at every EVM block. A mismatch, an undecodable payload or a contradiction signed by the sequencer stops it
/// for good, loudly, with the reason; the state stays as it was before the mini-block at fault.
///
///     collecting heights ──complete──▶ decode ▶ apply ▶ (boundary: freeze ▶ hash in steps ▶ compare)
///                                        │                                    │
///                                        └──────────── stopped(reason) ◀──────┘
///
/// Bounds: at most `appliesPerTurn` mini-blocks are applied per call, so that a replica that catches up still reads its
/// socket; `nextDeadline` is then at once. What waits for an older height is within `following.waitingBytesMax`.

public import MillraceBase
public import MillraceDiff
public import MillraceWire

public final class ReplicaCore: StreamCore {
    static let appliesPerTurn = 4
    /// Payloads kept after they were applied, with their slices: late shreds are known for what they are, parity covers up to 15
    /// slices before its own, and parents are judged by slices 124 heights back. 1.6 s, about 6.5 MB at 100,000 TPS.
    static let appliedKept = 160
    public let state: State
    private let node: StreamNode
    private let following: Following
    /// Nil when payloads are known by reference only: then heights are counted and nothing is computed.
    private let execution: Execution?
    /// Nil when only c0 is followed.
    private let windows: WindowFollowing?
    private var windowsApplied: UInt64 = 0
    /// The cadence it was told to follow; c0 when it is for the line to say.
    public let toldCadence: Cadence

    /// Every mini-block up to here is applied.
    public private(set) var appliedHeight: UInt64
    /// Why it stopped; nil while it runs.
    public private(set) var stopReason: StopReason?
    /// What the sequencer signed about the latest boundary, until it is compared.
    private var signed: SliceCommitment?
    /// The last height's share of the commitment, which waits until it has been told that the height is applied.
    private var upkeep = Upkeep.none
    private var appliesLeft = appliesPerTurn
    private var isDirty = true
    private var hasToldEnd = false
    /// The first heights of what was applied last and is still in the store.
    private var kept: [UInt64] = []
    private var counts = (
        miniBlocks: UInt64(0), transactions: UInt64(0), payloadBytes: UInt64(0), checked: UInt64(0)
    )

    /// `state` is the genesis state: the stream is followed from height 1.
    public init(config: ReplicaConfig, state: State, seed: Seed, now: Instant) {
        self.state = state
        appliedHeight = state.height
        execution = config.stream.payloads == .carried ? Execution(state: state) : nil
        toldCadence = config.following.takesWindows ? config.following.cadence ?? .c0 : .c0
        let store = SliceStore(bytesMax: config.following.waitingBytesMax, payloads: config.stream.payloads)
        let first = state.height + 1
        var made: Following?
        let windowStore = WindowStore(
            bytesMax: config.following.waitingBytesMax, payloads: config.stream.payloads)
        windowStore.evictableThrough = appliedHeight
        node = StreamNode(
            stream: config.stream, store: store, windows: windowStore, seed: seed, now: now,
            sequencerKey: config.sequencerKey, serving: nil, membership: config.membership
        ) { endpoint in
            made = Following(
                config: config.following, stream: config.stream, sequencerKey: config.sequencerKey,
                endpoint: endpoint,
                store: store, firstHeight: first, recreates: false, givesUpAfter: nil, now: now)
            return made
        }
        guard let made else { preconditionFailure("a replica follows") }
        following = made
        windows =
            config.following.takesWindows
            ? WindowFollowing(
                following: made, endpoint: node.endpoint, store: windowStore,
                shredsMax: config.following.windowShredsMax, cadence: config.following.cadence, now: now)
            : nil
        made.fetch = windows?.fetch
    }

    // MARK: Applying

    /// Applies what is complete and next, as far as this turn goes.
    private func apply() {
        while appliesLeft > 0, stopReason == nil, node.endpoint.hasRoomForEvents(8) {
            if let window = windows?.window(after: appliedHeight) {
                // It takes as long as all its mini-blocks; then the socket has its turn.
                appliesLeft = 0
                apply(window)
            } else if appliedHeight != windows?.heldAt, let entry = node.store.entry(appliedHeight + 1),
                entry.isComplete
            {
                appliesLeft -= 1
                apply(entry)
            } else {
                break
            }
        }
        if stopReason == nil {
            if let height = following.equivocationAt {
                stop(.equivocation(height: height))
            } else if let lacked = following.unavailable, node.endpoint.now - lacked.since > .seconds(5) {
                stop(.beyondRetention(height: lacked.height, floor: lacked.floor))
            }
        }
        if let end = following.endHeight, appliedHeight >= end { keepUp() }
        if isFinished, !hasToldEnd, let end = following.endHeight {
            hasToldEnd = true
            node.endpoint.emit(.streamEnded(height: end))
            node.tellParents()
        }
    }

    /// Spec 40.3: the first header of a cadence names the genesis state.
    private func beginsElsewhere(_ header: SliceHeader) -> Bool {
        guard let execution, header.firstHeight == 1, header.sliceIndex == 0,
            header.previousHeaderHash != execution.genesisCommitment
        else { return false }
        stop(
            .commitmentMismatch(
                height: 0, signed: header.previousHeaderHash, computed: execution.genesisCommitment))
        return true
    }

    private func apply(_ window: WindowEntry) {
        guard let header = window.firstHeader else { return }
        keepUp()
        if stopReason != nil || beginsElsewhere(header) { return }
        // It tells of a boundary before its first height, which is compared before the state moves on.
        signed = window.commitment ?? signed
        compare()
        if stopReason != nil { return }
        var transactions: UInt64 = 0
        do throws(Execution.Undecodable) {
            transactions = try execution?.apply(window) ?? 0
        } catch {
            appliedHeight = state.height
            stop(.undecodable(height: error.height))
            return
        }
        appliedHeight = window.lastHeight
        windowsApplied += 1
        counts.miniBlocks += window.lastHeight - window.firstHeight + 1
        counts.transactions += transactions
        counts.payloadBytes += UInt64(window.payloadBytes)
        node.endpoint.emit(
            .applied(
                AppliedMiniBlock(
                    firstHeight: window.firstHeight, lastHeight: window.lastHeight,
                    transactions: transactions, sealedAtMicroseconds: window.sealedAtMicroseconds,
                    payloadBytes: window.payloadBytes, cadence: window.cadence, caughtUp: true)))
        windows?.applied(window, now: node.endpoint.now)
        node.store.evictableThrough = appliedHeight
        node.store.dropBelow(appliedHeight + 1)
        kept.removeAll(keepingCapacity: true)
    }

    private func apply(_ entry: HeightEntry) {
        guard let header = entry.firstHeader else { return }
        keepUp()
        if stopReason != nil || beginsElsewhere(header) { return }
        let first = max(entry.firstHeight, appliedHeight + 1)
        var transactions: UInt64 = 0
        do throws(Execution.Undecodable) {
            transactions = try execution?.apply(entry, sealedAtMicroseconds: header.sealedAtMicroseconds) ?? 0
        } catch {
            appliedHeight = state.height
            stop(.undecodable(height: error.height))
            return
        }
        appliedHeight = entry.lastHeight
        let heights = entry.lastHeight - first + 1
        counts.miniBlocks += heights
        counts.transactions += transactions
        let payloadBytes = Int(header.payloadBytes)
        counts.payloadBytes += UInt64(payloadBytes)
        node.endpoint.emit(
            .applied(
                AppliedMiniBlock(
                    firstHeight: first, lastHeight: entry.lastHeight, transactions: transactions,
                    sealedAtMicroseconds: header.sealedAtMicroseconds, payloadBytes: payloadBytes,
                    caughtUp: entry.slices.contains { $0?.isBacklog ?? false })))
        for record in entry.slices {
            if let told = record?.assembler.header.commitment { signed = told }
        }
        if execution == nil { signed = nil } else { upkeep = .owed }
        windows?.applied(
            payloadBytes: payloadBytes, heights: heights, through: appliedHeight, now: node.endpoint.now)
        node.store.evictableThrough = appliedHeight
        kept.append(entry.firstHeight)
        if kept.count > ReplicaCore.appliedKept { node.store.dropBelow(kept.removeFirst() + 1) }
    }

    // MARK: Commitments

    /// The commitment's share of the last height, if it is still owed.
    private func keepUp() {
        guard upkeep != .none else { return }
        upkeep = .none
        execution?.keepUp()
        compare()
    }

    /// Compares the boundary's commitment with the signed one, once both are known.
    private func compare() {
        guard let told = signed else { return }
        signed = nil
        guard let computed = execution?.commitment(at: told) else { return }
        if computed == told.hash {
            counts.checked += 1
            node.endpoint.emit(.commitmentMatches(height: told.height, told.hash))
        } else {
            stop(.commitmentMismatch(height: told.height, signed: told.hash, computed: computed))
        }
    }

    private func stop(_ reason: StopReason) {
        stopReason = reason
        node.endpoint.emit(.stopped(reason))
    }

    /// The commitment to the state as it stands. Hashes what is not hashed yet: not for every mini-block.
    public func stateCommitment() -> Hash32 {
        execution?.commitmentNow() ?? .zero
    }

    /// The stream has ended and all of it is applied and checked.
    public var isFinished: Bool {
        guard let end = following.endHeight else { return false }
        return stopReason == nil && appliedHeight >= end
    }

    // MARK: Shell

    public func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        receive(datagram, from: address, isMarked: false, now: now)
    }

    public func receive(
        _ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, isMarked: Bool, now: Instant
    ) {
        isDirty = true
        appliesLeft = ReplicaCore.appliesPerTurn
        node.receive(datagram, from: address, isMarked: isMarked, now: now)
        windows?.noticed(now: node.endpoint.now)
    }

    public func handleTimeout(now: Instant) {
        isDirty = true
        appliesLeft = ReplicaCore.appliesPerTurn
        node.handleTimeout(now: now)
        if stopReason == nil { windows?.handleTimeout(now: node.endpoint.now) }
    }

    public var nextDeadline: Instant? {
        if stopReason == nil, appliesLeft == 0, isNextComplete { return node.endpoint.now }
        guard stopReason == nil, let deadline = node.nextDeadline else { return node.nextDeadline }
        return windows.map { min(deadline, $0.nextDeadline) } ?? deadline
    }

    private var isNextComplete: Bool {
        windows?.window(after: appliedHeight) != nil
            || appliedHeight != windows?.heldAt
                && node.store.entry(appliedHeight + 1).map { $0.isComplete } ?? false
    }

    public func nextOutput() -> CoreOutput? {
        pump()
        if let output = node.endpoint.popOutput() { return output }
        if upkeep.isNext() { return .flush }
        keepUp()
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
        // What is asked for comes while this is applied.
        if stopReason == nil, let windows {
            windows.prepare(for: windows.window(after: appliedHeight), now: node.endpoint.now)
        }
        apply()
        node.pump()
    }

    public func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer {
        node.endpoint.bytes(of: handle)
    }
    public func release(_ handle: BufferHandle) { node.endpoint.release(handle) }

    public var statistics: CoreStatistics {
        var all = node.statistics
        all.appliedHeight = appliedHeight
        all.miniBlocks = counts.miniBlocks
        all.transactions = counts.transactions
        all.payloadBytes = counts.payloadBytes
        all.commitmentsChecked = counts.checked
        all.streamEnded = isFinished
        all.cadence = windows?.cadence ?? .c0
        all.windowsApplied = windowsApplied
        return all
    }
    public var peers: [PeerReport] { node.peers }
    public var anchors: [PeerRecord] { node.membership.anchors }
    public var evidence: [UInt8]? { node.evidence.proof?.encoded }

    /// Headers that other nodes of this simulation have decoded are not decoded again.
    package func share(_ headers: HeaderMemo) { node.endpoint.headers = headers }

    public func close(now: Instant) {
        isDirty = true
        node.closeAll(now: now)
    }
}

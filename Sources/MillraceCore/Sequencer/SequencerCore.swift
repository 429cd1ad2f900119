/// The sequencer: takes a sealed diff per mini-block, encodes, applies, slices, signs, and sends each child the stripes
/// of its contract. It answers repair and catch-up from what it retains, and follows nobody.
///
///     seal(diff) ─▶ codec ─▶ payload ─▶ SliceEncoder ─▶ SliceStore ─▶ children's queues ─▶ paced datagrams
///                     │ state.apply
///                     └ every 100th height: commitment frozen, hashed in steps, carried by a later header
///
/// Coarser cadences (`WindowMaking`): diffs go on to a `WindowMaker`, here or on another thread, and the windows it makes
/// come back, are cut a few slices per mini-block (`WindowCutter`), and wait for those who ask.
///
/// Empty mini-blocks are gathered into runs of at most `idleRunMax`, one signed header for all of them, so that an idle
/// stream costs ten headers a second and not a hundred (Spec 40.3, 60.9).

public import MillraceBase
import MillraceCodec
import MillraceCrypto
public import MillraceDiff
import MillraceWire

public final class SequencerCore: StreamCore {
    /// Mini-blocks in one run of empty ones: a follower's clock of the stream is then at most 100 ms old.
    static let idleRunMax: UInt64 = 10
    /// A commitment travels at most 95 mini-blocks after its height; hashing is spread over fewer.
    static let commitmentSteps = 90

    public let state: State
    /// The height the next call of `seal` must have.
    public private(set) var nextHeight: UInt64
    private let node: StreamNode
    let serving: Serving
    private let codec = Codec()
    private let commitment: StateCommitment
    private var encoder: SliceEncoder
    private let parityCount: Int
    private let payloads: PayloadForm
    private var payload: [UInt8] = []
    private var isDirty = true
    private var hasStopped = false

    private let windowMaking: WindowMaking
    private var windowMaker: WindowMaker?
    private var windowCutter: WindowCutter
    private var servesWindows: Bool
    /// Told of every mini-block once it is sealed, as followers see it, and of its payload: for a `WindowMaker` elsewhere.
    public var onSealed: ((StateDiff, [UInt8]) -> Void)?

    /// Empty mini-blocks sealed and not yet sent.
    private var runFirst: UInt64 = 0
    private var runSealedAt: UInt64 = 0
    /// The height of a frozen commitment that is being hashed; 0 when there is none.
    private var owedHeight: UInt64 = 0
    /// Hashed, and not yet carried by a header.
    private var readyCommitment: SliceCommitment?
    private var leavesPerStep = 4_096
    /// The last height's share of the commitment, which waits until its datagrams have left.
    private var upkeep = Upkeep.none
    private var endHeight: UInt64?
    private var counts = (miniBlocks: UInt64(0), transactions: UInt64(0), payloadBytes: UInt64(0))

    /// `state` is the genesis state: the stream starts at height 1.
    public init(config: SequencerConfig, state: State, seed: Seed, now: Instant) {
        self.state = state
        nextHeight = state.height + 1
        parityCount = min(max(config.parityCount, 0), WireLimits.parityCountMax)
        commitment = StateCommitment(of: state)
        payloads = config.stream.payloads
        let store = SliceStore(
            bytesMax: config.serving.retentionBytesMax, payloads: config.stream.payloads)
        store.evictableThrough = .max
        windowMaking = config.windows
        servesWindows = config.windows != .none
        if config.windows == .inline, payloads == .carried { windowMaker = WindowMaker(state: state) }
        let windows =
            config.windows == .none
            ? nil : WindowStore(bytesMax: config.windowBytesMax, payloads: config.stream.payloads)
        node = StreamNode(
            stream: config.stream, store: store, windows: windows, seed: seed, now: now,
            sequencerKey: config.signingKey.verifyingKey, serving: config.serving,
            membership: config.membership
        ) { _ in nil }
        guard let serving = node.serving else { preconditionFailure("a sequencer serves") }
        self.serving = serving
        let origin = commitment.commitmentNow()
        func encoder(_ cadence: Cadence) -> SliceEncoder {
            SliceEncoder(
                chainID: config.stream.chainID, epoch: config.stream.epoch, cadence: cadence,
                codecID: Codec.id, originHash: origin, key: config.signingKey,
                symbolBytesMax: min(
                    max(config.symbolBytesMax, 1),
                    SliceEncoder.symbolBytesMax(parityCount: cadence == .c0 ? config.parityCount : 0)),
                windowSpanMax: cadence == .c0 ? min(max(config.windowSpan, 1), WireLimits.windowSpanMax) : 1)
        }
        self.encoder = encoder(.c0)
        windowCutter = WindowCutter(encoder)
    }

    // MARK: Sealing

    /// Encodes `diff` against the state, applies it, slices, signs and queues it for the children. The caller owes
    /// `diff.firstHeight == diff.lastHeight == nextHeight` and a diff sealed against `state`.
    public func seal(_ diff: StateDiff, now: Instant) throws(DiffError) {
        precondition(
            diff.firstHeight == nextHeight && diff.lastHeight == nextHeight && endHeight == nil,
            "a mini-block out of order: \(diff.firstHeight), not \(nextHeight)")
        precondition(payloads == .carried, "payloads by reference have no diffs")
        node.endpoint.advance(to: now)
        isDirty = true
        keepUp()
        payload.removeAll(keepingCapacity: true)
        var diff = diff
        codec.dropCostlyOperations(of: &diff, base: state)
        codec.encode(diff, base: state, into: &payload)
        try state.apply(diff)
        codec.advance(past: diff, state: state)
        let height = nextHeight
        nextHeight += 1
        counts.miniBlocks += 1
        counts.transactions += diff.transactions
        let isEmpty = diff.isEmpty && diff.transactions == 0 && diff.kind == .transactions
        if isEmpty {
            extendRun(through: height, sealedAtMicroseconds: diff.sealedAtMicroseconds)
        } else {
            if runFirst != 0 { sendRun(through: height - 1) }
            counts.payloadBytes += UInt64(payload.count)
            send(
                payload,
                SliceSeal(
                    height: height, sealedAtMicroseconds: diff.sealedAtMicroseconds,
                    commitment: dueCommitment()))
        }
        upkeep = .owed
        try makeWindows(&diff)
    }

    /// The commitment's share of the last height, if it is still owed: a freeze at an EVM boundary, else some hashing. Comes
    /// before the state changes again.
    private func keepUp() {
        guard upkeep != .none else { return }
        upkeep = .none
        let height = nextHeight - 1
        if height % Limits.miniBlocksPerEVMBlock == 0 {
            commitment.freeze()
            owedHeight = height
            leavesPerStep = commitment.leavesPerStep(steps: SequencerCore.commitmentSteps)
        } else {
            commitment.advance(leaves: leavesPerStep)
        }
    }

    /// Hands a sealed mini-block on to the coarser cadences, and cuts a few slices of the windows that are made.
    private func makeWindows(_ diff: inout StateDiff) throws(DiffError) {
        if windowMaking == .none { return }
        codec.dropUntold(&diff)
        if let windowMaker {
            for window in try windowMaker.add(diff, payload: payload) { windowCutter.add(window) }
        }
        onSealed?(diff, payload)
        if let windows = node.windows { windowCutter.turn(into: windows, now: node.endpoint.now) }
    }

    /// Takes a window that a `WindowMaker` elsewhere has made of what `onSealed` told. Windows of a cadence come in order.
    public func add(_ window: WindowPayload, now: Instant) {
        precondition(windowMaking == .elsewhere && payloads == .carried, "nobody asked for windows")
        node.endpoint.advance(to: now)
        windowCutter.add(window)
        // Nothing is sealed any more that would give it its turns.
        if endHeight != nil, let windows = node.windows {
            windowCutter.finish(into: windows, now: node.endpoint.now)
        }
    }

    /// No more windows come from elsewhere: children are told not to ask for any.
    public func stopServingWindows() { servesWindows = false }

    /// A window that ended with `last`, of which only the payload's size is known.
    package func add(
        windowBytes: Int, _ cadence: Cadence, endingAt last: UInt64, sealedAtMicroseconds: UInt64
    ) {
        precondition(payloads == .byReference && last % cadence.heights == 0 && windowBytes > 0)
        precondition(last < nextHeight)
        guard let windows = node.windows, last >= cadence.heights else { return }
        let bytes = min(windowBytes, Limits.payloadBytesMax)
        windowCutter.add(
            absentBytes: bytes,
            WindowPayload(
                cadence: cadence, firstHeight: last - cadence.heights + 1, lastHeight: last,
                sealedAtMicroseconds: sealedAtMicroseconds, transactions: 0, bytes: []))
        windowCutter.turn(into: windows, now: node.endpoint.now)
    }

    /// Seals a mini-block of which only the payload's size is known (`PayloadForm.byReference`): the slices, headers and
    /// datagrams that a payload of `payloadBytes` would have. None for an empty mini-block.
    package func seal(
        payloadBytes: Int, transactions: UInt64, sealedAtMicroseconds: UInt64, now: Instant
    ) {
        precondition(payloads == .byReference && endHeight == nil)
        precondition(payloadBytes >= 0 && payloadBytes <= Limits.payloadBytesMax)
        node.endpoint.advance(to: now)
        isDirty = true
        let height = nextHeight
        nextHeight += 1
        counts.miniBlocks += 1
        counts.transactions += transactions
        if payloadBytes == 0 {
            extendRun(through: height, sealedAtMicroseconds: sealedAtMicroseconds)
        } else {
            if runFirst != 0 { sendRun(through: height - 1) }
            counts.payloadBytes += UInt64(payloadBytes)
            send(
                absentBytes: payloadBytes,
                SliceSeal(
                    height: height, sealedAtMicroseconds: sealedAtMicroseconds, commitment: dueCommitment()))
        }
        if height % Limits.miniBlocksPerEVMBlock == 0 { owedHeight = height }
        if let windows = node.windows { windowCutter.turn(into: windows, now: node.endpoint.now) }
    }

    /// Ends the stream: seals empty mini-blocks up to the EVM block's end, then the header that carries the last
    /// commitment and says that nothing follows.
    public func finish(sealedAtMicroseconds: UInt64, now: Instant) throws(DiffError) {
        if endHeight != nil { return }
        if payloads == .byReference {
            if runFirst != 0 { sendRun(through: nextHeight - 1) }
            counts.miniBlocks += 1
            sendEnd(sealedAtMicroseconds)
            return
        }
        var diff = StateDiff()
        diff.sealedAtMicroseconds = sealedAtMicroseconds
        while (nextHeight - 1) % Limits.miniBlocksPerEVMBlock != 0 {
            (diff.firstHeight, diff.lastHeight) = (nextHeight, nextHeight)
            try seal(diff, now: now)
        }
        keepUp()
        (diff.firstHeight, diff.lastHeight) = (nextHeight, nextHeight)
        codec.encode(diff, base: state, into: &payload)
        try state.apply(diff)
        codec.advance(past: diff, state: state)
        commitment.finish()
        counts.miniBlocks += 1
        sendEnd(sealedAtMicroseconds)
    }

    /// The header after which nothing follows.
    private func sendEnd(_ sealedAtMicroseconds: UInt64) {
        send(
            [],
            SliceSeal(
                firstHeight: nextHeight, lastHeight: nextHeight, sealedAtMicroseconds: sealedAtMicroseconds,
                commitment: dueCommitment(), isEndOfStream: true))
        endHeight = nextHeight
        nextHeight += 1
        if let windows = node.windows { windowCutter.finish(into: windows, now: node.endpoint.now) }
        isDirty = true
    }

    /// An empty mini-block: one more of the run, which ends with the EVM block, and when it is long enough.
    private func extendRun(through height: UInt64, sealedAtMicroseconds: UInt64) {
        if runFirst == 0 { runFirst = height }
        runSealedAt = sealedAtMicroseconds
        if height - runFirst + 1 >= SequencerCore.idleRunMax || height % Limits.miniBlocksPerEVMBlock == 0 {
            sendRun(through: height)
        }
    }

    private func sendRun(through last: UInt64) {
        let first = runFirst
        runFirst = 0
        // The mini-block that ends the run is encoded already: its payload stays.
        send(
            [],
            SliceSeal(
                firstHeight: first, lastHeight: last, sealedAtMicroseconds: runSealedAt,
                commitment: dueCommitment()))
    }

    /// The commitment a header is to carry now, once it is hashed.
    private func dueCommitment() -> SliceCommitment? {
        // Spec 60.9, rule 2: no later than 95 mini-blocks after its height.
        if owedHeight != 0, nextHeight > owedHeight + UInt64(SequencerCore.commitmentSteps) {
            if payloads == .byReference {
                defer { owedHeight = 0 }
                let due = SliceCommitment(height: owedHeight, hash: .zero)
                windowCutter.note(due)
                return due
            }
            commitment.finish()
        }
        collectCommitment()
        defer { readyCommitment = nil }
        return readyCommitment
    }

    /// Takes note of a frozen commitment that has been hashed.
    private func collectCommitment() {
        guard owedHeight != 0, let latest = commitment.latest, latest.height == owedHeight else { return }
        let ready = SliceCommitment(height: latest.height, hash: latest.commitment)
        readyCommitment = ready
        windowCutter.note(ready)
        owedHeight = 0
    }

    private func send(_ payload: [UInt8], _ seal: SliceSeal) {
        payload.withUnsafeBytes { bytes in
            send(payloadBytes: bytes.count, seal) {
                encoder.encode(
                    bytes, seal: seal, parityCount: parityCount, window: window, pool: node.store.pool)
            }
        }
    }

    private func send(absentBytes: Int, _ seal: SliceSeal) {
        send(payloadBytes: absentBytes, seal) {
            encoder.encode(
                absentBytes: absentBytes, seal: seal, parityCount: parityCount, window: window,
                pool: node.store.pool)
        }
    }

    /// The slices that the next one's parity covers too.
    private var window: [SliceAssembler] { node.store.window(before: nil).map(\.assembler) }

    private func send(payloadBytes: Int, _ seal: SliceSeal, _ encode: () -> [SliceAssembler]?) {
        var made = encode()
        while made == nil, node.store.dropOldest() { made = encode() }
        guard let slices = made else {
            preconditionFailure("one mini-block of \(payloadBytes) bytes does not fit the retention budget")
        }
        for assembler in slices {
            guard let record = node.store.adopt(assembler, now: node.endpoint.now) else { continue }
            serving.forward(record, record.have, withHeader: true)
        }
        serving.status = StreamStatus(
            tip: seal.lastHeight, completeThrough: seal.lastHeight, floor: node.store.floor,
            ended: seal.isEndOfStream, servesWindows: servesWindows)
    }

    /// The commitment to the state as it stands. Hashes what is not hashed yet: not for every mini-block.
    public func stateCommitment() -> Hash32 {
        // The one that is owed comes first, or the followers would never see it.
        keepUp()
        commitment.finish()
        collectCommitment()
        return commitment.commitmentNow()
    }

    /// Every child has said that it has the whole stream (after `finish`).
    public var isDelivered: Bool {
        guard let endHeight else { return false }
        return serving.children.allSatisfy { $0.status.completeThrough >= endHeight }
    }

    // MARK: Shell

    public func receive(_ datagram: UnsafeMutableRawBufferPointer, from address: PeerAddress, now: Instant) {
        isDirty = true
        node.receive(datagram, from: address, now: now)
    }

    public func handleTimeout(now: Instant) {
        isDirty = true
        node.handleTimeout(now: now)
    }

    public var nextDeadline: Instant? { node.nextDeadline }

    public func nextOutput() -> CoreOutput? {
        pump()
        if let output = node.endpoint.popOutput() { return output }
        if upkeep.isNext() { return .flush }
        keepUp()
        return nil
    }

    public func nextDatagram() -> OutgoingDatagram? {
        pump()
        return node.endpoint.popDatagram()
    }

    /// Makes outputs of what has changed, once those from before are gone.
    private func pump() {
        guard isDirty, !node.endpoint.hasOutputs else { return }
        isDirty = false
        // Somebody else signs with this key, or this stream was begun twice: its followers have stopped, or will.
        if !hasStopped, let proof = node.evidence.proof {
            hasStopped = true
            node.endpoint.emit(.stopped(.equivocation(height: proof.height)))
        }
        node.pump()
    }

    public func bytes(of handle: BufferHandle) -> UnsafeMutableRawBufferPointer {
        node.endpoint.bytes(of: handle)
    }
    public func release(_ handle: BufferHandle) { node.endpoint.release(handle) }

    public var statistics: CoreStatistics {
        var all = node.statistics
        all.completeThrough = nextHeight - 1
        all.tip = nextHeight - 1
        all.appliedHeight = nextHeight - 1
        all.miniBlocks = counts.miniBlocks
        all.transactions = counts.transactions
        all.payloadBytes = counts.payloadBytes
        all.streamEnded = endHeight != nil
        return all
    }
    public var peers: [PeerReport] { node.peers }
    public var evidence: [UInt8]? { node.evidence.proof?.encoded }

    public func close(now: Instant) {
        isDirty = true
        node.closeAll(now: now)
    }
}

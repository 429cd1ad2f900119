/// `millrace-bench relay`: the three cores in one process on virtual time, a perfect wire between them, and what each step
/// costs: allocations (a header's decoded form takes a few per slice, a shred none) and processor time beside the
/// stream's own.
///
/// ```
/// sequencer ─▶ relay ─▶ replica 1 … children
/// ```

import ArgumentParser
import CMillraceCounting
import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLoop
import MillraceWorkload

struct RelayBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "relay",
        abstract: "A relay's work per shred, and a replica's per mini-block, at 100,000 TPS.")
    @OptionGroup var options: BenchOptions
    @Option(help: "Replicas behind the relay.") var children = 2
    @Option(help: "Mini-blocks of 1,000 swaps; the first half warms up.") var miniBlocks: UInt64 = 200

    func validate() throws {
        if !(1...16).contains(children) { throw ValidationError("--children must be 1 to 16.") }
        if !(20...10_000).contains(miniBlocks) { throw ValidationError("--mini-blocks must be 20 to 10000.") }
    }

    func run() throws {
        let wire = PerfectWire(children: children)
        let stream = WorkloadStream(
            GeneratedWorkload(try WorkloadSpec("swap?accounts=20000&seed=3")), seed: Seed(1))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) { try wire.genesis(diff) }
        wire.start()
        wire.run(for: .milliseconds(500))
        for height in 1...miniBlocks {
            if height == miniBlocks / 2 { wire.count() }
            _ = try stream.nextMiniBlock(
                transactions: 1_000, sealedAtMicroseconds: height * 10_000, into: &diff)
            try wire.seal(diff)
            wire.run(for: Limits.miniBlockInterval)
        }
        wire.run(for: .milliseconds(200))
        guard wire.replicaHeight == miniBlocks else {
            throw ValidationError("the replica is at height \(wire.replicaHeight), not \(miniBlocks)")
        }
        let counted = Double(miniBlocks - miniBlocks / 2 + 1)
        let shreds = Double(wire.relayShreds)
        let stream10ms = 0.01 * counted
        var report = BenchReport("relay")
        report.row("relay, allocations per shred taken in", Double(wire.relayAllocations) / shreds, "")
        report.row("relay, allocations per mini-block", Double(wire.relayAllocations) / counted, "")
        report.row("relay, shreds taken in and sent to \(children)", shreds / wire.relaySeconds, "shreds/s")
        report.row(
            "relay, share of a core", wire.relaySeconds / stream10ms * 100, "%", peer: "the stream's time",
            100)
        report.row("replica, allocations per mini-block", Double(wire.replicaAllocations) / counted, "")
        report.row(
            "replica, share of a core", wire.replicaSeconds / stream10ms * 100, "%",
            peer: "the stream's time", 100)
        report.row(
            "sequencer, share of a core", wire.sequencerSeconds / stream10ms * 100, "%",
            peer: "the stream's time", 100)
        report.print(json: options.json)
    }
}

/// Datagrams reach the other side at once and whole; time goes in steps of a millisecond.
private final class PerfectWire {
    private static let sequencerAddress = PeerAddress.loopback(port: 1)
    private static let relayAddress = PeerAddress.loopback(port: 2)
    private let identities = (0..<18).map { StaticKeyPair(privateKey: Hash32(word: U256(UInt64($0) + 77))) }
    private let signing = SigningKey(seed: Hash32(word: 5))
    private let sequencerState = State(seed: Seed(2))
    private let replicaStates: [State]
    private var sequencer: SequencerCore?
    private var relay: RelayCore?
    private var replicas: [ReplicaCore] = []
    private var now = Instant(nanoseconds: 1_000_000_000)
    private let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 2_048, alignment: 64)

    private var isCounting = false
    private(set) var relayAllocations: UInt64 = 0
    private(set) var relayShreds: UInt64 = 0
    private(set) var relaySeconds = 0.0
    private(set) var replicaAllocations: UInt64 = 0
    private(set) var replicaSeconds = 0.0
    private(set) var sequencerSeconds = 0.0
    private var shredsAtStart: UInt64 = 0

    init(children: Int) { replicaStates = (0..<children).map { State(seed: Seed(UInt64(10 + $0))) } }

    deinit { buffer.deallocate() }

    func genesis(_ diff: StateDiff) throws {
        try sequencerState.apply(diff)
        for state in replicaStates { try state.apply(diff) }
    }

    private func identity(_ index: Int) -> StreamIdentity {
        StreamIdentity(identity: identities[index], chainID: 1, startMicroseconds: 1)
    }

    func start() {
        var config = SequencerConfig(stream: identity(0), signingKey: signing)
        config.parityCount = 4
        sequencer = SequencerCore(config: config, state: sequencerState, seed: Seed(20), now: now)
        let upstream = FollowingConfig(parents: [
            PeerEndpoint(key: identities[0].publicKey, address: PerfectWire.sequencerAddress)
        ])
        relay = RelayCore(
            config: RelayConfig(stream: identity(1), sequencerKey: signing.verifyingKey, following: upstream),
            seed: Seed(21), now: now)
        let parent = FollowingConfig(parents: [
            PeerEndpoint(key: identities[1].publicKey, address: PerfectWire.relayAddress)
        ])
        for (index, state) in replicaStates.enumerated() {
            replicas.append(
                ReplicaCore(
                    config: ReplicaConfig(
                        stream: identity(2 + index), sequencerKey: signing.verifyingKey, following: parent),
                    state: state, seed: Seed(UInt64(30 + index)), now: now))
        }
    }

    var replicaHeight: UInt64 { replicas.first?.appliedHeight ?? 0 }

    /// From here on work is counted.
    func count() {
        isCounting = true
        shredsAtStart = relay?.statistics.shredsStored ?? 0
    }

    func seal(_ diff: StateDiff) throws {
        let began = MillraceLoop.Machine.cpuTime
        try sequencer?.seal(diff, now: now)
        if isCounting { sequencerSeconds += (MillraceLoop.Machine.cpuTime - began).asSeconds }
    }

    func run(for interval: Interval) {
        let end = now + interval
        while now < end {
            now = now + .milliseconds(1)
            timed(0) { sequencer?.handleTimeout(now: now) }
            timed(1) { relay?.handleTimeout(now: now) }
            for (index, replica) in replicas.enumerated() {
                timed(2 + index) { replica.handleTimeout(now: now) }
            }
            while pump() {}
        }
        if isCounting { relayShreds = (relay?.statistics.shredsStored ?? 0) - shredsAtStart }
    }

    private func timed<T>(_ node: Int, _ body: () -> T) -> T {
        guard isCounting else { return body() }
        let allocations = mr_allocation_count()
        let began = MillraceLoop.Machine.cpuTime
        let result = body()
        let seconds = (MillraceLoop.Machine.cpuTime - began).asSeconds
        let made = mr_allocation_count() - allocations
        switch node {
        case 0: sequencerSeconds += seconds
        case 1:
            relaySeconds += seconds
            relayAllocations += made
        case 2:
            replicaSeconds += seconds
            replicaAllocations += made
        default: break
        }
        return result
    }

    /// Moves what every core has to say; false when none had anything.
    private func pump() -> Bool {
        var moved = false
        var cores: [any StreamCore] = []
        if let sequencer { cores.append(sequencer) }
        if let relay { cores.append(relay) }
        for replica in replicas { cores.append(replica) }
        for (index, core) in cores.enumerated() {
            while let output = timed(index, { core.nextOutput() }) {
                moved = true
                guard case .send(let datagram) = output else { continue }
                buffer.copyMemory(from: UnsafeRawBufferPointer(core.bytes(of: datagram.buffer)))
                core.release(datagram.buffer)
                let target: Int
                switch datagram.to {
                case PerfectWire.sequencerAddress: target = 0
                case PerfectWire.relayAddress: target = 1
                default: target = Int(datagram.to.port) - 1
                }
                guard target < cores.count else { continue }
                let bytes = UnsafeMutableRawBufferPointer(rebasing: buffer[..<datagram.count])
                let from = PeerAddress.loopback(port: UInt16(index + 1))
                timed(target) { cores[target].receive(bytes, from: from, now: now) }
            }
        }
        return moved
    }
}

/// `millrace-bench relay`: the three cores in one process on virtual time, a perfect wire between them, and what each step
/// costs: allocations (a header's decoded form takes a few per slice, a shred none) and processor time beside the
/// stream's own.
///
/// ```
/// sequencer ─▶ relay ─▶ replica 1 … children
///                 └──▶ a socket for each, on loopback, that nobody reads
/// ```
///
/// Then the relay alone, beside a C loop (`RelayRounds`).

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
    @Option(help: "Replicas behind the relay.") var children = 8
    @Option(help: "Mini-blocks; the first half warms up.") var miniBlocks: UInt64 = 200
    @Option(help: "Rounds of ten mini-blocks of the relay alone, each beside the C loop.") var rounds = 9
    @Option(help: "Swaps in each: 1,000 is the stream of 100,000 TPS.") var swaps = 1_000

    func validate() throws {
        if !(1...16).contains(children) { throw ValidationError("--children must be 1 to 16.") }
        if !(1...20_000).contains(swaps) { throw ValidationError("--swaps must be 1 to 20000.") }
        if !(1...1_000).contains(rounds) { throw ValidationError("--rounds must be 1 to 1000.") }
        if !(20...10_000).contains(miniBlocks) { throw ValidationError("--mini-blocks must be 20 to 10000.") }
    }

    func run() throws {
        let wire = try PerfectWire(children: children)
        let stream = WorkloadStream(
            GeneratedWorkload(try WorkloadSpec("swap?accounts=20000&seed=3")), seed: Seed(1))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) { try wire.genesis(diff) }
        wire.start()
        wire.run(for: .milliseconds(500))
        var height: UInt64 = 0
        while height < miniBlocks {
            height += 1
            if height == miniBlocks / 2 { wire.count() }
            _ = try stream.nextMiniBlock(
                transactions: swaps, sealedAtMicroseconds: height * 10_000, into: &diff)
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
        let alone = try wire.rounds(rounds) { diff in
            height += 1
            _ = try stream.nextMiniBlock(
                transactions: swaps, sealedAtMicroseconds: height * 10_000, into: &diff)
        }
        report.row(
            "relay, datagrams to \(children) children through its socket", alone.relay, "datagrams/s",
            peer: "C: open, seal, send", alone.bare)
        report.row(
            "  C without enciphering, tags only", alone.bareInClear, "datagrams/s",
            peer: "C: open, seal, send", alone.bare)
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
final class PerfectWire {
    static let sequencerAddress = PeerAddress.loopback(port: 1)
    static let relayAddress = PeerAddress.loopback(port: 2)
    private let identities = (0..<18).map { StaticKeyPair(privateKey: Hash32(word: U256(UInt64($0) + 77))) }
    private let signing = SigningKey(seed: Hash32(word: 5))
    private let sequencerState = State(seed: Seed(2))
    private let replicaStates: [State]
    var sequencer: SequencerCore?
    var relay: RelayCore?
    var replicas: [ReplicaCore] = []
    var now = Instant(nanoseconds: 1_000_000_000)

    private var isCounting = false
    private(set) var relayAllocations: UInt64 = 0
    private(set) var relayShreds: UInt64 = 0
    private(set) var relaySeconds = 0.0
    private(set) var replicaAllocations: UInt64 = 0
    private(set) var replicaSeconds = 0.0
    private(set) var sequencerSeconds = 0.0
    private var shredsAtStart: UInt64 = 0

    private let loop: EventLoop
    let socket: UDPSocket
    /// Where the children's datagrams go, through the kernel, beside the way in this process.
    let sinks: [UDPSocket]

    init(children: Int) throws {
        replicaStates = (0..<children).map { State(seed: Seed(UInt64(10 + $0))) }
        let loop = try EventLoop()
        self.loop = loop
        said.reserveCapacity(4_096)
        socket = try UDPSocket(on: loop, bind: .loopback(port: 0), options: UDPSocketOptions())
        sinks = try (0..<children).map { _ in
            try UDPSocket(on: loop, bind: .loopback(port: 0), options: UDPSocketOptions())
        }
    }

    deinit {
        copies.deallocate()
        socket.close()
        for sink in sinks { sink.close() }
        loop.close()
    }

    /// One datagram of the relay's into its socket.
    /// As a node's shell does it; but the buffer is given back by whoever looks at what was sent.
    func give(_ bytes: UnsafeMutableRawBufferPointer, _ datagram: OutgoingDatagram, child: Int) {
        guard let base = bytes.baseAddress else { return }
        let to = sinks[child].localAddress
        _ = socket.lend(base, count: datagram.count, buffer: datagram.buffer, to: to)
    }

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

    /// What one core has to say, in the order it says it: copies, and whom they are for.
    private var said: [(target: Int, count: Int)] = []
    let copies = UnsafeMutableRawBufferPointer.allocate(byteCount: 4_096 * 2_048, alignment: 64)

    /// Moves what every core has to say; false when none had anything.
    private func pump() -> Bool {
        var moved = false
        var cores: [any StreamCore] = []
        if let sequencer { cores.append(sequencer) }
        if let relay { cores.append(relay) }
        for replica in replicas { cores.append(replica) }
        for (index, core) in cores.enumerated() {
            // One look at the clock for all of it: a look costs as much as sending a datagram.
            timed(index) { moved = listen(to: core, index) || moved }
            let from = PeerAddress.loopback(port: UInt16(index + 1))
            for (place, (target, count)) in said.enumerated() where target < cores.count {
                let part = UnsafeMutableRawBufferPointer(rebasing: copies[(place * 2_048)...].prefix(count))
                timed(target) { cores[target].receive(part, from: from, now: now) }
            }
            said.removeAll(keepingCapacity: true)
        }
        return moved
    }

    /// Which core has this address: the sequencer, the relay, the replicas.
    func target(of address: PeerAddress) -> Int { Int(address.port) - 1 }

    /// Takes all of a core's datagrams. False when there was none.
    private func listen(to core: any StreamCore, _ index: Int) -> Bool {
        var moved = false
        while let output = core.nextOutput() {
            moved = true
            guard case .send(let datagram) = output else { continue }
            let bytes = UnsafeRawBufferPointer(
                rebasing: UnsafeRawBufferPointer(core.bytes(of: datagram.buffer))[..<datagram.count])
            guard said.count < 4_096 else { preconditionFailure("more than a turn's datagrams") }
            UnsafeMutableRawBufferPointer(rebasing: copies[(said.count * 2_048)...]).copyMemory(from: bytes)
            said.append((target(of: datagram.to), datagram.count))
            core.release(datagram.buffer)
        }
        return moved
    }
}

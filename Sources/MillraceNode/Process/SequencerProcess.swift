/// `millrace sequencer` (and `replay`): a source on one side, children on the other, a mini-block every 10 ms between.
///
/// Life: load genesis → listen → (hold until SIGUSR1) → seal on the beat → finish → stay and serve repairs until told to
/// end (SIGTERM, SIGINT), or with `exitWhenDelivered` until every child has everything.
///
/// The beat is kept against the monotonic clock: a late turn is made up for by sealing at most `catchUpPerTurn`
/// mini-blocks at once, so that one slow turn does not shift the whole stream.

import Foundation
import Logging
import MillraceBase
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLoop

public struct SequencerOptions: Sendable {
    /// How fast mini-blocks follow each other.
    public enum Pace: Sendable, Equatable {
        /// The interval of 10 ms divided by this factor.
        case speed(Double)
        /// So that this many transactions leave per second, whatever a mini-block holds.
        case transactionsPerSecond(Double)
        /// The next mini-block when no child has shreds waiting for its pace.
        case asFastAsChildrenTake
    }

    public var source: SourceSpec
    public var pace = Pace.speed(1)
    /// Begin at SIGUSR1 instead of at once.
    public var hold = false
    public var exitWhenDelivered = false
    public init(source: SourceSpec) { self.source = source }
}

public final class SequencerProcess {
    static let catchUpPerTurn = 20

    private let options: SequencerOptions
    private let plan: NodePlan
    private let status: StatusLines
    private let loop: EventLoop
    private let source: any DiffSource
    private let core: SequencerCore
    private let shell: NodeShell
    private var windows: WindowThread?
    private var beat: LoopTimer?
    private var statusTimer: LoopTimer?
    private var statusSocket: StatusSocket?
    private var signals: [SignalWatcher] = []
    private var failure: SourceError?

    private var height: UInt64 = 0
    private var due = Instant.zero
    private var began: Instant?
    private var ended: Instant?
    private var isFinished = false
    private var transactions: UInt64 = 0
    private var rawBytes: UInt64 = 0
    private var bridges: UInt64 = 0
    /// Of bridges: travels like any payload, and stays out of every codec figure.
    private var bridgePayloadBytes: UInt64 = 0
    private var commitment = Hash32.zero
    private var diff = StateDiff()

    public init(_ settings: Settings, _ options: SequencerOptions, _ status: StatusLines) throws {
        self.options = options
        self.status = status
        let plan = try NodePlan(settings, role: "sequencer")
        self.plan = plan
        var config = SequencerConfig(stream: plan.stream, signingKey: plan.identity.signing)
        config.parityCount = try settings.integer(.parity, 0...16)
        config.serving = try plan.serving()
        if try plan.hasWindows() { config.windows = .elsewhere }
        let seed = Machine.randomSeed()
        let loop = try EventLoop()
        self.loop = loop
        var opened: (any DiffSource)?
        var bound: UDPSocket?
        do {
            let source = try options.source.open(seed: seed, loop: loop)
            opened = source
            self.source = source
            // The socket first: with port 0 the node learns there where it listens, which its record says.
            let socket = try plan.socket(on: loop)
            bound = socket
            config.membership = try plan.membership(listeningAt: socket.localAddress, serves: true)
            let core = SequencerCore(
                config: config, state: try SequencerProcess.genesis(of: source, seed: seed), seed: seed,
                now: Machine.now)
            self.core = core
            let log = plan.log
            shell = try NodeShell(loop: loop, socket: socket, core: core) { event in
                if case .stopped(let reason) = event {
                    log.critical("\(FollowerProcess.sentence(reason)); this signing key is used twice")
                } else {
                    log.debug("\(event)")
                }
            }
        } catch {
            opened?.close()
            bound?.close()
            loop.close()
            throw error
        }
    }

    private static func genesis(of source: any DiffSource, seed: Seed) throws -> State {
        let state = State(seed: seed)
        var genesis = StateDiff()
        while try source.nextGenesis(into: &genesis) {
            do throws(DiffError) {
                try state.apply(genesis)
            } catch {
                throw SourceError("\(source.name): the state before the stream does not apply: \(error)")
            }
        }
        return state
    }

    /// Runs until told to end. Throws when the source fails.
    public func run() throws {
        do {
            statusSocket = try plan.statusSocket(on: loop) { [unowned self] in
                PeerStatus.object("sequencer", plan, shell.socket.localAddress, core)
            }
        } catch {
            shell.close()
            source.close()
            loop.close()
            throw error
        }
        beat = try LoopTimer(on: loop) { [unowned self] in turn() }
        statusTimer = try LoopTimer(on: loop) { [unowned self] in
            report("status")
            statusTimer?.set(after: .milliseconds(500))
        }
        if try plan.hasWindows() { try startWindows() }
        signals = try [.terminate, .interrupt].map { signal in
            try SignalWatcher(on: loop, signal) { [unowned self] in stop() }
        }
        signals.append(try SignalWatcher(on: loop, .user1) { [unowned self] in begin() })
        shell.start()
        let address = shell.socket.localAddress
        status.report(
            "listening", plan.listening(at: address, signer: plan.identity.signing.verifyingKey),
            plain: "sequencer of chain \(plan.settings.chainID) at "
                + "\(PeerURI(key: plan.identity.session.publicKey, address: address)), "
                + "signing key \(plan.identity.signing.verifyingKey.bytes32.hex), source \(source.name)")
        statusTimer?.set(after: .milliseconds(500))
        if !options.hold { begin() }
        loop.run()
        loop.close()
        if let failure { throw failure }
    }

    /// Another thread makes the windows of coarser cadences.
    private func startWindows() throws(LoopError) {
        let windows = try WindowThread(WindowMaker(state: core.state), on: loop, log: plan.log) {
            [unowned self] window in
            core.add(window, now: Machine.now)
            shell.drain()
        }
        core.onSealed = { [unowned self] diff, payload in
            if !windows.add(diff, payload: payload) { core.stopServingWindows() }
        }
        self.windows = windows
    }

    private func begin() {
        guard began == nil else { return }
        began = Machine.now
        due = Machine.now
        turn()
    }

    private func turn() {
        guard !isFinished, failure == nil else { return finishTurn() }
        var sealed = 0
        if options.pace == .asFastAsChildrenTake {
            due = Machine.now
            // A child's queue drops what it cannot hold, so wait while one has a mini-block's worth waiting.
            if core.peers.contains(where: { $0.isChild && $0.shredsQueued > 64 }) {
                due = due + .milliseconds(1)
            }
        }
        while Machine.now >= due, !isFinished, failure == nil, sealed < SequencerProcess.catchUpPerTurn {
            sealNext()
            sealed += 1
            // Each mini-block leaves before the next is encoded.
            shell.drain()
        }
        finishTurn()
    }

    private func finishTurn() {
        shell.drain()
        if failure != nil {
            stop()
        } else if !isFinished {
            beat?.set(due)
        } else if options.exitWhenDelivered {
            if core.isDelivered { stop() } else { beat?.set(after: .milliseconds(20)) }
        }
    }

    private func sealNext() {
        let wall = Machine.wallMicroseconds
        do {
            switch try source.next(height: height + 1, sealedAtMicroseconds: wall, into: &diff) {
            case .sealed: break
            case .waiting:
                diff.removeAll()
                (diff.firstHeight, diff.lastHeight) = (height + 1, height + 1)
                diff.sealedAtMicroseconds = wall
            case .ended:
                try core.finish(sealedAtMicroseconds: wall, now: Machine.now)
                isFinished = true
                ended = Machine.now
                shell.drain()
                commitment = core.stateCommitment()
                report("final")
                return
            }
            // Reading may have waited; the seal's time is now.
            diff.sealedAtMicroseconds = Machine.wallMicroseconds
            let payloadBefore = core.statistics.payloadBytes
            try core.seal(diff, now: Machine.now)
            if diff.kind == .bridge {
                bridges += 1
                bridgePayloadBytes += core.statistics.payloadBytes - payloadBefore
            }
        } catch let error as SourceError {
            failure = error
            return
        } catch {
            failure = SourceError("\(source.name): mini-block \(height + 1): \(error)")
            return
        }
        height += 1
        transactions += diff.transactions
        if diff.kind != .bridge { rawBytes += diff.rawBytes }
        due = due + interval(diff)
        // A process that was stopped for long goes on from now instead of rushing.
        if Machine.now - due > .seconds(5) { due = Machine.now }
    }

    private func interval(_ diff: StateDiff) -> Interval {
        let beat = Double(Limits.miniBlockInterval.nanoseconds)
        switch options.pace {
        case .speed(let factor): return .nanoseconds(Int64(min(max(beat / factor, 0), 6e10)))
        case .transactionsPerSecond(let tps):
            return .nanoseconds(Int64(min(max(Double(diff.transactions) / tps * 1e9, 0), 6e10)))
        case .asFastAsChildrenTake: return .zero
        }
    }

    private func stop() {
        core.close(now: Machine.now)
        shell.drain()
        shell.socket.flush()
        beat?.close()
        statusSocket?.close()
        statusTimer?.close()
        for signal in signals { signal.close() }
        windows?.close()
        shell.close()
        source.close()
        loop.stop()
    }

    private func report(_ event: String) {
        let statistics = core.statistics
        let counters = shell.socket.counters
        let seconds = began.map { ((ended ?? Machine.now) - $0).asSeconds } ?? 0
        var fields: [(String, JSON)] = [
            ("height", .unsigned(event == "final" ? statistics.appliedHeight : height)),
            ("miniBlocks", .unsigned(height)),
            ("bridgeMiniBlocks", .unsigned(bridges)),
            ("transactions", .unsigned(transactions)),
            ("streamSeconds", .number(seconds)),
            ("payloadBytes", .unsigned(statistics.payloadBytes - bridgePayloadBytes)),
            ("bridgePayloadBytes", .unsigned(bridgePayloadBytes)),
            ("rawBytes", .unsigned(rawBytes)),
            ("receivedBytes", .unsigned(wire(counters.bytesReceived, counters.datagramsReceived))),
            ("sentBytes", .unsigned(wire(counters.bytesSent, counters.datagramsSent))),
            ("children", .integer(Int64(core.peers.filter(\.isChild).count))),
        ]
        if event == "final" { fields.append(("stateCommitment", .string(commitment.hex))) }
        status.report(event, fields, plain: plain(event, statistics, seconds))
    }

    private func plain(_ event: String, _ statistics: CoreStatistics, _ seconds: Double) -> String? {
        let payload = statistics.payloadBytes - bridgePayloadBytes
        let perTx = transactions > 0 ? Double(payload) / Double(transactions) : 0
        let text =
            "height \(height), \(transactions) transactions in \(JSON.number(seconds, decimals: 1).text()) s, "
            + "\(JSON.number(perTx, decimals: 2).text()) payload bytes per transaction"
        return event == "final" ? "\(text); stream ended, state commitment \(commitment.hex)" : text
    }

    private func wire(_ bytes: UInt64, _ datagrams: UInt64) -> UInt64 {
        bytes &+ datagrams &* WireOverhead.bytesPerDatagram(shell.socket.localAddress)
    }
}

/// What IP and UDP add to a datagram on the wire.
enum WireOverhead {
    /// 20 (IPv4) or 40 (IPv6) and 8 (UDP).
    static func bytesPerDatagram(_ address: PeerAddress) -> UInt64 { address.ipv4 != nil ? 28 : 48 }
}

/// `millrace relay` and `millrace replica`: they follow parents; a relay serves children, a replica applies.
///
/// A replica ends by itself when the stream has ended and `exitAtEnd` is set, and at once, loudly, when the state does not
/// match what the sequencer signed. Both end at SIGTERM or SIGINT with a final report.

import Foundation
import Logging
import MillraceBase
public import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLoop

public struct FollowerOptions: Sendable {
    public enum Role: Sendable, Equatable {
        case relay
        /// The state before the stream comes from this recording; without one it is empty.
        case replica(genesis: String?)
    }

    public var role: Role
    public var exitAtEnd = false
    public init(role: Role) { self.role = role }
}

public final class FollowerProcess {
    private let options: FollowerOptions
    private let plan: NodePlan
    private let status: StatusLines
    private let loop: EventLoop
    private let core: any StreamCore
    private let replica: ReplicaCore?
    private var shell: NodeShell?
    private var statusTimer: LoopTimer?
    private var statusSocket: StatusSocket?
    private var signals: [SignalWatcher] = []

    /// Ready when so many parents have granted stripes: all that were configured, or one that was found.
    private let parentsAwaited: Int
    private var lags = LagSeries()
    private var lastLagMicroseconds: Int64?
    private var isReady = false
    private var isStopping = false
    /// The next status turn is the last.
    private var isEnding = false
    private var matched: (height: UInt64, commitment: Hash32)?
    /// Why a replica stopped by itself.
    public private(set) var stopped: String?
    public private(set) var verdict: LinkVerdict?

    public init(_ settings: Settings, _ options: FollowerOptions, _ status: StatusLines) throws {
        self.options = options
        self.status = status
        let plan = try NodePlan(settings, role: options.role == .relay ? "relay" : "replica")
        self.plan = plan
        // What is wrong with the settings is told before anything is opened.
        let sequencerKey = try plan.sequencerKey()
        let following = try plan.following()
        parentsAwaited = max(following.parents.count, 1)
        _ = try plan.membership(listeningAt: plan.listen, serves: options.role == .relay)
        let loop = try EventLoop()
        self.loop = loop
        do {
            // The socket first: with port 0 the node learns there where it listens, which its record says.
            let socket = try plan.socket(on: loop)
            do {
                (core, replica) = try FollowerProcess.makeCore(
                    options.role, plan, following, sequencerKey, listeningAt: socket.localAddress)
            } catch {
                socket.close()
                throw error
            }
            shell = try NodeShell(loop: loop, socket: socket, core: core) { [unowned self] in handle($0) }
        } catch {
            loop.close()
            throw error
        }
    }

    private static func makeCore(
        _ role: FollowerOptions.Role, _ plan: NodePlan, _ following: FollowingConfig,
        _ sequencerKey: VerifyingKey, listeningAt address: PeerAddress
    ) throws -> (any StreamCore, ReplicaCore?) {
        let seed = Machine.randomSeed()
        switch role {
        case .relay:
            var config = RelayConfig(
                stream: plan.stream, sequencerKey: sequencerKey, following: following)
            config.serving = try plan.serving()
            config.membership = try plan.membership(listeningAt: address, serves: true)
            return (RelayCore(config: config, seed: seed, now: Machine.now), nil)
        case .replica(let genesis):
            var config = ReplicaConfig(
                stream: plan.stream, sequencerKey: sequencerKey, following: following)
            config.membership = try plan.membership(listeningAt: address, serves: false)
            let state = State(seed: seed)
            if let genesis { try Genesis.load(path: genesis, into: state) }
            let replica = ReplicaCore(config: config, state: state, seed: seed, now: Machine.now)
            return (replica, replica)
        }
    }

    private var roleName: String { replica == nil ? "relay" : "replica" }

    /// Runs until told to end, or until a replica ends by itself (see `stopped`, `verdict`).
    public func run() throws {
        do {
            statusSocket = try plan.statusSocket(on: loop) { [unowned self] in
                PeerStatus.object(roleName, plan, shell?.socket.localAddress ?? plan.listen, core)
            }
        } catch {
            shell?.close()
            loop.close()
            throw error
        }
        statusTimer = try LoopTimer(on: loop) { [unowned self] in
            if isEnding { return stop() }
            checkReady()
            report("status")
            statusTimer?.set(after: isReady ? .milliseconds(500) : .milliseconds(20))
        }
        signals = try [.terminate, .interrupt].map { signal in
            try SignalWatcher(on: loop, signal) { [unowned self] in stop() }
        }
        guard let shell else { return }
        shell.start()
        let address = shell.socket.localAddress
        status.report(
            "listening", plan.listening(at: address),
            plain: "\(roleName) at \(PeerURI(key: plan.identity.session.publicKey, address: address))")
        statusTimer?.set(after: .milliseconds(20))
        loop.run()
        loop.close()
    }

    /// Ready: every parent it was given has granted it stripes; or one that it found, when it was given none.
    private func checkReady() {
        guard !isReady else { return }
        let granted = core.peers.filter { $0.isParent && $0.stripesFrom > 0 }.count
        guard granted >= parentsAwaited else { return }
        isReady = true
        status.report(
            "ready", [("parents", .integer(Int64(granted)))], plain: "ready: stripes from \(granted) parents")
    }

    private func handle(_ event: CoreEvent) {
        switch event {
        case .applied(let block):
            let now = Machine.wallMicroseconds
            let lag = Int64(clamping: now) - Int64(clamping: block.sealedAtMicroseconds)
            lastLagMicroseconds = lag
            // Finer ones only lead to the first window of the cadence it was told.
            if block.cadence >= replica?.toldCadence ?? .c0 {
                lags.append(sealedAtMicroseconds: block.sealedAtMicroseconds, lagMicroseconds: lag)
            }
        case .commitmentMatches(let height, let commitment): matched = (height, commitment)
        case .stopped(let reason):
            stopped = FollowerProcess.sentence(reason)
            plan.log.critical("\(stopped ?? "stopped")")
            if let proof = core.evidence { plan.log.critical("the proof: \(Hex.encode(proof))") }
            guard case .equivocation = reason else { return stop() }
            // Others are to be told: a relay goes on for that, a replica for the two times a telling is repeated.
            if replica != nil {
                isEnding = true
                statusTimer?.set(after: .milliseconds(1_500))
            }
        case .streamEnded(let height):
            plan.log.info("the stream ended at height \(height)")
            if options.exitAtEnd { stop() }
        case .offence(let address, let offence): plan.log.warning("\(address): \(offence)")
        case .banned(let address, _):
            plan.log.warning("\(address) is banned; millrace status --peers had its score")
        case .parentSilent(let address):
            plan.log.notice("parent \(address) is silent; its stripes move to others")
        case .parentRestored(let address): plan.log.notice("parent \(address) is back")
        case .refused(let address, let reason): plan.log.notice("\(address) refused the contract: \(reason)")
        case .cadence(let from, let to, let height):
            plan.log.notice("from height \(height) on: cadence \(to) instead of \(from)")
        case .peerUp(let address, _): plan.log.info("session with \(address)")
        case .peerDown(let address): plan.log.info("session with \(address) ended")
        case .anchorsChanged:
            guard let file = plan.anchorFile else { break }
            do throws(AnchorFile.Failure) {
                try file.save(core.anchors)
            } catch { plan.log.warning("\(error)") }
        }
    }

    static func sentence(_ reason: StopReason) -> String {
        switch reason {
        case .commitmentMismatch(let height, let signed, let computed):
            "STATE MISMATCH at height \(height): the sequencer signed \(signed.hex), this state is \(computed.hex); "
                + "nothing more is applied"
        case .undecodable(let height):
            "the signed payload of height \(height) does not decode against this state; nothing more is applied"
        case .beyondRetention(let height, let floor):
            "no parent holds height \(height) any more (the oldest held is \(floor)); a newer genesis or snapshot is needed"
        case .equivocation(let height):
            "the sequencer signed two histories at height \(height); nothing more is applied"
        }
    }

    private func stop() {
        if isStopping { return }
        isStopping = true
        report("final")
        core.close(now: Machine.now)
        shell?.drain()
        shell?.socket.flush()
        statusSocket?.close()
        statusTimer?.close()
        for signal in signals { signal.close() }
        shell?.close()
        loop.stop()
    }

    private func report(_ event: String) {
        guard let shell else { return }
        let statistics = core.statistics
        let counters = shell.socket.counters
        let overhead = WireOverhead.bytesPerDatagram(shell.socket.localAddress)
        let height = replica?.appliedHeight ?? statistics.completeThrough
        var fields: [(String, JSON)] = [
            ("height", .unsigned(height)),
            ("tip", .unsigned(statistics.tip)),
            ("receivedBytes", .unsigned(counters.bytesReceived &+ counters.datagramsReceived &* overhead)),
            ("sentBytes", .unsigned(counters.bytesSent &+ counters.datagramsSent &* overhead)),
            ("repairRequests", .unsigned(statistics.repairsAsked)),
            ("repairedShreds", .unsigned(statistics.repairsUseful)),
            ("recoveredSlices", .unsigned(statistics.slicesRecovered)),
            ("duplicateShreds", .unsigned(statistics.shredsDuplicate)),
            ("stripesMoved", .unsigned(statistics.stripesMoved)),
            ("offences", .unsigned(statistics.offences)),
            ("parents", .integer(Int64(core.peers.count { $0.isParent && $0.stripesFrom > 0 }))),
            ("parentsFound", .unsigned(statistics.parentsFound)),
            ("peersKnown", .unsigned(statistics.peersKnown)),
            ("peersReached", .unsigned(statistics.peersReached)),
        ]
        if let replica {
            fields.append(("lagMs", lastLagMicroseconds.map { .number(Double($0) / 1_000) } ?? .null))
            fields.append(("cadence", .string("\(statistics.cadence)")))
            if event == "final" { fields += finalFields(replica, statistics) }
        }
        if replica == nil {
            fields.append(("hops", .unsigned(statistics.hops)))
            if event == "final" { fields.append(("failure", stopped.map { .string($0) } ?? .null)) }
        }
        if event == "final" { fields.append(("ledger", FollowerProcess.ledger(statistics.received))) }
        status.report(event, fields, plain: plain(event, statistics, height))
    }

    private func finalFields(_ replica: ReplicaCore, _ statistics: CoreStatistics) -> [(String, JSON)] {
        let behind = statistics.tip > replica.appliedHeight ? statistics.tip - replica.appliedHeight : 0
        let told = replica.toldCadence
        let judgement = lags.judge(
            heightsBehind: behind,
            complete: replica.isFinished || behind < LagSeries.heightsBehindMax(told), cadence: told)
        let verdict = stopped == nil ? judgement.verdict : .fallsBehind
        self.verdict = verdict
        let percentiles = lags.percentiles(permille: [500, 990, 999])
        return [
            ("verdict", .string(verdict.rawValue)),
            ("finished", .bool(replica.isFinished)),
            ("stateCommitment", .string(replica.stateCommitment().hex)),
            ("commitmentsChecked", .unsigned(statistics.commitmentsChecked)),
            ("cadenceChanges", .unsigned(statistics.cadenceChanges)),
            ("windowsApplied", .unsigned(statistics.windowsApplied)),
            ("lagMsP50", .number(percentiles[0])),
            ("lagMsP99", .number(percentiles[1])),
            ("lagMsP999", .number(percentiles[2])),
            ("lagMsMax", .number(lags.maximum)),
            ("slopeMsPerSec", .number(judgement.slopeMsPerSec)),
            ("stalls", .integer(Int64(judgement.stalls))),
            ("longestStallMs", .number(judgement.longestStallMs)),
            ("failure", stopped.map { .string($0) } ?? .null),
        ]
    }

    static func ledger(_ ledger: ByteLedger) -> JSON {
        .object([
            ("payload", .unsigned(ledger.payload)), ("parity", .unsigned(ledger.parity)),
            ("header", .unsigned(ledger.header)), ("repair", .unsigned(ledger.repair)),
            ("control", .unsigned(ledger.control)), ("session", .unsigned(ledger.session)),
            ("duplicate", .unsigned(ledger.duplicate)), ("ignored", .unsigned(ledger.ignored)),
            ("total", .unsigned(ledger.total)),
        ])
    }

    private func plain(_ event: String, _ statistics: CoreStatistics, _ height: UInt64) -> String? {
        if event == "status", !isReady { return nil }
        var text = "height \(height) of \(statistics.tip)"
        if let lag = lastLagMicroseconds {
            text += ", lag \(JSON.number(Double(lag) / 1_000, decimals: 1).text()) ms"
        }
        text += ", \(statistics.repairsUseful) shreds repaired"
        if event == "final" {
            text += verdict.map { "; \($0.sentence)" } ?? ""
            text +=
                matched.map { "; state commitment \($0.commitment.hex) of height \($0.height) matched" } ?? ""
        }
        return text
    }
}

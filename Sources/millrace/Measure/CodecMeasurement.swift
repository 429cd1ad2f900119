/// Takes a stream through the codec at each cadence asked for, and its mini-blocks through zstd.

import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceWire

final class CodecMeasurement {
    private let stream: any DiffStream
    private let skip: UInt64
    /// Finest first.
    let runs: [CadenceRun]
    private let composers: [WindowComposer?]
    let peers: ZstdPeers?
    let source: SourceEntropy?
    /// Accounts before the stream.
    private(set) var accountsBefore = 0
    /// Transactions so far, bridges' apart.
    private var seen: UInt64 = 0
    /// Of these, before the figures.
    private(set) var skipped: UInt64 = 0
    private(set) var bridges = 0

    init(_ stream: any DiffStream, skip: UInt64, cadences: [Cadence], cold: ColdState, withPeers: Bool) {
        self.stream = stream
        self.skip = skip
        runs = cadences.enumerated().map { CadenceRun($1, cold: cold, isProfiled: $0 == 0) }
        composers = cadences.map { $0 == .c0 ? nil : WindowComposer($0) }
        peers = withPeers ? ZstdPeers(skip: skip) : nil
        source = withPeers ? SourceEntropy() : nil
    }

    /// Runs to the stream's end. Throws a `Failure` of kind `verification` for the first payload that does not come back.
    func run() throws {
        var diff = StateDiff()
        loop: while true {
            switch try stream.next(into: &diff) {
            case .end: break loop
            case .newUnit(let name): for run in runs { run.beginUnit(name) }
            case .diff where diff.kind == .genesis:
                for run in runs { try run.follow(genesis: diff) }
                try CadenceRun.apply(diff, to: stream.state)
                accountsBefore = stream.state.accountCount
            case .diff: try take(diff)
            }
        }
        for (run, composer) in zip(runs, composers) {
            if let window = try composed({ () throws(DiffError) in try composer?.finish() }) {
                try take(window, run)
            }
        }
    }

    private func take(_ diff: StateDiff) throws {
        let isBridge = diff.kind == .bridge
        let counts = !isBridge && seen >= skip
        if isBridge { bridges += 1 } else if !counts { skipped += diff.transactions }
        if let peers, !isBridge {
            peers.add(
                MergedForm.bytes(diff, state: stream.state), transactions: diff.transactions, before: seen,
                counts: counts, clock: { Double(CadenceRun.now()) * 1e-9 })
        }
        if counts { source?.add(diff, firstNew: stream.state.accountCount) }
        var isApplied = false
        for (run, composer) in zip(runs, composers) {
            guard let composer else {
                try run.roundTrip(diff, streamState: stream.state, counts: counts)
                isApplied = true
                continue
            }
            let before = seen
            if let window = try composed({ () throws(DiffError) in
                try composer.add(diff, transactionsBefore: before)
            }) {
                try take(window, run)
            }
        }
        if !isApplied { try CadenceRun.apply(diff, to: stream.state) }
        if !isBridge { seen += diff.transactions }
    }

    /// Windows that are whole, begin after what is skipped and hold no bridge are in the figures.
    private func take(_ window: ComposedWindow, _ run: CadenceRun) throws {
        try run.roundTrip(
            window.diff, streamState: stream.state,
            counts: window.isWhole && !window.hasBridge && window.transactionsBefore >= skip)
    }

    private func composed(_ body: () throws(DiffError) -> ComposedWindow?) throws -> ComposedWindow? {
        do {
            return try body()
        } catch {
            throw Failure(.verification, "the stream's diffs do not follow each other (\(error))")
        }
    }
}

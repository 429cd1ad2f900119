/// Runs a stream through encoder and decoder side by side, checks that every mini-block comes back as it was, and adds up
/// bytes and time; then the same mini-blocks through zstd.

import Glibc
import MillraceBase
import MillraceCodec
import MillraceDiff
import MillraceRecording

final class CodecMeasurement {
    /// Mini-blocks that the slow compressor sees before it is spared nine in ten.
    private static let peerMiniBlocksMax = 100

    struct Peer {
        let name: String
        let compressor: ZstdCompressor
        let isSlow: Bool
        var bytes = 0
        var transactions: UInt64 = 0
        var seconds = 0.0
    }

    private let stream: any DiffStream
    private let skip: UInt64
    private let followerState = State(seed: Seed(2))
    private let encoder = Codec()
    private let decoder = Codec()
    private var payload: [UInt8] = []
    private var decoded = StateDiff()

    private(set) var miniBlocks = 0
    private(set) var bridges = 0
    private(set) var transactions: UInt64 = 0
    private(set) var skipped: UInt64 = 0
    private(set) var payloadBytes = 0
    private(set) var rawBytes: UInt64 = 0
    private(set) var mergedBytes = 0
    private(set) var changes = 0
    private(set) var encodeSeconds = 0.0
    private(set) var decodeSeconds = 0.0
    private(set) var peers: [Peer] = []
    private(set) var largestRatioToMerged = 0.0
    private var counted = ColumnLedger()
    var ledger: ColumnLedger { counted }

    init(_ stream: any DiffStream, skip: UInt64, withPeers: Bool) {
        self.stream = stream
        self.skip = skip
        if withPeers {
            peers = [
                Peer(name: "zstd -3, merged diff", compressor: ZstdCompressor(level: 3), isSlow: false),
                Peer(name: "zstd -19, merged diff", compressor: ZstdCompressor(level: 19), isSlow: true),
            ]
        }
    }

    func run() throws {
        var diff = StateDiff()
        while try stream.next(into: &diff) {
            if diff.kind == .genesis {
                try apply(diff, to: stream.state)
                try apply(diff, to: followerState)
                continue
            }
            let counts = diff.kind == .transactions && skipped >= skip
            encoder.ledger = counts ? counted : nil
            if diff.kind == .transactions, !counts { skipped += diff.transactions }
            if counts { measurePeers(diff) }
            try roundTrip(diff, counts: counts)
            if counts, let ledger = encoder.ledger { counted = ledger }
        }
    }

    private func roundTrip(_ diff: StateDiff, counts: Bool) throws {
        let merged = counts ? MergedForm.publishedBytes(diff, state: stream.state) : 0
        payload.removeAll(keepingCapacity: true)
        let start = now()
        encoder.encode(diff, base: stream.state, into: &payload)
        let encoded = now()
        try apply(diff, to: stream.state)
        let applied = now()
        encoder.advance(past: diff, state: stream.state)
        let advanced = now()

        (decoded.firstHeight, decoded.lastHeight) = (diff.firstHeight, diff.lastHeight)
        decoded.sealedAtMicroseconds = diff.sealedAtMicroseconds
        let payload = payload
        let decodeStart = now()
        do {
            try decoder.decode(payload.span.bytes, base: followerState, into: &decoded)
        } catch {
            throw Failure(
                .verification, "mini-block \(diff.lastHeight): its payload does not decode (\(error))")
        }
        try apply(decoded, to: followerState)
        decoder.advance(past: decoded, state: followerState)
        let decodeEnd = now()
        guard same(decoded, diff) else {
            throw Failure(
                .verification, "mini-block \(diff.lastHeight): what was decoded is not what was encoded")
        }
        guard diff.kind == .transactions else {
            bridges += 1
            return
        }
        guard counts else { return }
        miniBlocks += 1
        transactions += diff.transactions
        rawBytes += diff.rawBytes
        mergedBytes += merged
        changes += diff.accountChanges.count + diff.slotChanges.count
        payloadBytes += payload.count
        if merged > 0 {
            largestRatioToMerged = max(largestRatioToMerged, Double(payload.count) / Double(merged))
        }
        encodeSeconds += seconds(start, encoded) + seconds(applied, advanced)
        decodeSeconds += seconds(decodeStart, decodeEnd)
    }

    private func measurePeers(_ diff: StateDiff) {
        if peers.isEmpty { return }
        let plain = MergedForm.bytes(diff, state: stream.state)
        var out: [UInt8] = []
        for i in peers.indices {
            if peers[i].isSlow, miniBlocks >= CodecMeasurement.peerMiniBlocksMax, miniBlocks % 10 != 0 {
                continue
            }
            out.removeAll(keepingCapacity: true)
            let start = now()
            peers[i].compressor.append(plain, to: &out)
            peers[i].seconds += seconds(start, now())
            peers[i].bytes += out.count
            peers[i].transactions += diff.transactions
        }
    }

    private func apply(_ diff: StateDiff, to state: State) throws {
        do {
            try state.apply(diff)
        } catch {
            throw Failure(
                .verification, "mini-block \(diff.lastHeight): the state refuses the diff (\(error))")
        }
    }

    /// Equal but for preimages, which level 1 leaves behind.
    private func same(_ a: StateDiff, _ b: StateDiff) -> Bool {
        guard a.newSlots.count == b.newSlots.count else { return false }
        for i in a.newSlots.indices where a.newSlots[i].key != b.newSlots[i].key { return false }
        return a.kind == b.kind && a.transactions == b.transactions && a.rawBytes == b.rawBytes
            && a.newCodes == b.newCodes && a.newAccounts == b.newAccounts && a.destroyed == b.destroyed
            && a.accountChanges == b.accountChanges && a.slotChanges == b.slotChanges
    }

    private func seconds(_ start: Int64, _ end: Int64) -> Double { Double(end - start) * 1e-9 }

    /// Processor time of this thread in nanoseconds: what a core spends, whatever else the machine does.
    private func now() -> Int64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}

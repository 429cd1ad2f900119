/// What zstd makes of the merged diffs, in the same run: each alone, or all as one stream with a window that remembers the
/// last 128 MiB, flushed at the end of each mini-block as a sender would have to.

import CZstd

final class ZstdPeer {
    let name: String
    let isStream: Bool
    /// Too slow to see everything.
    let isSlow: Bool
    private let context: OpaquePointer
    private var output: [UInt8] = []

    private(set) var bytes = 0
    private(set) var transactions: UInt64 = 0
    private(set) var seconds = 0.0

    /// Log of the window of a stream: 128 MiB, the most that receivers accept without being asked.
    static let windowLog: Int32 = 27

    init(level: Int32, isStream: Bool) {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("out of memory for a zstd context") }
        self.context = context
        self.isStream = isStream
        isSlow = level > 9
        name = "zstd -\(level), " + (isStream ? "one stream" : "merged diff")
        set(ZSTD_c_compressionLevel, level)
        if isStream {
            set(ZSTD_c_windowLog, ZstdPeer.windowLog)
            set(ZSTD_c_enableLongDistanceMatching, 1)
        }
    }

    deinit { ZSTD_freeCCtx(context) }

    private func set(_ parameter: ZSTD_cParameter, _ value: Int32) {
        precondition(
            ZSTD_isError(ZSTD_CCtx_setParameter(context, parameter, value)) == 0,
            "libzstd refuses a parameter it has had since version 1.4")
    }

    /// Compresses a mini-block's bytes; only those that `count` are in the figures.
    func add(_ input: [UInt8], transactions count: UInt64, counts: Bool, clock: () -> Double) {
        let bound = ZSTD_compressBound(input.count) + 64
        if output.count < bound { output = [UInt8](repeating: 0, count: bound) }
        let start = clock()
        let written = output.withUnsafeMutableBytes { out in
            input.withUnsafeBytes { source -> Int in
                if isStream {
                    var from = ZSTD_inBuffer(src: source.baseAddress, size: source.count, pos: 0)
                    var to = ZSTD_outBuffer(dst: out.baseAddress, size: out.count, pos: 0)
                    var left = 1
                    while left != 0 {
                        left = ZSTD_compressStream2(context, &to, &from, ZSTD_e_flush)
                        // Cannot fail with so much room, short of memory running out.
                        precondition(ZSTD_isError(left) == 0 && to.pos < to.size, "zstd compression failed")
                    }
                    return to.pos
                }
                let written = ZSTD_compress2(
                    context, out.baseAddress, out.count, source.baseAddress, source.count)
                precondition(ZSTD_isError(written) == 0, "zstd compression failed")
                return written
            }
        }
        guard counts else { return }
        seconds += clock() - start
        bytes += written
        transactions += count
    }
}

/// The peers of a run, and which mini-blocks each sees.
final class ZstdPeers {
    /// Counted mini-blocks that the slow ones see before they are spared nine in ten (each alone) or the rest (a stream).
    static let slowMiniBlocksMax = 100
    /// What a slow stream follows before the figures begin.
    static let slowLeadTransactions: UInt64 = 100_000

    let all: [ZstdPeer]
    private let skip: UInt64
    private var counted = 0
    /// Counts of byte values over what was counted.
    private var histogram = [UInt64](repeating: 0, count: 256)
    private var histogramTransactions: UInt64 = 0

    init(skip: UInt64) {
        self.skip = skip
        all = [false, true].flatMap { isStream in
            [3, 19].map { ZstdPeer(level: $0, isStream: isStream) }
        }
    }

    /// `before` transactions of the stream have been seen.
    func add(
        _ bytes: [UInt8], transactions: UInt64, before: UInt64, counts: Bool, clock: () -> Double
    ) {
        for peer in all {
            if peer.isStream {
                if peer.isSlow, before + ZstdPeers.slowLeadTransactions < skip { continue }
                if peer.isSlow, counted >= ZstdPeers.slowMiniBlocksMax { continue }
            } else {
                if !counts { continue }
                if peer.isSlow, counted >= ZstdPeers.slowMiniBlocksMax, counted % 10 != 0 { continue }
            }
            peer.add(bytes, transactions: transactions, counts: counts, clock: clock)
        }
        guard counts else { return }
        counted += 1
        bytes.withUnsafeBufferPointer { for byte in $0 { histogram[Int(byte)] += 1 } }
        histogramTransactions += transactions
    }

    /// Order-0 entropy of all counted bytes together, in bytes per transaction: what a perfect coder of single bytes, knowing
    /// their frequencies, would take.
    var orderZeroBytesPerTx: Double {
        guard histogramTransactions > 0 else { return 0 }
        return Entropy.bits(of: histogram) / 8 / Double(histogramTransactions)
    }
}

/// One block through libzstd, in memory, with the size known beforehand on both sides. Contexts are kept: a recording
/// has thousands of blocks.

import CZstd
import MillraceBase

public final class ZstdCompressor {
    private let context: OpaquePointer
    private let level: Int32

    public init(level: Int32 = 3) {
        guard let context = ZSTD_createCCtx() else { preconditionFailure("out of memory for a zstd context") }
        self.context = context
        self.level = level
    }

    deinit { ZSTD_freeCCtx(context) }

    /// Appends one zstd frame holding `input`.
    public func append(_ input: [UInt8], to output: inout [UInt8]) {
        let bound = ZSTD_compressBound(input.count)
        let start = output.count
        output.append(contentsOf: repeatElement(0, count: bound))
        let written = output.withUnsafeMutableBytes { out in
            input.withUnsafeBytes { source in
                ZSTD_compressCCtx(
                    context, out.baseAddress.map { $0 + start }, bound, source.baseAddress, source.count,
                    level)
            }
        }
        // Cannot fail with a bound-sized output, short of memory running out.
        precondition(ZSTD_isError(written) == 0, "zstd compression failed")
        output.removeSubrange((start + written)...)
    }
}

public final class ZstdDecompressor {
    private let context: OpaquePointer

    public init() {
        guard let context = ZSTD_createDCtx() else { preconditionFailure("out of memory for a zstd context") }
        self.context = context
    }

    deinit { ZSTD_freeDCtx(context) }

    /// Replaces `output` by exactly `count` decompressed bytes; false when `input` is not exactly that. The caller bounds
    /// `count`.
    public func decompress(_ input: RawSpan, count: Int, into output: inout [UInt8]) -> Bool {
        // Before allocating: a frame that says another size is wrong already.
        let claimed = input.withUnsafeBytes { ZSTD_getFrameContentSize($0.baseAddress, $0.count) }
        guard claimed == UInt64(count) else { return false }
        if output.count != count {
            output.removeAll(keepingCapacity: true)
            output.append(contentsOf: repeatElement(0, count: count))
        }
        let got = output.withUnsafeMutableBytes { out in
            input.withUnsafeBytes { source in
                ZSTD_decompressDCtx(context, out.baseAddress, out.count, source.baseAddress, source.count)
            }
        }
        return ZSTD_isError(got) == 0 && got == count
    }
}

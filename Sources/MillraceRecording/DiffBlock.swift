/// Several diffs compressed together: the body of a genesis or a diffs frame (Spec 70.4.2). In front of the zstd frame,
/// in clear: how many diffs, which heights, how many bytes when decompressed.

import MillraceBase
import MillraceDiff

/// The numbers in front.
struct DiffBlockHead: Equatable {
    var count = 0
    var firstHeight: UInt64 = 0
    var lastHeight: UInt64 = 0
    var rawByteCount = 0

    func append(to bytes: inout [UInt8]) {
        bytes.appendVarint(UInt64(count))
        bytes.appendVarint(firstHeight)
        bytes.appendVarint(lastHeight - firstHeight)
        bytes.appendVarint(UInt64(rawByteCount))
    }

    init() {}

    /// Reads the head and leaves the reader at the compressed bytes; nil when it is not one.
    @_lifetime(reader: copy reader)
    init?(_ reader: inout ByteReader) {
        do {
            count = try reader.varint(atMost: RecordingLimits.diffsPerBlockMax)
            firstHeight = try reader.varint()
            let (last, over) = firstHeight.addingReportingOverflow(try reader.varint())
            lastHeight = last
            rawByteCount = try reader.varint(atMost: RecordingLimits.blockBytesMax)
            guard !over, count > 0, rawByteCount > 0 else { return nil }
        } catch {
            return nil
        }
    }
}

/// Gathers diffs until a block is due.
struct DiffBlockBuilder {
    private(set) var head = DiffBlockHead()
    private(set) var raw: [UInt8] = []
    var isEmpty: Bool { head.count == 0 }

    /// The EVM block that a height belongs to; heights count from 1 (height 0, genesis, is its own).
    static func evmBlock(of height: UInt64) -> UInt64 {
        height == 0 ? 0 : (height - 1) / Limits.miniBlocksPerEVMBlock + 1
    }

    /// Whether the block must be closed before a diff that begins at `height`.
    func mustClose(before height: UInt64) -> Bool {
        guard !isEmpty else { return false }
        return head.count >= RecordingLimits.diffsPerBlockMax || raw.count >= RecordingLimits.blockBytesTarget
            || DiffBlockBuilder.evmBlock(of: height) != DiffBlockBuilder.evmBlock(of: head.firstHeight)
    }

    /// Adds a diff; false, and nothing added, when it would not fit. The caller closes the block first where `mustClose`.
    mutating func add(_ diff: StateDiff) -> Bool {
        let cells = max(
            diff.newAccounts.count, diff.newSlots.count, diff.accountChanges.count, diff.slotChanges.count,
            diff.newCodes.count, diff.destroyed.count, diff.newFacts.count)
        guard cells <= RecordingLimits.cellsPerDiffMax else { return false }
        let before = raw.count
        DiffSerialisation.append(diff, to: &raw)
        guard raw.count <= RecordingLimits.blockBytesMax else {
            raw.removeSubrange(before...)
            return false
        }
        if isEmpty { head.firstHeight = diff.firstHeight }
        head.lastHeight = diff.lastHeight
        head.count += 1
        return true
    }

    /// The frame's body; the builder is empty again.
    mutating func close(with compressor: ZstdCompressor) -> [UInt8] {
        head.rawByteCount = raw.count
        var body: [UInt8] = []
        head.append(to: &body)
        compressor.append(raw, to: &body)
        head = DiffBlockHead()
        raw.removeAll(keepingCapacity: true)
        return body
    }
}

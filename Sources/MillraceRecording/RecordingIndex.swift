/// The seek index: where each block of diffs lies and which heights it covers, and the totals. Written as the last frame
/// but one, and rebuilt by a scan where it is missing (Spec 70.4.5).

import MillraceBase

public struct RecordingIndex: Equatable, Sendable {
    public struct Entry: Equatable, Sendable {
        /// Of the frame's first byte, from the file's beginning.
        public var offset: UInt64
        public var firstHeight: UInt64
        public var lastHeight: UInt64
    }

    /// Ascending by offset and by height.
    public internal(set) var entries: [Entry] = []
    public internal(set) var totals = RecordingTotals()

    /// The last block that begins at or before `height`; nil when all begin later.
    public func entry(covering height: UInt64) -> Entry? {
        var low = 0
        var high = entries.count
        while low < high {
            let middle = (low + high) / 2
            if entries[middle].firstHeight <= height { low = middle + 1 } else { high = middle }
        }
        return low == 0 ? nil : entries[low - 1]
    }

    var body: [UInt8] {
        var bytes: [UInt8] = []
        for field in totals.fields { bytes.appendVarint(field) }
        bytes.appendVarint(UInt64(entries.count))
        var offset: UInt64 = 0
        var height: UInt64 = 0
        for entry in entries {
            bytes.appendVarint(entry.offset - offset)
            bytes.appendVarint(entry.firstHeight - height)
            bytes.appendVarint(entry.lastHeight - entry.firstHeight)
            (offset, height) = (entry.offset, entry.lastHeight)
        }
        return bytes
    }

    init() {}

    /// Reads the body; nil when it is not one.
    init?(body: [UInt8]) {
        var reader = ByteReader(body.span.bytes)
        do {
            var fields: [UInt64] = []
            for _ in 0..<RecordingTotals.fieldCount { fields.append(try reader.varint()) }
            totals = RecordingTotals(fields: fields)
            // Three varints an entry, a byte each at least.
            let count = try reader.varint(atMost: min(RecordingLimits.indexEntriesMax, reader.remaining / 3))
            entries.reserveCapacity(count)
            var offset: UInt64 = 0
            var height: UInt64 = 0
            for _ in 0..<count {
                let (at, over0) = offset.addingReportingOverflow(try reader.varint())
                let (first, over1) = height.addingReportingOverflow(try reader.varint())
                let (last, over2) = first.addingReportingOverflow(try reader.varint())
                guard !over0, !over1, !over2, at > offset, first > height else { return nil }
                entries.append(Entry(offset: at, firstHeight: first, lastHeight: last))
                (offset, height) = (at, last)
            }
            guard reader.isAtEnd else { return nil }
        } catch {
            return nil
        }
    }
}

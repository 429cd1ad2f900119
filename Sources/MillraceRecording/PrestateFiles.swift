/// Files of `prestateTracer` results, plain or compressed, through the importer: blocks in the order given, one file's
/// blocks ending with the file.

public import MillraceDiff
public import MillraceWorkload

public enum PrestateFiles {
    /// `emit` gets each mini-block after it has been applied to the importer's state.
    public static func feed(
        _ paths: [String], to importer: PrestateImporter, emit: (StateDiff) throws(RecordingError) -> Void
    ) throws(RecordingError) {
        for path in paths {
            try forEachBlock(of: path) { block throws(RecordingError) in
                try importer.add(block: block, emit: emit)
            }
        }
    }

    /// The blocks of one file, all of them in memory. Throws when there is none.
    public static func blocks(of path: String) throws(RecordingError) -> [[PrestateTransaction]] {
        var blocks: [[PrestateTransaction]] = []
        try forEachBlock(of: path) { block throws(RecordingError) in blocks.append(block) }
        return blocks
    }

    /// Reads a file in chunks and hands out each block once it is whole.
    private static func forEachBlock(
        of path: String, _ body: ([PrestateTransaction]) throws(RecordingError) -> Void
    ) throws(RecordingError) {
        let file = try InputFile(path: path)
        var feed = PrestateFeed()
        var blocks = PrestateBlocks()
        var chunk: [UInt8] = []
        var transactions: [PrestateTransaction] = []
        var isEmpty = true
        var isMore = true
        while isMore {
            chunk.removeAll(keepingCapacity: true)
            isMore = try file.read(appendingTo: &chunk)
            feed.append(chunk)
            transactions.removeAll(keepingCapacity: true)
            var whole: [[PrestateTransaction]] = []
            do throws(JSONError) {
                while try feed.next(into: &transactions) {}
                if !isMore { try feed.finish() }
                whole = try blocks.add(transactions)
            } catch {
                throw RecordingError(.invalid, "\(file.path): \(error)")
            }
            for block in whole {
                isEmpty = false
                try body(block)
            }
        }
        let last = blocks.finish()
        if !last.isEmpty {
            isEmpty = false
            try body(last)
        }
        guard !isEmpty else {
            throw RecordingError(
                .invalid,
                "\(file.path): no transactions in it: expected prestateTracer results, one JSON object a line"
            )
        }
    }
}

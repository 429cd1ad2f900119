/// Bytes in any portions, values out as soon as they are whole: lines of a live feed, a file read in chunks, a pretty-printed
/// answer over many lines. A value ends with its closing brace; a line break is not needed and not in the way.
///
///     feed.append(chunk)
///     while try feed.next(into: &transactions) { … }      // one value each
///     try feed.finish()                                    // nothing may be left
///
/// Memory: what has not been given out, and at most `valueBytesMax` of it in one value. After an error the feed is of no
/// more use: where the next value would begin is not known.

import MillraceBase

public struct PrestateFeed {
    /// One value: a whole block's trace on one line is tens of megabytes.
    public static let valueBytesMaxDefault = 256 * 1_048_576

    private let valueBytesMax: Int
    private var buffer: [UInt8] = []
    /// Where the value at hand begins, and how far it has been looked at.
    private var start = 0
    private var scanned = 0
    private var depth = 0
    private var isInString = false
    private var isEscaped = false
    /// The line at `start`, and at `scanned`.
    private var startLine = 1
    private var line = 1
    private var document = 0

    public init(valueBytesMax: Int = PrestateFeed.valueBytesMaxDefault) { self.valueBytesMax = valueBytesMax }

    /// Bytes held: what has been appended and not given out.
    public var pendingBytes: Int { buffer.count - start }
    /// Lines begun so far.
    public var currentLine: Int { line }

    public mutating func append(_ bytes: some Swift.Collection<UInt8>) {
        if start > 0, start * 2 >= buffer.count {
            buffer.removeSubrange(..<start)
            scanned -= start
            start = 0
        }
        buffer.append(contentsOf: bytes)
    }

    /// Appends the transactions of the next whole value; false when there is none yet.
    public mutating func next(into transactions: inout [PrestateTransaction]) throws(JSONError) -> Bool {
        guard let end = scan() else {
            if pendingBytes > valueBytesMax {
                // Most likely broken earlier on: the parser knows where.
                try parse(upTo: buffer.count, into: &transactions)
                throw JSONError(
                    line: startLine, column: 1, message: "a value of more than \(valueBytesMax) bytes")
            }
            return false
        }
        try parse(upTo: end, into: &transactions)
        start = end
        startLine = line
        return true
    }

    /// Call when no more bytes will come.
    public mutating func finish() throws(JSONError) {
        var left: [PrestateTransaction] = []
        if scan() != nil || start < buffer.count {
            // A value cut short: the parser says where.
            try parse(upTo: buffer.count, into: &left)
            throw JSONError(line: startLine, column: 1, message: "the input ends inside a value")
        }
    }

    private mutating func parse(upTo end: Int, into transactions: inout [PrestateTransaction])
        throws(JSONError)
    {
        let first = transactions.count
        do throws(JSONError) {
            try PrestateParser.parse(
                buffer.span.bytes.extracting(start..<end), firstLine: startLine, document: document,
                into: &transactions)
        } catch {
            transactions.removeSubrange(first...)
            throw error
        }
        document += 1
    }

    /// Looks for the end of the value at hand; nil when it is not there yet. White space before a value is dropped.
    private mutating func scan() -> Int? {
        buffer.withUnsafeBufferPointer { bytes in
            while scanned < bytes.count {
                let c = bytes[scanned]
                scanned += 1
                if c == 0x0A {
                    line += 1
                    // No string has a line break in it: let the parser say so.
                    if isInString { return end() }
                }
                if isInString {
                    if isEscaped {
                        isEscaped = false
                    } else if c == UInt8(ascii: "\\") {
                        isEscaped = true
                    } else if c == UInt8(ascii: "\"") {
                        isInString = false
                    }
                    continue
                }
                switch c {
                case UInt8(ascii: "\""): isInString = true
                case UInt8(ascii: "{"), UInt8(ascii: "["): depth += 1
                case UInt8(ascii: "}"), UInt8(ascii: "]"):
                    depth -= 1
                    if depth <= 0 { return end() }
                case 0x20, 0x09, 0x0D, 0x0A:
                    if depth == 0, start == scanned - 1 {
                        start = scanned
                        startLine = line
                    } else if depth == 0, c == 0x0A {
                        // A line that is neither object nor array: the parser will refuse it.
                        return end()
                    }
                default: break
                }
            }
            return nil
        }
    }

    private mutating func end() -> Int {
        (depth, isInString, isEscaped) = (0, false, false)
        return scanned
    }
}

/// What has to be looked at before a TOML file is given to the parser: the two shapes of text on which the library (toml++ 3.4,
/// in TOMLKit) does not answer with an error but stops the process by an assertion. Everything else is the parser's.
///
/// - A table header that does not begin with a key: `[+a]`.
/// - A closing brace where an array's element should be: `a = [1, }`.
///
/// Only strings, comments and brackets are understood here. Linear in the length of the text.
public enum TOMLGuard {
    /// The line, from 1, and what is wrong with it; nil when the text may be parsed.
    public static func refusal(_ text: String) -> (line: Int, sentence: String)? {
        let bytes = Array(text.utf8)
        var line = 1
        var i = 0
        var depth = 0
        /// Nothing but blanks so far on this line.
        var isLineStart = true
        /// The last byte that is neither blank nor comment.
        var last: UInt8 = 0
        while i < bytes.count {
            let byte = bytes[i]
            switch byte {
            case UInt8(ascii: "\n"):
                line += 1
                isLineStart = true
                i += 1
                continue
            case UInt8(ascii: " "), UInt8(ascii: "\t"), UInt8(ascii: "\r"):
                i += 1
                continue
            case UInt8(ascii: "#"):
                while i < bytes.count, bytes[i] != UInt8(ascii: "\n") { i += 1 }
                continue
            case UInt8(ascii: "\""), UInt8(ascii: "'"):
                i = endOfString(bytes, i, &line)
                last = byte
                isLineStart = false
                continue
            case UInt8(ascii: "["):
                if depth == 0, isLineStart, last != UInt8(ascii: "="), !beginsWithKey(bytes, i) {
                    return (line, "a table's header begins with a key, as in [nodes]")
                }
                // A header closes on its line; in an array the line does not matter.
                depth += 1
            case UInt8(ascii: "]"):
                depth = max(0, depth - 1)
            case UInt8(ascii: "{"):
                depth += 1
            case UInt8(ascii: "}"):
                if last == UInt8(ascii: "[") || last == UInt8(ascii: ",") {
                    return (line, "\"}\" where a value or \"]\" was expected")
                }
                depth = max(0, depth - 1)
            default:
                break
            }
            last = byte
            isLineStart = false
            i += 1
        }
        return nil
    }

    /// Whether a header that opens at `start` has a key: behind one or two brackets and blanks. An empty one is the parser's.
    private static func beginsWithKey(_ bytes: [UInt8], _ start: Int) -> Bool {
        var i = start + 1
        func skipBlanks() { while i < bytes.count, bytes[i] == 0x20 || bytes[i] == 0x09 { i += 1 } }
        skipBlanks()
        if i < bytes.count, bytes[i] == UInt8(ascii: "[") {
            i += 1
            skipBlanks()
        }
        guard i < bytes.count else { return true }
        switch bytes[i] {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"), UInt8(ascii: "\""),
            UInt8(ascii: "'"), UInt8(ascii: "]"):
            return true
        default:
            return false
        }
    }

    /// The place behind the string that opens at `start`; a line's end closes what only a line's end can.
    private static func endOfString(_ bytes: [UInt8], _ start: Int, _ line: inout Int) -> Int {
        let quote = bytes[start]
        let isLong = start + 2 < bytes.count && bytes[start + 1] == quote && bytes[start + 2] == quote
        var i = start + (isLong ? 3 : 1)
        while i < bytes.count {
            if bytes[i] == UInt8(ascii: "\n") {
                if !isLong { return i }
                line += 1
            }
            if bytes[i] == UInt8(ascii: "\\"), quote == UInt8(ascii: "\"") {
                // An escaped line's end is a line's end all the same.
                if i + 1 < bytes.count, bytes[i + 1] != UInt8(ascii: "\n") { i += 1 }
            } else if bytes[i] == quote {
                if !isLong { return i + 1 }
                if i + 2 < bytes.count, bytes[i + 1] == quote, bytes[i + 2] == quote { return i + 3 }
            }
            i += 1
        }
        return i
    }
}

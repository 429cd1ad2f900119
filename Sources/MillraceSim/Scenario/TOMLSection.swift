/// One table of a TOML file, read key by key: every value is asked for with its type and range, and a key that nobody asks
/// for is an error with a suggestion. Errors are one sentence that names the file and the line.

import MillraceBase
import TOMLKit

/// What is wrong with a scenario: file, line, what was found, what was expected.
public struct ScenarioError: Error, Equatable, Sendable, CustomStringConvertible {
    public let description: String
    public init(_ description: String) { self.description = description }
}

/// The text beside the parsed tables, which know no lines: a key's line is looked up when an error is told.
final class TOMLSource {
    let file: String
    private let lines: [Substring]

    init(file: String, text: String) {
        self.file = file
        lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    }

    /// Where the last name of `path` is written, below the names before it; the nearest that is found otherwise.
    func error(_ path: [String], _ sentence: String) -> ScenarioError {
        var line = 0
        for name in path {
            // A number stands for an element of an array of tables.
            if let index = Int(name) {
                var left = index
                while line < lines.count {
                    if lines[line].drop(while: \.isWhitespace).hasPrefix("[[") {
                        if left == 0 { break }
                        left -= 1
                    }
                    line += 1
                }
                continue
            }
            if let found = lines[min(line, lines.count)...].firstIndex(where: { TOMLSource.names($0, name) })
            {
                line = found
            }
        }
        return ScenarioError("\(file):\(min(line, max(lines.count - 1, 0)) + 1): \(sentence)")
    }

    /// Whether a line names a key or a table's last part.
    private static func names(_ line: Substring, _ name: String) -> Bool {
        let code = line.prefix { $0 != "#" }
        var rest = code[...]
        while let found = rest.range(of: name) {
            let before =
                found.lowerBound == code.startIndex ? " " : code[code.index(before: found.lowerBound)]
            let after = rest[found.upperBound...].drop { $0 == "\"" || $0 == " " }.first
            if " \t.[{,\"".contains(before), after == "=" || after == "]" || after == "." { return true }
            rest = rest[found.upperBound...]
        }
        return false
    }
}

extension Substring {
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}

struct TOMLSection {
    let source: TOMLSource
    let table: TOMLTable
    let path: [String]

    init(_ source: TOMLSource, _ table: TOMLTable, path: [String] = []) {
        self.source = source
        self.table = table
        self.path = path
    }

    var keys: [String] { table.keys.sorted() }
    func has(_ key: String) -> Bool { table.contains(key: key) }

    func wrong(_ key: String?, _ sentence: String) -> ScenarioError {
        source.error(path + (key.map { [$0] } ?? []), sentence)
    }

    func only(_ known: [String]) throws(ScenarioError) {
        for key in keys where !known.contains(key) {
            throw wrong(
                key,
                "unknown key \"\(key)\""
                    + (path.last.map { Int($0) == nil ? " of \"\($0)\"" : "" } ?? "")
                    + (Suggestion.nearest(to: key, among: known).map { "; did you mean \"\($0)\"?" }
                        ?? "; known are " + known.joined(separator: ", ")))
        }
    }

    func string(_ key: String) throws(ScenarioError) -> String? {
        guard has(key) else { return nil }
        guard let text = table[key]?.string else { throw wrong(key, "\"\(key)\" must be a string") }
        guard text.utf8.count <= 4_096 else { throw wrong(key, "\"\(key)\" is longer than 4,096 bytes") }
        return text
    }

    /// A string, or a list of strings.
    func strings(_ key: String) throws(ScenarioError) -> [String]? {
        guard has(key) else { return nil }
        if let one = table[key]?.string { return [one] }
        guard let array = table[key]?.array, array.count <= 1_000 else {
            throw wrong(key, "\"\(key)\" must be a string or a list of at most 1,000 strings")
        }
        let all = array.compactMap { $0.string }
        guard all.count == array.count, !all.isEmpty else {
            throw wrong(key, "\"\(key)\" must be a string or a list of strings")
        }
        return all
    }

    func integer(_ key: String, _ range: ClosedRange<Int>) throws(ScenarioError) -> Int? {
        guard has(key) else { return nil }
        guard let value = table[key]?.int, range.contains(value) else {
            throw wrong(
                key, "\"\(key)\" must be a whole number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    func flag(_ key: String) throws(ScenarioError) -> Bool? {
        guard has(key) else { return nil }
        guard let value = table[key]?.bool else { throw wrong(key, "\"\(key)\" must be true or false") }
        return value
    }

    func number(_ key: String, _ range: ClosedRange<Double>) throws(ScenarioError) -> Double? {
        guard has(key) else { return nil }
        let value = table[key]?.double ?? table[key]?.int.map { Double($0) }
        guard let value, range.contains(value) else {
            throw wrong(key, "\"\(key)\" must be a number from \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// `"5s"`, `"300ms"`, `"2m"`.
    func duration(_ key: String) throws(ScenarioError) -> Interval? {
        guard let text = try string(key) else { return nil }
        let units: [(String, Int64)] = [("ms", 1), ("s", 1_000), ("m", 60_000)]
        for (unit, milliseconds) in units where text.hasSuffix(unit) {
            let digits = text.dropLast(unit.count)
            let parts = digits.split(separator: ".", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 >= 48 && $0 <= 57 } }),
                parts[0].utf8.count <= 9, let whole = Int64(parts[0])
            else { continue }
            var value = whole * milliseconds
            if parts.count == 2 {
                let tenths = parts[1].prefix(3)
                guard let fraction = Int64(tenths + String(repeating: "0", count: 3 - tenths.count)) else {
                    break
                }
                value += fraction * milliseconds / 1_000
            }
            guard value <= 86_400_000 else { break }
            return .milliseconds(value)
        }
        throw wrong(key, "\"\(key)\" is \"\(text)\", expected a time such as 5s, 300ms or 2m, at most a day")
    }

    func section(_ key: String) throws(ScenarioError) -> TOMLSection? {
        guard has(key) else { return nil }
        guard let inner = table[key]?.table else { throw wrong(key, "\"\(key)\" must be a table") }
        return TOMLSection(source, inner, path: path + [key])
    }

    /// The tables of `[[key]]`.
    func sections(_ key: String, max: Int) throws(ScenarioError) -> [TOMLSection] {
        guard has(key) else { return [] }
        guard let array = table[key]?.array, array.count <= max else {
            throw wrong(key, "\"\(key)\" must be at most \(max) tables: [[\(key)]]")
        }
        var all: [TOMLSection] = []
        for i in 0..<array.count {
            guard let inner = array[i].table else {
                throw wrong(key, "\"\(key)\" must be tables: [[\(key)]]")
            }
            all.append(TOMLSection(source, inner, path: path + [String(i)]))
        }
        return all
    }
}

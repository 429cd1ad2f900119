/// Reading JSON from outside: one value at a time, in place, strictly as RFC 8259 has it. Unlike most readers it refuses
/// duplicate keys, and every error has a line and a column.
///
/// The caller walks the value it expects:
///
///     try reader.beginObject()
///     while try reader.nextKey() {
///         if reader.keyIs("nonce") { nonce = try reader.number() … } else { try reader.skipValue() }
///     }
///     try reader.end()
///
/// Total: any bytes give values or one `JSONError`. Depth is bounded by `depthMax`; memory beside the input is the keys of
/// the objects that are open. No tree is built: a block's trace is tens of megabytes, of which a reader wants numbers.

import MillraceBase

/// Where and why a text is not the JSON that was expected. Lines and columns count from 1; columns count bytes.
public struct JSONError: Error, Equatable, Sendable, CustomStringConvertible {
    public var line: Int
    public var column: Int
    public var message: String

    public init(line: Int, column: Int, message: String) {
        self.line = line
        self.column = column
        self.message = message
    }

    public var description: String { "line \(line), column \(column): \(message)" }
}

public enum JSONKind: Sendable {
    case object, array, string, number, bool, null

    /// With its article, for sentences.
    public var name: String {
        switch self {
        case .object: "an object"
        case .array: "an array"
        case .string: "a string"
        case .number: "a number"
        case .bool: "true or false"
        case .null: "null"
        }
    }
}

/// A string or number in the input, not decoded.
public struct JSONToken: Equatable, Sendable, BitwiseCopyable {
    /// Offsets of the content, without quotes.
    public var start: Int
    public var end: Int
    /// A string with backslashes in it; a number with a fraction or an exponent.
    public var isPlain: Bool
}

public struct JSONReader: ~Escapable {
    public static let depthMax = 64

    private struct Container {
        var isObject: Bool
        var isFirst = true
        /// Of the object's first key in `keys`.
        var firstKey: Int
    }

    private struct Key {
        var start: Int
        var end: Int
        /// In the input, for messages.
        var offset: Int
    }

    let bytes: RawSpan
    /// The line that the first byte is on, when the input is a part of something longer.
    let firstLine: Int
    public private(set) var offset = 0
    private var containers: [Container] = []
    /// Decoded keys of the open objects, one after another.
    private var keyBytes: [UInt8] = []
    private var keys: [Key] = []

    @_lifetime(copy bytes)
    public init(_ bytes: RawSpan, firstLine: Int = 1) {
        self.bytes = bytes
        self.firstLine = firstLine
    }

    // MARK: Places

    @inline(__always) private func byte(_ at: Int) -> UInt8 {
        unsafe bytes.unsafeLoadUnaligned(fromByteOffset: at, as: UInt8.self)
    }

    /// An error at an offset of the input.
    public func error(at offset: Int, _ message: String) -> JSONError {
        var line = firstLine
        var lineStart = 0
        for i in 0..<min(offset, bytes.byteCount) where byte(i) == 0x0A {
            line += 1
            lineStart = i + 1
        }
        return JSONError(line: line, column: offset - lineStart + 1, message: message)
    }

    private func here(_ message: String) -> JSONError { error(at: offset, message) }

    private func found() -> String {
        guard offset < bytes.byteCount else { return "the end of the input" }
        let c = byte(offset)
        return c > 0x20 && c < 0x7F ? "'\(Character(UnicodeScalar(c)))'" : "byte 0x\(Hex.encode([c]))"
    }

    // MARK: Walking

    @_lifetime(self: copy self)
    private mutating func skipSpace() {
        while offset < bytes.byteCount {
            switch byte(offset) {
            case 0x20, 0x09, 0x0A, 0x0D: offset += 1
            default: return
            }
        }
    }

    /// The kind of the value that comes next.
    @_lifetime(self: copy self)
    public mutating func kind() throws(JSONError) -> JSONKind {
        skipSpace()
        guard offset < bytes.byteCount else { throw here("expected a value, found the end of the input") }
        switch byte(offset) {
        case UInt8(ascii: "{"): return .object
        case UInt8(ascii: "["): return .array
        case UInt8(ascii: "\""): return .string
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return .number
        case UInt8(ascii: "t"), UInt8(ascii: "f"): return .bool
        case UInt8(ascii: "n"): return .null
        default: throw here("expected a value, found \(found())")
        }
    }

    @_lifetime(self: copy self)
    private mutating func expect(_ wanted: JSONKind) throws(JSONError) {
        let kind = try kind()
        guard kind == wanted else { throw here("expected \(wanted.name), found \(kind.name)") }
    }

    @_lifetime(self: copy self)
    private mutating func open(_ kind: JSONKind) throws(JSONError) {
        try expect(kind)
        guard containers.count < JSONReader.depthMax else {
            throw here("nested deeper than \(JSONReader.depthMax) levels")
        }
        offset += 1
        containers.append(Container(isObject: kind == .object, firstKey: keys.count))
    }

    @_lifetime(self: copy self)
    public mutating func beginObject() throws(JSONError) { try open(.object) }
    @_lifetime(self: copy self)
    public mutating func beginArray() throws(JSONError) { try open(.array) }

    /// Goes to the next key of the open object; false at the object's end. `key…` tell about the key.
    @_lifetime(self: copy self)
    public mutating func nextKey() throws(JSONError) -> Bool {
        guard try nextMember(closing: UInt8(ascii: "}"), isObject: true) else { return false }
        skipSpace()
        let at = offset
        let token = try string()
        let start = keyBytes.count
        if token.isPlain {
            keyBytes.append(bytes.extracting(token.start..<token.end))
        } else {
            keyBytes.append(contentsOf: decoded(token))
        }
        keys.append(Key(start: start, end: keyBytes.count, offset: at))
        skipSpace()
        guard offset < bytes.byteCount, byte(offset) == UInt8(ascii: ":") else {
            throw here("expected ':' after a key, found \(found())")
        }
        offset += 1
        return true
    }

    /// Goes to the next element of the open array; false at the array's end.
    @_lifetime(self: copy self)
    public mutating func nextElement() throws(JSONError) -> Bool {
        try nextMember(closing: UInt8(ascii: "]"), isObject: false)
    }

    @_lifetime(self: copy self)
    private mutating func nextMember(closing: UInt8, isObject: Bool) throws(JSONError) -> Bool {
        guard let container = containers.last, container.isObject == isObject else {
            preconditionFailure("nextKey and nextElement belong between begin and end")
        }
        skipSpace()
        guard offset < bytes.byteCount else {
            throw here("the input ends inside \(isObject ? "an object" : "an array")")
        }
        if byte(offset) == closing {
            offset += 1
            try close(container)
            return false
        }
        if container.isFirst {
            containers[containers.count - 1].isFirst = false
            if isObject, byte(offset) != UInt8(ascii: "\"") {
                throw here("expected a key in quotes or '}', found \(found())")
            }
            return true
        }
        guard byte(offset) == UInt8(ascii: ",") else {
            throw here("expected ',' or '\(Character(UnicodeScalar(closing)))', found \(found())")
        }
        offset += 1
        return true
    }

    @_lifetime(self: copy self)
    private mutating func close(_ container: Container) throws(JSONError) {
        containers.removeLast()
        guard container.isObject else { return }
        if let twice = duplicate(from: container.firstKey) {
            throw error(at: keys[twice].offset, "the key \"\(text(of: keys[twice]))\" is there twice")
        }
        if container.firstKey < keys.count {
            keyBytes.removeSubrange(keys[container.firstKey].start...)
            keys.removeSubrange(container.firstKey...)
        }
    }

    /// The later one of two equal keys: compared pairwise where few, sorted where many.
    private func duplicate(from first: Int) -> Int? {
        let count = keys.count - first
        if count < 2 { return nil }
        func equal(_ a: Key, _ b: Key) -> Bool {
            keyBytes[a.start..<a.end].elementsEqual(keyBytes[b.start..<b.end])
        }
        if count <= 8 {
            for later in (first + 1)..<keys.count {
                for earlier in first..<later where equal(keys[earlier], keys[later]) { return later }
            }
            return nil
        }
        let sorted = (first..<keys.count).sorted { a, b in
            let (x, y) = (keyBytes[keys[a].start..<keys[a].end], keyBytes[keys[b].start..<keys[b].end])
            if x.lexicographicallyPrecedes(y) { return true }
            return !y.lexicographicallyPrecedes(x) && a < b
        }
        for i in 1..<sorted.count where equal(keys[sorted[i - 1]], keys[sorted[i]]) { return sorted[i] }
        return nil
    }

    // MARK: The key at hand

    private func text(of key: Key) -> String {
        String(decoding: keyBytes[key.start..<key.end], as: UTF8.self)
    }

    public var keyText: String { keys.last.map { text(of: $0) } ?? "" }
    /// In the input, for messages.
    public var keyOffset: Int { keys.last?.offset ?? offset }

    public func keyIs(_ name: StaticString) -> Bool {
        guard let key = keys.last else { return false }
        return name.withUTF8Buffer { keyBytes[key.start..<key.end].elementsEqual($0) }
    }

    public func withKeyBytes<R>(_ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        keyBytes.withUnsafeBufferPointer { all in
            guard let key = keys.last else { return body(UnsafeBufferPointer(rebasing: all[0..<0])) }
            return body(UnsafeBufferPointer(rebasing: all[key.start..<key.end]))
        }
    }

    // MARK: Scalars

    /// A string's place; its escapes and UTF-8 are checked.
    @_lifetime(self: copy self)
    public mutating func string() throws(JSONError) -> JSONToken {
        try expect(.string)
        let start = offset + 1
        var at = start
        var isPlain = true
        var isASCII = true
        while at < bytes.byteCount {
            let c = byte(at)
            if c == UInt8(ascii: "\"") {
                if !isASCII, let bad = UTF8Check.firstInvalid(bytes.extracting(start..<at)) {
                    throw error(at: start + bad, "not UTF-8")
                }
                offset = at + 1
                return JSONToken(start: start, end: at, isPlain: isPlain)
            }
            if c == UInt8(ascii: "\\") {
                isPlain = false
                at = try escape(at)
                continue
            }
            if c < 0x20 { throw error(at: at, "a control character or line break inside a string") }
            if c >= 0x80 { isASCII = false }
            at += 1
        }
        throw error(at: start - 1, "a string without its closing quote")
    }

    /// Checks the escape at `at`; answers what comes behind it.
    private func escape(_ at: Int) throws(JSONError) -> Int {
        guard at + 1 < bytes.byteCount else { throw error(at: at, "a backslash at the end of the input") }
        switch byte(at + 1) {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"), UInt8(ascii: "b"), UInt8(ascii: "f"),
            UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"):
            return at + 2
        case UInt8(ascii: "u"):
            guard let unit = unit(at + 2) else { throw error(at: at, "\\u needs four hexadecimal digits") }
            switch unit {
            case 0xD800...0xDBFF:
                guard at + 7 < bytes.byteCount, byte(at + 6) == UInt8(ascii: "\\"),
                    byte(at + 7) == UInt8(ascii: "u"),
                    let low = self.unit(at + 8), (0xDC00...0xDFFF).contains(low)
                else { throw error(at: at, "half of a surrogate pair") }
                return at + 12
            case 0xDC00...0xDFFF: throw error(at: at, "half of a surrogate pair")
            default: return at + 6
            }
        default: throw error(at: at, "an escape that JSON does not have")
        }
    }

    private func unit(_ at: Int) -> UInt32? {
        guard at + 4 <= bytes.byteCount else { return nil }
        var value: UInt32 = 0
        for i in at..<(at + 4) {
            guard let digit = Hex.value(of: byte(i)) else { return nil }
            value = value << 4 | UInt32(digit)
        }
        return value
    }

    private func decoded(_ token: JSONToken) -> [UInt8] {
        var out: [UInt8] = []
        var at = token.start
        while at < token.end {
            let c = byte(at)
            guard c == UInt8(ascii: "\\"), at + 1 < token.end else {
                out.append(c)
                at += 1
                continue
            }
            switch byte(at + 1) {
            case UInt8(ascii: "b"): out.append(0x08)
            case UInt8(ascii: "f"): out.append(0x0C)
            case UInt8(ascii: "n"): out.append(0x0A)
            case UInt8(ascii: "r"): out.append(0x0D)
            case UInt8(ascii: "t"): out.append(0x09)
            case UInt8(ascii: "u"):
                var scalar = unit(at + 2) ?? 0xFFFD
                if scalar & 0xFC00 == 0xD800, let low = unit(at + 8) {
                    scalar = 0x1_0000 + (scalar & 0x3FF) << 10 + (low & 0x3FF)
                    at += 6
                }
                out.append(contentsOf: Array(String(UnicodeScalar(scalar) ?? "\u{FFFD}").utf8))
                at += 4
            case let other: out.append(other)
            }
            at += 2
        }
        return out
    }

    /// A string's text, escapes resolved.
    public func text(_ token: JSONToken) -> String {
        String(decoding: decoded(token), as: UTF8.self)
    }

    public func withBytes<R>(of token: JSONToken, _ body: (UnsafeBufferPointer<UInt8>) -> R) -> R {
        bytes.extracting(token.start..<token.end).withUnsafeBytes { raw in
            raw.withMemoryRebound(to: UInt8.self) { body($0) }
        }
    }

    /// A number's place; `isPlain` when it is an integer as written.
    @_lifetime(self: copy self)
    public mutating func number() throws(JSONError) -> JSONToken {
        try expect(.number)
        let start = offset
        var at = offset
        func digit(_ i: Int) -> Bool { i < bytes.byteCount && byte(i) >= 0x30 && byte(i) <= 0x39 }
        func digits(_ at: inout Int) -> Bool {
            let from = at
            while digit(at) { at += 1 }
            return at > from
        }
        if byte(at) == UInt8(ascii: "-") { at += 1 }
        let whole = at
        guard digits(&at) else { throw error(at: at, "a number without digits") }
        if byte(whole) == 0x30, at > whole + 1 { throw error(at: start, "a number with a leading zero") }
        var isPlain = true
        if at < bytes.byteCount, byte(at) == UInt8(ascii: ".") {
            isPlain = false
            at += 1
            guard digits(&at) else { throw error(at: at, "a number without digits behind its point") }
        }
        if at < bytes.byteCount, byte(at) | 0x20 == UInt8(ascii: "e") {
            isPlain = false
            at += 1
            if at < bytes.byteCount, byte(at) == UInt8(ascii: "+") || byte(at) == UInt8(ascii: "-") {
                at += 1
            }
            guard digits(&at) else { throw error(at: at, "a number without digits in its exponent") }
        }
        offset = at
        return JSONToken(start: start, end: at, isPlain: isPlain)
    }

    @_lifetime(self: copy self)
    public mutating func bool() throws(JSONError) -> Bool {
        try expect(.bool)
        let isTrue = byte(offset) == UInt8(ascii: "t")
        try literal(isTrue ? "true" : "false")
        return isTrue
    }

    @_lifetime(self: copy self)
    public mutating func null() throws(JSONError) {
        try expect(.null)
        try literal("null")
    }

    @_lifetime(self: copy self)
    private mutating func literal(_ word: StaticString) throws(JSONError) {
        let count = word.utf8CodeUnitCount
        let matches = word.withUTF8Buffer { wanted in
            offset + count <= bytes.byteCount && (0..<count).allSatisfy { byte(offset + $0) == wanted[$0] }
        }
        guard matches else { throw here("expected \(word)") }
        offset += count
    }

    /// Passes over a value of any kind, checking it as strictly as if it were wanted.
    @_lifetime(self: copy self)
    public mutating func skipValue() throws(JSONError) {
        let depth = containers.count
        repeat {
            if containers.count > depth {
                let isObject = containers[containers.count - 1].isObject
                guard isObject ? try nextKey() : try nextElement() else { continue }
            }
            switch try kind() {
            case .object: try beginObject()
            case .array: try beginArray()
            case .string: _ = try string()
            case .number: _ = try number()
            case .bool: _ = try bool()
            case .null: try null()
            }
        } while containers.count > depth
    }

    /// Nothing but white space may be left.
    @_lifetime(self: copy self)
    public mutating func end() throws(JSONError) {
        skipSpace()
        guard offset == bytes.byteCount else { throw here("expected the end of the input, found \(found())") }
    }
}

/// UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF.
enum UTF8Check {
    /// The offset of the first byte that is not part of a well-formed sequence; nil when all are.
    static func firstInvalid(_ bytes: RawSpan) -> Int? {
        bytes.withUnsafeBytes { all in
            var at = 0
            while at < all.count {
                let c = all[at]
                if c < 0x80 {
                    at += 1
                    continue
                }
                let count: Int
                let second: ClosedRange<UInt8>
                switch c {
                case 0xC2...0xDF: (count, second) = (2, 0x80...0xBF)
                case 0xE0: (count, second) = (3, 0xA0...0xBF)
                case 0xED: (count, second) = (3, 0x80...0x9F)
                case 0xE1...0xEF: (count, second) = (3, 0x80...0xBF)
                case 0xF0: (count, second) = (4, 0x90...0xBF)
                case 0xF1...0xF3: (count, second) = (4, 0x80...0xBF)
                case 0xF4: (count, second) = (4, 0x80...0x8F)
                default: return at
                }
                guard at + count <= all.count, second.contains(all[at + 1]) else { return at }
                for i in (at + 2)..<max(at + 2, at + count) where all[i] & 0xC0 != 0x80 { return at }
                at += count
            }
            return nil
        }
    }
}

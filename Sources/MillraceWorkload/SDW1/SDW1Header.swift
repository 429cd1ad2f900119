/// The header of an SDW1 file, as far as it is needed: the file's name, the code each contract runs, and how many users there
/// were before the stream. Spec 75.5.2.
///
/// A header that is JSON of another shape is not an error, since nothing but names depends on it; text that is not JSON is.

import MillraceBase

public struct SDW1Header: Equatable, Sendable {
    public var name = ""
    /// Index of a literal address and the name of its code, in the header's order.
    public var contracts: [(index: Int, code: String)] = []
    /// Derived addresses with numbers below this existed before the stream; 0 when the header does not say.
    public var users: UInt64 = 0

    public static func == (a: SDW1Header, b: SDW1Header) -> Bool {
        a.name == b.name && a.users == b.users && a.contracts.elementsEqual(b.contracts) { $0 == $1 }
    }

    public init(_ text: [UInt8]) throws(SDW1Error) {
        var scanner = HeaderScanner(text: text)
        var found = SDW1Header()
        guard scanner.readObject({ key, scanner in found.take(key, from: &scanner) }), scanner.isAtEnd else {
            throw SDW1Error(
                offset: scanner.at, message: "the header is not a JSON object (offset counted in the header)")
        }
        self = found
    }

    private init() {}

    private mutating func take(_ key: String, from scanner: inout HeaderScanner) -> Bool {
        switch key {
        case "name":
            guard scanner.next == UInt8(ascii: "\""), let text = scanner.readString() else {
                return scanner.skip(depth: 0)
            }
            name = text
            return true
        case "contracts":
            guard scanner.next == UInt8(ascii: "{") else { return scanner.skip(depth: 0) }
            var list: [(index: Int, code: String)] = []
            let ok = scanner.readObject { key, scanner in
                guard scanner.next == UInt8(ascii: "\""), let code = scanner.readString() else {
                    return scanner.skip(depth: 1)
                }
                if let index = Int(key), index >= 0 { list.append((index, code)) }
                return true
            }
            contracts = list
            return ok
        case "users":
            guard scanner.next.map({ $0 >= 0x30 && $0 <= 0x39 }) == true else {
                return scanner.skip(depth: 0)
            }
            users = scanner.readInteger()
            return true
        default:
            return scanner.skip(depth: 0)
        }
    }
}

/// Just enough JSON to walk over a header: no numbers but plain integers are read, no escapes but the simple ones.
private struct HeaderScanner {
    let text: [UInt8]
    var at = 0

    /// The next byte that is not white space.
    var next: UInt8? {
        mutating get {
            while at < text.count, [0x20, 0x09, 0x0A, 0x0D].contains(text[at]) { at += 1 }
            return at < text.count ? text[at] : nil
        }
    }

    var isAtEnd: Bool { mutating get { next == nil } }

    private mutating func take(_ character: Character) -> Bool {
        guard let byte = character.asciiValue, next == byte else { return false }
        at += 1
        return true
    }

    /// Calls `member` with each key, standing before its value.
    mutating func readObject(_ member: (String, inout HeaderScanner) -> Bool) -> Bool {
        guard take("{") else { return false }
        if take("}") { return true }
        repeat {
            guard next == UInt8(ascii: "\""), let key = readString(), take(":"), member(key, &self) else {
                return false
            }
        } while take(",")
        return take("}")
    }

    mutating func readString() -> String? {
        guard take("\"") else { return nil }
        var bytes: [UInt8] = []
        while at < text.count {
            let byte = text[at]
            at += 1
            switch byte {
            case UInt8(ascii: "\""): return String(decoding: bytes, as: UTF8.self)
            case UInt8(ascii: "\\"):
                guard at < text.count else { return nil }
                bytes.append(text[at])
                at += 1
            case 0..<0x20: return nil
            default: bytes.append(byte)
            }
        }
        return nil
    }

    /// Walks over a number; its value where it is an integer below 2^64, else 0.
    mutating func readInteger() -> UInt64 {
        let start = at
        while at < text.count, isScalar(text[at]) { at += 1 }
        return UInt64(String(decoding: text[start..<at], as: UTF8.self)) ?? 0
    }

    /// Walks over one value; false when it is not one or is nested deeper than 16.
    mutating func skip(depth: Int) -> Bool {
        guard depth < 16, let first = next else { return false }
        switch first {
        case UInt8(ascii: "\""): return readString() != nil
        case UInt8(ascii: "{"): return readObject { _, scanner in scanner.skip(depth: depth + 1) }
        case UInt8(ascii: "["):
            at += 1
            if take("]") { return true }
            repeat {
                guard skip(depth: depth + 1) else { return false }
            } while take(",")
            return take("]")
        default:
            let start = at
            while at < text.count, isScalar(text[at]) { at += 1 }
            return at > start
        }
    }

    /// A byte of a number, `true`, `false` or `null`.
    private func isScalar(_ byte: UInt8) -> Bool {
        switch byte {
        case 0x30...0x39, 0x61...0x7A, 0x2B, 0x2D, 0x2E, 0x45: true
        default: false
        }
    }
}

/// Writing JSON: one value, keys in the order they were added, so that equal runs print equal bytes.
///
/// Reading JSON from outside is another matter (strict, positions in errors) and lives in `MillraceWorkload`.
public enum JSON: Sendable, Equatable {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    /// Not finite becomes null. Printed with at most `decimals` digits behind the point.
    case number(Double, decimals: Int = 3)
    case string(String)
    case array([JSON])
    case object([(String, JSON)])

    public static func == (a: JSON, b: JSON) -> Bool { a.text() == b.text() }

    /// The text, on one line, or indented by two spaces a level.
    public func text(pretty: Bool = false) -> String {
        var out = ""
        write(to: &out, indent: pretty ? 0 : nil)
        return out
    }

    private func write(to out: inout String, indent: Int?) {
        func newline(_ level: Int?) {
            guard let level else { return }
            out += "\n" + String(repeating: "  ", count: level)
        }
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .integer(let value): out += String(value)
        case .unsigned(let value): out += String(value)
        case .number(let value, let decimals): out += JSON.format(value, decimals: decimals)
        case .string(let value): JSON.quote(value, into: &out)
        case .array(let items):
            if items.isEmpty { out += "[]"; return }
            out += "["
            for (i, item) in items.enumerated() {
                if i > 0 { out += indent == nil ? "," : "," }
                newline(indent.map { $0 + 1 })
                item.write(to: &out, indent: indent.map { $0 + 1 })
            }
            newline(indent)
            out += "]"
        case .object(let fields):
            if fields.isEmpty { out += "{}"; return }
            out += "{"
            for (i, field) in fields.enumerated() {
                if i > 0 { out += "," }
                newline(indent.map { $0 + 1 })
                JSON.quote(field.0, into: &out)
                out += indent == nil ? ":" : ": "
                field.1.write(to: &out, indent: indent.map { $0 + 1 })
            }
            newline(indent)
            out += "}"
        }
    }

    static func format(_ value: Double, decimals: Int) -> String {
        guard value.isFinite else { return "null" }
        var scale = 1.0
        for _ in 0..<max(0, min(decimals, 9)) { scale *= 10 }
        let scaled = (value * scale).rounded()
        guard scaled.magnitude < 9e15 else { return "\(value)" }
        let whole = Int64(scaled)
        let unit = Int64(scale)
        var text = (whole < 0 ? "-" : "") + String(whole.magnitude / UInt64(unit))
        let fraction = whole.magnitude % UInt64(unit)
        if fraction != 0 {
            let digits = String(fraction)
            let width = String(unit).count - 1
            var tail = String(repeating: "0", count: width - digits.count) + digits
            while tail.last == "0" { tail.removeLast() }
            text += "." + tail
        }
        return text
    }

    static func quote(_ value: String, into out: inout String) {
        out += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            default:
                if scalar.value < 0x20 {
                    let hex = String(scalar.value, radix: 16)
                    out += "\\u" + String(repeating: "0", count: 4 - hex.count) + hex
                } else {
                    out.unicodeScalars.append(scalar)
                }
            }
        }
        out += "\""
    }
}

/// Hexadecimal text, lower case, without prefix. Decoding is strict: an even number of digits and nothing else.
public enum Hex {
    static let digits: [UInt8] = Array("0123456789abcdef".utf8)

    public static func encode(_ bytes: some Sequence<UInt8>) -> String {
        var text: [UInt8] = []
        for byte in bytes {
            text.append(digits[Int(byte >> 4)])
            text.append(digits[Int(byte & 15)])
        }
        return String(decoding: text, as: UTF8.self)
    }

    /// The bytes, or nil when `text` has an odd length or another character. A leading `0x` is accepted.
    public static func decode(_ text: some StringProtocol) -> [UInt8]? {
        var source = Array(text.utf8)
        if source.starts(with: "0x".utf8) { source.removeFirst(2) }
        guard source.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(source.count / 2)
        for i in stride(from: 0, to: source.count, by: 2) {
            guard let high = value(of: source[i]), let low = value(of: source[i + 1]) else { return nil }
            bytes.append(high << 4 | low)
        }
        return bytes
    }

    @inlinable public static func value(of digit: UInt8) -> UInt8? {
        switch digit {
        case 48...57: digit - 48
        case 97...102: digit - 87
        case 65...70: digit - 55
        default: nil
        }
    }
}

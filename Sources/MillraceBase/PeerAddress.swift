/// Where datagrams come from and go to: an IP address and a UDP port, as one trivial value.
///
/// Sixteen address bytes in network order, an IPv4 address mapped into `::ffff:0:0/96` (RFC 4291, 2.5.5.2), so that one
/// type, one hash and one comparison serve both families. No scope identifiers and no names: link-local addresses and
/// DNS belong to the shell. Text is `127.0.0.1:9000` or `[::1]:9000`; parsing takes exactly that and answers nil otherwise.
public struct PeerAddress: Hashable, Sendable, BitwiseCopyable {
    /// The first eight address bytes, read most significant first.
    public var high: UInt64
    /// The last eight address bytes, read most significant first.
    public var low: UInt64
    public var port: UInt16

    @inlinable public init(high: UInt64, low: UInt64, port: UInt16) {
        self.high = high
        self.low = low
        self.port = port
    }

    /// The IPv4 address `a.b.c.d`, given as one number whose top byte is `a`.
    @inlinable public init(ipv4: UInt32, port: UInt16) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(ipv4), port: port)
    }

    /// Any address, port 0: where nothing is.
    public static let unspecified = PeerAddress(high: 0, low: 0, port: 0)

    /// 0.0.0.0 or ::, on whatever port: every address of a machine, and so nobody's in particular.
    public var isWildcard: Bool { ipv4 == 0 || (high == 0 && low == 0) }

    public static func loopback(port: UInt16) -> PeerAddress { PeerAddress(ipv4: 0x7F00_0001, port: port) }

    /// The IPv4 address when this is a mapped one.
    @inlinable public var ipv4: UInt32? {
        high == 0 && low >> 32 == 0xFFFF ? UInt32(truncatingIfNeeded: low) : nil
    }

    /// Sixteen-bit group `index` of eight, from the left.
    private func group(_ index: Int) -> UInt16 {
        let half = index < 4 ? high : low
        return UInt16(truncatingIfNeeded: half >> UInt64((3 - index % 4) * 16))
    }
}

extension PeerAddress: CustomStringConvertible {
    /// `127.0.0.1:9000` or `[2001:db8::1]:9000` (RFC 5952: lower case, the longest run of zero groups shortened).
    public var description: String {
        if let ipv4 {
            let parts = [24, 16, 8, 0].map { String(ipv4 >> UInt32($0) & 0xFF) }
            return parts.joined(separator: ".") + ":" + String(port)
        }
        return "[" + groupsText + "]:" + String(port)
    }

    private var groupsText: String {
        var best = 0..<0
        var start = 0
        while start < 8 {
            var end = start
            while end < 8, group(end) == 0 { end += 1 }
            if end - start >= 2, end - start > best.count { best = start..<end }
            start = max(end, start + 1)
        }
        func text(_ range: Range<Int>) -> String {
            range.map { String(group($0), radix: 16) }.joined(separator: ":")
        }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
}

extension PeerAddress: LosslessStringConvertible {
    /// Reads `a.b.c.d:port` or `[IPv6]:port`; nil when it is anything else (names, missing or absurd ports included).
    public init?(_ description: String) {
        let text = Array(description.utf8)
        guard text.count <= 64, let colon = text.lastIndex(of: UInt8(ascii: ":")),
            let port = PeerAddress.number(text[(colon + 1)...], radix: 10, atMost: 65_535)
        else { return nil }
        let host = text[..<colon]
        if host.first == UInt8(ascii: "[") {
            guard host.count >= 4, host.last == UInt8(ascii: "]") else { return nil }
            guard let groups = PeerAddress.ipv6(host.dropFirst().dropLast()) else { return nil }
            self.init(
                high: groups[0..<4].reduce(0) { $0 << 16 | UInt64($1) },
                low: groups[4..<8].reduce(0) { $0 << 16 | UInt64($1) }, port: UInt16(port))
        } else {
            guard let ipv4 = PeerAddress.ipv4(host) else { return nil }
            self.init(ipv4: ipv4, port: UInt16(port))
        }
    }

    private static func number(_ text: ArraySlice<UInt8>, radix: Int, atMost limit: Int) -> Int? {
        guard !text.isEmpty, text.count <= 5 else { return nil }
        var value = 0
        for character in text {
            guard let digit = Hex.value(of: character), digit < radix else { return nil }
            value = value * radix + Int(digit)
        }
        return value <= limit ? value : nil
    }

    private static func ipv4(_ text: ArraySlice<UInt8>) -> UInt32? {
        let parts = text.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        guard parts.count == 4 else { return nil }
        var value: UInt32 = 0
        for part in parts {
            guard part.count <= 3, part.count == 1 || part.first != UInt8(ascii: "0") else { return nil }
            guard let byte = number(part, radix: 10, atMost: 255) else { return nil }
            value = value << 8 | UInt32(byte)
        }
        return value
    }

    /// Eight groups, or nil.
    private static func ipv6(_ text: ArraySlice<UInt8>) -> [UInt16]? {
        let colon = UInt8(ascii: ":")
        var front: [UInt16] = []
        var back: [UInt16]?
        var rest = text
        if rest.starts(with: [colon, colon]) {
            back = []
            rest = rest.dropFirst(2)
        }
        while !rest.isEmpty {
            let end = rest.firstIndex(of: colon) ?? rest.endIndex
            let part = rest[..<end]
            if end == rest.endIndex, part.contains(UInt8(ascii: ".")) {
                guard let tail = ipv4(part) else { return nil }
                let groups = [UInt16(tail >> 16), UInt16(tail & 0xFFFF)]
                if back == nil { front += groups } else { back?.append(contentsOf: groups) }
                break
            }
            guard part.count <= 4, let value = number(part, radix: 16, atMost: 0xFFFF) else { return nil }
            if back == nil { front.append(UInt16(value)) } else { back?.append(UInt16(value)) }
            guard front.count + (back?.count ?? 0) <= 8 else { return nil }
            guard end < rest.endIndex else { break }
            rest = rest[(end + 1)...]
            if rest.first == colon {
                guard back == nil else { return nil }
                back = []
                rest = rest.dropFirst()
            } else if rest.isEmpty {
                return nil
            }
        }
        if let back {
            guard front.count + back.count <= 7 else { return nil }
            return front + [UInt16](repeating: 0, count: 8 - front.count - back.count) + back
        }
        return front.count == 8 ? front : nil
    }
}

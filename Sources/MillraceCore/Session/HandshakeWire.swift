/// The six handshake datagrams, byte for byte (Spec 50.4). All numbers are little-endian; every type has one length, so a
/// datagram is judged by its length before a byte of it is believed.
///
///     type 1 IK init      4 type, 4 sender,             32 e, 48 s, 32 payload, 16 mac1, 16 mac2   152
///     type 2 IK response  4 type, 4 sender, 4 receiver, 32 e,       20 payload, 16 mac1, 16 mac2    96
///     type 3 XX init      4 type, 4 sender,             32 e,       80 zeros,   16 mac1, 16 mac2   152
///     type 4 XX response  4 type, 4 sender, 4 receiver, 32 e, 48 s, 20 payload, 16 mac1, 16 mac2   144
///     type 5 XX final     4 type, 4 sender, 4 receiver,       48 s, 32 payload, 16 mac1, 16 mac2   124
///     type 6 cookie       4 type,           4 receiver,       24 nonce, 48 sealed cookie             80
///
/// An XX init is padded to the length of an IK init: no answer is longer than its question, so a forged source address gains
/// nothing. mac1 is WireGuard's idea: without the receiver's public key (or, in XX, the chain's prologue) nobody can make
/// the receiver compute a Diffie-Hellman. mac2 is zero, or made with a cookie that the receiver asked for (`CookieGuard`).

import MillraceBase
import MillraceCrypto

enum HandshakeType: UInt32 {
    case ikInit = 1
    case ikResponse = 2
    case xxInit = 3
    case xxResponse = 4
    case xxFinal = 5
    case cookie = 6

    var byteCount: Int {
        switch self {
        case .ikInit, .xxInit: 152
        case .ikResponse: 96
        case .xxResponse: 144
        case .xxFinal: 124
        case .cookie: 80
        }
    }

    /// Where the Noise message begins: behind the connection ids. (A cookie has none.)
    var noiseOffset: Int {
        switch self {
        case .ikInit, .xxInit, .cookie: 8
        case .ikResponse, .xxResponse, .xxFinal: 12
        }
    }
}

/// What an initiator says of itself, encrypted: in the first message of IK, in the last of XX.
struct InitPayload: Equatable {
    static let byteCount = 16
    /// Unix microseconds, growing with every init of a key.
    var timestamp: UInt64
    /// The receiver's connection id of the session whose keys these are to replace; 0 for a new session.
    var replaces: UInt32

    var bytes: [UInt8] {
        var bytes: [UInt8] = []
        bytes.appendLittleEndian(timestamp)
        bytes.appendLittleEndian(replaces)
        bytes.appendLittleEndian(UInt32(0))
        return bytes
    }

    init(timestamp: UInt64, replaces: UInt32) {
        self.timestamp = timestamp
        self.replaces = replaces
    }

    /// Nil when it is not 16 bytes. The last four are for later and ignored.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        var reader = ByteReader(bytes.span.bytes)
        guard let timestamp = try? reader.u64(), let replaces = try? reader.u32() else { return nil }
        self.init(timestamp: timestamp, replaces: replaces)
    }
}

/// What a responder says, encrypted.
struct ResponsePayload: Equatable {
    static let byteCount = 4
    /// Whether the responder knew the session that the init wanted to rekey.
    var isContinued: Bool

    var bytes: [UInt8] { [isContinued ? 1 : 0, 0, 0, 0] }

    init(isContinued: Bool) { self.isContinued = isContinued }

    /// Nil when it is not 4 bytes. Other bits are for later and ignored.
    init?(_ bytes: [UInt8]) {
        guard bytes.count == Self.byteCount else { return nil }
        isContinued = bytes[0] & 1 == 1
    }
}

enum HandshakeWire {
    static let macBytes = 16
    /// Padding of an XX init, as its Noise payload.
    static let xxInitPadding = [UInt8](repeating: 0, count: 80)
    static let datagramBytesMax = 152

    /// The key of mac1 on datagrams to `receiver` (all zero when the sender does not know it). (Spec 50.3)
    static func mac1Key(to receiver: PublicKey, prologue: [UInt8]) -> Hash32 {
        Blake2b.hash(Array("millrace mac1".utf8) + receiver.bytes + prologue)
    }

    /// The datagram around a Noise message.
    static func datagram(
        _ type: HandshakeType, sender: UInt32, receiver: UInt32?, noise: [UInt8], mac1Key: Hash32
    ) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(type.byteCount)
        bytes.appendLittleEndian(type.rawValue)
        bytes.appendLittleEndian(sender)
        if let receiver { bytes.appendLittleEndian(receiver) }
        bytes += noise
        bytes += mac(over: bytes, key: mac1Key)
        bytes += [UInt8](repeating: 0, count: macBytes)
        assert(bytes.count == type.byteCount, "a \(type) of \(bytes.count) bytes")
        return bytes
    }

    /// mac1 under the receiver's key, mac2 under its cookie.
    static func mac(over bytes: [UInt8], key: Hash32) -> [UInt8] {
        [UInt8](unsafeUninitializedCapacity: macBytes) { out, count in
            bytes.withUnsafeBytes { input in
                guard let input = input.baseAddress, let out = out.baseAddress else { return }
                Blake2b.truncated(input, count: bytes.count, key: key, digestBytes: macBytes, into: out)
            }
            count = macBytes
        }
    }

    /// The datagram's type when its length and its mac1 are right.
    static func check(_ datagram: [UInt8], mac1Key: (HandshakeType) -> Hash32) -> Result<
        HandshakeType, Refusal
    > {
        guard datagram.count >= 4, let type = HandshakeType(rawValue: word(datagram, 0)) else {
            return .failure(Refusal(reason: .unknownConnection))
        }
        guard datagram.count == type.byteCount else { return .failure(Refusal(reason: .badLength)) }
        let end = type.byteCount - 2 * macBytes
        let expected = mac(over: Array(datagram[..<end]), key: mac1Key(type))
        // Not secret: the key is made of public values, so an early exit tells nothing.
        guard Array(datagram[end..<(end + macBytes)]) == expected else {
            return .failure(Refusal(reason: .badMac1))
        }
        return .success(type)
    }

    // MARK: Cookies

    /// The key under which cookies of `receiver` travel (all zero when its key is not known).
    static func cookieKey(of receiver: PublicKey, prologue: [UInt8]) -> Hash32 {
        Blake2b.hash(Array("millrace cookie".utf8) + receiver.bytes + prologue)
    }

    static func cookieReply(to receiver: UInt32, nonce: [UInt8], sealed: [UInt8]) -> [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(HandshakeType.cookie.byteCount)
        bytes.appendLittleEndian(HandshakeType.cookie.rawValue)
        bytes.appendLittleEndian(receiver)
        bytes += nonce
        bytes += sealed
        assert(bytes.count == HandshakeType.cookie.byteCount, "a cookie of \(bytes.count) bytes")
        return bytes
    }

    /// The cookie in an answer to `datagram`; nil when it is not genuine. The caller owes the length.
    static func cookie(in reply: [UInt8], answering datagram: [UInt8], key: Hash32) -> Hash32? {
        let end = datagram.count - 2 * macBytes
        return CookieSeal.open(
            Array(reply[32..<80]), key: key, nonce: Array(reply[8..<32]),
            ad: Array(datagram[end..<(end + macBytes)]))
    }

    /// Puts mac2 into a handshake datagram.
    static func show(_ cookie: Hash32, in datagram: inout [UInt8]) {
        let end = datagram.count - macBytes
        datagram.replaceSubrange(end..., with: mac(over: Array(datagram[..<end]), key: cookie))
    }

    struct Refusal: Error { var reason: IgnoreReason }

    /// The Noise message inside a datagram that passed `check`.
    static func noise(_ datagram: [UInt8], _ type: HandshakeType) -> [UInt8] {
        Array(datagram[type.noiseOffset..<(type.byteCount - 2 * macBytes)])
    }

    /// The number at `offset`. The caller owes four bytes there.
    static func word(_ datagram: [UInt8], _ offset: Int) -> UInt32 {
        (0..<4).reduce(0) { $0 | UInt32(datagram[offset + $1]) << UInt32(8 * $1) }
    }
}

/// What a node says of itself to the network, signed (Spec 65.2): its key, where it listens, what it is and what it can do.
///
/// `decode` is total and a record has exactly one encoding. It does not check the signature; `isGenuine` does, and nothing may be
/// kept or passed on before it answered true. The session key is not in the record: it follows from the signing key
/// (`agreementKey`), so nobody can sign a record for a session key that is not theirs.

public import MillraceBase
public import MillraceCrypto

/// What a node is in the network.
public enum PeerRole: UInt8, Sendable, BitwiseCopyable, CaseIterable {
    /// Forwards, and may be asked for contracts.
    case relay = 0
    /// Follows only.
    case replica = 1
    /// Where the stream begins. It is not chosen as a parent unless an operator names it.
    case sequencer = 2
}

public enum PeerRecordLimits {
    /// Fields before the addresses.
    public static let fixedBytes = 64
    /// Address 16, port 2.
    public static let addressBytes = 18
    /// One for each family.
    public static let addressesMax = 2
    /// 64 and two addresses of 18 and a signature of 64.
    public static let recordBytesMax = fixedBytes + addressesMax * addressBytes + Signature.byteCount
    public static let lifetimeSecondsMin: UInt32 = 60
    /// A week: a node that has been silent for so long is no news.
    public static let lifetimeSecondsMax: UInt32 = 604_800
}

public struct PeerRecord: Hashable, Sendable, BitwiseCopyable {
    public static let version: UInt8 = 1
    static let hashDomain: [UInt8] = Array("millrace peer record 1".utf8)

    public var role = PeerRole.relay
    /// Bit `i` for cadence `i`.
    public var cadences: UInt8 = 1
    public var chainID: UInt64
    public var epoch: UInt32
    /// Unix microseconds when it was signed. Of two records of one key the later one is right.
    public var issuedAtMicroseconds: UInt64
    public var lifetimeSeconds: UInt32
    /// How many more children it would take.
    public var childrenFree: UInt16 = 0
    public var key: VerifyingKey
    public var address: PeerAddress
    /// Of the other family.
    public var secondAddress: PeerAddress?
    public var signature = SliceHeader.unsigned

    public init(
        key: VerifyingKey, address: PeerAddress, chainID: UInt64, epoch: UInt32,
        issuedAtMicroseconds: UInt64, lifetimeSeconds: UInt32
    ) {
        self.key = key
        self.address = address
        self.chainID = chainID
        self.epoch = epoch
        self.issuedAtMicroseconds = issuedAtMicroseconds
        self.lifetimeSeconds = lifetimeSeconds
    }

    /// From here on it counts no more. Both terms are bounded, so nothing overflows.
    public var expiresAtMicroseconds: UInt64 { issuedAtMicroseconds + UInt64(lifetimeSeconds) * 1_000_000 }

    public func carries(_ cadence: Cadence) -> Bool { cadences >> cadence.rawValue & 1 == 1 }

    public var encodedBytes: Int {
        PeerRecordLimits.fixedBytes + (secondAddress == nil ? 1 : 2) * PeerRecordLimits.addressBytes
            + Signature.byteCount
    }

    // MARK: Bytes

    public func encode(into bytes: inout [UInt8]) {
        encodeSigned(into: &bytes)
        bytes.append(contentsOf: signature.bytes)
    }

    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encodedBytes)
        encode(into: &bytes)
        return bytes
    }

    private func encodeSigned(into bytes: inout [UInt8]) {
        bytes.append(Self.version)
        bytes.append(role.rawValue)
        bytes.append(cadences)
        bytes.append(secondAddress == nil ? 1 : 2)
        bytes.appendLittleEndian(epoch)
        bytes.appendLittleEndian(chainID)
        bytes.appendLittleEndian(issuedAtMicroseconds)
        bytes.appendLittleEndian(lifetimeSeconds)
        bytes.appendLittleEndian(childrenFree)
        bytes.appendLittleEndian(UInt16(0))
        bytes.append(key.bytes32)
        for address in [address, secondAddress] {
            guard let address else { continue }
            bytes.appendLittleEndian(address.high.byteSwapped)
            bytes.appendLittleEndian(address.low.byteSwapped)
            bytes.appendLittleEndian(address.port)
        }
    }

    /// The record that is exactly `bytes`.
    public static func decode(_ bytes: RawSpan) throws(WireError) -> PeerRecord {
        var reader = ByteReader(bytes)
        let record = try decode(from: &reader)
        guard reader.isAtEnd else { throw .trailing }
        return record
    }

    /// Records that stand one behind the other: exactly `count` of them, to the end.
    public static func decodeAll(_ bytes: RawSpan, count: Int) throws(WireError) -> [PeerRecord] {
        var reader = ByteReader(bytes)
        var records: [PeerRecord] = []
        for _ in 0..<min(count, FrameLimits.peersMax) { records.append(try decode(from: &reader)) }
        guard reader.isAtEnd else { throw .trailing }
        return records
    }

    private static func decode(from reader: inout ByteReader) throws(WireError) -> PeerRecord {
        let (version, roleByte, cadences, addressCount): (UInt8, UInt8, UInt8, UInt8)
        let (epoch, chainID, issuedAt, lifetime): (UInt32, UInt64, UInt64, UInt32)
        let (childrenFree, reserved): (UInt16, UInt16)
        let key: VerifyingKey
        do throws(ByteError) {
            version = try reader.u8()
            guard version == Self.version else { throw ByteError.malformed }
            roleByte = try reader.u8()
            cadences = try reader.u8()
            addressCount = try reader.u8()
            epoch = try reader.u32()
            chainID = try reader.u64()
            issuedAt = try reader.u64()
            lifetime = try reader.u32()
            childrenFree = try reader.u16()
            reserved = try reader.u16()
            key = VerifyingKey(try reader.hash())
        } catch { throw error == .truncated ? .truncated : .unknownVersion }
        guard reserved == 0 else { throw .reserved }
        guard let role = PeerRole(rawValue: roleByte), cadences < 1 << Cadence.followed.count,
            addressCount >= 1, Int(addressCount) <= PeerRecordLimits.addressesMax,
            issuedAt <= WireLimits.microsecondsMax,
            lifetime >= PeerRecordLimits.lifetimeSecondsMin, lifetime <= PeerRecordLimits.lifetimeSecondsMax
        else { throw .outOfRange }
        var record: PeerRecord
        do throws(ByteError) {
            record = PeerRecord(
                key: key, address: try address(&reader), chainID: chainID, epoch: epoch,
                issuedAtMicroseconds: issuedAt, lifetimeSeconds: lifetime)
            record.role = role
            record.cadences = cadences
            record.childrenFree = childrenFree
            if addressCount == 2 { record.secondAddress = try address(&reader) }
            let signature = try reader.span(Signature.byteCount)
            record.signature = signature.withUnsafeBytes { bytes in
                bytes.baseAddress.map { Signature(bytes: $0) } ?? SliceHeader.unsigned
            }
        } catch { throw WireError(error) }
        guard record.address.port != 0, record.secondAddress?.port != 0 else { throw .outOfRange }
        // One address of each family, IPv4 first, so that one set of addresses has one encoding.
        if let second = record.secondAddress, record.address.ipv4 == nil || second.ipv4 != nil {
            throw .inconsistent
        }
        return record
    }

    private static func address(_ reader: inout ByteReader) throws(ByteError) -> PeerAddress {
        let high = try reader.u64()
        let low = try reader.u64()
        return PeerAddress(high: high.byteSwapped, low: low.byteSwapped, port: try reader.u16())
    }

    // MARK: Signature

    /// BLAKE2b-256 over everything but the signature, keyed with the domain: what is signed.
    private var hash: Hash32 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encodedBytes)
        encodeSigned(into: &bytes)
        return withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
            bytes.withUnsafeBytes { message in
                Self.hashDomain.withUnsafeBytes { key in
                    guard let digest = digest.baseAddress, let message = message.baseAddress else {
                        return Hash32.zero
                    }
                    Blake2b.hash(message, count: bytes.count, key: key, digestBytes: 32, into: digest)
                    return Hash32(bytes: digest)
                }
            }
        }
    }

    /// The caller owes the signing key of `key`.
    public mutating func sign(with signingKey: SigningKey) {
        precondition(signingKey.verifyingKey == key, "a record is signed by its own key")
        signature = signingKey.sign(hash.bytes)
    }

    /// Whether the holder of `key` signed this.
    public var isGenuine: Bool { key.isValid(signature, over: hash.bytes) }

    /// The session key it speaks for; nil when its key is none.
    public var sessionKey: PublicKey? { key.agreementKey }
}

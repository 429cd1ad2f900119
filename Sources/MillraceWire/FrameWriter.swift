/// Writes frames into a datagram's plaintext, one behind the other.
///
/// The writer borrows memory for as long as it lives and never writes past its capacity: `append` answers false and
/// writes nothing when the frame does not fit, and the caller starts another datagram. Fields outside their bounds are
/// our own mistakes and trap.

public import MillraceBase

public struct FrameWriter {
    @usableFromInline let base: UnsafeMutableRawPointer
    public let capacity: Int
    /// Bytes written so far.
    public private(set) var count: Int

    /// The caller owes `capacity` writable bytes at `base`, of which the first `count` are already written.
    public init(base: UnsafeMutableRawPointer, capacity: Int, count: Int = 0) {
        precondition(count >= 0 && count <= capacity)
        self.base = base
        self.capacity = capacity
        self.count = count
    }

    public var remaining: Int { capacity - count }

    /// The most bytes any frame without a symbol or a header needs: REFUSE with eight alternatives.
    static let controlBytesMax =
        1 + 5 + 1 + 1 + 5 + 1 + FrameLimits.alternativesMax * FrameLimits.alternativeBytes

    /// Bytes of a shred frame in front of its symbol.
    public static func shredOverhead(_ key: SliceKey, answering request: UInt16?) -> Int {
        1 + (request == nil ? 0 : 2) + 1 + varintBytes(key.firstHeight) + varintBytes(UInt64(key.index)) + 1
            + 2
    }

    public static func varintBytes(_ value: UInt64) -> Int { max(1, (70 - value.leadingZeroBitCount) / 7) }

    // MARK: Stream frames

    public mutating func appendHeader(_ header: UnsafeRawBufferPointer) -> Bool {
        append(.header, header)
    }

    /// HEADERSUM: an encoded `HeaderSum`.
    public mutating func appendHeaderSum(_ sum: UnsafeRawBufferPointer) -> Bool {
        append(.headerSum, sum)
    }

    private mutating func append(_ type: FrameType, _ bytes: UnsafeRawBufferPointer) -> Bool {
        precondition(bytes.count > 0 && bytes.count <= FrameLimits.headerBytesMax)
        guard remaining >= 3 + bytes.count else { return false }
        put(type)
        put(UInt16(bytes.count))
        put(bytes)
        return true
    }

    public mutating func appendShred(
        _ key: SliceKey, index: Int, symbol: UnsafeRawBufferPointer, answering request: UInt16? = nil
    ) -> Bool {
        guard remaining >= FrameWriter.shredOverhead(key, answering: request) + symbol.count else {
            return false
        }
        putShredHead(key, index: index, symbolBytes: symbol.count, answering: request)
        put(symbol)
        return true
    }

    /// The same frame without its symbol, which both sides know by reference (simulation only): `symbolBytes` bytes that
    /// the link carries and no memory holds. The caller owes `capacity` less the bytes left out so far.
    package mutating func appendShred(
        _ key: SliceKey, index: Int, leavingOut symbolBytes: Int, answering request: UInt16?
    ) -> Bool {
        guard remaining >= FrameWriter.shredOverhead(key, answering: request) + symbolBytes else {
            return false
        }
        putShredHead(key, index: index, symbolBytes: symbolBytes, answering: request)
        return true
    }

    private mutating func putShredHead(
        _ key: SliceKey, index: Int, symbolBytes: Int, answering request: UInt16?
    ) {
        precondition(symbolBytes > 0 && symbolBytes <= WireLimits.symbolBytesMax)
        precondition(index >= 0 && index < StripeSet.stripesMax)
        if let request {
            put(.repaired)
            put(request)
        } else {
            put(.shred)
        }
        put(key)
        put(UInt8(index))
        put(UInt16(symbolBytes))
    }

    // MARK: Control frames

    /// Writes any frame that carries no bytes of its own. HEADER, SHRED and REFUSE with alternatives have their own
    /// methods.
    public mutating func append(_ frame: Frame) -> Bool {
        // 64 bytes bound every frame written here (FEEDBACK, the longest, takes at most 54).
        guard remaining >= 64 else { return false }
        switch frame {
        case .header, .headerSum, .shred, .record, .peers, .evidence, .padding:
            preconditionFailure("a frame with bytes of its own has a method of its own")
        case .subscribe(let terms):
            put(.subscribe)
            put(terms)
        case .accept(let terms):
            put(.accept)
            put(terms)
        case .refuse(let serial, let cadence, let reason, let retryAfter, _):
            return appendRefuse(
                serial: serial, cadence: cadence, reason: reason, retryAfterMilliseconds: retryAfter,
                alternatives: [])
        case .unsubscribe(let serial, let cadence):
            put(.unsubscribe)
            put(varint: UInt64(serial))
            put(cadence)
        case .repair(let request, let key, let shreds, let withHeader):
            put(.repair)
            put(request)
            put(key)
            put(UInt8(withHeader ? 1 : 0))
            put(shreds)
        case .miss(let request, let shreds, let header):
            put(.miss)
            put(request)
            put(UInt8(header ? 1 : 0))
            put(shreds)
        case .catchUp(let request, let cadence, let first, let count):
            precondition(count >= 1 && count <= FrameLimits.catchUpHeightsMax)
            put(.catchUp)
            put(request)
            put(cadence)
            put(varint: first)
            put(UInt16(count))
        case .status(let status):
            put(.status)
            put(UInt8((status.ended ? 1 : 0) | (status.servesWindows ? 2 : 0) | (status.isFull ? 4 : 0)))
            put(varint: status.tip)
            put(varint: status.completeThrough)
            put(varint: status.floor)
            put(varint: status.dropped)
        case .ping(let token):
            put(.ping)
            put(token)
        case .pong(let token):
            put(.pong)
            put(token)
        case .close(let code):
            put(.close)
            put(code.rawValue)
        case .getPeers(let request, let count):
            precondition(count >= 1 && count <= FrameLimits.peersMax)
            put(.getPeers)
            put(request)
            put(UInt8(count))
        case .place(let hops, let childrenFree):
            precondition(hops ?? 0 <= FrameLimits.hopsMax)
            put(.place)
            put(hops ?? FrameLimits.hopsUnknown)
            put(childrenFree)
        case .feedback(let told):
            precondition(told.received >= 1 && told.received <= told.largest + 1)
            precondition(told.marked <= told.received)
            put(.feedback)
            put(UInt8((told.isBusy ? 1 : 0) + (told.marked > 0 ? 2 : 0)))
            put(told.key)
            put(varint: told.largest)
            put(varint: told.received)
            put(varint: told.bytes)
            put(told.at)
            put(varint: UInt64(told.earlierBy))
            if told.earlierBy > 0 { put(varint: UInt64(told.earlierMicroseconds)) }
            if told.marked > 0 { put(varint: told.marked) }
        }
        return true
    }

    /// PADDING of `bytes` zeroes; `isLeftOut`: the link carries them and no memory holds them (simulation only).
    package mutating func appendPadding(_ bytes: Int, isLeftOut: Bool = false) -> Bool {
        precondition(bytes > 0 && bytes <= Int(UInt16.max))
        guard remaining >= FrameWriter.paddingOverhead + bytes else { return false }
        put(.padding)
        put(UInt16(bytes))
        if !isLeftOut { for _ in 0..<bytes { put(UInt8(0)) } }
        return true
    }

    package static let paddingOverhead = 3

    // MARK: Membership frames

    /// RECORD: the sender's own peer record.
    public mutating func appendRecord(_ record: UnsafeRawBufferPointer) -> Bool {
        precondition(record.count > 0 && record.count <= PeerRecordLimits.recordBytesMax)
        guard remaining >= 2 + record.count else { return false }
        put(.record)
        put(UInt8(record.count))
        put(record)
        return true
    }

    /// PEERS: `count` records, one behind the other.
    public mutating func appendPeers(
        _ records: UnsafeRawBufferPointer, count: Int, answering request: UInt16
    ) -> Bool {
        precondition(
            count >= 0 && count <= FrameLimits.peersMax
                && records.count <= count * PeerRecordLimits.recordBytesMax)
        guard remaining >= FrameWriter.peersOverhead + records.count else { return false }
        put(.peers)
        put(request)
        put(UInt8(count))
        put(UInt16(records.count))
        put(records)
        return true
    }

    /// EVIDENCE: a proof of misbehaviour.
    public mutating func appendEvidence(_ proof: UnsafeRawBufferPointer) -> Bool {
        precondition(
            proof.count >= EquivocationProof.bytesMin && proof.count <= EquivocationProof.bytesMax)
        guard remaining >= 3 + proof.count else { return false }
        put(.evidence)
        put(UInt16(proof.count))
        put(proof)
        return true
    }

    /// Bytes of a PEERS frame in front of its records.
    public static let peersOverhead = 6

    /// At most eight alternatives are written.
    public mutating func appendRefuse(
        serial: UInt32, cadence: Cadence, reason: RefusalReason, retryAfterMilliseconds: UInt32,
        alternatives: [AlternativePeer]
    ) -> Bool {
        guard remaining >= FrameWriter.controlBytesMax else { return false }
        put(.refuse)
        put(varint: UInt64(serial))
        put(cadence)
        put(reason.rawValue)
        put(varint: UInt64(retryAfterMilliseconds))
        let count = min(alternatives.count, FrameLimits.alternativesMax)
        put(UInt8(count))
        for peer in alternatives.prefix(count) {
            peer.key.store(to: base + self.count)
            self.count += 32
            put(peer.address.high.bigEndian)
            put(peer.address.low.bigEndian)
            put(peer.address.port)
        }
        return true
    }

    // MARK: Fields

    private mutating func put(_ type: FrameType) { put(type.rawValue) }
    private mutating func put(_ cadence: Cadence) { put(cadence.rawValue) }

    private mutating func put<T: FixedWidthInteger & BitwiseCopyable>(_ value: T) {
        base.storeBytes(of: value.littleEndian, toByteOffset: count, as: T.self)
        count += MemoryLayout<T>.size
    }

    private mutating func put(varint value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            put(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        put(UInt8(truncatingIfNeeded: rest))
    }

    private mutating func put(_ bytes: UnsafeRawBufferPointer) {
        guard let source = bytes.baseAddress else { return }
        (base + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    private mutating func put(_ key: SliceKey) {
        precondition(key.firstHeight <= WireLimits.heightMax && Int(key.index) < WireLimits.sliceCountMax)
        put(key.cadence)
        put(varint: key.firstHeight)
        put(varint: UInt64(key.index))
    }

    private mutating func put(_ stripes: StripeSet) {
        put(UInt32(truncatingIfNeeded: stripes.bits))
        put(UInt16(truncatingIfNeeded: stripes.bits >> 32))
    }

    private mutating func put(_ terms: ContractTerms) {
        precondition(terms.leaseMilliseconds <= FrameLimits.leaseMillisecondsMax)
        put(varint: UInt64(terms.serial))
        put(terms.cadence)
        put(terms.flags)
        put(terms.stripes)
        put(varint: UInt64(terms.leaseMilliseconds))
        put(varint: UInt64(terms.budgetKilobitsPerSecond))
    }
}

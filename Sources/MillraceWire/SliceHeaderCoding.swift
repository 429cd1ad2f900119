/// The bytes of a slice header (Spec 40.3, table), their hash and their signature.

public import MillraceBase
public import MillraceCrypto

extension SliceHeader {
    public var encodedBytes: Int {
        Self.fixedBytes + (commitment == nil ? 0 : 40) + shredHashes.count * ShredHash.byteCount
            + Signature.byteCount
    }

    /// Appends the header. What is appended decodes to the same header if the fields keep the rules; `validate` says.
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

    /// Everything but the signature.
    func encodeSigned(into bytes: inout [UInt8]) {
        bytes.append(Self.version)
        bytes.append(
            (commitment == nil ? 0 : Self.commitmentFlag) | (isEndOfStream ? Self.endOfStreamFlag : 0))
        bytes.append(cadence.rawValue)
        bytes.append(codecID)
        bytes.append(windowSpan)
        bytes.append(dataCount)
        bytes.append(parityCount)
        bytes.append(0)
        bytes.appendLittleEndian(chainID)
        bytes.appendLittleEndian(epoch)
        bytes.appendLittleEndian(sliceIndex)
        bytes.appendLittleEndian(sliceCount)
        bytes.appendLittleEndian(firstHeight)
        bytes.appendLittleEndian(lastHeight)
        bytes.appendLittleEndian(sealedAtMicroseconds)
        bytes.appendLittleEndian(payloadBytes)
        bytes.appendLittleEndian(sliceBytes)
        bytes.appendLittleEndian(symbolBytes)
        bytes.appendLittleEndian(parityBytes)
        bytes.append(payloadHash)
        bytes.append(previousHeaderHash)
        if let commitment {
            bytes.appendLittleEndian(commitment.height)
            bytes.append(commitment.hash)
        }
        for hash in shredHashes {
            bytes.appendLittleEndian(hash.low)
            bytes.appendLittleEndian(hash.high)
        }
    }

    /// The header that is exactly `bytes`.
    public static func decode(_ bytes: RawSpan) throws(WireError) -> SliceHeader {
        var header = SliceHeader()
        guard bytes.byteCount > 0 else { throw .truncated }
        guard bytes.unsafeLoadUnaligned(fromByteOffset: 0, as: UInt8.self) == version else {
            throw .unknownVersion
        }
        guard bytes.byteCount >= fixedBytes else { throw .truncated }

        var reader = ByteReader(bytes)
        let flags: UInt8
        let cadence: UInt8
        let reservedByte: UInt8
        do throws(ByteError) {
            _ = try reader.u8()
            flags = try reader.u8()
            cadence = try reader.u8()
            header.codecID = try reader.u8()
            header.windowSpan = try reader.u8()
            header.dataCount = try reader.u8()
            header.parityCount = try reader.u8()
            reservedByte = try reader.u8()
            header.chainID = try reader.u64()
            header.epoch = try reader.u32()
            header.sliceIndex = try reader.u16()
            header.sliceCount = try reader.u16()
            header.firstHeight = try reader.u64()
            header.lastHeight = try reader.u64()
            header.sealedAtMicroseconds = try reader.u64()
            header.payloadBytes = try reader.u32()
            header.sliceBytes = try reader.u32()
            header.symbolBytes = try reader.u16()
            header.parityBytes = try reader.u16()
            header.payloadHash = try reader.hash()
            header.previousHeaderHash = try reader.hash()
        } catch { throw WireError(error) }

        guard flags & ~(commitmentFlag | endOfStreamFlag) == 0, reservedByte == 0 else {
            throw .reserved
        }
        header.isEndOfStream = flags & endOfStreamFlag != 0
        // The counts come first: how many bytes follow depends on them.
        guard let known = Cadence(rawValue: cadence), Int(header.dataCount) <= WireLimits.dataCountMax,
            Int(header.parityCount) <= WireLimits.parityCountMax
        else { throw .outOfRange }
        header.cadence = known

        do throws(ByteError) {
            if flags & commitmentFlag != 0 {
                header.commitment = SliceCommitment(height: try reader.u64(), hash: try reader.hash())
            }
            guard reader.remaining >= header.shredCount * ShredHash.byteCount + Signature.byteCount else {
                throw ByteError.truncated
            }
            header.shredHashes.reserveCapacity(header.shredCount)
            for _ in 0..<header.shredCount {
                let low = try reader.u64()
                header.shredHashes.append(ShredHash(low: low, high: try reader.u32()))
            }
            let signature = try reader.span(Signature.byteCount)
            header.signature = signature.withUnsafeBytes { bytes in
                bytes.baseAddress.map { Signature(bytes: $0) } ?? unsigned
            }
        } catch { throw WireError(error) }

        try header.validate()
        guard reader.isAtEnd else { throw .trailing }
        return header
    }

    /// Checks every rule of Spec 40.3 that needs no other header: limits first, then that fields agree.
    public func validate() throws(WireError) {
        guard firstHeight >= 1, lastHeight <= WireLimits.heightMax, firstHeight <= lastHeight,
            sealedAtMicroseconds <= WireLimits.microsecondsMax,
            sliceCount >= 1, Int(sliceCount) <= WireLimits.sliceCountMax, sliceIndex < sliceCount,
            Int(payloadBytes) <= Limits.payloadBytesMax,
            Int(symbolBytes) <= WireLimits.symbolBytesMax, Int(parityBytes) <= WireLimits.symbolBytesMax,
            windowSpan >= 1, Int(windowSpan) <= WireLimits.windowSpanMax,
            Int(dataCount) <= WireLimits.dataCountMax, Int(parityCount) <= WireLimits.parityCountMax
        else { throw .outOfRange }

        guard shredHashes.count == shredCount else { throw .inconsistent }
        // 40.3.5: windows are aligned; at c0 only a run of empty mini-blocks within one EVM block spans several heights.
        switch cadence {
        case .c0:
            if firstHeight != lastHeight {
                guard payloadBytes == 0,
                    (firstHeight - 1) / Limits.miniBlocksPerEVMBlock == (lastHeight - 1)
                        / Limits.miniBlocksPerEVMBlock
                else { throw .inconsistent }
            }
        case .c1, .c2, .quarter, .half, .c3:
            guard (firstHeight - 1) % cadence.heights == 0, lastHeight - firstHeight == cadence.heights - 1
            else {
                throw .inconsistent
            }
        }
        // 40.3.6: an even share of the payload, in symbols of equal size. Nothing to carry means no symbols.
        guard Int(sliceBytes) == payloadRange.count else { throw .inconsistent }
        if payloadBytes == 0 {
            guard sliceCount == 1, dataCount == 0, parityCount == 0, symbolBytes == 0 else {
                throw .inconsistent
            }
        } else {
            guard dataCount >= 1, sliceBytes >= 1,
                Int(symbolBytes) == (Int(sliceBytes) + Int(dataCount) - 1) / Int(dataCount)
            else { throw .inconsistent }
        }
        // 40.3.10: parity is as long as the longest data symbol it covers; alone, that is the slice's own.
        if parityCount == 0 {
            guard parityBytes == 0 else { throw .inconsistent }
        } else {
            guard windowSpan == 1 ? parityBytes == symbolBytes : parityBytes >= symbolBytes else {
                throw .inconsistent
            }
        }
        // 40.3.7: a commitment is that of an EVM block's end, not after this header's heights.
        if let commitment {
            guard commitment.height >= 1, commitment.height % Limits.miniBlocksPerEVMBlock == 0,
                commitment.height <= lastHeight
            else { throw .inconsistent }
        }
    }

    // MARK: Hash and signature

    /// The key of the header hash: it keeps a header's hash apart from every other hash of the protocol.
    static let hashDomain: [UInt8] = Array("millrace slice header 1".utf8)
    /// The key of the digest that stands for the shred hashes in it.
    static let shredHashesDomain: [UInt8] = Array("millrace shred hashes 1".utf8)

    /// BLAKE2b-256 over the fields and a digest of the shred hashes, keyed with the domain: what the next header names, and
    /// what the sequencer signs. The digest is there so that a header can be proven signed without its up to 576 bytes of
    /// shred hashes (`HeaderSummary`).
    public var hash: Hash32 {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(encodedBytes)
        encodeSigned(into: &bytes)
        return Self.hash(signed: bytes.span.bytes)
    }

    /// The hash of an encoded header, signature included in `bytes` and left out of the hash. The caller owes bytes
    /// that decode.
    public static func hash(encoded bytes: RawSpan) -> Hash32 {
        precondition(bytes.byteCount >= fixedBytes + Signature.byteCount, "not an encoded slice header")
        return hash(signed: bytes.extracting(droppingLast: Signature.byteCount))
    }

    private static func hash(signed bytes: RawSpan) -> Hash32 {
        bytes.withUnsafeBytes { message in
            let shredCount = message.count > 6 ? Int(message[5]) + Int(message[6]) : 0
            let fields = max(message.count - shredCount * ShredHash.byteCount, min(fixedBytes, message.count))
            let hashes = UnsafeRawBufferPointer(rebasing: message[fields...])
            return withUnsafeTemporaryAllocation(byteCount: 192 + 32, alignment: 8) { room in
                guard let base = room.baseAddress, let source = message.baseAddress, fields <= 192 else {
                    return Hash32.zero
                }
                base.copyMemory(from: source, byteCount: fields)
                digestOfShredHashes(hashes, into: base + fields)
                return hash(fieldsAndDigest: UnsafeRawBufferPointer(rebasing: room[..<(fields + 32)]))
            }
        }
    }

    /// 32 bytes that stand for the shred hashes.
    static func digestOfShredHashes(_ hashes: UnsafeRawBufferPointer, into digest: UnsafeMutableRawPointer) {
        shredHashesDomain.withUnsafeBytes { key in
            withUnsafeTemporaryAllocation(byteCount: 8, alignment: 8) { spare in
                // An empty slice has no hashes, and C code is handed an address all the same.
                guard let source = hashes.baseAddress ?? UnsafeRawPointer(spare.baseAddress) else { return }
                Blake2b.hash(source, count: hashes.count, key: key, digestBytes: 32, into: digest)
            }
        }
    }

    static func hash(fieldsAndDigest bytes: UnsafeRawBufferPointer) -> Hash32 {
        hashDomain.withUnsafeBytes { key in
            withUnsafeTemporaryAllocation(byteCount: 32, alignment: 8) { digest in
                guard let digest = digest.baseAddress, let message = bytes.baseAddress else {
                    return Hash32.zero
                }
                Blake2b.hash(message, count: bytes.count, key: key, digestBytes: 32, into: digest)
                return Hash32(bytes: digest)
            }
        }
    }

    /// Signs the fields as they stand.
    public mutating func sign(with key: SigningKey) { sign(hash: hash, with: key) }

    /// The same with `hash` already at hand.
    public mutating func sign(hash: Hash32, with key: SigningKey) {
        signature = key.sign(hash.bytes)
    }

    public func isSigned(by key: VerifyingKey) -> Bool { isSigned(by: key, hash: hash) }

    /// The same with `hash` already at hand.
    public func isSigned(by key: VerifyingKey, hash: Hash32) -> Bool {
        key.isValid(signature, over: hash)
    }
}

/// Reads the frames of one decrypted datagram, first to last (Spec 60.2 has the table of each).
///
/// The reader borrows the bytes; ranges in the frames count from the first byte it was given.

internal import MillraceBase

public struct FrameReader: ~Escapable {
    private var reader: ByteReader

    /// Symbols are not in the datagram (`FrameWriter.appendShred(_:index:leavingOut:answering:)`).
    private let leavesOutSymbols: Bool
    /// Bytes of symbols left out so far.
    package private(set) var leftOutBytes = 0

    @_lifetime(copy plaintext)
    public init(_ plaintext: RawSpan) {
        reader = ByteReader(plaintext)
        leavesOutSymbols = false
    }

    @_lifetime(copy plaintext)
    package init(_ plaintext: RawSpan, leavesOutSymbols: Bool) {
        reader = ByteReader(plaintext)
        self.leavesOutSymbols = leavesOutSymbols
    }

    /// Bytes consumed so far.
    public var offset: Int { reader.offset }

    /// The next frame; nil at the end of the datagram.
    @_lifetime(self: copy self)
    public mutating func next() throws(FrameError) -> Frame? {
        if reader.isAtEnd { return nil }
        do throws(ByteError) {
            return try parse()
        } catch {
            // `parse` reports its own kinds through `fault`, because a function has one typed error.
            if let fault { throw fault }
            switch error {
            case .truncated: throw .truncated
            case .malformed: throw .malformed
            }
        }
    }

    /// The next frame, if it is a SHRED; nil, and nothing is consumed, when it is anything else, ends too soon or is out of
    /// range: `next` tells. Nearly all frames are these, and go in sixteen bytes.
    @_lifetime(self: copy self)
    package mutating func nextShred() -> ShredFrame? {
        var ahead = reader
        do throws(ByteError) {
            guard try ahead.u8() == FrameType.shred.rawValue, let cadence = Cadence(rawValue: try ahead.u8())
            else { return nil }
            let height = try ahead.varint()
            let slice = try ahead.varint()
            let stripe = try ahead.u8()
            let count = try ahead.u16()
            let offset = ahead.offset
            guard height <= WireLimits.heightMax, slice < UInt64(WireLimits.sliceCountMax),
                stripe < StripeSet.stripesMax, count > 0, count <= WireLimits.symbolBytesMax,
                offset <= UInt16.max
            else { return nil }
            if leavesOutSymbols {
                leftOutBytes += Int(count)
            } else {
                _ = try ahead.span(Int(count))
            }
            reader = ahead
            return ShredFrame(
                height: height, cadence: cadence, stripe: stripe, slice: UInt16(slice),
                offset: UInt16(offset),
                count: count)
        } catch {
            return nil
        }
    }

    private var fault: FrameError?

    @_lifetime(self: copy self)
    private mutating func parse() throws(ByteError) -> Frame {
        let byte = try reader.u8()
        guard let type = FrameType(rawValue: byte) else {
            fault = .unknownType(byte)
            throw .malformed
        }
        switch type {
        case .header:
            let count = Int(try reader.u16())
            guard count > 0, count <= FrameLimits.headerBytesMax else { throw outOfRange() }
            return .header(try range(count))
        case .headerSum:
            let count = Int(try reader.u16())
            guard count > 0, count <= FrameLimits.headerBytesMax else { throw outOfRange() }
            return .headerSum(try range(count))
        case .shred:
            return try shred(request: nil)
        case .repaired:
            let request = try reader.u16()
            return try shred(request: request)
        case .subscribe:
            return .subscribe(try terms())
        case .accept:
            return .accept(try terms())
        case .refuse:
            let serial = try u32Varint()
            let cadence = try cadence()
            guard let reason = RefusalReason(rawValue: try reader.u8()) else { throw outOfRange() }
            let retryAfter = try u32Varint()
            let count = Int(try reader.u8())
            guard count <= FrameLimits.alternativesMax else { throw outOfRange() }
            return .refuse(
                serial: serial, cadence: cadence, reason, retryAfterMilliseconds: retryAfter,
                alternatives: try range(count * FrameLimits.alternativeBytes))
        case .unsubscribe:
            let serial = try u32Varint()
            return .unsubscribe(serial: serial, cadence: try cadence())
        case .repair:
            let request = try reader.u16()
            let key = try sliceKey()
            let flags = try flags(atMost: 1)
            return .repair(request: request, key, try stripes(), withHeader: flags == 1)
        case .miss:
            let request = try reader.u16()
            let flags = try flags(atMost: 1)
            return .miss(request: request, try stripes(), header: flags == 1)
        case .catchUp:
            let request = try reader.u16()
            let cadence = try cadence()
            let first = try height()
            let count = Int(try reader.u16())
            guard count >= 1, count <= FrameLimits.catchUpHeightsMax else { throw outOfRange() }
            return .catchUp(request: request, cadence: cadence, first: first, count: count)
        case .status:
            let flags = try flags(atMost: 7)
            let tip = try height()
            let completeThrough = try height()
            let floor = try height()
            let dropped = try reader.varint()
            return .status(
                StreamStatus(
                    tip: tip, completeThrough: completeThrough, floor: floor, dropped: dropped,
                    ended: flags & 1 != 0, servesWindows: flags & 2 != 0, isFull: flags & 4 != 0))
        case .ping:
            return .ping(try reader.u32())
        case .pong:
            return .pong(try reader.u32())
        case .close:
            return .close(CloseCode(rawValue: try reader.u16()) ?? .other)
        case .record:
            let count = Int(try reader.u8())
            guard count > 0, count <= PeerRecordLimits.recordBytesMax else { throw outOfRange() }
            return .record(try range(count))
        case .getPeers:
            let request = try reader.u16()
            let count = Int(try reader.u8())
            guard count >= 1, count <= FrameLimits.peersMax else { throw outOfRange() }
            return .getPeers(request: request, count: count)
        case .peers:
            let request = try reader.u16()
            let count = Int(try reader.u8())
            let bytes = Int(try reader.u16())
            guard count <= FrameLimits.peersMax, bytes <= count * PeerRecordLimits.recordBytesMax else {
                throw outOfRange()
            }
            return .peers(request: request, count: count, records: try range(bytes))
        case .evidence:
            let count = Int(try reader.u16())
            guard count >= EquivocationProof.bytesMin, count <= EquivocationProof.bytesMax else {
                throw outOfRange()
            }
            return .evidence(try range(count))
        case .place:
            let hops = try reader.u8()
            let childrenFree = try reader.u16()
            guard hops <= FrameLimits.hopsMax || hops == FrameLimits.hopsUnknown else { throw outOfRange() }
            return .place(
                hops: hops == FrameLimits.hopsUnknown ? nil : hops, childrenFree: childrenFree)
        case .feedback:
            return .feedback(try feedback())
        case .padding:
            let count = Int(try reader.u16())
            guard count > 0 else { throw outOfRange() }
            if leavesOutSymbols { leftOutBytes += count } else { _ = try reader.span(count) }
            return .padding(count)
        }
    }

    @_lifetime(self: copy self)
    private mutating func feedback() throws(ByteError) -> LinkFeedback {
        let flags = try flags(atMost: 3)
        let key = try reader.u16()
        let largest = try reader.varint()
        let received = try reader.varint()
        let bytes = try reader.varint()
        let at = try reader.u32()
        let earlierBy = try u32Varint()
        let earlier = earlierBy == 0 ? 0 : try u32Varint()
        let isMarked = flags & 2 != 0
        let marked = isMarked ? try reader.varint() : 0
        guard largest < LinkFeedback.countMax, received >= 1, received <= largest + 1,
            bytes < LinkFeedback.countMax, UInt64(earlierBy) <= largest, marked <= received,
            !isMarked || marked > 0
        else { throw outOfRange() }
        return LinkFeedback(
            key: key, largest: largest, received: received, bytes: bytes, at: at, earlierBy: earlierBy,
            earlierMicroseconds: earlier, isBusy: flags & 1 != 0, marked: marked)
    }

    private mutating func outOfRange() -> ByteError {
        fault = .outOfRange
        return .malformed
    }

    @_lifetime(self: copy self)
    private mutating func range(_ count: Int) throws(ByteError) -> ByteRange {
        let start = reader.offset
        _ = try reader.span(count)
        return ByteRange(start: start, count: count)
    }

    @_lifetime(self: copy self)
    private mutating func shred(request: UInt16?) throws(ByteError) -> Frame {
        let key = try sliceKey()
        let index = Int(try reader.u8())
        let count = Int(try reader.u16())
        guard index < StripeSet.stripesMax, count > 0, count <= WireLimits.symbolBytesMax else {
            throw outOfRange()
        }
        if leavesOutSymbols {
            leftOutBytes += count
            return .shred(
                key, index: index, symbol: ByteRange(start: reader.offset, count: count), request: request)
        }
        return .shred(key, index: index, symbol: try range(count), request: request)
    }

    @_lifetime(self: copy self)
    private mutating func sliceKey() throws(ByteError) -> SliceKey {
        let cadence = try cadence()
        let height = try height()
        let slice = try reader.varint()
        guard slice < UInt64(WireLimits.sliceCountMax) else { throw outOfRange() }
        return SliceKey(firstHeight: height, cadence: cadence, index: UInt16(slice))
    }

    @_lifetime(self: copy self)
    private mutating func terms() throws(ByteError) -> ContractTerms {
        let serial = try u32Varint()
        let cadence = try cadence()
        let flags = try flags(atMost: ContractTerms.flagsMax)
        let stripes = try stripes()
        let lease = try u32Varint()
        guard lease <= FrameLimits.leaseMillisecondsMax else { throw outOfRange() }
        return ContractTerms(
            serial: serial, cadence: cadence, stripes: stripes, headers: HeaderTerms(flags: flags),
            leaseMilliseconds: lease,
            budgetKilobitsPerSecond: try u32Varint(), sparesParity: flags & 8 != 0)
    }

    @_lifetime(self: copy self)
    private mutating func cadence() throws(ByteError) -> Cadence {
        guard let cadence = Cadence(rawValue: try reader.u8()) else { throw outOfRange() }
        return cadence
    }

    @_lifetime(self: copy self)
    private mutating func flags(atMost limit: UInt8) throws(ByteError) -> UInt8 {
        let flags = try reader.u8()
        guard flags <= limit else { throw outOfRange() }
        return flags
    }

    @_lifetime(self: copy self)
    private mutating func height() throws(ByteError) -> UInt64 {
        let height = try reader.varint()
        guard height <= WireLimits.heightMax else { throw outOfRange() }
        return height
    }

    @_lifetime(self: copy self)
    private mutating func u32Varint() throws(ByteError) -> UInt32 {
        guard let value = UInt32(exactly: try reader.varint()) else { throw outOfRange() }
        return value
    }

    /// Six bytes, least significant first: bit `i` is stripe `i`.
    @_lifetime(self: copy self)
    private mutating func stripes() throws(ByteError) -> StripeSet {
        let low = UInt64(try reader.u32())
        let high = UInt64(try reader.u16())
        return StripeSet(bits: low | high << 32)
    }

    /// The alternatives of a refusal, from the bytes its range names.
    public static func alternatives(_ bytes: RawSpan) -> [AlternativePeer] {
        var reader = ByteReader(bytes)
        var peers: [AlternativePeer] = []
        while peers.count < FrameLimits.alternativesMax {
            do throws(ByteError) {
                let key = try reader.hash()
                let high = try reader.u64()
                let low = try reader.u64()
                let port = try reader.u16()
                peers.append(
                    AlternativePeer(
                        key: key,
                        address: PeerAddress(high: high.byteSwapped, low: low.byteSwapped, port: port)))
            } catch {
                break
            }
        }
        return peers
    }
}

/// What a SHRED says of its symbol, and where that lies in the datagram.
package struct ShredFrame: Equatable, BitwiseCopyable {
    let height: UInt64
    let cadence: Cadence
    let stripe: UInt8
    let slice: UInt16
    let offset: UInt16
    let count: UInt16

    package var key: SliceKey { SliceKey(firstHeight: height, cadence: cadence, index: slice) }
    package var index: Int { Int(stripe) }
    package var symbol: ByteRange { ByteRange(start: Int(offset), count: Int(count)) }
}

/// The frames of one datagram, read and written again.

import MillraceBase
import MillraceCore
import MillraceWire

private func readAll(_ bytes: RawSpan) -> [Frame] {
    var frames: [Frame] = []
    var reader = FrameReader(bytes)
    var offset = 0
    while true {
        var ahead = reader
        let shred = ahead.nextShred()
        guard let frame = try? reader.next() else {
            promise(shred == nil, "a shred that is no frame")
            return frames
        }
        if case .shred(let key, let index, let symbol, nil) = frame {
            promise(
                shred?.key == key && shred?.index == index && shred?.symbol == symbol
                    && ahead.offset == reader.offset, "two stories about a shred")
        } else {
            promise(shred == nil, "a shred that is another frame")
        }
        promise(reader.offset > offset && reader.offset <= bytes.byteCount, "a frame of no bytes")
        offset = reader.offset
        frames.append(frame)
    }
}

/// The frame written again from its parts; nil when it does not fit.
private func write(_ frame: Frame, from bytes: UnsafeRawBufferPointer) -> [UInt8]? {
    func part(_ range: ByteRange) -> UnsafeRawBufferPointer {
        promise(range.start >= 0 && range.end <= bytes.count, "a range outside of the datagram")
        return UnsafeRawBufferPointer(rebasing: bytes[range.range])
    }
    var room = [UInt8](repeating: 0, count: WireLimits.framesBytesMax)
    let written: Int? = room.withUnsafeMutableBytes { room in
        guard let base = room.baseAddress else { return nil }
        var writer = FrameWriter(base: base, capacity: room.count)
        let fits: Bool
        switch frame {
        case .header(let range): fits = writer.appendHeader(part(range))
        case .headerSum(let range):
            if let sum = try? HeaderSum.decode(RawSpan(_unsafeBytes: part(range))) {
                var encoded: [UInt8] = []
                sum.encode(into: &encoded)
                let again = try? HeaderSum.decode(encoded.span.bytes)
                promise(again == sum, "a sum of headers that does not read as it was written")
            }
            fits = writer.appendHeaderSum(part(range))
        case .shred(let key, let index, let symbol, let request):
            fits = writer.appendShred(key, index: index, symbol: part(symbol), answering: request)
        case .refuse(_, _, _, _, let alternatives):
            _ = part(alternatives)
            return nil
        case .evidence(let range): fits = writer.appendEvidence(part(range))
        case .record(let range): fits = writer.appendRecord(part(range))
        case .peers(let request, let count, let records):
            fits = writer.appendPeers(part(records), count: count, answering: request)
        case .padding(let count): fits = writer.appendPadding(count)
        default: fits = writer.append(frame)
        }
        return fits ? writer.count : nil
    }
    return written.map { Array(room.prefix($0)) }
}

/// The bytes of a frame that has none of its own, or of a short one that has.
private func sample(_ body: (inout FrameWriter) -> Bool) -> [UInt8] {
    var room = [UInt8](repeating: 0, count: WireLimits.framesBytesMax)
    let count = room.withUnsafeMutableBytes { room in
        guard let base = room.baseAddress else { return 0 }
        var writer = FrameWriter(base: base, capacity: room.count)
        return body(&writer) ? writer.count : 0
    }
    return Array(room.prefix(count))
}

func frameSamples() -> [[UInt8]] {
    let key = SliceKey(firstHeight: 1_234, index: 1)
    let terms = ContractTerms(
        serial: 3, cadence: .c0, stripes: .allData, headers: HeaderTerms(atOnce: true, sumEvery: 2),
        leaseMilliseconds: 1_000,
        budgetKilobitsPerSecond: 5_000)
    var sparing = terms
    sparing.sparesParity = true
    let frames: [Frame] = [
        .subscribe(terms), .subscribe(sparing), .accept(terms), .unsubscribe(serial: 9, cadence: .c1),
        .repair(request: 5, key, StripeSet(bits: 0xF0F), withHeader: true),
        .miss(request: 5, StripeSet(bits: 1), header: false),
        .catchUp(request: 6, cadence: .c0, first: 1, count: 100),
        .status(StreamStatus(tip: 900, completeThrough: 800, floor: 100, dropped: 3, ended: false)),
        .ping(7), .pong(8), .close(.shuttingDown),
        .getPeers(request: 9, count: 6), .place(hops: 2, childrenFree: 60),
        .place(hops: nil, childrenFree: 0),
        .feedback(LinkFeedback(key: 2, largest: 900, received: 880, bytes: 1_000_000, at: 77)),
        .feedback(LinkFeedback(key: 2, largest: 900, received: 880, bytes: 1_000_000, at: 77, marked: 300)),
        .feedback(
            LinkFeedback(
                key: 0xFFFF, largest: 1 << 40, received: 1 << 40, bytes: 1 << 50, at: .max, earlierBy: 3,
                earlierMicroseconds: 9_000)),
    ]
    var samples = frames.map { frame in sample { $0.append(frame) } }
    samples.append(sample { writer in [1, 2, 3].withUnsafeBytes { writer.appendHeader($0) } })
    samples.append(sample { $0.append(.ping(7)) && $0.appendPadding(300) })
    for index in [0, 2] as [UInt16] {
        let slices = [SliceKey(firstHeight: 1_234, index: index), SliceKey(firstHeight: 1_233, index: 0)]
        var encoded: [UInt8] = []
        HeaderSum(slices: slices, sum: [5, 6, 7]).encode(into: &encoded)
        samples.append(sample { writer in encoded.withUnsafeBytes { writer.appendHeaderSum($0) } })
    }
    samples.append(
        sample { writer in
            [1, 2, 3].withUnsafeBytes {
                writer.appendShred(key, index: 33, symbol: $0)
                    && writer.appendShred(key, index: 2, symbol: $0, answering: 4)
            }
        })
    samples.append(
        sample {
            $0.appendRefuse(
                serial: 1, cadence: .c0, reason: .full, retryAfterMilliseconds: 5,
                alternatives: [
                    AlternativePeer(key: .zero, address: PeerAddress(ipv4: 0x7F00_0001, port: 9)),
                    AlternativePeer(key: .zero, address: PeerAddress(high: 1, low: 2, port: 3)),
                ])
        })
    samples.append(sample { writer in [1, 2, 3].withUnsafeBytes { writer.appendRecord($0) } })
    samples.append(
        sample { writer in
            [1, 2, 3].withUnsafeBytes { writer.appendPeers($0, count: 1, answering: 9) }
        })
    samples.append(
        sample { writer in
            [UInt8](repeating: 7, count: EquivocationProof.bytesMin).withUnsafeBytes {
                writer.appendEvidence($0)
            }
        })
    return samples + [samples.flatMap { $0 }.prefix(WireLimits.framesBytesMax).map { $0 }]
}

extension FuzzTarget {
    static let frames = FuzzTarget("frames", bytesMax: WireLimits.framesBytesMax, seeds: { frameSamples() }) {
        bytes in
        for frame in readAll(bytes.bytes) {
            guard let written = write(frame, from: bytes) else { continue }
            let again = readAll(written.span.bytes)
            promise(again.count == 1, "a written frame is not one frame")
            promise(
                written.withUnsafeBytes { write(again[0], from: $0) } == written, "another frame was read")
        }
    }
}

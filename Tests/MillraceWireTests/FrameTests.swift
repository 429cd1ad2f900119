/// Frames: what is written is read again, and any bytes give frames or an error.

import MillraceBase
import MillraceTestSupport
import MillraceWire
import Testing

/// A datagram's frames, and the error that ended it.
private func read(_ bytes: [UInt8]) -> (frames: [Frame], error: FrameError?) {
    var frames: [Frame] = []
    var reader = FrameReader(bytes.span.bytes)
    while true {
        // The short way for shreds says the same of the same bytes, and nothing of all others.
        var ahead = reader
        let shred = ahead.nextShred()
        do throws(FrameError) {
            guard let frame = try reader.next() else {
                #expect(shred == nil)
                return (frames, nil)
            }
            if case .shred(let key, let index, let symbol, nil) = frame {
                #expect(shred?.key == key && shred?.index == index && shred?.symbol == symbol)
                #expect(ahead.offset == reader.offset)
            } else {
                #expect(shred == nil)
            }
            frames.append(frame)
        } catch {
            #expect(shred == nil)
            return (frames, error)
        }
    }
}

/// The bytes that `body` writes.
private func written(_ body: (inout FrameWriter) -> Bool) -> [UInt8]? {
    var bytes = [UInt8](repeating: 0xEE, count: WireLimits.framesBytesMax)
    var count = 0
    let fits = bytes.withUnsafeMutableBytes { buffer in
        guard let base = buffer.baseAddress else { return false }
        var writer = FrameWriter(base: base, capacity: buffer.count)
        let fits = body(&writer)
        count = writer.count
        return fits
    }
    return fits ? Array(bytes.prefix(count)) : nil
}

private let key = SliceKey(firstHeight: 123_456, index: 2)
private let terms = ContractTerms(
    serial: 9, stripes: StripeSet(bits: 0x0003_5555_5555), headers: HeaderTerms(atOnce: true, sumEvery: 4),
    leaseMilliseconds: 10_000,
    budgetKilobitsPerSecond: 25_000)
private let sparingTerms = ContractTerms(
    serial: 2, stripes: StripeSet(bits: 0x003F_5555_5555), headers: HeaderTerms(atOnce: true, sumEvery: 1),
    leaseMilliseconds: 10_000, sparesParity: true)
private let controlFrames: [(name: String, frame: Frame)] = [
    ("subscribe", .subscribe(terms)),
    ("subscribe-sparing", .subscribe(sparingTerms)),
    ("accept", .accept(terms)),
    ("unsubscribe", .unsubscribe(serial: 10, cadence: .c0)),
    ("repair", .repair(request: 513, key, StripeSet(bits: 0b1011), withHeader: true)),
    ("miss", .miss(request: 513, StripeSet(bits: 0b1000), header: false)),
    ("catch-up", .catchUp(request: 7, cadence: .c0, first: 1_000, count: 256)),
    ("status", .status(StreamStatus(tip: 5_000, completeThrough: 4_998, floor: 12, dropped: 3, ended: true))),
    (
        "status-windows",
        .status(StreamStatus(tip: 5_000, completeThrough: 4_998, floor: 12, servesWindows: true))
    ),
    ("status-full", .status(StreamStatus(tip: 5_000, completeThrough: 4_998, floor: 12, isFull: true))),
    ("ping", .ping(0xDEAD_BEEF)),
    ("pong", .pong(0xDEAD_BEEF)),
    ("close", .close(.invalidShreds)),
    ("get-peers", .getPeers(request: 513, count: 6)),
    ("place", .place(hops: 2, childrenFree: 60)),
    ("place-without-stream", .place(hops: nil, childrenFree: 0)),
    (
        "feedback",
        .feedback(
            LinkFeedback(
                key: 3, largest: 70_000, received: 69_500, bytes: 81_000_000, at: 0x1234_5678, earlierBy: 11,
                earlierMicroseconds: 8_750))
    ),
    (
        "feedback-busy",
        .feedback(LinkFeedback(key: 3, largest: 70, received: 60, bytes: 80_000, at: 5, isBusy: true))
    ),
    (
        "feedback-marked",
        .feedback(LinkFeedback(key: 3, largest: 70, received: 60, bytes: 80_000, at: 5, marked: 7))
    ),
    (
        "feedback-single",
        .feedback(LinkFeedback(key: 3, largest: 0, received: 1, bytes: 60, at: 5))
    ),
]

@Suite struct FrameTests {
    @Test func `every control frame is read as it was written`() throws {
        for (name, frame) in controlFrames {
            let bytes = try #require(written { $0.append(frame) }, "\(name)")
            let result = read(bytes)
            #expect(result.frames == [frame], "\(name)")
            #expect(result.error == nil, "\(name)")
        }
    }

    @Test func `shreds and headers keep their bytes`() throws {
        let symbol = (0..<1_190).map { UInt8(truncatingIfNeeded: $0 * 7) }
        let bytes = try #require(
            written { writer in
                symbol.withUnsafeBytes { writer.appendShred(key, index: 41, symbol: $0, answering: 0x1234) }
            })
        guard case .shred(let readKey, let index, let range, let request) = read(bytes).frames.first else {
            Issue.record("no shred")
            return
        }
        #expect(readKey == key)
        #expect(index == 41)
        #expect(request == 0x1234)
        #expect(Array(bytes[range.range]) == symbol)
        #expect(bytes.count == FrameWriter.shredOverhead(key, answering: 0x1234) + symbol.count)

        let header = [UInt8](repeating: 5, count: 700)
        let headerBytes = try #require(
            written { writer in header.withUnsafeBytes { writer.appendHeader($0) } })
        guard case .header(let headerRange) = read(headerBytes).frames.first else {
            Issue.record("no header")
            return
        }
        #expect(Array(headerBytes[headerRange.range]) == header)
    }

    @Test func `the largest shred frame fits a datagram`() {
        let key = SliceKey(firstHeight: WireLimits.heightMax, index: UInt16(WireLimits.sliceCountMax - 1))
        #expect(FrameWriter.shredOverhead(key, answering: 1) <= WireLimits.shredFrameBytes)
    }

    @Test func `alternatives of a refusal are read as they were written`() throws {
        let peers = (0..<8).map {
            AlternativePeer(
                key: Hash32(word: U256(UInt64($0))),
                address: PeerAddress(ipv4: 0x7F00_0001, port: UInt16(9_000 + $0)))
        }
        let bytes = try #require(
            written {
                $0.appendRefuse(
                    serial: 3, cadence: .c0, reason: .full, retryAfterMilliseconds: 900, alternatives: peers)
            })
        guard case .refuse(let serial, _, let reason, let retryAfter, let range) = read(bytes).frames.first
        else {
            Issue.record("no refusal")
            return
        }
        #expect(serial == 3)
        #expect(reason == .full)
        #expect(retryAfter == 900)
        #expect(FrameReader.alternatives(bytes.span.bytes.extracting(range.range)) == peers)
    }

    @Test func `a frame cut at any byte is truncated and gives nothing`() throws {
        var frames = controlFrames.compactMap { frame in written { $0.append(frame.frame) } }
        let symbol = [UInt8](repeating: 1, count: 40)
        frames.append(
            try #require(
                written { writer in symbol.withUnsafeBytes { writer.appendShred(key, index: 3, symbol: $0) } }
            ))
        for bytes in frames {
            for count in 1..<bytes.count {
                let result = read(Array(bytes.prefix(count)))
                #expect(result.frames.isEmpty)
                #expect(result.error == .truncated)
            }
        }
    }

    @Test func `a frame that does not fit is not written`() {
        var memory = [UInt8](repeating: 0xEE, count: 100)
        memory.withUnsafeMutableBytes { buffer in
            guard let base = buffer.baseAddress else { return }
            var writer = FrameWriter(base: base, capacity: 50)
            let symbol = [UInt8](repeating: 1, count: 48)
            let fits = symbol.withUnsafeBytes { writer.appendShred(key, index: 1, symbol: $0) }
            #expect(!fits)
            #expect(writer.count == 0)
        }
        #expect(memory.allSatisfy { $0 == 0xEE })
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `any bytes give frames and then the end or an error`(seed: UInt64) {
        var generator = Seed(seed).generator("frames")
        for _ in 0..<20_000 {
            var bytes = (0..<Int(generator.below(64))).map { _ in UInt8(truncatingIfNeeded: generator.next())
            }
            if !bytes.isEmpty { bytes[0] = UInt8(generator.below(24)) }
            for frame in read(bytes).frames {
                if case .shred(_, let index, let range, _) = frame {
                    #expect(index < 48 && range.end <= bytes.count)
                }
            }
        }
    }

    @Test func `stripe sets count, take and clip`() {
        #expect(StripeSet.shreds(dataCount: 27, parityCount: 4).count == 31)
        #expect(StripeSet.shreds(dataCount: 32, parityCount: 16) == .all)
        #expect(StripeSet.shreds(dataCount: 99, parityCount: -1) == .allData)
        #expect(StripeSet.sparing(dataCount: 9) == StripeSet.shreds(dataCount: 32, parityCount: 3))
        #expect(StripeSet.sparing(dataCount: 10) == StripeSet.shreds(dataCount: 32, parityCount: 4))
        #expect(StripeSet.sparing(dataCount: 0) == .allData)
        #expect(StripeSet.sparing(dataCount: 99).parity.count == 11)
        #expect(StripeSet(bits: .max).count == 48)
        var set = StripeSet(bits: 0b10110)
        #expect(set.prefix(2) == StripeSet(bits: 0b110))
        #expect(set.popFirst() == 1)
        #expect(set.last == 4)
    }

    @Test func `vectors`() throws {
        if VectorFile.isWriting { try writeVectors() }
        for vector in try VectorFile.all("frames") {
            let result = read(vector.bytes)
            let outcome =
                switch result.error {
                case nil: "ok"
                case .truncated: "truncated"
                case .malformed: "malformed"
                case .unknownType: "unknownType"
                case .outOfRange: "outOfRange"
                }
            #expect(outcome == vector.expect, "\(vector.name)")
            if let frames = vector["frames"] {
                #expect(String(result.frames.count) == frames, "\(vector.name)")
            }
            if let (_, frame) = controlFrames.first(where: { $0.name == vector.name }) {
                #expect(result.frames == [frame], "\(vector.name)")
            }
        }
    }

    private func writeVectors() throws {
        func write(_ name: String, _ expect: String, _ why: String, _ bytes: [UInt8], frames: Int) throws {
            let fields = [("expect", expect), ("why", why), ("frames", String(frames))]
            try VectorFile(name: name, fields: fields, bytes: bytes).write(area: "frames")
        }
        for (name, frame) in controlFrames {
            try write(name, "ok", "one \(name) frame", try #require(written { $0.append(frame) }), frames: 1)
        }
        let symbol = (0..<20).map { UInt8($0) }
        let shred = try #require(
            written { writer in symbol.withUnsafeBytes { writer.appendShred(key, index: 33, symbol: $0) } })
        try write("shred", "ok", "parity shred 33 of slice 2 of height 123456", shred, frames: 1)
        let repaired = try #require(
            written { writer in
                symbol.withUnsafeBytes { writer.appendShred(key, index: 0, symbol: $0, answering: 513) }
            })
        try write("repaired", "ok", "shred 0, answering request 513", repaired, frames: 1)
        let header = try #require(
            written { writer in symbol.withUnsafeBytes { writer.appendHeader($0) } })
        try write("header", "ok", "a header frame; its bytes are chapter 40's to judge", header, frames: 1)
        let sum = try #require(
            written { writer in symbol.withUnsafeBytes { writer.appendHeaderSum($0) } })
        try write("header-sum", "ok", "a sum of headers; its bytes are 60.12's to judge", sum, frames: 1)
        let refuse = try #require(
            written {
                $0.appendRefuse(
                    serial: 9, cadence: .c0, reason: .full, retryAfterMilliseconds: 1_000,
                    alternatives: [
                        AlternativePeer(key: Hash32(word: U256(1)), address: .loopback(port: 9_000))
                    ])
            })
        try write("refuse", "ok", "refused, with one alternative", refuse, frames: 1)
        try write(
            "several", "ok", "a header, a shred and a pong in one datagram",
            header + shred + [0x0D, 1, 0, 0, 0], frames: 3)
        try write("empty", "ok", "no frame: a keepalive", [], frames: 0)
        try write(
            "unknown-type", "unknownType", "type byte 0x7f, behind a good frame", [0x0C, 1, 0, 0, 0, 0x7F],
            frames: 1)
        try write("padding", "unknownType", "padding is a frame: a zero byte is no type", [0x00], frames: 0)
        try write("cut", "truncated", "a shred whose symbol ends early", Array(shred.dropLast()), frames: 0)
        try write(
            "empty-symbol", "outOfRange", "a symbol has at least one byte", [0x02, 0, 1, 0, 0, 0, 0],
            frames: 0)
        try write(
            "long-symbol", "outOfRange", "a symbol of 1,191 bytes",
            [0x02, 0, 1, 0, 0, 0xA7, 0x04] + [UInt8](repeating: 0, count: 1_191),
            frames: 0)
        try write("shred-index", "outOfRange", "shred index 48", [0x02, 0, 1, 0, 48, 1, 0, 0], frames: 0)
        try write("cadence", "outOfRange", "cadence 6", [0x02, 6, 1, 0, 0, 1, 0, 0], frames: 0)
        try write(
            "height", "outOfRange", "a height of 2^48",
            [0x0A, 7, 0, 0, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40, 1, 0], frames: 0)
        try write(
            "varint", "malformed", "height 1 as the two bytes 81 00: not minimal",
            [0x0A, 7, 0, 0, 0x81, 0x00, 1, 0], frames: 0)
        try write(
            "catch-up-none", "outOfRange", "a range of no heights", [0x0A, 7, 0, 0, 1, 0, 0], frames: 0)
        try write(
            "catch-up-many", "outOfRange", "a range of 257 heights", [0x0A, 7, 0, 0, 1, 1, 1], frames: 0)
        try write(
            "alternatives", "outOfRange", "nine alternatives",
            [0x06, 1, 0, 0, 1, 9] + [UInt8](repeating: 0, count: 450), frames: 0)
        try write("flags", "outOfRange", "status flags 8", [0x0B, 8, 0, 0, 0, 0], frames: 0)
        try write(
            "feedback-flags", "outOfRange", "feedback flags 4", [0x20, 4, 3, 0, 9, 1, 0, 1, 0, 0, 0, 0],
            frames: 0)
        let record = try #require(
            written { writer in symbol.withUnsafeBytes { writer.appendRecord($0) } })
        try write("record", "ok", "a record frame; its bytes are chapter 65's to judge", record, frames: 1)
        let peers = try #require(
            written { writer in
                symbol.withUnsafeBytes { writer.appendPeers($0, count: 2, answering: 513) }
            })
        try write("peers", "ok", "an answer said to hold two records", peers, frames: 1)
        let evidence = try #require(
            written { writer in
                [UInt8](repeating: 7, count: 440).withUnsafeBytes { writer.appendEvidence($0) }
            })
        try write("evidence", "ok", "evidence; its bytes are chapter 67's to judge", evidence, frames: 1)
        try write(
            "evidence-short", "outOfRange", "439 bytes hold no proof",
            [0x30, 0xB7, 1] + [UInt8](repeating: 7, count: 439), frames: 0)
        try write("record-empty", "outOfRange", "a record of no bytes", [0x10, 0], frames: 0)
        try write(
            "record-long", "outOfRange", "a record of 165 bytes",
            [0x10, 165] + [UInt8](repeating: 0, count: 165), frames: 0)
        try write(
            "feedback-marks-none", "outOfRange", "marked, and none was",
            [0x20, 2, 3, 0, 9, 4, 0, 1, 0, 0, 0, 0, 0],
            frames: 0)
        try write(
            "feedback-marks-many", "outOfRange", "five marked of four",
            [0x20, 2, 3, 0, 9, 4, 0, 1, 0, 0, 0, 0, 5], frames: 0)
        try write(
            "padding-frame", "ok", "a question in a longer datagram",
            [0x0C, 1, 2, 3, 4, 0x22, 5, 0, 0, 0, 0, 0, 0],
            frames: 2)
        try write("padding-none", "outOfRange", "padding of no bytes", [0x22, 0, 0], frames: 0)
        try write("padding-short", "truncated", "four bytes of five", [0x22, 5, 0, 0, 0, 0, 0], frames: 0)
        try write(
            "feedback-nothing", "outOfRange", "nothing was received",
            [0x20, 0, 3, 0, 9, 0, 0, 1, 0, 0, 0, 0],
            frames: 0)
        try write(
            "feedback-more", "outOfRange", "eleven datagrams of ten",
            [0x20, 0, 3, 0, 9, 11, 0, 1, 0, 0, 0, 0],
            frames: 0)
        try write(
            "feedback-before", "outOfRange", "ten counters before counter 9",
            [0x20, 0, 3, 0, 9, 1, 0, 1, 0, 0, 0, 10, 1], frames: 0)
        try write("get-peers-none", "outOfRange", "a request for no records", [0x11, 1, 2, 0], frames: 0)
        try write("get-peers-many", "outOfRange", "a request for 7 records", [0x11, 1, 2, 7], frames: 0)
        try write("peers-many", "outOfRange", "an answer of 7 records", [0x12, 1, 2, 7, 0, 0], frames: 0)
        try write(
            "peers-long", "outOfRange", "165 bytes for one record",
            [0x12, 1, 2, 1, 165, 0] + [UInt8](repeating: 0, count: 165), frames: 0)
        try write("place-far", "outOfRange", "nine hops", [0x13, 9, 0, 0], frames: 0)
        try write("header-sum-length", "outOfRange", "a sum of headers of no bytes", [0x0F, 0, 0], frames: 0)
        try write(
            "subscribe-flags", "outOfRange", "contract flags 16", [0x04, 1, 0, 16, 0, 0, 0, 0, 0, 0, 1, 1],
            frames: 0)
        try write("header-length", "outOfRange", "a header of no bytes", [0x01, 0, 0], frames: 0)
        try write(
            "slice-index", "outOfRange", "slice 1,024", [0x02, 0, 1, 0x80, 0x08, 0, 1, 0, 0], frames: 0)
    }
}

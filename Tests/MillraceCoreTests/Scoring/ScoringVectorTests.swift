import Foundation
import MillraceBase
import MillraceTestSupport
import Testing

@testable import MillraceCore

/// The arithmetic of chapter 66: decays, and runs of events with the terms they give. `MILLRACE_WRITE_VECTORS=1` writes them
/// anew.
@Suite struct `Scoring vectors` {
    /// One event of a run: its number, then its arguments, all little-endian (Spec 66.8).
    enum Event {
        case at(milliseconds: UInt32)
        case numbered(expected: UInt32, genuine: UInt32)
        case judged(owed: UInt16, missing: UInt16, symbolBytes: UInt16, admitted: Bool)
        case offended(bytes: UInt32)
        case answered(shreds: UInt16, useful: UInt16, claimed: Bool)
        case missed(shreds: UInt16, claimed: Bool)
        case ignored(shreds: UInt16)
        case flooded(frames: UInt32)
        case arrived(behindMicroseconds: UInt32)
        case dropped(total: UInt32)
    }

    static func encode(_ events: [Event]) -> [UInt8] {
        var bytes: [UInt8] = []
        func put(_ kind: UInt8, _ words: [UInt32] = [], _ halves: [UInt16] = [], _ flag: Bool? = nil) {
            bytes.append(kind)
            for word in words { bytes.appendLittleEndian(word) }
            for half in halves { bytes.appendLittleEndian(half) }
            if let flag { bytes.append(flag ? 1 : 0) }
        }
        for event in events {
            switch event {
            case .at(let time): put(0, [time])
            case .numbered(let expected, let genuine): put(1, [expected, genuine])
            case .judged(let owed, let missing, let symbol, let admitted):
                put(2, [], [owed, missing, symbol], admitted)
            case .offended(let count): put(3, [count])
            case .answered(let shreds, let useful, let claimed): put(4, [], [shreds, useful], claimed)
            case .missed(let shreds, let claimed): put(5, [], [shreds], claimed)
            case .ignored(let shreds): put(6, [], [shreds])
            case .flooded(let frames): put(7, [frames])
            case .arrived(let late): put(8, [late])
            case .dropped(let total): put(9, [total])
            }
        }
        return bytes
    }

    /// Plays the bytes of a run and gives the score at its end.
    static func play(_ bytes: [UInt8]) throws -> PeerScore {
        var reader = ByteReader(bytes.span.bytes)
        var now = Instant.zero
        var score = PeerScore(now: now)
        while reader.remaining > 0 {
            switch try reader.u8() {
            case 0: now = Instant(nanoseconds: UInt64(try reader.u32()) * 1_000_000)
            case 1:
                score.arrivals(
                    expected: UInt64(try reader.u32()), genuine: UInt64(try reader.u32()), now: now)
            case 2:
                score.judged(
                    owed: Int(try reader.u16()), missing: Int(try reader.u16()),
                    symbolBytes: Int(try reader.u16()), admitted: try reader.u8() == 1, now: now)
            case 3: score.offended(bytes: Int(try reader.u32()), now: now)
            case 4:
                let (shreds, useful) = (Int(try reader.u16()), Int(try reader.u16()))
                score.answered(shreds: shreds, claimed: try reader.u8() == 1, now: now)
                score.helped(shreds: useful, now: now)
            case 5: score.missed(shreds: Int(try reader.u16()), claimed: try reader.u8() == 1, now: now)
            case 6: score.ignored(shreds: Int(try reader.u16()), now: now)
            case 7: score.flooded(frames: Int(try reader.u32()), now: now)
            case 8: score.arrived(behindFirst: .microseconds(Int64(try reader.u32())), now: now)
            default: score.dropped(UInt64(try reader.u32()))
            }
        }
        score.advance(to: now)
        return score
    }

    static func run(_ name: String, _ why: String, _ events: [Event]) throws -> VectorFile {
        let bytes = encode(events)
        var score = try play(bytes)
        let report = score.report()
        var fields: [(name: String, value: String)] = [("expect", "ok"), ("why", why)]
        for (name, term) in report.terms { fields.append((name, "\(term.value) points \(term.points)")) }
        fields.append(("points", String(report.points)))
        var end: UInt32 = 0
        for case .at(let time) in events { end = time }
        let now = Instant(nanoseconds: UInt64(end) * 1_000_000)
        fields.append(("standing", score.review(.init(), forgivesWithholding: false, now: now).name))
        return VectorFile(name: name, fields: fields, bytes: bytes)
    }

    /// A second of stream: four shreds owed every 10 ms, `missing` of each ten slices short of one, `gaps` explained.
    static func second(from start: UInt32, shortSlices: Int, gaps: UInt32, counted: inout (UInt32, UInt32))
        -> [Event]
    {
        var events: [Event] = []
        for slice in 0..<100 {
            events.append(.at(milliseconds: start + UInt32(slice) * 10))
            counted.0 += 4
            counted.1 += 4
            if slice % 10 == 0, gaps > 0 { counted.1 -= gaps }
            if slice % 10 == 0 { events.append(.numbered(expected: counted.0, genuine: counted.1)) }
            events.append(
                .judged(
                    owed: 4, missing: slice % 10 < shortSlices ? 1 : 0, symbolBytes: 1_190, admitted: false))
        }
        return events
    }

    static func vectors() throws -> [VectorFile] {
        // Decay: value, steps, result, each u32.
        var table: [UInt8] = []
        for value in [0, 1, 2, 1_023, 1_024, 65_536, 1_000_000, 1 << 30] as [UInt64] {
            for steps in [0, 1, 2, 7, 19, 20, 21, 40, 59, 199, 400, 799, 800, 10_000] as [Int64] {
                table.appendLittleEndian(UInt32(value))
                table.appendLittleEndian(UInt32(steps))
                table.appendLittleEndian(UInt32(Decay.of(value, steps: steps)))
            }
        }
        var counted: (UInt32, UInt32) = (0, 0)
        let honest = (0..<5).flatMap { second(from: $0 * 1_000, shortSlices: 1, gaps: 1, counted: &counted) }
        counted = (0, 0)
        let withheld = (0..<2).flatMap {
            second(from: $0 * 1_000, shortSlices: 10, gaps: 0, counted: &counted)
        }
        counted = (0, 0)
        let mixed = (0..<2).flatMap { second(from: $0 * 1_000, shortSlices: 4, gaps: 1, counted: &counted) }
        return [
            VectorFile(
                name: "decay",
                fields: [("expect", "ok"), ("why", "value u32, steps u32, value after them u32, and so on")],
                bytes: table),
            try run("lossy-line", "a shred of forty is missing and a datagram of forty is", honest),
            try run("withheld-quarter", "a shred of four is missing and every datagram came", withheld),
            try run("withheld-behind-loss", "gaps explain a quarter of what is missing", mixed),
            try run(
                "withheld-then-a-minute", "the fast share fades, the slow one stays",
                withheld + [.at(milliseconds: 62_000)]),
            try run(
                "dropped-and-admitted", "what the peer says it dropped or lacks is short, not withheld",
                [
                    .dropped(total: 50), .judged(owed: 200, missing: 80, symbolBytes: 1_190, admitted: false),
                    .judged(owed: 200, missing: 60, symbolBytes: 1_190, admitted: true),
                ]),
            try run(
                "forged", "two forgeries in three seconds",
                [
                    .at(milliseconds: 2_990), .offended(bytes: 1_200), .at(milliseconds: 3_000),
                    .offended(bytes: 1_190),
                ]),
            try run(
                "promises", "MISS against a claim, MISS without, answers, silence",
                [
                    .answered(shreds: 30, useful: 24, claimed: true), .missed(shreds: 10, claimed: true),
                    .missed(shreds: 9, claimed: false), .ignored(shreds: 60),
                ]),
            try run("flood", "frames over the allowance", [.flooded(frames: 2_100)]),
            try run(
                "late", "sixty heights 55 ms behind the first, and one of them 900 ms",
                (0..<60).map { .arrived(behindMicroseconds: $0 == 30 ? 900_000 : 55_000) }),
        ]
    }

    @Test func `every vector is what the code gives`() throws {
        let made = try Self.vectors()
        if VectorFile.isWriting { for vector in made { try vector.write(area: "scoring") } }
        let stored = try VectorFile.all("scoring")
        #expect(stored.map(\.name).sorted() == made.map(\.name).sorted())
        for vector in made {
            #expect(stored.first { $0.name == vector.name } == vector, "\(vector.name)")
        }
    }

    @Test func `a table of powers of one half is right to the last bit`() {
        // factor² of two steps against one of both: floor errors stay below two units.
        for a in 1..<10 {
            let product = (Decay.factors[a] * Decay.factors[a]) >> 32
            let direct = Decay.factors[2 * a]
            #expect(direct >= product && direct - product <= 2, "\(a)")
        }
        #expect(Decay.factors.count == 20)
        for value in [1, 1_000, 1 << 30] as [UInt64] {
            #expect(Decay.of(value, steps: 20) == value / 2)
            #expect(Decay.of(value, steps: 100_000) == 0)
        }
    }
}

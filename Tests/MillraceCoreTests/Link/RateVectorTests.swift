/// `Protocol-Spec/vectors/link-layer`: sequences of reports, and the rate after each (Spec 55.4, 55.5).

import MillraceBase
import MillraceTestSupport
import Testing

@testable import MillraceCore

/// One report is 29 bytes, little-endian: when it came in µs (u32), round trip (u32), delay and least delay (i32 each),
/// datagrams sent and received (u16 each), bytes (u32), span in µs (u32), flags (u8): 1 backlogged, 2 busy.
private let reportBytes = 29

private func encoded(_ report: LinkReport, at: Int64) -> [UInt8] {
    var bytes: [UInt8] = []
    func put(_ value: Int64, _ count: Int) {
        for i in 0..<count { bytes.append(UInt8(truncatingIfNeeded: value >> (8 * Int64(i)))) }
    }
    put(at, 4)
    put(report.roundTrip.microseconds, 4)
    put(report.delay, 4)
    put(report.delayLeast, 4)
    put(report.datagramsSent, 2)
    put(report.datagramsReceived, 2)
    put(report.bytes, 4)
    put(report.microseconds, 4)
    put(
        (report.isBacklogged ? 1 : 0) + (report.isBusy ? 2 : 0)
            + (report.datagramsMarked > 0 ? 4 : 0), 1)
    return bytes
}

private func decoded(_ bytes: ArraySlice<UInt8>) -> (report: LinkReport, at: Int64) {
    var place = bytes.startIndex
    func take(_ count: Int) -> Int64 {
        var value: Int64 = 0
        for i in 0..<count { value |= Int64(bytes[place + i]) << (8 * Int64(i)) }
        place += count
        return value
    }
    func signed() -> Int64 { Int64(Int32(truncatingIfNeeded: take(4))) }
    let at = take(4)
    let report = LinkReport(
        roundTrip: .microseconds(take(4)), delay: signed(), delayLeast: signed(), datagramsSent: take(2),
        datagramsReceived: take(2), bytes: take(4), microseconds: take(4), isBacklogged: false)
    let flags = take(1)
    var flagged = report
    flagged.isBacklogged = flags & 1 != 0
    flagged.isBusy = flags & 2 != 0
    flagged.datagramsMarked = flags & 4 != 0 ? 1 : 0
    return (flagged, at)
}

private func rates(_ bytes: [UInt8], ceiling: Int64) -> [Int64] {
    let start = Instant(nanoseconds: 1_000_000_000)
    var controller = RateController(ceilingBytesPerSecond: ceiling, now: start)
    return stride(from: 0, to: bytes.count, by: reportBytes).map { place in
        let (report, at) = decoded(bytes[place..<place + reportBytes])
        controller.update(report, now: start + .microseconds(at))
        return controller.rate
    }
}

/// A report every 40 ms of a sender of `rate` bytes a second; `shape` says queue in µs, lost datagrams, and whether
/// something waited.
private func sequence(
    count: Int64, roundTrip: Int64, busy: ClosedRange<Int64> = 0...0, marked: ClosedRange<Int64> = 0...0,
    shape: (Int64) -> (queue: Int64, lost: Int64, sent: Int64, waits: Bool)
) -> [UInt8] {
    (1...count).flatMap { step in
        let (queue, lost, sent, waits) = shape(step)
        return encoded(
            LinkReport(
                roundTrip: .microseconds(roundTrip + queue), delay: 700_000 + queue + step % 3 * 400,
                delayLeast: 700_000 + queue, datagramsSent: sent, datagramsReceived: sent - lost,
                bytes: (sent - lost) * 1_260, microseconds: 40_000, isBacklogged: waits,
                isBusy: busy.contains(step), datagramsMarked: marked.contains(step) ? 1 : 0),
            at: step * 40_000)
    }
}

private let cases: [(name: String, why: String, bytes: [UInt8])] = [
    (
        "open", "a source that the way carries: the pace doubles to the ceiling and stays",
        sequence(count: 30, roundTrip: 50_000) { step in (step % 2 * 3_000, 0, 16, false) }
    ),
    (
        "overload",
        "a queue grows by 10 ms a report, stands at 120 ms, drains, and is empty though something waits",
        sequence(count: 60, roundTrip: 50_000) { step in
            (
                step < 10 ? 0 : step < 22 ? (step - 9) * 10_000 : max(0, 120_000 - (step - 22) * 8_000), 0,
                14, step > 14
            )
        }
    ),
    (
        "policer", "a quarter is lost without delay, and nothing when less is sent",
        sequence(count: 80, roundTrip: 60_000) { step in step < 40 ? (0, 8, 32, true) : (0, 0, 22, true) }
    ),
    (
        "busy", "a receiver that is busy sees delays of 200 ms; later there is a queue, and it is busy again",
        sequence(count: 80, roundTrip: 60_000, busy: 5...25) { step in
            (step < 5 || (26..<40).contains(step) ? 0 : step <= 25 ? 200_000 : 60_000, 0, 30, step > 40)
        }
    ),
    (
        "marked", "one datagram in every report is marked for a while, without delay",
        sequence(count: 80, roundTrip: 60_000, marked: 30...45) { step in (step % 2 * 2_000, 0, 30, step > 32)
        }
    ),
    (
        "chance", "a tenth is lost whatever is sent",
        sequence(count: 80, roundTrip: 60_000) { _ in (0, 3, 30, false) }
    ),
]

@Test func `vectors of the link layer`() throws {
    let ceiling: Int64 = 12_500_000
    if VectorFile.isWriting {
        for (name, why, bytes) in cases {
            let list = rates(bytes, ceiling: ceiling).map(String.init).joined(separator: " ")
            try VectorFile(
                name: name,
                fields: [("expect", "ok"), ("why", why), ("ceiling", String(ceiling)), ("rates", list)],
                bytes: bytes
            ).write(area: "link-layer")
        }
    }
    for vector in try VectorFile.all("link-layer") {
        let ceiling = try #require(vector["ceiling"].flatMap(Int64.init))
        let list = rates(vector.bytes, ceiling: ceiling).map(String.init).joined(separator: " ")
        #expect(list == vector["rates"], "\(vector.name)")
    }
}

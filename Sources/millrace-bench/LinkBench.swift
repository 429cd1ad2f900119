/// `millrace-bench links`: nanoseconds that the link model takes for a datagram, beside a bare token bucket (one division,
/// no queue, no draws) in the same run. The simulator asks it twice for every datagram.

import ArgumentParser
import CMillraceCounting
import MillraceBase
import MillraceLink
import MillraceLoop

struct LinkBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "links", abstract: "The link model's time for a datagram, beside a bare token bucket.")
    @OptionGroup var options: BenchOptions

    private static let links = [
        ("delay alone", "delay=20"),
        ("rate, queue, loss, delay", "rate=25,queue=100ms,loss=1%,delay=20"),
        ("  losses in bursts", "rate=25,queue=100ms,loss=1%,burst=3,delay=20"),
        ("  jitter", "rate=25,queue=100ms,loss=1%,delay=20,jitter=2"),
        ("  losses in states of time", "rate=25,queue=100ms,goodms=900,badms=10,delay=20"),
        ("  CoDel", "rate=25,queue=100ms,loss=1%,delay=20,aqm=codel"),
        ("  policer", "rate=25,queue=100ms,loss=1%,delay=20,policer=20"),
        ("  outages", "rate=25,queue=100ms,loss=1%,delay=20,outage=1s+300/15s"),
        (
            "  a trace for the rate",
            "trace=35:42:50:28:18:10:22:31:26:0:24:38@500,queue=100ms,loss=1%,delay=20"
        ),
        ("wifi-congested", "wifi-congested"),
        ("dsl-25", "dsl-25"),
    ]

    func run() throws {
        var report = BenchReport("links")
        let bare = bareNanoseconds()
        var allocated: UInt64 = 0
        for (name, text) in LinkBench.links {
            let (nanoseconds, allocations) = try modelNanoseconds(text)
            report.row(name, nanoseconds, "ns", peer: "bare token bucket", bare)
            allocated += allocations
        }
        report.row("allocations in all of them", Double(allocated), "(must be 0)")
        report.print(json: options.json)
        if allocated != 0, Machine.build != "debug" { throw ExitCode.failure }
    }

    /// Datagrams of 1,232 bytes at 1.2 times 25 Mbit/s half the time, at 0.6 times the other half: the queue fills and drains.
    private func measure(_ body: (Instant) -> UInt64) -> Double {
        var now: UInt64 = 0
        var count: UInt64 = 0
        var sum: UInt64 = 0
        func stretch(until end: Instant) {
            while MillraceLoop.Machine.now < end {
                for _ in 0..<16 {
                    for _ in 0..<256 {
                        sum &+= body(Instant(nanoseconds: now))
                        now &+= 336_000
                    }
                    for _ in 0..<256 {
                        sum &+= body(Instant(nanoseconds: now))
                        now &+= 672_000
                    }
                }
                count += 16 * 512
            }
        }
        var best = Double.infinity
        // The best of nine: what the code costs, not what its neighbours do.
        for _ in 0..<9 {
            count = 0
            let start = MillraceLoop.Machine.now
            stretch(until: start + .nanoseconds(Int64(options.seconds * 1e9 / 9)))
            best = min(best, Double((MillraceLoop.Machine.now - start).nanoseconds) / Double(count))
        }
        precondition(sum != 1, "used, so that nothing is optimised away")
        return best
    }

    private func modelNanoseconds(_ text: String) throws -> (Double, UInt64) {
        var model = LinkModel(try LinkParameters(text: text), seed: Seed(1))
        // The queue grows to its largest in the first milliseconds.
        for i in 0..<2_000 as Range<UInt64> { _ = model.pass(bytes: 1_232, now: Instant(nanoseconds: i)) }
        _ = model.queuedBytes(now: .zero + .seconds(100))
        let base: UInt64 = 100_000_000_000
        let before = mr_allocation_count()
        let nanoseconds = measure {
            model.pass(bytes: 1_232, now: Instant(nanoseconds: $0.nanoseconds &+ base)).at.nanoseconds
        }
        return (nanoseconds, UInt64(mr_allocation_count() - before))
    }

    private func bareNanoseconds() -> Double {
        var bucket = BareBucket(bitsPerSecond: 25_000_000)
        return measure { bucket.pass(bytes: 1_232, now: $0).nanoseconds }
    }
}

private struct BareBucket {
    let bitsPerSecond: UInt64
    var busyUntil: UInt64 = 0

    @inline(never)
    mutating func pass(bytes: Int, now: Instant) -> Instant {
        let start = max(now.nanoseconds, busyUntil)
        // Nothing beyond 100 ms of queue.
        guard start - now.nanoseconds < 100_000_000 else { return .distantFuture }
        busyUntil = start + UInt64(bytes + 28) * 8_000_000_000 / bitsPerSecond
        return Instant(nanoseconds: busyUntil)
    }
}

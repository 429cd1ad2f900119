/// `millrace-bench datagrams`: datagrams between two loopback sockets through the event loop, beside a bare C loop in the
/// same run, with and without segmentation offload; and the link model's and CRC32C's speed.

import ArgumentParser
import CMillraceCounting
import CMillraceShims
import MillraceBase
import MillraceLink
import MillraceLoop

struct DatagramBench: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "datagrams",
        abstract: "Loopback datagrams through the loop, beside a bare C loop; links; CRC32C.")
    @OptionGroup var options: BenchOptions

    func run() throws {
        var report = BenchReport("datagrams")
        var allocated: UInt64 = 0
        for usesOffload in [true, false] {
            let (rate, calls, allocations) = try loopRate(usesOffload: usesOffload)
            let features = usesOffload ? UInt32(MR_UDP_GSO | MR_UDP_GRO) : 0
            // The bare loop for about as long.
            var received: UInt64 = 0
            let taken = mr_bench_loopback(
                UInt64(max(rate * options.seconds, 1_000)), 1_232, 64, features, &received)
            let bare = taken > 0 ? Double(received) * 1e9 / Double(taken) : 0
            let name = usesOffload ? "1,232 bytes, GSO and GRO" : "1,232 bytes, sendmmsg"
            report.row(name, rate, "datagrams/s", peer: "bare C loop", bare)
            report.row("  datagrams per send call", calls, "")
            report.row("  allocations in all of them", Double(allocations), "(must be 0)")
            allocated = max(allocated, allocations)
        }
        report.row("link model, rate + loss + jitter", try linkRate(), "datagrams/s")
        let (hardware, table) = crcRates()
        report.row("CRC32C", hardware / 1e9, "GB/s", peer: "tables", table / 1e9)
        report.print(json: options.json)
        // A count does not depend on the machine; a debug build boxes what the optimizer keeps in registers.
        if allocated != 0, Machine.build != "debug" { throw ExitCode.failure }
    }

    /// Datagrams received per second, and sent per system call: batches of 64 from one socket to another on one loop.
    private func loopRate(usesOffload: Bool) throws -> (Double, Double, UInt64) {
        let loop = try EventLoop()
        var socketOptions = UDPSocketOptions()
        socketOptions.usesOffload = usesOffload
        let a = try UDPSocket(on: loop, bind: .loopback(port: 0), options: socketOptions)
        let b = try UDPSocket(on: loop, bind: .loopback(port: 0), options: socketOptions)
        var received: UInt64 = 0
        b.start { bytes, _ in received &+= bytes.count == 1_232 ? 1 : 0 }
        let to = b.localAddress
        func turn() {
            for i in 0..<64 {
                guard let slot = a.nextSlot() else { break }
                slot[0] = UInt8(i)
                a.commit(count: 1_232, to: to)
            }
            a.flush()
            loop.runOnce(waiting: false)
        }
        for _ in 0..<10 { turn() }
        received = 0
        let allocationsBefore = mr_allocation_count()
        let start = MillraceLoop.Machine.now
        let end = start + .nanoseconds(Int64(options.seconds * 1e9))
        while MillraceLoop.Machine.now < end { turn() }
        let allocations = UInt64(mr_allocation_count() - allocationsBefore)
        let seconds = (MillraceLoop.Machine.now - start).asSeconds
        let calls = Double(a.counters.datagramsSent) / Double(max(a.counters.sendCalls, 1))
        a.close()
        b.close()
        loop.close()
        return (Double(received) / seconds, calls, allocations)
    }

    private func linkRate() throws -> Double {
        var model = LinkModel(
            try LinkParameters(text: "rate=25,rtt=100,loss=2%,burst=3,jitter=2"), seed: Seed(1))
        var count: UInt64 = 0
        let start = MillraceLoop.Machine.now
        let end = start + .nanoseconds(Int64(options.seconds * 1e9))
        while MillraceLoop.Machine.now < end {
            for _ in 0..<10_000 {
                _ = model.pass(bytes: 1_232, now: Instant(nanoseconds: count &* 400_000))
                count &+= 1
            }
        }
        return Double(count) / (MillraceLoop.Machine.now - start).asSeconds
    }

    private func crcRates() -> (Double, Double) {
        let bytes = [UInt8](repeating: 0x5A, count: 1 << 20)
        func rate(_ sum: (UInt32, UnsafeRawPointer?, Int) -> UInt32) -> Double {
            var total = 0.0
            var crc: UInt32 = 0
            let start = MillraceLoop.Machine.now
            let end = start + .nanoseconds(Int64(options.seconds * 1e9))
            while MillraceLoop.Machine.now < end {
                bytes.withUnsafeBytes { crc = sum(crc, $0.baseAddress, $0.count) }
                total += Double(bytes.count)
            }
            return total / (MillraceLoop.Machine.now - start).asSeconds
        }
        return (rate(mr_crc32c), rate(mr_crc32c_table))
    }
}

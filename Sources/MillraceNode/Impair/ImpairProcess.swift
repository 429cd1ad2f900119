/// `millrace impair`: the proxy on a loop of its own, reporting until it is told to end.

public import MillraceBase
import MillraceLink
import MillraceLoop

public final class ImpairProcess {
    private let options: ImpairOptions
    private let status: StatusLines
    private let loop: EventLoop
    private let proxy: ImpairProxy
    private var timer: LoopTimer?
    private var signals: [SignalWatcher] = []
    private let interval: Interval?
    private let start: Instant

    /// `interval`: how often it reports while it runs; never, when nil.
    public init(_ options: ImpairOptions, _ status: StatusLines, every interval: Interval?) throws {
        self.options = options
        self.status = status
        self.interval = interval
        loop = try EventLoop()
        start = loop.now
        do {
            proxy = try ImpairProxy(on: loop, options)
        } catch {
            loop.close()
            throw error
        }
    }

    /// Runs until SIGINT or SIGTERM.
    public func run() throws {
        signals = try [.terminate, .interrupt].map { signal in
            try SignalWatcher(on: loop, signal) { [unowned self] in loop.stop() }
        }
        let addresses = proxy.listeningAddresses.map(\.description)
        status.report(
            "listening",
            [
                ("address", .string(addresses.joined(separator: ","))), ("up", .string(options.up.text)),
                ("down", .string(options.down.text)),
            ],
            plain: zip(addresses, options.routes).map { "\($0) → \($1.upstream)" }.joined(separator: "\n")
                + "\n  up:   \(options.up.text)\n  down: \(options.down.text)")
        if let interval {
            let timer = try LoopTimer(on: loop) { [unowned self] in
                report("status")
                self.timer?.set(after: interval)
            }
            self.timer = timer
            timer.set(after: interval)
        }
        loop.run()
        report("final")
        timer?.close()
        for signal in signals { signal.close() }
        proxy.close()
        loop.close()
    }

    private func report(_ event: String) {
        let counters = proxy.counters
        let seconds = (loop.now - start).asSeconds
        status.report(
            event, ImpairProcess.fields(counters, seconds: seconds),
            plain: ImpairProcess.sentence(counters, seconds: seconds))
    }

    static func fields(_ counters: ImpairCounters, seconds: Double) -> [(String, JSON)] {
        func direction(_ link: LinkCounters, _ wireBytes: UInt64) -> JSON {
            .object([
                ("offeredDatagrams", .unsigned(link.offeredDatagrams)),
                ("offeredBytes", .unsigned(link.offeredBytes)),
                ("deliveredDatagrams", .unsigned(link.deliveredDatagrams)),
                ("deliveredBytes", .unsigned(link.deliveredBytes)),
                ("deliveredMbitPerSec", .number(seconds > 0 ? Double(wireBytes) * 8 / seconds / 1e6 : 0)),
                ("lostDatagrams", .unsigned(link.lost)), ("queueFullDatagrams", .unsigned(link.queueFull)),
                ("managedDatagrams", .unsigned(link.managed)), ("tooLongDatagrams", .unsigned(link.tooLong)),
                ("policedDatagrams", .unsigned(link.policed)), ("markedDatagrams", .unsigned(link.marked)),
                ("reorderedDatagrams", .unsigned(link.reordered)),
                ("duplicatedDatagrams", .unsigned(link.duplicated)),
                ("corruptedDatagrams", .unsigned(link.corrupted)),
                ("queuePeakBytes", .integer(Int64(link.queueBytesPeak))),
            ])
        }
        return [
            ("seconds", .number(seconds)), ("receivedBytes", .unsigned(counters.downWireBytesIn)),
            ("sentBytes", .unsigned(counters.downWireBytesOut)),
            ("clients", .integer(Int64(counters.clients))),
            ("up", direction(counters.up, counters.upWireBytesOut)),
            ("down", direction(counters.down, counters.downWireBytesOut)),
            ("refusedDatagrams", .unsigned(counters.clientsRefused)),
            ("strangerDatagrams", .unsigned(counters.strangers)),
            ("oversizedDatagrams", .unsigned(counters.oversized)),
            ("overflowedDatagrams", .unsigned(counters.overflowed + counters.sendQueueFull)),
            ("kernelDroppedDatagrams", .unsigned(counters.kernelDrops)),
        ]
    }

    static func sentence(_ counters: ImpairCounters, seconds: Double) -> String {
        func line(_ name: String, _ link: LinkCounters, _ wireBytes: UInt64) -> String {
            let rate = JSON.number(seconds > 0 ? Double(wireBytes) * 8 / seconds / 1e6 : 0, decimals: 2)
                .text()
            var text =
                "  \(name) \(rate) Mbit/s, \(link.deliveredDatagrams) of \(link.offeredDatagrams) delivered"
            let drops = [
                ("lost", link.lost), ("queue full", link.queueFull), ("managed", link.managed),
                ("too long", link.tooLong), ("policed", link.policed), ("marked", link.marked),
                ("reordered", link.reordered), ("duplicated", link.duplicated), ("corrupted", link.corrupted),
            ]
            for (what, count) in drops where count > 0 { text += ", \(count) \(what)" }
            return text
        }
        return "\(JSON.number(seconds, decimals: 1).text()) s, \(counters.clients) clients\n"
            + line("up:  ", counters.up, counters.upWireBytesOut) + "\n"
            + line("down:", counters.down, counters.downWireBytesOut)
            + (counters.kernelDrops > 0
                ? "\n  the kernel dropped \(counters.kernelDrops): this machine is too slow" : "")
    }
}

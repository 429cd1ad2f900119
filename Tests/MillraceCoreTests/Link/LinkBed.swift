/// Senders and receivers of the link layer on both sides of one modelled bottleneck, on virtual time.
///
///     source ─▶ backlog ─▶ pacer ─▶ ┌ bottleneck ┐ ─▶ ReceiveRecord
///                  ▲                └────────────┘          │
///                  └───── LinkSender ◀── feedback, its own way back

import MillraceBase
import MillraceLink
import MillraceWire

@testable import MillraceCore

final class LinkBed {
    enum Source {
        /// Always has something to send.
        case greedy
        /// A mini-block every 10 ms, kbit/s on average.
        case stream(kilobitsPerSecond: Int64)
    }

    final class Flow {
        let source: Source
        let begins: Instant
        var ends = Instant.distantFuture
        var sender: LinkSender
        var pacer: Pacer
        var receiver = ReceiveRecord()
        var way: LinkPipe
        var backlog: Int64 = 0
        var counter: UInt64 = 0
        var told: [LinkFeedback] = []
        var deliveredBytes: Int64 = 0
        var sentBytes: Int64 = 0
        var lostDatagrams = 0
        var sentDatagrams = 0
        var feedbackBytes = 0

        init(
            _ source: Source, begins: Instant, ceiling: Int64, back: LinkParameters, seed: UInt64,
            index: UInt64
        ) {
            self.source = source
            self.begins = begins
            sender = LinkSender(ceilingBytesPerSecond: ceiling, now: begins)
            pacer = Pacer(kilobitsPerSecond: UInt32(clamping: ceiling / 125), now: begins)
            way = LinkPipe(back, seed: Seed(seed), index: 100 + index)
        }
    }

    static let datagramBytes = 1_200
    static let step = Interval.microseconds(500)
    static let start = Instant(nanoseconds: 5_000_000_000)

    private(set) var now = LinkBed.start
    private(set) var flows: [Flow] = []
    private var bottleneck: LinkPipe
    private let back: LinkParameters
    private let seed: UInt64
    /// When each datagram under way was sent, by token.
    private var sentAt: [UInt64: (flow: Int, counter: UInt64, at: Instant)] = [:]
    private var token: UInt64 = 0
    /// One-way times in µs, less the link's own delay, since `measure()`.
    private(set) var queueing: [Int64] = []
    /// The least of each 50 ms.
    private(set) var standing: [Int64] = []
    private var standingLeast = Int64.max
    private var standingTurnsAt = LinkBed.start
    private let delay: Interval
    /// What the receivers' clock shows beyond the senders'.
    var clockAhead = Interval.seconds(1_000)

    init(_ text: String, trace: RateTrace? = nil, seed: UInt64 = 1) {
        var parameters = (try? LinkParameters(text: text)) ?? LinkParameters()
        if let trace { parameters.trace = trace }
        bottleneck = LinkPipe(parameters, seed: Seed(seed), index: 0)
        delay = parameters.delay
        var plain = LinkParameters()
        plain.delay = parameters.delay
        back = plain
        self.seed = seed
    }

    @discardableResult
    func add(_ source: Source, after: Interval = .zero, ceiling: Int64 = 12_500_000) -> Flow {
        let flow = Flow(
            source, begins: LinkBed.start + after, ceiling: ceiling, back: back, seed: seed,
            index: UInt64(flows.count))
        flows.append(flow)
        return flow
    }

    /// Forgets what was measured so far.
    func measure() {
        queueing = []
        standing = []
        for flow in flows {
            flow.deliveredBytes = 0
            flow.sentBytes = 0
            flow.lostDatagrams = 0
            flow.sentDatagrams = 0
            flow.feedbackBytes = 0
        }
    }

    func run(_ interval: Interval, each: (() -> Void)? = nil) {
        let end = now + interval
        while now < end {
            now = now + LinkBed.step
            arrivals()
            for index in flows.indices { turn(index) }
            if now >= standingTurnsAt {
                if standingLeast != .max { standing.append(standingLeast) }
                standingLeast = .max
                standingTurnsAt = now + .milliseconds(50)
                each?()
            }
        }
    }

    private func arrivals() {
        while let arrival = bottleneck.popDelivered(now: now) {
            guard let sent = sentAt[arrival.token] else { continue }
            if arrival.isLast { sentAt[arrival.token] = nil }
            let flow = flows[sent.flow]
            flow.deliveredBytes += Int64(LinkBed.datagramBytes) + 28
            let waited = (arrival.at - sent.at - delay).microseconds
            queueing.append(waited)
            standingLeast = min(standingLeast, waited)
            let clock = arrival.at + clockAhead
            flow.receiver.came(
                key: 0x1_0001, counter: sent.counter, bytes: LinkBed.datagramBytes,
                isMarked: arrival.isMarked,
                now: clock)
            if flow.receiver.isDue(now: clock) {
                flow.told.append(flow.receiver.feedback(now: clock))
                flow.feedbackBytes += 80
                _ = flow.way.send(bytes: 60, token: UInt64(flow.told.count - 1), now: arrival.at)
            }
        }
        for flow in flows {
            while let arrival = flow.way.popDelivered(now: now) {
                flow.sender.feedback(flow.told[Int(arrival.token)], now: max(arrival.at, now))
            }
        }
    }

    private func turn(_ index: Int) {
        let flow = flows[index]
        guard now >= flow.begins, now < flow.ends else { return }
        switch flow.source {
        case .greedy:
            flow.backlog = 1 << 40
        case .stream(let kilobits):
            if now.nanoseconds / 10_000_000 != (now - LinkBed.step).nanoseconds / 10_000_000 {
                flow.backlog += kilobits * 1_250 / 1_000
            }
        }
        flow.sender.handleTimeout(now: now)
        flow.pacer.setRate(kilobitsPerSecond: UInt32(clamping: flow.sender.bytesPerSecond / 125))
        flow.pacer.fill(now: now)
        while flow.backlog > 0, flow.pacer.maySend, flow.sender.maySend {
            flow.backlog -= Int64(LinkBed.datagramBytes) + 28
            flow.pacer.spend(bytes: LinkBed.datagramBytes)
            token += 1
            flow.sender.sent(key: 0x1_0001, counter: flow.counter, bytes: LinkBed.datagramBytes, now: now)
            sentAt[token] = (index, flow.counter, now)
            flow.counter += 1
            flow.sentDatagrams += 1
            flow.sentBytes += Int64(LinkBed.datagramBytes) + 28
            if bottleneck.send(bytes: LinkBed.datagramBytes, token: token, now: now) != .delivered {
                sentAt[token] = nil
                flow.lostDatagrams += 1
            }
        }
        if flow.backlog <= 0 { flow.sender.noteIdle() }
    }

    // MARK: What came of it

    /// Mbit/s that all flows together got over `interval`.
    func megabits(over interval: Interval) -> Double {
        Double(flows.reduce(0) { $0 + $1.deliveredBytes }) * 8 / interval.asSeconds / 1e6
    }

    func percentile(_ share: Double, of values: [Int64]) -> Double {
        let sorted = values.sorted()
        return sorted.isEmpty
            ? 0 : Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) / 1_000
    }

    /// The share of what was sent that the link dropped.
    var lossShare: Double {
        let sent = flows.reduce(0) { $0 + $1.sentDatagrams }
        return sent == 0 ? 0 : Double(flows.reduce(0) { $0 + $1.lostDatagrams }) / Double(sent)
    }

    /// Jain's index of what the flows got.
    var fairness: Double {
        let rates = flows.map { Double($0.deliveredBytes) }
        let sum = rates.reduce(0, +)
        let squares = rates.reduce(0) { $0 + $1 * $1 }
        return squares == 0 ? 0 : sum * sum / (Double(rates.count) * squares)
    }
}

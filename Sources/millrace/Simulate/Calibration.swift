/// `millrace simulate --calibrate`: what the work of the processor model costs on this machine, measured with the real cores and
/// the real sockets, in processor time, so that a busy machine answers nearly the same.

import Foundation
import MillraceBase
import MillraceLoop
import MillraceSim
import MillraceWorkload

enum Calibration {
    /// 100,000 transactions a second for so long; two replicas, a line that is never short.
    static let seconds = 3
    private static let datagramBytes = 1_232

    static func measure(_ workload: WorkloadSpec) throws -> ProcessorModel {
        var scenario = Scenario.link(
            .dataCentre, workload: workload, seconds: seconds, fidelity: .full, replicas: 2)
        for i in scenario.groups.indices { scenario.groups[i].processor = .unlimited }
        let meter = WorkMeter(clock: processorNanoseconds)
        _ = try simulate(scenario, seed: 1) { $0.meter = meter }
        let system = try systemNanoseconds()
        return meter.model(systemReceive: system / 2, systemSend: system - system / 2)
    }

    /// Of this thread.
    private static func processorNanoseconds() -> UInt64 {
        var time = timespec()
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
        return UInt64(time.tv_sec) &* 1_000_000_000 &+ UInt64(time.tv_nsec)
    }

    /// What the system takes for one datagram, sent and received over the loopback in batches, as nodes do it.
    private static func systemNanoseconds() throws -> Int64 {
        do {
            let loop = try EventLoop()
            let from = try UDPSocket(on: loop, bind: .loopback(port: 0))
            let to = try UDPSocket(on: loop, bind: .loopback(port: 0))
            defer {
                from.close()
                to.close()
                loop.close()
            }
            var received: UInt64 = 0
            to.start(onDatagram: { _, _ in received += 1 })
            let address = to.localAddress
            func turn() {
                for _ in 0..<16 {
                    guard from.nextSlot() != nil else { break }
                    from.commit(count: datagramBytes, to: address)
                }
                from.flush()
                loop.runOnce(waiting: false)
            }
            for _ in 0..<50 { turn() }
            received = 0
            let begin = processorNanoseconds()
            for _ in 0..<5_000 { turn() }
            return Int64((processorNanoseconds() - begin) / max(received, 1))
        } catch { throw Failure(.failed, "the system's share of a datagram was not measured: \(error)") }
    }
}

extension ProcessorModel {
    /// `receiveNs=4000,sendNs=2500,applyNs=2200,encodeNs=2300,upkeepNs=600` (those left out keep their defaults), or `unlimited`.
    init(text: String) throws {
        if text == "unlimited" {
            self = .unlimited
            return
        }
        self.init()
        let names = ["receiveNs", "sendNs", "applyNs", "encodeNs", "upkeepNs"]
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            let halves = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = String(halves[0].filter { $0 != " " })
            guard halves.count == 2, names.contains(name) else {
                throw Failure(
                    .usage,
                    "--processor: \"\(part)\" is none of \(names.joined(separator: "=N, "))=N, nor unlimited, nor "
                        + "this-machine"
                        + Suggestion.hint(for: name, among: names + ["unlimited", "this-machine"]))
            }
            guard let value = Int64(halves[1].filter { $0 != " " }), (0...1_000_000_000).contains(value)
            else {
                throw Failure(
                    .usage, "--processor: \(name) is \(halves[1]), not nanoseconds from 0 to 1000000000")
            }
            switch name {
            case "receiveNs": receiveNanoseconds = value
            case "sendNs": sendNanoseconds = value
            case "applyNs": applyNanoseconds = value
            case "encodeNs": encodeNanoseconds = value
            default: upkeepNanoseconds = value
            }
        }
    }

    var text: String {
        "receiveNs=\(receiveNanoseconds),sendNs=\(sendNanoseconds),applyNs=\(applyNanoseconds),"
            + "encodeNs=\(encodeNanoseconds),upkeepNs=\(upkeepNanoseconds)"
    }
}

/// The relay alone, beside a C loop that only opens, seals and sends as much: what both do in a second of processor time.
///
/// ```
/// ten mini-blocks of the sequencer ─▶ the relay, timed ─▶ its socket, that nobody reads
///                                                    └──▶ the replicas, which answer in the next round
///                                     the C loop, timed, for as many datagrams
/// ```
///
/// The rounds alternate because the machine changes its pace from one second to the next: each side's figure is the median of
/// its rounds. The relay's time has all of a relay's work but the reading of datagrams: opening what the sequencer and the
/// children send (feedback, too), the header's signature and the shreds' hashes, contracts, pacing, and what goes through
/// its real socket. The C loop has the same AEAD and the same segmented sends, of as many datagrams of the same
/// lengths (those that went to the first child), and nothing else: no signature, no hashes, no frames, no counters of what came
/// and left, no feedback to read, no copies.

import CBareRelay
import MillraceBase
import MillraceCore
import MillraceDiff
import MillraceLoop

extension PerfectWire {
    private static let stepsOfRound = 100
    private static let stepsOfMiniBlock = 10

    /// In datagrams per second.
    struct Rates {
        var relay = 0.0
        var bare = 0.0
        var bareInClear = 0.0
    }

    /// A datagram under way, and the millisecond of its round in which it was sent.
    private struct Sent {
        var step: Int
        var from: PeerAddress
        var target: Int
        var bytes: [UInt8]
    }

    /// What the relay did in a round.
    private struct Work {
        var datagrams = 0
        var time = Interval.zero
        /// Of the datagrams for the first child, and how many there were in each mini-block.
        var lengths: [UInt16] = []
        var batches: [UInt16] = []
    }

    func rounds(_ count: Int, _ next: (inout StateDiff) throws -> Void) throws -> Rates {
        var relays: [Double] = []
        var bares: [Double] = []
        var clears: [Double] = []
        // Backwards, datagrams take a round.
        var toSequencer: [Sent] = []
        var fromChildren: [Sent] = []
        for _ in 0..<count {
            let begin = now
            var feed = try sequencerRound(toSequencer, next)
            feed += fromChildren
            feed.sort { $0.step < $1.step }
            now = begin
            var sent: [Sent] = []
            let work = relayRound(feed, &sent)
            now = begin
            toSequencer = sent.filter { $0.target == 0 }
            fromChildren = replicaRound(sent)
            relays.append(Double(work.datagrams) / work.time.asSeconds)
            bares.append(bareRound(work, authenticatedOnly: false))
            clears.append(bareRound(work, authenticatedOnly: true))
        }
        return Rates(relay: median(relays), bare: median(bares), bareInClear: median(clears))
    }

    private func median(_ rates: [Double]) -> Double { rates.sorted()[rates.count / 2] }

    private func bareRound(_ work: Work, authenticatedOnly: Bool) -> Double {
        var sent: UInt64 = 0
        let taken = mr_bare_relay(
            UInt32(sinks.count), work.lengths, work.batches, UInt32(work.batches.count),
            authenticatedOnly ? 1 : 0, &sent)
        return taken == 0 ? 0 : Double(sent) * 1e9 / Double(taken)
    }

    /// Ten mini-blocks of the sequencer: what it sends the relay.
    private func sequencerRound(_ told: [Sent], _ next: (inout StateDiff) throws -> Void) throws -> [Sent] {
        guard let sequencer else { return [] }
        var feed: [Sent] = []
        var diff = StateDiff()
        for step in 0..<PerfectWire.stepsOfRound {
            if step % PerfectWire.stepsOfMiniBlock == 0 {
                try next(&diff)
                try sequencer.seal(diff, now: now)
            }
            now = now + .milliseconds(1)
            for datagram in told where datagram.step == step { give(datagram, to: sequencer) }
            sequencer.handleTimeout(now: now)
            feed += said(by: sequencer, at: PerfectWire.sequencerAddress, step: step)
        }
        return feed
    }

    /// Takes all of a core's datagrams.
    private func said(by core: any StreamCore, at from: PeerAddress, step: Int) -> [Sent] {
        var all: [Sent] = []
        while let output = core.nextOutput() {
            guard case .send(let datagram) = output else { continue }
            let bytes = Array(core.bytes(of: datagram.buffer)[..<datagram.count])
            all.append(Sent(step: step, from: from, target: target(of: datagram.to), bytes: bytes))
            core.release(datagram.buffer)
        }
        return all
    }

    private func give(_ datagram: Sent, to core: any StreamCore) {
        var bytes = datagram.bytes
        bytes.withUnsafeMutableBytes { core.receive($0, from: datagram.from, now: now) }
    }

    /// The relay's round. The datagrams of a mini-block are copied to one place before they are timed, as the kernel would have
    /// done a moment ago; what the relay sends is taken from it afterwards.
    private func relayRound(_ feed: [Sent], _ sent: inout [Sent]) -> Work {
        guard let relay else { return Work() }
        var work = Work()
        var place = 0
        var handed: [(datagram: OutgoingDatagram, step: Int)] = []
        handed.reserveCapacity(1_024)
        for first in stride(from: 0, to: PerfectWire.stepsOfRound, by: PerfectWire.stepsOfMiniBlock) {
            let end =
                feed[place...].firstIndex { $0.step >= first + PerfectWire.stepsOfMiniBlock } ?? feed.count
            for i in place..<end {
                feed[i].bytes.withUnsafeBytes { slot(i - place, $0.count).copyMemory(from: $0) }
            }
            let base = place
            let began = MillraceLoop.Machine.cpuTime
            for step in first..<(first + PerfectWire.stepsOfMiniBlock) {
                now = now + .milliseconds(1)
                while place < end, feed[place].step == step {
                    relay.receive(
                        slot(place - base, feed[place].bytes.count), from: feed[place].from, now: now)
                    place += 1
                }
                relay.handleTimeout(now: now)
                drain(relay) { datagram in
                    handed.append((datagram, step))
                    let child = target(of: datagram.to) - 2
                    guard sinks.indices.contains(child) else { return }
                    work.datagrams += 1
                    give(relay.bytes(of: datagram.buffer), datagram, child: child)
                }
                socket.flush()
            }
            work.time = work.time + (MillraceLoop.Machine.cpuTime - began)
            work.batches.append(0)
            for (datagram, step) in handed {
                if target(of: datagram.to) == 2, work.batches[work.batches.count - 1] < 64 {
                    work.lengths.append(UInt16(datagram.count))
                    work.batches[work.batches.count - 1] += 1
                }
                let bytes = Array(relay.bytes(of: datagram.buffer)[..<datagram.count])
                let target = target(of: datagram.to)
                sent.append(Sent(step: step, from: PerfectWire.relayAddress, target: target, bytes: bytes))
                relay.release(datagram.buffer)
            }
            handed.removeAll(keepingCapacity: true)
        }
        return work
    }

    /// As a node's shell does it.
    private func drain(_ relay: RelayCore, _ take: (OutgoingDatagram) -> Void) {
        while true {
            while let datagram = relay.nextDatagram() { take(datagram) }
            guard let output = relay.nextOutput() else { return }
            if case .send(let datagram) = output { take(datagram) }
        }
    }

    private func slot(_ index: Int, _ count: Int) -> UnsafeMutableRawBufferPointer {
        UnsafeMutableRawBufferPointer(rebasing: copies[(index * 2_048)...].prefix(count))
    }

    /// The replicas take what the relay sent them: what they say to it.
    private func replicaRound(_ sent: [Sent]) -> [Sent] {
        var told: [Sent] = []
        var place = 0
        for step in 0..<PerfectWire.stepsOfRound {
            now = now + .milliseconds(1)
            while place < sent.count, sent[place].step == step {
                let target = sent[place].target - 2
                if replicas.indices.contains(target) { give(sent[place], to: replicas[target]) }
                place += 1
            }
            for (index, replica) in replicas.enumerated() {
                replica.handleTimeout(now: now)
                told += said(by: replica, at: PeerAddress.loopback(port: UInt16(index + 3)), step: step)
            }
        }
        return told.filter { $0.target == 1 }
    }
}

/// The load: a mini-block every 10 ms, as the generator or its sizes have it, and the windows that end with it. In a
/// scenario where the sequencer lies, its two histories.

import MillraceBase
import MillraceCodec
import MillraceCore
import MillraceCrypto
import MillraceDiff
import MillraceLink
import MillraceWorkload

extension Simulation {
    func seal() throws(WorkloadError) {
        let height = sequencerCore.nextHeight
        // Those that take turns note it there.
        for node in replicas where now >= streamEnds || !takesTurns[Int(node.index)] {
            noteStaleness(of: node, before: now)
        }
        guard now < streamEnds else {
            for node in nodes { noteStreamEnd(node) }
            if let sizes { addWindows(to: sequencerCore, sizes, readyAt: .max) }
            do throws(DiffError) {
                try sequencerCore.finish(
                    sealedAtMicroseconds: sequencer.clock.wallMicroseconds(now),
                    now: sequencer.clock.local(now))
            } catch {
                throw WorkloadError("the stream does not end: \(error)")
            }
            while sealedAt.count < Int(sequencerCore.nextHeight) - 1 { sealedAt.append(now) }
            drain(sequencer, at: now)
            return
        }
        let wall = sequencer.clock.wallMicroseconds(now)
        let local = sequencer.clock.local(now)
        var transactions = 0
        if let stream {
            let wanted = scenario.workload.transactions(atHeight: height)
            _ = try stream.nextMiniBlock(transactions: wanted, sealedAtMicroseconds: wall, into: &diff)
            transactions = Int(diff.transactions)
            let begin = meter?.now
            do throws(DiffError) {
                try sequencerCore.seal(diff, now: local)
            } catch {
                throw WorkloadError("a sealed diff does not apply: \(error)")
            }
            if let begin { meter?.noteEncoded(since: begin, transactions: transactions) }
            try sealTwins(height: height, wall: wall)
        } else if let sizes {
            transactions = sizes.transactions(at: height)
            sequencerCore.seal(
                payloadBytes: sizes.payloadBytes(at: height), transactions: UInt64(transactions),
                sealedAtMicroseconds: wall, now: local)
            if scenario.hasWindows {
                endWindows(at: height, sizes, wall: wall)
                addWindows(to: sequencerCore, sizes, readyAt: height)
            }
        }
        sealedAt.append(now)
        let done = work(sequencer, Int64(transactions) * sequencer.processor.encodeNanoseconds)
        drain(sequencer, at: done)
        _ = work(sequencer, Int64(transactions) * sequencer.processor.upkeepNanoseconds)
        queue.push(
            Event(
                at: now + UInt64(Simulation.sealInterval.nanoseconds), node: sequencer.index, kind: .seal))
    }

    /// A window that has ended and is still being encoded.
    struct EndedWindow {
        var readyAt: UInt64
        var cadence: Cadence
        var last: UInt64
        var wall: UInt64
    }

    /// Windows that end at `height`: those told by values are there when they were encoded, one behind the other, on the
    /// sequencer's second thread.
    func endWindows(at height: UInt64, _ sizes: PayloadSizes, wall: UInt64) {
        var work: Int64 = 0
        for cadence in WindowMaker.cadences where height % cadence.heights == 0 {
            if sizes.isByValues(cadence, endingAt: height) {
                let transactions = Int64(cadence.heights) * Int64(sizes.transactions(at: height))
                work += transactions * sequencer.processor.encodeNanoseconds / ProcessorModel.valuesShare
            }
            let delay = UInt64(work / Simulation.sealInterval.nanoseconds)
            endedWindows.append(
                EndedWindow(readyAt: height + delay, cadence: cadence, last: height, wall: wall))
        }
    }

    func addWindows(to core: SequencerCore, _ sizes: PayloadSizes, readyAt height: UInt64) {
        for window in endedWindows where window.readyAt <= height {
            core.add(
                windowBytes: sizes.windowBytes(window.cadence, endingAt: window.last), window.cadence,
                endingAt: window.last, sealedAtMicroseconds: window.wall)
        }
        endedWindows.removeAll { $0.readyAt <= height }
    }

    /// The false sequencer has the same history until its attack begins; then it is one mini-block behind.
    func sealTwins(height: UInt64, wall: UInt64) throws(WorkloadError) {
        for state in attacks where state.attack.kind == .equivocate {
            guard let node = state.nodes.first, let twin = node.core as? SequencerCore else { continue }
            var told = diff
            if state.isStriking {
                told = lastDiff ?? StateDiff()
                (told.firstHeight, told.lastHeight) = (height, height)
                told.sealedAtMicroseconds = wall
            }
            do throws(DiffError) {
                try twin.seal(told, now: node.clock.local(now))
            } catch { throw WorkloadError("the false sequencer's diff does not apply: \(error)") }
            // From the first false mini-block on it is at the one before.
            lastDiff = state.isStriking ? diff : nil
            drain(node, at: now)
        }
    }
}

/// What must hold at every moment of every run, whatever was drawn. Each check is a few lines; the first that fails ends the
/// run with a sentence.
///
/// - *In order, once*: every process of a replica applies heights without gap and without repetition.
/// - *Authentic*: what it applies was sealed, and has the size that was sealed.
/// - *The same state at the same height*: replicas compare commitments themselves and stop when they differ; no run may stop
///   one. At the end of a run in full, every state's commitment is the sequencer's.
/// - *Bounded*: sockets, links' queues, datagrams under way, slices kept.
/// - *Books balance*: the byte ledgers, at the end (`Simulation.run` does it).
/// - *Convergence*: when faults are over and the stream has ended, every replica has all of it within five seconds and ten round
///   trips of the longest way: what it then does takes round trips, whatever the line's rate (`Simulation.settleRoundTrips`).
/// - *No trap*: a swarm runs in child processes, and one that dies is a failure with its seed.

import MillraceBase
import MillraceCore
import MillraceDiff

final class Oracles {
    /// A line of 1.5 Mbit/s … 140 Mbit/s holds at most its queue; a data centre's 10 Gbit/s some tens of thousands.
    static let inFlightMax = 400_000

    private var lastApplied: [UInt64]
    private var processes: [Int]
    private(set) var failure: String?

    init(_ simulation: Simulation) {
        lastApplied = Array(repeating: 0, count: simulation.nodes.count)
        processes = simulation.nodes.map(\.upTimes)
    }

    func watch(_ simulation: Simulation) {
        simulation.onApplied = { [unowned self, unowned simulation] node, block in
            applied(block, by: node, simulation)
        }
        simulation.oracle = { [unowned self] simulation, event in
            check(simulation, event)
            if let failure { simulation.brokenOff = failure }
        }
    }

    private func fail(_ sentence: String) { if failure == nil { failure = sentence } }

    private func applied(_ block: AppliedMiniBlock, by node: SimNode, _ simulation: Simulation) {
        let i = Int(node.index)
        if processes[i] != node.upTimes {
            processes[i] = node.upTimes
            lastApplied[i] = 0
        }
        if block.firstHeight != lastApplied[i] + 1 || block.lastHeight < block.firstHeight {
            fail("\(node.name) applied \(block.firstHeight)…\(block.lastHeight) after \(lastApplied[i])")
        }
        lastApplied[i] = block.lastHeight
        if block.lastHeight > UInt64(simulation.sealedAt.count) {
            fail("\(node.name) applied \(block.lastHeight), which is not sealed yet")
        }
        if let sizes = simulation.sizes, block.firstHeight == block.lastHeight, block.payloadBytes > 0,
            block.payloadBytes != sizes.payloadBytes(at: block.lastHeight)
        {
            fail(
                "\(node.name) applied \(block.payloadBytes) bytes at \(block.lastHeight), other than were sealed"
            )
        }
    }

    private func check(_ simulation: Simulation, _ event: Event) {
        if simulation.flights.inFlight > Oracles.inFlightMax {
            fail("\(simulation.flights.inFlight) datagrams are under way at once")
        }
        guard event.kind == .sample else {
            let node = simulation.nodes[Int(event.kind == .fault ? 0 : event.node)]
            if node.socketBytes > ProcessorModel.socketBytesMax {
                fail("\(node.name)'s socket holds too much")
            }
            if let stop = node.stops.first { fail("\(node.name) stopped: \(stop)") }
            return
        }
        for node in simulation.nodes {
            guard let core = node.core else { continue }
            let kept = core.statistics.retainedBytes
            if kept > 256 << 20 { fail("\(node.name) keeps \(kept) bytes of slices") }
            if node.offences > 0 { fail("\(node.name) held an offence against an honest peer") }
        }
    }

    /// After the last event.
    func conclude(_ simulation: Simulation) {
        let end = UInt64(simulation.sealedAt.count)
        for node in simulation.replicas {
            if node.core == nil { fail("\(node.name) did not start again") }
            if node.appliedHeight < end {
                fail(
                    "\(node.name) ended at \(node.appliedHeight) of \(end), "
                        + "\(simulation.settlingTime.milliseconds) ms after the stream and its faults"
                )
            }
        }
        if simulation.stream != nil, failure == nil {
            let told = simulation.sequencerCore.stateCommitment()
            for node in simulation.replicas where node.replica?.stateCommitment() != told {
                fail("\(node.name)'s state is not the sequencer's")
            }
        }
    }
}

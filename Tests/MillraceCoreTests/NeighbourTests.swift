/// Repair from whoever has a shred: neighbours, and what either side allows (Spec 60.6, rules 4, 7 and 8).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct NeighbourTests {
    /// A relay misses eight heights, and whom it follows answers nothing.
    private func lacking(_ seed: UInt64, neighbourOf: String) throws -> (
        mesh: Mesh, relay: Mesh.Node, replica: Mesh.Node
    ) {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer(parityCount: 0) {
            var silent = Misconduct()
            silent.ignoresRequests = true
            $0.serving.misconduct = silent
        }
        let other = mesh.addRelay("other", parents: [sequencer])
        let relay = mesh.addRelay("relay", parents: [sequencer]) {
            if neighbourOf == "relay" { $0.following.neighbours = mesh.endpoints([other]) }
        }
        let replica = mesh.addReplica("replica", parents: [relay]) {
            if neighbourOf == "replica" { $0.following.neighbours = mesh.endpoints([other]) }
        }
        mesh.run(for: .milliseconds(300))
        try mesh.run(heights: 10, transactions: 8)
        mesh.cut(sequencer, relay)
        try mesh.run(heights: 8, transactions: 8)
        mesh.cut(sequencer, relay, false)
        try mesh.run(heights: 40, transactions: 8)
        return (mesh, relay, replica)
    }

    @Test func `what its parent lacks and cannot get, a replica gets from a neighbour, once`() throws {
        let (mesh, relay, replica) = try lacking(41, neighbourOf: "replica")
        #expect(relay.core.statistics.completeThrough < 19)
        #expect(replica.replica.appliedHeight + 8 >= mesh.sequencer.nextHeight)
        let counted = replica.core.statistics
        #expect(counted.repairsWasted * 20 <= counted.shredsStored)
        #expect(counted.offences == 0)
        #expect(replica.core.peers.map(\.isParent).filter { $0 }.count == 1)
        #expect(replica.core.peers.count == 2)
    }

    @Test func `a relay asks its neighbour, and its children notice nothing`() throws {
        let (mesh, relay, replica) = try lacking(42, neighbourOf: "relay")
        #expect(relay.core.statistics.completeThrough + 8 >= mesh.sequencer.nextHeight)
        #expect(replica.replica.appliedHeight + 8 >= mesh.sequencer.nextHeight)
        #expect(replica.core.statistics.offences == 0 && relay.core.statistics.offences == 0)
    }

    @Test func `an allowance gives so much at once and so much a second, whatever was missed meanwhile`() {
        let start = Instant(nanoseconds: 5_000_000_000)
        for rate in [RepairAllowance.Rate.contract, .stranger, .neighbour] {
            var allowance = RepairAllowance()
            allowance.fill(rate, now: start)
            var given: Int64 = 0
            while allowance.hasRoom {
                allowance.take(1)
                given += 1
            }
            #expect(given == rate.shredsAtOnce)
            let next = allowance.nextAt(rate)
            #expect(next > start && next <= start + .milliseconds(6))
            // Asked every tenth of a millisecond or once, a second gives the same.
            for step in 1...10_000 {
                allowance.fill(rate, now: start + .microseconds(Int64(step) * 100))
                while allowance.hasRoom {
                    allowance.take(1)
                    given += 1
                }
            }
            #expect(given == rate.shredsAtOnce + rate.shredsPerSecond)
            allowance.fill(rate, now: start + .seconds(86_400))
            #expect(allowance.shreds == Int(rate.shredsAtOnce))
        }
    }

    @Test func `who asks for everything again without a contract gets no more than strangers may have`() {
        let child = Child(pacingKilobitsPerSecond: 100_000, now: .zero)
        let key = SliceKey(firstHeight: 1, index: 0)
        var (given, early) = (0, 0)
        for step in 0..<2_000 {
            let now = Instant.zero + .milliseconds(Int64(step))
            _ = child.repairs.append(Work(key: key, shreds: .allData, withHeader: false, request: 1))
            while child.mayRepair(now: now) {
                _ = child.repairs.serveFirst { $0.shreds.remove($0.shreds.first ?? 0) }
                child.noteRepaired()
                given += 1
            }
            if !child.isHeldBack || child.nextSend <= now { early += 1 }
        }
        #expect((128 + 511...128 + 512).contains(given))
        // The first four are answered whole; after that there is always something to wait for.
        #expect(early == 4)
        child.grant(
            ContractTerms(serial: 1, stripes: StripeSet(bits: 1), headers: .none, leaseMilliseconds: 1_000),
            pacingKilobitsPerSecond: 100_000, now: .zero + .seconds(2))
        #expect(child.mayRepair(now: .zero + .seconds(3)))
    }
}

/// Nodes that know one or two others find parents, follow, and replace what is lost, on virtual time.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct DiscoveryTests {
    @Test func `a replica that knows one of two relays ends with both as parents`() throws {
        let mesh = Mesh(seed: 21)
        let sequencer = mesh.addSequencer()
        let first = mesh.addListedRelay("first", parents: [sequencer])
        let second = mesh.addListedRelay("second", parents: [sequencer], bootstrap: [first])
        mesh.run(for: .seconds(1))
        let replica = mesh.addSeekingReplica("replica", bootstrap: [first])
        mesh.run(for: .seconds(2))
        #expect(replica.parentAddresses == [first.address, second.address])
        try mesh.run(heights: 120)
        try mesh.finish()
        #expect(replica.replica.isFinished)
        #expect(replica.replica.stateCommitment() == mesh.sequencer.stateCommitment())
        for node in mesh.nodes { #expect(node.core.statistics.offences == 0, "\(node.name)") }
        let statistics = replica.core.statistics
        #expect(statistics.parentsFound == 2)
        #expect(statistics.peersReached == 2)
    }
}

/// A sequencer that signs two histories is found out by whoever sees both, and everybody stops.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct EvidenceTests {
    /// Two sequencers with one key, each with a relay and a replica of its own; the replicas' relays know each other.
    @Test(arguments: [UInt64(41), 42])
    func `two histories stop every relay and every replica, with one proof`(seed: UInt64) throws {
        let mesh = Mesh(seed: seed)
        let honest = mesh.addSequencer()
        let twin = mesh.addTwinSequencer()
        let left = mesh.addRelay("left", parents: [honest])
        let right = mesh.addRelay("right", parents: [twin])
        // Between the two stands one that hears both; it is the only one.
        let middle = mesh.addRelay("middle", parents: [left, right])
        let replicas = [
            mesh.addReplica("left-replica", parents: [left]),
            mesh.addReplica("right-replica", parents: [right]),
            mesh.addReplica("middle-replica", parents: [middle]),
        ]
        mesh.run(for: .milliseconds(500))
        try mesh.runTwins(heights: 20)
        mesh.run(for: .seconds(3))
        for node in [left, right, middle] + replicas {
            #expect(node.stops.count == 1, "\(node.name): \(node.stops)")
            guard case .equivocation(let height) = node.stops.first else {
                Issue.record("\(node.name) did not stop for equivocation")
                continue
            }
            #expect(height >= 1 && height <= 3)
            let bytes = try #require(node.core.evidence, "\(node.name) has no proof")
            let proof = try EquivocationProof.decode(bytes.span.bytes)
            #expect(proof.isSigned(by: mesh.signingKey.verifyingKey))
            #expect(node.core.statistics.offences == 0)
        }
        // The sequencers were told, too.
        #expect(honest.stops.count == 1 && twin.stops.count == 1)
        // Nothing is forwarded any more.
        let before = left.core.statistics.sent.payload
        try mesh.runTwins(heights: 20)
        #expect(left.core.statistics.sent.payload == before)
    }

    @Test func `one who comes later is told, and a telling that is lost is repeated`() throws {
        let mesh = Mesh(seed: 43)
        let honest = mesh.addSequencer()
        let twin = mesh.addTwinSequencer()
        let left = mesh.addRelay("left", parents: [honest, twin])
        mesh.run(for: .milliseconds(500))
        try mesh.runTwins(heights: 5)
        mesh.run(for: .seconds(2))
        #expect(left.stops.count == 1)
        let late = mesh.addReplica("late", parents: [left])
        mesh.link(left, late, WireParameters(lossPerMille: 400))
        mesh.run(for: .seconds(8))
        #expect(late.stops.count == 1)
    }

    @Test func `a proof that proves nothing is an offence of its sender and stops nobody`() throws {
        let mesh = Mesh(seed: 44)
        let sequencer = mesh.addSequencer()
        let relay = mesh.addRelay("relay", parents: [sequencer])
        let replica = mesh.addReplica("replica", parents: [relay])
        let liar = MembershipLiar(mesh, "liar", meets: relay)
        mesh.run(for: .milliseconds(500))
        // Two headers that contradict each other, of another key.
        let other = SigningKey(seed: Hash32(word: U256(5)))
        var header = SliceHeader()
        header.chainID = Mesh.chainID
        var forged: [[UInt8]] = []
        for i in 0..<2 as Range<UInt64> {
            header.sealedAtMicroseconds = i
            header.sign(with: other)
            forged.append(header.encoded)
        }
        let (first, second) = (forged[0], forged[1])
        let made = EquivocationProof(first.span.bytes, second.span.bytes)
        let proof = try #require(made).encoded
        for _ in 0..<3 {
            liar.say { writer in proof.withUnsafeBytes { writer.appendEvidence($0) } }
            mesh.run(for: .milliseconds(50))
        }
        #expect(relay.count { if case .offence(_, .invalidProof) = $0 { true } else { false } } == 3)
        #expect(!liar.isUp)
        try mesh.run(heights: 100)
        try mesh.finish()
        #expect(relay.stops.isEmpty && replica.stops.isEmpty)
        #expect(replica.replica.isFinished)
    }
}

/// Parents that fall silent, also those that send the headers; parents that come while others serve; places kept for known
/// children.

import MillraceBase
import MillraceCrypto
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct ParentWatchTests {
    private struct Net {
        let mesh: Mesh
        let relays: [Mesh.Node]
        let replica: Mesh.Node

        init(seed: UInt64) {
            let mesh = Mesh(seed: seed)
            self.mesh = mesh
            let sequencer = mesh.addSequencer { $0.symbolBytesMax = 300 }
            relays = (0..<4).map { mesh.addRelay("relay\($0)", parents: [sequencer]) }
            replica = mesh.addReplica("replica", parents: relays)
            for relay in relays {
                let line = WireParameters(delay: .milliseconds(15), jitter: .milliseconds(1), lossPerMille: 5)
                mesh.link(relay, replica, line)
                mesh.link(replica, relay, line)
            }
        }

        func mute(_ relay: Int, _ isMute: Bool = true) {
            (relays[relay].core as? RelayCore)?.misbehave(isMute ? .mute : nil)
        }

        func count(_ relay: Int, silent: Bool) -> Int {
            replica.count { event in
                switch event {
                case .parentSilent(let address): silent && address == relays[relay].address
                case .parentRestored(let address): !silent && address == relays[relay].address
                default: false
                }
            }
        }
    }

    @Test(arguments: [UInt64(1), 2, 3])
    func `both parents that send headers fall silent at once and are found by what the others send`(
        _ seed: UInt64
    ) throws {
        let net = Net(seed: seed)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 150, transactions: 40)
        net.mute(0)
        net.mute(1)
        try net.mesh.run(heights: 30, transactions: 40)
        for relay in 0..<4 {
            #expect(net.count(relay, silent: true) == (relay < 2 ? 1 : 0), "relay \(relay)")
        }
        // Half a second after, nothing is missing but what is under way.
        try net.mesh.run(heights: 20, transactions: 40)
        let status = net.replica.core.statistics
        #expect(status.completeThrough + 12 >= 200, "seed \(seed): \(status.completeThrough)")
        #expect(status.peersBanned == 0)
    }

    @Test func `one that is still mute after its probation is given nothing that is needed`() throws {
        let net = Net(seed: 4)
        net.mesh.run(for: .milliseconds(300))
        try net.mesh.run(heights: 100, transactions: 40)
        net.mute(2)
        try net.mesh.run(heights: 240, transactions: 40)
        #expect(net.count(2, silent: false) == 1)
        let asked = net.replica.core.statistics.repairsAsked
        // It is on trial now: a second in which what does not come from it is not missed.
        try net.mesh.run(heights: 50, transactions: 40)
        #expect(net.replica.core.statistics.repairsAsked - asked < 40)
        #expect(net.count(2, silent: true) == 1)
        try net.mesh.run(heights: 110, transactions: 40)
        #expect(net.count(2, silent: true) == 2)
        // When it gives again, it has its share again.
        net.mute(2, false)
        try net.mesh.run(heights: 500, transactions: 40)
        let parent = net.replica.core.peers.first { $0.address == net.relays[2].address }
        #expect(parent?.isSilent == false)
        #expect((parent?.stripesFrom ?? 0) > 4)
        try net.mesh.finish()
        #expect(net.replica.replica.isFinished)
    }

    @Test func `how far a parent has answered is told by the latest of what it was asked for`() {
        func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }
        var link = ParentLink(endpoint: PeerEndpoint(key: nil, address: .loopback(port: 1)))
        link.noteBrought(40, askedAt: at(5), now: at(100))
        link.noteBrought(30, askedAt: at(5), now: at(101))
        #expect(link.brought.height == 40 && link.brought.sentAt == at(5) && link.broughtHeightsAt == at(101))
        // Low heights were asked for anew, and are answered first: of 50 that says nothing.
        link.noteBrought(10, askedAt: at(9), now: at(102))
        link.noteBrought(50, askedAt: at(5), now: at(103))
        #expect(link.brought.height == 10 && link.brought.sentAt == at(9))
    }

    @Test func `another slice's shred answers no request, nor do heights above those asked for`() {
        func request(_ kind: RepairRequest.Kind) -> RepairRequest {
            RepairRequest(
                kind: kind, key: SliceKey(firstHeight: 20, index: 1), shreds: .allData, parent: 0,
                sentAt: .zero,
                deadline: .zero, outstanding: 3)
        }
        for kind in [RepairRequest.Kind.shreds, .header] {
            #expect(request(kind).concerns(SliceKey(firstHeight: 20, index: 1)))
            #expect(!request(kind).concerns(SliceKey(firstHeight: 20, index: 0)))
            #expect(!request(kind).concerns(SliceKey(firstHeight: 19, index: 1)))
        }
        let heights = request(.catchUp(first: 20, last: 24))
        // A run of empty mini-blocks is named by its first height, which may lie before those asked for.
        for height in [UInt64(15), 20, 24] {
            #expect(heights.concerns(SliceKey(firstHeight: height, index: 0)))
        }
        #expect(!heights.concerns(SliceKey(firstHeight: 25, index: 0)))
    }

    @Test func `strangers leave the places of known children free`() throws {
        let mesh = Mesh(seed: 5)
        let known = mesh.keys("known").publicKey
        let sequencer = mesh.addSequencer {
            $0.serving.childrenMax = 3
            $0.serving.knownChildren = [known]
        }
        let strangers = (0..<4).map { mesh.addRelay("stranger\($0)", parents: [sequencer]) }
        mesh.run(for: .seconds(1))
        try mesh.run(heights: 20)
        let late = mesh.addRelay("known", parents: [sequencer])
        mesh.run(for: .seconds(1))
        try mesh.run(heights: 50)
        let refused = strangers.filter { $0.count { if case .refused = $0 { true } else { false } } > 0 }
        #expect(refused.count == 2)
        #expect(late.count { if case .refused = $0 { true } else { false } } == 0)
        #expect(late.core.statistics.completeThrough >= 65)
    }
}

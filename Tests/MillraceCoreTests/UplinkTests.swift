/// A parent's own line up: what contracts need of it, who is refused, whose contract ends (Spec 60.4, rule 10).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Suite(.serialized) struct UplinkTests {
    /// A sequencer whose line carries `kilobitsPerSecond`, and replicas that come one after the other while its stream goes on.
    private func come(
        _ count: Int, to kilobitsPerSecond: UInt32, at heights: [Int], seed: UInt64
    ) throws -> (mesh: Mesh, sequencer: Mesh.Node, replicas: [Mesh.Node]) {
        let mesh = Mesh(seed: seed)
        let sequencer = mesh.addSequencer { $0.serving.uplinkKilobitsPerSecond = kilobitsPerSecond }
        var replicas: [Mesh.Node] = []
        for number in 0..<count {
            replicas.append(mesh.addReplica("replica\(number)", parents: [sequencer]))
            mesh.run(for: .milliseconds(200))
            try mesh.run(heights: heights[number], transactions: 6)
        }
        return (mesh, sequencer, replicas)
    }

    private func refusals(_ node: Mesh.Node) -> Int {
        node.count { if case .refused(_, .uplink) = $0 { true } else { false } }
    }

    /// kbit/s: two and a half times what one replica needs, 600 to 760, so that there is room for two.
    private let forTwo: UInt32 = 1_850

    @Test func `a child too many is refused, and the others notice nothing`() throws {
        let (mesh, sequencer, replicas) = try come(
            3, to: forTwo, at: [60, 40, 60], seed: 52)
        #expect(refusals(replicas[2]) > 0)
        #expect(sequencer.core.statistics.contractsRefused > 0)
        #expect(sequencer.core.statistics.contractsEnded == 0)
        for replica in replicas.prefix(2) {
            #expect(refusals(replica) == 0)
            #expect(replica.replica.appliedHeight + 8 >= mesh.sequencer.nextHeight)
            #expect(replica.lags.suffix(50).allSatisfy { $0 < 40 })
        }
        #expect((sequencer.core as? SequencerCore)?.serving.childrenFree == 0)
    }

    @Test func `contracts given before there was a stream end, the latest first, until the rest have room`()
        throws
    {
        let (mesh, sequencer, replicas) = try come(
            3, to: forTwo, at: [0, 0, 200], seed: 53)
        #expect(sequencer.core.statistics.contractsEnded == 1)
        #expect(replicas.map(refusals).prefix(2).allSatisfy { $0 == 0 })
        #expect(refusals(replicas[2]) > 0)
        for replica in replicas.prefix(2) {
            #expect(replica.replica.appliedHeight + 8 >= mesh.sequencer.nextHeight)
            #expect(replica.lags.suffix(50).allSatisfy { $0 < 40 })
        }
    }

    @Test func `needs are of heights, however these come, and parity is not promised`() {
        var uplink = Uplink(kilobitsPerSecond: 8_000, now: .zero)
        var header = SliceHeader()
        header.dataCount = 4
        header.parityCount = 2
        header.symbolBytes = 1_000
        header.parityBytes = 1_008
        let shred = 1_000 + Uplink.shredOverhead
        var half = ContractTerms(serial: 1, stripes: .empty, headers: .none, leaseMilliseconds: 1_000)
        half.stripes.insert(1)
        half.stripes.insert(3)
        // Nothing is known yet; then fifty heights at once, and fifty in a second, are the same.
        #expect(uplink.need(half) == 0)
        for (window, count) in [(1, 50), (2, 25), (3, 25), (4, 200)] {
            for _ in 0..<count {
                header.firstHeight += 1
                header.lastHeight = header.firstHeight
                uplink.note(header, headerBytes: 300)
            }
            let isOver = uplink.closeWindow(now: .zero + Uplink.window * Int64(window))
            #expect(isOver)
            #expect(uplink.need(half) == 2 * shred * 100)
        }
        half.stripes.insert(WireLimits.firstParityStripe)
        #expect(uplink.need(half) == 2 * shred * 100)
        half.headers = HeaderTerms(atOnce: true, sumEvery: 2)
        #expect(uplink.need(half) == 2 * shred * 100 + (300 + Uplink.shredOverhead) * 150)
        // 1,000,000 bytes a second, of which 14/16 are promised; short after a second, or when more is needed and waits.
        #expect(uplink.promised == 875_000)
        let isShort = [875_001, 875_001, 875_001, 875_001, 875_000, 1_000_001].map {
            uplink.isShort(of: $0, waits: false)
        }
        #expect(isShort == [false, false, false, true, false, false])
        let isShortAtOnce = uplink.isShort(of: 1_000_001, waits: true)
        #expect(isShortAtOnce)
    }

    @Test func `no more than fifteen sixteenths of the line are sent`() {
        var uplink = Uplink(kilobitsPerSecond: 8_000, now: .zero)
        var sent = 0
        for step in 0..<20_000 {
            uplink.fill(now: .zero + .microseconds(Int64(step) * 100))
            while uplink.maySend {
                uplink.spend(bytes: 1_200)
                sent += 1_200 + Int(Pacer.packetOverhead)
            }
            #expect(uplink.nextSend > .zero + .microseconds(Int64(step) * 100))
        }
        #expect((1_850_000...1_890_000).contains(sent))
        // A line of which nothing is known holds nothing back.
        var unknown = Uplink(kilobitsPerSecond: 0, now: .zero)
        unknown.spend(bytes: 1 << 30)
        #expect(unknown.maySend && !unknown.isKnown)
    }
}

/// How long datagrams may be (Spec 55.8): the search by itself, and between cores whose wire swallows what is too long.

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

/// A way that carries so many bytes, asked as a node asks it.
private struct Way {
    var mtu: PathMTU
    var carries: Int
    var now = Instant(nanoseconds: 1_000_000_000)
    var questions = 0
    private var token: UInt32 = 0

    init(most: Int, carries: Int) {
        mtu = PathMTU(most: most, now: now)
        self.carries = carries
    }

    /// Ten milliseconds at a time, with a datagram of the greatest length in each when the way is used.
    mutating func run(_ interval: Interval, isUsed: Bool = false) {
        let end = now + interval
        while now < end {
            now = now + .milliseconds(10)
            if isUsed { mtu.sent(bytes: mtu.size) }
            token += 1
            guard let bytes = mtu.question(token: token, timeout: .milliseconds(50), now: now) else {
                continue
            }
            questions += 1
            if bytes <= carries { _ = mtu.answered(token, now: now) }
        }
    }
}

@Suite struct PathMTUTests {
    @Test(arguments: [
        (1_232, 1_232), (1_300, 1_232), (1_372, 1_372), (1_400, 1_372), (1_450, 1_444), (1_500, 1_472),
    ]) func `the longest that comes through is found`(carries: Int, found: Int) {
        var way = Way(most: 1_472, carries: carries)
        way.run(.seconds(5))
        #expect(way.mtu.size == found)
        #expect(way.questions <= 9)
        // Nothing longer is asked for within ten minutes, and nothing confirmed that is not used.
        let questions = way.questions
        way.run(.seconds(30))
        #expect(way.questions == questions)
    }

    @Test func `where nothing longer is wanted nothing is asked`() {
        var way = Way(most: 1_232, carries: 1_500)
        way.run(.seconds(5))
        #expect(way.questions == 0 && way.mtu.size == 1_232 && way.mtu.nextAt == .distantFuture)
        way.mtu.pathChanged(now: way.now)
        #expect(way.mtu.nextAt == .distantFuture)
    }

    @Test
    func `a way that carries less than it did is left within two seconds, and tried again after a minute`() {
        var way = Way(most: 1_472, carries: 1_500)
        way.run(.seconds(5), isUsed: true)
        #expect(way.mtu.size == 1_472)
        way.carries = 1_400
        way.run(.seconds(2), isUsed: true)
        #expect(way.mtu.size == 1_232 && way.mtu.holes == 1)
        way.run(.seconds(55), isUsed: true)
        #expect(way.mtu.size == 1_232)
        way.run(.seconds(10), isUsed: true)
        #expect(way.mtu.size == 1_372 && way.mtu.holes == 1)
        way.mtu.pathChanged(now: way.now)
        #expect(way.mtu.size == 1_232)
    }

    @Test func `an answer to another question is none`() {
        let now = Instant.zero + .seconds(1)
        var mtu = PathMTU(most: 1_472, now: .zero)
        let asked = mtu.question(token: 7, timeout: .milliseconds(50), now: now)
        #expect(asked == 1_372)
        let answers = [8, 7, 7].map { mtu.answered($0, now: now) }
        #expect(answers == [false, true, false])
    }

    @Test(arguments: [1_300, 1_500]) func `children get longer datagrams where the wire carries them`(
        carries: Int
    )
        throws
    {
        let mesh = Mesh(seed: 5)
        mesh.parameters.bytesMax = carries
        let sequencer = mesh.addSequencer { $0.serving.datagramBytesMax = 1_472 }
        let replica = mesh.addReplica("replica", parents: [sequencer])
        mesh.run(for: .seconds(2))
        try mesh.run(heights: 30)
        try mesh.finish()
        let statistics = mesh.sequencer.statistics
        #expect((statistics.datagramsLong > 0) == (carries == 1_500))
        #expect(replica.replica.appliedHeight == mesh.sequencer.nextHeight - 1)
        #expect(replica.replica.statistics.repairsAsked == 0)
    }
}

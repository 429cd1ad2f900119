/// More stream than a line carries, between whole cores: it is followed later, not in shreds (Spec 55.6).

import MillraceBase
import MillraceWire
import Testing

@testable import MillraceCore

@Test(arguments: [UInt64(1), 2])
func `a replica behind a line that is too slow applies what the line carries`(seed: UInt64) throws {
    let mesh = Mesh(seed: seed)
    let sequencer = mesh.addSequencer()
    let relays = (0..<2).map { mesh.addRelay("relay \($0)", parents: [sequencer]) }
    let replica = mesh.addReplica("replica", parents: relays)
    // One line for both parents.
    var slow = WireParameters()
    slow.delay = .milliseconds(25)
    slow.megabitsPerSecond = 2
    for relay in relays { mesh.link(relay, replica, slow) }
    mesh.run(for: .milliseconds(500))
    // 160-byte symbols: 120 transactions are some 8 Mbit/s, and the two ways carry 4.
    try mesh.run(heights: 400, transactions: 120)
    let applied = replica.replica.appliedHeight
    let statistics = replica.core.statistics
    let received = statistics.received.total
    // The line was full all the time, and what it brought was of use.
    #expect(received > 4_000_000 / 8 * 4 * 8 / 10)
    #expect(Double(statistics.received.duplicate) < 0.1 * Double(received))
    #expect(applied > 120)
    // And when the stream ends, everything comes.
    try mesh.finish(settle: .seconds(12))
    #expect(replica.replica.appliedHeight >= 400)
    #expect(replica.stops.isEmpty)
}

@Test func `a parent tells no tip that still waits in its queue`() throws {
    let mesh = Mesh(seed: 3)
    let sequencer = mesh.addSequencer()
    let replica = mesh.addReplica("replica", parents: [sequencer])
    var slow = WireParameters()
    slow.megabitsPerSecond = 3
    mesh.link(sequencer, replica, slow)
    mesh.run(for: .milliseconds(500))
    try mesh.run(heights: 30, transactions: 120)
    // Nothing was lost, so nothing had to be asked for while it was still to come.
    #expect(replica.core.statistics.shredsDuplicate < 20)
    #expect(replica.core.statistics.repairsWasted < 20)
}

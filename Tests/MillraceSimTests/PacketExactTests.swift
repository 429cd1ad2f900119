/// Single datagrams, to the nanosecond, against arithmetic done by hand: whatever the queue, the links, the way between
/// and the processor do to a datagram, they do at these times and no others.
///
/// The datagrams are those every run begins with: a relay's session init of 152 bytes (Spec 50.4), 180 with UDP and IPv4, at
/// time 0, and the answer of 96 bytes, 124 on the wire. Times are in nanoseconds since the run began.

import MillraceBase
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct PacketExactTests {
    struct Delivery: Equatable, CustomStringConvertible {
        var to: String
        var bytes: Int
        var at: UInt64
        var description: String { "\(bytes) bytes to \(to) at \(at)" }
    }

    static func line(down: String = "delay=0", up: String = "delay=0") throws -> AccessLink {
        AccessLink(
            text: "down \(down), up \(up)", down: try LinkParameters(text: down),
            up: try LinkParameters(text: up))
    }

    /// A sequencer and relays below it, one for each line.
    static func scenario(_ sequencer: AccessLink, _ relays: [AccessLink]) -> Scenario {
        var scenario = Scenario(name: "packets")
        scenario.seconds = 1
        var top = NodeGroup(name: "top", role: .sequencer)
        top.link = sequencer
        scenario.groups = [top]
        for (i, line) in relays.enumerated() {
            var group = NodeGroup(name: "relay-\(i)", role: .relay)
            group.link = line
            group.parents = ["top"]
            group.parentCount = 1
            scenario.groups.append(group)
        }
        return scenario
    }

    static func simulation(_ scenario: Scenario) throws -> Simulation {
        let workload = WorkloadSpec(.swap)
        return try Simulation(
            scenario, seed: 1,
            sizes: PayloadSizes(workload: workload, payloadBytes: [1_000], transactions: [100]))
    }

    /// Inits and answers in the order in which they came through, before the stream begins.
    static func handshakes(_ simulation: Simulation) throws -> [Delivery] {
        var all: [Delivery] = []
        simulation.onDelivered = { [unowned simulation] node, flight in
            let bytes = Int(flight.wireBytes)
            if bytes == 152 || bytes == 96, simulation.now < simulation.streamBegins {
                all.append(
                    Delivery(
                        to: node.name, bytes: bytes, at: simulation.now - NodeClock.start.nanoseconds))
            }
        }
        try simulation.run()
        return all
    }

    @Test func `one link: its rate, then its delay`() throws {
        // 180 bytes × 8 at 1 Mbit/s are 1,440,000 ns, and 5 ms of delay. The answer leaves 4,000 ns later (the sequencer's
        // work), and its way has neither rate nor delay.
        let simulation = try PacketExactTests.simulation(
            PacketExactTests.scenario(.none, [PacketExactTests.line(up: "rate=1,delay=5")]))
        #expect(
            try PacketExactTests.handshakes(simulation) == [
                Delivery(to: "top", bytes: 152, at: 6_440_000),
                Delivery(to: "relay-0", bytes: 96, at: 6_444_000),
            ])
    }

    @Test func `links in series, and a region's way between them`() throws {
        // Init: up 1,440,000 + 5,000,000; between 20,000,000; down at 2 Mbit/s 720,000 + 3,000,000: 30,160,000.
        // Answer, 124 bytes = 992 bits, from 30,164,000: up at 4 Mbit/s 248,000 + 1,000,000; between 30,000,000 (the way back
        // is longer); down at 0.5 Mbit/s 1,984,000 + 7,000,000: 70,396,000.
        var scenario = PacketExactTests.scenario(
            try PacketExactTests.line(down: "rate=2,delay=3", up: "rate=4,delay=1"),
            [try PacketExactTests.line(down: "rate=0.5,delay=7", up: "rate=1,delay=5")])
        scenario.groups[0].regions = ["east"]
        scenario.groups[1].regions = ["west"]
        scenario.latency = RegionLatency(
            names: ["east", "west"],
            oneWay: [.zero, .milliseconds(30), .milliseconds(20), .zero])
        let simulation = try PacketExactTests.simulation(scenario)
        let all = try PacketExactTests.handshakes(simulation)
        #expect(
            all == [
                Delivery(to: "top", bytes: 152, at: 30_160_000),
                Delivery(to: "relay-0", bytes: 96, at: 70_396_000),
            ], "\(all)")
    }

    @Test func `a full queue drops what comes last, and a retry finds room`() throws {
        // Four inits reach the sequencer's line at 0: 1 Mbit/s, room for 400 bytes. 180 and 360 fit, 540 would not: two pass, at
        // 1,440,000 and 2,880,000, and two are dropped. Those retry at 250 ms, when the line is idle, and pass.
        let line = try PacketExactTests.line(down: "rate=1,queue=400")
        let simulation = try PacketExactTests.simulation(
            PacketExactTests.scenario(
                line, Array(repeating: try PacketExactTests.line(up: "delay=0"), count: 4)))
        let inits = try PacketExactTests.handshakes(simulation).filter { $0.bytes == 152 }
        #expect(inits.map(\.at) == [1_440_000, 2_880_000, 251_440_000, 252_880_000])
        #expect(simulation.sequencer.down.model.counters.queueFull >= 2)
    }

    @Test
    func `a partition that begins while a datagram is under way stops it, if it lasts until it would arrive`()
        throws
    {
        // Under way from 0 to 25 ms. Cut from 10 to 30 ms: gone; the retry of 250 ms arrives at 275 ms.
        // Cut from 10 to 20 ms: it arrives at 25 ms.
        for (lasts, expected) in [(20, 275_000_000), (10, 25_000_000)] as [(Int64, UInt64)] {
            var scenario = PacketExactTests.scenario(.none, [try PacketExactTests.line(up: "delay=25")])
            // Faults count from the first mini-block, two seconds into the run.
            scenario.faults = [
                Fault(
                    .partition, NodeSelector(group: "relay-0"), at: .milliseconds(-1_990),
                    lasts: .milliseconds(lasts))
            ]
            let inits = try PacketExactTests.handshakes(try PacketExactTests.simulation(scenario))
            #expect(inits.first == Delivery(to: "top", bytes: 152, at: expected))
        }
    }

    @Test func `one-way cuts stop one way`() throws {
        // The others cannot reach the relay until 300 ms: its init arrives at 1 ms, the answer (from 1,004,000) does not; nor the
        // answer to the retry of 250 ms. The third init, 250 ms after the second, is answered at once.
        var scenario = PacketExactTests.scenario(.none, [try PacketExactTests.line(up: "delay=1")])
        scenario.faults = [
            Fault(
                .deafened, NodeSelector(group: "relay-0"), at: .milliseconds(-2_000),
                lasts: .milliseconds(300))
        ]
        #expect(
            try PacketExactTests.handshakes(try PacketExactTests.simulation(scenario)) == [
                Delivery(to: "top", bytes: 152, at: 1_000_000),
                Delivery(to: "top", bytes: 152, at: 251_000_000),
                Delivery(to: "top", bytes: 152, at: 501_000_000),
                Delivery(to: "relay-0", bytes: 96, at: 501_004_000),
            ])
    }

    @Test func `a busy processor keeps the next datagram waiting in the socket`() throws {
        // A datagram received takes 1 ms, one sent 50,000 ns. The first init arrives at 5,000,000; its answer leaves at 6,000,000
        // and has left at 6,050,000. The second arrives at 5,100,000, waits until then, and its answer leaves at 7,050,000.
        var scenario = PacketExactTests.scenario(
            .none, [try PacketExactTests.line(up: "delay=5"), try PacketExactTests.line(up: "delay=5.1")])
        scenario.groups[0].processor.receiveNanoseconds = 1_000_000
        scenario.groups[0].processor.sendNanoseconds = 50_000
        #expect(
            try PacketExactTests.handshakes(try PacketExactTests.simulation(scenario)) == [
                Delivery(to: "top", bytes: 152, at: 5_000_000),
                Delivery(to: "top", bytes: 152, at: 5_100_000),
                Delivery(to: "relay-0", bytes: 96, at: 6_000_000),
                Delivery(to: "relay-1", bytes: 96, at: 7_050_000),
            ])
    }

    @Test(arguments: [(10_000, 242_623_763), (-10_000, 267_626_262), (0, 255_000_000)] as [(Int64, UInt64)])
    func `timers run by the node's own clock`(drift: Int64, arrival: UInt64) throws {
        // The core began at 1 s by its clock and retries at 1.25 s by it. One per cent fast, that is at 1.25 s / 1.01 =
        // 1,237,623,762.4 ns, so at …763; one per cent slow, at 1.25 s / 0.99 = 1,262,626,262.6 ns, and since the drift
        // (12,626,262.62) is cut to whole nanoseconds, already at …262. Then 5 ms of way.
        var scenario = PacketExactTests.scenario(.none, [try PacketExactTests.line(up: "delay=5")])
        scenario.faults = [
            Fault(
                .partition, NodeSelector(group: "relay-0"), at: .milliseconds(-2_000),
                lasts: .milliseconds(100)
            )
        ]
        let simulation = try PacketExactTests.simulation(scenario)
        simulation.nodes[1].clock = NodeClock(driftPPM: drift)
        #expect(try PacketExactTests.handshakes(simulation).first?.at == arrival)
    }

    @Test(arguments: [-10_000, -100, -1, 1, 37, 10_000] as [Int64])
    func `a drifting clock never runs backwards, and its inverse is the first moment`(drift: Int64) {
        let clock = NodeClock(driftPPM: drift)
        var draws = Seed(UInt64(drift + 20_000)).generator("clock test")
        for _ in 0..<20_000 {
            let truth = 1_000_000_000 + draws.below(100_000_000_000_000)
            #expect(clock.local(truth + 1) >= clock.local(truth))
            let local = Instant(nanoseconds: truth)
            let first = clock.truth(local)
            #expect(clock.local(first) >= local && clock.local(first - 1) < local)
        }
        // Across a millisecond, where whole parts of the drift come in.
        #expect(clock.local(5_000_000) >= clock.local(4_999_999))
    }
}

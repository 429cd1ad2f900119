/// Captures read again by a small parser of the format: lengths, checksums, times, and the books of the link.

import MillraceBase
import MillraceLink
import MillraceWorkload
import Testing

@testable import MillraceSim

@Suite struct PacketCaptureTests {
    struct Packet {
        var interface: Int
        var at: UInt64
        var originalLength: Int
        var bytes: ArraySlice<UInt8>
    }

    struct Malformed: Error {}

    /// Every block has equal lengths at both ends; section, interfaces and packets are what this project writes.
    static func parse(_ file: [UInt8]) throws -> (interfaces: Int, packets: [Packet]) {
        func word(_ at: Int) -> Int {
            (0..<4).reduce(0) { $0 | Int(file[at + $1]) << (8 * $1) }
        }
        var at = 0
        var interfaces = 0
        var packets: [Packet] = []
        while at < file.count {
            guard file.count - at >= 12 else { throw Malformed() }
            let length = word(at + 4)
            guard length % 4 == 0, length >= 12, at + length <= file.count, word(at + length - 4) == length
            else {
                throw Malformed()
            }
            switch word(at) {
            case 0x0A0D_0D0A:
                guard at == 0, word(8) == 0x1A2B_3C4D else { throw Malformed() }
            case 1:
                interfaces += 1
                guard word(at + 8) == 101 else { throw Malformed() }
            case 6:
                let captured = word(at + 20)
                guard 28 + captured + 4 <= length else { throw Malformed() }
                packets.append(
                    Packet(
                        interface: word(at + 8), at: UInt64(word(at + 12)) << 32 | UInt64(word(at + 16)),
                        originalLength: word(at + 24), bytes: file[at + 28..<at + 28 + captured]))
            default: throw Malformed()
            }
            at += length
        }
        return (interfaces, packets)
    }

    /// The ones' complement sum of 16-bit words.
    static func sum(_ bytes: some Collection<UInt8>) -> UInt32 {
        var sum: UInt32 = 0
        for (i, byte) in bytes.enumerated() {
            sum += i % 2 == 0 ? UInt32(byte) << 8 : UInt32(byte)
            sum = sum & 0xFFFF + sum >> 16
        }
        return sum
    }

    static func capture(
        _ link: String, fidelity: Fidelity, node: String? = nil
    ) throws -> (file: [UInt8], simulation: Simulation, count: UInt64) {
        let workload = try WorkloadSpec("erc20?tps=2000&accounts=500&tokens=5")
        let scenario = Scenario.link(
            try SimulationTests.line(link), workload: workload, seconds: 1, fidelity: fidelity, replicas: 2)
        let simulation = try Simulation(
            scenario, seed: 3, sizes: fidelity == .network ? SimulationTests.steady(workload) : nil)
        var file: [UInt8] = []
        let capture = try #require(simulation.capture(node: node) { file += $0 })
        try simulation.run()
        return (file, simulation, capture.packets)
    }

    @Test(arguments: Fidelity.allCases)
    func `a capture has every datagram of the links, with right lengths and checksums`(
        fidelity: Fidelity
    ) throws {
        let (file, simulation, count) = try PacketCaptureTests.capture(
            "rate=25,rtt=40,loss=1%,duplicate=1%", fidelity: fidelity, node: "replica-1")
        let (interfaces, packets) = try PacketCaptureTests.parse(file)
        #expect(interfaces == 2)
        #expect(packets.count == Int(count) && count > 100)
        #expect(zip(packets, packets.dropFirst()).allSatisfy { $0.at <= $1.at })
        let node = try #require(simulation.nodes.first { $0.name == "replica-1" })
        for packet in packets {
            let bytes = Array(packet.bytes)
            #expect(bytes[0] == 0x45 && bytes[9] == 17)
            #expect(PacketCaptureTests.sum(bytes[..<20]) == 0xFFFF)
            let total = Int(bytes[2]) << 8 | Int(bytes[3])
            let datagram = Int(bytes[24]) << 8 | Int(bytes[25])
            #expect(total == packet.originalLength && datagram == total - 20)
            #expect(bytes.count <= total)
            if fidelity == .full { #expect(bytes.count == total) }
            // Absent bytes are zeroes, which add nothing.
            let pseudo = bytes[12..<20] + [0, 17, UInt8(datagram >> 8), UInt8(datagram & 0xFF)]
            #expect(PacketCaptureTests.sum(pseudo + bytes[20...]) == 0xFFFF)
            // The node's own address, where the direction says.
            let own = packet.interface == 0 ? bytes[16..<20] : bytes[12..<16]
            #expect(Array(own) == [10, 0, 0, UInt8(node.index)])
        }
        let down = packets.filter { $0.interface == 0 }
        #expect(UInt64(down.reduce(0) { $0 + $1.originalLength - 28 }) == node.arrivedBytes)
        let up = packets.filter { $0.interface == 1 }
        #expect(UInt64(up.count) == node.ledger.sentDatagrams)
        if fidelity == .network { #expect(down.contains { $0.bytes.count < $0.originalLength }) }
    }

    @Test func `the first replica is captured when no node is named, and an unknown one is refused`() throws {
        let workload = WorkloadSpec(.swap)
        let scenario = Scenario.link(
            try SimulationTests.line("rate=25"), workload: workload, seconds: 1, fidelity: .network,
            replicas: 2)
        let simulation = try Simulation(scenario, seed: 1, sizes: SimulationTests.steady(workload))
        #expect(simulation.capture(node: nil) { _ in }?.node == "replica-0")
        #expect(simulation.capture(node: "replica-7") { _ in } == nil)
    }
}

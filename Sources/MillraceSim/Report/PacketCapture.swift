/// Datagrams that pass one node's links, as a pcapng file (draft-ietf-opsawg-pcapng): what a capture on that machine would have
/// seen, stamped in virtual time to the nanosecond.
///
/// Two interfaces: `down` has what comes out of the link down, losses left out and duplicates twice; `up` has what the node
/// puts into the link up, before any loss there. IPv4 and UDP headers are made up around each datagram with right lengths and
/// checksums. Bytes known by reference (network fidelity) are not there: the packet's captured length is then less than its
/// original length, and they count as zeroes in the UDP checksum. A bit flipped under way is flipped here too, against the
/// checksum.
///
/// Packets are written in the order of their times. One is held back only until virtual time has passed it: what a busy node
/// sends leaves later than the event that made it. So the memory is that of one turn's output.

import MillraceBase

public final class PacketCapture {
    /// As it is named in the file.
    public let node: String
    private let write: ([UInt8]) -> Void
    private var pending: [(at: UInt64, block: [UInt8])] = []
    public private(set) var packets: UInt64 = 0

    enum Direction: UInt32 {
        case down = 0
        case up = 1
    }

    /// LINKTYPE_RAW: a packet begins with its IP header.
    static let linkType: UInt16 = 101
    static let headerBytes = 28

    /// `write` gets the file piece by piece.
    public init(node: String, write: @escaping ([UInt8]) -> Void) {
        self.node = node
        self.write = write
        var section = PacketCapture.block(0x0A0D_0D0A) { body in
            body.append(word: 0x1A2B_3C4D)
            body.append(half: 1)
            body.append(half: 0)
            // The section's length is not known.
            body.append(word: .max)
            body.append(word: .max)
            body.append(option: 4, Array("millrace simulate".utf8))
            body.append(option: 0, [])
        }
        for direction in ["down", "up"] {
            section += PacketCapture.block(1) { body in
                body.append(half: PacketCapture.linkType)
                body.append(half: 0)
                body.append(word: 0)  // no limit to captured lengths
                body.append(option: 2, Array("\(node.prefix(200)) \(direction)".utf8))
                body.append(option: 9, [9])  // nanoseconds
                body.append(option: 0, [])
            }
        }
        write(section)
    }

    /// `wireBytes` is the datagram's length as sent; `bytes` those of them that are there. `now` is when this is told, `at` when
    /// the packet passes.
    func add(
        _ direction: Direction, from: PeerAddress, to: PeerAddress, bytes: UnsafeRawBufferPointer,
        wireBytes: Int, flippedBit: UInt32, at: UInt64, now: UInt64
    ) {
        flush(through: now)
        var packet = PacketCapture.packet(from: from, to: to, bytes: bytes, wireBytes: wireBytes)
        let flipped = Int(clamping: UInt64(flippedBit) / 8) + PacketCapture.headerBytes
        if flippedBit != .max, flipped < packet.count { packet[flipped] ^= 1 << UInt8(flippedBit % 8) }
        let stamp = NodeClock.epochMicroseconds * 1_000 + at
        let block = PacketCapture.block(6) { body in
            body.append(word: direction.rawValue)
            body.append(word: UInt32(truncatingIfNeeded: stamp >> 32))
            body.append(word: UInt32(truncatingIfNeeded: stamp))
            body.append(word: UInt32(packet.count))
            body.append(word: UInt32(PacketCapture.headerBytes + wireBytes))
            body.append(padded: packet)
            // epb_flags: 1 inbound, 2 outbound.
            body.append(option: 2, [direction == .down ? 1 : 2, 0, 0, 0])
            body.append(option: 0, [])
        }
        packets += 1
        // Nearly always the last.
        var place = pending.count
        while place > 0, pending[place - 1].at > at { place -= 1 }
        pending.insert((at, block), at: place)
    }

    /// Writes what is not later than `time`.
    func flush(through time: UInt64) {
        guard let first = pending.first, first.at <= time else { return }
        let count = pending.firstIndex { $0.at > time } ?? pending.count
        for (_, block) in pending[..<count] { write(block) }
        pending.removeFirst(count)
    }

    // MARK: Bytes

    private static func packet(
        from: PeerAddress, to: PeerAddress, bytes: UnsafeRawBufferPointer, wireBytes: Int
    ) -> [UInt8] {
        var packet: [UInt8] = []
        packet.reserveCapacity(headerBytes + bytes.count)
        let (source, target) = (from.ipv4 ?? 0, to.ipv4 ?? 0)
        packet += [0x45, 0]
        packet.append(network: UInt16(clamping: headerBytes + wireBytes))
        packet.append(network: 0)  // never in fragments, so never told apart (RFC 6864)
        packet.append(network: 0x4000)
        packet += [64, 17]
        packet.append(network: 0)
        for address in [source, target] {
            packet.append(network: UInt16(truncatingIfNeeded: address >> 16))
            packet.append(network: UInt16(truncatingIfNeeded: address))
        }
        packet.replace(at: 10, with: ~fold(sum(packet[0..<20])))
        packet.append(network: from.port)
        packet.append(network: to.port)
        packet.append(network: UInt16(clamping: 8 + wireBytes))
        packet.append(network: 0)
        packet += bytes
        // The pseudo header: addresses, protocol, length.
        let whole = sum(packet[12...]) + 17 + UInt64(8 + wireBytes)
        let checksum = ~fold(whole)
        packet.replace(at: 26, with: checksum == 0 ? 0xFFFF : checksum)
        return packet
    }

    private static func sum(_ bytes: ArraySlice<UInt8>) -> UInt64 {
        var sum: UInt64 = 0
        for (i, byte) in bytes.enumerated() { sum += i & 1 == 0 ? UInt64(byte) << 8 : UInt64(byte) }
        return sum
    }

    private static func fold(_ sum: UInt64) -> UInt16 {
        var sum = sum
        while sum > 0xFFFF { sum = sum & 0xFFFF + sum >> 16 }
        return UInt16(sum)
    }

    /// Type, length, body, and the length again.
    private static func block(_ type: UInt32, _ fill: (inout [UInt8]) -> Void) -> [UInt8] {
        var body: [UInt8] = []
        fill(&body)
        let length = UInt32(body.count + 12)
        var block: [UInt8] = []
        block.reserveCapacity(body.count + 12)
        block.append(word: type)
        block.append(word: length)
        block += body
        block.append(word: length)
        return block
    }
}

/// pcapng in little-endian order, IP in the network's.
extension [UInt8] {
    fileprivate mutating func append(word: UInt32) {
        for shift: UInt32 in [0, 8, 16, 24] { append(UInt8(truncatingIfNeeded: word >> shift)) }
    }
    fileprivate mutating func append(half: UInt16) {
        append(UInt8(truncatingIfNeeded: half))
        append(UInt8(truncatingIfNeeded: half >> 8))
    }
    fileprivate mutating func append(network half: UInt16) {
        append(UInt8(truncatingIfNeeded: half >> 8))
        append(UInt8(truncatingIfNeeded: half))
    }
    fileprivate mutating func replace(at index: Int, with half: UInt16) {
        self[index] = UInt8(truncatingIfNeeded: half >> 8)
        self[index + 1] = UInt8(truncatingIfNeeded: half)
    }
    /// To a multiple of four.
    fileprivate mutating func append(padded bytes: [UInt8]) {
        self += bytes
        self += [UInt8](repeating: 0, count: (4 - bytes.count & 3) & 3)
    }
    fileprivate mutating func append(option code: UInt16, _ value: [UInt8]) {
        append(half: code)
        append(half: UInt16(clamping: value.count))
        append(padded: value)
    }
}

extension Simulation {
    /// Writes what passes the links of `node` (nil: the first replica) from now on; nil when there is no such node.
    public func capture(node name: String?, write: @escaping ([UInt8]) -> Void) -> PacketCapture? {
        let node = nodes.first { name == nil ? $0.role == .replica : $0.name == name }
        guard let node else { return nil }
        let capture = PacketCapture(node: node.name, write: write)
        self.capture = (node.index, capture)
        return capture
    }

    /// Whom `capture` may name: for messages.
    public var nodeNames: [String] { nodes.map(\.name) }

    func captureSent(
        _ node: SimNode, to: PeerAddress, _ bytes: UnsafeRawBufferPointer, wireBytes: Int, at time: UInt64
    ) {
        guard let capture, capture.node == node.index else { return }
        capture.file.add(
            .up, from: node.address, to: to, bytes: bytes, wireBytes: wireBytes, flippedBit: .max,
            at: time, now: now)
    }

    func captureArrived(_ flight: Flight, _ node: SimNode, from source: PeerAddress) {
        guard let capture, capture.node == node.index else { return }
        capture.file.add(
            .down, from: source, to: node.address,
            bytes: UnsafeRawBufferPointer(flights.bytes(of: flight)), wireBytes: Int(flight.wireBytes),
            flippedBit: flight.flippedBit, at: now, now: now)
    }
}

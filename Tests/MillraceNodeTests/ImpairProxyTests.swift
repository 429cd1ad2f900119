import MillraceBase
import MillraceLink
import MillraceLoop
import MillraceNode
import Testing

/// A proxy between clients and an upstream that sends everything back, all on one loop and real sockets.
final class ImpairedEcho {
    let loop: EventLoop
    let echoes: [UDPSocket]
    let proxy: ImpairProxy
    private(set) var echoed: [[PeerAddress]]
    /// What routers may write, of all that was echoed.
    private(set) var bits: [UInt8] = []

    init(
        routes: Int = 1, up: String = "none", down: String = "none",
        change: (inout ImpairOptions) -> Void = { _ in }
    ) throws {
        let loop = try EventLoop()
        self.loop = loop
        let echoes = try (0..<routes).map { _ in try UDPSocket(on: loop, bind: .loopback(port: 0)) }
        self.echoes = echoes
        var options = ImpairOptions(
            routes: echoes.map { ImpairOptions.Route(listen: .loopback(port: 0), upstream: $0.localAddress) })
        options.up = try LinkParameters(text: up, direction: .up)
        options.down = try LinkParameters(text: down)
        change(&options)
        proxy = try ImpairProxy(on: loop, options)
        echoed = Array(repeating: [], count: routes)
        for (i, echo) in echoes.enumerated() {
            echo.start { [unowned self, unowned echo] bytes, from in
                echoed[i].append(from)
                bits.append(echo.congestionBits)
                _ = echo.send(UnsafeRawBufferPointer(bytes), to: from)
            }
        }
    }

    func client(_ got: @escaping ([UInt8], PeerAddress) -> Void) throws -> UDPSocket {
        let socket = try UDPSocket(on: loop, bind: .loopback(port: 0))
        socket.start { got(Array($0), $1) }
        return socket
    }

    /// Turns the loop until `done`, at most five seconds.
    func run(until done: () -> Bool) -> Bool {
        let deadline = Machine.now + .seconds(5)
        while !done() {
            if Machine.now > deadline { return false }
            loop.runOnce(waiting: false)
        }
        return true
    }

    func run(for interval: Interval) {
        let end = Machine.now + interval
        _ = run { Machine.now > end }
    }

    func close(_ clients: UDPSocket...) {
        for client in clients { client.close() }
        proxy.close()
        for echo in echoes { echo.close() }
        loop.close()
    }
}

extension UDPSocket {
    func send(_ bytes: [UInt8], to address: PeerAddress) {
        bytes.withUnsafeBytes { _ = send($0, to: address) }
    }
}

struct ImpairProxyTests {
    @Test(arguments: [true, false])
    func `a queue's marks are written where the sender says that they may be`(mayBeMarked: Bool) throws {
        let echo = try ImpairedEcho(up: "rate=4,aqm=codel,ecn=on,queue=250000")
        var options = UDPSocketOptions()
        options.mayBeMarked = mayBeMarked
        let client = try UDPSocket(on: echo.loop, bind: .loopback(port: 0), options: options)
        // A quarter of a second of queue: the first mark comes after 100 ms.
        for i in 0..<110 as Range<UInt8> {
            client.send([UInt8](repeating: i, count: 1_200), to: echo.proxy.listeningAddresses[0])
        }
        #expect(echo.run { echo.bits.count == 110 })
        #expect(echo.proxy.counters.up.marked > 0)
        let marked = mayBeMarked ? echo.proxy.counters.up.marked : 0
        #expect(echo.bits.count { $0 == UDPSocket.congestionMark } == Int(marked))
        #expect(echo.bits.first == (mayBeMarked ? 2 : 0))
        echo.close(client)
    }

    @Test func `an unimpaired proxy passes everything both ways, in order, each client by a port of its own`()
        throws
    {
        let echo = try ImpairedEcho()
        let entrance = echo.proxy.listeningAddresses[0]
        var got: [[[UInt8]]] = [[], []]
        let a = try echo.client { bytes, from in
            #expect(from == entrance)
            got[0].append(bytes)
        }
        let b = try echo.client { bytes, _ in got[1].append(bytes) }
        for i in 0..<100 as Range<UInt8> {
            a.send([i] + [UInt8](repeating: 7, count: Int(i) * 12), to: entrance)
            b.send([i, i], to: entrance)
            if i % 20 == 19 { #expect(echo.run { got[0].count == Int(i) + 1 && got[1].count == Int(i) + 1 }) }
        }
        #expect(
            got[0].map { $0[0] } == Array(0..<100) && got[0].map(\.count) == (0..<100).map { 1 + $0 * 12 })
        #expect(got[1] == (0..<100).map { [$0, $0] })
        #expect(Set(echo.echoed[0]).count == 2)
        let counters = echo.proxy.counters
        #expect(counters.clients == 2)
        #expect(counters.up.deliveredDatagrams == 200 && counters.down.deliveredDatagrams == 200)
        #expect(counters.downWireBytesOut == counters.down.deliveredBytes + 200 * 28)
        echo.close(a, b)
    }

    @Test func `delay is kept, and never cut short`() throws {
        let echo = try ImpairedEcho(up: "delay=12", down: "delay=8")
        var arrivals: [Instant] = []
        let client = try echo.client { _, _ in arrivals.append(Machine.now) }
        let sent = Machine.now
        client.send([1], to: echo.proxy.listeningAddresses[0])
        #expect(echo.run { !arrivals.isEmpty })
        #expect(arrivals[0] - sent >= .milliseconds(20))
        echo.close(client)
    }

    @Test func `losses, duplicates and errors are those of the link model with the same seed`() throws {
        let text = "loss=20%,burst=2,duplicate=10%,corrupt=10%"
        let echo = try ImpairedEcho(up: "none", down: text) { $0.seed = Seed(99) }
        var model = LinkModel(try LinkParameters(text: text), seed: Seed(99), index: 1)
        var expected: [[UInt8]] = []
        var got: [[UInt8]] = []
        let client = try echo.client { bytes, _ in got.append(bytes) }
        for i in 0..<200 as Range<UInt8> {
            let datagram = [i, i, i, i]
            let passage = model.pass(bytes: 4, now: .zero)
            func flipped(_ bit: UInt32) -> [UInt8] {
                var bytes = datagram
                if bit != Passage.noBit { bytes[Int(bit / 8)] ^= 1 << UInt8(bit % 8) }
                return bytes
            }
            if passage.isDelivered { expected.append(flipped(passage.flippedBit)) }
            if passage.isDuplicated { expected.append(flipped(passage.duplicateFlippedBit)) }
            client.send(datagram, to: echo.proxy.listeningAddresses[0])
            if i % 40 == 39 { #expect(echo.run { got.count >= expected.count }) }
        }
        #expect(got == expected)
        #expect(echo.proxy.counters.down.lost > 20)
        echo.close(client)
    }

    @Test func `two routes share one line`() throws {
        // 400 datagrams of 1,000 wire bytes at 8 Mbit/s take 400 ms, whichever route they take.
        let echo = try ImpairedEcho(routes: 2, down: "rate=8,queue=10MB")
        let entrances = echo.proxy.listeningAddresses
        #expect(Set(entrances).count == 2)
        var got = 0
        var last = Instant.zero
        let clients = try (0..<2).map { _ in
            try echo.client { _, _ in
                got += 1
                last = Machine.now
            }
        }
        let began = Machine.now
        for i in 0..<100 {
            clients[0].send([UInt8](repeating: 1, count: 972), to: entrances[0])
            clients[1].send([UInt8](repeating: 2, count: 972), to: entrances[1])
            if i % 20 == 19 { echo.run(for: .milliseconds(1)) }
        }
        #expect(echo.run { got == 200 })
        #expect(last - began >= .milliseconds(199))
        #expect(echo.echoed[0].count == 100 && echo.echoed[1].count == 100)
        echo.close(clients[0], clients[1])
    }

    @Test func `strangers, giants and clients beyond the bound are refused and counted`() throws {
        let echo = try ImpairedEcho { options in
            options.clientsMax = 1
            options.clientIdle = .milliseconds(30)
        }
        let entrance = echo.proxy.listeningAddresses[0]
        var got: [[UInt8]] = []
        let a = try echo.client { bytes, _ in got.append(bytes) }
        let b = try echo.client { bytes, _ in got.append(bytes) }
        a.send([1], to: entrance)
        #expect(echo.run { got == [[1]] })
        b.send([2], to: entrance)
        #expect(echo.run { echo.proxy.counters.clientsRefused == 1 })
        // Someone else writes to the client's port at the proxy.
        b.send([3], to: PeerAddress.loopback(port: echo.echoed[0][0].port))
        #expect(echo.run { echo.proxy.counters.strangers == 1 })
        var large = UDPSocketOptions()
        large.slotBytes = 4_096
        let giant = try UDPSocket(on: echo.loop, bind: .loopback(port: 0), options: large)
        echo.run(for: .milliseconds(40))
        // After its idle time the first client's place goes to the next.
        giant.send([UInt8](repeating: 0, count: 3_000), to: entrance)
        #expect(echo.run { echo.proxy.counters.oversized == 1 })
        #expect(echo.proxy.counters.clients == 1)
        #expect(got == [[1]])
        echo.close(a, b, giant)
    }

    @Test func `what does not fit under way is dropped and counted`() throws {
        let echo = try ImpairedEcho(up: "delay=10000") { $0.bytesUnderWayMax = 1 }
        let client = try echo.client { _, _ in }
        for i in 0..<300 {
            client.send([0], to: echo.proxy.listeningAddresses[0])
            if i % 50 == 49 { echo.run(for: .milliseconds(1)) }
        }
        #expect(echo.run { echo.proxy.counters.overflowed == 300 - 256 })
        echo.close(client)
    }

    @Test func `a port in use is a sentence, and nothing stays open`() throws {
        let loop = try EventLoop()
        let taken = try UDPSocket(on: loop, bind: .loopback(port: 0))
        let options = ImpairOptions(routes: [
            ImpairOptions.Route(listen: .loopback(port: 0), upstream: .loopback(port: 9)),
            ImpairOptions.Route(listen: taken.localAddress, upstream: .loopback(port: 9)),
        ])
        let error = #expect(throws: LoopError.self) { _ = try ImpairProxy(on: loop, options) }
        #expect(error?.code == .addressInUse)
        taken.close()
        loop.close()
    }
}

import CMillraceShims
import Foundation
import MillraceBase
import MillraceLoop
import Testing

/// Runs the loop until `done` or about five seconds have passed; true when done.
func run(_ loop: EventLoop, until done: () -> Bool) -> Bool {
    let deadline = Machine.now + .seconds(5)
    while !done() {
        if Machine.now > deadline { return false }
        loop.runOnce(waiting: false)
    }
    return true
}

struct LoopTimerTests {
    @Test func `a timer fires once and never before its deadline`() throws {
        let loop = try EventLoop()
        var fired: [Instant] = []
        let timer = try LoopTimer(on: loop) { fired.append(Machine.now) }
        let deadline = loop.now + .microseconds(2_500)
        timer.set(deadline)
        #expect(timer.isSet)
        #expect(run(loop) { !fired.isEmpty })
        #expect(fired[0] >= deadline)
        #expect(!timer.isSet)
        for _ in 0..<10 { loop.runOnce(waiting: false) }
        #expect(fired.count == 1)
        timer.close()
        timer.close()
        loop.close()
    }

    @Test func `a deadline may move later, earlier and away`() throws {
        let loop = try EventLoop()
        var fired: [Instant] = []
        let timer = try LoopTimer(on: loop) { fired.append(Machine.now) }
        let start = loop.now
        timer.set(start + .milliseconds(1))
        timer.set(start + .milliseconds(6))
        #expect(run(loop) { fired.count == 1 })
        #expect(fired[0] >= start + .milliseconds(6))
        timer.set(after: .seconds(3_600))
        timer.set(after: .milliseconds(1))
        #expect(run(loop) { fired.count == 2 })
        timer.set(after: .milliseconds(1))
        timer.cancel()
        let pause = loop.now + .milliseconds(5)
        #expect(run(loop) { loop.now > pause })
        timer.set(.distantFuture)
        #expect(!timer.isSet)
        timer.set(.zero)
        #expect(run(loop) { fired.count == 3 })
        timer.close()
        loop.close()
    }

    @Test func `a timer may be closed from its own handler`() throws {
        let loop = try EventLoop()
        var timer: LoopTimer?
        var fired = 0
        timer = try LoopTimer(on: loop) {
            fired += 1
            timer?.close()
        }
        timer?.set(after: .zero)
        loop.run()
        #expect(fired == 1)
        loop.close()
    }
}

struct UDPSocketTests {
    @Test(arguments: [true, false], ["127.0.0.1:0", "[::1]:0"])
    func `datagrams of many sizes arrive whole and in order`(usesOffload: Bool, address: String) throws {
        let loop = try EventLoop()
        var options = UDPSocketOptions()
        options.usesOffload = usesOffload
        let bind = try #require(PeerAddress(address))
        let a = try UDPSocket(on: loop, bind: bind, options: options)
        let b = try UDPSocket(on: loop, bind: bind, options: options)
        var random = SeededGenerator(seed: 7)
        // Runs of equal sizes, shorter and longer neighbours, empty ones, the largest.
        var sizes: [Int] = []
        while sizes.count < 700 {
            let size = [0, 1, 100, 1_232, 2_048, Int(random.below(1_400))][Int(random.below(6))]
            sizes += [Int](repeating: size, count: Int(random.below(9)) + 1)
        }
        var pool = BufferPool(slots: 32, slotBytes: 2_048)
        a.onReturn = { buffer in
            pool.bytes(of: buffer).copyBytes(from: [UInt8](repeating: 99, count: 2_048))
            pool.release(buffer)
        }
        var got: [[UInt8]] = []
        var batches = 0
        b.start(
            onDatagram: { bytes, from in
                #expect(from == a.localAddress)
                got.append(Array(bytes))
            }, onBatchEnd: { batches += 1 })
        var sent: [[UInt8]] = []
        for (i, size) in sizes.enumerated() {
            let bytes = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ i) }
            sent.append(bytes)
            // Some from where they lie: what is given back is written over.
            if i % 3 == 0 {
                guard let buffer = pool.take(), let start = pool.bytes(of: buffer).baseAddress else {
                    Issue.record("a buffer was not given back")
                    break
                }
                start.copyMemory(from: bytes, byteCount: size)
                #expect(a.lend(start, count: size, buffer: buffer, to: b.localAddress))
            } else {
                #expect(bytes.withUnsafeBytes { a.send($0, to: b.localAddress) })
            }
            // No more than the kernel's buffer holds before the other side reads.
            if i % 50 == 49 { _ = run(loop) { got.count >= sent.count } }
        }
        #expect(run(loop) { got.count >= sent.count })
        // Not the arrays themselves: a failure would print a megabyte.
        let differs = got.count == sent.count ? sent.indices.first { got[$0] != sent[$0] } : -1
        #expect(differs == nil)
        #expect(batches > 0)
        #expect(pool.available == 32)
        #expect(a.counters.datagramsSent == UInt64(sent.count))
        #expect(b.counters.datagramsReceived == UInt64(sent.count))
        #expect(b.counters.bytesReceived == UInt64(sizes.reduce(0, +)))
        if a.offload.send { #expect(a.counters.sendCalls < UInt64(sent.count)) }
        a.close()
        b.close()
        loop.close()
    }

    @Test(arguments: ["127.0.0.1:0", "[::1]:0", "[::]:0"])
    func `what routers may write on datagrams goes out and comes in`(address: String) throws {
        let loop = try EventLoop()
        var options = UDPSocketOptions()
        options.mayBeMarked = true
        let a = try UDPSocket(on: loop, bind: try #require(PeerAddress(address)), options: options)
        let b = try UDPSocket(on: loop, bind: try #require(PeerAddress(address)))
        // From a socket of both families to an IPv4 address.
        let to = address == "[::]:0" ? PeerAddress.loopback(port: b.localAddress.port) : b.localAddress
        var bits: [UInt8] = []
        var marks: [Bool] = []
        b.start { [unowned b] _, _ in
            bits.append(b.congestionBits)
            marks.append(b.isMarked)
        }
        let sent: [UInt8] = [0, 0, 3, 3, 1, 0, 3]
        for own in sent {
            _ = try #require(a.nextSlot())
            a.commit(count: 700, to: to, congestionBits: own)
        }
        #expect(run(loop) { bits.count == sent.count })
        // Runs of equal marks: their order among each other is the kernel's and ours, and kept.
        #expect(bits == sent.map { $0 == 0 ? 2 : $0 })
        #expect(marks == sent.map { $0 == 3 })
        a.close()
        b.close()
        loop.close()
    }

    @Test func `datagrams to several addresses leave in runs and keep their order for each`() throws {
        let loop = try EventLoop()
        let sender = try UDPSocket(on: loop, bind: .loopback(port: 0))
        var got: [[UInt8]] = [[], [], []]
        let receivers = try (0..<3).map { _ in try UDPSocket(on: loop, bind: .loopback(port: 0)) }
        for (i, receiver) in receivers.enumerated() {
            receiver.start { bytes, _ in got[i].append(bytes[0]) }
        }
        for round in 0..<60 {
            for receiver in receivers {
                let bytes = [UInt8](repeating: UInt8(round), count: 900)
                bytes.withUnsafeBytes { _ = sender.send($0, to: receiver.localAddress) }
            }
        }
        #expect(run(loop) { got.allSatisfy { $0.count == 60 } })
        #expect(got.allSatisfy { $0 == Array(0..<60) })
        if sender.offload.send { #expect(sender.counters.sendCalls <= 3) }
        for socket in receivers + [sender] { socket.close() }
        loop.close()
    }

    @Test func `a port in use is one clear sentence`() throws {
        let loop = try EventLoop()
        let first = try UDPSocket(on: loop, bind: .loopback(port: 0))
        let error = #expect(throws: LoopError.self) { _ = try UDPSocket(on: loop, bind: first.localAddress) }
        #expect(error?.code == .addressInUse)
        #expect(
            error?.description == "UDP \(first.localAddress) cannot be bound: another process is using it")
        let foreign = #expect(throws: LoopError.self) {
            _ = try UDPSocket(on: loop, bind: PeerAddress("192.0.2.1:0")!)
        }
        #expect(foreign?.code == .addressNotAvailable)
        first.close()
        first.close()
        loop.close()
    }

    @Test func `a full queue refuses, and what cannot be routed is counted`() throws {
        let loop = try EventLoop()
        var options = UDPSocketOptions()
        options.queueSlots = 16
        let socket = try UDPSocket(on: loop, bind: .loopback(port: 0), options: options)
        #expect(socket.freeSlots == 16)
        let tooLong = [UInt8](repeating: 0, count: options.slotBytes + 1)
        #expect(!tooLong.withUnsafeBytes { socket.send($0, to: .loopback(port: 9)) })
        // An IPv6 address has no way out of an IPv4 socket; port 0 is nobody's.
        let byte: [UInt8] = [1]
        byte.withUnsafeBytes { _ = socket.send($0, to: PeerAddress("[::1]:9")!) }
        byte.withUnsafeBytes { _ = socket.send($0, to: .loopback(port: 0)) }
        #expect(socket.queuedCount == 2)
        socket.flush()
        #expect(socket.queuedCount == 0)
        #expect(socket.counters.refused == 2)
        #expect(socket.counters.datagramsSent == 0)
        socket.close()
        #expect(socket.nextSlot() != nil)
        loop.close()
    }

    @Test func `a slot stays the next one until it is committed, whatever is flushed meanwhile`() throws {
        let loop = try EventLoop()
        let a = try UDPSocket(on: loop, bind: .loopback(port: 0))
        let b = try UDPSocket(on: loop, bind: .loopback(port: 0))
        var got: [[UInt8]] = []
        b.start { bytes, _ in got.append(Array(bytes)) }
        let first: [UInt8] = [1, 2, 3]
        for _ in 0..<3 { first.withUnsafeBytes { _ = a.send($0, to: b.localAddress) } }
        let slot = try #require(a.nextSlot())
        slot.copyBytes(from: [7, 8, 9, 10] as [UInt8])
        a.flush()
        #expect(a.nextSlot()?.baseAddress == slot.baseAddress)
        a.commit(count: 4, to: b.localAddress)
        #expect(run(loop) { got.count == 4 })
        #expect(got == [first, first, first, [7, 8, 9, 10]])
        a.close()
        b.close()
        loop.close()
    }

    @Test func `a socket may be closed while it receives`() throws {
        let loop = try EventLoop()
        let a = try UDPSocket(on: loop, bind: .loopback(port: 0))
        let b = try UDPSocket(on: loop, bind: .loopback(port: 0))
        var count = 0
        b.start { _, _ in
            count += 1
            b.close()
        }
        let bytes: [UInt8] = [1, 2, 3]
        for _ in 0..<5 { bytes.withUnsafeBytes { _ = a.send($0, to: b.localAddress) } }
        #expect(run(loop) { count > 0 })
        #expect(!b.isOpen)
        a.close()
        loop.close()
    }
}

struct WakeupTests {
    @Test func `messages of another thread arrive in order, and a full mailbox refuses`() throws {
        let loop = try EventLoop()
        var got: [Int] = []
        let wakeup = try Wakeup<Int>(on: loop, capacity: 100) { got.append($0) }
        let thread = Thread {
            for i in 0..<1_000 { while !wakeup.post(i) { usleep(100) } }
        }
        thread.start()
        #expect(run(loop) { got.count == 1_000 })
        #expect(got == Array(0..<1_000))
        for i in 0..<100 { #expect(wakeup.post(i)) }
        #expect(!wakeup.post(100))
        wakeup.close()
        #expect(!wakeup.post(0))
        loop.close()
    }
}

struct SignalWatcherTests {
    @Test func `a signal is a call on the loop`() throws {
        let loop = try EventLoop()
        var count = 0
        let watcher = try SignalWatcher(on: loop, .user1) { count += 1 }
        kill(getpid(), SIGUSR1)
        #expect(run(loop) { count == 1 })
        watcher.close()
        loop.close()
    }
}

struct ByteStreamReaderTests {
    @Test func `a pipe is read in chunks, pauses and ends`() throws {
        let loop = try EventLoop()
        var ends: (Int32, Int32) = (0, 0)
        withUnsafeMutableBytes(of: &ends) { _ = pipe($0.baseAddress!.assumingMemoryBound(to: Int32.self)) }
        var got: [UInt8] = []
        var ended = 0
        var largest = 0
        let reader = try ByteStreamReader(on: loop, descriptor: ends.0, name: "a pipe", chunkBytes: 100) {
            largest = max(largest, $0.count)
            got += $0
        } onEnd: {
            #expect($0 == nil)
            ended += 1
        }
        let bytes = (0..<1_000).map { UInt8(truncatingIfNeeded: $0) }
        #expect(mr_write(ends.1, bytes, 500) == 500)
        #expect(run(loop) { got.count == 500 })
        reader.pause()
        #expect(bytes.withUnsafeBytes { mr_write(ends.1, $0.baseAddress! + 500, 500) } == 500)
        for _ in 0..<5 { loop.runOnce(waiting: false) }
        #expect(got.count == 500)
        reader.resume()
        mr_close(ends.1)
        #expect(run(loop) { ended == 1 })
        #expect(got == bytes && largest == 100)
        reader.close()
        reader.close()
        loop.close()
    }

    @Test func `a connection that is reset ends the stream once`() throws {
        let loop = try EventLoop()
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "mr-\(UInt32.random(in: 0 ... .max))"
        ).path
        var ends = 0
        var reader: ByteStreamReader?
        let listener = try UnixListener(on: loop, path: path) { descriptor in
            // Bytes of ours that the client never reads make its close a reset.
            _ = mr_write(descriptor, "unread", 6)
            reader = try? ByteStreamReader(on: loop, descriptor: descriptor, name: path) { _ in
            } onEnd: { _ in
                ends += 1
            }
        }
        let client = mr_unix_connect(path)
        #expect(run(loop) { reader != nil })
        mr_close(client)
        #expect(run(loop) { ends > 0 })
        for _ in 0..<10 { loop.runOnce(waiting: false) }
        #expect(ends == 1)
        reader?.close()
        listener.close()
        loop.close()
    }

    @Test func `a plain file is read too, and may be paused and closed while it is`() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent("millrace-\(UUID())").path
        let bytes = (0..<300_000).map { UInt8(truncatingIfNeeded: $0 &* 31 >> 3) }
        try Data(bytes).write(to: URL(fileURLWithPath: path))
        defer { try? FileManager.default.removeItem(atPath: path) }
        let loop = try EventLoop()
        var got: [UInt8] = []
        var ended = false
        var reader: ByteStreamReader?
        reader = try ByteStreamReader(on: loop, descriptor: open(path, O_RDONLY), name: path) {
            got += $0
            if got.count <= 65_536 { reader?.pause() }
        } onEnd: { _ in
            ended = true
        }
        #expect(run(loop) { got.count == 65_536 })
        reader?.resume()
        #expect(run(loop) { ended })
        #expect(got == bytes)
        reader?.close()
        let early = try ByteStreamReader(on: loop, descriptor: open(path, O_RDONLY), name: path) { _ in
        } onEnd: { _ in
        }
        early.close()
        loop.close()
    }

    @Test func `a unix socket accepts, replaces a dead file and respects a live one`() throws {
        let path = FileManager.default.temporaryDirectory.appendingPathComponent(
            "mr-\(UInt32.random(in: 0 ... .max))"
        ).path
        let loop = try EventLoop()
        var text = ""
        var ended = 0
        var readers: [ByteStreamReader] = []
        let listener = try UnixListener(on: loop, path: path) { descriptor in
            let reader = try? ByteStreamReader(on: loop, descriptor: descriptor, name: path) {
                text += String(decoding: $0, as: UTF8.self)
            } onEnd: { _ in
                ended += 1
            }
            if let reader { readers.append(reader) }
        }
        // Whether the path is alive is found by connecting: the listener sees an empty connection.
        let error = #expect(throws: LoopError.self) { _ = try UnixListener(on: loop, path: path) { _ in } }
        #expect(error?.code == .addressInUse)
        let client = mr_unix_connect(path)
        #expect(mr_write(client, "hello", 5) == 5)
        mr_close(client)
        #expect(run(loop) { ended == 2 })
        #expect(text == "hello")
        for reader in readers { reader.close() }
        listener.close()
        loop.runOnce(waiting: false)
        #expect(!FileManager.default.fileExists(atPath: path))

        // A file left behind by a killed process.
        mr_close(mr_unix_listen(path))
        #expect(FileManager.default.fileExists(atPath: path))
        let again = try UnixListener(on: loop, path: path) { _ in }
        again.close()
        loop.close()
    }
}

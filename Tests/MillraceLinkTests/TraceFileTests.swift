import Foundation
import MillraceBase
import MillraceLink
import MillraceTestSupport
import Testing

private func trace(_ text: String, _ format: TraceFile.Format, name: String = "t") throws -> RateTrace {
    try TraceFile.parse(Array(text.utf8), format: format, name: name)
}

private func steps(_ trace: RateTrace) -> [[UInt64]] {
    trace.steps.map { [$0.start / 1_000_000, $0.bitsPerSecond / 1_000] } + [[trace.period / 1_000_000]]
}

struct TraceFileTests {
    @Test func `a Mahimahi stamp is 1,500 bytes in its millisecond, and the last is the period`() throws {
        #expect(try steps(trace("1\n", .mahimahi)) == [[0, 12_000], [1]])
        #expect(
            try steps(trace("0\n0\n3\n4\n10\n", .mahimahi))
                == [[0, 36_000], [1, 0], [3, 12_000], [5, 0], [10]])
        #expect(try steps(trace("10\n", .mahimahi)) == [[0, 12_000], [1, 0], [10]])
        #expect(try steps(trace("1\n2\n3", .mahimahi)) == [[0, 12_000], [1, 12_000], [3]])
        #expect(try trace("1\n2\n3", .mahimahi).meanBitsPerSecond == 12_000_000)
        // Windows' ends, spaces, comments, an empty line, no newline at the end.
        #expect(try trace("# c\r\n 0\r\n\r\n5 \r\n10", .mahimahi) == trace("0\n5\n10\n", .mahimahi))
    }

    @Test func `a row's rate holds until the next, the last as long as the one before`() throws {
        #expect(
            try steps(trace("# x\n0 8000\n500\t0\n2000 12.5\n", .rates))
                == [[0, 8_000], [500, 0], [2_000, 12], [3_500]])
        #expect(try trace("0 12.5", .rates).steps[0].bitsPerSecond == 12_500)
        // A single row lasts a second; times count from the first row's.
        #expect(try steps(trace("7000 5", .rates)) == [[0, 5], [1_000]])
        #expect(try steps(trace("1000 5\r\n3000 6\r\n", .rates)) == [[0, 5], [2_000, 6], [4_000]])
    }

    @Test(arguments: [
        ("", TraceFile.Format.mahimahi, "t: no stamp in it"),
        ("# only\n\n", .mahimahi, "t: no stamp in it"),
        ("0\n0\n", .mahimahi, "t: the last stamp must be above 0: it is the period"),
        ("1\n5\n3\n", .mahimahi, "t:3: stamps ascend, but 3 follows 5"),
        ("1\n-5\n", .mahimahi, "t:2: \"-5\" is not a whole number of milliseconds, at most 604800000"),
        ("1\n1.5\n", .mahimahi, "t:2: \"1.5\" is not a whole number of milliseconds, at most 604800000"),
        (
            "99999999999999999999999\n", .mahimahi,
            "t:1: \"99999999999999999999999\" is not a whole number of milliseconds, at most 604800000"
        ),
        (
            "\u{1}\u{2}PNG", .mahimahi,
            "t:1: binary data is not a whole number of milliseconds, at most 604800000"
        ),
        ("", .rates, "t: no row in it"),
        ("0 0\n1000 0\n", .rates, "t: every rate is 0: nothing would ever leave"),
        ("0 5\n0 6\n", .rates, "t:2: times ascend, but this row's is not after the one before"),
        ("5 5\n2 6\n", .rates, "t:2: times ascend, but this row's is not after the one before"),
        ("0 -5\n", .rates, "t:1: \"0 -5\" is not a time in ms and a rate in kbit/s, such as \"1000 25000\""),
        ("0\n", .rates, "t:1: \"0\" is not a time in ms and a rate in kbit/s, such as \"1000 25000\""),
        (
            "0 5 6\n", .rates,
            "t:1: \"0 5 6\" is not a time in ms and a rate in kbit/s, such as \"1000 25000\""
        ),
        (
            "0 1e9\n", .rates,
            "t:1: \"0 1e9\" is not a time in ms and a rate in kbit/s, such as \"1000 25000\""
        ),
        (
            "0 1000000001\n", .rates,
            "t:1: \"0 1000000001\" is not a time in ms and a rate in kbit/s, such as \"1000 25000\""
        ),
    ])
    func `what is wrong with a file is said with its line`(
        text: String, format: TraceFile.Format, sentence: String
    ) {
        let error = #expect(throws: LinkFileError.self) { _ = try trace(text, format) }
        #expect(error?.description == sentence)
    }

    @Test func `a millisecond has a bound`() throws {
        let many = Array(String(repeating: "1\n", count: 83_334).utf8)
        #expect(throws: LinkFileError.self) { _ = try TraceFile.parse(many, format: .mahimahi, name: "t") }
        let fits = Array(many.dropLast(2))
        #expect(try TraceFile.parse(fits, format: .mahimahi, name: "t").meanBitsPerSecond == 999_996_000_000)
    }

    @Test(arguments: 1...8 as ClosedRange<UInt64>)
    func `following a trace agrees with counting every millisecond`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        var stamps: [UInt64] = []
        var at: UInt64 = random.below(3)
        for _ in 0..<200 {
            stamps.append(at)
            if random.below(3) > 0 { at += random.below(random.below(10) == 0 ? 60 : 4) }
        }
        let period = max(at, 1)
        stamps.append(period)
        let made = try trace(stamps.map(String.init).joined(separator: "\n"), .mahimahi)
        var perMillisecond = [UInt64](repeating: 0, count: Int(period))
        for stamp in stamps { perMillisecond[Int(stamp % period)] += 12_000_000 }

        var parameters = LinkParameters()
        parameters.trace = made
        parameters.queue = .bytes(1 << 20)
        parameters.overheadBytes = 0
        var model = LinkModel(parameters, seed: Seed(seed))
        var now: UInt64 = 0
        var busy: UInt64 = 0
        for _ in 0..<3_000 {
            now += random.below(20) == 0 ? random.below(3 * period * 1_000_000) : random.below(1_500_000)
            let bytes = 1 + Int(random.below(1_400))
            let passage = model.pass(bytes: bytes, now: Instant(nanoseconds: now))
            guard passage.isDelivered else { continue }
            var time = max(now, busy)
            var left = UInt64(bytes) * 8_000_000_000
            while true {
                let rate = perMillisecond[Int(time / 1_000_000 % period)]
                let room = 1_000_000 - time % 1_000_000
                if rate > 0, rate * room >= left {
                    time += (left + rate - 1) / rate
                    break
                }
                left -= rate * room
                time += room
            }
            busy = time
            #expect(passage.at.nanoseconds == time, "seed \(seed)")
        }
    }

    @Test func `an hour of milliseconds is followed without walking from its start`() throws {
        // Every other millisecond has a chance: 1.8 million stamps. Walked from the start for each datagram this would
        // take 10^11 steps.
        var bytes: [UInt8] = []
        for stamp in stride(from: 2, through: 600_000, by: 2) { bytes += Array("\(stamp)\n".utf8) }
        var parameters = LinkParameters()
        parameters.trace = try TraceFile.parse(bytes, format: .mahimahi, name: "hour")
        parameters.overheadBytes = 0
        parameters.queue = .bytes(1 << 20)
        var model = LinkModel(parameters, seed: Seed(1))
        var last = Instant.zero
        for i in 0..<100_000 as Range<UInt64> {
            let passage = model.pass(bytes: 750, now: Instant(nanoseconds: i * 6_000_000_000))
            last = passage.at
        }
        #expect(last.nanoseconds == 99_999 * 6_000_000_000 + 500_000)
    }

    @Test func `every trace and matrix of the shared data is read`() throws {
        guard let folder = TestData.url("traces") else { return }
        var seen = 0
        for path in try FileManager.default.subpathsOfDirectory(atPath: folder.path).sorted() {
            let url = folder.appendingPathComponent(path)
            if path.hasSuffix(".mm") || path.hasSuffix(".rate") {
                let bytes = [UInt8](try Data(contentsOf: url))
                let link = try LinkText.parse("trace:\(path),rtt=60,loss=0.01", files: { _ in bytes })
                let mean = try #require(link.meanRateBitsPerSecond)
                #expect((10_000...1_000_000_000).contains(mean), "\(path): \(mean)")
                seen += 1
            } else if path.hasPrefix("latency/") {
                let matrix = try LatencyMatrix([UInt8](try Data(contentsOf: url)), name: path)
                #expect(matrix.names.count > 30)
                seen += 1
            }
        }
        #expect(seen > 10)
    }

    @Test func `a link's text names a file, with settings and a scale`() throws {
        let files: LinkFileReader = { (path) throws(LinkTextError) in
            guard path == "dir/a.mm" || path == "b.RATE" else {
                throw LinkTextError(description: "\(path): there is no such file")
            }
            return path == "dir/a.mm" ? Array("1\n2\n".utf8) : Array("0 500\n1000 0\n".utf8)
        }
        let link = try LinkText.parse("trace:dir/a.mm, rtt=60, loss=0.01", files: files)
        #expect(link.meanRateBitsPerSecond == 12_000_000 && link.delay == .milliseconds(30))
        #expect(link.text == "trace=dir/a.mm,delay=30,loss=0.01")
        #expect(try LinkText.parse(link.text, files: files) == link)
        let twice = try LinkText.parse("trace=b.RATE,scale=2.5", files: files)
        #expect(twice.meanRateBitsPerSecond == 625_000)
        #expect(try LinkText.parse(twice.text, files: files) == twice)
        #expect(try LinkParameters(text: "lte,scale=2").meanRateBitsPerSecond == 54_000_000)
        #expect(try LinkParameters(text: "dsl-25,scale=0.5").rateBitsPerSecond == 12_500_000)
        #expect(try LinkText.parse("dsl-25,trace=b.RATE", files: files).meanRateBitsPerSecond == 250_000)
        for (text, words) in [
            ("trace:nowhere.mm", "nowhere.mm: there is no such file"),
            ("trace:x.csv", "nor a file ending in .mm, .down, .up (Mahimahi) or .rate"),
            ("trace:b.RATE,rate=3,trace=5@1", "\"trace\" is set twice"),
            ("rtt=5,scale=2", "scale needs a rate"), ("dsl-25,scale=0", "a factor"),
            ("dsl-25,scale=1001", "a factor"), ("rate=1000000,scale=2", "at most 1,000,000 Mbit/s"),
            ("trace:b.RATE,scale=0.000001", "above 0"),
        ] {
            let error = #expect(throws: LinkTextError.self) { _ = try LinkText.parse(text, files: files) }
            #expect(error?.description.contains(words) == true, "\(error?.description ?? "")")
        }
        #expect(throws: LinkTextError(description: "link \"trace:a.mm\": a trace's file cannot be read here"))
        {
            _ = try LinkParameters(text: "trace:a.mm")
        }
    }

    @Test(arguments: 1...4 as ClosedRange<UInt64>)
    func `mangled files are read or refused, never worse`(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed)
        let texts = ["0\n3\n3\n9\n", "# c\n0 100\n1000 0.5\n", "x\ta\tb\na\t0\t1.5\nb\t-1\t0\n"]
        for _ in 0..<3_000 {
            var bytes = Array(texts[Int(random.below(3))].utf8)
            for _ in 0...random.below(4) where !bytes.isEmpty {
                let i = Int(random.below(UInt64(bytes.count)))
                switch random.below(3) {
                case 0: bytes[i] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: i)
                default: bytes.insert(Array("0123456789.\t\n -#\r".utf8)[Int(random.below(17))], at: i)
                }
            }
            for format in [TraceFile.Format.mahimahi, .rates] {
                guard let trace = try? TraceFile.parse(bytes, format: format, name: "t") else { continue }
                var parameters = LinkParameters()
                parameters.trace = trace
                var model = LinkModel(parameters, seed: Seed(1))
                for i in 0..<5 as Range<UInt64> {
                    _ = model.pass(bytes: 1_000, now: Instant(nanoseconds: i * random.below(1 << 50)))
                }
                _ = model.pass(bytes: 1_000, now: .distantFuture)
            }
            _ = try? LatencyMatrix(bytes, name: "m")
        }
    }
}

struct LatencyMatrixTests {
    private let text =
        "from\\to\tParis\tNew York\tOslo\nParis\t0\t81.25\t-1\nNew York\t80\t0\t90\nOslo\t-1\t91.123\t0.5\n"

    @Test func `round trips are found by name`() throws {
        let matrix = try LatencyMatrix(Array(text.utf8), name: "m.tsv")
        #expect(matrix.names == ["Paris", "New York", "Oslo"])
        #expect(try matrix.roundTrip(from: "paris", to: "New York") == .microseconds(81_250))
        #expect(try matrix.roundTrip(from: "New York", to: "Paris") == .milliseconds(80))
        #expect(try matrix.roundTrip(from: "Paris", to: "Oslo") == nil)
        #expect(matrix.roundTrip(2, 2) == .microseconds(500))
        #expect(matrix.roundTrip(3, 0) == nil && matrix.roundTrip(-1, 0) == nil)
        #expect(
            throws: LinkTextError(description: "m.tsv: there is no place \"Pariss\"; did you mean \"Paris\"?")
        ) {
            _ = try matrix.place("Pariss")
        }
    }

    @Test(arguments: [
        ("", "m: no line in it"), ("x\n", "m:1: the first line has the places' names, separated by tabs"),
        ("x\ta\ta\n", "m:1: \"a\" is there twice"), ("x\ta\tb\na\t0\t1\n", "m: 2 places, but 1 rows"),
        ("x\ta\na\t0\t1\n", "m:2: 2 values for 1 places"),
        ("x\ta\nb\t0\n", "m:2: the row of \"a\" was expected: rows are in the order of the first line"),
        ("x\ta\na\t-2\n", "m:2: \"-2\" is not a round trip in ms, at most 120000, or -1"),
        ("x\ta\na\t120001\n", "m:2: \"120001\" is not a round trip in ms, at most 120000, or -1"),
        ("x\ta\na\t0\nb\t0\n", "m:3: more rows than the 1 places"),
        ("x\t\u{1}\n", "m:1: binary data is not a place's name"),
    ])
    func `what is wrong with a matrix is said with its line`(text: String, sentence: String) {
        let error = #expect(throws: LinkFileError.self) { _ = try LatencyMatrix(Array(text.utf8), name: "m") }
        #expect(error?.description == sentence)
    }
}

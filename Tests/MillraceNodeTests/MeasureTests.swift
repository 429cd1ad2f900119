/// `millrace measure codec` as a user runs it.

import Foundation
import MillraceTestSupport
import Testing

extension Programs {
    private static let small = [
        "measure", "codec", "generate:swap?tps=2000&accounts=300&pools=5", "--seconds",
    ]

    @Test func `a generated stream is measured at every cadence that fits, in one JSON object`() throws {
        let run = try Program(Programs.small + ["1", "--json", "--skip", "1000"])
        #expect(run.status == 0, "\(run.errors)")
        #expect(run.output.split(separator: "\n").count == 1)
        let object = run.object
        #expect(object["verified"] as? Bool == true)
        #expect(object["coldAccounts"] as? Int == 1 << 27 && object["coldSlots"] as? Int == 1 << 30)
        #expect(object["skippedTransactions"] as? Int == 1_000)
        let cadences = try #require(object["cadences"] as? [[String: Any]])
        // A second is one window of c2, and it begins before what is skipped ends.
        #expect(cadences.map { $0["name"] as? String } == ["c0", "c1"])
        #expect(cadences.map { $0["payloads"] as? Int } == [50, 5])
        for cadence in cadences {
            let bytes = try #require(cadence["bytesPerTx"] as? Double)
            let raw = try #require(cadence["rawBytesPerTx"] as? Double)
            let ratio = try #require(cadence["ratioToRaw"] as? Double)
            #expect(abs(ratio - raw / bytes) < 0.01 * ratio)
            let published = try #require(cadence["ratioToPublished"] as? Double)
            #expect(abs(published - 624 / bytes) < 0.01 * published)
            let columns = try #require(cadence["columns"] as? [[String: Any]])
            let bits = columns.reduce(0) { $0 + ($1["bitsPerTx"] as? Double ?? 0) }
            // Range coder's tails and padding apart, the columns are the payload.
            #expect(bits / 8 > 0.9 * bytes && bits / 8 < 1.1 * bytes, "\(bits / 8) of \(bytes)")
        }
        let profile = try #require(object["profile"] as? [[String: Any]])
        for side in ["encode.", "decode."] {
            let share = profile.filter { ($0["stage"] as? String ?? "").hasPrefix(side) }
                .reduce(0) { $0 + ($1["share"] as? Double ?? 0) }
            #expect(abs(share - 1) < 0.05, "\(side) \(share)")
        }
        let peers = try #require(object["peers"] as? [[String: Any]])
        #expect(
            peers.map { $0["name"] as? String } == [
                "zstd -3, merged diff", "zstd -19, merged diff", "zstd -3, one stream",
                "zstd -19, one stream",
            ])
        let alone = try #require(peers[1]["bytesPerTx"] as? Double)
        let stream = try #require(peers[3]["bytesPerTx"] as? Double)
        #expect(stream < alone, "a stream remembers what each alone does not")
        let entropy = try #require(
            (object["entropy"] as? [String: Any])?["orderZeroBytesPerTx"] as? Double)
        #expect(entropy > 0 && entropy < (object["rawBytesPerTx"] as? Double ?? 0))
    }

    @Test func `the same stream gives the same bytes, recorded or not`() throws {
        let workload = "swap?tps=1000&accounts=200&pools=4&seconds=1"
        let file = FileManager.default.temporaryDirectory
            .appendingPathComponent("measured-\(UUID().uuidString).mill").path
        defer { try? FileManager.default.removeItem(atPath: file) }
        let made = try Program(["generate", workload, "--out", file])
        #expect(made.status == 0, "\(made.errors)")
        func bytes(_ arguments: [String]) throws -> Double {
            let run = try Program(
                ["measure", "codec", "--json", "--no-peers", "--cadence", "c0", "--cold-accounts", "0"]
                    + ["--cold-slots", "0"] + arguments)
            #expect(run.status == 0, "\(run.errors)")
            #expect((run.object["peers"] as? [Any])?.isEmpty == true)
            return (run.object["cadences"] as? [[String: Any]])?.first?["bytesPerTx"] as? Double ?? 0
        }
        let generated = try bytes(["--workload", workload])
        let recorded = try bytes([file])
        // A recording's genesis is sealed in parts, so that its ids follow the users; the bytes are close, not equal.
        #expect(generated > 5 && abs(generated - recorded) < 0.05 * generated, "\(generated) \(recorded)")
        #expect(try bytes(["--workload", workload]) == generated)
    }

    /// `.ci/payload-hashes` asks a release build for the same.
    @Test func `generated streams give the payloads of the vectors`() throws {
        let workloads = [
            ("swap", "swap?tps=2000&accounts=1000&pools=20&seed=1&seconds=2"),
            ("erc20", "erc20?tps=2000&accounts=1000&tokens=20&seed=1&seconds=2"),
            ("mixed", "mixed?tps=2000&accounts=1000&pools=20&seed=1&seconds=2"),
        ]
        for (name, workload) in workloads {
            let run = try Program(["measure", "codec", "generate:" + workload, "--no-peers", "--json"])
            #expect(run.status == 0, "\(run.errors)")
            var fields = [
                ("expect", "good"),
                ("why", "the hash of all payloads, cadence by cadence, is that of every machine and build"),
                ("workload", workload),
            ]
            for cadence in try #require(run.object["cadences"] as? [[String: Any]]) {
                fields.append(
                    (
                        try #require(cadence["name"] as? String),
                        try #require(cadence["payloadHash"] as? String)
                    ))
            }
            #expect(fields.map(\.0) == ["expect", "why", "workload", "c0", "c1", "c2"])
            let made = VectorFile(name: name, fields: fields, bytes: [])
            if VectorFile.isWriting { try made.write(area: "payload-hash") }
            #expect(try VectorFile.all("payload-hash").first { $0.name == name } == made)
        }
    }

    @Test func `blocks of traces are measured each on its own`() throws {
        let names = ["46147", "1796867", "2688148"]
        let files = names.compactMap { TestData.url("mainnet/\($0).ndjson.zst")?.path }
        guard files.count == names.count else { return }
        let run = try Program(
            ["measure", "codec", "--json", "--no-peers", "--from-block", "1000000"] + files)
        #expect(run.status == 0, "\(run.errors)")
        let blocks = try #require(run.object["blocks"] as? [[String: Any]])
        #expect(blocks.map { $0["block"] as? String } == ["1796867", "2688148"])
        #expect(run.object["transactions"] as? Int == 53)
        #expect(run.object["bridgeMiniBlocks"] as? Int == 0)
        // Alone it costs the same as among others.
        let alone = try Program(["measure", "codec", "--json", "--no-peers", files[2]])
        let other = try #require(alone.object["blocks"] as? [[String: Any]])
        #expect(other.first?["payloadBytes"] as? Int == blocks.last?["payloadBytes"] as? Int)
        #expect(
            run.object["medianRatioToRaw"] as? Double
                == blocks.compactMap { $0["ratioToRaw"] as? Double }.min())
    }

    @Test func `the source's entropy is estimated from what the transactions did`() throws {
        let run = try Program([
            "measure", "codec", "generate:erc20?tps=10000&accounts=2000&tokens=20", "--seconds", "1",
            "--json",
            "--cadence", "c0", "--skip", "2000",
        ])
        #expect(run.status == 0, "\(run.errors)")
        let entropy = try #require(run.object["entropy"] as? [String: Any])
        #expect(try #require(entropy["understoodShare"] as? Double) > 0.99)
        let parts = try #require(entropy["parts"] as? [[String: Any]])
        let bits = Dictionary(
            uniqueKeysWithValues: parts.map { ($0["name"] as? String ?? "", $0["bitsPerTx"] as? Double ?? 0) }
        )
        let whole = try #require(entropy["sourceBytesPerTx"] as? Double)
        #expect(abs(bits.values.reduce(0, +) / 8 - whole) < 0.01)
        let payload = try #require(
            (run.object["cadences"] as? [[String: Any]])?.first?["bytesPerTx"] as? Double)
        #expect(whole > 5 && whole < payload, "\(whole) of \(payload)")
        // Zipf's law with exponent 1 over 2,000 users, added up here.
        let weights = (1...2_000).map { 1 / Double($0) }
        let sum = weights.reduce(0, +)
        let exact = weights.reduce(0) { $0 - $1 / sum * log2($1 / sum) }
        #expect(abs(try #require(bits["senders"]) - exact) < 0.02)
        // 100 transactions in any order.
        let order = (1...100).reduce(0) { $0 + log2(Double($1)) } / 100
        #expect(abs(try #require(bits["free order"]) + order) < 0.1)
        // One in twenty payees is new.
        #expect(abs(try #require(bits["new addresses"]) - 8) < 1.5)
    }

    @Test func `the page stands alone and escapes what it is given`() throws {
        let folder = FileManager.default.temporaryDirectory
            .appendingPathComponent("a<b>&'\"-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let recording = folder.appendingPathComponent("m.mill").path
        let page = folder.appendingPathComponent("page.html").path
        let made = try Program([
            "generate", "swap?tps=500&accounts=100&pools=3&seconds=1", "--out", recording,
        ])
        #expect(made.status == 0, "\(made.errors)")
        let run = try Program(["measure", "codec", recording, "--html", page, "--json"])
        #expect(run.status == 0, "\(run.errors)")
        let html = try String(contentsOfFile: page, encoding: .utf8)
        #expect(html.hasPrefix("<!doctype html>"))
        #expect(!html.contains("<script") && !html.contains("http") && !html.contains("url("))
        #expect(!html.contains("<b>") && html.contains("a&lt;b&gt;&amp;&#39;&quot;"))
        let cadence = try #require((run.object["cadences"] as? [[String: Any]])?.first)
        let bytes = try #require(cadence["bytesPerTx"] as? Double)
        #expect(html.contains("<strong>\(String(format: "%.2f", bytes))</strong>"))
        for name in ["slot values", "c1, 100 ms", "zstd -19, one stream", "Time of a core, decoding"] {
            #expect(html.contains(name), "\(name)")
        }
        // Every element that is opened is closed.
        for tag in ["table", "tr", "td", "th", "section", "div", "p", "main", "pre", "i"] {
            let opened =
                html.components(separatedBy: "<\(tag)>").count
                + html.components(separatedBy: "<\(tag) ").count - 2
            #expect(opened == html.components(separatedBy: "</\(tag)>").count - 1, "\(tag)")
        }
        let nowhere = try Program([
            "measure", "codec", recording, "--html", "/nowhere/page.html", "--no-peers",
        ])
        #expect(nowhere.status == 1 && nowhere.errors.contains("/nowhere/page.html"))
    }

    /// Exit code and a part of the sentence.
    @Test(arguments: [
        (["generate:swap", "--workload", "swap"], 2, "not both"), ([], 2, "nothing to measure"),
        (["generate:swp"], 2, "swap"), (["generate:swap", "--seconds", "0"], 2, "seconds"),
        (["generate:swap", "x"], 2, "stream of its own"), (["x", "--cadence", "c4"], 2, "c4"),
        (["x", "--cold-accounts", "2^41"], 2, "2^41"), (["x", "--cold-slots", "-1"], 2, "cold-slots"),
        (["x", "--seconds", "3"], 2, "--seconds"), (["/nowhere"], 1, "/nowhere"),
        (["/dev/null"], 1, "neither"), (["generate:swap", "--from-block", "7"], 2, "--from-block"),
        (["x", "--mini-block", "0"], 2, "--mini-block"), (["-"], 2, "standard input"),
        (["x", "--json", "--html", "-"], 2, "--html"),
        (["generate:swap?tps=100&accounts=50&pools=2", "--seconds", "1", "--cadence", "c3"], 1, "too short"),
        (
            ["generate:swap?tps=100&accounts=50&pools=2", "--seconds", "1", "--skip", "100"], 1,
            "after the first 100"
        ),
    ])
    func `what cannot be measured is said in a sentence`(
        arguments: [String], status: Int, sentence: String
    ) throws {
        let run = try Program(["measure", "codec"] + arguments)
        #expect(run.status == Int32(status), "\(arguments) \(run.errors)")
        #expect(run.errors.contains(sentence), "\(arguments) \(run.errors)")
        #expect(run.output.isEmpty)
    }
}

/// Files and texts that people hand in: workload files and the text forms of settings.

import MillraceBase
import MillraceDiff
import MillraceLink
import MillraceWorkload

/// Runs a workload for a while; whatever it is, its diffs apply or it says why not.
private func generate(_ workload: any Workload, transactions: Int, miniBlocks: Int) {
    let stream = WorkloadStream(workload, seed: Seed(1))
    var diff = StateDiff()
    while (try? stream.nextGenesis(into: &diff)) ?? false {}
    for _ in 0..<miniBlocks {
        guard
            (try? stream.nextMiniBlock(transactions: transactions, sealedAtMicroseconds: 1, into: &diff))
                ?? false
        else { return }
    }
}

extension FuzzTarget {
    static let sdw1 = FuzzTarget(
        "sdw1", bytesMax: 4_096,
        seeds: {
            var bytes = Array("SDW1".utf8)
            let header = Array(#"{"name":"by-hand","users":2,"contracts":{"1":"WETH"}}"#.utf8)
            bytes.appendVarint(UInt64(header.count))
            bytes += header
            bytes.appendVarint(2)
            bytes += [UInt8](repeating: 0xC0, count: 20) + [UInt8](repeating: 0xE7, count: 20)
            bytes.appendVarint(4)
            bytes += [0, 2, 7, 0xE8, 0x07] + [1, 1, 8, 9] + [2, 1, 3, 2, 5] + [3, 1, 4, 2, 3, 0]
            bytes.appendVarint(2)
            bytes += [3, 0, 8, 0x84, 0x07, 1, 4, 3, 77] + [0]
            return [bytes]
        },
        run: { bytes in
            guard let reader = try? SDW1Reader(Array(bytes)) else { return }
            var writes: [SDW1Write] = []
            while let more = try? reader.next(into: &writes), more {
                for write in writes {
                    promise(write.key >= 0 && write.key < reader.keys.count, "a key that is not there")
                }
            }
            // The same file as a stream: every diff it gives must apply.
            guard let workload = try? SDW1Workload(Array(bytes)) else { return }
            generate(workload, transactions: 4, miniBlocks: 4)
        })

    static let workloadSpec = FuzzTarget(
        "workload-spec", bytesMax: 256,
        seeds: {
            [
                "swap?tps=1000&accounts=50&zipf=1.0&seed=7&pools=3&seconds=2", "erc20?accounts=9",
                "mixed?tps=1&accounts=20", "idle",
            ]
            .map { Array($0.utf8) }
        },
        run: { bytes in
            guard let spec = try? WorkloadSpec(String(decoding: bytes, as: UTF8.self)) else { return }
            guard let again = try? WorkloadSpec(spec.text) else {
                preconditionFailure("the text of a workload cannot be read: \(spec.text)")
            }
            promise(again == spec, "a workload changed on its way through text: \(spec.text)")
            // Generating is bounded by what was asked for, so ask for little.
            guard spec.accounts <= 100, spec.pools <= 4 else { return }
            generate(GeneratedWorkload(spec), transactions: 20, miniBlocks: 2)
        })

    static let linkFile = FuzzTarget(
        "link-file", bytesMax: 1_024,
        seeds: {
            ["0\n3\n3\n9\n", "# c\n0 100\n1000 0.5\n", "x\ta\tb\na\t0\t1.5\nb\t-1\t0\n"].map {
                Array($0.utf8)
            }
        },
        run: { bytes in
            let bytes = Array(bytes)
            for format in [TraceFile.Format.mahimahi, .rates] {
                guard let trace = try? TraceFile.parse(bytes, format: format, name: "t") else { continue }
                promise(trace.meanBitsPerSecond <= LinkLimits.bitsPerSecondMax, "a rate out of range")
                var parameters = LinkParameters()
                parameters.trace = trace
                var model = LinkModel(parameters, seed: Seed(1))
                for i in 0..<20 as Range<UInt64> {
                    let now = Instant(nanoseconds: i * 5_000_000_000)
                    promise(model.pass(bytes: 1_232, now: now).at >= now, "sent before it was there")
                }
            }
            if let matrix = try? LatencyMatrix(bytes, name: "m") {
                promise(
                    matrix.names.indices.allSatisfy { (try? matrix.place(matrix.names[$0])) == $0 },
                    "a place is lost")
            }
        })

    static let linkText = FuzzTarget(
        "link-text", bytesMax: 512,
        seeds: {
            [
                "rate=25,rtt=100,loss=0.01,burst=3,queue=100ms,jitter=2", "starlink", "fiber-300,loss=0.5%",
                "rate=0.1,mtu=576",
            ]
            .map { Array($0.utf8) }
        },
        run: { bytes in
            let text = String(decoding: bytes, as: UTF8.self)
            for direction in [LinkDirection.down, .up] {
                guard let link = try? LinkParameters(text: text, direction: direction) else { continue }
                guard let again = try? LinkParameters(text: link.text, direction: direction) else {
                    preconditionFailure("the text of a link cannot be read: \(link.text)")
                }
                promise(again == link, "a link changed on its way through text: \(link.text)")
                // Any link that can be written down can be used.
                var pipe = LinkPipe(link, seed: Seed(1))
                var now = Instant.zero
                for token in 0..<20 as Range<UInt64> {
                    _ = pipe.send(bytes: 1_232, token: token, now: now)
                    now = now + Interval.milliseconds(1)
                    while let arrival = pipe.popDelivered(now: now) {
                        promise(arrival.at <= now, "from the future")
                    }
                }
            }
        })
}

/// geth's prestateTracer output as people hand it in: whole, or in pieces from a live feed.

import MillraceBase
import MillraceDiff
import MillraceWorkload

private let a = "0x" + String(repeating: "a1", count: 20)
private let b = "0x" + String(repeating: "b2", count: 20)
private let slot = "0x" + String(repeating: "00", count: 31) + "05"
private let word = "0x" + String(repeating: "00", count: 31) + "07"

private let result = """
    {"pre":{"\(a)":{"balance":"0x10","nonce":1},"\(b)":{"balance":"0x0","code":"0x6000","storage":{"\(slot)":"\(word)"}}},\
    "post":{"\(a)":{"balance":"0xf","nonce":2},"\(b)":{"storage":{"\(slot)":"0x\(String(repeating: "11", count: 32))"}}}}
    """

extension FuzzTarget {
    static let prestate = FuzzTarget(
        "prestate", bytesMax: 4_096,
        seeds: {
            [
                result, "[\(result),\(result)]",
                #"{"block":1,"txIndex":0,"txHash":"0x00","result":"# + result + "}\n",
                #"{"jsonrpc":"2.0","id":1,"result":[{"txHash":"0x00","result":"# + result + "}]}",
                #"{"pre":{"\#(a)":{"balance":"0x1"}},"post":{}}"#,
            ].map { [3] + Array($0.utf8) }
        },
        run: { bytes in
            guard let first = bytes.first else { return }
            let text = Array(bytes.dropFirst())
            // The same in one piece and in two: the same transactions, or both refused.
            func read(_ parts: [ArraySlice<UInt8>]) -> [PrestateTransaction]? {
                var feed = PrestateFeed(valueBytesMax: 65_536)
                var transactions: [PrestateTransaction] = []
                for part in parts {
                    feed.append(part)
                    while true {
                        guard let more = try? feed.next(into: &transactions) else { return nil }
                        if !more { break }
                    }
                }
                return (try? feed.finish()) == nil ? nil : transactions
            }
            let whole = read([text[...]])
            let cut = Int(first) * text.count / 256
            promise(read([text[..<cut], text[cut...]]) == whole, "a feed cut in two reads otherwise")
            guard let whole else { return }
            let importer = PrestateImporter(
                state: State(seed: Seed(1)), rule: .transactions(2), findsOperations: false)
            importer.add(block: whole) { (diff: StateDiff) in
                promise(
                    diff.firstHeight > 0 && diff.firstHeight <= diff.lastHeight,
                    "an imported diff without height")
            }
        })
}

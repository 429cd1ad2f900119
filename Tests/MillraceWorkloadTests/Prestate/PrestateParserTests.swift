import MillraceBase
import MillraceWorkload
import Testing

@Suite struct PrestateParserTests {
    static let a = "0x00000000000000000000000000000000000000aa"
    static let b = "0x00000000000000000000000000000000000000bb"
    static let result = """
        {"pre":{"\(b)":{"balance":"0x10","nonce":2,"storage":{"0x1":"0x5","0x02":"0x6"}},"\(a)":{"balance":"0x0"}},\
        "post":{"\(a)":{"balance":"0x7"},"\(b)":{"nonce":3,"storage":{"0x3":"0x9","0x1":"0x8"}}}}
        """

    func parse(_ text: String) throws(JSONError) -> [PrestateTransaction] {
        var transactions: [PrestateTransaction] = []
        try PrestateParser.parse(Array(text.utf8).span.bytes, into: &transactions)
        return transactions
    }

    @Test func `both sides are merged by account and slot`() throws {
        let transaction = try #require(try parse(PrestateParserTests.result).first)
        #expect(transaction.group == .loose)
        #expect(transaction.accounts.map(\.address.hex) == [PrestateParserTests.a, PrestateParserTests.b])
        #expect(transaction.accounts[0].before == .init(balance: 0, nonce: 0))
        #expect(transaction.accounts[0].after == .init(balance: 7))
        #expect(transaction.accounts[1].before == .init(balance: 16, nonce: 2))
        #expect(transaction.accounts[1].after == .init(nonce: 3))
        #expect(
            transaction.accounts[1].slots == [
                .init(slot: 1, old: 5, new: 8), .init(slot: 2, old: 6, new: 0),
                .init(slot: 3, old: 0, new: 9),
            ])
    }

    @Test func `all the envelopes in use are understood`() throws {
        let result = PrestateParserTests.result
        let bare = try parse(result)[0].accounts
        let hash = "0x" + String(repeating: "1", count: 64)
        for text in [
            "{\"block\":7,\"txIndex\":0,\"txHash\":\"\(hash)\",\"result\":\(result)}",
            "{\"result\":\(result),\"txIndex\":0,\"gasUsed\":{\"x\":[1]},\"block\":\"0x7\"}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":\(result)}",
            "{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":[{\"txHash\":\"\(hash)\",\"result\":\(result)}]}",
            "[\(result)]", "[{\"result\":\(result)}]", "{\"error\":null,\"result\":\(result)}",
        ] {
            let transactions = try parse(text)
            #expect(transactions.count == 1, "\(text)")
            #expect(transactions.first?.accounts == bare, "\(text)")
        }
        #expect(try parse("{\"result\":\(result),\"block\":7}")[0].group == .block(7))
        #expect(try parse("[\(result),\(result)]").map(\.group) == [.document(0), .document(0)])
        let mixed = try parse("{\"block\":1,\"result\":[{\"block\":2,\"result\":\(result)},\(result)]}")
        #expect(mixed.map(\.group) == [.block(2), .block(1)])
    }

    /// Each with a part of the sentence that it must give.
    @Test(arguments: [
        ("7", "expected an object or an array"),
        ("{}", "expected pre and post, or result"),
        ("{\"pre\":{}}", "pre without post"),
        ("{\"post\":{}}", "post without pre"),
        ("{\"pre\":{},\"post\":{},\"result\":{\"pre\":{},\"post\":{}}}", "one or the other"),
        ("{\"result\":null}", "result: expected an object or an array, found null"),
        ("{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000}}", "answered with an error"),
        ("{\"pre\":[],\"post\":{}}", "pre: expected an object of accounts, found an array"),
        ("{\"pre\":{\"0xaa\":{\"balance\":\"0x0\"}},\"post\":{}}", "pre: expected an address"),
        ("{\"pre\":{\"\(a)\":{}},\"post\":{}}", "balance is missing"),
        ("{\"pre\":{\"\(a)\":{\"balance\":5}},\"post\":{}}", ".balance: expected a string of 0x"),
        ("{\"pre\":{\"\(a)\":{\"balance\":\"-0x5\"}},\"post\":{}}", ".balance: expected a string of 0x"),
        ("{\"pre\":{\"\(a)\":{\"balance\":\"0x\"}},\"post\":{}}", "found \"0x\""),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x1\(String(repeating: "0", count: 64))\"}},\"post\":{}}",
            "1 to 64"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"nonce\":-1}},\"post\":{}}",
            ".nonce: expected a number from 0, found -1"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"nonce\":1.5}},\"post\":{}}",
            ".nonce: expected a whole number"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"nonce\":18446744073709551616}},\"post\":{}}",
            "below 2^64"
        ),
        ("{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"nonce\":true}},\"post\":{}}", "found true or false"),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"balance\":\"0x6\"}},\"post\":{}}",
            "\"balance\" is there twice"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\"},\"\(a)\":{\"balance\":\"0x5\"}},\"post\":{}}",
            "is there twice"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":\"0x1\",\"0x01\":\"0x1\"}}},\"post\":{}}",
            "is there twice"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"storage\":{\"0xzz\":\"0x1\"}}},\"post\":{}}",
            "expected a slot"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"storage\":{\"0x1\":1}}},\"post\":{}}",
            ".storage.0x1: expected a string"
        ),
        (
            "{\"pre\":{\"\(a)\":{\"balance\":\"0x5\",\"storage\":[]}},\"post\":{}}",
            ".storage: expected an object of slots"
        ),
        ("{\"pre\":{},\"post\":{\"\(a)\":{\"code\":\"0x6\"}}}", ".code: expected 0x and an even number"),
        ("{\"pre\":{},\"post\":{\"\(a)\":{\"ballance\":\"0x6\"}}}", ".ballance: not a field of an account"),
        ("{\"pre\":{},\"post\":{},\"txHash\":\"0x12\"}", "64 hexadecimal digits"),
        ("[[1]]", "expected an object with pre and post or result, found an array"),
        ("{\"pre\":{},\"post\":{}}}", "expected the end of the input"),
    ])
    func `a mistake gets one sentence that names the field`(text: String, sentence: String) {
        let error = #expect(throws: JSONError.self, "\(text)") { try parse(text) }
        #expect(error?.message.contains(sentence) == true, "\(text): \(error?.message ?? "accepted")")
    }

    @Test func `an address in two cases is the same address`() {
        let upper = "0x00000000000000000000000000000000000000AA"
        let text =
            "{\"pre\":{\"\(PrestateParserTests.a)\":{\"balance\":\"0x1\"},\"\(upper)\":{\"balance\":\"0x1\"}},\"post\":{}}"
        let error = #expect(throws: JSONError.self) { try parse(text) }
        #expect(error?.message.contains("is there twice") == true)
    }
}

@Suite struct PrestateFeedTests {
    /// Every cutting of the same bytes gives the same transactions.
    @Test(arguments: [1, 2, 3, 7, 64, 1_000])
    func `values come out whole whatever the portions`(portion: Int) throws {
        let line = PrestateParserTests.result
        let text =
            "\n\(line)\r\n  {\"block\":2,\n \"result\":\(line)}{\"result\":\(line)}\n[\n\(line),\(line)]\n\n"
        let bytes = Array(text.utf8)
        var feed = PrestateFeed()
        var transactions: [PrestateTransaction] = []
        var at = 0
        while at < bytes.count {
            let end = min(at + portion, bytes.count)
            feed.append(bytes[at..<end])
            while try feed.next(into: &transactions) {}
            at = end
        }
        try feed.finish()
        #expect(transactions.map(\.group) == [.loose, .block(2), .loose, .document(3), .document(3)])
        #expect(transactions.map(\.line) == [2, 4, 4, 6, 6])
        #expect(feed.pendingBytes == 0)
    }

    @Test func `cut at any byte the input is refused at its end or was whole`() throws {
        let bytes = Array("{\"block\":2,\"result\":\(PrestateParserTests.result)}".utf8)
        for count in 0...bytes.count {
            var feed = PrestateFeed()
            var transactions: [PrestateTransaction] = []
            feed.append(bytes[..<count])
            if count == 0 || count == bytes.count {
                while try feed.next(into: &transactions) {}
                try feed.finish()
                #expect(transactions.count == (count == 0 ? 0 : 1))
            } else {
                #expect(throws: JSONError.self, "\(count) bytes") {
                    while try feed.next(into: &transactions) {}
                    try feed.finish()
                }
                #expect(transactions.isEmpty)
            }
        }
    }

    @Test func `errors count lines over the whole input`() {
        var feed = PrestateFeed()
        feed.append(Array("\(PrestateParserTests.result)\n\n{\"pre\":{},\n\"post\":5}\n".utf8))
        var transactions: [PrestateTransaction] = []
        let error = #expect(throws: JSONError.self) { while try feed.next(into: &transactions) {} }
        #expect(error?.line == 4)
        #expect(error?.column == 8)
    }

    @Test(arguments: ["nonsense\n", "}\n", "{\"a\":\"\n", "5\n"])
    func `rubbish is refused without waiting for more`(text: String) {
        var feed = PrestateFeed()
        feed.append(Array(text.utf8))
        var transactions: [PrestateTransaction] = []
        #expect(throws: JSONError.self) { while try feed.next(into: &transactions) {} }
    }

    @Test func `a value beyond the limit is refused`() {
        var feed = PrestateFeed(valueBytesMax: 100)
        feed.append(Array("{\"a\":[\(String(repeating: "1,", count: 100))".utf8))
        var transactions: [PrestateTransaction] = []
        #expect(throws: JSONError.self) { try feed.next(into: &transactions) }
    }
}

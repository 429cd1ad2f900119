import MillraceBase
import MillraceWorkload
import Testing

@Suite struct JSONReaderTests {
    /// Passes over one value; what the whole text must be.
    func check(_ text: String) throws(JSONError) { try check(Array(text.utf8)) }
    func check(_ bytes: [UInt8]) throws(JSONError) {
        var reader = JSONReader(bytes.span.bytes)
        try reader.skipValue()
        try reader.end()
    }

    @Test(arguments: [
        "{}", "[]", "null", "true", "false", "0", "-0", "12", "-1.5e+10", "1E5", "\"\"",
        "\"a\\u00e9\\n\\\"\"",
        "\"\\ud83d\\ude00\"", " { \"a\" : [ 1 , { } ] , \"b\" : null } \n", "[[[[]]]]", "\"é€😀\"",
        "{\"a\":1,\"A\":2}", "{\"\":1}",
    ])
    func `JSON is accepted`(text: String) throws { try check(text) }

    @Test(arguments: [
        "", " ", "{", "[", "}", "{]", "[}", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "[1,]", "[1 2]", "{a:1}",
        "'a'", "01",
        "1.", ".5", "-", "1e", "+1", "tru", "nul", "TRUE", "NaN", "\"", "\"\\", "\"\\x\"", "\"\\u12\"",
        "\"\\ud83d\"",
        "\"\\ude00\"", "\"\n\"", "\"\u{0}\"", "1 2", "{} {}", "{\"a\":1,\"a\":2}", "{\"a\":1,\"\\u0061\":2}",
        "[,1]", "{,}",
    ])
    func `what is not JSON is refused`(text: String) {
        #expect(throws: JSONError.self) { try check(text) }
    }

    @Test(
        arguments: [
            [0x22, 0x80, 0x22], [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22],
            [0x22, 0xF4, 0x90, 0x80, 0x80, 0x22],
            [0x22, 0xE2, 0x82, 0x22], [0x22, 0xFF, 0x22], [0xEF, 0xBB, 0xBF, 0x31],
        ] as [[UInt8]])
    func `text that is not UTF-8 is refused`(bytes: [UInt8]) {
        #expect(throws: JSONError.self) { try check(bytes) }
    }

    @Test func `depth is bounded`() throws {
        let depth = JSONReader.depthMax
        try check(String(repeating: "[", count: depth) + String(repeating: "]", count: depth))
        #expect(throws: JSONError.self) {
            try check(String(repeating: "[", count: depth + 1) + String(repeating: "]", count: depth + 1))
        }
    }

    @Test func `an error names line and column`() {
        let error = #expect(throws: JSONError.self) { try check("{\n  \"a\": 1,\n  \"b\": x\n}") }
        #expect(error?.line == 3)
        #expect(error?.column == 8)
        let twice = #expect(throws: JSONError.self) { try check("{\"a\":1,\n\"b\":2,\n \"a\":3}") }
        #expect(twice?.description == "line 3, column 2: the key \"a\" is there twice")
    }

    @Test func `one duplicate among many keys is found`() {
        var keys = (0..<500).map { "\"k\($0)\":0" }
        keys.insert("\"k77\":1", at: 400)
        #expect(throws: JSONError.self) { try check("{" + keys.joined(separator: ",") + "}") }
        keys.remove(at: 400)
        #expect(throws: Never.self) { try check("{" + keys.joined(separator: ",") + "}") }
    }

    @Test func `cut at any byte it is refused`() {
        let text = Array(
            " {\"a\":[1,-2.5e3,\"x\\u00e9\\ud83d\\ude00\",{\"b\":null,\"c\":true}],\"d\":false}".utf8)
        for count in 0..<text.count {
            #expect(throws: JSONError.self, "\(count) bytes") { try check(Array(text[..<count])) }
        }
    }

    @Test func `walking gives keys, texts and numbers`() throws {
        let bytes = Array("{\"na\\u006de\":\"a\\tb\",\"n\":[10,2.5]}".utf8)
        var reader = JSONReader(bytes.span.bytes)
        try reader.beginObject()
        var isMore = try reader.nextKey()
        #expect(isMore)
        let isName = reader.keyIs("name")
        #expect(isName)
        let name = reader.text(try reader.string())
        #expect(name == "a\tb")
        isMore = try reader.nextKey()
        let key = reader.keyText
        #expect(isMore && key == "n")
        try reader.beginArray()
        isMore = try reader.nextElement()
        #expect(isMore)
        let ten = try reader.number()
        let text = reader.text(ten)
        #expect(ten.isPlain && text == "10")
        _ = try reader.nextElement()
        let fraction = try reader.number()
        #expect(!fraction.isPlain)
        isMore = try reader.nextElement()
        #expect(!isMore)
        isMore = try reader.nextKey()
        #expect(!isMore)
        try reader.end()
    }
}

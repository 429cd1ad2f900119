import Foundation
import MillraceBase
import MillraceCrypto
import MillraceNode
import MillraceWire
import Testing

private func temporaryFile(_ text: String) throws -> String {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent(
        "millrace-test-\(UUID().uuidString).toml")
    try text.write(to: url, atomically: true, encoding: .utf8)
    return url.path
}

private func failure(_ body: () throws -> Void) -> String {
    do {
        try body()
        return "no error"
    } catch { return "\(error)" }
}

@Test func `flags win over the environment, and that over the file`() throws {
    let file = try temporaryFile(
        "parity = 3\nretention-mib = 64\nlisten = \"127.0.0.1:1\"\nparents = [\"a\", \"b\"]\n")
    defer { try? FileManager.default.removeItem(atPath: file) }
    let settings = try Settings.load(
        file: file, environment: ["MILLRACE_RETENTION_MIB": "65", "MILLRACE_LISTEN": "127.0.0.1:2"],
        flags: [.listen: "127.0.0.1:3"])
    #expect(settings.text(.parity) == "3")
    #expect(settings.origin(.parity) == .file(file))
    #expect(settings.text(.retentionMiB) == "65")
    #expect(settings.origin(.retentionMiB) == .environment("MILLRACE_RETENTION_MIB"))
    #expect(settings.listen == PeerAddress.loopback(port: 3))
    #expect(settings.text(.parents) == "a,b")
    #expect(settings.origin(.childrenMax) == .builtIn)
}

@Test(arguments: [
    ("listn = \"x\"", "did you mean \"listen\"?"),
    ("parity = 17", "expected a whole number from 0 to 16"),
    ("parity = 1.5", "must be a string, a whole number or a list of strings"),
    ("parents = [1, 2]", "must be a list of strings"),
    ("parents = [\"a\"", "where TOML was expected"),
    ("chain-id = \"-1\"", "expected a whole number below 2^64"),
    ("listen = \"example\"", "expected HOST:PORT"),
])
func `a wrong configuration file is told in one sentence with its name`(text: String, expected: String) throws
{
    let file = try temporaryFile(text)
    defer { try? FileManager.default.removeItem(atPath: file) }
    let message = failure { _ = try Settings.load(file: file, environment: [:], flags: [:]) }
    #expect(message.contains(expected), "\(message)")
    #expect(message.contains(file), "\(message)")
    #expect(!message.contains("\n"))
}

@Test func `a missing configuration file is an error`() {
    #expect(
        failure { _ = try Settings.load(file: "/nowhere/x.toml", environment: [:], flags: [:]) }.contains(
            "cannot read"))
}

@Test func `an identity survives its file and is never overwritten`() throws {
    let path = FileManager.default.temporaryDirectory.appendingPathComponent(
        "millrace-key-\(UUID().uuidString)"
    ).path
    defer { try? FileManager.default.removeItem(atPath: path) }
    let identity = Identity(secret: Hash32(word: U256(1, 2, 3, 4)))
    try identity.save(path: path)
    let permissions = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
    #expect(permissions?.intValue == 0o600)
    let again = try Identity.load(path: path)
    #expect(again.session.publicKey == identity.session.publicKey)
    #expect(again.signing.verifyingKey == identity.signing.verifyingKey)
    #expect(failure { try identity.save(path: path) }.contains("never overwritten"))
    try "zz".write(toFile: path, atomically: true, encoding: .utf8)
    #expect(failure { _ = try Identity.load(path: path) }.contains("64 hexadecimal digits"))
}

@Test func `a peer's address is written and read as mill URI, and nothing else is`() throws {
    let key = Identity(secret: Hash32(word: 7)).session.publicKey
    let uri = PeerURI(key: key, address: .loopback(port: 9_700))
    #expect(PeerURI(uri.description) == uri)
    let v6 = try #require(PeerAddress("[::1]:9700"))
    #expect(PeerURI("mill://\(key)@[::1]:9700") == PeerURI(key: key, address: v6))
    for bad in [
        "", "mill://", "mill://\(key)", "mill://\(key)@127.0.0.1", "mill://\(key)@127.0.0.1:0",
        "http://\(key)@127.0.0.1:1",
        "mill://\(key)x@127.0.0.1:1", "mill://short@127.0.0.1:1", "mill://\(key)@127.0.0.1:1@x",
    ] { #expect(PeerURI(bad) == nil, "\(bad)") }
}

@Test func `a source is named by its kind`() throws {
    #expect(try SourceSpec("recording:a.mill") == .recording(path: "a.mill"))
    #expect(try SourceSpec("generate:swap?tps=1") == .generate(spec: "swap?tps=1"))
    #expect(try SourceSpec("feed:-") == .feed(path: "-"))
    for bad in ["", "a.mill", "recording:", "stream:x"] {
        #expect(failure { _ = try SourceSpec(bad) }.contains("expected recording:FILE"), "\(bad)")
    }
}

// MARK: Anchors

private func record(_ number: UInt64) -> PeerRecord {
    let key = SigningKey(seed: Hash32(word: U256(number)))
    var record = PeerRecord(
        key: key.verifyingKey, address: .loopback(port: UInt16(9_000 + number)), chainID: 1, epoch: 0,
        issuedAtMicroseconds: 1_700_000_000_000_000, lifetimeSeconds: 3_600)
    record.sign(with: key)
    return record
}

@Test func `anchors are read as they were written, and none are no error`() throws {
    let file = AnchorFile(path: NSTemporaryDirectory() + "millrace-test-\(UUID().uuidString).anchors")
    defer { try? FileManager.default.removeItem(atPath: file.path) }
    #expect(try file.load() == [])
    let records = (1...8 as ClosedRange<UInt64>).map(record)
    try file.save(records)
    #expect(try file.load() == records)
    try file.save([records[3]])
    #expect(try file.load() == [records[3]])
}

@Test func `what is wrong with an anchor file is told with its line`() throws {
    let path = try temporaryFile("")
    defer { try? FileManager.default.removeItem(atPath: path) }
    let file = AnchorFile(path: path)
    func outcome(_ text: String) throws -> String {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        return failure { _ = try file.load() }
    }
    #expect(try outcome("hello\n").contains("does not begin with"))
    #expect(try outcome("millrace anchors 1\nxyz\n").contains("\(path):2: a record is hexadecimal"))
    #expect(try outcome("millrace anchors 1\n\n0100\n").contains("\(path):3: not a peer record (truncated)"))
    #expect(
        try outcome("millrace anchors 1\n" + String(repeating: "00", count: 60_000)).contains("larger than"))
    let nowhere = AnchorFile(path: "/nowhere/x.anchors")
    #expect(failure { try nowhere.save([]) }.contains("/nowhere/x.anchors: cannot be written"))
}

@Test func `the key of a record and the session key of an identity belong together`() {
    let identity = Identity(secret: Hash32(word: 7))
    #expect(identity.record.verifyingKey.agreementKey == identity.session.publicKey)
    #expect(identity.record.verifyingKey != identity.signing.verifyingKey)
}

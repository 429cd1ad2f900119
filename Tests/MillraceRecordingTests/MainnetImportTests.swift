import Foundation
import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceRecording
import MillraceTestSupport
import MillraceWorkload
import Testing

/// The recorded mainnet blocks, imported by the program's own path and by a model that shares nothing with it: Foundation's
/// JSON and dictionaries of text.
@Suite struct MainnetImportTests {
    /// The final state by the plainest reading of the data's README.
    struct Model {
        struct Account {
            var balance = "0x0"
            var nonce: UInt64 = 0
            var code = ""
            var storage: [String: String] = [:]
        }

        static let zero = "0x" + String(repeating: "0", count: 64)
        var accounts: [String: Account] = [:]
        var transactions = 0
        var accountWrites = 0
        var slotWrites = 0
        var codeBytes = 0

        mutating func apply(_ line: Data) throws {
            let object = try #require(try JSONSerialization.jsonObject(with: line) as? [String: Any])
            let result = try #require(object["result"] as? [String: [String: [String: Any]]])
            let (pre, post) = (try #require(result["pre"]), try #require(result["post"]))
            transactions += 1
            for address in Set(pre.keys).union(post.keys) {
                accountWrites += 1
                var account = Account()
                if let before = pre[address] {
                    account = accounts[address] ?? Account()
                    account.balance = try #require(before["balance"] as? String)
                    account.nonce = (before["nonce"] as? NSNumber)?.uint64Value ?? 0
                }
                let old = pre[address]?["storage"] as? [String: String] ?? [:]
                let new = post[address]?["storage"] as? [String: String] ?? [:]
                slotWrites += Set(old.keys).union(new.keys).count
                for slot in old.keys { account.storage[slot] = nil }
                for (slot, value) in new { account.storage[slot] = value == Model.zero ? nil : value }
                guard let after = post[address] else {
                    accounts[address] = nil
                    continue
                }
                if let balance = after["balance"] as? String { account.balance = balance }
                if let nonce = after["nonce"] as? NSNumber { account.nonce = nonce.uint64Value }
                if let code = after["code"] as? String {
                    account.code = String(code.dropFirst(2))
                    codeBytes += account.code.count / 2
                }
                accounts[address] = account
            }
        }

        func export() -> [String] {
            accounts.keys.sorted().compactMap { address in
                guard let account = accounts[address] else { return nil }
                if account.balance == "0x0", account.nonce == 0, account.code.isEmpty, account.storage.isEmpty
                {
                    return nil
                }
                let storage = account.storage.sorted { $0.key < $1.key }.map {
                    "\"\($0.key)\":\"\($0.value)\""
                }
                let codeHash = Keccak256.hash(Hex.decode(account.code) ?? []).hex
                return
                    "{\"address\":\"\(address)\",\"nonce\":\(account.nonce),\"balance\":\"\(account.balance)\","
                    + "\"codeHash\":\"\(codeHash)\",\"storage\":{\(storage.joined(separator: ","))}}\n"
            }
        }
    }

    @Test func `the final state is the one computed independently, and survives the recording`() throws {
        let files = TestData.files(in: "mainnet", ending: ".ndjson.zst").map(\.path)
        guard !files.isEmpty else { return }
        var model = Model()
        for file in files {
            let text = try InputFile.readAll(path: file, limit: 1 << 26)
            for line in text.split(separator: 0x0A) { try model.apply(Data(line)) }
        }

        let state = State(seed: Seed(1))
        let importer = PrestateImporter(state: state, rule: .transactions(100))
        let writer = try RecordingWriter(header: RecordingHeader(chainID: 1, description: "mainnet"))
        var miniBlockTransactions: UInt64 = 0
        try PrestateFiles.feed(files, to: importer) { diff throws(RecordingError) in
            try writer.write(diff)
            if diff.kind == .transactions { miniBlockTransactions += diff.transactions }
        }
        let commitment = StateCommitment(of: state).commitmentNow()
        try writer.write(commitment: commitment, height: state.height)

        let totals = importer.totals
        #expect(totals.transactions == 8_900)
        #expect(totals.slotWrites == 8_626)
        #expect(totals.accountWrites == 26_810)
        #expect(totals.codeBytes == 100_867)
        #expect(totals.bridgeMiniBlocks == 33)
        #expect(miniBlockTransactions == 8_900)
        #expect(model.transactions == 8_900)
        #expect(model.slotWrites == 8_626)
        #expect(model.accountWrites == 26_810)
        #expect(model.codeBytes == 100_867)

        let expected = model.export()
        #expect(export(state) == expected)

        // Through the recording, by someone else.
        let bytes = try writer.finishedBytes()
        let again = State(seed: Seed(2))
        let report = try RecordingVerifier.verify(RecordingReader(bytes: bytes), state: again)
        #expect(report.stateCommitment == commitment)
        #expect(export(again) == expected)

    }

    @Test func `diffs exported and imported again lead to the same state`() throws {
        let files = TestData.files(in: "mainnet", ending: ".ndjson.zst").map(\.path)
            .filter { path in ["/26", "/1796", "/52", "/19923", "/99"].contains { path.contains($0) } }
        guard !files.isEmpty else { return }
        let (state, again) = (State(seed: Seed(3)), State(seed: Seed(4)))
        let importer = PrestateImporter(state: state, rule: .transactions(10))
        let second = PrestateImporter(state: again, rule: .perBlock)
        try PrestateFiles.feed(files, to: importer) { diff throws(RecordingError) in
            var transactions: [PrestateTransaction] = []
            do {
                try PrestateParser.parse(
                    Array(DiffExport.line(diff, after: state).utf8).span.bytes, into: &transactions)
            } catch {
                throw RecordingError(.invalid, "\(error)")
            }
            second.add(block: transactions) { _ in }
        }
        #expect(importer.totals.transactions > 200)
        #expect(second.totals.bridgeMiniBlocks == 0)
        #expect(export(again) == export(state))
    }

    func export(_ state: State) -> [String] {
        var lines: [String] = []
        _ = StateExport.write(state) { line throws(Never) in lines.append(line) }
        return lines
    }
}

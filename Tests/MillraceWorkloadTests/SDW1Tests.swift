import MillraceBase
import MillraceCrypto
import MillraceDiff
import MillraceTestSupport
import Testing

@testable import MillraceWorkload

/// A small file made by hand: one literal coinbase, one contract, two users derived; all four kinds of keys.
private func sample() -> [UInt8] {
    var bytes = Array("SDW1".utf8)
    let header = Array(#"{"name":"by-hand","users":2,"contracts":{"1":"WETH"}}"#.utf8)
    bytes.appendVarint(UInt64(header.count))
    bytes += header
    bytes.appendVarint(2)
    bytes += [UInt8](repeating: 0xC0, count: 20)
    bytes += [UInt8](repeating: 0xE7, count: 20)
    bytes.appendVarint(4)
    bytes += [0, 2, 7] + wide(U256(1_000))
    bytes += [1, 1, 8] + wide(.max)
    bytes += [2, 1, 3, 2] + wide(U256(5))
    bytes += [3, 1, 4, 2, 3] + wide(.zero)
    bytes.appendVarint(2)
    bytes += [3, 0, 8] + wide(U256(900)) + [1] + wide(U256(1) << 200) + [3] + wide(U256(77))
    bytes += [0]
    return bytes
}

/// The LEB128 encoding of any word, the plain way.
private func wide(_ value: U256) -> [UInt8] {
    var rest = value
    var bytes: [UInt8] = []
    repeat {
        let low = UInt8(truncatingIfNeeded: rest.w0 & 0x7F)
        rest = rest >> 7
        bytes.append(rest.isZero ? low : low | 0x80)
    } while !rest.isZero
    return bytes
}

private func wideError(_ bytes: [UInt8]) -> ByteError? {
    var reader = ByteReader(bytes.span.bytes)
    do throws(ByteError) {
        _ = try reader.wideVarint()
        return nil
    } catch {
        return error
    }
}

/// Reads everything; nil, or the error.
private func readAll(_ bytes: [UInt8]) -> SDW1Error? {
    do throws(SDW1Error) {
        let reader = try SDW1Reader(bytes)
        var writes: [SDW1Write] = []
        while try reader.next(into: &writes) {}
        return nil
    } catch {
        return error
    }
}

@Suite struct SDW1Tests {
    @Test func `a file made by hand reads back`() throws {
        let reader = try SDW1Reader(sample())
        let contract = Address([UInt8](repeating: 0xE7, count: 20))!
        let alice = Address(
            truncating: Keccak256.hash(Array("sdw-account-".utf8) + [0, 0, 0, 0, 0, 0, 0, 0]).word)
        let bob = SDW1Address.derived(1)
        #expect(reader.literals.count == 2)
        #expect(
            reader.keys == [
                .account(address: alice, nonce: 7, balance: U256(1_000)),
                .slot(contract: contract, slot: U256(8), preimage: .none, value: .max),
                .slot(
                    contract: contract, slot: Keccak256.mappingSlot(key: alice.word, base: U256(3)),
                    preimage: .mapping(base: U256(3), key: alice.word), value: U256(5)),
                .slot(
                    contract: contract,
                    slot: Keccak256.nestedSlot(base: U256(4), outer: alice.word, inner: bob.word),
                    preimage: .nested(base: U256(4), outer: alice.word, inner: bob.word), value: .zero),
            ])
        var writes: [SDW1Write] = []
        #expect(try reader.next(into: &writes))
        #expect(
            writes == [
                SDW1Write(key: 0, value: .account(nonce: 8, balance: U256(900))),
                SDW1Write(key: 1, value: .slot(U256(1) << 200)), SDW1Write(key: 3, value: .slot(U256(77))),
            ])
        #expect(try reader.next(into: &writes))
        #expect(writes.isEmpty)
        #expect(try !reader.next(into: &writes))
        reader.rewind()
        #expect(try reader.next(into: &writes))
        #expect(writes.count == 3)
    }

    @Test func `genesis has contracts, accounts and users that are only named, by address, then slots`()
        throws
    {
        let stream = WorkloadStream(try SDW1Workload(sample()), seed: Seed(1))
        var diff = StateDiff()
        while try stream.nextGenesis(into: &diff) {}
        let state = stream.state
        let contract = Address([UInt8](repeating: 0xE7, count: 20))!
        let (alice, bob) = (SDW1Address.derived(0), SDW1Address.derived(1))
        #expect(
            (0..<state.accountCount).map { state.address(of: AccountID(UInt32($0))) }
                == [alice, bob, contract].sorted())
        func value(_ address: Address) -> AccountValue? {
            state.account(at: address).map { state.value(of: $0) }
        }
        #expect(value(alice) == AccountValue(balance: 1_000, nonce: 7))
        #expect(value(bob) == AccountValue(balance: SDW1Workload.userBalance))
        #expect(value(contract) == AccountValue(nonce: 1, code: CodeID(1)))
        #expect(
            (0..<state.slotCount).map { state.key(of: SlotID(UInt32($0))).slot }
                == [8, Keccak256.mappingSlot(key: alice.word, base: 3)])
        #expect(try stream.nextMiniBlock(transactions: 2, sealedAtMicroseconds: 1, into: &diff))
        #expect(diff.newAccounts.isEmpty && diff.transactions == 2)
    }

    @Test func `the header gives name, users and codes, and bears other shapes`() throws {
        let header = try SDW1Header(
            Array(#"{"users":12,"name":"a","contracts":{"3":"DAI"},"x":[1,-2e3]}"#.utf8))
        #expect(header.users == 12 && header.name == "a" && header.contracts.count == 1)
        for odd in [#""12""#, "-1", "1.5", "99999999999999999999999", "null", "[3]"] {
            #expect(try SDW1Header(Array(#"{"users":\#(odd)}"#.utf8)).users == 0)
        }
    }

    @Test func `a file cut at any byte is refused with a place`() {
        let bytes = sample()
        #expect(readAll(bytes) == nil)
        for count in 0..<bytes.count {
            let error = readAll(Array(bytes[..<count]))
            #expect(error != nil, "cut at \(count)")
            #expect((error?.offset ?? 0) <= count)
        }
    }

    @Test func `every vector is read or refused as it says`() throws {
        if VectorFile.isWriting {
            for vector in try vectors() { try vector.write(area: "sdw1") }
        }
        let files = try VectorFile.all("sdw1")
        #expect(files == (try vectors()).sorted { $0.name < $1.name })
        for file in files {
            let error = readAll(file.bytes)
            #expect(
                (error == nil ? "ok" : "refused") == file.expect,
                "\(file.name): \(error?.description ?? "read")")
            #expect(error.map { "\($0.offset)" } ?? "-" == file["offset"], "\(file.name)")
        }
    }

    private func vectors() throws -> [VectorFile] {
        let good = sample()
        let keys = 4 + 1 + 53 + 1 + 40
        func changed(_ at: Int, to value: UInt8) -> [UInt8] {
            var bytes = good
            bytes[at] = value
            return bytes
        }
        let cases: [(String, String, [UInt8])] = [
            ("all-kinds", "one key of each kind, two transactions, the second of no writes", good),
            ("empty", "no literals, keys or transactions", Array("SDW1".utf8) + [0, 0, 0, 0]),
            ("magic", "the magic is SDW2", changed(3, to: UInt8(ascii: "2"))),
            ("key-kind", "the first key has kind 4", changed(keys + 1, to: 4)),
            ("truncated", "the last byte is missing", Array(good.dropLast())),
            ("trailing", "one byte behind the last transaction", good + [0]),
            ("key-index", "the last write names key 127 of 4", changed(good.count - 3, to: 127)),
            ("key-count", "the key table announces 127 keys", changed(keys, to: 127)),
            (
                "overlong-varint", "the last value is written with a needless byte",
                Array(good.dropLast(2)) + [0xCD, 0, 0]
            ),
        ]
        return cases.map { name, why, bytes in
            let error = readAll(bytes)
            return VectorFile(
                name: name,
                fields: [
                    ("expect", error == nil ? "ok" : "refused"), ("why", why),
                    ("offset", error.map { "\($0.offset)" } ?? "-"),
                ], bytes: bytes)
        }
    }

    @Test func `bytes behind the last transaction are refused`() {
        #expect(readAll(sample() + [0])?.message == "1 bytes behind the last transaction, expected none")
    }

    @Test(arguments: 0..<20)
    func `flipped bytes never trap`(seed: UInt64) {
        var generator = Seed(seed).generator("sdw1 flips")
        for _ in 0..<200 {
            var bytes = sample()
            for _ in 0...generator.below(3) {
                bytes[Int(generator.below(UInt64(bytes.count)))] = UInt8(truncatingIfNeeded: generator.next())
            }
            _ = readAll(bytes)
        }
    }

    @Test func `absurd counts are refused before anything is allocated`() {
        var bytes = Array("SDW1".utf8) + [0]
        bytes.appendVarint(UInt64.max)
        #expect(readAll(bytes) != nil)
        bytes = Array("SDW1".utf8) + [0, 0]
        bytes.appendVarint(1 << 23)
        #expect(readAll(bytes)?.message == "the file ends inside the key table")
    }

    @Test(arguments: 0..<10)
    func `wide varints round-trip and have one encoding`(seed: UInt64) throws {
        var generator = Seed(seed).generator("wide varints")
        for _ in 0..<200 {
            let word = U256(generator.next(), generator.next(), generator.next(), generator.next())
            let value = word >> Int(generator.below(257))
            let bytes = wide(value)
            var reader = ByteReader(bytes.span.bytes)
            let read = try reader.wideVarint()
            let rest = reader.remaining
            #expect(read == value && rest == 0, "seed \(seed)")
            var padded = bytes
            padded[padded.count - 1] |= 0x80
            padded.append(0)
            #expect(wideError(padded) == .malformed, "seed \(seed)")
        }
        let tooLarge = [UInt8](repeating: 0xFF, count: 36) + [0x1F]
        #expect(wideError(tooLarge) == .malformed)
    }
}
